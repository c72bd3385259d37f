"""Lobes: exact union, all five, in order; the atlas is what its script fits; distance and overlap hold their bars."""

import json
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from COVIDQuantLib.anatomy import FISSURE, LOBES, labels_of_side
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.evaluation.overlap import dice
from COVIDQuantLib.segmentation.atlas import fit
from COVIDQuantLib.segmentation.atlas.lung_frame import LungFrame
from COVIDQuantLib.segmentation.atlas.model import (
    atlas_path,
    load_atlas,
    sheet_coordinates,
    sheet_to_unit,
)
from COVIDQuantLib.segmentation.fissures.surface_search import cheapest_surface
from COVIDQuantLib.segmentation.lobes.connectivity import join_pieces
from COVIDQuantLib.segmentation.lobes.model_free import find_lobes, place_atlas
from COVIDQuantLib.segmentation.lobes.refinement import part_along_fissures
from COVIDQuantLib.segmentation.lungs.model_free import find_lungs
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom
from COVIDQuantLib.voxels.geometry import Geometry
from Testing.evaluation import lidc_fissures

# 2001 once showed a failure that was mended; 2002 was used nowhere in tuning the lobes.
THIN = PhantomSettings(seed=2001, thickness_mm=3.0, matrix=128, extent_percent=10)
THICK = PhantomSettings(seed=2002, thickness_mm=5.0, matrix=128, extent_percent=10)
# Millimetres by the atlas alone, just above what was measured. The aim of 6 is not reached: left out of the fit, an
# atlas subject's own landmarks lie further than that from the mean sheets.
LIDC_BARS_MM = {1: 11.5, 2: 8.5, 3: 6.5}


@cache
def phantom(settings):
    made = make_phantom(settings)
    return made.ct, np.asarray(made.lobes)


@cache
def parted(settings, *, use_image=True):
    """The lobes found in the true lungs."""
    ct, truth = phantom(settings)
    found = find_lobes(ct, lungs_of(truth), use_image=use_image)
    found.flags.writeable = False
    return found


def lungs_of(lobes):
    table = np.zeros(256, np.uint8)
    table[list(labels_of_side("right"))] = 1
    table[list(labels_of_side("left"))] = 2
    return table[lobes]


def mean_dice(found, truth):
    return float(np.mean([dice(found == lobe.label, truth == lobe.label) for lobe in LOBES]))


def assert_parts_lungs(found, lungs):
    """Nonzero exactly in the lungs, and each lobe in its own lung."""
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found > 0, lungs > 0)
    np.testing.assert_array_equal(lungs_of(found), lungs)


def test_phantom_lobes_overlap_truth():
    """The bar holds for the mean over patients; one whose horizontal fissure is missing may fall a little short."""
    by_image, by_atlas = [], []
    for settings in (THIN, THICK):
        _, truth = phantom(settings)
        found = parted(settings)
        assert_parts_lungs(found, lungs_of(truth))
        by_image.append(mean_dice(found, truth))
        by_atlas.append(mean_dice(parted(settings, use_image=False), truth))
    assert np.mean(by_image) >= 0.90
    assert min(by_image) >= 0.87
    assert min(by_atlas) >= 0.80
    assert np.all(np.array(by_image) > by_atlas)


def test_phantom_lobes_in_lungs_that_were_found():
    ct, truth = phantom(THICK)
    assert mean_dice(find_lobes(ct, find_lungs(ct).mask), truth) >= 0.90


def test_each_lobe_is_one_piece():
    found = parted(THIN)
    for lobe in LOBES:
        pieces, _ = ndimage.label(found == lobe.label)
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() >= 0.995 * sizes.sum(), lobe.name


@pytest.mark.parametrize(
    ("low", "high", "most"),
    [(0.6, 1.0, {1, 4}), (0.0, 0.35, {3, 5}), (0.35, 0.65, {3, 5})],
    ids=["upper third", "lower third", "middle slab"],
)
def test_cut_lungs_keep_their_order(low, high, most):
    ct, truth = phantom(THIN)
    present = np.flatnonzero(truth.any(axis=(1, 2)))
    first, last = (int(present[0] + share * (present[-1] - present[0])) for share in (low, high))
    part, own = truth[first:last], ct.hu[first:last]
    spacing, origin = ct.geometry.spacing, ct.geometry.origin
    geometry = Geometry(part.shape, spacing, (origin[0], origin[1], origin[2] + first * spacing[2]))
    lungs = lungs_of(part)
    found = find_lobes(CTVolume(np.ascontiguousarray(own), geometry), lungs)
    assert_parts_lungs(found, lungs)
    right = [lobe.label for lobe in LOBES if lobe.side == "right" and np.any(found == lobe.label)]
    heights = {label: np.argwhere(found == label)[:, 0].mean() for label in right}
    if {1, 3} <= set(right):
        assert heights[1] > heights[3]
    counts = np.bincount(found.ravel(), minlength=6)
    assert sum(counts[label] for label in most) > 0.4 * counts[1:].sum()
    assert np.mean(found[lungs > 0] == part[lungs > 0]) > 0.7


