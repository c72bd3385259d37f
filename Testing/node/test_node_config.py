"""The configuration: what is wrong in it is one line, before anything is opened."""

import re
from pathlib import Path

import pytest
from node_world import configured, settings

from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.node import document
from COVIDQuantLib.node.config import is_loopback, read_config
from COVIDQuantLib.node.settings import SCHEMAS
from COVIDQuantLib.system.settings_schema import REQUIRED


def test_a_configuration_needs_nothing_but_a_folder(tmp_path):
    config = configured(tmp_path, f'[node]\nfolder = "{tmp_path}"\n')
    assert config.node["host"] == "127.0.0.1"
    assert config.is_local
    assert config.plan.method == "network"
    assert not config.destinations


ROOT = Path(__file__).resolve().parents[2]

WRONG = [
    ("", "node.folder is missing"),
    ("[node]\nfolder = 5\n", "node.folder cannot be 5"),
    ("[node]\nfolder = '/x'\ncolour = 1\n", "unknown key node.colour"),
    ("[node]\nfolder = '/x'\n[nodes]\n", "unknown table nodes"),
    ("[node]\nfolder = '/x'\nport = 70000\n", "node.port cannot be 70000"),
    ("[node]\nfolder = '/x'\nport = true\n", "node.port cannot be True"),
    ("[node]\nfolder = '/x'\nae_title = 'A\\\\B'\n", "node.ae_title cannot be"),
    ("[node]\nfolder = '/x'\nae_title = 'SEVENTEEN_LETTERS'\n", "node.ae_title cannot be"),
    ("[node]\nfolder = '/x'\nallowed = ['']\n", "node.allowed cannot be"),
    ("[node]\nfolder = '/x'\nhost = '0.0.0.0'\n", "would listen on the network for anyone"),
    ("[node]\nfolder = '/x'\nhost = 'node.hospital.example'\n", "would listen on the network for anyone"),
    ("[node]\nfolder = '/x'\n[status]\nhost = '0.0.0.0'\n", "the status page is for this machine"),
    ("[node]\nfolder = '/x'\n[gather]\nquiet_seconds = 0\n", "gather.quiet_seconds cannot be 0"),
    ("[node]\nfolder = '/x'\n[gather]\nby = 'patient'\n", "gather.by cannot be 'patient'"),
    ("[node]\nfolder = '/x'\n[quantify]\nmethod = 'magic'\n", "quantify.method cannot be 'magic'"),
    ("[node]\nfolder = '/x'\n[quantify]\ndevice = 'abacus'\n", "quantify.device cannot be 'abacus'"),
    ("[node]\nfolder = '/x'\n[quantify]\nggo_hu = -100\n", "threshold"),
    ("[node]\nfolder = '/x'\n[results]\nobjects = ['report']\n", "results.objects cannot be"),
    ("[node]\nfolder = '/x'\n[tls]\ncertificate = '/nowhere'\n", "a certificate or a key alone"),
    ("[node]\nfolder = '/x'\n[tls]\ncertificate = '/nowhere'\nkey = '/nowhere'\n", "tls.certificate is no file"),
    ("[node]\nfolder = '/x'\n[destination]\nname = 'a'\n", "destination is one table"),
    ("[node]\nfolder = '/x'\n[[destination]]\nname = 'a'\n", "destination 1.ae_title is missing"),
    ("[node]\nfolder = '/x'\n[[destination]]\nkind = 'fax'\n", "destination 1.kind cannot be 'fax'"),
    ("[node]\nfolder = '/x'\n[[source]]\nname = 'a'\nurl = 'ftp://a'\n", "a.url is no web address"),
    ("[node]\nfolder = '/x'\n[[source]]\nname = 'a'\nurl = 'http://a'\ntoken_file = '/t'\n", "its token in clear"),
    ("[node]\nfolder = '/x'\n" + 2 * "[[source]]\nname = 'a'\nurl = 'http://a'\n", "two sources are named a"),
]


@pytest.mark.parametrize(("text", "what"), WRONG, ids=[what for _, what in WRONG])
def test_what_is_wrong_is_one_line_that_names_it(tmp_path, text, what):
    with pytest.raises(UsageError) as refused:
        configured(tmp_path, text)
    assert what in refused.value.line() or what in refused.value.line().lower()
    assert refused.value.remedy


@pytest.mark.parametrize("text", ["[node", "a = ", "\x00", "[node]\nfolder = 'a'\n[node]\n"])
def test_what_is_not_toml_is_refused(tmp_path, text):
    with pytest.raises(UnfitInputError, match="not TOML"):
        configured(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UnfitInputError, match=r"nothing\.toml"):
        read_config(tmp_path / "nothing.toml")


def test_on_the_network_the_allowed_titles_are_enough(tmp_path):
    config = configured(tmp_path, settings(tmp_path, node={"host": "0.0.0.0"}))
    assert not config.is_local


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True), ("10.0.0.1", False), ("evil", False),
     ("localhost.evil", False), ("", False), ("0.0.0.0", False), ("127.0.0.1.evil", False)],
)  # fmt: skip
def test_loopback_is_known_by_address_alone(host, local):
    assert is_loopback(host) is local


def test_the_administrators_page_has_every_key():
    text = document.PAGE.read_text(encoding="utf-8")
    assert document.filled(text) == text, "run: python -m COVIDQuantLib.node.document"


def test_the_administrators_page_has_every_reason():
    page = document.PAGE.read_text(encoding="utf-8")
    folder = Path(document.__file__).parent
    codes = {
        code
        for path in folder.rglob("*.py")
        for code in re.findall(r"\[([a-z]+(?:-[a-z]+)+)\]", path.read_text(encoding="utf-8"))
    }
    assert len(codes) > 15
    assert not {code for code in codes if f"`{code}`" not in page}


def test_the_example_is_a_configuration(tmp_path):
    example = (ROOT / "deploy" / "node.toml").read_text(encoding="utf-8")
    config = configured(tmp_path, example)
    assert config.is_local
    assert [one.name for one in config.destinations] == ["PACS"]


def test_the_container_and_the_unit_start_the_command_that_there_is():
    from COVIDQuantLib.cli.commands import serve

    container = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    unit = (ROOT / "deploy" / "covidquant-node.service").read_text(encoding="utf-8")
    assert f'ENTRYPOINT ["covidquant", "{serve.NAME}", "--config",' in container
    assert f"/covidquant {serve.NAME} --config " in unit
    # What a stop by SIGTERM ends with; the monitoring asks the page's own port.
    assert "SuccessExitStatus=143" in unit
    assert f"127.0.0.1:{SCHEMAS['status']['port'].default}/healthz" in container


def test_defaults_fit_what_they_are_defaults_of():
    wrong = [
        f"{table}.{key}"
        for table, keys in SCHEMAS.items()
        for key, setting in keys.items()
        if setting.default is not REQUIRED and not setting.fits(setting.default)
    ]
    assert not wrong
