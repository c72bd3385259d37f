"""A new measure is one record: files, terminal, panel, picture and comparison show it by themselves."""

import csv
import io
import json

import numpy as np
import pytest
from followup_world import lungs, result
from rich.console import Console

from COVIDQuantLib.anatomy import OUTSIDE_LOBES, REGIONS
from COVIDQuantLib.cli import compare_tables, terminal
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.table_file import metrics_record, read_metrics, write_csv, write_json
from COVIDQuantLib.followup.changes import compare_tables as changes_of
from COVIDQuantLib.followup.inspiration import inspiration_of
from COVIDQuantLib.quantification.document import measures_table
from COVIDQuantLib.quantification.measure_table import Measure, Scope, View
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.presentation import as_text, chosen_measures, headlines, sorted_rows
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.review.removal_effect import figures
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

NAME = "air_ml"
EVERYWHERE = View.PANEL | View.TERMINAL | View.EXAMS | View.BRIEF | View.SEGMENTS


@pytest.fixture
def added(monkeypatch):
    """A measure that nobody knows, and nothing else changed."""
    record = Measure(
        NAME,
        "Air",
        "mL",
        "twice the volume",
        "none",
        lambda region: 2.0 * region.millilitres(region.voxels),
        shown=EVERYWHERE,
        headline=9,
        sheet=9,
        breath_free=True,
        decimals=2,
    )
    monkeypatch.setattr(MEASURES, "records", (*MEASURES.records, record))
    return record


@pytest.fixture
def exam(added):
    histogram = lungs(ggo=500, dense=100)
    return histogram, compute_metrics(histogram)


def screen(monkeypatch, module):
    """What a module prints to the terminal."""
    out = io.StringIO()
    monkeypatch.setattr(module, "console", lambda **_: Console(file=out, width=200))
    return out


def test_every_region_has_it(exam):
    _, metrics = exam
    assert metrics.columns[-1] == NAME
    for region in REGIONS:
        expected = None if region is OUTSIDE_LOBES else 2.0 * metrics.value(region.name, "volume_ml")
        assert metrics.value(region.name, NAME) == expected


def test_files_hold_it(exam, tmp_path):
    histogram, metrics = exam
    shape = (2, 2, 2)
    ct = CTVolume(np.zeros(shape, np.int16), Geometry(shape, (1.0, 1.0, 1.0)))
    segmentation = Segmentation(np.zeros(shape, np.uint8), np.zeros(shape, bool))
    write_csv(tmp_path / "metrics.csv", metrics)
    write_json(tmp_path / "metrics.json", metrics_record(ct, segmentation, histogram, metrics))
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0][NAME]) == metrics.value("whole lung", NAME)
    record = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert record["regions"][0][NAME] == metrics.value("whole lung", NAME)


def test_the_terminal_shows_it(exam, monkeypatch):
    out = screen(monkeypatch, terminal)
    terminal.show_metrics(exam[1])
    assert "Air" in out.getvalue()
    assert f"{exam[1].value('whole lung', NAME):.2f}" in out.getvalue()


def test_the_panel_shows_it_in_table_clipboard_and_headlines(exam):
    _, metrics = exam
    measures = chosen_measures([])
    assert measures[-1].name == NAME
    assert as_text(sorted_rows(metrics), measures).splitlines()[0].endswith("Air mL")
    told = {headline.title: headline.text for headline in headlines(metrics)}
    assert told["Air"] == f"{metrics.value('whole lung', NAME):.2f} mL"
    assert next(row["region"] for row in sorted_rows(metrics, NAME)) == "whole lung"


def test_picture_and_document_hold_it(exam):
    assert MEASURES.on_sheet[-1].name == NAME
    assert f"| `{NAME}` | mL | twice the volume | none | no |" in measures_table()


def test_a_comparison_tells_its_change(exam, monkeypatch):
    before, after = exam[1], compute_metrics(lungs(ggo=500, voxels=120_000))
    regions = changes_of(before, after)
    change = regions[0].changes[NAME]
    assert change.change == pytest.approx(after.value("whole lung", NAME) - before.value("whole lung", NAME))
    assert [c.figure.name for c in inspiration_of(regions).less_sensitive] == ["weight_g", "lung_weight_g", NAME]
    assert MEASURES.shown_in(View.TERMINAL)[-1].name == NAME
    assert compare_tables.MEASURES.shown_in(View.EXAMS)[-1].name == NAME
    assert result(exam[0]).histogram is exam[0]


def test_removing_a_finding_changes_it(exam):
    assert figures(exam[0])[NAME] == exam[1].value("whole lung", NAME)


@pytest.mark.parametrize("scope", Scope)
def test_its_scope_says_where_it_has_a_value(monkeypatch, scope):
    record = Measure(NAME, "One", "", "one", "none", lambda _: 1.0, scope=scope)
    monkeypatch.setattr(MEASURES, "records", (*MEASURES.records, record))
    metrics = compute_metrics(lungs(ggo=10, outside=7))
    values = [metrics.value(region, NAME) for region in ("whole lung", "left lung", "left lower lobe", "outside lobes")]
    assert (
        values
        == {
            Scope.LESION: [1.0, 1.0, 1.0, 1.0],
            Scope.REGION: [1.0, 1.0, 1.0, None],
            Scope.LOBE: [5.0, 2.0, 1.0, None],
        }[scope]
    )


def test_names_are_told_once_and_found():
    assert len(set(MEASURES.names)) == len(MEASURES)
    assert MEASURES.named("weight_g") is MEASURES[MEASURES.names.index("weight_g")]
    with pytest.raises(KeyError):
        MEASURES.named("nonsense")


def test_a_result_from_before_the_measure_is_read(tmp_path, request):
    histogram, shape = lungs(ggo=500), (2, 2, 2)
    ct = CTVolume(np.zeros(shape, np.int16), Geometry(shape, (1.0, 1.0, 1.0)))
    segmentation = Segmentation(np.zeros(shape, np.uint8), np.zeros(shape, bool))
    record = metrics_record(ct, segmentation, histogram, compute_metrics(histogram))
    write_json(tmp_path / "metrics.json", record)
    request.getfixturevalue("added")
    metrics = read_metrics(tmp_path / "metrics.json").metrics
    assert metrics.value("whole lung", NAME) == 2.0 * metrics.value("whole lung", "volume_ml")
    # One row without a column that the others have is no older file.
    del record["regions"][3]["weight_g"]
    write_json(tmp_path / "metrics.json", record)
    with pytest.raises(UnfitInputError, match="weight_g"):
        read_metrics(tmp_path / "metrics.json")
