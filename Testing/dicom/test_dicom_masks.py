"""DICOM segmentations as masks: ours, highdicom's, dcmqi's, TotalSegmentator's; sparse, packed, damaged, hostile."""

import zlib

import highdicom
import numpy as np
import pytest
from dicom_maker import enhanced, slice_datasets, write
from dicom_results import SETTINGS, STUDY, exam_of, objects_of, written
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.sr.coding import Code
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, generate_uid

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.masks.label_maps import read_label_map
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.segmentation_file import read_segmentation
from COVIDQuantLib.segmentation.masks.user_masks import read_given_masks
from COVIDQuantLib.voxels.geometry import Geometry

ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
RIGHT, LEFT = Code("24028007", "SCT", "Right"), Code("7771000", "SCT", "Left")
TISSUE = Code("85756007", "SCT", "Tissue")


@pytest.fixture(scope="module")
def world(once, tmp_path_factory):
    """An exam whose CT is DICOM, its folder, and the images' datasets in the CT's order."""
    folder = tmp_path_factory.mktemp("masks")
    phantom = once.phantom(**SETTINGS)
    ct = read_ct(written(phantom, folder / "ct"))
    exam = exam_of(ct, phantom.lobes.copy(), phantom.lesions.copy())
    images = [dcmread(image.path) for image in ct.source.dicom.images]
    for image in images:
        image.decode()
        image.SpecificCharacterSet = "ISO_IR 192"
    (folder / "seg").mkdir()
    return exam, objects_of(exam, folder / "seg")[0], images


def both(ct, path):
    masks, _, warnings = read_given_masks({"lobes": [path], "lesions": [path]}, ct)
    return masks["lobes"], masks["lesions"], [warning.code for warning in warnings]


def lobes_of(ct, path):
    return read_given_masks({"lobes": [path]}, ct)[0]["lobes"]


def refused(code, ct, path, content="lobes"):
    with pytest.raises(UnfitInputError) as caught:
        read_given_masks({content: [path]}, ct)
    assert caught.value.code == code, caught.value.line()
    assert "\n" not in caught.value.line()
    return caught.value.line()


def test_ours_gives_the_same_masks(world):
    exam, path, _ = world
    lobes, lesions, warned = both(exam.ct, path)
    np.testing.assert_array_equal(lobes, exam.segmentation.lobes)
    np.testing.assert_array_equal(lesions != 0, exam.segmentation.lesions)
    assert warned == []


def test_a_folder_with_one_segmentation_among_other_objects_is_enough(world):
    exam, path, _ = world
    np.testing.assert_array_equal(lobes_of(exam.ct, path.parent), exam.segmentation.lobes)


def test_a_ct_stored_another_way_round_gets_them_too(world):
    """The same CT as NIfTI may run to the feet; nothing names its series."""
    exam, path, _ = world
    own = exam.ct.geometry
    top = (own.index_to_lps @ (0, 0, own.shape[0] - 1, 1))[:3]
    turned = Geometry(own.shape, own.spacing, tuple(top), tuple(np.multiply(own.direction, (1, 1, -1) * 3)))
    labels, warnings = read_label_map(path, turned, "lobes")
    np.testing.assert_array_equal(labels[::-1], exam.segmentation.lobes)
    assert warnings == []


def test_a_larger_ct_leaves_the_rest_empty_and_a_smaller_one_says_so(world):
    exam, path, _ = world
    own, lobes = exam.ct.geometry, exam.segmentation.lobes
    first = next(k for k in range(len(lobes)) if lobes[k].any())
    low = tuple((own.index_to_lps @ (0, 0, -2, 1))[:3])
    longer = Geometry((own.shape[0] + 2, *own.shape[1:]), own.spacing, low, own.direction)
    labels, warnings = read_label_map(path, longer, "lobes")
    assert not labels[:2].any()
    np.testing.assert_array_equal(labels[2:], lobes)
    assert warnings == []
    cut = tuple((own.index_to_lps @ (0, 0, first + 3, 1))[:3])
    shorter = Geometry((own.shape[0] - first - 3, *own.shape[1:]), own.spacing, cut, own.direction)
    labels, warnings = read_label_map(path, shorter, "lobes")
    np.testing.assert_array_equal(labels, lobes[first + 3 :])
    assert [warning.code for warning in warnings] == ["labels-outside"]


