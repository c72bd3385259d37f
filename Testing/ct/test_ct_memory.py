"""Reading takes at most four times what the voxels take as stored, whatever their type and the header's scaling."""

import gzip

import numpy as np
import pytest
from dicom_maker import chest, enhanced, slice_datasets, write
from file_maker import nifti, nrrd
from peak_memory import peak_memory

from COVIDQuantLib.ct.files.volume_files import read_header
from COVIDQuantLib.ct.masks.label_maps import read_label_map
from COVIDQuantLib.ct.masks.label_positions import Places
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.voxels.geometry import Geometry

TIMES = 4
# Headers, buffers of the unpacker and what is worked out from single slices.
ALLOWANCE = 2 << 20
WHOLE = (80, 240, 256)
SPACING = (1.2, 1.2, 2.5)
CODES = {"u1": 2, "i1": 256, "u2": 512, "i2": 4, "i4": 8, "f4": 16, "i8": 1024, "f8": 64}


@pytest.fixture(scope="module")
def hu():
    """A chest in steps of 16 HU, which eight bits can hold, with filler around it."""
    values = np.clip(chest(WHOLE), -1000, 1000) // 16 * 16
    values[:, :8] = values[:, -8:] = -2000
    return values


def peak_of(work):
    """What it gives, and the most bytes that Python and numpy held meanwhile."""
    with peak_memory() as peak:
        found = work()
    return found, peak.traced


def volume(values, *, scale=(1.0, 0.0), flipped=False):
    x, y, z = SPACING
    axes = {} if flipped else {"qform_code": 0, "srow_x": (x, 0, 0, 0), "srow_y": (0, y, 0, 0), "srow_z": (0, 0, z, 0)}
    if flipped:
        axes = {"qform_code": 0, "srow_x": (-x, 0, 0, 0), "srow_y": (0, -y, 0, 0), "srow_z": (0, 0, z, 0)}
    kind = values.dtype
    return nifti(
        values,
        dim=(3, *WHOLE[::-1], 1, 1, 1, 1),
        pixdim=(1, x, y, z, 1, 1, 1, 1),
        datatype=CODES[kind.str[1:]],
        bitpix=8 * kind.itemsize,
        scl_slope=scale[0],
        scl_inter=scale[1],
        **axes,
    )


# Stored as true value = 16 × stored + intercept where eight bits are too few for Hounsfield units.
STORED = {
    "u1": (16.0, -2000.0), "i1": (16.0, 32.0), "u2": (1.0, -2000.0), "i2": (0.5, 0.0), "i4": (0.25, 8.0),
    "f4": (2.0, 0.0), "i8": (1.0, 0.5), "f8": (0.5, 1.0),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "packed", "flipped"),
    [*((kind, False, False) for kind in STORED), ("u1", True, False), ("i2", True, False), ("u1", False, True)],
)
def test_a_scaled_ct(tmp_path, hu, kind, packed, flipped):
    slope, intercept = STORED[kind]
    stored = (hu.astype(np.float64) - intercept) / slope
    stored = stored.astype(kind) if kind[0] == "f" else np.rint(stored).clip(*_limits(kind)).astype(kind)
    path = tmp_path / "ct.nii"
    data = volume(stored, scale=STORED[kind], flipped=flipped)
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    ct, peak = peak_of(lambda: read_ct(path))
    assert peak <= TIMES * stored.nbytes + ALLOWANCE, f"{peak / stored.nbytes:.2f} times what is stored"
    true = np.rint(stored * np.float64(slope) + intercept)
    assert np.array_equal(ct.padding, true < -1500)
    assert np.array_equal(ct.hu, np.where(ct.padding, -1024, np.clip(true, -1024, 3071)))


def _limits(kind):
    return np.iinfo(kind).min, np.iinfo(kind).max


@pytest.mark.parametrize("kind", ["i2", "i4", "f4", "f8", "i8"])
def test_a_ct_that_is_not_scaled(tmp_path, hu, kind):
    path = tmp_path / "ct.nii"
    path.write_bytes(volume(hu.astype(kind), flipped=True))
    ct, peak = peak_of(lambda: read_ct(path))
    assert peak <= TIMES * read_header(path).voxel_bytes + ALLOWANCE
    assert np.array_equal(ct.hu, np.maximum(hu, -1024))


@pytest.mark.parametrize("frames", ["one a file", "one file"])
def test_a_dicom_series(tmp_path, hu, frames):
    thin = hu[:40]
    write(slice_datasets(thin) if frames == "one a file" else [enhanced(thin, np.ones(len(thin)))], tmp_path)
    ct, peak = peak_of(lambda: read_ct(tmp_path))
    assert peak <= TIMES * thin.nbytes + ALLOWANCE, f"{peak / thin.nbytes:.2f} times what is stored"
    assert np.array_equal(ct.hu, np.maximum(thin, -1024))


@pytest.fixture(scope="module")
def labels():
    values = np.zeros(WHOLE, "u1")
    values[10:-10, 60:-60, 40:140] = 1
    values[10:-10, 60:-60, 180:-40] = 2
    return values


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("kind", STORED)
def test_a_mask(tmp_path, labels, kind, scale):
    path = tmp_path / "mask.nii"
    path.write_bytes(volume((labels / scale).astype(kind), scale=(scale, 0.0)))
    grid = Geometry(WHOLE, SPACING, direction=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    (found, _), peak = peak_of(lambda: read_label_map(path, grid, "lesions"))
    assert peak <= TIMES * read_header(path).voxel_bytes + ALLOWANCE
    assert np.array_equal(found, labels)


def test_a_segmentation(tmp_path, labels):
    fields = "".join(
        f"Segment{n}_ID:=Segment_{n}\nSegment{n}_Name:={side} lung\nSegment{n}_Layer:=0\nSegment{n}_LabelValue:={n}\n"
        for n, side in ((1, "right"), (2, "left"))
    )
    path = tmp_path / "mask.seg.nrrd"
    path.write_bytes(nrrd(labels, type="uchar", encoding="gzip", sizes=" ".join(map(str, WHOLE[::-1])), more=fields))
    grid = read_header(path).geometry
    (found, _), peak = peak_of(lambda: read_label_map(path, grid, "lungs"))
    assert peak <= TIMES * labels.nbytes + ALLOWANCE
    assert np.array_equal(found, labels)


def test_labels_are_measured_as_by_their_positions():
    rng = np.random.default_rng(4)
    values = rng.choice(np.array([0, 1, 2, 9], np.uint16), (30, 20, 25))
    places = Places.of(values, (3.0, 2.0, 1.5))
    for value in (1, 2, 9):
        at = np.argwhere(values == value)
        assert np.allclose(places.middles[value], at.mean(axis=0) * (3.0, 2.0, 1.5))
        assert np.allclose(places.spreads[value], np.bincount(at[:, 2], minlength=25) / len(at))
        assert places.voxels[value] == len(at)


def test_a_label_between_the_sampled_voxels_is_measured():
    values = np.zeros((330, 310, 330), np.uint8)
    values[:, :100, :100] = 1
    values[7, 201, 301] = 2
    places = Places.of(values, (1.0, 1.0, 1.0))
    assert places.middles[2].tolist() == [7.0, 201.0, 301.0]
    assert places.voxels == {1: 3300000, 2: 1}
