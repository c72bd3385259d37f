"""The user's own masks on a phantom: other programs' labels give the true figures, misplaced masks are refused."""

from itertools import permutations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.masks.interpretation import as_asked
from COVIDQuantLib.ct.masks.label_maps import read_label_map
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.pipeline import MODEL_FREE, GivenMasks, Plan, segment_ct
from COVIDQuantLib.progress import StagedProgress
from COVIDQuantLib.segmentation.lungs.sides import sides_of_lobes
from COVIDQuantLib.segmentation.masks.placement import MaskFit, check_lesions_fit, check_lungs_fit, taken_as
from COVIDQuantLib.segmentation.masks.user_masks import read_given_masks
from COVIDQuantLib.segmentation.patient.bounds import find_chest
from COVIDQuantLib.voxels.geometry import Geometry

FREE = Plan(MODEL_FREE)
TOTAL_NAMES = {lobe.label: "lung_{1}_lobe_{0}".format(*lobe.name.split()) for lobe in LOBES}


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=3, thickness_mm=5.0, matrix=64, extent_percent=20, motion=False)


@pytest.fixture(scope="module")
def fit(phantom):
    return fit_of(phantom.ct)


@pytest.fixture(scope="module")
def sick(once):
    return once.phantom(seed=1, thickness_mm=10.0, matrix=48, extent_percent=60)


@pytest.fixture(scope="module")
def sick_fit(sick):
    return fit_of(sick.ct)


def fit_of(ct):
    return MaskFit(ct, find_chest(ct))


def mapped(labels, meaning):
    """Our labels in another program's numbers."""
    table = np.zeros(1 + max(meaning), np.uint16)
    table[list(meaning)] = list(meaning.values())
    return table[labels]


def lungs_of(phantom, right, left, dtype=np.uint8):
    return mapped(sides_of_lobes(phantom.lobes), {1: right, 2: left}).astype(dtype)


def trachea(phantom):
    """A tube between the lungs, from their middle to the top of the picture."""
    depth, height, width = phantom.lobes.shape
    k, j, i = np.ogrid[:depth, :height, :width]
    sides = sides_of_lobes(phantom.lobes)
    right, left = (np.argwhere(sides == side)[:, 2] for side in (1, 2))
    middle = (np.percentile(right, 98) + np.percentile(left, 2)) / 2
    row = np.argwhere(sides)[:, 1].mean()
    tube = (k > depth / 2) & ((j - row) ** 2 + (i - middle) ** 2 <= 4)
    return tube & (phantom.lobes == 0)


def write(path, labels, geometry):
    sitk.WriteImage(geometry.to_image(np.ascontiguousarray(labels)), str(path))
    return path


def segmented(phantom, ct=None, **paths):
    """What the pipeline makes of the files: lobes, lesions, codes of the warnings."""
    ct = ct or CTVolume(phantom.ct.hu, phantom.ct.geometry)
    masks, sources, warnings = read_given_masks(paths, ct)
    result = segment_ct(ct, GivenMasks(**masks, sources=sources), StagedProgress(FREE.stages), FREE)
    return result, [warning.code for warning in (*warnings, *result.warnings)]


def refused(code, phantom, ct=None, **paths):
    with pytest.raises(UnfitInputError) as refusal:
        segmented(phantom, ct, **paths)
    assert refusal.value.code == code
    assert "\n" not in refusal.value.line()
    return refusal.value.line()


# ------------------------------------------------------------------------------------------ layouts, by taken_as alone


LOBE_LAYOUTS = {
    "LTRCLobes": {1: 3, 2: 4, 3: 5, 4: 1, 5: 2},
    "TotalSegmentator 2 total": {1: 12, 2: 13, 3: 14, 4: 10, 5: 11},
    "TotalSegmentator 1 total": {1: 15, 2: 16, 3: 17, 4: 13, 5: 14},
    "Chest Imaging Platform": {1: 4, 2: 5, 3: 6, 4: 7, 5: 8},
    "by their positions": {1: 30, 2: 10, 3: 50, 4: 20, 5: 40},
}


