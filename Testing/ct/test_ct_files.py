"""NIfTI, NRRD and MetaImage: any orientation keeps every voxel in its place, and what is no CT stops."""

import gzip
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import chest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ct_dicom import assert_same_voxels, rotation
from test_ct_unfit import stops

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

HU = chest((34, 48, 64))
SPACING, ORIGIN = (2.5, 4.0, 6.0), (-70.0, -95.0, 210.0)
ORTHOGONAL = np.eye(3)
FORMATS = ("ct.nii", "ct.nii.gz", "ct.nrrd", "ct.nhdr", "ct.mha", "ct.mhd")


def image_of(hu=HU, spacing=SPACING, origin=ORIGIN, axes=ORTHOGONAL, dtype=np.int16):
    """An image whose index axes i, j, k run along the rows of ``axes``."""
    image = sitk.GetImageFromArray(hu.astype(dtype))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(np.asarray(axes, float).T.ravel().tolist())
    return image


def saved(image, path):
    sitk.WriteImage(image, str(path), useCompression=path.suffix in {".nrrd", ".mha"})
    return path


TURNS = [
    np.eye(3)[list(order)] * np.array(signs)[:, None]
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


@settings(max_examples=15, deadline=None)
@given(
    turn=st.sampled_from(TURNS),
    name=st.sampled_from(FORMATS),
    angles=st.tuples(*[st.floats(-30, 30)] * 3),
    oblique=st.booleans(),
)
def test_any_orientation_in_any_format(tmp_path_factory, turn, name, angles, oblique):
    # NIfTI holds left-handed grids too; every one of the 48 axis orders is tried.
    axes = turn @ rotation(angles) if oblique else turn
    path = saved(image_of(axes=axes), tmp_path_factory.mktemp("files") / name)
    ct = read_ct(path)
    assert_same_voxels(ct, HU, axes, SPACING, np.array(ORIGIN), tolerance=0.01)
    upright, turned = ct.canonical()
    assert_same_voxels(upright, HU, axes, SPACING, np.array(ORIGIN), tolerance=0.01)
    assert np.array_equal(turned.undo(upright.hu), ct.hu)
    if not oblique:
        np.testing.assert_allclose(upright.geometry.direction, np.eye(3).ravel(), atol=1e-5)


@settings(max_examples=200, deadline=None)
@given(
    turn=st.sampled_from(TURNS),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    shape=st.tuples(*[st.integers(1, 4)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 10)] * 3),
)
def test_reorientation_is_exact_and_comes_back(turn, angles, shape, spacing):
    axes = turn @ rotation(angles)
    geometry = Geometry(shape, spacing, (3.0, -5.0, 7.0), tuple(float(c) for c in axes.T.ravel()))
    array = np.arange(np.prod(shape)).reshape(shape)
    way = Reorientation.of(geometry)
    there = way.apply(array)
    assert there.shape == way.canonical.shape
    assert np.array_equal(way.undo(there), array)
    assert way.canonical.voxel_volume_ml == pytest.approx(geometry.voxel_volume_ml)
    # Each value sits at the same LPS position on both grids, and the new axes run to the left, back and head.
    for value in {0, array.size - 1, array.size // 2}:
        places = []
        for values, grid in ((array, geometry), (there, way.canonical)):
            k, j, i = np.argwhere(values == value)[0]
            places.append(grid.index_to_lps @ (i, j, k, 1))
        np.testing.assert_allclose(places[0], places[1], atol=1e-9)
    directions = np.reshape(way.canonical.direction, (3, 3))
    assert (np.diag(directions) > 0).all()


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_every_number_type_becomes_whole_units(tmp_path, dtype):
    values = HU.astype(np.float64) + (0.3 if np.issubdtype(dtype, np.floating) else 0)
    ct = read_ct(saved(image_of(values, dtype=dtype), tmp_path / "ct.nrrd"))
    assert ct.hu.dtype == np.int16
    assert np.array_equal(ct.hu, HU)


def test_nan_is_padding(tmp_path):
    values = HU.astype(np.float32)
    values[:, :4] = np.nan
    ct = read_ct(saved(image_of(values, dtype=np.float32), tmp_path / "ct.nii.gz"))
    assert np.array_equal(ct.padding, np.isnan(values))


def test_minus_2000_outside_the_scanner_is_padding(tmp_path):
    hu = HU.copy()
    hu[:, :4] = -2000
    ct = read_ct(saved(image_of(hu), tmp_path / "ct.nrrd"))
    assert np.array_equal(ct.padding, hu == -2000)
    assert (ct.hu[ct.padding] == -1024).all()


def test_a_path_with_blanks_and_foreign_letters(tmp_path):
    folder = tmp_path / "Übung 胸部"
    folder.mkdir()
    assert np.array_equal(read_ct(saved(image_of(), folder / "ct é.nii.gz")).hu, HU)


def test_the_record_names_the_file_alone(tmp_path):
    ct = read_ct(saved(image_of(), tmp_path / "ct.nii.gz"))
    assert (ct.source["name"], ct.source["format"]) == ("ct.nii.gz", "NIfTI")
    assert str(tmp_path) not in repr(ct.source)


def nrrd_with(path, *fields):
    lines = ["NRRD0004", "type: short", "dimension: 3", "sizes: 64 48 34", "endian: little", "encoding: raw", *fields]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + HU.tobytes())
    return path


