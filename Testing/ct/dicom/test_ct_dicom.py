"""DICOM series as they come: every storage order, number type and coding gives the same voxels at the same places."""

import numpy as np
import pytest
from dicom_maker import PATIENT, big_endian, chest, compress, enhanced, jpeg, set_pixels, slice_datasets, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from COVIDQuantLib.ct.read import read_ct

HU = chest()
SPACING, ORIGIN = (2.0, 4.0, 5.0), np.array([-60.0, -90.0, 30.0])


def rotation(angles):
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", angles, degrees=True).as_matrix()


def assert_same_voxels(ct, hu, axes, spacing=SPACING, origin=ORIGIN, tolerance=1e-3):
    """Every voxel of ``hu`` is found in the CT at the LPS position where it was put."""
    kji = np.stack(np.meshgrid(*(np.arange(n) for n in hu.shape), indexing="ij"), -1).reshape(-1, 3)
    lps = origin + (kji[:, ::-1] * spacing) @ np.asarray(axes, float)
    to_index = np.linalg.inv(ct.geometry.index_to_lps)
    ijk = lps @ to_index[:3, :3].T + to_index[:3, 3]
    nearest = np.rint(ijk).astype(int)
    assert np.abs(ijk - nearest).max() < tolerance
    assert np.array_equal(ct.hu[nearest[:, 2], nearest[:, 1], nearest[:, 0]], hu.reshape(-1))


ORDERS = {
    "axial": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "head to feet": ((1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "prone": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "mirrored rows": ((-1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "sagittal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "oblique": rotation((9, -14, 5)),
}


@pytest.mark.parametrize("axes", ORDERS.values(), ids=ORDERS)
def test_every_storage_order_keeps_every_voxel_in_its_place(tmp_path, axes):
    folder = write(slice_datasets(HU, axes=axes), tmp_path)
    ct = read_ct(folder)
    assert_same_voxels(ct, HU, axes)
    np.testing.assert_allclose(
        ct.geometry.index_to_lps[:3, :3].T @ ct.geometry.index_to_lps[:3, :3],
        np.diag(np.square(ct.geometry.spacing)),
        atol=1e-6,
    )
    upright, _ = ct.canonical()
    assert_same_voxels(upright, HU, axes)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), angles=st.tuples(*[st.floats(-20, 20)] * 3))
def test_file_names_and_directions_do_not_matter(tmp_path_factory, seed, angles):
    axes = rotation(angles)
    order = np.random.default_rng(seed).permutation(len(HU))
    datasets = slice_datasets(HU, axes=axes)
    ct = read_ct(write([datasets[n] for n in order], tmp_path_factory.mktemp("shuffled")))
    assert_same_voxels(ct, HU, axes)


def implicit(ds):
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return ds


def deflated(ds):
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return ds


@pytest.mark.parametrize("coded", [implicit, deflated, big_endian, compress])
def test_every_coding_gives_the_same_values(tmp_path, coded):
    datasets = slice_datasets(HU)
    if coded is big_endian:
        for ds in datasets:
            big_endian(ds)
    else:
        datasets = [coded(ds) for ds in datasets]
    assert np.array_equal(read_ct(write(datasets, tmp_path)).hu, HU)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize("signed", [True, False])
def test_lossless_jpeg_of_either_kind(tmp_path, kind, signed):
    (tmp_path / "packed").mkdir()
    datasets = [jpeg(ds, kind, tmp_path / "packed") for ds in slice_datasets(HU, signed=signed)]
    assert np.array_equal(read_ct(write(datasets, tmp_path / "series")).hu, HU)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "rle"])
@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (1.0, -1100.5), (0.5, -1024.0), (0.1, -1200.0)])
def test_rescale_is_applied_to_each_slice(tmp_path, signed, packed, slope, intercept):
    datasets = slice_datasets(np.clip(HU, -1024, None), slope=slope, intercept=intercept, signed=signed)
    if packed:
        datasets = [compress(ds) for ds in datasets]
    ct = read_ct(write(datasets, tmp_path))
    # Half a stored unit, and half a Hounsfield unit from rounding.
    assert np.abs(ct.hu.astype(int) - np.clip(HU, -1024, None)).max() <= (0 if intercept == -1024 else 1)


