"""The sorted list of findings: what it tells, that it is exact about removal, and what must not change a score."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.errors import Cancelled, UnfitInputError
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.resources import resource_path
from COVIDQuantLib.review.components import find_components
from COVIDQuantLib.review.cue_scores import CueScorer
from COVIDQuantLib.review.cue_weights import CueWeights, shipped_cue_weights
from COVIDQuantLib.review.cues import CUES
from COVIDQuantLib.review.suspicion import rank
from Testing.review_chest import Chest

CHEST = Chest()
VOXEL_ML = float(np.prod(CHEST.spacing)) / 1000
ARTEFACTS = {
    "right dome": CHEST.layer_on_diaphragm(9.0, -1),
    "left dome": CHEST.layer_on_diaphragm(7.0, 1),
    "heart": CHEST.layer_at_heart(7.0),
}
LESIONS = {
    "right, behind": CHEST.ball(-85, 30, 20, 14),
    "left, above": CHEST.ball(75, -20, 45, 12),
    "left, outside": CHEST.ball(104, 10, 0, 15),
}
ALL = {**ARTEFACTS, **LESIONS}
MASK = np.logical_or.reduce(list(ALL.values()))
HU = CHEST.painted(*((mask, -480) for mask in ARTEFACTS.values()), *((mask, -520) for mask in LESIONS.values()))


@pytest.fixture(scope="module")
def findings():
    return rank(HU, MASK, CHEST.lobes, CHEST.spacing)


def named(findings):
    """Findings by the name of the part they are."""
    found = {}
    for finding in findings:
        for name, mask in ALL.items():
            if (mask[finding.box] & finding.mask()).sum() > 0.5 * finding.mask().sum():
                found[name] = finding
    return found


def row_without(finding, mask, lobes, thresholds=None):
    """The whole lung's row once a finding is taken out, counted anew."""
    left = mask.copy()
    left[finding.box] &= ~finding.mask()
    histogram = JointHistogram.of(HU, lobes, left, VOXEL_ML)
    table = compute_metrics(histogram, thresholds) if thresholds else compute_metrics(histogram)
    return table.row("whole lung")


def test_artefacts_come_before_lesions(findings):
    found = named(findings)
    assert set(found) == set(ALL)
    worst_artefact = min(found[name].score for name in ARTEFACTS)
    assert worst_artefact > max(found[name].score for name in LESIONS)
    assert all(found[name].suspected for name in ARTEFACTS)
    assert not any(found[name].suspected for name in LESIONS)


def test_the_list_is_sorted_and_numbered(findings):
    assert [finding.number for finding in findings] == list(range(1, len(findings) + 1))
    scores = [finding.score for finding in findings]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert len({finding.id for finding in findings}) == len(findings)


def test_a_finding_tells_what_and_where(findings):
    found = named(findings)
    dome = found["right dome"]
    assert "right lower lobe" in dome.lobes
    assert dome.cues["diaphragm"] > 0.9
    assert any("diaphragm" in str(reason) for reason in dome.reasons)
    assert found["heart"].cues["heart_border"] > 0.8
    assert dome.mean_hu == pytest.approx(-480, abs=5)
    assert set(dome.cues) == {cue.name for cue in CUES}
    assert all("{" not in str(reason) for finding in findings for reason in finding.reasons)
    assert found["left, above"].reasons == ()


@pytest.mark.parametrize("thresholds", [None, Thresholds(-700, -480)])
def test_removing_a_finding_changes_the_figures_as_announced(findings, thresholds):
    if thresholds:
        findings = rank(HU, MASK, CHEST.lobes, CHEST.spacing, thresholds=thresholds)
    histogram = JointHistogram.of(HU, CHEST.lobes, MASK, VOXEL_ML)
    before = compute_metrics(histogram, thresholds or Thresholds()).row("whole lung")
    for finding in findings:
        after = row_without(finding, MASK, CHEST.lobes, thresholds)
        assert set(finding.effect) == {measure.name for measure in MEASURES}
        for name, change in finding.effect.items():
            assert change == after[name] - before[name], name


def test_a_given_histogram_saves_the_count(findings):
    histogram = JointHistogram.of(HU, CHEST.lobes, MASK, VOXEL_ML)
    again = rank(HU, MASK, CHEST.lobes, CHEST.spacing, histogram=histogram)
    assert again == findings


