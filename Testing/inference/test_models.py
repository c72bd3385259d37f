"""Bundles: what is written is what is read, nothing damaged or altered is loaded, nothing is lost on the way."""

import hashlib
import json
import os
import pickle
import shutil
import sys
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from COVIDQuantLib.errors import Cancelled, OutputError, UnfitInputError, UsageError  # noqa: E402
from COVIDQuantLib.models import (  # noqa: E402
    TrainedNetwork,
    archive,
    catalogue,
    default_bundle,
    find_bundle,
    list_bundles,
    read_bundle,
    write_bundle,
)
from COVIDQuantLib.models.install import import_bundle, remove_bundle  # noqa: E402
from COVIDQuantLib.networks.registry import build_network  # noqa: E402

ARCHITECTURE = "lobes-unet-3d"
COARSE, FINE = {"features": [2, 4]}, {"in_channels": 7, "features": [2, 4]}
MEASURED = [{"data": "phantoms 1..3", "measure": "Dice", "value": 0.5, "n": 3, "machine": "a laptop"}]
FACTS = {
    "version": "1.2.0",
    "task": "lobes",
    "description": "A network of no use.",
    "licence": "Apache-2.0",
    "data_source": "noise",
    "training": {"seed": 7},
    "measured": MEASURED,
}


def network(settings=COARSE, seed=0, half=False):
    torch.manual_seed(seed)
    module = build_network(ARCHITECTURE, **settings)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
    return TrainedNetwork(ARCHITECTURE, settings, module, {"spacing_mm": [4.0, 4.0, 4.0]}, half)


def write(folder, seed=0, half=False, **changes):
    networks = {"coarse": network(COARSE, seed, half), "fine": network(FINE, seed, half)}
    return write_bundle(folder, **{"networks": networks, "name": folder.name, **FACTS, **changes})


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write(tmp_path_factory.mktemp("bundles") / "toy").path


@pytest.fixture
def bundle_folder(original, tmp_path):
    """A copy to be spoilt."""
    return shutil.copytree(original, tmp_path / "toy")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's folder, empty."""
    folder = tmp_path / "own"
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(folder))
    return folder


@pytest.fixture
def shipped(original, tmp_path, monkeypatch):
    """A folder in place of the shipped bundles, with one in it."""
    folder = tmp_path / "shipped"
    shutil.copytree(original, folder / "toy")
    for module in (catalogue, sys.modules["COVIDQuantLib.models.install"]):
        monkeypatch.setattr(module, "shipped_folder", lambda: folder)
    return folder


def metadata_of(folder):
    return json.loads((folder / "configs/metadata.json").read_text(encoding="utf-8"))


def change(folder, edit):
    metadata = metadata_of(folder)
    edit(metadata)
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))


def coarse_record(metadata):
    return metadata["covidquant"]["networks"]["coarse"]


def put_weights(folder, data):
    """Weights that a forger has signed."""
    (folder / "models/coarse.safetensors").write_bytes(data)
    change(folder, lambda m: coarse_record(m).update(sha256=hashlib.sha256(data).hexdigest()))


def tensors_of(folder):
    return safetensors_torch.load((folder / "models/coarse.safetensors").read_bytes())


def refusal(action, *, kind=UnfitInputError):
    with pytest.raises(kind) as caught:
        action()
    assert caught.value.what
    assert "\n" not in caught.value.line()
    return caught.value.line()


# ------------------------------------------------------------------------------------------- written and read


def test_what_is_written_is_what_is_read(original):
    bundle = read_bundle(original, "lobes")
    assert (bundle.name, bundle.version, bundle.task) == ("toy", "1.2.0", "lobes")
    assert list(bundle.networks) == ["coarse", "fine"]
    assert bundle.networks["fine"].settings == FINE
    assert bundle.networks["fine"].input == {"spacing_mm": [4.0, 4.0, 4.0]}
    assert bundle.metadata["covidquant"]["measured"] == MEASURED
    assert bundle.metadata["covidquant"]["not_a_medical_device"] is True
    bundle.verify()


@pytest.mark.parametrize("role", ["coarse", "fine"])
def test_a_loaded_network_answers_as_the_trained_one(original, role):
    loaded = read_bundle(original).load(role)
    trained = network({"coarse": COARSE, "fine": FINE}[role]).module.eval()
    x = torch.randn(1, 1 if role == "coarse" else 7, 8, 8, 8)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with torch.no_grad():
        assert torch.equal(loaded(x), trained(x))


