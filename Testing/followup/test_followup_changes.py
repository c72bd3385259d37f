"""What changed between exams: exact, defined in every case, and whether it is more than error."""

import csv
import json
import math

import numpy as np
import pytest
from followup_world import DAYS, LOBE_VOXELS, VOXEL_ML, drawn, lungs, result
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.anatomy import REGIONS
from COVIDQuantLib.export.csv_file import write_rows
from COVIDQuantLib.export.table_file import write_json
from COVIDQuantLib.followup.changes import PATIENT_FIGURES, Case, Disease, Figure, compare_tables, compare_values
from COVIDQuantLib.followup.comparison import compare_exams
from COVIDQuantLib.followup.comparison_files import COLUMNS, change_rows, comparison_record
from COVIDQuantLib.followup.inspiration import inspiration_of
from COVIDQuantLib.followup.limits import PUBLISHED, USED, Verdict, judge, published_fits, published_limits
from COVIDQuantLib.followup.sequence import CONSECUTIVE, FROM_BASELINE
from COVIDQuantLib.followup.signs import signs_of
from COVIDQuantLib.quantification.measure_table import Measure
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds

BITS = st.integers(0, 31)
FIGURE = Figure("extent_percent", "Extent", "%", 2)


def compare(before, after):
    return compare_tables(compute_metrics(before), compute_metrics(after))


def region(regions, name):
    return next(one for one in regions if one.region == name)


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, float):
        yield value


# ------------------------------------------------------------------------------------------------------ known values


def test_changes_are_those_of_the_counts():
    found = compare(lungs(ggo=5_000, dense=5_000), lungs(ggo=5_000, dense=15_000))
    lung = region(found, "whole lung").changes
    assert lung["lesion_volume_ml"].change == pytest.approx(5 * 10_000 * VOXEL_ML)
    assert lung["extent_percent"].before == pytest.approx(10)
    assert lung["extent_percent"].change == pytest.approx(10)
    assert lung["extent_percent"].percent == pytest.approx(100)
    assert lung["weight_g"].change == pytest.approx(5 * 10_000 * VOXEL_ML * 0.9)
    assert lung["mean_lesion_hu"].change == pytest.approx(-225 - -350)
    # HU are negative: a percentage has the sign of the change all the same.
    assert lung["mean_lesion_hu"].percent == pytest.approx(100 * 125 / 350)
    assert lung["ct_score"].change == 0
    assert lung["ct_score"].percent == 0
    assert {figure.name for figure in PATIENT_FIGURES} < set(lung)


def test_every_region_and_measure_is_there():
    found = compare(lungs(ggo=10), lungs(ggo=20))
    assert [one.region for one in found] == [one.name for one in REGIONS]
    for one in found:
        expected = {m.name for m in MEASURES if one.region != "outside lobes" or m.outside}
        assert expected <= set(one.changes)


def test_new_and_vanished_disease():
    found = compare(lungs(RUL=(1_000, 0)), lungs(LLL=(0, 1_000)))
    new, gone, none = (region(found, name) for name in ("left lower lobe", "right upper lobe", "left upper lobe"))
    assert (new.disease, gone.disease, none.disease) == (Disease.NEW, Disease.VANISHED, Disease.NONE)
    assert new.changes["extent_percent"].case is Case.ZERO_BASELINE
    assert new.changes["extent_percent"].change == pytest.approx(1)
    assert new.changes["extent_percent"].percent is None
    assert new.changes["mean_lesion_hu"].case is Case.UNDEFINED_BEFORE
    assert gone.changes["weight_g"].percent == -100
    assert gone.changes["mean_lesion_hu"].case is Case.UNDEFINED_AFTER
    assert gone.changes["mean_lesion_hu"].change is None
    assert none.changes["mean_lesion_hu"].case is Case.UNDEFINED
    assert (none.changes["extent_percent"].change, none.changes["extent_percent"].percent) == (0, 0)


def test_a_region_that_one_exam_lacks_is_not_compared():
    found = compare(lungs(ggo=100), lungs(ggo=100, RML=(0, 0, 0)))
    lobe = region(found, "right middle lobe")
    assert lobe.disease is Disease.REGION_ABSENT_AFTER
    assert {change.case for change in lobe.changes.values()} == {Case.REGION_ABSENT}
    assert {change.change for change in lobe.changes.values()} == {None}
    assert lobe.changes["volume_ml"].before == pytest.approx(LOBE_VOXELS * VOXEL_ML)
    back = compare(lungs(RML=(0, 0, 0)), lungs())
    assert region(back, "right middle lobe").disease is Disease.REGION_ABSENT_BEFORE
    assert region(compare(lungs(RML=(0, 0, 0)), lungs(RML=(0, 0, 0), ggo=1)), "right middle lobe").disease is (
        Disease.REGION_ABSENT
    )


