"""The checks of a result: true masks are sound, each kind of damage is seen, and says what, where and how bad."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from COVIDQuantLib.anatomy import LESION, REGIONS
from COVIDQuantLib.checks.bounds import bounds_of
from COVIDQuantLib.checks.document import filled
from COVIDQuantLib.checks.record import Check, at_least, at_most
from COVIDQuantLib.checks.run import check_labels, run_checks
from COVIDQuantLib.checks.table import CHECKS
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.grades import CheckResult, Grade, finding_line, findings_of, grade_of
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.voxels.block_grid import block_means, block_shares
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.voxels.morphology import distance_to
from COVIDQuantLib.voxels.sampling_grids import Grids
from Testing.evaluation.checks_injection import is_wrong, right_of
from Testing.evaluation.damage.catalogue import DAMAGES
from Testing.evaluation.damage.more_lung import continued_into_liver
from Testing.evaluation.damage.right_masks import Right

# A consolidation that is left out looks like chest wall.
_UNSEEN = {"dense_left_out"}


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=1, thickness_mm=3.0, matrix=128, extent_percent=18.0, motion=False)


@pytest.fixture(scope="module")
def right(phantom) -> tuple[Right, CTVolume]:
    return right_of("phantom", phantom.ct, phantom.lobes, phantom.lesions)


@pytest.fixture(scope="module")
def bounds(right):
    return bounds_of(right[1])


@pytest.fixture(scope="module")
def checks_of(right, bounds):
    """The checks of the case damaged in a way, made once for each way."""
    case, ct = right
    return cache(lambda damage: run_checks(ct, *damaged(case, damage), bounds))


def damaged(case, damage):
    return damage(case, np.random.default_rng(5))


def codes(checks):
    return {check.code for check in findings_of(checks)}


def test_the_truth_is_sound(right, bounds):
    case, ct = right
    checks = run_checks(ct, case.lobes, case.lesions, bounds)
    assert findings_of(checks) == []
    assert grade_of(checks) is Grade.SOUND
    assert {check.code for check in checks} <= {check.code for check in CHECKS}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_seen(right, checks_of, damage):
    if damage.__name__ in _UNSEEN or not is_wrong(right[0], *damaged(right[0], damage)):
        pytest.skip("too little is wrong, or nobody can know")
    assert grade_of(checks_of(damage)) is not Grade.SOUND


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("table_added", "outside-patient"),
        ("wall_lump", "outside-chest"),
        ("eroded_4mm", "missed-air"),
        ("dilated_5mm", "dense-rim"),
        ("lobe_in_pieces", "lobe-pieces"),
        ("blade_of_a_lobe", "lobe-blades"),
        ("holes_cut", "lung-holes"),
        ("slices_missing", "slice-jump"),
        ("lung_missing", "left-share"),
        ("upper_and_lower_swapped", "lobe-order"),
        ("sides_swapped", "lobe-order"),
        ("lobe_swallowed", "lobe-share"),
        ("heart_added", "lung-lump"),
        ("airways_added", "gas-lump"),
        ("all_lung_sick", "lesion-median"),
        ("no_lesion", "lesion-missed"),
        ("lesions_out_of_lung", "lesion-outside"),
        ("continued_into_liver", "lesion-base"),
    ],
)
def test_damage_is_seen_by_the_check_that_is_made_for_it(checks_of, name, code):
    assert code in codes(checks_of(next(d for d in DAMAGES if d.__name__ == name)))


def test_emphysema_is_no_gas_within_walls(right, bounds):
    case, ct = right
    lung = case.lobes > 0
    # The deeper in the lungs the emptier, to plain air.
    deep_mm = distance_to(~lung | case.lesions, ct.geometry.spacing_kji)
    emptier = ct.hu - np.clip((deep_mm - 6) / 12, 0, 1) * (ct.hu + 985) * (ct.hu < -600)
    sparse = CTVolume(emptier.astype(np.int16), ct.geometry)
    assert np.count_nonzero(lung & (emptier < -940)) * ct.geometry.voxel_volume_ml > 200
    value = {c.code: c.value for c in run_checks(sparse, case.lobes, case.lesions, bounds)}
    assert value["gas-lump"] < 5


def test_a_ct_with_exchanged_sides_shows_its_heart_on_the_right(right, bounds):
    case, ct = right
    other_side = np.array([0, 4, 4, 5, 1, 3], np.uint8)
    mirrored = CTVolume(np.ascontiguousarray(ct.hu[:, :, ::-1]), ct.geometry)
    masks = (np.ascontiguousarray(mask[:, :, ::-1]) for mask in (other_side[case.lobes], case.lesions))
    assert not ct.hu.shape[2] % bounds.factors[2], "blocks of the mirrored CT are mirrored blocks"
    chest = SimpleNamespace(
        patient=bounds.patient[:, :, ::-1], cavity=bounds.cavity[:, :, ::-1], factors=bounds.factors
    )
    found = run_checks(mirrored, *masks, chest)
    (heart,) = (check for check in found if check.code == "heart-side")
    assert (heart.grade, heart.value) == (Grade.LOOK, pytest.approx(38, abs=10))
    assert "lobe-order" not in codes(found)
    (as_it_is,) = (check for check in run_checks(ct, case.lobes, case.lesions, bounds) if check.code == "heart-side")
    assert as_it_is.value == pytest.approx(100 - heart.value, abs=2)


def test_what_is_mostly_outside_the_patient_is_not_usable(right, bounds):
    case, ct = right
    lobes = case.lobes.copy()
    lobes[~case.patient] = 5
    checks = run_checks(ct, lobes, case.lesions, bounds)
    assert grade_of(checks) is Grade.UNUSABLE
    assert findings_of(checks)[0].grade is Grade.UNUSABLE


def test_a_finding_names_the_place_and_the_region_at_fault(right, bounds):
    case, ct = right
    lobes = case.lobes.copy()
    k, i = lobes.shape[0] // 2, lobes.shape[2] // 2
    lobes[k : k + 6, -7:-2, i + 10 : i + 30] = 5
    found = next(c for c in findings_of(run_checks(ct, lobes, case.lesions, bounds)) if c.code == "outside-patient")
    assert found.region == "left lower lobe"
    left, back, up = found.place
    there = (ct.geometry.index_to_lps @ (i + 20, lobes.shape[1] - 4, k + 3, 1))[:3]
    assert np.abs(np.array([left, back, up]) - there).max() < 40
    assert "outside the patient" in finding_line(found)
    assert finding_line(found).endswith(f"{'S' if up >= 0 else 'I'}{abs(up):.0f}")


def test_every_region_is_a_row_of_the_table_or_the_pneumonia(checks_of):
    names = {region.name for region in REGIONS} | {LESION.name, ""}
    for damage in DAMAGES[:6]:
        assert {check.region for check in checks_of(damage)} <= names


def test_the_same_is_said_in_any_orientation(phantom, right):
    case, _ = right
    lobes = np.where(case.lobes == 4, 0, case.lobes).astype(np.uint8)
    as_it_is = check_labels(phantom.ct, lobes, case.lesions)
    assert [c.code for c in as_it_is if c.grade is not Grade.SOUND]
    hu, labels, sick = (np.ascontiguousarray(a.transpose(2, 0, 1)) for a in (phantom.ct.hu, lobes, case.lesions))
    spacing = phantom.ct.geometry.spacing
    # Its columns run to the back, its rows to the head, its slices to the left.
    geometry = Geometry(hu.shape, (spacing[1], spacing[2], spacing[0]), (0, 0, 0), (0, 0, 1, 1, 0, 0, 0, 1, 0))
    padding = None if phantom.ct.padding is None else np.ascontiguousarray(phantom.ct.padding.transpose(2, 0, 1))
    other = check_labels(CTVolume(hu, geometry, padding), labels, sick)
    assert [(c.code, c.grade, c.value) for c in other] == [(c.code, c.grade, c.value) for c in as_it_is]


@pytest.mark.parametrize(
    ("lower_hu", "grade"), [(0, Grade.LOOK), (6, Grade.LOOK), (25, Grade.SOUND), (40, Grade.SOUND)]
)
def test_dense_pneumonia_above_the_liver_is_sound_if_its_border_is_visible(right, bounds, lower_hu, grade):
    case, ct = right
    lobes, lesions = damaged(case, continued_into_liver)
    # The same masks are right where the tissue really is consolidation, which is less dense than the liver below it.
    added = (lobes > 0) & (case.lobes == 0)
    hu = np.where(added, ct.hu - lower_hu, ct.hu).astype(np.int16)
    base = [check for check in CHECKS if check.code == "lesion-base"]
    (found,) = run_checks(CTVolume(hu, ct.geometry, ct.padding), lobes, lesions, bounds, checks=base)
    assert found.grade is grade
    if grade is Grade.LOOK:
        x, y, z = found.place
        back = np.linalg.inv(ct.geometry.index_to_lps) @ (x, y, z, 1.0)
        assert added[tuple(np.rint(back[:3]).astype(int)[::-1])]


def test_padding_and_nothing_at_all_are_no_error(right, bounds):
    case, ct = right
    empty = run_checks(ct, np.zeros_like(case.lobes), np.zeros_like(case.lesions), bounds)
    assert grade_of(empty) is Grade.UNUSABLE
    padding = np.zeros(case.hu.shape, bool)
    padding[:, :6] = True
    padded = CTVolume(ct.hu, ct.geometry, padding)
    assert grade_of(run_checks(padded, case.lobes, case.lesions, bounds)) is Grade.SOUND


def test_arrays_of_another_shape_are_refused(right):
    case, ct = right
    with pytest.raises(ValueError, match="differ in shape"):
        run_checks(ct, case.lobes[:-1], case.lesions)


def test_doubt_of_the_networks_is_told_with_its_place(right, bounds):
    case, ct = right
    spacing = ct.geometry.spacing_kji
    sure = np.where(case.lesions, 8.0, -8.0)
    said = {
        c.code: c
        for c in run_checks(ct, case.lobes, case.lesions, bounds, {"lesions": OddsMap.of(sure, (0, 0, 0), spacing)})
    }
    assert said["lesion-doubt"].grade is Grade.SOUND
    assert "lung-doubt" not in said
    unsure = np.where(case.lobes == 1, 0.3, -8.0)
    said = {
        c.code: c
        for c in run_checks(ct, case.lobes, case.lesions, bounds, {"lesions": OddsMap.of(unsure, (0, 0, 0), spacing)})
    }
    assert said["lesion-doubt"].grade is Grade.LOOK
    middle = np.argwhere(case.lobes == 1).mean(axis=0)
    x, y, z = (ct.geometry.index_to_lps @ (*middle[::-1], 1))[:3]
    assert np.abs(np.array(said["lesion-doubt"].place) - (x, y, z)).max() < 80


def test_doubtful_lung_apart_from_the_pneumonia_is_no_doubt_about_its_extent(right, bounds):
    case, ct = right

    def doubt(odds):
        found = OddsMap.of(odds, (0, 0, 0), ct.geometry.spacing_kji)
        checks = run_checks(ct, case.lobes, case.lesions, bounds, {"lesions": found})
        return next(check.value for check in checks if check.code == "lesion-doubt")

    middle = np.rint(np.argwhere(case.lobes == 1).mean(axis=0)).astype(int)
    core = np.zeros(case.lobes.shape, bool)
    core[tuple(slice(at - 2, at + 3) for at in middle)] = True
    far = np.where(core, 8.0, np.where(case.lobes == 4, -0.5, -8.0))
    joined = np.where(core, 8.0, np.where(case.lobes == 1, -0.5, -8.0))
    assert doubt(far) == 0
    share = np.count_nonzero((case.lobes == 1) & ~core) / np.count_nonzero(case.lobes)
    assert doubt(joined) == pytest.approx(50 * share, rel=0.02)


# ---------------------------------------------------------------------------------------------------------- records


def test_a_check_grades_by_its_limits():
    check = Check("c", "t", "%", at_most(3), lambda evidence: [], at_most(10))
    assert [check.grade(v) for v in (-5, 3, 3.1, 10, 11)] == ["sound", "sound", "look", "look", "unusable"]
    check = Check("c", "t", "mm", at_least(3), lambda evidence: [])
    assert [check.grade(v) for v in (3, 2.9, -1e9)] == ["sound", "look", "look"]


def test_results_survive_as_records():
    for place in (None, (1.0, -2.0, 3.5)):
        result = CheckResult("c", Grade.LOOK, "m", "left lung", place, 2.5, "%")
        assert CheckResult.from_record(result.as_record()) == result


def test_the_worst_grade_counts_and_nothing_checked_is_no_grade():
    results = [
        CheckResult("a", Grade.LOOK, "m"),
        CheckResult("b", Grade.UNUSABLE, "m"),
        CheckResult("c", Grade.SOUND, "m"),
    ]
    assert grade_of(results) is Grade.UNUSABLE
    assert [c.code for c in findings_of(results)] == ["b", "a"]
    assert grade_of([]) is None


def test_places_are_told_as_people_tell_them():
    assert finding_line(CheckResult("a", Grade.LOOK, "m", place=(-12.0, 30.4, -100.0))) == "m at R12 P30 I100"


def test_codes_are_told_once_each():
    names = [check.code for check in CHECKS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("shape", [(5, 40, 40), (61, 101, 64), (300, 512, 512)])
def test_grids_hold_every_voxel_once(shape):
    grids = Grids.of(shape, (5.0, 0.7, 0.7))
    samples = grids.samples(np.broadcast_to(np.int16(1), shape)) if shape[0] < 100 else None
    if samples is None:
        return
    counts = [grids.block_count(axis) for axis in range(3)]
    assert block_shares(samples == 1, grids.factors).shape == tuple(counts)
    assert np.allclose(block_means(samples, grids.factors), 1.0)
    for axis, count in enumerate(counts):
        middles = grids.middles(axis, count)
        assert (np.diff(middles) == grids.steps[axis] * grids.factors[axis]).all()


def test_the_documentation_holds_the_table_as_it_is():
    text = (Path(__file__).resolve().parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
    assert filled(text) == text