def test_slices_may_differ_in_rescale(tmp_path):
    datasets = [slice_datasets(HU, slope=1.0 if n % 2 else 0.5, intercept=-1024.0 - n)[n] for n in range(len(HU))]
    for ds in datasets:
        ds.SeriesInstanceUID = datasets[0].SeriesInstanceUID
    assert np.array_equal(read_ct(write(datasets, tmp_path)).hu, HU)


def test_paths_with_blanks_and_foreign_letters(tmp_path):
    folder = write(slice_datasets(HU), tmp_path / "Röntgen Übersicht 胸部 CT" / "série 1", name="Schicht {:03d} é.dcm")
    assert np.array_equal(read_ct(tmp_path / "Röntgen Übersicht 胸部 CT").hu, HU)
    assert read_ct(folder).source["name"] == "série 1"


def test_packed_slices_in_a_path_with_foreign_letters(tmp_path):
    write([compress(ds) for ds in slice_datasets(HU)], tmp_path / "胸部 ü")
    assert np.array_equal(read_ct(tmp_path / "胸部 ü").hu, HU)


def test_nothing_that_names_the_patient_is_recorded(tmp_path):
    ct = read_ct(write(slice_datasets(HU), tmp_path / "study"))
    record = repr((ct.source, ct.warnings))
    assert not any(value.split("^")[0] in record for value in PATIENT.values())
    assert ct.source["kernel"] == "B40f"
    assert ct.source["slice_thickness_mm"] == 5.0
    assert "only usable series" in ct.source["chosen_because"]


class TestMultiFrame:
    SLOPES = np.where(np.arange(len(HU)) % 3 == 0, 0.5, 1.0)

    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "rle"])
    def test_each_frame_has_its_own_place_and_rescale(self, tmp_path, packed):
        ds = enhanced(HU, self.SLOPES)
        if packed:
            compress(ds)
        write([ds], tmp_path, name="multi.dcm")
        ct = read_ct(tmp_path / "multi.dcm")
        assert_same_voxels(ct, HU, ORDERS["axial"])
        assert ct.source["slice_thickness_mm"] == 5.0
        assert read_ct(tmp_path).geometry == ct.geometry

    @pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
    def test_packed_frames(self, tmp_path, kind):
        (tmp_path / "packed").mkdir()
        write([jpeg(enhanced(HU, self.SLOPES), kind, tmp_path / "packed")], tmp_path, name="multi.dcm")
        assert_same_voxels(read_ct(tmp_path / "multi.dcm"), HU, ORDERS["axial"])

    def test_frames_are_sorted_by_position(self, tmp_path):
        ds = enhanced(HU, np.ones(len(HU)))
        groups = list(ds.PerFrameFunctionalGroupsSequence)
        order = np.random.default_rng(1).permutation(len(HU))
        ds.PerFrameFunctionalGroupsSequence = [groups[n] for n in order]
        set_pixels(ds, HU[order].astype(int) + 1024)
        write([ds], tmp_path, name="multi.dcm")
        assert_same_voxels(read_ct(tmp_path), HU, ORDERS["axial"])


