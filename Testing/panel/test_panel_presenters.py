"""What the panel shows and allows, asked of its presenters: no window, no scene, no stand-ins."""

import types
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed, which the library's statuses need")

from COVIDQuantPanel.events import PanelEvents
from COVIDQuantPanel.presenters import (
    exports,
    findings,
    followup_changes,
    followup_exams,
    grade,
    quantify,
    results,
    review,
)
from COVIDQuantPanel.presenters.controls import Control

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.dicom.files import DICOM
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.exam_files import EXPORTS
from COVIDQuantLib.followup.lesions.records import FATES
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.status import Figures, FindingStatus, SegmentStatus
from COVIDQuantLib.scene.volume_fitness import Fitness
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantLib.worker.run_times import RunTimes

MODULE = Path(__file__).resolve().parents[2] / "COVIDQuant"


def metrics():
    rng = np.random.default_rng(2)
    lobes = rng.integers(0, 6, (6, 10, 10), dtype=np.uint8)
    hu = rng.integers(-950, 50, lobes.shape, dtype=np.int16)
    return compute_metrics(JointHistogram.of(hu, lobes, (rng.random(lobes.shape) < 0.3) & (lobes < 5), 0.001))


def buttons_of(form):
    root = ET.parse(MODULE / "Resources" / "UI" / f"{form}.ui").getroot()
    return {widget.get("name") for widget in root.iter("widget") if widget.get("class") == "QPushButton"}


def test_events_reach_who_is_connected_in_order():
    events, told = PanelEvents(), []
    events.segment_chosen.connect(lambda segment_id: told.append(("first", segment_id)))
    events.segment_chosen.connect(lambda segment_id: told.append(("second", segment_id)))
    events.segment_chosen.emit("pneumonia")
    events.figures_changed.emit()
    assert told == [("first", "pneumonia"), ("second", "pneumonia")]
    with pytest.raises(TypeError):
        events.segment_chosen.emit()


def test_a_control_says_why_not_or_what_it_does():
    assert (Control("busy", "writes").enabled, Control("busy", "writes").tooltip) == (False, "busy")
    assert (Control("", "writes").enabled, Control("", "writes").tooltip) == (True, "writes")


# -------------------------------------------------------------------------------------------------------- figures


def test_columns_are_in_the_contracts_order_and_the_usual_ones_without_a_choice():
    table = results.FiguresTable()
    assert table.choose([])
    usual = [heading.text for heading in table.headings()]
    assert usual[0] == "Region"
    assert {"Consol.\n%", "CT\nscore"} <= set(usual)
    assert not table.choose([])
    assert table.choose(["weight_g", "volume_ml"])
    assert [measure.name for measure in table.measures] == ["volume_ml", "weight_g"]
    for heading, measure in zip(table.headings()[1:], table.measures, strict=True):
        assert measure.formula in heading.tip
    assert set(results.column_choices()) == {measure.name for measure in MEASURES}
    assert all("\n" not in choice.text and choice.tip for choice in results.column_choices().values())


def test_cells_follow_the_order_that_a_click_on_a_heading_asks_for():
    table, figures = results.FiguresTable(), metrics()
    table.choose(["extent_percent", "mean_lesion_hu"])
    before = table.fill(figures)
    assert [row[0] for row in before] == [row["region"] for row in figures.rows]
    for column in (1, 2):
        table.sort_by(column)
        falling = [row[column] for row in table.fill(figures)]
        table.sort_by(column)
        rising = [row[column] for row in table.fill(figures)]
        defined = [float(text) for text in falling if text != "–"]
        assert defined == sorted(defined, reverse=True)
        assert [float(text) for text in rising if text != "–"] == sorted(defined)
        # The lobe without pneumonia has no mean; what is undefined stands last either way.
        assert falling[len(defined) :] == rising[len(defined) :] == ["–"] * (len(before) - len(defined))
    assert "left lower lobe" in [row[0] for row in table.fill(figures) if row[2] == "–"]
    assert table.region(0) == table.rows[0]["region"]
    table.sort_by(0)
    assert table.fill(figures) == before
    assert table.region(len(before)) is None
    assert len(table.as_text().splitlines()) == 1 + len(before)


