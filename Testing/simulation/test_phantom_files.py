"""The phantom's files: whole, readable, and equal to what was made."""

import errno
import json

import numpy as np
import pytest
import SimpleITK as sitk

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import OutputError
from COVIDQuantLib.simulation.phantom import PhantomSettings, files, make_phantom, write_phantom
from COVIDQuantLib.voxels.geometry import Geometry


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(
        PhantomSettings(seed=4, matrix=64, thickness_mm=8.0, motion=True, extent_percent=10.0, circle=False)
    )


def test_files_hold_the_phantom(phantom, tmp_path):
    write_phantom(phantom, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert sorted(p.name for p in folder.iterdir()) == [
        "artefacts.nrrd",
        "ct.nrrd",
        "lesions.nrrd",
        "lobes.nrrd",
        "truth.json",
    ]
    for name, array in (("ct", phantom.ct.hu), ("lobes", phantom.lobes), ("lesions", phantom.lesions)):
        image = sitk.ReadImage(str(folder / f"{name}.nrrd"))
        assert Geometry.of_image(image).same_grid(phantom.ct.geometry)
        assert np.array_equal(sitk.GetArrayFromImage(image), array)
    assert json.loads((folder / "truth.json").read_text(encoding="utf-8")) == json.loads(json.dumps(phantom.truth))


def test_a_failed_write_leaves_the_old_files(phantom, tmp_path, monkeypatch):
    write_phantom(phantom, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full_disk(text, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_write_text", full_disk)
    with pytest.raises(OutputError, match="disk is full"):
        write_phantom(phantom, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_corners_outside_the_scanned_circle_are_filler(tmp_path):
    round_phantom = make_phantom(PhantomSettings(seed=4, matrix=64, thickness_mm=8.0, circle=True))
    write_phantom(round_phantom, tmp_path)
    ct = read_ct(tmp_path / "ct.nrrd")
    assert np.array_equal(ct.padding, round_phantom.ct.padding)
    assert np.array_equal(ct.hu, round_phantom.ct.hu)
    assert 0.15 < ct.padding.mean() < 0.25
    assert not (round_phantom.lobes[ct.padding] > 0).any()


def test_a_file_in_the_way_is_said(phantom, tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(OutputError, match="taken"):
        write_phantom(phantom, tmp_path / "taken")