class TestPadding:
    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "rle"])
    def test_what_lies_below_any_air_is_padding(self, tmp_path, packed):
        hu = HU.copy()
        hu[:, :, :6] = -3024
        datasets = slice_datasets(hu, PixelPaddingValue=-2000)
        datasets = [compress(ds) for ds in datasets] if packed else datasets
        ct = read_ct(write(datasets, tmp_path))
        assert np.array_equal(ct.padding, hu == -3024)
        assert (ct.hu[ct.padding] == -1024).all()
        assert "padding" in {w.code for w in ct.warnings}
        assert ct.source["clipped_below"] == 0

    def test_named_padding_counts_at_the_edge_but_not_in_the_lung(self, tmp_path):
        hu = HU.copy()
        hu[:, :5] = -1024
        lung = np.s_[:, 20:24, 16:20]
        hu[lung] = -1024
        ct = read_ct(write(slice_datasets(hu, intercept=-1024.0, PixelPaddingValue=0), tmp_path))
        assert ct.padding[:, :5].all()
        assert not ct.padding[lung].any()

    def test_signed_padding_written_as_unsigned(self, tmp_path):
        hu = HU.copy()
        hu[:, :5] = -1424
        datasets = slice_datasets(hu, intercept=0.0)
        for ds in datasets:
            ds.add_new(0x00280120, "US", 65536 - 1424)
        assert np.array_equal(read_ct(write(datasets, tmp_path)).padding, hu == -1424)

    def test_a_padding_value_that_is_tissue_is_not_believed(self, tmp_path):
        ct = read_ct(write(slice_datasets(HU, intercept=0.0, PixelPaddingValue=40), tmp_path))
        assert ct.padding is None


def test_values_beyond_the_range_are_clipped_and_counted(tmp_path):
    hu = HU.copy()
    hu[2:5, 30, 30] = 4000
    hu[3, 2:6, 2] = -1100
    ct = read_ct(write(slice_datasets(hu), tmp_path))
    assert (ct.source["clipped_above"], ct.source["clipped_below"]) == (3, 4)
    assert {"clipped-high", "clipped-low"} <= {w.code for w in ct.warnings}
    assert ct.hu.max() == 3071
    assert ct.hu.min() == -1024


class TestGantryTilt:
    @pytest.mark.parametrize("degrees", [12.0, -20.0])
    def test_slices_stand_where_they_were_measured(self, tmp_path, degrees):
        angle = np.radians(degrees)
        axes = np.array([(1, 0, 0), (0, np.cos(angle), np.sin(angle)), (0, -np.sin(angle), np.cos(angle))])
        step = np.array([0.0, 0.0, 5.0])
        ct = read_ct(write(slice_datasets(HU, axes=axes, step=step, GantryDetectorTilt=degrees), tmp_path))
        assert ct.source["gantry_tilt_degrees"] == pytest.approx(abs(degrees), abs=0.01)
        assert "gantry-tilt" in {w.code for w in ct.warnings}
        assert ct.geometry.spacing[2] == pytest.approx(5.0 * np.cos(angle), rel=1e-6)
        # Every measured voxel is there once, no further than half a pixel from its place; the rest is padding.
        to_index = np.linalg.inv(ct.geometry.index_to_lps)
        for k in range(len(HU)):
            corner = to_index @ np.append(ORIGIN + k * step, 1.0)
            i, j = (round(float(x)) for x in corner[:2])
            assert np.abs(corner[:3] - (i, j, k)).max() <= 0.5 + 1e-6
            assert np.array_equal(ct.hu[k, j : j + HU.shape[1], i : i + HU.shape[2]], HU[k])
        assert np.count_nonzero(~ct.padding) == HU.size

    def test_a_tilt_that_positions_do_not_show_is_told(self, tmp_path):
        ct = read_ct(write(slice_datasets(HU, GantryDetectorTilt=15), tmp_path))
        assert "do not show" in next(w.message for w in ct.warnings if w.code == "gantry-tilt")
        assert ct.padding is None


@pytest.mark.shared
def test_the_real_slab_of_jpeg_lossless_slices(shared_data):
    ct = read_ct(shared_data / "ricord1a_dicom_slab")
    assert ct.hu.shape == (20, 512, 512)
    assert ct.geometry.spacing == (0.703125, 0.703125, 1.25)
    assert ct.geometry.origin == (-172.0, -156.5, 127.0)
    assert ct.padding is not None
    assert 0.15 < ct.padding.mean() < 0.25
    assert -900 < np.median(ct.hu[:, 200:330, 120:180]) < -600
    assert ct.source["padding_voxels"] == np.count_nonzero(ct.padding)
