"""What fills a picture where nothing was measured is known whatever its value, sign or name; tissue never is."""

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import chest, compress, slice_datasets, write
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.dataelem import DataElement

from COVIDQuantLib.ct.padding import filler_mask
from COVIDQuantLib.ct.read import read_ct

HU = chest((8, 48, 64))
OUTSIDE = np.square(np.mgrid[-1:1:48j, -1:1:64j]).sum(axis=0) > 1.05


def stored_ct(tmp_path, filler, signed, named=None, bits_stored=16, intercept=-1024.0, packed=False):
    """A CT with stored ``filler`` outside a circle; ``named`` are the padding tags as VR and value."""
    hu = HU.astype(np.int32)
    hu[:, OUTSIDE] = filler + intercept
    datasets = slice_datasets(hu, signed=signed, intercept=intercept)
    for ds in datasets:
        ds.BitsStored, ds.HighBit = bits_stored, bits_stored - 1
        for tag, (vr, value) in (named or {}).items():
            ds[tag] = DataElement(tag, vr, value)
    return write([compress(ds) for ds in datasets] if packed else datasets, tmp_path)


def assert_filled(ct):
    assert np.array_equal(ct.padding, np.broadcast_to(OUTSIDE, HU.shape))
    assert np.array_equal(ct.hu[:, ~OUTSIDE], HU[:, ~OUTSIDE])
    assert ct.source["clipped_above"] == 0
    return next(w.message for w in ct.warnings if w.code == "padding")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "rle"])
@pytest.mark.parametrize(("signed", "stored"), [(False, 63536), (True, -2000), (False, 65535), (False, 30000)])
def test_filler_that_the_header_does_not_name(tmp_path, signed, stored, packed):
    message = assert_filled(read_ct(stored_ct(tmp_path, stored, signed, packed=packed)))
    assert f"{stored - 1024:d} HU" in message


PADDING, LIMIT = 0x00280120, 0x00280121


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize(("signed", "stored"), [(False, 63536), (True, -2000)])
def test_a_name_of_either_sign(tmp_path, vr, signed, stored):
    value = 63536 if vr == "US" else -2000
    assert_filled(read_ct(stored_ct(tmp_path, stored, signed, {PADDING: (vr, value)})))


@pytest.mark.parametrize("limit", [("US", 65000), ("SS", -536)])
def test_a_named_range_with_a_limit_of_either_sign(tmp_path, limit):
    assert_filled(read_ct(stored_ct(tmp_path, 64000, False, {PADDING: ("US", 63536), LIMIT: limit})))


def test_named_filler_counts_where_it_is_not_uniform(tmp_path):
    hu = HU.astype(np.int32)
    hu[:, OUTSIDE] = np.random.default_rng(0).integers(60000, 62000, (8, np.count_nonzero(OUTSIDE)))
    datasets = slice_datasets(hu, signed=False, PixelPaddingValue=60000)
    for ds in datasets:
        ds.add_new(LIMIT, "US", 65535)
        ds[PADDING] = DataElement(PADDING, "US", 60000)
    assert_filled(read_ct(write(datasets, tmp_path)))


def test_sign_bits_beyond_those_that_are_stored(tmp_path):
    folder = stored_ct(tmp_path, 63536, False, {PADDING: ("US", 63536)}, bits_stored=12)
    ct = read_ct(folder)
    assert np.array_equal(ct.padding, np.broadcast_to(OUTSIDE, HU.shape))


@pytest.mark.parametrize("value", [-3024, -2048, -1500, -1300, 0, 40, 3071, 5000, 63536])
def test_filler_in_files_of_other_formats(tmp_path, value):
    hu = HU.astype(np.int32)
    hu[:, OUTSIDE] = value
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((4.0, 4.0, 10.0))
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    message = assert_filled(read_ct(tmp_path / "ct.nrrd"))
    assert f"padding: {value} HU" in message


def test_usual_air_outside_is_no_filler(tmp_path):
    for value in (-1024, -1000):
        hu = HU.astype(np.int32)
        hu[:, OUTSIDE] = value
        assert read_ct(write(slice_datasets(hu), tmp_path / str(value))).padding is None


def test_whole_slices_of_filler_at_the_ends_are_cut_off(tmp_path):
    hu = HU.astype(np.int32)
    hu[0] = hu[-1] = 62512
    ct = read_ct(write(slice_datasets(hu, signed=False), tmp_path))
    assert np.array_equal(ct.hu, HU[1:-1])
    assert "blank-slices" in {w.code for w in ct.warnings}


def test_metal_is_measured(tmp_path):
    hu = HU.astype(np.int32)
    hu[:, 20:24, 30:34] = 20000
    hu[:, 0, :] = 40
    hu[3:5, 0, 20:24] = 8000
    ct = read_ct(write(slice_datasets(hu, signed=False), tmp_path))
    assert ct.padding is None
    assert ct.source["clipped_above"] == 16 * 8 + 8


@settings(max_examples=60, deadline=None)
@given(
    value=st.sampled_from([-30000, -3024, -1501, 4000, 62512]),
    place=hnp.arrays(bool, (40, 40), elements=st.booleans()),
    seed=st.integers(0, 99),
)
def test_measured_values_are_never_filler(value, place, seed):
    """Noise between −1100 and 3071 HU stays measured, whatever single value is mixed in."""
    measured = np.random.default_rng(seed).integers(-1100, 3071, (40, 40))
    mask = filler_mask(np.where(place, value, measured))
    assert not (mask & ~place).any()
    if value < -1500:
        assert np.array_equal(mask, place)


@settings(max_examples=60, deadline=None)
@given(value=st.integers(-5000, 5000), seed=st.integers(0, 99))
def test_a_picture_of_noise_without_filler_has_none(value, seed):
    picture = np.random.default_rng(seed).normal(np.clip(value, -1000, 2800), 60, (40, 40)).round()
    assert not filler_mask(picture, [(value, value)]).any() or value <= -900


def test_a_computed_picture_without_noise_is_believed():
    picture = np.full((40, 40), 40)
    picture[10:30, 8:18] = picture[10:30, 22:32] = -850
    assert not filler_mask(picture).any()
