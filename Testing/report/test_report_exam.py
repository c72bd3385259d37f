"""The report of one exam: every figure as in the table, loud where it must be, fit to be read."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from report_world import SHAPE, arrays, banners, check_table, exam, page_of, parsed

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.report.exam_page import exam_page
from COVIDQuantLib.report.exam_pictures import draw_pictures
from COVIDQuantLib.report.pages import STYLE, html_of
from COVIDQuantLib.report.subject import subject_of_exam
from COVIDQuantLib.resources import resource_path

# ---------------------------------------------------------------------------------------------------------- the figures


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