def test_a_header_without_voxel_size_stops(tmp_path):
    stops(nrrd_with(tmp_path / "ct.nrrd"), "no voxel size")
    stops(without_field(saved(image_of(), tmp_path / "ct.mhd"), "ElementSpacing"), "no voxel size")


def without_field(path, name):
    path.write_text(
        "\n".join(line for line in path.read_text(encoding="utf-8").split("\n") if not line.startswith(name))
    )
    return path


def test_a_header_without_directions_is_told(tmp_path):
    nifti = image_of()
    path = saved(nifti, tmp_path / "ct.nii")
    data = bytearray(path.read_bytes())
    data[252:256] = bytes(4)
    path.write_bytes(data)
    bare = nrrd_with(tmp_path / "ct.nrrd", "spacings: 2.5 4 6")
    for file in (path, bare, without_field(saved(image_of(), tmp_path / "ct.mhd"), "TransformMatrix")):
        ct = read_ct(file)
        assert "no-orientation" in {w.code for w in ct.warnings}, file
        assert ct.geometry.spacing == pytest.approx((2.5, 4.0, 6.0))
    assert "no-orientation" not in {w.code for w in read_ct(saved(image_of(), tmp_path / "whole.nii.gz")).warnings}


def test_a_series_is_only_asked_of_dicom(tmp_path):
    with pytest.raises(UsageError, match="not DICOM"):
        read_ct(saved(image_of(), tmp_path / "ct.nrrd"), series="3")


def four_dimensional():
    return sitk.JoinSeries([image_of(), image_of()])


def colour():
    return sitk.Compose([sitk.Cast(image_of(), sitk.sitkUInt8)] * 3)