def test_the_headline_holds_the_whole_lung_and_explains_itself():
    figures = metrics()
    headline = results.headline(figures)
    assert f"{figures.value('whole lung', 'extent_percent'):.2f} %" in headline.text
    assert headline.text.startswith("<table><tr>")
    assert len(headline.tip.splitlines()) == headline.text.count("<td")


def test_state_warnings_and_colours():
    assert "AI result" in results.state_text(Figures.AI)
    assert "edited" in results.state_text(Figures.EDITED)
    assert "accepted" in results.state_text(Figures.ACCEPTED)
    odd = types.SimpleNamespace(message="odd")
    assert results.warnings_text("", []) == ""
    assert results.warnings_text("stale", [odd]) == "stale\nodd"
    assert results.colour_of(LOBES[0].name) == LOBES[0].colour
    assert results.colour_of("whole lung") is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-750, -300, (-750, -300)), (-100, -300, (-100, -100)), (-750, -900, (-900, -900))],
)
def test_the_threshold_that_is_not_held_gives_way(low, high, expected):
    moved = results.moved_thresholds(low, high, Thresholds(-750, -300))
    assert (moved.ggo_hu, moved.consolidation_hu) == expected


# ---------------------------------------------------------------------------------------------------------- grade


def html(worst=None, wrong=(), *, checking=False, stands=True):
    return grade.grade_html(worst, list(wrong), checking=checking, stands=stands)


def test_the_grade_line_links_to_the_worst_and_says_whether_it_still_holds():
    assert html(Grade.SOUND) == '<b style="color:#2e7d32">Result sound</b>'
    wrong = [CheckResult(f"c{n}", Grade.LOOK, f"<{n}>") for n in range(6)]
    line = html(Grade.LOOK, wrong)
    assert '<a href="0">&lt;0&gt;</a>' in line
    assert '<a href="4">' not in line
    assert line.endswith("and 2 more")
    assert html(Grade.SOUND, stands=False).endswith('before the last edits · <a href="check">Check again</a>')
    assert html(None, stands=False) == 'Not checked yet · <a href="check">Check now</a>'
    assert html(Grade.SOUND, checking=True, stands=False).endswith("checking …")


# ------------------------------------------------------------------------------------------------------- quantify

FIT = Fitness("512 × 512 × 300 voxels", refused=False, megavoxels=78.6)


def asked(**changes):
    usual = {"has_ct": True, "fitness": FIT, "method": "network", "device": "auto", "running": False, "missing": ()}
    return quantify.QuantifyState(**{**usual, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"has_ct": False, "fitness": Fitness("", refused=False), "missing": ("torch",)}, "Choose a CT first"),
        ({"fitness": Fitness("no voxels", refused=True), "missing": ("torch",)}, "no voxels"),
        ({"missing": ("torch",)}, "Install the packages for networks"),
        ({"missing": ("torch",), "method": "model-free"}, ""),
        ({"missing": ("torch",), "method": None}, ""),
    ],
)
def test_why_a_ct_cannot_be_quantified(changes, reason):
    control = asked(**changes).quantify_control()
    assert control.text == "Quantify"
    assert control.enabled == (not reason)
    assert control.tooltip.startswith(reason or "Find lobes")


def test_a_run_can_be_cancelled_whatever_is_missing_meanwhile():
    state = asked(running=True, has_ct=False, missing=("torch",))
    assert (state.quantify_control().text, state.quantify_control().enabled) == ("Cancel", True)
    assert not state.may_choose_device
    assert asked().may_choose_device
    assert not asked(method="model-free").may_choose_device
    assert [asked(missing=missing).offers_packages for missing in ((), ("torch",))] == [False, True]


