"""The panel's tables: cells as the presenters want them, and the widget that shows them."""

import types
from datetime import date

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from COVIDQuantPanel.presenters import findings, followup_changes, followup_exams, readers, results
from COVIDQuantPanel.presenters.tables import Cell, Table, fitted_widths, plain_table, shown_rows

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.review.status import FindingStatus


@pytest.fixture(scope="module")
def metrics():
    rng = np.random.default_rng(3)
    lobes = rng.integers(0, 6, (6, 10, 10), dtype=np.uint8)
    hu = rng.integers(-950, 50, lobes.shape, dtype=np.int16)
    return compute_metrics(JointHistogram.of(hu, lobes, rng.random(lobes.shape) < 0.3, 0.001))


# ----------------------------------------------------------------------------------------------------- presenters


def test_figures_stand_to_the_right_of_a_lobes_colour_and_short_name(metrics):
    figures = results.FiguresTable()
    figures.choose([])
    table = figures.table(metrics)
    assert table.shape == (9, 1 + len(figures.measures))
    names = [row[0] for row in table.rows]
    assert [cell.text for cell in names[3:8]] == [lobe.short for lobe in LOBES]
    assert [(cell.tip, cell.swatch) for cell in names[3:8]] == [(lobe.name, lobe.colour) for lobe in LOBES]
    assert names[0] == Cell("whole lung", tip="whole lung", swatch=())
    assert all(cell.to_right for row in table.rows for cell in row[1:])
    assert [row[1:] for row in table.texts] == [row[1:] for row in figures.fill(metrics)]
    assert table.headings[0].text == "Region"
    assert all(cell.tip for cell in table.headings[1:])


def test_the_panel_is_as_wide_as_a_few_columns_and_no_figures_are_no_rows(metrics):
    figures = results.FiguresTable()
    figures.choose([])
    assert figures.table(metrics).fits
    assert figures.table(None).shape == (0, len(figures.measures) + 1)
    assert figures.region(0) == "whole lung"
    figures.choose([measure.name for measure in MEASURES])
    assert not figures.table(metrics).fits


def test_the_list_of_findings_says_what_was_decided():
    found = types.SimpleNamespace(number=3, score=0.875, volume_ml=1.26, mean_hu=-601.4, lobes=("left lower lobe",))
    placed = [types.SimpleNamespace(finding=found)]
    table = findings.table(placed, lambda one: FindingStatus.REMOVED if one is placed[0] else FindingStatus.KEPT)
    assert table.texts == [["3", "0.88", "1.3", "-601", "removed", "left lower lobe"]]
    assert [cell.text for cell in table.headings] == findings.headings()
    assert findings.table([], None).shape == (0, 6)


def exam(name, day=None, *, patient="", is_in_scene=True):
    return types.SimpleNamespace(name=name, day=day, patient=patient, is_in_scene=is_in_scene)


def test_the_exam_shown_is_ticked_for_good_and_can_be_dated():
    others = [exam("earlier", date(2020, 2, 1)), exam("folder", is_in_scene=False)]
    current = exam("current", date(2020, 2, 11), patient="p")
    table = followup_exams.table([*others, current], [True, False, True], current)
    assert table.texts == [
        ["earlier", "2020-02-01", "scene, patient unknown"],
        ["folder", "", "folder"],
        ["current", "2020-02-11", "shown now"],
    ]
    assert [(row[0].ticked, row[0].can_be_ticked) for row in table.rows] == [(True, True), (False, True), (True, False)]
    for row in table.rows:
        assert [cell.can_be_edited for cell in row] == [False, True, False]
        assert [cell.ticked for cell in row[1:]] == [None, None]


def lesion(fate, change_ml, region="right upper lobe"):
    return {"lesion": 1, "fate": fate, "region": region, "baseline_volume_ml": 2.0,
            "followup_volume_ml": 2.0 + change_ml, "change_ml": change_ml}  # fmt: skip


