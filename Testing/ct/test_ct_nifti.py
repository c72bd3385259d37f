"""NIfTI: two orientations, a voxel size and a scale that may each be wrong, and are held against each other."""

import gzip

import nibabel
import numpy as np
import pytest
from dicom_maker import chest
from file_maker import ORIGIN, SHAPE, SPACING, VALUES, nifti
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_ct_dicom import rotation

from COVIDQuantLib.ct.files.volume_files import read_header, read_volume_file
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UnfitInputError

NAN, INF = float("nan"), float("inf")


def written(path, **changes):
    path.write_bytes(nifti(**changes))
    return path


def refused(path, code, *words):
    with pytest.raises(UnfitInputError) as caught:
        read_volume_file(path)
    line = str(caught.value)
    assert caught.value.code == code, line
    assert caught.value.remedy
    for word in words:
        assert word in line, line


def codes(path):
    return {warning.code for warning in read_volume_file(path).warnings}


def test_the_maker_and_nibabel_agree(tmp_path):
    image = nibabel.load(written(tmp_path / "ct.nii"))
    np.testing.assert_allclose(
        image.affine, np.diag([-2, -3, 4, 1]) + np.array([[10], [-20], [30], [0]]) * [0, 0, 0, 1]
    )
    volume = read_volume_file(tmp_path / "ct.nii")
    assert np.array_equal(volume.values, VALUES)
    assert (volume.geometry.shape, volume.geometry.spacing, volume.geometry.origin) == (SHAPE, SPACING, ORIGIN)
    np.testing.assert_allclose(volume.geometry.direction, np.eye(3).ravel(), atol=1e-7)
    assert volume.header.kind == "NIfTI"
    assert not volume.warnings


@pytest.mark.parametrize("size", [NAN, INF, -INF, 0.0, -2.0, 1e-30, 1e30])
@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("forms", [(1, 1), (0, 0), (1, 0), (0, 1)])
def test_a_voxel_size_that_cannot_be(tmp_path, size, axis, forms):
    pixdim = [1.0, 2, 3, 4, 1, 1, 1, 1]
    pixdim[axis] = size
    path = written(tmp_path / "ct.nii", pixdim=tuple(pixdim), qform_code=forms[0], sform_code=forms[1])
    refused(path, "bad-voxel-size", "voxel size")


@pytest.mark.parametrize(
    "changes",
    [
        {"quatern": (NAN, 0, 0)}, {"quatern": (0, INF, 0)}, {"quatern": (1, 1, 0)}, {"qoffset": (NAN, 0, 0)},
        {"pixdim": (NAN, 2, 3, 4, 1, 1, 1, 1)}, {"qoffset": (1e30, 0, 0)},
    ],
)  # fmt: skip
def test_a_qform_that_is_no_place(tmp_path, changes):
    refused(written(tmp_path / "ct.nii", sform_code=0, **changes), "bad-orientation")


@pytest.mark.parametrize("row", ["srow_x", "srow_y", "srow_z"])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [NAN, INF])
def test_an_sform_with_what_is_no_number(tmp_path, row, place, value):
    numbers = [0.0] * 4
    numbers[place] = value
    refused(written(tmp_path / "ct.nii", **{row: tuple(numbers)}), "bad-orientation")


def test_what_has_no_code_is_not_asked(tmp_path):
    assert not codes(written(tmp_path / "q.nii", sform_code=0, srow_x=(NAN, 0, 0, 0)))
    assert not codes(written(tmp_path / "s.nii", qform_code=0, quatern=(NAN, 0, 0)))


def by_sform(path, matrix, origin=(10, -20, 30), **changes):
    rows = {f"srow_{axis}": (*map(float, row), float(o)) for axis, row, o in zip("xyz", matrix, origin, strict=True)}
    return written(path, **rows, **changes)


STRAIGHT = np.diag([-2.0, -3.0, 4.0])


def sheared(degrees):
    matrix = STRAIGHT.copy()
    matrix[0, 1] = 3 * np.sin(np.radians(degrees))
    matrix[1, 1] = -3 * np.cos(np.radians(degrees))
    return matrix


@pytest.mark.parametrize("degrees", [0.001, 0.1, 0.3, 0.9])
def test_axes_sheared_by_rounding_are_straightened(tmp_path, degrees):
    path = by_sform(tmp_path / "ct.nii", sheared(degrees), qform_code=0)
    geometry = read_volume_file(path).geometry
    axes = np.reshape(geometry.direction, (3, 3))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-5)
    # The nearest right-angled axes share the shear: each turns by half of it.
    apart = np.degrees(np.arccos(np.clip(np.diag(axes), -1, 1)))
    np.testing.assert_allclose(apart, [degrees / 2, degrees / 2, 0], atol=0.02)
    assert geometry.spacing == SPACING
    assert geometry.origin == ORIGIN
    assert ("axes-straightened" in codes(path)) == (degrees > 0.02)


