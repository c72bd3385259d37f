"""The user's own masks in any orientation land on the right voxels of the CT."""

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import slice_datasets, write
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ct_dicom import rotation
from test_ct_files import TURNS

from COVIDQuantLib.anatomy import LESION, LOBES, MIDDLE_LOBE, Terminology
from COVIDQuantLib.ct.masks.label_maps import place_labels, read_label_map
from COVIDQuantLib.ct.masks.slicer_segments import FileSegment, labels_of_segments
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.segmentation_file import write_segmentation
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

SHAPE = (9, 12, 14)
CT = Geometry(SHAPE, (2.0, 3.0, 5.0), (-12.0, -40.0, 100.0))
LABELS = np.random.default_rng(0).integers(0, 6, SHAPE).astype(np.uint8)


def reordered(geometry, turn):
    """The same voxels with their axes permuted and flipped: the grid, and how to reorder an array."""
    own = np.reshape(geometry.direction, (3, 3)).T
    axes = np.abs(turn).argmax(axis=1)
    signs = turn[range(3), axes]
    sizes = geometry.shape[::-1]
    corner = [0 if signs[n] > 0 else sizes[axes[n]] - 1 for n in range(3)]
    index = np.zeros(3)
    index[axes] = corner
    origin = (geometry.index_to_lps @ (*index, 1))[:3]
    direction = (turn @ own).T
    grid = Geometry(
        tuple(int(sizes[a]) for a in axes[::-1]),
        tuple(geometry.spacing[a] for a in axes),
        tuple(origin.tolist()),
        tuple(direction.ravel().tolist()),
    )

    def reorder(array):
        moved = array.transpose([2 - a for a in axes[::-1]])
        return moved[tuple(slice(None, None, -1 if s < 0 else 1) for s in signs[::-1])]

    return grid, reorder


@settings(max_examples=60, deadline=None)
@given(turn=st.sampled_from(TURNS), ct_turn=st.sampled_from(TURNS), angles=st.tuples(*[st.floats(-25, 25)] * 3))
def test_the_same_voxels_in_another_order_are_reordered_exactly(turn, ct_turn, angles):
    axes = ct_turn @ rotation(angles)
    ct = Geometry(SHAPE, CT.spacing, CT.origin, tuple(axes.T.ravel().tolist()))
    grid, reorder = reordered(ct, turn)
    placed, warnings = place_labels(reorder(LABELS), grid, ct, "mask")
    assert np.array_equal(placed, LABELS)
    assert not warnings


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd", "mask.mha"])
@pytest.mark.parametrize("turn", TURNS[::7])
def test_files_in_any_order(tmp_path, name, turn):
    grid, reorder = reordered(CT, turn)
    sitk.WriteImage(grid.to_image(np.ascontiguousarray(reorder(LABELS))), str(tmp_path / name))
    placed, warnings = read_label_map(tmp_path / name, CT)
    assert np.array_equal(placed, LABELS)
    assert placed.dtype == np.uint8
    assert not warnings


def test_labels_that_scaling_left_beside_whole_numbers_are_rounded(tmp_path):
    for slope, intercept in ((1.0039, 0.0), (0.998, 0.001), (1.0, -0.004)):
        stored = LABELS * np.float32(slope) + np.float32(intercept)
        sitk.WriteImage(CT.to_image(stored), str(tmp_path / "mask.nrrd"))
        assert np.array_equal(read_label_map(tmp_path / "mask.nrrd", CT)[0], LABELS)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64, np.uint16])
def test_every_number_type(tmp_path, dtype):
    sitk.WriteImage(CT.to_image(LABELS.astype(dtype)), str(tmp_path / "mask.nrrd"))
    assert np.array_equal(read_label_map(tmp_path / "mask.nrrd", CT)[0], LABELS)


def block(geometry, low, high):
    """A box in LPS as a mask on a grid."""
    kji = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), -1)
    lps = kji[..., ::-1] @ geometry.index_to_lps[:3, :3].T + geometry.origin
    return ((lps >= low) & (lps <= high)).all(axis=-1).astype(np.uint8)


