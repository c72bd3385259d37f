"""Slices without a picture: one inside is estimated and told, more are refused, those at the ends are left out.

The same holds for DICOM and for volumes in one file, whatever value stands in place of the picture.
"""

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import chest, slice_datasets, write

from COVIDQuantLib.ct.blank_slices import blank_slices
from COVIDQuantLib.ct.checks.run import HeaderFacts, check_ct
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry

SPACING = (4.0, 4.0, 5.0)
HU = chest((120, 48, 64))
VALUES = (-3024, -2000, -1024, -1000, 0, 40, 32767)
KINDS = ("dicom", "nrrd", "nii.gz")


def stored(folder, kind, slices, value, hu=HU):
    """A CT of some kind whose slices of these numbers hold one value."""
    hu = hu.copy()
    hu[list(slices)] = value
    if kind == "dicom":
        return write(slice_datasets(hu, spacing=SPACING), folder)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(SPACING)
    path = folder / f"ct.{kind}"
    sitk.WriteImage(image, str(path))
    return path


def codes(ct):
    return {w.code for w in ct.warnings} & {"slices-estimated", "blank-slices", "padding"}


@pytest.mark.parametrize("value", VALUES)
def test_one_inside_is_estimated_from_its_neighbours(tmp_path, value):
    ct = read_ct(stored(tmp_path, "nrrd", [50], value))
    assert codes(ct) == {"slices-estimated"}
    assert ct.padding is None
    assert ct.source["padding_voxels"] == 0
    assert np.array_equal(np.delete(ct.hu, 50, axis=0), np.delete(HU, 50, axis=0))
    between = (HU[49].astype(float) + HU[51]) / 2
    assert np.abs(ct.hu[50] - between).max() <= 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_slices_are_told_by_number_and_place(tmp_path, kind):
    ct = read_ct(stored(tmp_path, kind, [20, 70], -1024))
    message = next(w.message for w in ct.warnings if w.code == "slices-estimated")
    first, second = (float((ct.geometry.index_to_lps @ (0, 0, k, 1))[2]) for k in (20, 70))
    assert f"slices 21 (S {first:.1f} mm), 71 (S {second:.1f} mm) of 120" in message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slices", [(50, 51), (20, 50, 80), (3, 4, 5, 6)], ids=str)
def test_more_are_refused(tmp_path, kind, slices):
    with pytest.raises(UnfitInputError) as caught:
        read_ct(stored(tmp_path, kind, slices, -1000))
    assert caught.value.code == "blank-slices-inside"
    assert f"slices {slices[0] + 1} (S " in str(caught.value)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("ends", [(0,), (119,), (0, 1, 118, 119)], ids=str)
def test_at_the_ends_of_a_file_they_are_not_measured(tmp_path, ends, value):
    ct = read_ct(stored(tmp_path, "nrrd", ends, value))
    assert codes(ct) == {"blank-slices", "padding"}
    assert ct.padding.all(axis=(1, 2)).nonzero()[0].tolist() == list(ends)
    assert ct.source["padding_voxels"] == len(ends) * HU[0].size
    assert np.array_equal(np.delete(ct.hu, ends, axis=0), np.delete(HU, ends, axis=0))


def test_padding_beside_an_estimated_slice_stays_padding(tmp_path):
    hu = HU.copy()
    hu[:, :6] = -2000
    ct = read_ct(stored(tmp_path, "nrrd", [50], -2000, hu))
    assert codes(ct) == {"slices-estimated", "padding"}
    assert ct.padding[50, :6].all()
    assert not ct.padding[50, 6:].any()


@pytest.mark.parametrize(
    ("axes", "direction"), [((1, 0, 2), (1, 0, 0, 0, 0, 1, 0, 1, 0)), ((2, 0, 1), (0, 0, 1, 1, 0, 0, 0, 1, 0))]
)
@pytest.mark.parametrize("air", [-1024, -950])
def test_air_beside_the_body_is_no_lost_slice(axes, direction, air):
    """Coronal and sagittal slices of nothing but clipped air, also between the back and the table."""
    hu = np.where(HU < -920, air, HU)
    hu[:, 47, 10:50] = -100
    hu = np.ascontiguousarray(hu.transpose(axes))
    ct = CTVolume(hu, Geometry(hu.shape, SPACING, direction=direction))
    assert (hu == air).all(axis=(1, 2)).any()
    assert not len(blank_slices(ct))


def test_air_above_the_head_is_no_lost_slice():
    hu = np.where(HU < -920, -1000, HU)
    hu[110:] = -1000
    hu[110, 20:26, 30:36] = 40
    assert not len(blank_slices(CTVolume(hu, Geometry(hu.shape, SPACING))))


def test_a_ct_that_is_not_mended_is_refused():
    hu = HU.copy()
    hu[50] = 0
    with pytest.raises(UnfitInputError) as caught:
        check_ct(CTVolume(hu, Geometry(hu.shape, SPACING)), HeaderFacts("node"))
    assert caught.value.code == "blank-slices-inside"
