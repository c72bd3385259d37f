"""The report of a follow-up: two pages whatever is compared, every change as compared, nothing missing in silence."""

import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from followup_world import DAYS, lungs, result, write_result
from report_world import banners, exam, needs_pdf, number, pages_of, parsed, table_of

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.exam_files import write_exam
from COVIDQuantLib.followup.comparison import compare_exams
from COVIDQuantLib.followup.exam_result import read_result
from COVIDQuantLib.followup.limits import PlainLimits
from COVIDQuantLib.followup.site_limits import SiteLimits
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.report.exam_page import exam_page
from COVIDQuantLib.report.exam_pictures import draw_pictures
from COVIDQuantLib.report.followup_page import draw_charts, followup_page
from COVIDQuantLib.report.pages import html_of
from COVIDQuantLib.report.subject import subject_of_exam, subject_of_result
from COVIDQuantLib.report.write import write_comparison_report, write_report, write_result_report

GROWING = [lungs(ggo=1_000 * (n + 1), dense=500 * n, RUL=(0, 0)) for n in range(4)]


@pytest.fixture(scope="module")
def usual():
    """The page of an exam, which stands before every follow-up here, and charts of one that stand for those of any."""
    subject = subject_of_exam(exam())
    return exam_page(subject, draw_pictures(subject), "Exam"), draw_charts(compared(GROWING, onset=DAYS[0]))


def compared(histograms, days=DAYS, **options):
    results = [result(one, f"exam{n}", day) for n, (one, day) in enumerate(zip(histograms, days, strict=False))]
    return compare_exams(results, **options)


def shown(comparison, usual, **options):
    return parsed(html_of(usual[0], followup_page(comparison, usual[1], **options)))


# --------------------------------------------------------------------------------------------------------- the figures


def check_change(cells, change):
    for text, value, decimals in zip(
        cells,
        (change.before, change.after, change.change, change.percent),
        (*[change.figure.decimals] * 3, 1),
        strict=True,
    ):
        if value is None:
            assert not any(letter.isdigit() for letter in text)
        else:
            assert number(text) == pytest.approx(value, abs=0.5001 * 10.0**-decimals)


def test_every_change_is_that_of_the_comparison(usual):
    comparison = compared(GROWING, onset=DAYS[0] - timedelta(5))
    root = shown(comparison, usual)
    overall = comparison.overall
    tables = [node for node in root.all("table") if "changes" in node.classes]
    rows = [[[cell.text for cell in row.all("th", "td")] for row in table.all("tr")[1:]] for table in tables]
    by_region, by_measure = rows
    assert [row[0] for row in by_region] == [one.region for one in overall.regions if one.region != "outside lobes"]
    for row in by_region:
        check_change(row[1:5], overall.region(row[0]).changes["extent_percent"])
        assert row[5] == overall.region(row[0]).disease
    lungs_changes = overall.region("whole lung").changes
    assert len(by_measure) == len(lungs_changes)
    for row, (name, change) in zip(by_measure, lungs_changes.items(), strict=True):
        check_change(row[1:5], change)
        judged = overall.published["whole lung"].get(name)
        assert row[5].partition(" (")[0] == ({"beyond": "exceeds error"}.get(judged.verdict, "") if judged else "")
    assert overall.signs[0].words.capitalize() in root.text


def test_the_exams_are_listed_with_their_days_and_dates_only_when_asked_for(usual):
    comparison = compared(GROWING, onset=DAYS[0] - timedelta(5))
    headings, rows = table_of(shown(comparison, usual), "exams")
    assert headings[:3] == ["Exam", "Day", "Since onset days"]
    assert [row[:3] for row in rows] == [["1", "0", "5"], ["2", "10", "15"], ["3", "24", "29"], ["4", "48", "53"]]
    assert [row[-1] for row in rows] == ["sound"] * 4
    assert "2020" not in " ".join(cell for row in rows for cell in row)
    _, dated = table_of(shown(comparison, usual, dates=True), "exams")
    assert [row[1] for row in dated] == [day.isoformat() for day in DAYS]


def test_a_change_from_nothing_to_something_has_words_instead_of_a_number(usual):
    root = shown(compared([lungs(), lungs(ggo=900)]), usual)
    table = next(node for node in root.all("table") if "changes" in node.classes)
    whole = [cell.text for cell in table.all("tr")[1].all("th", "td")]
    assert whole == ["whole lung", "0.00", "0.90", "+0.90", "from zero", "new"]


def test_the_sites_own_limits_stand_beside_the_published_ones(usual):
    limits = {("whole lung", "extent_percent"): PlainLimits(0.0, 50.0)}
    site = SiteLimits(Path("summary.json"), 20, limits)
    root = shown(compared(GROWING[:2], site=site), usual)
    assert "By the site’s limits" in root.text
    assert "within error (±70.71)" in root.text


# ------------------------------------------------------------------------------------------------- what must be loud