def test_the_last_lesion_leaves_no_mean(findings):
    alone = ALL["left, above"]
    (finding,) = rank(HU, alone, CHEST.lobes, CHEST.spacing)
    assert "mean_lesion_hu" not in finding.effect
    assert finding.effect["ct_score"] == -1


def test_lesion_outside_every_lobe_is_exact_too():
    lobes = CHEST.lobes.copy()
    lobes[ALL["left, outside"]] = 0
    before = compute_metrics(JointHistogram.of(HU, lobes, MASK, VOXEL_ML)).row("whole lung")
    for finding in rank(HU, MASK, lobes, CHEST.spacing):
        after = row_without(finding, MASK, lobes)
        assert all(change == after[name] - before[name] for name, change in finding.effect.items())


def test_lungs_alone_are_enough(findings):
    """Without lobes the scores are the same, and figures that need lobes are not told."""
    plain = rank(HU, MASK, CHEST.lungs, CHEST.spacing)
    assert {f.id: f.score for f in plain} == {f.id: f.score for f in findings}
    assert all(f.lobes == () and "ct_score" not in f.effect for f in plain)
    extents = {f.id: f.effect["extent_percent"] for f in findings}
    assert {f.id: f.effect["extent_percent"] for f in plain} == extents


def test_no_lesion_no_findings():
    assert rank(HU, np.zeros_like(MASK), CHEST.lobes, CHEST.spacing) == []


def test_no_lung_no_suspicion():
    findings = rank(HU, MASK, np.zeros_like(CHEST.lobes), CHEST.spacing)
    assert len(findings) == len(ALL)
    assert not any(finding.suspected or finding.reasons for finding in findings)


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        rank(HU[1:], MASK, CHEST.lobes, CHEST.spacing)


def test_it_can_be_cancelled_and_tells_its_progress():
    told = []
    rank(HU, MASK, CHEST.lobes, CHEST.spacing, report=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0

    def stop(fraction):
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        rank(HU, MASK, CHEST.lobes, CHEST.spacing, report=stop)


def blobs(seed, count):
    """Random balls of lung, by themselves."""
    rng = np.random.default_rng(seed)
    at = np.argwhere(CHEST.lungs)
    axes = [np.ravel(line) for line in (CHEST.z, CHEST.y, CHEST.x)]
    parts = []
    for _ in range(count):
        k, j, i = at[rng.integers(len(at))]
        parts.append(CHEST.ball(axes[2][i], axes[1][j], axes[0][k], rng.uniform(5, 16)))
    return parts


def scores_of(findings):
    return {(finding.volume_ml, finding.mean_hu): finding.score for finding in findings}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 5))
def test_a_mirrored_chest_is_judged_alike(seed, count):
    mask = np.logical_or.reduce(blobs(seed, count))
    hu = CHEST.painted((mask, -550))
    plain = rank(hu, mask, CHEST.lobes, CHEST.spacing)
    mirror = np.s_[:, :, ::-1]
    turned = rank(hu[mirror].copy(), mask[mirror].copy(), CHEST.lobes[mirror].copy(), CHEST.spacing)
    assert sorted(f.score for f in turned) == sorted(f.score for f in plain)
    assert scores_of(turned) == scores_of(plain)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31 - 1), st.permutations(range(4)), st.integers(1, 4))
def test_a_score_does_not_depend_on_the_other_lesions(seed, order, kept):
    """Nor on the order in which components are looked at; the CT and the lungs stay as they are."""
    parts = blobs(seed, 4)
    hu = CHEST.painted((np.logical_or.reduce(parts), -550))
    whole = rank(hu, np.logical_or.reduce(parts), CHEST.lobes, CHEST.spacing)
    scorer = CueScorer(hu, CHEST.lobes, CHEST.spacing)
    for n in sorted(range(len(whole)), key=lambda n: order[n % 4]):
        assert {name: seen.value for name, seen in scorer.look(whole[n].component).items()} == whole[n].cues
    fewer = find_components(np.logical_or.reduce(parts), CHEST.lobes, CHEST.spacing)[:kept]
    mask = np.zeros_like(CHEST.lungs)
    for component in fewer:
        mask[component.box] |= component.mask
    alone = scores_of(rank(hu, mask, CHEST.lobes, CHEST.spacing))
    assert alone.items() <= scores_of(whole).items()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 5))