def test_half_weights_become_float_and_statistics_stay_exact(tmp_path):
    bundle = write(tmp_path / "toy", half=True)
    stored = tensors_of(bundle.path)
    trained = network().module
    statistics = {name for name, _ in trained.named_buffers()}
    for name, tensor in trained.state_dict().items():
        if name in statistics:
            assert torch.equal(stored[name], tensor), name
        else:
            assert stored[name].dtype == torch.float16
            assert torch.equal(stored[name], tensor.half()), name
    loaded = bundle.load("coarse")
    assert {t.dtype for t in loaded.parameters()} == {torch.float32}
    kept = bundle.load("coarse", half_to_float=False)
    assert {t.dtype for t in kept.parameters()} == {torch.float16}
    with torch.no_grad():
        x = torch.randn(1, 1, 8, 8, 8)
        assert torch.allclose(loaded(x), trained.eval()(x), atol=0.02)


def test_a_weight_too_large_for_half_keeps_its_tensor_whole(tmp_path):
    made = network(half=True)
    with torch.no_grad():
        next(made.module.parameters()).view(-1)[0] = 1e6
    bundle = write(tmp_path / "toy", networks={"coarse": made, "fine": network(FINE)})
    assert next(bundle.load("coarse").parameters()).view(-1)[0] == 1e6


def test_the_record_names_the_weights_by_their_sum(original):
    record = read_bundle(original).record()
    for role, sha256 in record["sha256"].items():
        assert hashlib.sha256((original / "models" / f"{role}.safetensors").read_bytes()).hexdigest() == sha256
    assert json.loads(json.dumps(record)) == record


def test_monai_reads_the_bundle(original):
    monai_bundle = pytest.importorskip("monai.bundle")
    parser = monai_bundle.ConfigParser()
    parser.read_config(str(original / "configs/inference.json"))
    parser.read_meta(str(original / "configs/metadata.json"))
    parser["bundle_root"] = str(original)
    bundle = read_bundle(original)
    for role, name in (("coarse", "networks_def::coarse"), ("fine", "network_def")):
        built = parser.get_parsed_content(name)
        built.load_state_dict(parser.get_parsed_content(f"weights::{role}"))
        x = torch.randn(1, bundle.networks[role].settings.get("in_channels", 1), 8, 8, 8)
        with torch.no_grad():
            assert torch.equal(built.eval()(x), bundle.load(role)(x))
    formats = parser.get_parsed_content("_meta_::network_data_format")
    assert formats["inputs"]["image"]["num_channels"] == 7
    assert formats["outputs"]["pred"]["num_channels"] == 6


def test_the_same_networks_give_the_same_files(tmp_path, original):
    again = write(tmp_path / "toy")
    for path in sorted(p for p in original.rglob("*") if p.is_file()):
        assert (again.path / path.relative_to(original)).read_bytes() == path.read_bytes(), path.name


# --------------------------------------------------------------------------------- what the weights may not be


def altered(folder):
    path = folder / "models/coarse.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def cut(folder, keep=0.5):
    path = folder / "models/coarse.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def other_tensors(edit):
    def spoil(folder):
        tensors = tensors_of(folder)
        edit(tensors)
        put_weights(folder, safetensors_torch.save(tensors))

    return spoil


def lose(tensors):
    del tensors["final.weight"]


def widen(tensors):
    tensors["final.weight"] = torch.zeros(6, 3, 1, 1, 1)


def add(tensors):
    tensors["more"] = torch.zeros(1)


def break_value(tensors):
    tensors["final.weight"].view(-1)[0] = float("nan")


def whole_numbers(tensors):
    tensors["final.weight"] = torch.zeros_like(tensors["final.weight"], dtype=torch.int32)


def torch_file(folder):
    tensors = tensors_of(folder)
    torch.save(tensors, folder / "x")
    put_weights(folder, (folder / "x").read_bytes())


class Bomb:
    def __reduce__(self):
        return os.system, ("echo this must never run",)


SPOILT_WEIGHTS = {
    "altered": (altered, "SHA-256 differs"),
    "half": (cut, "truncated"),
    "header": (lambda folder: cut(folder, 0.01), "truncated"),
    "empty": (lambda folder: cut(folder, 0), "SHA-256 differs"),
    "missing": (lambda folder: (folder / "models/coarse.safetensors").unlink(), "missing"),
    "folder": (
        lambda folder: [
            (folder / "models/coarse.safetensors").unlink(),
            (folder / "models/coarse.safetensors").mkdir(),
        ],
        "missing",
    ),
    "tensor missing": (other_tensors(lose), "lack 'final.weight'"),
    "tensor added": (other_tensors(add), "unknown 'more'"),
    "shape": (other_tensors(widen), "shape (6, 3, 1, 1, 1) instead of (6, 2, 1, 1, 1)"),
    "kind": (other_tensors(whole_numbers), "final.weight"),
    "not a number": (other_tensors(break_value), "not finite numbers"),
    "rubbish": (lambda folder: put_weights(folder, b"rubbish" * 100), "not a safetensors"),
    "pickle": (lambda folder: put_weights(folder, pickle.dumps(Bomb())), "pickle"),
    "torch file": (torch_file, "pickle"),
}


