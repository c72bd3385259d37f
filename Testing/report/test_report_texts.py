"""Texts of others in a report: whose it is, which nobody learns unasked, and what readers wrote."""

import re

import pytest
from dicom_maker import PATIENT, chest, slice_datasets, write
from hypothesis import given, settings
from hypothesis import strategies as st
from report_world import EDITS, RATING, banners, exam, page_of, parsed

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.source import CTSource, DicomIdentity
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.report.documents import exclusion_of, notes_of
from COVIDQuantLib.report.exam_page import exam_page
from COVIDQuantLib.report.identity import ReportIdentity, shortened
from COVIDQuantLib.report.pages import html_of
from COVIDQuantLib.report.subject import subject_of_exam
from COVIDQuantLib.report.write import title_of

NASTY = '<script>alert("x")</script> & "quoted" \'single\' {{ 7*7 }}'


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