def test_different_thresholds_are_never_compared():
    with pytest.raises(ValueError, match="thresholds"):
        compare_tables(compute_metrics(lungs()), compute_metrics(lungs(), Thresholds(-800, -300)))


def test_a_new_measure_is_compared_without_new_code(monkeypatch):
    air = Measure("air_ml", "Air", "mL", "voxels as air", "-", lambda r: r.voxels * 2.0)
    monkeypatch.setattr(MEASURES, "records", (*MEASURES.records, air))
    comparison = compare_exams([result(lungs(ggo=1), "a"), result(lungs(ggo=2, voxels=110_000), "b")], DAYS[:2])
    change = comparison.pair(1, 2).region("whole lung").changes["air_ml"]
    assert change.change == 2.0 * 5 * 10_000
    assert change.percent == pytest.approx(10)
    assert any("air_ml" in row for row in change_rows(comparison))
    assert comparison_record(comparison)["pairs"][0]["regions"][0]["changes"]["air_ml"]["unit"] == "mL"


# --------------------------------------------------------------------------------------------------------- properties


@given(st.integers(0, 2**32 - 1), BITS, BITS, BITS, BITS, st.booleans())
@settings(max_examples=40, deadline=None)
def test_there_and_back_is_nothing_and_nothing_is_ever_undefined_by_accident(seed, here, there, ill, well, outside):
    rng = np.random.default_rng(seed)
    one, other = drawn(rng, here, ill, outside), drawn(rng, there, well, outside=not outside)
    forth, back = compare(one, other), compare(other, one)
    for a, b in zip(forth, back, strict=True):
        for name, change in a.changes.items():
            opposite = b.changes[name]
            assert (change.before, change.after) == (opposite.after, opposite.before)
            assert (change.change is None) == (opposite.change is None)
            if change.change is not None:
                assert change.change == -opposite.change
            for value in (change.change, change.percent):
                assert value is None or math.isfinite(value)
            if change.percent is not None:
                assert np.sign(change.percent) == np.sign(change.change)
    same = compare(one, one)
    assert all(c.change in {None, 0} and c.percent in {None, 0} for r in same for c in r.changes.values())
    assert not {r.disease for r in same} & {Disease.NEW, Disease.VANISHED}


@given(
    st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)),
    st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)),
    st.booleans(),
)
def test_whatever_the_values_a_change_is_a_number_or_none(before, after, there):
    change = compare_values(FIGURE, before, after, there=there)
    assert all(value is None or math.isfinite(value) for value in (change.change, change.percent))
    assert (change.case is Case.COMPARED) == (change.percent is not None)


@given(st.integers(0, 2**32 - 1), BITS, BITS)
@settings(max_examples=10, deadline=None)
def test_files_hold_numbers_or_nothing(tmp_path_factory, seed, here, ill):
    rng = np.random.default_rng(seed)
    exams = [drawn(rng, bits, ill, outside=True) for bits in (31, here, here)]
    comparison = compare_exams([result(one, str(n)) for n, one in enumerate(exams)], DAYS[:3], onset=DAYS[0])
    folder = tmp_path_factory.mktemp("files")
    write_rows(folder / "changes.csv", change_rows(comparison))
    write_json(folder / "comparison.json", comparison_record(comparison))
    text = (folder / "changes.csv").read_text(encoding="utf-8") + (folder / "comparison.json").read_text("utf-8")
    assert not {"nan", "inf", "NaN", "Infinity"} & set(text.replace(",", " ").split())
    rows = list(csv.DictReader((folder / "changes.csv").open(encoding="utf-8")))
    assert list(rows[0]) == list(COLUMNS)
    assert all(math.isfinite(value) for value in numbers(json.loads((folder / "comparison.json").read_text("utf-8"))))


# -------------------------------------------------------------------------------------------------------------- signs


def test_signs_in_the_papers_words():
    worse = signs_of(compare(lungs(ggo=1_000), lungs(ggo=1_000, dense=500)))
    assert [sign.words for sign in worse] == [
        "infection region has expanded",
        "density of infection region has increased",
    ]
    assert [sign.sign for sign in worse] == [1, 1]
    better = signs_of(compare(lungs(ggo=1_000, dense=500), lungs(ggo=1_000)))
    assert [sign.words for sign in better] == [
        "infection region has contracted",
        "density of infection region has decreased",
    ]


def test_a_lobe_that_goes_the_other_way_makes_it_partial():
    poi, ihu = signs_of(compare(lungs(ggo=100, RUL=(900, 0)), lungs(ggo=900, RUL=(100, 0))))
    assert poi.words == "infection region has partially expanded (contracted in RUL)"
    assert (poi.up, poi.down) == (("RML", "RLL", "LUL", "LLL"), ("RUL",))
    assert (ihu.sign, ihu.words) == (0, "density of infection region is unchanged")