def test_another_grid_is_resampled_with_a_warning(world):
    exam, path, _ = world
    own = exam.ct.geometry
    coarse = Geometry(
        (own.shape[0] // 2, *own.shape[1:]), (*own.spacing[:2], 2 * own.spacing[2]), own.origin, own.direction
    )
    labels, warnings = read_label_map(path, coarse, "lobes")
    np.testing.assert_array_equal(labels, exam.segmentation.lobes[::2][: len(labels)])
    assert "labels-resampled" in [warning.code for warning in warnings]


def test_another_series_is_refused(world, once, tmp_path):
    other = read_ct(written(once.phantom(**SETTINGS), tmp_path / "ct"))
    assert "another series" in refused("seg-other-series", other, world[1])


def made(images, masks, descriptions, kind="BINARY", **options):
    """A segmentation by highdicom, as MONAI and TotalSegmentator write it."""
    return Segmentation(
        images, masks, kind, descriptions, generate_uid(), 9, generate_uid(), 1, "Maker", "Model", "1", "1", **options
    )


def described(number, label, kind, modifier=None, category=ANATOMY):
    item = SegmentDescription(
        number,
        label,
        category,
        kind,
        "AUTOMATIC",
        highdicom.AlgorithmIdentificationSequence("some", Code("123110", "DCM", "Artificial Intelligence"), "1"),
    )
    if modifier is not None:
        coded = highdicom.sr.CodedConcept.from_code(modifier)
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [coded]
    return item


SCT_LOBES = [
    (Code("45653009", "SCT", "Upper lobe of lung"), RIGHT),
    (Code("72481006", "SCT", "Middle lobe of right lung"), None),
    (Code("90572001", "SCT", "Lower lobe of lung"), RIGHT),
    (Code("45653009", "SCT", "Upper lobe of lung"), LEFT),
    (Code("90572001", "SCT", "Lower lobe of lung"), LEFT),
]
# As dcmqi has written them for years.
SRT_LOBES = [
    (Code("T-28820", "SRT", "Upper lobe of lung"), Code("G-A100", "SRT", "Right")),
    (Code("T-28300", "SRT", "Middle lobe of right lung"), Code("G-A100", "SRT", "Right")),
    (Code("T-28830", "SRT", "Lower lobe of lung"), Code("G-A100", "SRT", "Right")),
    (Code("T-28820", "SRT", "Upper lobe of lung"), Code("G-A101", "SRT", "Left")),
    (Code("T-28830", "SRT", "Lower lobe of lung"), Code("G-A101", "SRT", "Left")),
]
NAMED = [(TISSUE, None)] * 5


def saved(ds, folder):
    path = folder / "seg.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("coded", [SCT_LOBES, SRT_LOBES], ids=["TotalSegmentator", "dcmqi"])
def test_coded_lobes_in_any_order_are_recognised(world, tmp_path, coded):
    exam, _, images = world
    order = [5, 3, 1, 2, 4]
    lobes = exam.segmentation.lobes
    masks = np.stack([lobes == label for label in order], axis=-1).astype(np.uint8)
    texts = [described(n, f"thing {n}", *coded[label - 1]) for n, label in enumerate(order, start=1)]
    np.testing.assert_array_equal(lobes_of(exam.ct, saved(made(images, masks, texts), tmp_path)), lobes)


def test_segments_without_a_known_code_go_by_name(world, tmp_path):
    exam, _, images = world
    lobes = exam.segmentation.lobes
    texts = [described(lobe.label, lobe.short, TISSUE, category=ANATOMY) for lobe in LOBES]
    path = saved(made(images, lobes, texts), tmp_path)
    labels, warnings = read_label_map(path, exam.ct.geometry, "lobes")
    np.testing.assert_array_equal(labels, lobes)
    assert [warning.code for warning in warnings] == ["segments-by-name"]
    heart = made(images, (lobes > 0).astype(np.uint8), [described(1, "heart", TISSUE)])
    refused("segments-unknown", exam.ct, saved(heart, tmp_path))


def lobe_texts():
    return [described(lobe.label, lobe.name, *SCT_LOBES[lobe.label - 1]) for lobe in LOBES]


def test_a_label_map_segmentation_is_read(world, tmp_path):
    exam, _, images = world
    ds = made(images, exam.segmentation.lobes, lobe_texts(), "LABELMAP")
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    np.testing.assert_array_equal(lobes_of(exam.ct, saved(ds, tmp_path)), exam.segmentation.lobes)


def test_a_packed_one_is_read(world, tmp_path):
    exam, _, images = world
    ds = made(images, exam.segmentation.lobes, lobe_texts(), "LABELMAP", transfer_syntax_uid=RLELossless)
    np.testing.assert_array_equal(lobes_of(exam.ct, saved(ds, tmp_path)), exam.segmentation.lobes)


def test_each_frame_deflated_by_itself_is_read(world, tmp_path):
    exam, path, _ = world
    ds = dcmread(path)
    frames = np.packbits(ds.pixel_array.reshape(int(ds.NumberOfFrames), -1), axis=1, bitorder="little")
    packed = []
    for frame in frames:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        packed.append(deflater.compress(frame.tobytes()) + deflater.flush())
    ds.PixelData = encapsulate(packed)
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.8.1"
    ds.save_as(tmp_path / "seg.dcm", implicit_vr=False, little_endian=True, force_encoding=True)
    np.testing.assert_array_equal(lobes_of(exam.ct, tmp_path / "seg.dcm"), exam.segmentation.lobes)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_uncompressed_files_are_read(world, tmp_path, syntax):
    exam, path, _ = world
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(tmp_path / "seg.dcm", implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    np.testing.assert_array_equal(lobes_of(exam.ct, tmp_path / "seg.dcm"), exam.segmentation.lobes)


def test_a_fractional_one_is_read_if_it_is_all_or_nothing(world, tmp_path):
    exam, _, images = world
    masks = np.stack([exam.segmentation.lobes == lobe.label for lobe in LOBES], axis=-1).astype(np.float32)
    path = saved(made(images, masks, lobe_texts(), "FRACTIONAL"), tmp_path)
    np.testing.assert_array_equal(lobes_of(exam.ct, path), exam.segmentation.lobes)
    path = saved(made(images, masks * 0.7, lobe_texts(), "FRACTIONAL"), tmp_path)
    refused("mask-probabilities", exam.ct, path)


def test_overlapping_lobes_are_drawn_in_our_order(world, tmp_path):
    exam, _, images = world
    lobes = exam.segmentation.lobes
    masks = np.stack([lobes == lobe.label for lobe in LOBES], axis=-1).astype(np.uint8)
    masks[..., 1] |= masks[..., 0]
    np.testing.assert_array_equal(lobes_of(exam.ct, saved(made(images, masks, lobe_texts()), tmp_path)), lobes)


def changed(world, tmp_path, change):
    ds = dcmread(world[1])
    change(ds)
    return saved(ds, tmp_path)


def no_position(ds):
    del ds.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence


def another_orientation(ds):
    ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 1, 0, 0]


def huge_count(ds):
    ds.NumberOfFrames = 2_000_000_000


def too_few_groups(ds):
    ds.PerFrameFunctionalGroupsSequence.pop()


def huge_matrix(ds):
    ds.Rows = ds.Columns = 60_000


def wrong_matrix(ds):
    ds.Rows = 2 * ds.Rows


def no_pixels(ds):
    del ds.PixelData


def odd_bits(ds):
    ds.BitsAllocated = 12


def no_type(ds):
    ds.SegmentationType = "SOMETHING"


def no_segment_number(ds):
    del ds.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence


def far_away(ds):
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient[2] += 3000.0


def nowhere(ds):
    ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 1e9]