def magnetic_resonance():
    return image_of(np.where(HU > -500, HU + 1100, np.abs(HU) // 100))


WRONG = {
    "four dimensions": (four_dimensional, "four dimensions"),
    "colour": (colour, "3 values per voxel"),
    "flat": (lambda: image_of()[:, :, 3], "2 dimensions|only 1 slice"),
    "few slices": (lambda: image_of()[:, :, :3], "only 3 slices"),
    "8 bit": (lambda: image_of((HU + 1024) // 17, dtype=np.uint8), "8-bit"),
    "MR": (magnetic_resonance, "no value is negative"),
    "counts without intercept": (lambda: image_of(HU.astype(int) + 1024), "no value is negative"),
    "between 0 and 1": (lambda: image_of((HU + 1024.0) / 4096, dtype=np.float32), "no value is negative"),
    "between -1 and 1": (lambda: image_of(HU / 1024.0, dtype=np.float32), "no air"),
    "soft tissue window": (lambda: image_of(HU.clip(-160, 240)), "no air"),
    "labels": (lambda: image_of((HU < -500).astype(np.int16)), "no value is negative"),
    "all air": (lambda: image_of(np.full_like(HU, -1000)), "no soft tissue"),
    "too large voxels": (lambda: image_of(spacing=(2.5, 4.0, 60.0)), "too large"),
    "metres for millimetres": (lambda: image_of(spacing=(0.0025, 0.004, 0.006)), "not a chest"),
    "micrometres": (lambda: image_of(spacing=(2500.0, 4000.0, 6000.0)), "too large"),
}


@pytest.mark.parametrize(("make", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_ct_stops(tmp_path, make, words):
    stops(saved(make(), tmp_path / "input.nrrd"), words, r"input\.nrrd")


@pytest.mark.parametrize("name", FORMATS[:3] + FORMATS[4:5])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.98])
def test_a_cut_off_file_is_named(tmp_path, name, share):
    path = saved(image_of(), tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    stops(path, "ct\\.", "damaged|cannot be read|not supported|empty")


def test_a_header_without_its_data_file(tmp_path):
    saved(image_of(), tmp_path / "ct.mhd")
    (tmp_path / "ct.raw").unlink()
    stops(tmp_path / "ct.mhd", "damaged|cannot be read")


@pytest.mark.parametrize("spacing", ["0 4 6", "nan 4 6", "-2.5 4 6"])
def test_spacing_that_cannot_be(tmp_path, spacing):
    path = saved(image_of(), tmp_path / "ct.mhd")
    lines = [
        f"ElementSpacing = {spacing}" if x.startswith("ElementSpacing") else x
        for x in path.read_text(encoding="utf-8").split("\n")
    ]
    path.write_text("\n".join(lines))
    stops(path, "voxel size|damaged|cannot be read")


def test_nrrd_spacing_zero(tmp_path):
    path = tmp_path / "ct.nrrd"
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 64 48 34\n"
        "space directions: (0,0,0) (0,4,0) (0,0,6)\nkinds: domain domain domain\nendian: little\nencoding: gzip\n"
        "space origin: (0,0,0)\n\n"
    )
    path.write_bytes(header.encode() + gzip.compress(HU.tobytes()))
    stops(path, "voxel size|cannot be read|damaged")


@pytest.mark.parametrize("name", ["slice.png", "slice.jpg", "scan.txt", "scan.nii"])
def test_files_of_other_kinds(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(400))
    stops(tmp_path / name, "not a CT|not supported|cannot be read", "NIfTI")


@pytest.mark.slow
@pytest.mark.shared
def test_every_real_ct_is_read_where_it_lies(shared_data):
    paths = sorted(shared_data.glob("*_ct*.nrrd"))
    read = {}
    for path in paths:
        if "labels" in path.name or "lungs_L1" in path.name:
            continue
        image, ct = sitk.ReadImage(str(path)), read_ct(path)
        assert ct.geometry.same_grid(Geometry.of_image(image))
        assert np.array_equal(ct.hu, sitk.GetArrayViewFromImage(image).clip(-1024, 3071))
        read[path.name] = {w.code for w in ct.warnings}
    assert len(read) == 13
    contrast = {name for name, codes in read.items() if "contrast" in codes}
    assert {name.split("_")[0] for name in contrast} == {"lidc0001", "lidc0003", "tcia", "ts"}
    assert "thick-sections" in read["acrinflt013_ct.nrrd"]


@pytest.mark.slow
@pytest.mark.shared
def test_real_label_maps_are_no_ct(shared_data):
    for name in ("cip_ct64_ciplabels.nrrd", "medmpd_lidc_p1_labels.nrrd"):
        stops(shared_data / name, "not Hounsfield|8-bit")
