"""Bundles by name: found, imported, refused, removed; nothing is lost on the way."""

import shutil
import zipfile

import pytest
from models_world import SPOILT_WEIGHTS, altered, files, network, refusal, write

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from COVIDQuantLib.errors import Cancelled, UsageError  # noqa: E402
from COVIDQuantLib.models import (  # noqa: E402
    archive,
    catalogue,
    default_bundle,
    find_bundle,
    list_bundles,
)
from COVIDQuantLib.models.install import import_bundle, remove_bundle  # noqa: E402


def test_bundles_are_found_by_name_and_by_folder(shipped, own, original, tmp_path, monkeypatch):
    mine = write(own / "mine", task="lesions", networks={"slices": network()})
    assert find_bundle("toy").path == shipped / "toy"
    assert find_bundle("mine", "lesions").path == mine.path
    assert find_bundle(original, "lobes").path == original
    assert find_bundle(str(original)).record() == find_bundle("toy").record()
    assert [(item.name, item.shipped) for item in list_bundles()] == [("toy", True), ("mine", False)]
    assert "Installed are mine, toy" in refusal(lambda: find_bundle("other"))
    assert "not for lobes" in refusal(lambda: find_bundle("mine", "lobes"))
    for name in ("", ".", "..", "../own/mine/configs"):
        monkeypatch.chdir(tmp_path)
        refusal(lambda name=name: find_bundle(name))


def test_a_damaged_bundle_is_listed_with_the_reason(own, bundle_folder, monkeypatch):
    monkeypatch.setattr(catalogue, "shipped_folder", lambda: None)
    own.mkdir()
    bundle_folder.rename(own / "toy")
    (own / "toy/configs/metadata.json").write_text("{")
    (listed,) = list_bundles()
    assert listed.bundle is None
    assert "not JSON" in listed.refused


def test_the_default_of_a_task_is_the_shipped_one(shipped, own, monkeypatch):
    monkeypatch.setitem(catalogue.DEFAULTS, "lobes", "toy")
    write(own / "toy", seed=5)
    assert default_bundle("lobes").path == shipped / "toy"
    assert "no model for lungs is shipped" in refusal(lambda: default_bundle("lungs"))
    monkeypatch.setitem(catalogue.DEFAULTS, "lobes", "gone")
    assert "Install COVIDQuant again" in refusal(lambda: default_bundle("lobes"))


def test_the_users_folder_is_the_platforms(monkeypatch, tmp_path):
    monkeypatch.delenv(catalogue.ENVIRONMENT, raising=False)
    for variable in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    ends = {
        "linux": tmp_path / "COVIDQuant" / "Models",
        "darwin": tmp_path / "Library" / "Application Support" / "COVIDQuant" / "Models",
        "win32": tmp_path / "COVIDQuant" / "Models",
    }
    for platform, folder in ends.items():
        monkeypatch.setattr(catalogue.sys, "platform", platform)
        assert catalogue.user_folder() == folder


def zipped(folder, target, top=""):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, top + path.relative_to(folder).as_posix())
    return target


@pytest.mark.parametrize("kind", ["folder", "zip", "zip with a top folder"])
def test_a_bundle_is_imported(original, own, tmp_path, kind):
    source = original
    if kind != "folder":
        source = zipped(original, tmp_path / "x.zip", "" if kind == "zip" else "toy-1.0/")
    bundle = import_bundle(source)
    assert bundle.path == own / "toy"
    assert files(bundle.path) == files(original)
    refusal(lambda: import_bundle(source), kind=UsageError)
    assert import_bundle(source, replace=True).record() == bundle.record()
    assert [path.name for path in own.iterdir()] == ["toy"]
    assert find_bundle("toy").load("coarse")


def test_only_what_belongs_to_a_bundle_is_installed(bundle_folder, own):
    (bundle_folder / "docs").mkdir()
    for name in ("docs/README.md", "LICENSE", "scripts.py", "models/model.pt", "docs/run.py"):
        (bundle_folder / name).write_text("x")
    came = set(files(import_bundle(bundle_folder).path))
    assert {"docs/README.md", "LICENSE", "configs/inference.json"} <= came
    assert not came & {"scripts.py", "models/model.pt", "docs/run.py"}