@pytest.mark.parametrize("name", LOBE_LAYOUTS)
def test_lobes_of_other_programs_are_brought_to_our_numbers(phantom, fit, name):
    labels, warnings = taken_as(mapped(phantom.lobes, LOBE_LAYOUTS[name]), "lobes", fit, "x.nii.gz")
    assert np.array_equal(labels, phantom.lobes)
    assert [warning.code for warning in warnings] == ["mask-layout"]
    assert name in warnings[0].message


@pytest.mark.parametrize("order", [*permutations(range(1, 6))][::11])
def test_lobes_numbered_in_any_order_are_told_by_place(phantom, fit, order):
    labels, warnings = taken_as(mapped(phantom.lobes, dict(enumerate(order, start=1))), "lobes", fit, "x.nii.gz")
    assert np.array_equal(labels, phantom.lobes)
    assert [w.code for w in warnings] == ([] if order == (1, 2, 3, 4, 5) else ["mask-layout"])


def test_of_a_total_segmentation_the_lobes_are_taken(phantom, fit):
    total = mapped(phantom.lobes, LOBE_LAYOUTS["TotalSegmentator 2 total"])
    flesh = (phantom.lobes == 0) & (phantom.ct.hu > 0)
    total[flesh] = 51
    total[: len(total) // 4][flesh[: len(total) // 4]] = 5
    assert np.array_equal(taken_as(total, "lobes", fit, "total.nii.gz")[0], phantom.lobes)
    assert np.array_equal(taken_as(total, "lungs", fit, "total.nii.gz")[0], sides_of_lobes(phantom.lobes))


def test_lungs_and_infection(phantom, fit):
    both = np.where(phantom.lesions, 3, lungs_of(phantom, 2, 1)).astype(np.uint8)
    lesions, warnings = taken_as(both, "lesions", fit, "x")
    assert np.array_equal(lesions != 0, phantom.lesions)
    assert [warning.code for warning in warnings] == ["mask-layout"]
    lungs, warnings = taken_as(both, "lungs", fit, "x")
    assert np.array_equal(lungs, sides_of_lobes(phantom.lobes))
    assert [warning.code for warning in warnings] == ["mask-layout"]


@pytest.mark.parametrize(("right", "left", "tube"), [(4, 3, 5), (1, 2, 3), (7, 9, 2)])
def test_airways_are_left_out_of_the_lungs(phantom, fit, right, left, tube):
    labels = lungs_of(phantom, right, left)
    labels[trachea(phantom)] = tube
    lungs, warnings = taken_as(labels, "lungs", fit, "x")
    assert np.array_equal(lungs, sides_of_lobes(phantom.lobes))
    assert [warning.code for warning in warnings] == ["mask-layout"]


@pytest.mark.parametrize(("right", "left"), [(1, 2), (2, 1), (2, 3), (3, 2), (3, 1), (20, 10)])
def test_two_lungs_are_told_by_place_without_a_word(phantom, fit, right, left):
    labels = lungs_of(phantom, right, left)
    lungs, warnings = taken_as(labels, "lungs", fit, "x")
    assert np.array_equal(lungs, labels)
    assert not warnings


@pytest.mark.parametrize("lungs_value", [1, 2])
def test_both_lungs_as_one_label_beside_pneumonia_or_airways(phantom, fit, lungs_value):
    tube = trachea(phantom)
    inside = phantom.lobes > 0
    for more, true in ((phantom.lesions, inside), (tube, inside)):
        labels = np.where(more, 3 - lungs_value, lungs_value * inside).astype(np.uint8)
        lungs, warnings = taken_as(labels, "lungs", fit, "x")
        assert np.array_equal(lungs != 0, true)
        assert [warning.code for warning in warnings] == ["mask-layout"]


def test_region_and_type_in_two_bytes(phantom, fit):
    rng = np.random.default_rng(0)
    regions = mapped(phantom.lobes, LOBE_LAYOUTS["Chest Imaging Platform"])
    types = rng.integers(0, 4, regions.shape).astype(np.uint16) * (regions > 0)
    types[trachea(phantom)] = 2
    assert np.array_equal(taken_as(regions | types << 8, "lobes", fit, "x")[0], phantom.lobes)
    thirds = np.digitize(np.arange(len(regions)), [len(regions) / 3, 2 * len(regions) / 3])
    sides = sides_of_lobes(phantom.lobes)
    thirds = np.where(sides == 1, 14, np.where(sides == 2, 11, 0)) - thirds[:, None, None] * (sides > 0)
    assert np.array_equal(
        taken_as(thirds.astype(np.uint16) | types << 8, "lungs", fit, "x")[0], sides_of_lobes(phantom.lobes)
    )


def test_our_own_lobes_lungs_and_lesions_pass_without_a_word(phantom, fit):
    for labels, content in ((phantom.lobes, "lobes"), (phantom.lobes, "lungs"), (phantom.lesions, "lesions")):
        taken, warnings = taken_as(labels, content, fit, "x")
        assert np.array_equal(taken != 0, labels != 0)
        assert not warnings


@pytest.mark.parametrize(
    ("make", "content", "code"),
    [
        (lambda p: lungs_of(p, 1, 2), "lobes", "mask-not-lobes"),
        (lambda p: np.where(p.lesions, 3, lungs_of(p, 2, 1)), "lobes", "mask-not-lobes"),
        (lambda p: p.lobes > 0, "lobes", "mask-one-lobe"),
        (lambda p: p.lobes == 5, "lobes", "mask-one-lobe"),
        (lambda p: 255 * (p.lobes == 2).astype(np.uint8), "lobes", "mask-one-lobe"),
        (lambda p: p.lobes * 0, "lobes", "mask-empty"),
        (lambda p: 1 + (p.lobes > 0) + p.lesions, "lobes", "mask-labels-unknown"),
        (lambda p: (p.lobes > 0) + p.lesions.astype(np.uint8), "lesions", "mask-labels-unknown"),
        (lambda p: p.lobes, "lesions", "mask-not-lesions"),
        (lambda p: lungs_of(p, 1, 2), "lesions", "mask-not-lesions"),
        (lambda p: (p.lobes > 0) * np.arange(1, 65)[None, None], "lungs", "mask-labels-unknown"),
        (lambda p: p.ct.hu > -200, "lungs", "mask-elsewhere"),
        (lambda p: np.ones(p.lobes.shape, bool), "lungs", "mask-not-lungs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_masks_that_cannot_be_what_they_are_given_for(phantom, fit, make, content, code):
    with pytest.raises(UnfitInputError) as refusal:
        taken_as(make(phantom), content, fit, "x.nii.gz")
    assert refusal.value.code == code


# ------------------------------------------------------------------------------------------------------- the places


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("content", ["lobes", "lungs", "lesions"])
def test_a_mask_turned_about_is_refused(phantom, fit, axes, content):
    true = {"lobes": phantom.lobes, "lungs": lungs_of(phantom, 1, 2), "lesions": phantom.lesions}[content]
    turned = np.ascontiguousarray(np.flip(true, axes))
    with pytest.raises(UnfitInputError) as refusal:
        check_lesions_fit(taken_as(turned, content, fit, "x.nii.gz")[0], phantom.lobes, fit, "x.nii.gz")
    assert refusal.value.code == "mask-flipped"


@pytest.mark.parametrize("name", ["LTRCLobes", "TotalSegmentator 2 total"])
def test_lobes_of_another_program_turned_left_to_right_are_refused(phantom, fit, name):
    turned = np.ascontiguousarray(mapped(phantom.lobes, LOBE_LAYOUTS[name])[:, :, ::-1])
    with pytest.raises(UnfitInputError) as refusal:
        taken_as(turned, "lobes", fit, "x.nii.gz")
    assert refusal.value.code == "mask-flipped"


@settings(max_examples=25, deadline=None)
@given(corners=st.tuples(*[st.tuples(st.floats(0, 0.7), st.floats(0.3, 1.0))] * 3))
def test_no_part_of_the_lungs_is_refused(sick, sick_fit, corners):
    part = tuple(
        slice(int(low * n), max(2, int(high * n))) for (low, high), n in zip(corners, sick.lobes.shape, strict=True)
    )
    inside = np.zeros(sick.lobes.shape, bool)
    inside[part] = True
    check_lungs_fit((sick.lobes > 0) & inside, sick_fit, "x")
    check_lesions_fit(sick.lesions & inside, sick.lobes, sick_fit, "x")


def whitened(phantom, white):
    hu = phantom.ct.hu.copy()
    hu[white] = np.random.default_rng(1).normal(35, 12, np.count_nonzero(white)).astype(np.int16)
    return CTVolume(hu, phantom.ct.geometry)


@pytest.mark.parametrize("white", [(), (1, 2, 3), (4, 5), (3, 5), (1, 4), (1, 2, 3, 4, 5)])
def test_diseased_lungs_are_never_refused(sick, white):
    """60 % disease, one white lung, white lower lobes, all white; both lungs, one, or the white part alone."""
    made = sick
    chest = fit_of(whitened(made, np.isin(made.lobes, white)))
    sides = sides_of_lobes(made.lobes)
    for lungs in (made.lobes > 0, sides == 1, sides == 2, np.isin(made.lobes, white)):
        assert not [w for w in check_lungs_fit(lungs, chest, "x") if w.code != "mask-fit"]
    assert np.array_equal(taken_as(made.lobes, "lobes", chest, "x")[0], made.lobes)
    assert np.array_equal(taken_as(sides, "lungs", chest, "x")[0], sides)
    lesions = made.lesions | np.isin(made.lobes, white)
    check_lesions_fit(taken_as(lesions, "lesions", chest, "x")[0], made.lobes, chest, "x")


def test_disease_of_a_lung_that_was_not_found_is_told_not_refused(sick):
    white = sides_of_lobes(sick.lobes) == 1
    chest = fit_of(whitened(sick, white))
    warnings = check_lesions_fit(white, np.where(white, 0, sick.lobes), chest, "x")
    assert [warning.code for warning in warnings] == ["mask-fit"]


@pytest.mark.parametrize(
    "part",
    [np.s_[:25], np.s_[25:], np.s_[15:30], np.s_[:, :, :32], np.s_[:, :, 32:], np.s_[:, 10:54, 8:56]],
    ids=["base", "apex", "slab", "right half", "left half", "narrow"],
)
def test_masks_of_a_cropped_ct_pass(phantom, part):
    hu, lobes = (np.ascontiguousarray(array[part]) for array in (phantom.ct.hu, phantom.lobes))
    chest = fit_of(CTVolume(hu, Geometry(hu.shape, phantom.ct.geometry.spacing)))
    assert np.array_equal(taken_as(lobes, "lobes", chest, "x")[0], lobes)
    assert np.array_equal(taken_as(lobes, "lungs", chest, "x")[0] != 0, lobes != 0)
    lesions = phantom.lesions[part]
    check_lesions_fit(taken_as(lesions, "lesions", chest, "x")[0], lobes, chest, "x")


def test_a_stray_voxel_of_a_lobe_elsewhere_does_not_matter(phantom, fit):
    lobes = phantom.lobes.copy()
    lobes[tuple(np.argwhere(lobes == 5)[0])] = 2
    assert np.array_equal(taken_as(lobes, "lobes", fit, "x")[0], lobes)


# -------------------------------------------------------------------------------------------------------- the files


def test_a_file_for_each_lobe_in_any_order_or_as_a_folder(phantom, tmp_path):
    geometry = phantom.ct.geometry
    files = [
        write(tmp_path / f"{TOTAL_NAMES[label]}.nii.gz", (phantom.lobes == label).astype(np.uint8), geometry)
        for label in (5, 3, 1, 4, 2)
    ]
    write(tmp_path / "heart.nii.gz", (phantom.lobes == 9).astype(np.uint8), geometry)
    lesions = [write(tmp_path / "lesions.nrrd", phantom.lesions.astype(np.uint8), geometry)]
    for paths in (files, files[::-1], [tmp_path]):
        masks, _, warnings = read_given_masks({"lobes": paths, "lesions": lesions}, phantom.ct)
        assert np.array_equal(masks["lobes"], phantom.lobes)
        assert not warnings
    result, codes = segmented(phantom, lobes=files, lesions=lesions)
    assert np.array_equal(result.lobes, phantom.lobes)
    assert np.array_equal(result.lesions, phantom.lesions)
    assert not [code for code in codes if code.startswith(("mask", "lobes"))]
    assert "lung_upper_lobe_left.nii.gz" in result.provenance["lobes"]["source"]
    masks, _, warnings = read_given_masks({"lungs": [tmp_path]}, phantom.ct)
    assert np.array_equal(masks["lungs"], sides_of_lobes(phantom.lobes))
    assert not warnings


def test_files_whose_names_do_not_tell_are_told_by_place(phantom, tmp_path):
    files = [
        write(tmp_path / f"{letter}.nrrd", 255 * (phantom.lobes == label).astype(np.uint8), phantom.ct.geometry)
        for letter, label in zip("abcde", (2, 5, 1, 4, 3), strict=True)
    ]
    masks, _, warnings = read_given_masks({"lobes": files}, phantom.ct)
    assert np.array_equal(masks["lobes"], phantom.lobes)
    assert [warning.code for warning in warnings] == ["mask-layout"]
    assert refused("mask-joined", phantom, lobes=files[:3])


def test_overlap_missing_lobes_and_unions_are_told(phantom, tmp_path):
    lobes, geometry = phantom.lobes, phantom.ct.geometry
    more = (lobes == 1) | ((lobes == 3) & (np.arange(len(lobes))[:, None, None] > 20))
    files = [
        write(tmp_path / f"{name}.nrrd", mask.astype(np.uint8), geometry)
        for name, mask in (("RUL", more), ("RLL", lobes == 3), ("LUL", lobes == 4), ("LLL", lobes == 5))
    ]
    masks, _, warnings = read_given_masks({"lobes": files}, phantom.ct)
    assert np.array_equal(masks["lobes"], np.where(more, 1, np.where(lobes == 2, 0, lobes)))
    assert [warning.code for warning in warnings] == ["lobes-missing", "masks-overlap"]
    halves = [phantom.lesions & (lobes < 3), phantom.lesions & (lobes >= 3)]
    parts = [write(tmp_path / f"part{n}.nrrd", half.astype(np.uint8), geometry) for n, half in enumerate(halves)]
    assert np.array_equal(read_given_masks({"lesions": parts}, phantom.ct)[0]["lesions"] != 0, phantom.lesions)
    sides = sides_of_lobes(lobes)
    lungs = [write(tmp_path / f"{n}.nrrd", (sides == n).astype(np.uint8), geometry) for n in (2, 1)]
    result, _ = segmented(phantom, lungs=lungs, lesions=parts)
    assert np.array_equal(sides_of_lobes(result.lobes), sides)


def test_one_file_of_five_or_a_folder_without_lobes_is_refused(phantom, tmp_path):
    file = write(tmp_path / "lung_lower_lobe_left.nii.gz", (phantom.lobes == 5).astype(np.uint8), phantom.ct.geometry)
    assert "label 1 (right upper lobe) lies alone, in the left lung" in refused("mask-one-lobe", phantom, lobes=[file])
    assert "lung_lower" in refused("mask-folder", phantom, lesions=[tmp_path])
    (tmp_path / "empty").mkdir()
    refused("mask-dicom", phantom, lobes=[tmp_path / "empty"])


@pytest.mark.parametrize("content", ["lobes", "lungs", "lesions"])
def test_a_header_that_says_nothing_is_passed_over_where_the_voxels_fit(phantom, tmp_path, content):
    true = {"lobes": phantom.lobes, "lungs": lungs_of(phantom, 1, 2), "lesions": phantom.lesions.astype(np.uint8)}
    nibabel.save(nibabel.Nifti1Image(true[content].T, np.eye(4)), tmp_path / "mask.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(true[content]), str(tmp_path / "mask.nrrd"))
    for name in ("mask.nii.gz", "mask.nrrd"):
        masks, _, warnings = read_given_masks({content: [tmp_path / name]}, phantom.ct)
        assert np.array_equal(masks[content], true[content])
        assert [warning.code for warning in warnings] == ["mask-voxel-by-voxel"]
    sitk.WriteImage(sitk.GetImageFromArray(true[content][::-1].copy()), str(tmp_path / "mask.nrrd"))
    line = refused("mask-elsewhere", phantom, **{content: [tmp_path / "mask.nrrd"]})
    assert "by its header it is misplaced" in line


@pytest.mark.parametrize("content", ["lobes", "lungs", "lesions"])
@pytest.mark.parametrize("shift", [(60.0, 0.0, 0.0), (0.0, -50.0, 0.0), (0.0, 0.0, 70.0), (900.0, 0.0, 0.0)])
def test_the_same_matrix_at_another_origin_is_refused(phantom, tmp_path, content, shift):
    own = phantom.ct.geometry
    moved = Geometry(own.shape, own.spacing, tuple(np.add(own.origin, shift)))
    true = {"lobes": phantom.lobes, "lungs": lungs_of(phantom, 1, 2), "lesions": phantom.lesions.astype(np.uint8)}
    refused("mask-elsewhere", phantom, **{content: [write(tmp_path / "m.nrrd", true[content], moved)]})


@pytest.mark.parametrize("labels", [(1,), (3,), (1, 2, 3), (1, 2, 3, 4, 5)])
def test_lungs_or_a_lobe_are_no_pneumonia(phantom, fit, labels):
    with pytest.raises(UnfitInputError) as refusal:
        check_lesions_fit(np.isin(phantom.lobes, labels), phantom.lobes, fit, "x")
    assert refusal.value.code == "mask-not-lesions"


def test_no_pneumonia_is_a_mask_too(phantom, tmp_path):
    empty = np.zeros_like(phantom.lobes)
    moved = Geometry(phantom.ct.geometry.shape, (1.0, 1.0, 1.0))
    for geometry in (phantom.ct.geometry, moved):
        masks, _, _ = read_given_masks({"lesions": [write(tmp_path / "none.nrrd", empty, geometry)]}, phantom.ct)
        assert not masks["lesions"].any()


def test_half_a_voxel_is_no_fault(phantom, tmp_path):
    own = phantom.ct.geometry
    half = Geometry(own.shape, own.spacing, tuple(np.add(own.origin, np.divide(own.spacing, 2))))
    result, codes = segmented(phantom, lobes=[write(tmp_path / "half.nrrd", phantom.lobes, half)])
    assert "labels-resampled" in codes
    assert np.count_nonzero(result.lobes) == pytest.approx(np.count_nonzero(phantom.lobes), rel=0.02)
    speck = np.zeros_like(phantom.lobes)
    speck[tuple(np.argwhere(phantom.lesions)[0])] = 1
    masks, _, warnings = read_given_masks({"lesions": [write(tmp_path / "speck.nrrd", speck, half)]}, phantom.ct)
    assert np.count_nonzero(masks["lesions"]) == 1
    assert [warning.code for warning in warnings] == ["labels-resampled"]


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.integers(0, 65535), min_size=1, max_size=9),
    content=st.sampled_from(["lobes", "lungs", "lesions"]),
    seed=st.integers(0, 99),
    middle=st.none() | st.floats(0, 1),
)
def test_any_labels_are_read_or_refused(values, content, seed, middle):
    rng = np.random.default_rng(seed)
    labels = np.array([0, *values], np.uint16)[rng.integers(0, 1 + len(values), (6, 7, 8))]
    for strict in (False, True):
        try:
            taken, _ = as_asked(labels, content, (5.0, 2.0, 2.0), "x", strict=strict, middle=middle)
        except UnfitInputError:
            continue
        assert taken.shape == labels.shape


def test_an_image_given_as_a_mask_is_refused_at_once(phantom, fit):
    image = np.arange(phantom.ct.hu.size, dtype=np.uint32).reshape(phantom.ct.hu.shape) % 60000
    for content in ("lobes", "lungs", "lesions"):
        with pytest.raises(UnfitInputError) as refusal:
            taken_as(image, content, fit, "image.nrrd")
        assert refusal.value.code == "mask-labels-unknown"


def test_a_reference_of_another_program_is_read_alike_without_a_ct(phantom, tmp_path):
    theirs = mapped(phantom.lobes, LOBE_LAYOUTS["LTRCLobes"]).astype(np.uint8)
    path = write(tmp_path / "p1_lobes.nii.gz", theirs, phantom.ct.geometry)
    labels, warnings = read_label_map(path, phantom.ct.geometry, "lobes")
    assert np.array_equal(labels, phantom.lobes)
    assert [warning.code for warning in warnings] == ["mask-layout"]
