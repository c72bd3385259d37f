"""The report of one exam: every figure as in the table, loud where it must be, whole or not at all, naming nobody."""

import json
import re
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from dicom_maker import PATIENT, chest, slice_datasets, write
from hypothesis import given, settings
from hypothesis import strategies as st
from report_world import SHAPE, arrays, exam, number, pages_of, parsed, table_of

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.source import CTSource, DicomIdentity
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import Cancelled, OutputError, UsageError
from COVIDQuantLib.export.exam_files import write_exam
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.report import write as write_module
from COVIDQuantLib.report.documents import exclusion_of, notes_of
from COVIDQuantLib.report.exam_page import AMPLE, SCARCE, exam_page
from COVIDQuantLib.report.exam_pictures import draw_pictures
from COVIDQuantLib.report.identity import ReportIdentity, shortened
from COVIDQuantLib.report.pages import STYLE, html_of
from COVIDQuantLib.report.subject import subject_of_exam
from COVIDQuantLib.report.write import put_pages, title_of, write_report, write_result_report
from COVIDQuantLib.resources import resource_path
from COVIDQuantLib.system.atomic_files import OutputFolder

PDF_CAN_BE_MADE = True
try:
    import weasyprint  # noqa: F401
except (ImportError, OSError):
    PDF_CAN_BE_MADE = False
needs_pdf = pytest.mark.skipif(not PDF_CAN_BE_MADE, reason="WeasyPrint or Pango is not installed")
NASTY = '<script>alert("x")</script> & "quoted" \'single\' {{ 7*7 }}'


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The report of an exam with lesions, and what quantify writes of it."""
    folder = tmp_path_factory.mktemp("report")
    made = exam()
    write_exam(made, folder, ["metrics", "segmentation"])
    return write_report(made, folder)


@pytest.fixture(scope="module")
def page(written):
    return parsed(written.html.read_text(encoding="utf-8"))


@pytest.fixture
def no_pdf(monkeypatch):
    """WeasyPrint as if it were not installed."""
    monkeypatch.setitem(sys.modules, "weasyprint", None)


@pytest.fixture(scope="module")
def pictures():
    """Of the usual exam; where only the words of a page count, they stand for those of any."""
    return draw_pictures(subject_of_exam(exam()))


def page_of(made, pictures, identity=None, room=AMPLE, **documents):
    """The page of an exam, with readers' documents by name."""
    subject = subject_of_exam(made)
    subject = replace(subject, record={**subject.record, **documents})
    return exam_page(subject, pictures, "Exam", identity, room)


# ---------------------------------------------------------------------------------------------------------- the figures


def check_table(root, metrics):
    headings, rows = table_of(root, "figures")
    assert len(headings) == 1 + len(MEASURES)
    assert [row[0].partition(" (")[0] for row in rows] == [row["region"] for row in metrics.rows]
    for shown, row in zip(rows, metrics.rows, strict=True):
        for text, measure in zip(shown[1:], MEASURES, strict=True):
            value = row[measure.name]
            if value is None:
                assert text == "–"
            else:
                assert number(text) == pytest.approx(value, abs=0.5001 * 10.0**-measure.decimals), measure.name


def test_every_figure_is_that_of_metrics_json(written, page):
    record = json.loads((written.html.parent / "metrics.json").read_text(encoding="utf-8"))
    metrics = read_metrics(written.html.parent).metrics
    check_table(page, metrics)
    tiles = {one.all("dt")[0].text: one.all("dd")[0].text for one in page.all("div") if one.all("dt") and one.all("dd")}
    whole = record["regions"][0]
    assert tiles["Extent"] == f"{whole['extent_percent']:.2f} %"
    assert tiles["Weight"] == f"{whole['weight_g']:.1f} g"
    assert tiles["CT score"] == f"{record['ct_score_total']} / 25"
    assert tiles["Checks"] == "sound"
    assert f"{record['hellinger_distance']:.2f}" == tiles["From normal"]


def only_right():
    return {"lobes": np.where(arrays()[1] <= 3, arrays()[1], 0).astype(np.uint8)}