def test_the_density_of_no_lesion_has_no_sign():
    poi, ihu = signs_of(compare(lungs(ggo=100), lungs()))
    assert poi.sign == -1
    assert (ihu.sign, ihu.words) == (None, "density of infection region cannot be compared")


# ------------------------------------------------------------------------------------------------------------- limits


def test_the_fit_gives_the_printed_limits_back_to_their_rounding():
    fits = published_fits()
    assert {point for one in fits for point in one.points} == set(PUBLISHED)
    for one in fits:
        # Half of the last printed digit.
        assert all(abs(value) < 0.05 for pair in one.residuals for value in pair)
        for point, (low, high) in zip(one.points, one.residuals, strict=True):
            half = one.limits.slope * math.sqrt(point.level)
            assert one.limits.bias - half + low == pytest.approx(point.lower)
            assert one.limits.bias + half + high == pytest.approx(point.upper)
    used = {one.measure: one.limits for one in fits if one.data_set == USED}
    assert used["extent_percent"].bias == pytest.approx(0.7)
    assert used["weight_g"].bias == pytest.approx(7.05)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (10.0, 15.0, Verdict.WITHIN),
        (10.0, 17.0, Verdict.UNCLEAR),
        (10.0, 18.5, Verdict.BEYOND),
        (0.0, 1.0, Verdict.WITHIN),
        (0.0, 2.0, Verdict.UNCLEAR),
        (0.0, 2.5, Verdict.BEYOND),
        (0.0, 0.0, Verdict.WITHIN),
    ],
)
def test_a_change_takes_more_than_one_measurements_error(before, after, verdict):
    limits = published_limits()["whole lung", "extent_percent"]
    found = judge(compare_values(FIGURE, before, after), limits)
    assert found.verdict is verdict
    assert found.two == pytest.approx(math.sqrt(2) * found.one)
    assert found == judge(compare_values(FIGURE, after, before), limits)


def test_limits_are_told_where_they_were_published_and_nowhere_else():
    pair = compare_exams([result(lungs(ggo=100), "a"), result(lungs(ggo=40_000), "b")], DAYS[:2]).pair(1, 2)
    assert set(pair.published["whole lung"]) == {"extent_percent", "weight_g"}
    assert not any(pair.published[name] for name in pair.published if name != "whole lung")
    assert pair.published["whole lung"]["extent_percent"].verdict is Verdict.BEYOND


# -------------------------------------------------------------------------------------------------------- inspiration


@pytest.mark.parametrize(("share", "differs"), [(1.15, False), (1.16, True), (0.85, False), (0.84, True)])
def test_another_breath_is_told_beyond_fifteen_percent(share, differs):
    breath = inspiration_of(compare(lungs(voxels=100_000), lungs(voxels=round(100_000 * share))))
    assert breath.differs is differs
    assert breath.volume.percent == pytest.approx(100 * (share - 1))
    assert [change.figure.name for change in breath.less_sensitive] == ["weight_g", "lung_weight_g"]


def test_the_breath_is_warned_of_with_the_figures_that_do_not_feel_it():
    exams = [result(lungs(ggo=5_000), "a"), result(lungs(ggo=5_000, voxels=70_000), "b")]
    comparison = compare_exams(exams, DAYS[:2])
    (warning,) = [one for one in comparison.warnings if one.code == "inspiration-differs"]
    assert "1 to 2 by -30 %" in warning.message
    assert "weight" in warning.message
    assert comparison.pair(1, 2).region("whole lung").changes["weight_g"].change == 0


# -------------------------------------------------------------------------------------------------- who with whom


def test_each_exam_meets_its_neighbour_and_the_baseline():
    comparison = compare_exams([result(lungs(ggo=n), str(n)) for n in (10, 20, 30, 40)], DAYS)
    kinds = {(pair.before.number, pair.after.number): pair.kinds for pair in comparison.pairs}
    assert kinds == {
        (1, 2): (CONSECUTIVE, FROM_BASELINE),
        (2, 3): (CONSECUTIVE,),
        (3, 4): (CONSECUTIVE,),
        (1, 3): (FROM_BASELINE,),
        (1, 4): (FROM_BASELINE,),
    }
    assert [pair.interval_days for pair in comparison.pairs] == [10, 14, 24, 24, 48]
    assert comparison.overall is comparison.pair(1, 4)


def test_thirty_exams():
    days = [DAYS[0].replace(day=1 + n) for n in range(29)] + [DAYS[-1]]
    comparison = compare_exams([result(lungs(ggo=10 * n + 10), str(n)) for n in range(30)], days)
    assert len(comparison.pairs) == 29 + 28
    total = comparison.overall.region("whole lung").changes["lesion_volume_ml"].change
    steps = [pair for pair in comparison.pairs if CONSECUTIVE in pair.kinds]
    assert total == pytest.approx(sum(p.region("whole lung").changes["lesion_volume_ml"].change for p in steps))
