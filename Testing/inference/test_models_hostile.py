"""Bundles of strangers: nothing outside is copied, nothing is believed, and one broken bundle hides no other."""

import json
import os
import shutil
import struct
import sys
import zipfile

import pytest

torch = pytest.importorskip("torch")

from COVIDQuantLib.cli.main import main  # noqa: E402
from COVIDQuantLib.errors import COVIDQuantError, UnfitInputError  # noqa: E402
from COVIDQuantLib.models import TrainedNetwork, catalogue, list_bundles, read_bundle, write_bundle  # noqa: E402
from COVIDQuantLib.models.install import import_bundle  # noqa: E402
from COVIDQuantLib.models.metadata import ROLES_NEEDED  # noqa: E402
from COVIDQuantLib.networks.registry import ARCHITECTURES, MAX_CHANNELS, build_network  # noqa: E402

LINKS = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights on Windows")
SECRET = "private: do not copy"


def network(**settings):
    settings = {"features": [2, 3], **settings}
    return TrainedNetwork("lobes-unet-3d", settings, build_network("lobes-unet-3d", **settings))


def write(folder, roles=("coarse", "fine"), task="lobes"):
    facts = {"version": "1", "description": "x", "licence": "x", "data_source": "x"}
    networks = {role: network() for role in roles}
    return write_bundle(folder, networks=networks, name=folder.name, task=task, **facts).path


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("bundles") / "toy")
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "README.md").write_text("about")
    return folder


@pytest.fixture
def bundle(original, tmp_path):
    return shutil.copytree(original, tmp_path / "toy")


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(tmp_path / "own"))
    return tmp_path / "own"


def change(folder, edit):
    path = folder / "configs/metadata.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    edit(record)
    path.write_text(json.dumps(record))


def copied(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# ------------------------------------------------------------------------------------------------------------ links


def link_document(folder, outside):
    (folder / "docs" / "notes.txt").symlink_to(outside / "secret.txt")


def link_documents(folder, outside):
    shutil.rmtree(folder / "docs")
    (folder / "docs").symlink_to(outside, target_is_directory=True)


def link_licence(folder, outside):
    (folder / "LICENSE").symlink_to(outside / "secret.txt")


def link_configs(folder, outside):
    (folder / "configs" / "inference.json").unlink()
    (folder / "configs" / "inference.json").symlink_to(outside / "secret.txt")


@LINKS
@pytest.mark.parametrize("link", [link_document, link_documents, link_licence, link_configs])
def test_links_are_never_followed_out_of_a_bundle(bundle, own, tmp_path, link):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(SECRET)
    link(bundle, outside)
    import_bundle(bundle)
    assert SECRET.encode() not in copied(own)
    assert not any(path.is_symlink() for path in own.rglob("*"))


@LINKS
@pytest.mark.parametrize("name", ["configs", "configs/metadata.json", "models", "models/fine.safetensors"])
def test_what_is_needed_and_lies_outside_is_refused(bundle, own, tmp_path, name):
    outside = tmp_path / "outside"
    shutil.move(bundle / name, outside)
    (bundle / name).symlink_to(outside, target_is_directory=outside.is_dir())
    with pytest.raises(UnfitInputError, match="bundle-link"):
        import_bundle(bundle)
    assert not own.exists() or list(own.iterdir()) == []


@LINKS
def test_links_in_a_circle_are_refused(bundle):
    (bundle / "models/fine.safetensors").unlink()
    (bundle / "models/fine.safetensors").symlink_to("fine.safetensors")
    with pytest.raises(UnfitInputError):
        import_bundle(bundle)


# ------------------------------------------------------------------------------------------------------------ roles


@pytest.mark.parametrize(
    ("task", "roles"),
    [("lesions", ["coronal"]), ("lesions", ["sagittal", "coronal"]), ("lobes", ["coarse"]), ("lungs", ["coarse"])],
)
def test_a_bundle_that_lacks_a_network_of_its_task_is_refused(tmp_path, original, task, roles):
    with pytest.raises(UnfitInputError, match=rf"a bundle for {task} needs.*\[bundle-roles\]"):
        write(tmp_path / "lacking", roles, task)

    def edit(record):
        ours = record["covidquant"]
        ours["task"] = task
        ours["networks"] = dict.fromkeys(roles, ours["networks"]["coarse"])

    folder = shutil.copytree(original, tmp_path / "toy")
    change(folder, edit)
    with pytest.raises(UnfitInputError, match="bundle-roles"):
        import_bundle(folder)


def test_every_task_has_its_networks_and_more_are_no_fault(tmp_path):
    for task, sets in ROLES_NEEDED.items():
        for number, roles in enumerate(sets):
            assert read_bundle(write(tmp_path / f"{task}{number}", [*sorted(roles), "more"], task)).task == task


# --------------------------------------------------------------------------------------------------- odd metadata


def set_version(text):
    return lambda record: record.update(version=text)


def settings_of(**settings):
    return lambda record: record["covidquant"]["networks"]["fine"]["settings"].update(settings)


@pytest.mark.parametrize("text", ["[/b]1", "[/red]", "a\x1b[2J", "\ud800", "1\n2", ":smile:", "", "x" * 5000])
def test_an_odd_version_is_shown_as_it_is_and_the_list_goes_on(bundle, own, capsys, text):
    change(bundle, set_version(text))
    assert main(["models", "import", str(bundle)]) == 0
    for arguments in (["list"], ["list", "--json"], ["show", "toy"], ["show", "toy", "--json"], ["verify", "toy"]):
        capsys.readouterr()
        assert main(["models", *arguments]) == 0, arguments
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        assert "toy" in out
    assert main(["models", "remove", "toy"]) == 0


def break_metadata(text):
    def spoil(folder):
        (folder / "configs/metadata.json").write_text(text)

    return spoil


BROKEN = {
    "empty": break_metadata(""),
    "deep": break_metadata("[" * 100_000),
    "deep but parsed": break_metadata('{"a":' * 500 + "1" + "}" * 500),
    "large number": break_metadata("9" * 5000),
    "infinite": break_metadata('{"a": 1e999}'),
    "list": break_metadata("[]"),
    "folder": lambda folder: ((folder / "configs/metadata.json").unlink(), (folder / "configs/metadata.json").mkdir()),
    "not UTF-8": lambda folder: (folder / "configs/metadata.json").write_bytes(b'{"a": "\xff"}'),
    "no weights": lambda folder: shutil.rmtree(folder / "models"),
    "long path": lambda folder: change(
        folder,
        lambda record: record["covidquant"]["networks"]["fine"].update(weights="m/" + "n" * 3000 + ".safetensors"),
    ),
    "null in path": lambda folder: change(
        folder, lambda record: record["covidquant"]["networks"]["fine"].update(weights="a\0.safetensors")
    ),
    "odd measured": lambda folder: change(folder, lambda record: record["covidquant"].update(measured=[1])),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_bundle_hides_no_other(original, own, capsys, what):
    own.mkdir()
    shutil.copytree(original, own / "good")
    broken = shutil.copytree(original, own / "[bold]broken")
    BROKEN[what](broken)
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "[bold]broken" in out
    assert "damaged" in out
    listed = {item.name: item for item in list_bundles() if not item.shipped}
    assert listed["[bold]broken"].refused
    assert not listed["good"].refused
    assert main(["models", "verify", "[bold]broken"]) == 3
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings",
    [
        {"features": [2, 1 << 62]},
        {"features": [2, MAX_CHANNELS + 1]},
        {"features": [2] * 7},
        {"features": [True, 2]},
        {"in_channels": 1 << 62},
        {"in_channels": -1},
        {"out_channels": 1e9},
        {"unknown": 1},
        {"norm": "[/red]"},
    ],
)
def test_settings_are_bounded_before_anything_is_built(bundle, settings):
    change(bundle, settings_of(**settings))
    with pytest.raises(UnfitInputError, match="bundle-settings"):
        import_bundle(bundle)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_count_of_every_architecture_has_a_bound(architecture):
    for setting in ARCHITECTURES[architecture].settings.values():
        for value in (1 << 62, [1 << 62] * 2, (2, 1 << 40), 1e300):
            assert not setting.fits(value)


# ------------------------------------------------------------------------------------------------------------- zips


def zipped(bundle, path, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(bundle.rglob("*")):
            archive.write(file, f"toy/{file.relative_to(bundle).as_posix()}")
    return path


def data_of_largest(path):
    """Where the packed bytes of the largest member lie."""
    with zipfile.ZipFile(path) as archive:
        member = max(archive.infolist(), key=lambda one: one.compress_size)
    head = path.read_bytes()[member.header_offset :][:30]
    names = sum(struct.unpack("<HH", head[26:30]))
    return member.header_offset + 30 + names, member.compress_size


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED])
@pytest.mark.parametrize("place", [0.0, 0.02, 0.5, 0.99])
def test_a_damaged_member_is_told(original, tmp_path, own, method, place):
    path = zipped(original, tmp_path / "toy.zip", method)
    start, size = data_of_largest(path)
    data = bytearray(path.read_bytes())
    for offset in range(3):
        data[start + int(place * (size - 4)) + offset] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UnfitInputError):
        import_bundle(path)
    assert not own.exists() or list(own.iterdir()) == []