HARD = {
    "no lesions": {"lesions": np.zeros(SHAPE, bool)},
    "one lung": only_right(),
    "no lungs": {"lobes": np.zeros(SHAPE, np.uint8), "lesions": np.zeros(SHAPE, bool)},
    "lesions outside every lobe": {"lobes": np.zeros(SHAPE, np.uint8)},
}
SAID = {
    "no lesions": "with the most lung",
    "one lung": "Not in this result: left upper lobe, left lower lobe",
    "no lungs": "There are no lungs in this result",
    "lesions outside every lobe": "There are no lungs in this result",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n == "no lesions" else []) for n in HARD])
def test_hard_cases_have_a_report_that_says_so(name):
    made = exam(**HARD[name])
    subject = subject_of_exam(made)
    root = parsed(html_of(exam_page(subject, draw_pictures(subject), "Exam")))
    check_table(root, made.metrics)
    assert SAID[name] in root.text
    assert "nan" not in root.text.lower().split()


# -------------------------------------------------------------------------------------------------- what must be loud


def graded(*grades):
    return [CheckResult(f"check-{n}", grade, f"finding {n}", "left lung") for n, grade in enumerate(grades)]


def banners(root):
    return [node for node in root.all("section") if "banner" in node.classes]


def test_a_result_that_is_not_usable_says_so_before_any_figure(pictures):
    html = html_of(page_of(exam(checks=graded(Grade.LOOK, Grade.UNUSABLE, Grade.SOUND)), pictures))
    (banner,) = banners(parsed(html))
    assert "alarm" in banner.classes
    assert "NOT USABLE" in banner.text
    assert "left lung: finding 1" in banner.text
    assert html.index("NOT USABLE") < html.index('class="tiles"')
    listed = next(node for node in parsed(html).all("ul") if "findings" in node.classes).text
    assert listed.index("[check-1]") < listed.index("[check-0]")
    assert "check-2" not in listed


@pytest.mark.parametrize(("checks", "said"), [(graded(Grade.LOOK), "Look at this"), ((), "Not checked")])
def test_a_result_to_be_looked_at_or_unchecked_says_so(checks, said, pictures):
    (banner,) = banners(parsed(html_of(page_of(exam(checks=checks), pictures))))
    assert "look" in banner.classes
    assert said in banner.text


def test_a_sound_result_has_no_banner_and_its_warnings_stand_on_the_page(pictures):
    root = parsed(html_of(page_of(exam(warnings=[CTWarning("thick-sections", "Sections of 5 mm.")]), pictures)))
    assert banners(root) == []
    assert "Sections of 5 mm. [thick-sections]" in root.text


def test_findings_that_do_not_fit_are_counted(pictures):
    root = parsed(html_of(page_of(exam(checks=graded(*[Grade.LOOK] * 20)), pictures)))
    listed = next(node for node in root.all("ul") if "findings" in node.classes).all("li")
    shown = sum("[check-" in line.text for line in listed)
    assert listed[-1].text == f"and {20 - shown} more in metrics.json"


# ------------------------------------------------------------------------------------------------------ fit to be read