@pytest.mark.parametrize("degrees", [1.5, 5, 20, -30, 85])
def test_a_true_shear_is_refused(tmp_path, degrees):
    refused(
        by_sform(tmp_path / "ct.nii", sheared(degrees), qform_code=0), "sheared-axes", f"{abs(degrees):.1f} degrees"
    )


def test_axes_that_coincide(tmp_path):
    matrix = STRAIGHT.copy()
    matrix[:, 1] = [-3, 0, 0]
    refused(by_sform(tmp_path / "ct.nii", matrix, qform_code=0), "sheared-axes")


@pytest.mark.parametrize("flip", [[-1, 1, 1], [1, -1, 1], [1, 1, -1], [-1, -1, 1]])
def test_two_orientations_that_turn_the_patient_round(tmp_path, flip):
    refused(by_sform(tmp_path / "ct.nii", STRAIGHT * flip), "orientations-contradict", "qform", "sform", "180 degrees")


def test_two_orientations_with_axes_exchanged(tmp_path):
    path = by_sform(tmp_path / "ct.nii", STRAIGHT[[1, 0, 2]], pixdim=(1, 2, 3, 4, 1, 1, 1, 1))
    refused(path, "orientations-contradict", "90 degrees")


def test_two_orientations_a_little_apart_are_told(tmp_path):
    moved = by_sform(tmp_path / "moved.nii", STRAIGHT, origin=(15, -20, 30))
    assert codes(moved) == {"orientations-disagree"}
    assert read_volume_file(moved).geometry.origin == (-15.0, 20.0, 30.0)
    assert "5.0 mm" in read_volume_file(moved).warnings[0].message
    turned = by_sform(tmp_path / "turned.nii", rotation((0, 0, 8.0)).T @ STRAIGHT, sform_code=2)
    assert codes(turned) == {"orientations-disagree"}
    axes = np.reshape(read_volume_file(turned).geometry.direction, (3, 3))
    assert np.degrees(np.arccos(axes[0, 0])) == pytest.approx(8.0, abs=1e-3)
    rounded = by_sform(tmp_path / "rounded.nii", STRAIGHT, origin=(10.01, -20, 30))
    assert not codes(rounded)


def test_two_voxel_sizes_are_not_guessed_at(tmp_path):
    path = by_sform(tmp_path / "ct.nii", STRAIGHT * 1.05, qform_code=0)
    refused(path, "voxel-sizes-disagree", "2.1 × 3.15 × 4.2", "2 × 3 × 4")
    near = by_sform(tmp_path / "near.nii", STRAIGHT * 1.0001, qform_code=0)
    assert read_volume_file(near).geometry.spacing == SPACING


@settings(max_examples=60, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 8)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    which=st.sampled_from([(1, 0), (0, 1), (1, 1), (0, 2), (2, 2)]),
    mirrored=st.booleans(),
    large=st.booleans(),
)
def test_any_orientation_is_nibabels(tmp_path_factory, angles, spacing, origin, which, mirrored, large):
    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) * np.array(spacing) * [1, 1, -1 if mirrored else 1]
    affine[:3, 3] = origin
    image = (nibabel.Nifti2Image if large else nibabel.Nifti1Image)(VALUES.transpose(2, 1, 0), affine)
    image.set_qform(affine, which[0])
    image.set_sform(affine, which[1])
    # Near half a turn single precision leaves little of a quaternion, and readers differ by it.
    assume(which[1] or 1 - sum(float(image.header[f"quatern_{q}"]) ** 2 for q in "bcd") > 1e-4)
    path = tmp_path_factory.mktemp("any") / "ct.nii.gz"
    nibabel.save(image, path)
    volume = read_volume_file(path)
    assert np.array_equal(volume.values, VALUES)
    assert not volume.warnings
    corners = np.array([[0, 0, 0, 1], [13, 9, 11, 1], [13, 0, 0, 1]], float).T
    right = np.diag([-1, -1, 1, 1]) @ nibabel.load(path).affine @ corners
    np.testing.assert_allclose(volume.geometry.index_to_lps @ corners, right, atol=2e-3)


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (2 + 8, 1)])
def test_units_of_length(tmp_path, unit, factor):
    geometry = read_volume_file(written(tmp_path / "ct.nii", xyzt_units=unit)).geometry
    np.testing.assert_allclose(geometry.spacing, np.array(SPACING) * factor)
    np.testing.assert_allclose(geometry.origin, np.array(ORIGIN) * factor)


@pytest.mark.parametrize("scale", [(0, 0), (0, 5), (NAN, NAN), (1, 0)])
def test_a_slope_of_0_means_as_stored(tmp_path, scale):
    volume = read_volume_file(written(tmp_path / "ct.nii", scl_slope=scale[0], scl_inter=scale[1]))
    assert np.array_equal(volume.values, VALUES)
    assert volume.values.dtype == np.int16