@pytest.mark.parametrize("slices", [1, 3])
def test_a_few_slices_are_parted(slices):
    ct, truth = phantom(THICK)
    middle = len(truth) // 2
    lungs = lungs_of(truth)[middle : middle + slices]
    geometry = Geometry(lungs.shape, ct.geometry.spacing)
    found = find_lobes(CTVolume(ct.hu[middle : middle + slices].copy(), geometry), lungs)
    assert_parts_lungs(found, lungs)


def test_one_lung_no_lung_and_crumbs():
    ct, truth = phantom(THICK)
    lungs = lungs_of(truth)
    left = np.where(lungs == 2, 2, 0).astype(np.uint8)
    assert set(np.unique(find_lobes(ct, left))) == {0, 4, 5}
    assert not find_lobes(ct, np.zeros_like(lungs)).any()
    crumb = np.zeros_like(lungs)
    crumb[10, 40:43, 40:43] = 1
    assert_parts_lungs(find_lobes(ct, crumb), crumb)


def test_mirrored_patient_is_parted():
    ct, truth = phantom(THICK)
    lungs = np.ascontiguousarray(lungs_of(truth)[:, :, ::-1])
    lungs = np.where(lungs > 0, 3 - lungs, 0).astype(np.uint8)
    found = find_lobes(CTVolume(np.ascontiguousarray(ct.hu[:, :, ::-1]), ct.geometry), lungs)
    assert_parts_lungs(found, lungs)


def test_noise_alone_moves_the_lobes_little():
    ct, truth = phantom(THICK)
    lungs = lungs_of(truth)
    rng = np.random.default_rng(5)
    blank = np.where(lungs > 0, rng.normal(-860, 40, lungs.shape), 40).astype(np.int16)
    empty = CTVolume(blank, ct.geometry)
    found, by_atlas = find_lobes(empty, lungs), find_lobes(empty, lungs, use_image=False)
    assert mean_dice(found, by_atlas) > 0.90


def test_cancel_stops_at_once():
    ct, truth = phantom(THICK)
    told = []

    def report(fraction):
        told.append(fraction)
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        find_lobes(ct, lungs_of(truth), report)
    assert told == sorted(told)
    assert told[-1] < 0.6


def test_progress_runs_from_nought_to_one():
    ct, truth = phantom(THICK)
    told = []
    find_lobes(ct, lungs_of(truth), told.append, use_image=False)
    assert told[0] == 0.0
    assert told[-1] == 1.0
    assert told == sorted(told)


def test_placing_follows_the_patient():
    """Lungs moved and stretched along the axes carry the fissures with them."""
    _, truth = phantom(THICK)
    lungs = lungs_of(truth)
    first = find_lobes(
        CTVolume(np.zeros(lungs.shape, np.int16), Geometry(lungs.shape, (2.0, 2.0, 5.0))), lungs, use_image=False
    )
    moved = np.pad(lungs, ((3, 5), (7, 2), (4, 9)))
    ct = CTVolume(np.zeros(moved.shape, np.int16), Geometry(moved.shape, (2.3, 1.9, 5.2)))
    second = find_lobes(ct, moved, use_image=False)[3:-5, 7:-2, 4:-9]
    assert np.mean(first[lungs > 0] == second[lungs > 0]) > 0.97


def test_frame_and_sheet_coordinates_turn_back():
    rng = np.random.default_rng(3)
    ball = rng.normal(size=(40000, 3))
    ball = ball[np.linalg.norm(ball, axis=1) < 1.8] * (30, 45, 60) + (10, 20, 300)
    frame = LungFrame.of(ball)
    unit = rng.uniform(-0.9, 0.9, (500, 3))
    np.testing.assert_allclose(frame.to_unit(frame.to_points(unit)), unit, atol=2e-3)
    for name in FISSURE:
        np.testing.assert_allclose(sheet_to_unit(name, *sheet_coordinates(name, unit)), unit, atol=1e-12)


def test_atlas_file_holds_three_fissures_and_its_licence():
    atlas = load_atlas()
    assert set(atlas.fissures) == set(FISSURE)
    for model in atlas.fissures.values():
        sizes = np.linalg.norm(model.modes, axis=0)
        assert np.all(np.diff(sizes) <= 1e-6)
    licence = (atlas_path().parent / "License.txt").read_text(encoding="utf-8")
    assert "PART B. DOWNLOADING AGREEMENT" in licence
    assert "All or portions of this licensed product" in " ".join(licence.split())


@pytest.mark.slow
@pytest.mark.shared
def test_atlas_file_is_what_its_script_fits(shared_data):
    refitted = fit.fit_atlas(shared_data / "cip_lobe_atlas" / "LungLobeAtlasData")
    shipped = json.loads(atlas_path().read_text(encoding="utf-8"))
    assert refitted.keys() == shipped.keys()
    for name, fissure in shipped["fissures"].items():
        assert fissure.keys() == refitted["fissures"][name].keys()
        for key, numbers in fissure.items():
            np.testing.assert_allclose(refitted["fissures"][name][key], numbers, atol=2e-3, err_msg=f"{name} {key}")
    for side, lung in shipped["lungs"].items():
        np.testing.assert_allclose(refitted["lungs"][side]["profile"], lung["profile"], atol=1e-5)