def test_removal_is_exact_for_any_lesions(seed, count):
    mask = np.logical_or.reduce(blobs(seed, count))
    before = compute_metrics(JointHistogram.of(HU, CHEST.lobes, mask, VOXEL_ML)).row("whole lung")
    for finding in rank(HU, mask, CHEST.lobes, CHEST.spacing):
        after = row_without(finding, mask, CHEST.lobes)
        defined = {m.name for m in MEASURES if before[m.name] is not None and after[m.name] is not None}
        assert set(finding.effect) == defined
        assert all(change == after[name] - before[name] for name, change in finding.effect.items())


def test_coarser_voxels_tell_artefact_from_lesion_too():
    """The same chest in thick sections."""
    chest = Chest(spacing=(5.0, 2.0, 2.0), shape=(35, 81, 126))
    artefacts = [chest.layer_on_diaphragm(9.0, -1), chest.layer_at_heart(7.0)]
    lesions = [chest.ball(-85, 30, 20, 14), chest.ball(75, -20, 45, 12)]
    hu = chest.painted(*((mask, -480) for mask in artefacts), *((mask, -520) for mask in lesions))
    findings = rank(hu, np.logical_or.reduce(artefacts + lesions), chest.lobes, chest.spacing)
    large = [finding for finding in findings if finding.volume_ml > 3]
    is_artefact = [any((mask[f.box] & f.mask()).any() for mask in artefacts) for f in large]
    assert is_artefact == [True, True, False, False]
    assert [finding.suspected for finding in large] == is_artefact


# ------------------------------------------------------------------------------------------------------------- rims


def test_a_layer_that_hangs_on_a_lesion_is_a_finding_of_its_own():
    lesion = CHEST.ball(-62, 45, 0, 26)
    layer = CHEST.layer_on_diaphragm(9.0, -1) & ~lesion
    both = lesion | layer
    assert len(find_components(both, CHEST.lobes, CHEST.spacing)) == 1
    hu = CHEST.painted((layer, -480), (lesion, -520))
    findings = rank(hu, both, CHEST.lobes, CHEST.spacing)
    made = np.zeros(both.shape, int)
    for finding in findings:
        made[finding.box] += finding.mask()
    assert np.array_equal(made, both.astype(int))
    assert len({finding.component.part_of for finding in findings}) == 1
    listed = np.zeros(both.shape, bool)
    for finding in findings:
        if finding.suspected:
            listed[finding.box] |= finding.mask()
    assert np.count_nonzero(listed & layer) > 0.7 * np.count_nonzero(layer)
    assert np.count_nonzero(listed & lesion) < 0.1 * np.count_nonzero(lesion)


def test_a_lesion_by_itself_is_not_parted():
    for mask in (CHEST.ball(-85, 30, 20, 20), CHEST.ball(75, -20, 45, 12)):
        (finding,) = rank(CHEST.painted((mask, -520)), mask, CHEST.lobes, CHEST.spacing)
        assert finding.component.part_of == ""
        assert np.array_equal(finding.mask(), mask[finding.box])


# ---------------------------------------------------------------------------------------------------------- weights


def test_the_shipped_weights_are_whole_and_say_where_they_come_from():
    judgement = shipped_cue_weights()
    assert set(judgement.weights) == {cue.name for cue in CUES}
    assert all(weight >= 0 for weight in judgement.weights.values())
    assert 0 < judgement.threshold < 1
    assert judgement.source["seeds"]
    path = resource_path("Review", "suspicion.json")
    assert json.loads(path.read_text(encoding="utf-8")) == judgement.as_record()


def test_more_of_a_cue_never_lowers_the_score():
    judgement = shipped_cue_weights()
    nothing = dict.fromkeys(judgement.weights, 0.0)
    least = judgement.score(nothing)
    assert least < judgement.threshold
    assert all(judgement.score({**nothing, name: 1.0}) >= least for name in nothing)


@pytest.mark.parametrize("text", ["", "[]", '{"format": "x"}', '{"format": "covidquant-suspicion/1", "weights": {}}'])
def test_a_damaged_table_of_weights_is_refused(tmp_path, text):
    path = tmp_path / "weights.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnfitInputError, match=r"weights\.json"):
        CueWeights.read(path)


def test_lobes_of_the_chest_are_all_there():
    assert set(np.unique(CHEST.lobes)) == {0, *(lobe.label for lobe in LOBES)}
