"""``covidquant models`` as typed: what it prints, what it leaves behind, how it ends."""

import json
import subprocess
import sys
import zipfile

import pytest

torch = pytest.importorskip("torch")

from COVIDQuantLib.cli.main import main  # noqa: E402
from COVIDQuantLib.models import TrainedNetwork, catalogue, read_bundle, write_bundle  # noqa: E402
from COVIDQuantLib.networks.registry import build_network  # noqa: E402

SETTINGS = {"features": [2, 4]}
MEASURED = [{"data": "phantoms 1..3", "measure": "Dice of lobes", "value": 0.5, "n": 3, "machine": "a laptop"}]


def write(folder, **changes):
    torch.manual_seed(0)
    network = TrainedNetwork("lobes-unet-3d", SETTINGS, build_network("lobes-unet-3d", **SETTINGS))
    facts = {
        "name": folder.name,
        "version": "1.2.0",
        "task": "lobes",
        "description": "A network [of no use].",
        "licence": "Apache-2.0",
        "data_source": "noise",
        "measured": MEASURED,
    }
    return write_bundle(folder, networks={"coarse": network, "fine": network}, **{**facts, **changes}).path


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("bundles") / "toy")


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(tmp_path / "own"))
    return tmp_path / "own"


def command(capsys, *arguments):
    """Exit status, standard output and standard error."""
    status = main(["models", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def one_line(err):
    """The error's line; what the progress said before it does not count."""
    lines = [line for line in err.splitlines() if line.startswith("covidquant: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    return lines[0]


def mine(capsys):
    status, out, _ = command(capsys, "list", "--json")
    assert status == 0
    return {entry["name"]: entry for entry in json.loads(out) if not entry["shipped"]}


def test_imported_listed_shown_verified_removed(capsys, bundle_folder, own):
    assert mine(capsys) == {}
    status, out, _ = command(capsys, "import", bundle_folder)
    assert status == 0
    assert f"toy 1.2.0 is installed for lobes: {own / 'toy'}" in out
    entry = mine(capsys)["toy"]
    assert entry["path"] == str(own / "toy")
    assert (entry["task"], entry["version"], entry["default"], entry["refused"]) == ("lobes", "1.2.0", False, "")
    assert entry["bytes"] == sum(path.stat().st_size for path in (own / "toy/models").iterdir())
    status, out, _ = command(capsys, "list")
    assert status == 0
    assert "toy" in out
    assert str(own) in out
    status, out, _ = command(capsys, "verify", "toy")
    assert (status, "toy 1.2.0: complete and unaltered" in out) == (0, True)
    status, out, _ = command(capsys, "remove", "toy")
    assert status == 0
    assert mine(capsys) == {}
    assert list(own.iterdir()) == []


def test_show_says_what_was_measured_and_under_what_licence(capsys, bundle_folder):
    status, out, _ = command(capsys, "show", bundle_folder)
    assert status == 0
    sha256 = read_bundle(bundle_folder).record()["sha256"]["coarse"]
    for text in ("toy", "1.2.0", "A network [of no use].", "Apache-2.0", "noise", sha256, "Dice of lobes", "0.5", "3"):
        assert text in out
    assert "Not a medical device" in out
    status, out, _ = command(capsys, "show", bundle_folder, "--json")
    assert status == 0
    record = json.loads(out)
    assert record["covidquant"]["measured"] == MEASURED
    assert record["path"] == str(bundle_folder)


def test_a_second_import_needs_replace(capsys, bundle_folder, tmp_path, own):
    source = tmp_path / "toy.zip"
    with zipfile.ZipFile(source, "w") as packed:
        for path in bundle_folder.rglob("*"):
            packed.write(path, f"toy/{path.relative_to(bundle_folder).as_posix()}")
    assert command(capsys, "import", source)[0] == 0
    status, _, err = command(capsys, "import", source)
    assert status == 2
    assert "a bundle exists here already" in one_line(err)
    assert command(capsys, "import", source, "--replace")[0] == 0
    assert [path.name for path in own.iterdir()] == ["toy"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("show", "none"), 3, "no such model bundle"),
        (("verify", "none"), 3, "no such model bundle"),
        (("remove", "none"), 3, "you have no model bundle of this name"),
        (("import", "none"), 3, "no such folder or file"),
        (("import", "none", "--format", "lungmask"), 3, "there is no such file"),
    ],
)
def test_mistakes_are_one_line_and_a_status(capsys, own, arguments, status, said):
    ended, _, err = command(capsys, *arguments)
    assert ended == status
    assert said in one_line(err)
    assert not own.exists()


@pytest.mark.parametrize("arguments", [(), ("burn",), ("import",), ("import", "x", "--format", "onnx")])
def test_wrong_use_ends_with_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(["models", *arguments])
    assert caught.value.code == 2


def test_what_ships_cannot_be_removed(capsys, monkeypatch, tmp_path):
    shipped = tmp_path / "shipped"
    write(shipped / "toy")
    for name in ("catalogue", "install"):
        monkeypatch.setattr(sys.modules[f"COVIDQuantLib.models.{name}"], "shipped_folder", lambda: shipped)
    status, _, err = command(capsys, "remove", "toy")
    assert status == 2
    assert "is shipped with COVIDQuant and cannot be removed" in one_line(err)
    status, _, err = command(capsys, "import", shipped / "toy", "--replace")
    assert status == 2
    assert (shipped / "toy").is_dir()


def test_verify_names_each_and_ends_with_3_if_one_is_damaged(capsys, own):
    write(own / "good")
    broken = write(own / "altered")
    weights = broken / "models/coarse.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    half = write(own / "cut")
    (half / "configs/metadata.json").write_text("{")
    # What ships is verified by its own test.
    status, out, err = command(capsys, "verify", *(own / name for name in ("good", "altered", "cut")))
    assert status == 3
    assert "good 1.2.0: complete and unaltered" in out
    assert "altered: the weights are not those of this bundle" in out
    assert "cut: the metadata are not JSON" in out
    assert "altered" in one_line(err)
    listed = mine(capsys)
    assert listed["altered"]["refused"] == ""
    assert "not JSON" in listed["cut"]["refused"]
    status, out, _ = command(capsys, "list")
    assert status == 0
    assert "not JSON" in out


def test_listing_and_help_do_not_wait_for_torch(own):
    code = (
        "import sys\n"
        "from COVIDQuantLib.cli.main import main\n"
        "assert main(['models', 'list', '--json']) == 0\n"
        "assert not {'torch', 'monai', 'safetensors', 'lungmask'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_shipped_bundle_is_whole(capsys):
    """SHA-256, shapes and values of what is in the repository."""
    status, out, _ = command(capsys, "list", "--json")
    shipped = [entry for entry in json.loads(out) if entry["shipped"]]
    if not shipped:
        pytest.skip("no bundle ships in this checkout")
    assert status == 0
    status, out, err = command(capsys, "verify", *(entry["path"] for entry in shipped))
    assert status == 0, err
    for entry in shipped:
        assert entry["bytes"] <= 20e6
        assert entry["name"] == read_bundle(entry["path"]).name
    assert set(catalogue.DEFAULTS.values()) <= {entry["name"] for entry in shipped}
