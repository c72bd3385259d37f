"""Reading aids: the papers' numbers as printed, and an exam's place among them in words that claim no more."""

import math
from pathlib import Path
from statistics import NormalDist

import pytest
from followup_world import lungs
from hypothesis import given
from hypothesis import strategies as st

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.time_courses import CURVES
from COVIDQuantLib.readers.document import filled
from COVIDQuantLib.readers.literature import CUT_OFFS, GROUPS, HUANG_GROUPS, PAN_GROUPS, Normal, Quartiles
from COVIDQuantLib.readers.reading_aids import percentile_text, place_in, published_text, reading_aids, value_of


def aids(ggo=0, dense=0, **more):
    return reading_aids(compute_metrics(lungs(ggo=ggo, dense=dense)), **more)


def test_cut_offs_are_those_of_the_paper():
    """Yoo 2022, Tables 2 and 3 (papers.md row Y5)."""
    printed = {
        "yoo-symptoms-extent": (0.5, 3.171, 1.246, 8.065, 4.142, 1.356, 12.647),
        "yoo-symptoms-weight": (10, 3.560, 1.394, 9.091, 4.434, 1.455, 13.513),
        "yoo-outcome-extent": (5, 10.833, 2.986, 39.303, 7.446, 1.899, 29.193),
        "yoo-outcome-weight": (75, 6.410, 1.767, 23.256, 4.677, 1.167, 18.733),
    }
    assert {one.code: (one.above, *one.odds_ratio, *one.adjusted) for one in CUT_OFFS} == printed
    for one in CUT_OFFS:
        assert one.odds_ratio[1] < one.odds_ratio[0] < one.odds_ratio[2]
        # An odds ratio stands in the middle of its interval on the scale of logarithms; so a slip in copying shows.
        ratio, low, high = one.odds_ratio
        assert math.sqrt(low * high) == pytest.approx(ratio, rel=0.01)


def test_huangs_groups_are_those_of_table_3():
    whole = {group.group: published_text(group.spread) for group in HUANG_GROUPS if group.region == "whole lung"}
    assert whole == {
        "mild type": "0 in all",
        "moderate type": "2.2 (0.4–7.1)",
        "severe type": "28.9 ± 19.2",
        "critical type": "49.6 ± 14.8",
    }
    assert {(group.group, group.n) for group in HUANG_GROUPS} == {
        ("mild type", 6), ("moderate type", 94), ("severe type", 20), ("critical type", 6)
    }  # fmt: skip
    left = [group.spread for group in HUANG_GROUPS if group.region == "left upper lobe"]
    assert left == [None, Quartiles(0, 0.3, 3.0), Quartiles(4.4, 12.3, 22.6), Normal(44.8, 24.8)]
    assert {group.region for group in HUANG_GROUPS} == {"whole lung", *(lobe.name for lobe in LOBES)}


def test_pans_groups_are_those_of_tables_2_to_4():
    told = {(group.group, group.measure): published_text(group.spread) for group in PAN_GROUPS}
    assert told["all CTs of the course", "extent_percent"] == "1.63 (0.06–10.94)"
    assert told["all CTs of the course", "ct_score"] == "3 (1–8)"
    assert told["moderate group, on admission", "ct_score"] == "3 (1–5)"
    assert told["severe group, 1 week after admission", "extent_percent"] == "28.25 (17.35–34.29)"
    assert told["severe group, 2 weeks after admission", "consolidation_percent"] == "1.65 (0.72–4.51)"


def test_quartiles_are_in_order():
    for group in GROUPS:
        if isinstance(group.spread, Quartiles):
            assert group.spread.lower <= group.spread.median <= group.spread.upper
    # Ground glass and consolidation are parts of the lesion, in medians too.
    medians = {group.measure: group.spread.median for group in PAN_GROUPS if group.group == "all CTs of the course"}
    assert medians["ggo_percent"] + medians["consolidation_percent"] <= medians["extent_percent"]


@pytest.mark.parametrize(
    ("value", "place"),
    [(0.0, "below the lower quartile"), (0.4, "lower quartile to median"), (2.0, "lower quartile to median"),
     (2.2, "at the median"), (2.3, "median to upper quartile"), (7.1, "median to upper quartile"),
     (7.2, "above the upper quartile")],
)  # fmt: skip
def test_between_quartiles_nothing_but_that_is_said(value, place):
    assert place_in(value, Quartiles(0.4, 2.2, 7.1)) == (place, None)


@given(st.floats(0, 100), st.floats(0, 60), st.floats(1, 30))
def test_percentiles_are_those_of_the_normal_distribution(value, mean, sd):
    words, percentile = place_in(value, Normal(mean, sd))
    assert percentile == pytest.approx(100 * NormalDist(mean, sd).cdf(value), abs=1e-9)
    assert "mean" in words
    assert ("above" in words) <= (value > mean)


def test_of_a_group_in_which_all_had_nothing():
    assert place_in(0.0, None) == ("as in all patients", None)
    assert place_in(0.1, None) == ("above all patients", None)
    assert [percentile_text(p) for p in (0.2, 14.4, 99.7)] == ["below 1", "14", "above 99"]


@pytest.mark.parametrize(("ggo", "expected"), [(500, "not above"), (501, "above"), (499, "not above")])
def test_the_cut_off_itself_is_not_above(ggo, expected):
    """Extent of exactly 0.5 %: the paper says more than."""
    found = aids(ggo)["cut_offs"][0]
    assert found["value"] == pytest.approx(ggo / 1000)
    assert found["position"] == expected
    assert found["says_not"]
    assert found["population"]
    assert found["source"] == "Yoo 2022, Table 2"


def test_score_conversion_and_correction():
    found = aids(10_000)["ct_score"]
    assert found["score"] == 10
    assert found["conversion"]["expected_percent"] == pytest.approx(-0.27 + 3.7 + 13.0)
    assert found["conversion"]["measured_percent"] == pytest.approx(10.0)
    assert "gaps" in found["correction"]
    assert aids()["ct_score"]["conversion"]["expected_percent"] == pytest.approx(-0.27)


def test_without_lungs_nothing_has_a_place():
    told = reading_aids(compute_metrics(lungs(voxels=0)), 10)
    assert {one["position"] for one in told["cut_offs"] if one["measure"] == "extent_percent"} == {None}
    assert told["ct_score"]["conversion"]["expected_percent"] is None
    assert all(one["position"] is None for one in told["groups"] if one["measure"] == "extent_percent")


def test_courses_only_with_an_onset_and_the_corrected_ones_say_so():
    assert aids()["time_courses"] == []
    rows = aids(8_000, onset_days=13)["time_courses"]
    assert [row["curve"] for row in rows] == [curve.name for curve in CURVES]
    assert {row["curve"] for row in rows if row["correction"]} == {"pan-3c-severe", "huang-2a"}
    late = aids(onset_days=100)["time_courses"]
    assert all(row["published"] is None for row in late)


def test_every_measure_of_a_group_exists():
    metrics = compute_metrics(lungs(ggo=1000, dense=100))
    for group in GROUPS:
        assert value_of(metrics, group.region, group.measure) is not None
    assert "not a diagnosis" in aids()["notice"]


def test_the_docs_hold_the_tables_as_they_are():
    text = (Path(__file__).resolve().parents[2] / "docs" / "readers.md").read_text(encoding="utf-8")
    assert filled(text) == text, "run: python -m COVIDQuantLib.readers.document"