@pytest.mark.parametrize("case", SPOILT_WEIGHTS)
def test_spoilt_weights_are_refused(bundle_folder, case, capfd):
    spoil, said = SPOILT_WEIGHTS[case]
    spoil(bundle_folder)
    assert said in refusal(lambda: read_bundle(bundle_folder).load("coarse"))
    assert said in refusal(lambda: read_bundle(bundle_folder).verify())
    assert "never run" not in capfd.readouterr().out


def test_the_bytes_that_were_checked_are_those_loaded(bundle_folder, monkeypatch):
    """A file swapped between check and load would go unnoticed if it were read twice."""
    path = bundle_folder / "models/coarse.safetensors"
    reads = []
    read = type(path).read_bytes

    def counted(self):
        reads.append(self)
        return read(self)

    monkeypatch.setattr(type(path), "read_bytes", counted)
    monkeypatch.setattr(safetensors_torch, "load_file", None)
    read_bundle(bundle_folder).load("coarse")
    assert [p.name for p in reads] == ["coarse.safetensors"]


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights on Windows")
def test_weights_linked_from_outside_are_refused(bundle_folder):
    path = bundle_folder / "models/coarse.safetensors"
    outside = bundle_folder.parent / "outside.safetensors"
    path.rename(outside)
    path.symlink_to(outside)
    assert "link out of the bundle" in refusal(lambda: read_bundle(bundle_folder))


# ------------------------------------------------------------------------------- what the metadata may not be


def sets(**values):
    return lambda m: coarse_record(m).update(values)


def sets_ours(**values):
    return lambda m: m["covidquant"].update(values)


SPOILT_METADATA = {
    "newer": (sets_ours(format=2), "has format 2, COVIDQuant"),
    "no number": (sets_ours(format=True), "format"),
    "plain MONAI": (lambda m: m.pop("covidquant"), "not one of COVIDQuant's"),
    "no version": (lambda m: m.pop("version"), '"version" is missing'),
    "version a number": (lambda m: m.update(version=1), '"version" is not text'),
    "no networks": (sets_ours(networks={}), "no network"),
    "networks a list": (sets_ours(networks=[]), "not an object"),
    "network a text": (lambda m: m["covidquant"]["networks"].update(coarse="x"), "not an object"),
    "role": (lambda m: m["covidquant"]["networks"].update({"../x": coarse_record(m)}), "not a valid role"),
    "no sum": (lambda m: coarse_record(m).pop("sha256"), "sha256"),
    "half a sum": (sets(sha256="abc"), "not a SHA-256"),
    "name": (sets_ours(name="../toy"), "not a valid bundle name"),
    "device name": (sets_ours(name="con.x"), "not a valid bundle name"),
    "task": (sets_ours(task="brains"), "unknown task"),
    "measured": (sets_ours(measured=[{"value": 1}]), "measured[0]"),
    "up": (sets(weights="models/../../x.safetensors"), "outside the bundle"),
    "up on Windows": (sets(weights="models\\..\\..\\x.safetensors"), "outside the bundle"),
    "absolute": (sets(weights="/etc/x.safetensors"), "outside the bundle"),
    "drive": (sets(weights="C:x.safetensors"), "outside the bundle"),
    "share": (sets(weights="\\\\server\\share\\x.safetensors"), "outside the bundle"),
    "pickle": (sets(weights="models/coarse.pt"), "not a safetensors file"),
    "gone": (sets(weights="models/other.safetensors"), "weights are missing"),
}


@pytest.mark.parametrize("case", SPOILT_METADATA)
def test_spoilt_metadata_are_refused(bundle_folder, case):
    edit, said = SPOILT_METADATA[case]
    change(bundle_folder, edit)
    assert said in refusal(lambda: read_bundle(bundle_folder))


SPOILT_ARCHITECTURES = {
    "unknown": (sets(architecture="transformer"), "unknown architecture 'transformer'"),
    "unknown setting": (sets(settings={"depth": 3}), "no setting 'depth'"),
    "setting of a wrong kind": (sets(settings={"features": "many"}), "features"),
    "setting named as an argument": (sets(settings={"name": "x"}), "settings"),
    # Would need terabytes if it were built before its weights are looked at.
    "a monstrous size": (sets(settings={"features": [200000, 400000]}), "shape"),
    "another size": (sets(settings={"features": [4, 8]}), "shape"),
}