@pytest.mark.parametrize(
    ("chosen", "changes", "expected"),
    [
        ("b", {}, (1, True)),
        ("gone", {}, (0, True)),
        ("b", {"method": "model-free"}, (1, False)),
        ("b", {"given": True}, (1, False)),
        ("", {"names": [""]}, (0, False)),
    ],
)
def test_another_model_can_be_chosen_where_one_is_used(chosen, changes, expected):
    usual = {"names": ["", "b"], "method": "network", "given": False}
    choice = quantify.model_choice(chosen=chosen, **{**usual, **changes})
    assert (choice.place, choice.enabled) == expected


def test_exams_are_not_changed_while_they_are_compared():
    states = [(running, there) for running in (False, True) for there in (False, True)]
    may = [followup_exams.may_change(running=running, has_result=there) for running, there in states]
    assert may == [False, True, False, False]


def test_the_time_is_told_where_it_is_known():
    times = RunTimes()
    assert "on the processor, less on a GPU: the first run loads the networks" in asked().time_text(times)
    assert asked(warm=True).time_text(times).endswith("on the processor, less on a GPU")
    assert "the first run loads the networks, later ones take about" in asked(device="cpu").time_text(times)
    assert asked(device="cpu", warm=True).time_text(times).endswith("on this computer")
    assert asked(method="model-free", device="cuda").time_text(times).endswith("on this computer")
    for nothing in ({"method": None}, {"fitness": Fitness("", refused=False)}, {"fitness": Fitness("x", refused=True)}):
        assert asked(**nothing).time_text(times) == ""


def test_progress_and_end_in_words():
    state = types.SimpleNamespace(stage="lobes", seconds_left=34.4)
    assert quantify.progress_text("CT", state) == "CT: finding the lobes, about 34 s left"
    state = types.SimpleNamespace(stage="odd", seconds_left=None)
    assert quantify.progress_text("CT", state) == "CT: odd"

    def end(error=None, cancelled=False):
        return quantify.end_text("CT", types.SimpleNamespace(error=error, cancelled=cancelled, seconds=12.3))

    assert end() == "CT: done in 12 s."
    assert end(cancelled=True) == "Stopped. Nothing was changed."
    assert "no lungs" in end(UnfitInputError("no lungs were found", "CT"))


# --------------------------------------------------------------------------------------------------------- review


def test_what_can_be_done_about_a_result():
    def reasons(**known):
        return {name: control.reason_not for name, control in review.ReviewState(**known).controls().items()}

    assert set(reasons()) <= buttons_of("ReviewSection")
    assert set(reasons().values()) == {"Quantify a CT, or choose a result"}
    fresh = reasons(is_there=True, figures=Figures.AI, has_original=True)
    assert {name for name, reason in fresh.items() if not reason} == {
        "acceptSegmentButton", "acceptAllButton", "searchButton", "restorePlaceButton",
    }  # fmt: skip
    assert fresh["restoreAllButton"] == "Nothing was edited"
    done = reasons(is_there=True, has_original=True, is_edited=True, statuses=(SegmentStatus.ACCEPTED,))
    assert set(done.values()) == {""}
    others = reasons(is_there=True, is_edited=True)
    assert others["restorePlaceButton"] == others["restoreAllButton"] != ""
    assert "accepted" in others["takeBackButton"]


def test_acceptance_is_said_until_it_is_taken_back():
    accepted = review.ReviewState(is_there=True, figures=Figures.ACCEPTED)
    said = accepted.text("7 voxels changed.")
    assert "accepted" in said
    assert review.ReviewState(is_there=True, figures=Figures.AI).text(said) == ""
    assert review.ReviewState(is_there=True, figures=Figures.AI).text("7 voxels changed.") == "7 voxels changed."


