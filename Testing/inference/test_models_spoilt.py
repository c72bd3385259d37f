"""Bundles that are damaged, altered or forged: none of them is loaded."""

import json
import shutil
import sys

import numpy as np
import pytest
from models_world import (
    SPOILT_WEIGHTS,
    change,
    coarse_record,
    refusal,
)

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from COVIDQuantLib.ct.volume import CTVolume  # noqa: E402
from COVIDQuantLib.inference.networks import Networks  # noqa: E402
from COVIDQuantLib.models import (  # noqa: E402
    default_bundle,
    read_bundle,
)
from COVIDQuantLib.voxels.geometry import Geometry  # noqa: E402

# --------------------------------------------------------------------------------- what the weights may not be


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


def test_a_window_that_the_coarse_network_has_no_channel_for_is_refused(bundle_folder):
    change(bundle_folder, lambda metadata: coarse_record(metadata)["input"].update(soft_window_hu=[-160, 240]))
    ct = CTVolume(np.zeros((8, 8, 8), np.int16), Geometry((8, 8, 8), (4.0, 4.0, 4.0)))
    networks = Networks(lobes=str(bundle_folder), device="cpu")
    assert "has in_channels 1, its input has windows for 2" in refusal(lambda: networks.lobes(ct, []))


def test_neighbouring_slices_that_a_network_of_lesions_has_no_channels_for_are_refused(tmp_path):
    folder = tmp_path / "lesions"
    shutil.copytree(default_bundle("lesions").path, folder)
    change(folder, lambda metadata: metadata["covidquant"]["networks"]["coronal"]["input"].update(channels=5))
    networks = Networks(lesions=str(folder), device="cpu")
    assert "the coronal network of" in refusal(networks.load_lesions)
    assert "has in_channels 3, its input has channels 5" in refusal(networks.load_lesions)


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
