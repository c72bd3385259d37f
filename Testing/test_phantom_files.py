"""The phantom's files: whole, readable, and equal to what was made."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from COVIDQuantLib.ct.geometry import Geometry
from COVIDQuantLib.errors import OutputError
from COVIDQuantLib.phantom import PhantomSettings, files, make_phantom, write_phantom


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(PhantomSettings(seed=4, matrix=64, thickness_mm=8.0, motion=True, extent_percent=10.0))


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


def test_failed_write_leaves_the_old_file(phantom, tmp_path, monkeypatch):
    write_phantom(phantom, tmp_path)
    before = (tmp_path / "ct.nrrd").read_bytes()

    def full_disk(image, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "_write_image", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        write_phantom(phantom, tmp_path)
    assert (tmp_path / "ct.nrrd").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 5


def test_a_file_in_the_way_is_said(phantom, tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(OutputError, match="taken"):
        write_phantom(phantom, tmp_path / "taken")