def test_pneumonia_is_painted_within_the_lungs():
    assert review.is_bounded(LESION_ROLE, erasing=False)
    assert not review.is_bounded(LESION_ROLE, erasing=True)
    assert not review.is_bounded(1, erasing=False)
    assert review.restored_text(7) == "7 voxels changed."
    assert "Nothing was edited here" in review.restored_text(0)


# ------------------------------------------------------------------------------------------------------- findings


def finding(**changes):
    usual = {"number": 3, "score": 0.875, "volume_ml": 1.26, "mean_hu": -601.4, "lobes": ("left lower lobe",),
             "suspected": True, "reasons": (), "effect": {"extent_percent": -0.4, "weight_g": 0.01}}  # fmt: skip
    return types.SimpleNamespace(**{**usual, **changes})


def test_findings_in_cells_and_words():
    cells = findings.cells(finding(), FindingStatus.KEPT)
    assert cells == ["3", "0.88", "1.3", "-601", "kept", "left lower lobe"]
    assert len(findings.headings()) == len(cells)
    assert findings.headings()[findings.STATUS] == "Status"
    decisions = (FindingStatus.UNTOUCHED, FindingStatus.KEPT, FindingStatus.REMOVED)
    assert [findings.status_text(decision) for decision in decisions] == ["open", "kept", "removed"]
    reason = types.SimpleNamespace(template="{n} edges lie at one depth.", values={"n": 4})
    told = findings.explanation(finding(reasons=(reason,)))
    assert told == "4 edges lie at one depth. Removing it changes extent and weight by -0.40 %, ±0.0 g."
    assert findings.explanation(finding()).startswith("Nothing suggests an artefact.")
    assert findings.summary([finding(), finding(suspected=False)]).startswith("1 of 2 parts")
    placed = [types.SimpleNamespace(finding=finding(suspected=suspected)) for suspected in (True, False)]
    assert findings.shown(placed, only_suspected=True) == placed[:1]
    assert findings.shown(placed, only_suspected=False) == placed


def test_findings_are_decided_on_once_one_is_selected():
    assert not findings.decide_control(is_selected=False).enabled
    assert findings.decide_control(is_selected=True).enabled
    assert not findings.next_control(are_shown=False).enabled
    assert findings.search_text() == "Look for motion artefacts"
    assert findings.search_text(running=True) == "Stop looking"
    assert findings.search_text(0.126, running=True) == "Stop looking (13 %)"


# -------------------------------------------------------------------------------------------------------- exports


@pytest.mark.parametrize(
    ("has", "reason"),
    [
        ((False, False, False), "Quantify"),
        ((True, False, False), "Choose a folder"),
        ((True, True, False), "Choose what"),
        ((True, True, True), ""),
    ],
)
def test_why_nothing_can_be_written(has, reason):
    state = dict(zip(("has_result", "has_folder", "wants_any"), has, strict=True))
    control = exports.export_control(running=False, **state)
    assert (control.enabled, control.text) == (not reason, "Export")
    assert control.reason_not.startswith(reason)
    stop = exports.export_control(running=True, **state)
    assert (stop.enabled, stop.text) == (True, "Cancel")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"has_result": False}, "Quantify"),
        ({"has_folder": False}, "Choose a folder"),
        ({"missing": ["jinja2"]}, "jinja2 is not installed"),
        ({"other_runs": True}, "Wait until the export is done"),
        ({}, ""),
    ],
)
def test_why_no_report_can_be_written(state, reason):
    usual = {"running": False, "other_runs": False, "has_result": True, "has_folder": True}
    control = exports.report_control(**{**usual, **state})
    assert (control.enabled, control.text) == (not reason, "Report…")
    assert control.reason_not.startswith(reason)
    assert exports.report_control(**{**usual, **state, "running": True}).text == "Cancel"


def test_a_written_report_can_be_opened_and_its_warnings_are_text(tmp_path):
    text = exports.report_text("CT", [tmp_path / "report.html"], ["No <b>PDF</b>."])
    assert f'<a href="{(tmp_path / "report.html").as_uri()}">report.html</a>' in text
    assert "No &lt;b&gt;PDF&lt;/b&gt;." in text