def test_another_grid_is_resampled_and_told(tmp_path):
    fine = Geometry((90, 60, 50), (0.6, 0.7, 0.8), (-14.0, -42.0, 90.0), tuple(rotation((5, 3, -8)).ravel().tolist()))
    low, high = (-8, -30, 106), (4, -18, 128)
    sitk.WriteImage(fine.to_image(block(fine, low, high)), str(tmp_path / "mask.nrrd"))
    placed, warnings = read_label_map(tmp_path / "mask.nrrd", CT)
    wanted = block(CT, low, high)
    assert 2 * np.count_nonzero(placed & wanted) / (placed.sum() + wanted.sum()) > 0.9
    assert [w.code for w in warnings] == ["labels-resampled"]


def test_a_cropped_mask_keeps_its_place(tmp_path):
    image = CT.to_image(LABELS)[3:10, 2:9, 1:7]
    sitk.WriteImage(image, str(tmp_path / "mask.nrrd"))
    placed, warnings = read_label_map(tmp_path / "mask.nrrd", CT)
    wanted = np.zeros_like(LABELS)
    wanted[1:7, 2:9, 3:10] = LABELS[1:7, 2:9, 3:10]
    assert np.array_equal(placed, wanted)
    assert [w.code for w in warnings] == ["labels-resampled"]


def test_a_mask_that_reaches_beyond_the_ct_is_told(tmp_path):
    beyond = Geometry(SHAPE, CT.spacing, (-12.0, -40.0, 120.0))
    sitk.WriteImage(beyond.to_image(np.ones(SHAPE, np.uint8)), str(tmp_path / "mask.nrrd"))
    placed, warnings = read_label_map(tmp_path / "mask.nrrd", CT)
    assert {w.code for w in warnings} == {"labels-resampled", "labels-outside"}
    assert placed[4:].all()
    assert not placed[:4].any()


def refused(path, words):
    with pytest.raises(UnfitInputError, match=words):
        read_label_map(path, CT)


def test_a_mask_of_another_patient_is_refused(tmp_path):
    far = Geometry(SHAPE, CT.spacing, (900.0, 0.0, 0.0))
    sitk.WriteImage(far.to_image(LABELS), str(tmp_path / "mask.nrrd"))
    refused(tmp_path / "mask.nrrd", "outside the CT")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (LABELS / 5.0, "not whole numbers"),
        (LABELS * 19.37, "not whole numbers"),
        (LABELS.astype(np.int16) - 3, "not labels"),
        (LABELS * 1e6, "not labels"),
        (np.where(LABELS > 2, np.nan, 0.0), "not labels|not whole"),
    ],
    ids=["probabilities", "percent", "negative", "huge", "nan"],
)
def test_what_is_no_mask_is_refused(tmp_path, values, words):
    sitk.WriteImage(CT.to_image(values), str(tmp_path / "mask.nrrd"))
    refused(tmp_path / "mask.nrrd", words)


def test_missing_damaged_and_dicom_masks_are_refused(tmp_path):
    refused(tmp_path / "none.nrrd", "no such file")
    (tmp_path / "bad.nrrd").write_bytes(b"NRRD0004\ntype: short\n")
    refused(tmp_path / "bad.nrrd", "cannot be read|not supported|damaged")
    write(slice_datasets(np.zeros((1, 8, 8), np.int16)), tmp_path / "dicom")
    refused(tmp_path / "dicom", "there is no DICOM segmentation")
    refused(tmp_path / "dicom" / "IM0000", "not a segmentation .CT Image Storage")