@pytest.mark.shared
def test_landmarks_lie_in_the_reference_lungs(shared_data):
    """The transforms are used the right way round: nine landmarks in ten lie in the lungs' box, and on a sheet."""
    folder = shared_data / "cip_lobe_atlas" / "LungLobeAtlasData"
    frames = {side: LungFrame.of(points) for side, points in fit.reference_lungs(folder).items()}
    subjects = [fit.subject_landmarks(path) for path in sorted(folder.glob("*Points.csv"))[:20]]
    for name, side in (("right oblique", "right"), ("left oblique", "left")):
        unit = frames[side].to_unit(np.concatenate([subject[name] for subject in subjects]))
        assert np.mean(np.all(np.abs(unit) < 1.25, axis=1)) > 0.9


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("patient", lidc_fissures.PATIENTS)
def test_manual_fissures_lie_near_our_boundaries(shared_data, patient):
    case = lidc_fissures.load_case(shared_data / f"medmpd_lidc_p{patient}_labels.nrrd")
    by_name = lidc_fissures.distances(case)
    assert np.concatenate(list(by_name.values())).mean() <= LIDC_BARS_MM[patient]


def test_cheapest_surface_follows_a_trough_and_spans_a_gap():
    first, second = np.meshgrid(np.arange(40), np.arange(30), indexing="ij")
    truth = 15 + 4 * np.sin(first / 9) + 0.15 * second
    levels = np.arange(40)
    cost = -3 * np.exp(-0.5 * (levels - truth[..., None]) ** 2)
    cost[15:20, 10:20] = 0
    found = cheapest_surface(cost.astype(np.float32), (0.15, 0.5, 1.2), 3.0)
    seen = np.ones(first.shape, bool)
    seen[15:20, 10:20] = False
    assert np.abs(found - truth)[seen].max() < 0.6
    assert np.abs(found - truth)[~seen].max() < 2.5


def test_pieces_go_to_the_lobe_around_them_and_islands_stay():
    lobes = np.zeros((12, 12, 12), np.uint8)
    lobes[:, :, :6], lobes[:, :, 6:10] = 1, 3
    lobes[4, 4, 8] = 1
    lobes[5, 5, 11] = 1
    join_pieces(lobes, (1, 2, 3))
    assert lobes[4, 4, 8] == 3
    assert lobes[5, 5, 11] == 1


def test_sheets_are_placed_for_the_lungs_present():
    ct, truth = phantom(THICK)
    assert set(place_atlas(lungs_of(truth), ct.geometry)) == set(FISSURE)


# ----------------------------------------------------------------------------------------------- fissures by a network


def true_chance(lobes):
    """What a network that is never wrong says: 1 at the voxels on either side of each fissure."""
    chance = {}
    for name, fissure in FISSURE.items():
        above, below = fissure.above, fissure.below
        chance[name] = np.zeros(lobes.shape, np.float32)
        for axis in range(3):
            low, high = (np.moveaxis(lobes, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
            meets = (np.isin(low, above) & np.isin(high, below)) | (np.isin(low, below) & np.isin(high, above))
            for part in (slice(None, -1), slice(1, None)):
                np.moveaxis(chance[name], axis, 0)[part][meets] = 1
    return chance


def test_rough_lobes_are_parted_along_the_fissures_that_are_seen():
    """Lobes whose borders lie 12 mm too high come back to where the fissures are."""
    ct, true = phantom(THIN)
    lungs = lungs_of(true)
    rough = np.roll(true, 4, axis=0)
    rough[lungs_of(rough) != lungs] = 0
    rough = np.where((lungs > 0) & (rough == 0), np.where(lungs == 1, 3, 5), rough).astype(np.uint8)
    found = part_along_fissures(rough, ct.geometry, true_chance(true), (0.0, 0.0, 0.0), ct.geometry.spacing_kji)
    assert_parts_lungs(found, lungs)
    assert mean_dice(rough, true) < 0.9
    assert mean_dice(found, true) > max(0.9, mean_dice(rough, true) + 0.03)


def test_lobes_stay_where_no_fissure_is_seen():
    ct, true = phantom(THIN)
    nothing = dict.fromkeys(FISSURE, np.zeros((4, 4, 4), np.float32))
    found = part_along_fissures(true, ct.geometry, nothing, (0.0, 0.0, 0.0), (60.0, 60.0, 60.0))
    np.testing.assert_array_equal(found, true)


def test_lungs_that_go_on_beyond_the_ct_keep_their_lobes():
    ct, true = phantom(THIN)
    top = np.ascontiguousarray(true[true.shape[0] // 2 :])
    chance = {name: np.ascontiguousarray(values[len(true) // 2 :]) for name, values in true_chance(true).items()}
    geometry = Geometry(top.shape, ct.geometry.spacing)
    rough = np.where(top == 2, 1, top).astype(np.uint8)
    found = part_along_fissures(rough, geometry, chance, (0.0, 0.0, 0.0), geometry.spacing_kji)
    np.testing.assert_array_equal(found, rough)