@pytest.mark.parametrize("case", SPOILT_ARCHITECTURES)
def test_weights_and_architecture_must_fit(bundle_folder, case):
    edit, said = SPOILT_ARCHITECTURES[case]
    change(bundle_folder, edit)
    assert said in refusal(lambda: read_bundle(bundle_folder).load("coarse"))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_broken_metadata_are_refused(bundle_folder, data):
    (bundle_folder / "configs/metadata.json").write_bytes(data)
    assert "metadata" in refusal(lambda: read_bundle(bundle_folder))


def test_a_missing_folder_and_a_folder_without_metadata_are_refused(tmp_path):
    assert "no such model bundle" in refusal(lambda: read_bundle(tmp_path / "none"))
    assert "metadata.json is missing" in refusal(lambda: read_bundle(tmp_path))


def test_a_bundle_for_another_task_is_refused(original):
    assert "is for lobes, not for lesions" in refusal(lambda: read_bundle(original, "lesions"))


def test_a_role_the_bundle_has_not_is_refused(original):
    assert "only coarse, fine" in refusal(lambda: read_bundle(original).load("slices"))


def test_nothing_in_the_configs_is_evaluated(bundle_folder, capfd):
    config = bundle_folder / "configs/inference.json"
    record = json.loads(config.read_text(encoding="utf-8"))
    record["network_def"] = "$__import__('os').system('echo this must never run')"
    config.write_text(json.dumps(record))
    change(bundle_folder, lambda m: m.update(description="$print('this must never run')"))
    bundle = read_bundle(bundle_folder)
    bundle.verify()
    bundle.load("coarse")
    assert "never run" not in capfd.readouterr().out


# ------------------------------------------------------------------------------------------- written whole or not


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_bundle_is_not_overwritten_unless_asked(tmp_path):
    first = write(tmp_path / "toy")
    before = files(first.path)
    refusal(lambda: write(tmp_path / "toy", seed=1), kind=UsageError)
    assert files(first.path) == before
    second = write(tmp_path / "toy", seed=1, replace=True)
    assert second.record()["sha256"] != first.record()["sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "thesis.txt").write_text("x")
    refusal(lambda: write(tmp_path / "toy", replace=True), kind=UsageError)
    assert files(tmp_path) == {"toy/thesis.txt": b"x"}


WRITE_FAULTS = {
    "disk full": OSError(28, "No space left on device"),
    "stopped": Cancelled(),
    "Ctrl-C": KeyboardInterrupt(),
}


@pytest.mark.parametrize("fault", WRITE_FAULTS)
@pytest.mark.parametrize("where", ["second file", "rename"])
def test_a_fault_while_replacing_leaves_the_old_bundle(tmp_path, monkeypatch, fault, where):
    first = write(tmp_path / "toy")
    before = files(tmp_path)
    error = WRITE_FAULTS[fault]
    calls = []

    def fail(*_):
        calls.append(1)
        # Of the two renames the first moves the old bundle away, the second the new one into its place.
        if len(calls) == 2:
            raise error
        return original_call(*_)

    if where == "second file":
        target = sys.modules["COVIDQuantLib.models.write"]
        original_call = target._write_bytes
        monkeypatch.setattr(target, "_write_bytes", fail)
    else:
        original_call = type(tmp_path).rename
        monkeypatch.setattr(type(tmp_path), "rename", fail)
    with pytest.raises(OutputError if fault == "disk full" else type(error)):
        write(tmp_path / "toy", seed=1, replace=True)
    monkeypatch.undo()
    assert files(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
    first.verify()


@pytest.mark.parametrize(
    "changes",
    [{"name": "A bundle"}, {"task": "brains"}, {"measured": [{"value": 1}]}, {"version": 1}, {"networks": {}}],
    ids=str,
)
def test_unfit_facts_are_not_written(tmp_path, changes):
    refusal(lambda: write(tmp_path / "toy", **changes), kind=UsageError if "networks" in changes else UnfitInputError)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_numbers_are_not_written(tmp_path):
    made = network()
    with torch.no_grad():
        next(made.module.parameters()).fill_(float("inf"))
    assert "not finite numbers" in refusal(
        lambda: write(tmp_path / "toy", networks={"coarse": made, "fine": network(FINE)})
    )
    refusal(lambda: write(tmp_path / "toy", training={"loss": float("nan")}), kind=UsageError)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------- found and installed


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


def test_statistics_of_random_networks_survive_the_file(tmp_path):
    """Any network of the registry, whatever its size: same tensors before and after."""
    rng = np.random.default_rng(3)
    for seed in range(3):
        features = [int(n) for n in rng.integers(1, 6, rng.integers(2, 4))]
        made = network({"features": features, "norm": str(rng.choice(["batch", "instance", "group"]))}, seed)
        loaded = (
            write(tmp_path / f"toy{seed}", networks={"coarse": made, "fine": network(FINE)}).load("coarse").state_dict()
        )
        assert all(torch.equal(loaded[name], tensor) for name, tensor in made.module.state_dict().items())