@pytest.mark.parametrize("case", ["altered", "half", "shape", "pickle", "not a number"])
def test_a_spoilt_bundle_is_not_installed(bundle_folder, own, case):
    SPOILT_WEIGHTS[case][0](bundle_folder)
    line = refusal(lambda: import_bundle(bundle_folder))
    assert SPOILT_WEIGHTS[case][1] in line
    assert line.startswith(str(bundle_folder))
    assert not own.exists() or list(own.iterdir()) == []


def test_a_spoilt_replacement_leaves_the_installed_bundle(original, bundle_folder, own):
    installed = import_bundle(original)
    before = files(own)
    altered(bundle_folder)
    refusal(lambda: import_bundle(bundle_folder, replace=True))
    assert files(own) == before
    installed.verify()


def test_a_shipped_name_is_not_taken(original, shipped, own):
    assert "is shipped with COVIDQuant" in refusal(lambda: import_bundle(original, replace=True), kind=UsageError)
    assert not own.exists()


def with_member(original, target, name, data=b"x", **attributes):
    zipped(original, target)
    with zipfile.ZipFile(target, "a") as packed:
        info = zipfile.ZipInfo(name)
        for key, value in attributes.items():
            setattr(info, key, value)
        packed.writestr(info, data)
    return target


@pytest.mark.parametrize(
    ("name", "attributes", "said"),
    [
        ("../evil.txt", {}, "outside its folder"),
        ("models/../../evil.txt", {}, "outside its folder"),
        ("/evil.txt", {}, "outside its folder"),
        ("C:\\evil.txt", {}, "outside its folder"),
        ("..\\evil.txt", {}, "outside its folder"),
        ("link", {"external_attr": 0o120777 << 16}, "holds a link"),
        ("CONFIGS/metadata.json", {}, "twice"),
    ],
)
def test_a_dangerous_zip_is_refused_before_anything_is_unpacked(original, own, tmp_path, name, attributes, said):
    source = with_member(original, tmp_path / "x.zip", name, **attributes)
    before = set(tmp_path.rglob("*"))
    assert said in refusal(lambda: import_bundle(source))
    assert set(tmp_path.rglob("*")) == before


def test_a_zip_that_unpacks_to_too_much_is_refused(original, own, tmp_path, monkeypatch):
    source = with_member(original, tmp_path / "x.zip", "big", bytes(3_000_000))
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 1_000_000)
    assert "too large" in refusal(lambda: import_bundle(source))
    # Nor if its list lies about the sizes.
    monkeypatch.setattr(archive, "_check_members", lambda *_: None)
    assert "too large" in refusal(lambda: import_bundle(source))
    monkeypatch.undo()
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    assert "files is not a bundle" in refusal(lambda: import_bundle(source))


def test_a_damaged_zip_or_another_file_is_refused(original, own, tmp_path):
    source = zipped(original, tmp_path / "x.zip")
    data = bytearray(source.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 40] = bytes(40)
    source.write_bytes(data)
    refusal(lambda: import_bundle(source))
    source.write_bytes(data[: len(data) // 2])
    assert "neither" in refusal(lambda: import_bundle(source))
    assert "no such" in refusal(lambda: import_bundle(tmp_path / "none.zip"))
    two = shutil.copytree(original, tmp_path / "two" / "a").parent
    shutil.copytree(original, two / "b")
    assert "several bundles: a, b" in refusal(lambda: import_bundle(two))
    assert not own.exists() or list(own.iterdir()) == []


def test_only_the_users_own_bundles_are_removed(original, shipped, own):
    write(own / "mine")
    (own / "letters").mkdir()
    assert "cannot be removed" in refusal(lambda: remove_bundle("toy"), kind=UsageError)
    for name in ("letters", "none", "../shipped/toy", ".", ""):
        assert "you have no model bundle" in refusal(lambda name=name: remove_bundle(name))
    assert remove_bundle("mine") == own / "mine"
    assert [path.name for path in own.iterdir()] == ["letters"]
    assert (shipped / "toy").is_dir()
    broken = write(own / "broken").path
    (broken / "configs/metadata.json").write_text("{")
    remove_bundle("broken")
    assert not broken.exists()


def test_a_cancelled_import_leaves_nothing(original, own):
    def stop(_fraction):
        raise Cancelled

    with pytest.raises(Cancelled):
        import_bundle(original, report=stop)
    assert not own.exists(), "a folder made for it is gone too"