def test_the_page_is_in_english_and_its_headings_are_in_order(page):
    (html,) = page.all("html")
    assert html.attributes["lang"] == "en"
    assert page.all("title")[0].text
    levels = [int(node.tag[1]) for node in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(node.text for node in page.all("h1", "h2", "h3"))


def test_every_picture_is_inside_and_told_in_words(page):
    images = page.all("img")
    # Three slices, two views, two charts.
    assert len(images) == 7
    assert all(image.attributes["src"].startswith("data:image/png;base64,") for image in images)
    words = [image.attributes["alt"] for image in images]
    assert len({*words}) == 7
    assert all(len(text) > 30 for text in words)


def test_every_heading_of_a_table_says_what_it_heads(page):
    cells = page.all("th")
    assert cells
    assert {cell.attributes.get("scope") for cell in cells} == {"col", "row"}


def test_marks_of_regions_lead_to_their_headings(page):
    ids = [node.attributes["id"] for node in page.all("h1", "h2", "h3") if "id" in node.attributes]
    assert len(ids) == len({*ids})
    wanted = [
        node.attributes["aria-labelledby"] for node in page.all("section") if "aria-labelledby" in node.attributes
    ]
    assert {*wanted} <= {*ids}


def luminance(colour):
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_from_its_background():
    """WCAG's contrast of 4.5, by every colour of the style against its own background or the page's white."""
    style = (resource_path("Report") / STYLE).read_text(encoding="utf-8").replace("white", "#ffffff")
    found = 0
    for body in re.findall(r"\{([^{}]*)\}", style):
        text = re.search(r"(?<![-\w])color: (#\w{6})", body)
        behind = re.search(r"background: (#\w{6})", body)
        if text or behind:
            pair = text[1] if text else "#1c2226", behind[1] if behind else "#ffffff"
            low, high = sorted(map(luminance, pair))
            assert (high + 0.05) / (low + 0.05) >= 4.5, body
            found += 1
    assert found >= 8


def test_nothing_is_loaded_from_anywhere(written):
    html = written.html.read_text(encoding="utf-8")
    without_pictures = re.sub(r"data:image/[^\"]*", "", html)
    assert not re.search(r"https?:|//|url\(|@import|<script|<link", without_pictures)
    assert "default-src 'none'" in without_pictures


def test_it_says_how_it_was_made_and_what_it_is_not(page):
    assert "Not a medical device" in page.text
    assert "−750 to below −350 HU" in page.text
    assert "lobes given as masks" in page.text
    assert "To cite: COVIDQuant contributors" in page.text
    assert "Software: COVIDQuant" in page.text


def test_models_are_named_with_the_beginning_of_their_digests(pictures):
    model = {"name": "lobes-unet-3d", "version": "1.4", "sha256": {"coarse": "0123456789abcdef" * 4}}
    root = parsed(html_of(page_of(exam(provenance={"lobes": {"method": "network", "model": model}}), pictures)))
    assert "lobes by the network lobes-unet-3d 1.4" in root.text
    assert "coarse 0123456789ab…" in root.text


# ------------------------------------------------------------------------------------------------------- whose it is


def test_nobody_is_named_unless_asked_for(written):
    html = re.sub(r"data:image/[^\"]*", "", written.html.read_text(encoding="utf-8"))
    assert "Doe" not in html
    assert "Jane" not in html


def test_the_patient_is_named_when_asked_for(pictures):
    dicom = DicomIdentity(
        "1", "2", "", (), {"PatientName": "Doe^Jane", "PatientID": "17", "PatientBirthDate": "19500102"}
    )
    source = CTSource({"acquisition_date": "2020-03-01"}, dicom=dicom)
    identity = ReportIdentity.of(source)
    root = parsed(html_of(page_of(exam(), pictures, identity)))
    (line,) = [node for node in root.all("p") if "identity" in node.classes]
    assert line.text == "Doe Jane ID 17 born 1950-01-02 exam of 2020-03-01"


def test_the_identity_of_a_dicom_exam_is_that_of_its_files(tmp_path):
    write(slice_datasets(chest(), **PATIENT), tmp_path)
    identity = ReportIdentity.of(read_ct(tmp_path).source)
    assert identity.name == "Hidden Herbert"
    assert dict(identity.details) == {"ID": "SECRET-4711", "born": "1931-11-13"}


@pytest.mark.parametrize("source", [CTSource(), CTSource(dicom=DicomIdentity("1", "2", "", ()))])
def test_a_ct_that_names_nobody_cannot_be_reported_by_name(source):
    with pytest.raises(UsageError, match="does not say whose it is") as refused:
        ReportIdentity.of(source)
    assert refused.value.code == "report-no-identity"


def test_texts_of_users_are_texts(pictures):
    identity = ReportIdentity(NASTY, (("ID", NASTY),))
    made = exam(warnings=[CTWarning("odd", NASTY)], checks=[CheckResult("odd", Grade.UNUSABLE, NASTY)])
    subject = subject_of_exam(made, identify=True)
    html = html_of(exam_page(subject, pictures, title_of(subject, None, NASTY), identity))
    root = parsed(html)
    assert not root.all("script")
    assert "<script" not in html
    for place in ("p", "li"):
        assert any(NASTY in node.text for node in root.all(place)), place
    assert "49" not in next(node for node in root.all("p") if "about" in node.classes).text


@pytest.mark.parametrize("text", ["x" * 5000, "y\n\x00" * 5000, "\udc80" * 3, ""])
def test_names_are_cut_to_one_printable_line(text):
    line = shortened(text)
    assert len(line) <= 120
    assert line.isprintable()
    assert line.endswith("…") == (len(text) > 120)


# --------------------------------------------------------------------------------------------------- readers' documents

RATING = {
    "verdict": "excluded from quantification",
    "mean": 2.5,
    "scale": {"lowest": 0, "highest": 5, "adequate_from": 3.0, "source": "Huang 2020"},
    "rounds": [
        {
            "readers": [
                {
                    "reader": "AB",
                    "scores": [{"score": 2, "time": "2026-01-02T10:00:00+00:00", "comment": "basal motion"}],
                },
                {"reader": "CD", "scores": [{"score": 1, "time": "x"}, {"score": 3, "time": "2026-01-03T10:00:00"}]},
            ]
        }
    ],
}
EDITS = {
    "edited": True,
    "reader": "AB",
    "active_seconds": 312.0,
    "changes": [
        {"region": "whole lung", "lesion_added_ml": 1.0, "lesion_removed_ml": 1.0},
        {"region": "everywhere", "lesion_added_ml": 12.3, "lesion_removed_ml": 45.6, "lesion_dice": 0.87},
    ],
    "removed_as_artefact": [{"volume_ml": 12.0}, {"volume_ml": 3.0}],
    "figures_before": [{"extent_percent": 30.0, "weight_g": 900.0}],
    "figures_after": [{"extent_percent": 27.9, "weight_g": 800.0}],
}


def test_readers_words_are_shown_and_their_exclusion_is_loud(pictures):
    aids = {
        "notice": "Literature.",
        "cut_offs": [
            {"what": "Extent > 5 %: x", "value": 7.25, "unit": "%", "position": "above", "source": "Yoo 2022"}
        ],
        "ct_score": {"score": 4, "conversion": {"expected_percent": 3.3, "measured_percent": 3.5}},
        "groups": [
            {"region": "whole lung", "measure": "ct_score", "group": "severe", "n": 9, "position": "at the median"},
            {"region": "left lung", "measure": "ct_score", "group": "severe", "n": 9, "position": "not shown"},
        ],
    }
    root = parsed(html_of(page_of(exam(), pictures, rating=RATING, edit_record=EDITS, reading_aids=aids)))
    assert banners(root)[0].text == "Excluded from quantification by the readers: mean rating 2.5, below 3"
    for said in (
        "mean 2.5 of 5",
        "AB: 2 (2026-01-02): basal motion",
        "CD: 3 (2026-01-03)",
        "edited by AB in 5 min of work",
        "12.3 mL added, 45.6 mL removed; Dice of AI and final 0.870",
        "extent 30.0 → 27.9 %, weight 900.0 → 800.0 g",
        "2 parts of the pneumonia, 15.0 mL",
        "Reading aids from the literature, not a diagnosis",
        "Extent > 5 %: x; this exam: 7.2 %, above (Yoo 2022)",
        "CT score 4 corresponds to 3.3 % of the lungs, measured 3.5 %",
        "CT score, severe (n 9), published –: at the median",
        "Literature.",
    ):
        assert said in root.text, said
    assert "not shown" not in root.text


def test_a_score_that_waits_for_the_second_reader_is_not_shown():
    record = {"rating": {"verdict": "waiting", "rounds": [{"readers": [{"reader": "AB", "sealed": "Mg=="}]}]}}
    (note,) = notes_of(record)
    waiting = "AB: has rated, not shown before the second reader has"
    assert note.lines == ("Verdict: waiting", waiting)
    assert exclusion_of(record) == ""
    # The round before it is finished, and still counts.
    (note,) = notes_of({"rating": {**RATING, "rounds": [*RATING["rounds"], *record["rating"]["rounds"]]}})
    assert note.lines[1:] == ("AB: 2 (2026-01-02): basal motion", "CD: 3 (2026-01-03)", waiting)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["readers", "scores", "changes", "text", "rounds", "verdict", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON, JSON, JSON)
def test_no_document_breaks_a_report(rating, edits, aids):
    record = {"rating": rating, "edit_record": edits, "reading_aids": aids, "segmentation": {"review": rating}}
    assert isinstance(exclusion_of(record), str)
    for note in notes_of(record):
        assert all(isinstance(line, str) and "\n" not in line for line in note.lines)


# ----------------------------------------------------------------------------------------------------------- the files


@needs_pdf
def test_one_exam_is_one_page(written):
    assert written.warnings == ()
    assert written.pdf is not None
    assert pages_of(written.pdf) == 1


@pytest.mark.slow
def test_the_same_exam_has_the_same_report(written, tmp_path):
    again = write_report(exam(), tmp_path)
    assert again.html.read_bytes() == written.html.read_bytes()


@needs_pdf
def test_a_page_full_of_bad_news_is_still_one_page(tmp_path, pictures):
    checks = [CheckResult(f"c{n}", Grade.UNUSABLE, "very long words " * 12, "right middle lobe") for n in range(30)]
    warnings = [CTWarning(f"w{n}", "more words than fit " * 12) for n in range(30)]
    identity = ReportIdentity("Longname " * 13, (("ID", "1234567890" * 12),))
    made, aids = exam(checks=checks, warnings=warnings), ["a " * 99] * 40
    documents = {"rating": RATING, "edit_record": EDITS, "reading_aids": aids}
    pages = [page_of(made, pictures, identity, room, **documents) for room in (AMPLE, SCARCE)]
    with OutputFolder(tmp_path) as out:
        files = put_pages(pages, out)
    assert pages_of(files.pdf) == 1
    root = parsed(files.html.read_text(encoding="utf-8"))
    # Whatever is left out is counted: of sixty findings, forty aids, thirty reasons.
    for node, count in zip(
        (
            next(one for one in root.all("ul") if "findings" in one.classes),
            next(one for one in root.all("section") if "wide" in one.classes),
            banners(root)[1],
        ),
        (60, 40, 30),
        strict=True,
    ):
        *lines, last = node.all("li")
        assert last.text == f"and {count - len(lines)} more in metrics.json"


def put(made, pictures, folder):
    with OutputFolder(folder) as out:
        return put_pages([page_of(made, pictures)], out)


def test_without_weasyprint_there_is_html_and_one_line_of_advice(tmp_path, pictures, no_pdf):
    files = put(exam(), pictures, tmp_path)
    assert files.pdf is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html"]
    (warning,) = files.warnings
    assert warning.code == "report-no-pdf"
    assert "WeasyPrint is not installed" in warning.message
    assert 'pip install "COVIDQuant[report]"' in warning.message


def test_without_pango_there_is_html_and_one_line_of_advice(tmp_path, pictures, monkeypatch):
    class Broken:
        def find_spec(self, name, *_):
            if name == "weasyprint":
                raise OSError("cannot load library 'libpango-1.0-0'")

    for name in [name for name in sys.modules if name.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    files = put(exam(), pictures, tmp_path)
    assert files.pdf is None
    assert "Pango is not installed" in files.warnings[0].message
    assert files.html.is_file()


def test_an_older_pdf_beside_new_html_is_told(tmp_path, pictures, no_pdf):
    (tmp_path / "report.pdf").write_bytes(b"old")
    files = put(exam(), pictures, tmp_path)
    assert [warning.code for warning in files.warnings] == ["report-no-pdf", "earlier-files"]
    assert (tmp_path / "report.pdf").read_bytes() == b"old"


def test_a_fault_of_weasyprint_costs_the_pdf_alone(tmp_path, pictures, monkeypatch):
    def stumble(*_arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(write_module, "laid_out", stumble)
    files = put(exam(), pictures, tmp_path)
    assert files.pdf is None
    assert files.html.is_file()
    assert [warning.code for warning in files.warnings] == ["report-no-pdf"]
    if PDF_CAN_BE_MADE:
        assert "ZeroDivisionError" in files.warnings[0].message


def test_without_jinja_the_extra_is_named(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("COVIDQuantLib.report.pages.importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"COVIDQuant\[report\]"):
        put(exam(), pictures, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(tmp_path, pictures, no_pdf):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match="folder of this name"):
        put(exam(), pictures, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "report.html"]


def test_a_report_can_be_cancelled(tmp_path):
    def stop(_fraction):
        raise Cancelled

    with pytest.raises(Cancelled):
        write_report(exam(), tmp_path / "new", report=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_result_gives_the_same_figures(written, tmp_path, no_pdf):
    files = write_result_report(written.html.parent, tmp_path)
    assert [warning.code for warning in files.warnings] == ["report-no-picture", "report-no-pdf"]
    root = parsed(files.html.read_text(encoding="utf-8"))
    check_table(root, read_metrics(written.html.parent).metrics)
    # The lungs in 3D are drawn from the segmentation; the slices need the CT.
    assert len(root.all("img")) == 4
    assert "the folder has no overlay.png" in root.text
