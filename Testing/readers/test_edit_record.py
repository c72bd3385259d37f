"""What lies between the AI's masks and the final ones, held to brute force; the clock of active work."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.anatomy import REGIONS
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.readers.changed_voxels import EVERYWHERE, ChangedVoxels
from COVIDQuantLib.readers.edit_record import Work, check_final, edit_record_from, make_edit_record
from COVIDQuantLib.readers.identity import SegmentationIdentity
from COVIDQuantLib.readers.work_clock import IDLE_S, WorkClock

SHAPE = (4, 5, 6)
ML = 0.125
FINDINGS = [
    {
        "id": "1-2-3",
        "status": "removed",
        "volume_ml": 1.5,
        "score": 0.9,
        "lobes": ["left lower lobe"],
        "reasons": ["x"],
    },
    {"id": "2-2-2", "status": "kept", "volume_ml": 2.0, "score": 0.8, "lobes": [], "reasons": []},
]


def masks(seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 6, SHAPE).astype(np.uint8), rng.random(SHAPE) < rng.random()


def brute(before, after, counted=None):
    """Voxels added, removed and Dice of two masks, by counting each."""
    counted = np.ones(SHAPE, bool) if counted is None else counted
    one, two = before & counted, after & counted
    total = one.sum() + two.sum()
    return (two & ~one).sum(), (one & ~two).sum(), 2 * (one & two).sum() / total if total else None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.booleans())
def test_changes_are_those_of_brute_force(first, second, padded):
    ai, final = masks(first), masks(second)
    padding = np.random.default_rng(first).random(SHAPE) < 0.2 if padded else None
    counted = None if padding is None else ~padding
    rows = ChangedVoxels.of(ai, final, ML, padding).record()
    assert [row["region"] for row in rows] == [*(r.name for r in REGIONS if not r.zone), EVERYWHERE]
    for row in rows[:-1]:
        region = next(r for r in REGIONS if r.name == row["region"])
        inside = [np.isin(lobes, region.labels) for lobes, _ in (ai, final)]
        lesions = [here & lesion for here, (_, lesion) in zip(inside, (ai, final), strict=True)]
        for prefix, pair in (("", inside), ("lesion_", lesions)):
            expected = brute(*pair, counted)
            if region.labels == (0,) and not prefix:
                expected = (None, None, None)
                assert [row[key] for key in ("added_ml", "removed_ml", "dice")] == [None] * 3
                continue
            assert row[f"{prefix}added_ml"] == expected[0] * ML
            assert row[f"{prefix}removed_ml"] == expected[1] * ML
            assert row[f"{prefix}dice"] == (None if expected[2] is None else pytest.approx(expected[2], abs=1e-15))
    added, removed, dice = brute(ai[1], final[1], counted)
    assert (rows[-1]["lesion_added_ml"], rows[-1]["lesion_removed_ml"]) == (added * ML, removed * ML)
    assert rows[-1]["lesion_dice"] == (None if dice is None else pytest.approx(dice, abs=1e-15))


def test_two_shapes_or_an_unknown_label_are_no_segmentations_of_one_ct():
    ai, final = masks(1), masks(2)
    with pytest.raises(ValueError, match="shape"):
        ChangedVoxels.of(ai, (final[0][1:], final[1][1:]), ML)
    with pytest.raises(ValueError, match=r"0\.\.5"):
        ChangedVoxels.of(ai, (final[0] + 6, final[1]), ML)


def record(seed=1, other=2):
    ai, final = masks(seed), masks(other)
    hu = np.random.default_rng(seed).integers(-900, 100, SHAPE).astype(np.int16)
    counts = JointHistogram.of(hu, *final, ML)
    steps = {"lesions": {"method": "network", "model": {"name": "m", "sha256": "ab"}}, "review": {"figures": "edited"}}
    work = Work(93.26, "AB", FINDINGS, {"COVIDQuant": "1"})
    made = make_edit_record(hu, ai, final, counts, Thresholds(-700, -300), steps, work)
    return made, hu, ai, final


def test_a_record_holds_what_was_and_what_became_of_it():
    made, hu, ai, final = record()
    before = JointHistogram.of(hu, *ai, ML)
    assert made.before == list(compute_metrics(before, Thresholds(-700, -300)).rows)
    assert made.after == list(compute_metrics(JointHistogram.of(hu, *final, ML), Thresholds(-700, -300)).rows)
    assert made.ai == SegmentationIdentity.of(before, ai)
    assert made.is_edited
    assert [part["id"] for part in made.removed] == ["1-2-3"]
    assert made.removed[0]["reasons"] == ["x"]
    assert made.ai_steps == {"lesions": {"method": "network", "model": {"name": "m", "sha256": "ab"}}}
    assert made.seconds == 93.3
    assert edit_record_from(json.loads(json.dumps(made.as_record())), "") == made


def test_an_untouched_result_has_nothing_between():
    made, *_ = record(5, 5)
    assert not made.is_edited
    assert made.before == made.after
    for row in made.changes:
        assert {row["lesion_added_ml"], row["lesion_removed_ml"]} == {0.0}
        assert row["lesion_dice"] in {None, 1.0}


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.update(format="x"),
        lambda r: r.update(edited=False),
        lambda r: r.update(active_seconds=-1),
        lambda r: r.update(active_seconds="long"),
        lambda r: r["changes"][0].update(dice=1.5),
        lambda r: r["changes"][0].update(added_ml="much"),
        lambda r: r["changes"][0].pop("removed_ml"),
        lambda r: r.update(thresholds={"ggo_hu": 0, "consolidation_hu": -700}),
        lambda r: r["ai"].update(counts_sha256="zz"),
        lambda r: r.update(figures_before=3),
        lambda r: r.pop("final"),
    ],
)
def test_a_damaged_record_is_refused(change):
    told = record()[0].as_record()
    change(told)
    with pytest.raises(UnfitInputError) as refused:
        edit_record_from(told, "here")
    assert refused.value.code == "edit-record-damaged"


def test_a_record_of_other_masks_is_refused():
    made, *_ = record()
    check_final(made, SegmentationIdentity(made.final.counts), "")
    with pytest.raises(UnfitInputError) as refused:
        check_final(made, made.ai, "")
    assert refused.value.code == "edit-record-other-exam"


def test_pauses_are_not_work():
    now = [0.0]
    clock = WorkClock(5.0, lambda: now[0])
    for step in (0.0, 10.0, IDLE_S, IDLE_S + 0.1, 3.0):
        now[0] += step
        clock.touch()
    assert clock.seconds == 5.0 + 10.0 + IDLE_S + 3.0
    clock.pause()
    now[0] += 2.0
    clock.touch()
    assert clock.seconds == 78.0
    assert WorkClock(-3.0).seconds == 0.0