def twice(ds):
    ds.SegmentSequence[1].SegmentNumber = 1


def jpeg(ds):
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    ds.PixelData = encapsulate([b"\0\0"] * int(ds.NumberOfFrames))
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True


def not_a_segmentation(ds):
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (no_position, "seg-frames"),
        (another_orientation, "seg-frames"),
        (nowhere, "seg-frames"),
        (huge_count, "damaged-file"),
        (too_few_groups, "damaged-file"),
        (huge_matrix, "too-large"),
        (wrong_matrix, "damaged-file"),
        (no_pixels, "damaged-file"),
        (odd_bits, "damaged-file"),
        (no_type, "damaged-file"),
        (no_segment_number, "damaged-file"),
        (far_away, "mask-elsewhere"),
        (twice, "segments-damaged"),
        (jpeg, "seg-packed"),
        (not_a_segmentation, "mask-dicom"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(world, tmp_path, change, code):
    refused(code, world[0].ct, changed(world, tmp_path, change))


@pytest.mark.parametrize("kept", [140, 1000, 0.4, 0.99])
def test_a_truncated_file_is_refused(world, tmp_path, kept):
    data = world[1].read_bytes()
    (tmp_path / "seg.dcm").write_bytes(data[: kept if kept > 1 else int(kept * len(data))])
    with pytest.raises(UnfitInputError) as caught:
        lobes_of(world[0].ct, tmp_path / "seg.dcm")
    assert caught.value.code in {"damaged-file", "mask-dicom"}


def test_two_segmentations_in_a_folder_are_one_too_many(world, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(world[1].read_bytes())
    assert "a.dcm, b.dcm" in refused("several-masks", world[0].ct, tmp_path)


def test_a_segmentation_that_refers_to_nothing_goes_by_its_frame_of_reference(world, tmp_path):
    def forgets(ds):
        del ds.ReferencedSeriesSequence
        for group in ds.PerFrameFunctionalGroupsSequence:
            del group.DerivationImageSequence

    def forgets_and_moves(ds):
        forgets(ds)
        ds.FrameOfReferenceUID = generate_uid()

    exam = world[0]
    np.testing.assert_array_equal(lobes_of(exam.ct, changed(world, tmp_path, forgets)), exam.segmentation.lobes)
    refused("seg-other-series", exam.ct, changed(world, tmp_path, forgets_and_moves))


def test_codes_may_lie_in_the_region(world, tmp_path):
    """Some writers give an organ's side with its region."""
    exam, _, images = world
    texts = lobe_texts()
    for item, (_, side) in zip(texts, SCT_LOBES, strict=True):
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        if side is not None:
            region = highdicom.sr.CodedConcept.from_code(Code("39607008", "SCT", "Lung"))
            region.AnatomicRegionModifierSequence = kind.SegmentedPropertyTypeModifierCodeSequence
            del kind.SegmentedPropertyTypeModifierCodeSequence
            item.AnatomicRegionSequence = [region]
    path = saved(made(images, exam.segmentation.lobes, texts), tmp_path)
    np.testing.assert_array_equal(lobes_of(exam.ct, path), exam.segmentation.lobes)


def test_a_straightened_gantry_tilt_keeps_every_voxel(once, tmp_path):
    """The CT's sections were moved sideways on reading; the segmentation lies on the images as they are stored."""
    phantom = once.phantom(**SETTINGS)
    spacing = phantom.ct.geometry.spacing
    step = (0.0, 0.35 * spacing[2], spacing[2])
    folder = write(slice_datasets(phantom.ct.hu, spacing, (0, 0, 0), step=step, **STUDY), tmp_path / "ct")
    ct = read_ct(folder)
    shifts = [image.shift for image in ct.source.dicom.images]
    assert len(set(shifts)) > 3
    lobes, lesions = (np.zeros(ct.hu.shape, np.uint8) for _ in range(2))
    rows, columns = phantom.ct.hu.shape[1:]
    for k, (j, i) in enumerate(shifts):
        lobes[k, j : j + rows, i : i + columns] = phantom.lobes[k]
        lesions[k, j : j + rows, i : i + columns] = phantom.lesions[k]
    path, _ = objects_of(exam_of(ct, lobes, lesions), tmp_path)
    got, ill, warned = both(ct, path)
    np.testing.assert_array_equal(got, lobes)
    np.testing.assert_array_equal(ill, lesions)
    assert warned == []
    own = dcmread(path)
    assert (own.Rows, own.Columns) == (rows, columns)
    # The grid alone tells where they belong, as when the result is compared with a later exam.
    np.testing.assert_array_equal(read_segmentation(path, ct.geometry).segmentation.lobes, lobes)


def test_uneven_sections_keep_their_masks(once, tmp_path):
    """Intervals that drift put the even grid sections away from the images; each frame names its image."""
    phantom = once.phantom(**SETTINGS)
    spacing = phantom.ct.geometry.spacing
    images = slice_datasets(phantom.ct.hu, spacing, (0, 0, 0), **STUDY)
    for n, image in enumerate(images):
        drift = 0.09 * max(0, n - len(images) // 2)
        image.ImagePositionPatient = [0, 0, round((n + drift) * spacing[2], 4)]
    ct = read_ct(write(images, tmp_path / "ct"))
    assert "uneven-spacing" in [warning.code for warning in ct.warnings]
    exam = exam_of(ct, phantom.lobes.copy(), phantom.lesions.copy())
    path, _ = objects_of(exam, tmp_path)
    np.testing.assert_array_equal(lobes_of(ct, path), exam.segmentation.lobes)


def test_a_multiframe_ct_has_its_segmentation_on_its_frames(once, tmp_path):
    phantom = once.phantom(**SETTINGS)
    ds = enhanced(phantom.ct.hu, np.ones(len(phantom.ct.hu)), phantom.ct.geometry.spacing)
    for keyword, value in STUDY.items():
        setattr(ds, keyword, value)
    ct = read_ct(write([ds], tmp_path / "ct"))
    exam = exam_of(ct, phantom.lobes.copy(), phantom.lesions.copy())
    path, _ = objects_of(exam, tmp_path)
    lobes, lesions, _ = both(ct, path)
    np.testing.assert_array_equal(lobes, exam.segmentation.lobes)
    np.testing.assert_array_equal(lesions != 0, exam.segmentation.lesions)


@pytest.mark.parametrize("seed", range(25))
def test_flipped_bits_are_refused_in_one_line_or_harmless(world, tmp_path, seed):
    rng = np.random.default_rng(seed)
    data = np.frombuffer(world[1].read_bytes(), np.uint8).copy()
    for at in rng.integers(0, min(len(data), 40_000), rng.integers(1, 5)):
        data[at] ^= 1 << rng.integers(8)
    (tmp_path / "seg.dcm").write_bytes(data.tobytes())
    labels = said = None
    try:
        labels = lobes_of(world[0].ct, tmp_path / "seg.dcm")
    except UnfitInputError as error:
        said = error.line()
    assert (labels is None) == bool(said)
    assert "\n" not in (said or "")
    assert labels is None or labels.shape == world[0].ct.hu.shape