def test_fates_are_coloured_and_numbers_stand_to_the_right():
    table = followup_changes.lesion_table(
        [lesion("grown", 1.5), lesion("shrunk", -1.0), lesion("unchanged", 0.0, None)]
    )
    assert [row[1].text for row in table.rows] == ["grown", "shrunk", "unchanged"]
    assert [row[1].colour for row in table.rows] == [followup_changes.MORE, followup_changes.LESS, ""]
    assert {cell.colour for row in table.rows for n, cell in enumerate(row) if n != 1} == {""}
    assert [cell.to_right for cell in table.rows[0]] == [True, False, False, True, True, True]
    assert table.rows[2][2].text == "outside lobes"
    assert followup_changes.lesion_table([]).shape == (0, len(followup_changes.lesion_headings()))


def test_changes_of_no_region_are_no_rows():
    change = {"before": 10.0, "after": 5.0, "change": -5.0, "change_percent": -50.0, "case": None}
    pair = {"regions": [{"region": "whole lung", "changes": {"extent_percent": change}}]}
    table = followup_changes.change_table(pair, "whole lung")
    assert table.texts == [["Extent, %", "10.00", "5.00", "-5.00", "-50.0", ""]]
    assert [cell.to_right for cell in table.rows[0]] == [False, True, True, True, True, False]
    for nothing in ((pair, "left lung"), (pair, ""), (None, "")):
        assert followup_changes.change_table(*nothing).shape == (0, 6)


def test_reading_aids_explain_themselves_in_every_cell(metrics):
    table = readers.aid_table(metrics)
    assert table.texts == [cells for cells, _ in readers.aid_rows(metrics)]
    assert all(len({cell.tip for cell in row}) == 1 and row[0].tip for row in table.rows)
    assert readers.aid_table(None).shape == (0, len(readers.aid_headings()))


def test_plain_tables_tell_figures_from_words():
    (row,) = plain_table(["a"] * 6, [["1", "-2", "±0", "–", "n 3", ""]]).rows
    assert [cell.to_right for cell in row] == [True, True, True, True, False, False]


def test_columns_are_as_wide_as_their_widest_text_and_become_no_narrower():
    assert fitted_widths([44, 14], [6, 30], [0, 0]) == ([44, 30], 74)
    assert fitted_widths([44, 14], [6, 36], [44, 30]) == ([44, 36], 80), "a figure is never cut"
    assert fitted_widths([44, 14], [6, 30], [44, 36]) == ([44, 36], 74), "columns do not jump while the reader paints"


def test_a_long_table_shows_its_first_rows():
    table = plain_table(["a"], [["1"]] * 4)
    assert [shown_rows(table, most) for most in (None, 2, 9)] == [4, 2, 4]


# ----------------------------------------------------------------------------------------------------------- view


@pytest.fixture
def shown(world):
    """A view, what its QtTable was told, and how often the reader's selection was heard of."""
    from COVIDQuantPanel.sections.table_view import TableView
    from panel_widgets import Widget

    heard = []
    view = TableView(Widget("QTableWidget"), most=2, selected=lambda: heard.append(view.row))
    return view, world.tables[""], heard


TABLE = Table((Cell("a", tip="of a"), Cell("b")), tuple((Cell(f"{n}", swatch=()), Cell("x")) for n in range(4)))


def test_a_table_is_shown_silently_and_no_row_is_selected(shown):
    view, told, heard = shown
    view.show(TABLE)
    told.put.assert_called_once_with(TABLE, most=2, tight=True)
    assert (view.table, view.row, heard) == (TABLE, None, [])
    view.select(3)
    assert view.row == 3
    view.show(TABLE)
    assert view.row is None
    assert heard == [3]


def test_new_figures_keep_the_cells_and_the_selection(shown):
    view, told, _ = shown
    view.show(TABLE)
    view.select(1)
    other = Table(TABLE.headings, tuple((Cell("n", "tip"), Cell("y")) for _ in range(4)))
    view.update(other)
    told.write.assert_called_once_with(other)
    assert (view.table, view.row, told.put.call_count) == (other, 1, 1)
    view.update(Table(TABLE.headings, TABLE.rows[:3]))
    assert (view.table.shape, view.row, told.put.call_count) == ((3, 2), None, 2)
    assert told.write.call_count == 1


def test_the_list_of_findings_grows_with_what_was_decided():
    assert findings.table([], None).grows == findings.STATUS