def test_a_scale_is_applied(tmp_path):
    values = read_volume_file(written(tmp_path / "ct.nii", scl_slope=0.5, scl_inter=-3)).values
    assert np.array_equal(values, VALUES / 2 - 3)


@pytest.mark.parametrize("scale", [(INF, 0), (1, NAN), (1, INF), (1e30, 0), (1, 1e30), (1e-30, 0)])
def test_a_scale_that_cannot_be(tmp_path, scale):
    refused(written(tmp_path / "ct.nii", scl_slope=scale[0], scl_inter=scale[1]), "bad-header", "scl_slope")


@pytest.mark.parametrize("offset", [NAN, INF, -1, 100, 351, 352.5, 1e9])
def test_voxels_that_begin_nowhere(tmp_path, offset):
    refused(written(tmp_path / "ct.nii", vox_offset=offset), "bad-header", "vox_offset")


@pytest.mark.parametrize(
    ("dim", "code"),
    [
        ((0, 14, 10, 12, 1, 1, 1, 1), "bad-header"), ((8, 14, 10, 12, 1, 1, 1, 1), "bad-header"),
        ((-3, 14, 10, 12, 1, 1, 1, 1), "bad-header"), ((3, -14, 10, 12, 1, 1, 1, 1), "bad-size"),
        ((3, 0, 10, 12, 1, 1, 1, 1), "bad-size"), ((2, 14, 120, 1, 1, 1, 1, 1), "not-three-dimensional"),
        ((4, 14, 10, 6, 2, 1, 1, 1), "not-three-dimensional"), ((3, 32767, 32767, 32767, 1, 1, 1, 1), "too-large"),
        ((5, 14, 10, 6, 1, 2, 1, 1), "several-values"), ((3, 15, 10, 12, 1, 1, 1, 1), "damaged-file"),
        ((3, 13, 10, 12, 1, 1, 1, 1), "damaged-file"),
    ],
)  # fmt: skip
def test_sizes_that_are_not_those_of_the_voxels(tmp_path, dim, code):
    refused(written(tmp_path / "ct.nii", dim=dim), code)


@pytest.mark.parametrize("datatype", [0, 1, 32, 1536, 1792, 2048, 77, -4])
def test_types_that_are_not_read(tmp_path, datatype):
    refused(written(tmp_path / "ct.nii", datatype=datatype), "unknown-type", str(datatype))


def test_colour(tmp_path):
    refused(written(tmp_path / "ct.nii", datatype=128), "several-values", "3 values")


def test_analyze_does_not_say_left_and_right(tmp_path):
    refused(written(tmp_path / "ct.nii", magic=b"\0\0\0\0"), "no-nifti", "left and right")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "CT.NII", "ct", "ct.gz", "ct.nrrd"])
def test_the_content_says_what_it_is_not_the_name(tmp_path, order, packed, name):
    volume = read_volume_file(written(tmp_path / name, order=order, packed=packed))
    assert np.array_equal(volume.values, VALUES)
    assert volume.header.kind == "NIfTI"


def test_header_and_voxels_in_two_files(tmp_path):
    image = nibabel.Nifti1Pair(VALUES.transpose(2, 1, 0), np.diag([-2, -3, 4, 1.0]))
    nibabel.save(image, tmp_path / "pair.img")
    for name in ("pair.hdr", "pair.img"):
        assert np.array_equal(read_volume_file(tmp_path / name).values, VALUES)
    (tmp_path / "pair.img").unlink()
    refused(tmp_path / "pair.hdr", "bad-data-file", ".img")


def test_a_header_alone_is_read_without_the_voxels(tmp_path):
    (tmp_path / "ct.nii").write_bytes(nifti()[:352])
    assert read_header(tmp_path / "ct.nii").geometry.shape == SHAPE
    refused(tmp_path / "ct.nii", "damaged-file")


def test_an_extension_before_the_voxels(tmp_path):
    data = nifti(vox_offset=352 + 64)
    (tmp_path / "ct.nii").write_bytes(data[:352] + bytes(64) + data[352:])
    assert np.array_equal(read_volume_file(tmp_path / "ct.nii").values, VALUES)
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(data[:352] + bytes(64) + data[352:]))
    assert np.array_equal(read_volume_file(tmp_path / "ct.nii.gz").values, VALUES)


def test_a_ct_says_what_was_noticed(tmp_path):
    image = nibabel.Nifti1Image(chest((34, 48, 64)).transpose(2, 1, 0), np.diag([-2.5, -4, 6, 1]))
    image.set_qform(np.diag([-2.5, -4, 6, 1]), 1)
    affine = np.diag([-2.5, -4, 6, 1.0])
    affine[0, 3] = 20
    image.set_sform(affine, 1)
    nibabel.save(image, tmp_path / "ct.nii.gz")
    assert "orientations-disagree" in {w.code for w in read_ct(tmp_path / "ct.nii.gz").warnings}