class TestSlicerSegmentation:
    LESIONS = np.random.default_rng(1).random(SHAPE) < 0.2

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "segmentation.seg.nrrd"
        write_segmentation(path, Segmentation(LABELS, self.LESIONS), CT)
        return path

    def test_lobes_lesions_and_lungs_of_our_own_file(self, path):
        assert np.array_equal(read_label_map(path, CT, content="lobes")[0], LABELS)
        assert np.array_equal(read_label_map(path, CT, content="lesions")[0] != 0, self.LESIONS)
        assert np.array_equal(read_label_map(path, CT, content="lungs")[0] != 0, LABELS != 0)

    def test_on_a_ct_stored_otherwise(self, path):
        for turn in TURNS[::5]:
            grid, reorder = reordered(CT, turn)
            assert np.array_equal(read_label_map(path, grid, content="lobes")[0], reorder(LABELS))

    @staticmethod
    def slicer_file(path, segments):
        """As Slicer writes it: one layer, each segment with its own value; ``segments`` are (id, name, tags, mask)."""
        array = np.zeros(SHAPE, np.uint8)
        for value, (_, _, _, mask) in enumerate(segments, start=1):
            array[mask] = value
        image = CT.to_image(array)
        for n, (segment_id, name, tags, _) in enumerate(segments):
            fields = {"ID": segment_id, "Name": name, "Tags": tags, "Layer": "0", "LabelValue": str(n + 1)}
            for key, value in fields.items():
                image.SetMetaData(f"Segment{n}_{key}", value)
        sitk.WriteImage(image, str(path))
        return path

    def test_lobes_are_found_by_terminology_whatever_their_order(self, tmp_path):
        tag = "TerminologyEntry:Any~SCT^123037004^x~SCT^{0.value}^x~SCT^{1.value}^x~Any~^^~^^|"
        segments = [
            (
                f"Segment_{n}",
                f"L{n}",
                tag.format(lobe.terminology.type, lobe.terminology.modifier),
                lobe.label == LABELS,
            )
            for n, lobe in enumerate(reversed(LOBES))
        ]
        path = self.slicer_file(tmp_path / "lobes.seg.nrrd", segments)
        assert np.array_equal(read_label_map(path, CT, content="lobes")[0], LABELS)

    def test_unknown_segments_are_no_lobes(self, tmp_path):
        path = self.slicer_file(tmp_path / "x.seg.nrrd", [("Segment_1", "liver", "", LABELS == 1)])
        with pytest.raises(UnfitInputError, match=r"no segment is a lobe by ID, terminology or name .liver") as refusal:
            read_label_map(path, CT, content="lobes")
        assert refusal.value.code == "segments-unknown"

    def test_unknown_segments_are_joined_into_lesions_and_told(self, tmp_path):
        segments = [("Segment_1", "patch A", "", LABELS == 1), ("Segment_2", "patch B", "", LABELS == 2)]
        path = self.slicer_file(tmp_path / "x.seg.nrrd", segments)
        labels, warnings = read_label_map(path, CT, content="lesions")
        assert np.array_equal(labels != 0, (LABELS == 1) | (LABELS == 2))
        assert "patch A, patch B" in next(w.message for w in warnings if w.code == "segments-joined")

    def test_the_lesion_is_told_from_lobes_and_others(self, tmp_path):
        segments = [
            (LOBES[0].segment_id, "RUL", "", LABELS == 1),
            ("Segment_9", "nodule", "", LABELS == 2),
            (LESION.segment_id, "whatever", "", LABELS == 3),
        ]
        path = self.slicer_file(tmp_path / "x.seg.nrrd", segments)
        labels, warnings = read_label_map(path, CT, content="lesions")
        assert np.array_equal(labels != 0, LABELS == 3)
        assert not warnings

    def test_without_a_wish_segments_are_numbered(self, tmp_path):
        segments = [("a", "a", "", LABELS == 4), ("b", "b", "", LABELS == 1)]
        labels, _ = read_label_map(self.slicer_file(tmp_path / "x.seg.nrrd", segments), CT)
        assert np.array_equal(labels, np.select([LABELS == 4, LABELS == 1], [1, 2]))


@pytest.mark.slow
@pytest.mark.shared
def test_real_labels_lie_on_their_ct(shared_data):
    from COVIDQuantLib.ct.read import read_ct

    ct = read_ct(shared_data / "cip_ct64_ct.nrrd")
    lungs, warnings = read_label_map(shared_data / "cip_ct64_lungs_L1_R2.nrrd", ct.geometry, content="lungs")
    assert not warnings
    assert np.median(ct.hu[lungs != 0]) < -750
    # The file calls the left lung 1: x grows to the left.
    upright = Reorientation.of(ct.geometry).apply(lungs)
    assert np.argwhere(upright == 1)[:, 2].mean() > np.argwhere(upright == 2)[:, 2].mean()


def test_a_file_of_another_program_is_read_by_the_rules_of_the_scene():
    """TotalSegmentator codes the middle lobe without a side; a file's segments count as a node's do."""
    middle = next(lobe for lobe in LOBES if lobe.terminology.type == MIDDLE_LOBE)
    without_side = Terminology(middle.terminology.category, MIDDLE_LOBE)
    layers = np.zeros((2, 2, 2, 1), np.uint8)
    layers[0] = 7
    segments = [FileSegment("theirs", "middle", 0, 7, without_side)]
    labels, _ = labels_of_segments(layers, segments, "lobes", "theirs.seg.nrrd")
    assert np.array_equal(labels, np.where(layers[..., 0] == 7, middle.label, 0))