def test_dicom_can_be_written_of_what_the_database_holds():
    assert exports.CHOICES[-1] is DICOM
    assert DICOM.name not in exports.chosen([])
    assert "highdicom" in exports.choice_control(DICOM, can_be_written=False).tooltip
    assert "DICOM database" in exports.choice_control(DICOM, can_be_written=True, images=False).reason_not
    assert exports.choice_control(DICOM, can_be_written=True).tooltip == "segmentation.dcm, report_sr.dcm, overlay.dcm"
    held = {"1.2": "/data/a", "1.3": "/data/b"}
    assert exports.image_files("1.2 1.3", lambda uid: held.get(uid, "")) == ["/data/a", "/data/b"]
    for uids in ("1.2 1.4", "", None):
        assert exports.image_files(uids, lambda uid: held.get(uid, "")) == []


def test_choices_of_files_are_kept_none_of_them_too(tmp_path):
    usual = {export.name for export in EXPORTS if export.default}
    assert exports.chosen([]) == usual
    assert exports.chosen(exports.as_choice(["nifti"])) == {"nifti"}
    assert not exports.chosen(exports.as_choice([])) & {export.name for export in EXPORTS}
    picture = next(export for export in EXPORTS if export.name == "picture")
    assert "matplotlib" in exports.choice_control(picture, can_be_written=False).tooltip
    assert exports.choice_control(picture, can_be_written=True).tooltip == "overlay.png"
    assert exports.choice_control(picture, can_be_written=True, images=False).enabled
    files = [tmp_path / "metrics.csv", tmp_path / "metrics.json"]
    assert exports.question(files).endswith("metrics.csv\nmetrics.json")
    done = exports.done_text("CT pneumonia", files, tmp_path)
    assert tmp_path.as_uri() in done
    assert "metrics.csv, metrics.json" in done
    assert exports.progress_text("CT", "metrics.csv") == "CT: writing metrics.csv"


# ----------------------------------------------------------------------------------------------------------- follow-up

FOLLOWED = {
    "counts": dict.fromkeys(FATES, 0) | {"grown": 2},
    "too_small_count": 3,
    "lesions": [],
    "registration": {"quality": "good", "lung_dice": 0.987, "fissure_distance_mm": 0.52},
    "change_map_ml": {"persisting disease": 12.34, "new disease": 0.0, "resolved disease": 1.0},
}


@pytest.mark.parametrize(
    ("pair", "has_map", "reason"),
    [
        (None, False, "Compare exams first"),
        ((1, 3, None), False, "Choose an exam and the next one"),
        ((1, 2, FOLLOWED), False, "could not be registered"),
        ((1, 2, FOLLOWED), True, ""),
    ],
)
def test_why_there_is_no_change_map(pair, has_map, reason):
    choice = pair and followup_changes.PairChoice("", {"before": pair[0], "after": pair[1]}, pair[2])
    control = followup_changes.change_map_control(choice, has_map=has_map)
    assert control.enabled == (not reason)
    assert reason in control.reason_not


def test_the_legend_of_the_change_map_has_colours_and_volumes():
    text = followup_changes.change_legend(FOLLOWED)
    assert ET.fromstring(f"<p>{text}</p>").find("span").get("style") == "color:#F0E442"
    assert "persisting 12.3 mL" in text
    assert "new 0.0 mL" in text
    assert "resolved 1.0 mL" in text


def test_lesions_that_are_too_small_to_follow_are_counted():
    told = followup_changes.lesions_text(FOLLOWED)
    assert told.startswith("2 grown. 3 too small to follow (below 0.5 mL). Registration good")
    # Comparisons in older scenes do not know.
    assert "too small" not in followup_changes.lesions_text({**FOLLOWED, "too_small_count": None})