def test_a_name_that_is_no_utf_8_is_told(original, tmp_path, capsys):
    path = tmp_path / "toy.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("żółw.txt", "x")
    path.write_bytes(path.read_bytes().replace("ż".encode(), b"\xff\xfe"))
    assert main(["models", "import", str(path)]) == 3
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("covidquant")]
    assert len(lines) == 1
    assert "[zip-damaged]" in lines[0]


@pytest.mark.parametrize("names", [["a", "a/b"], ["x/" + "n" * 300], ["a/b", "a"]])
def test_names_that_cannot_be_files_together_are_told(tmp_path, names):
    path = tmp_path / "toy.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    with pytest.raises(COVIDQuantError, match="zip-names"):
        import_bundle(path)


def test_an_interrupted_replacement_is_finished(original, own, tmp_path, monkeypatch):
    """Killed between moving the old bundle away and the new one in, the next list has the new one."""
    import_bundle(original)
    newer = shutil.copytree(original, tmp_path / "newer" / "toy")
    change(newer, set_version("2"))

    class KilledError(BaseException):
        pass

    def die(*_):
        raise KilledError

    monkeypatch.setattr("COVIDQuantLib.system.staging.Staging.remove", lambda self: self._owner.release())
    monkeypatch.setattr("COVIDQuantLib.system.staging._go_back", die)
    replace = os.replace

    def replace_or_die(source, target, **options):
        if str(target) == str(own / "toy"):
            raise KilledError
        return replace(source, target, **options)

    monkeypatch.setattr(os, "replace", replace_or_die)
    with pytest.raises(KilledError):
        import_bundle(newer, replace=True)
    monkeypatch.undo()
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(own))
    for hidden in own.glob(".covidquant-*"):
        (hidden / "commit" / "back.json").rename(hidden / "commit" / "forward.json")
    (listed,) = (item for item in list_bundles() if not item.shipped)
    assert listed.bundle.version == "2"
    assert [path.name for path in own.iterdir()] == ["toy"]