def test_an_exam_that_is_not_usable_spoils_the_comparison_aloud(usual):
    results = [result(one, f"exam{n}", DAYS[n]) for n, one in enumerate(GROWING[:2])]
    bad = result(GROWING[2], "exam2", DAYS[2], grade=Grade.UNUSABLE)
    root = shown(compare_exams([*results, bad]), usual)
    assert [node.text for node in banners(root)] == ["Exam 3 is graded NOT USABLE: do not rely on these changes"]
    assert "not usable" in table_of(root, "exams")[1][2]


def test_another_inspiration_is_said_with_what_depends_on_it_least(usual):
    root = shown(compared([lungs(ggo=900), lungs(ggo=900, voxels=70_000)]), usual)
    (banner,) = banners(root)
    assert "lung volume −30 %" in banner.text
    assert "weight" in banner.text


def test_the_published_curves_need_the_onset():
    without, with_onset = (draw_charts(compared(GROWING[:2], onset=onset)).course for onset in (None, DAYS[0]))
    assert "published" not in without.alt
    assert "published courses of Pan and Huang" in with_onset.alt
    assert "corrected" not in without.caption
    assert "Pan prints 3.30x" in with_onset.caption


def test_lesions_are_told_by_what_became_of_them(usual):
    pairs = [
        {"before": 1, "after": 2, "counts": {"new": 2, "grown": 1, "resolved": 0}, "too_small_count": 3},
        {"before": 2, "after": 3, "counts": None},
    ]
    lesions = {"pairs": pairs, "limits": {"lesion_ml": 0.8}}
    comparison = replace(compared(GROWING[:3]), lesions=lesions)
    text = shown(comparison, usual).text
    assert "Lesions from exam 1 to 2: 2 new, 1 grown; 3 too small to follow (below 0.8 mL)." in text
    assert "Lesions from exam 2 to 3: could not be followed." in text


# ----------------------------------------------------------------------------------------------------------- the files


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two finished results of one patient; the second one has its segmentation."""
    root = tmp_path_factory.mktemp("results")
    made = exam()
    write_exam(made, root / "two", ["metrics", "segmentation"])
    write_result(root / "one", made.histogram)
    record = read_result(root / "two")
    histogram = record.histogram
    histogram.counts[1, 0, 200] += 5
    write_result(root / "one", histogram)
    return [root / "one", root / "two"]


@pytest.mark.slow
@needs_pdf
def test_a_follow_up_of_thirty_exams_is_two_pages(folders, tmp_path):
    days = [DAYS[0] + timedelta(n) for n in range(30)]
    results = [result(lungs(ggo=50 * n + 1), f"exam{n}", day, notices=("odd",)) for n, day in enumerate(days[:-1])]
    comparison = compare_exams([*results, read_result(folders[1])], days, same_patient=True)
    files = write_comparison_report(comparison, tmp_path)
    assert pages_of(files.pdf) == 2
    root = parsed(files.html.read_text(encoding="utf-8"))
    _, rows = table_of(root, "exams")
    assert [rows[0][0], rows[1][0], rows[-1][0]] == ["1", "21 more", "30"]
    assert [node.tag for node in root.all("h1", "h2")].count("h1") == 1
    # The figures are those of the last exam.
    assert rows[-1][2] == table_of(root, "figures")[1][0][1]


def test_what_a_folder_lacks_is_said_in_the_report(folders, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    comparison = compare_exams([read_result(one) for one in reversed(folders)], DAYS[:2], same_patient=True)
    files = write_comparison_report(comparison, tmp_path)
    codes = [warning.code for warning in files.warnings]
    assert codes == ["report-no-segmentation", "report-no-picture", "report-no-pdf"]
    root = parsed(files.html.read_text(encoding="utf-8"))
    assert "No slices: the CT is not at hand." in root.text
    assert "the segmentation cannot be used" in root.text
    # Two charts of the exam, two of the follow-up.
    assert len(root.all("img")) == 4


def test_a_damaged_overview_is_not_shown(folders, tmp_path):
    (tmp_path / "metrics.json").write_bytes((folders[1] / "metrics.json").read_bytes())
    (tmp_path / "overlay.png").write_bytes(b"not a picture")
    subject = subject_of_result(tmp_path)
    assert subject.sheet is None
    assert "overlay.png is damaged" in subject.missing[-1].message


@pytest.mark.parametrize(("name", "code"), [("segmentation.seg.nrrd", "result-incomplete"), ("notes.txt", "no-result")])
def test_a_half_written_folder_is_refused_and_nothing_is_written(name, code, tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / name).write_text("x", encoding="utf-8")
    with pytest.raises(UnfitInputError) as refused:
        write_result_report(tmp_path / "half", tmp_path / "report")
    assert refused.value.code == code
    assert not (tmp_path / "report").exists()


def test_an_exam_in_memory_can_be_compared_with_earlier_ones(folders, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    results = [read_result(one) for one in folders]
    comparison = compare_exams(results, [date(2020, 1, 1), date(2020, 1, 8)], same_patient=True)
    files = write_report(exam(), tmp_path, comparison=comparison)
    text = parsed(files.html.read_text(encoding="utf-8")).text
    assert "number 2 of 2, 7 days after the first" in text
    assert "Follow-up: 2 exams over 7 days" in text
