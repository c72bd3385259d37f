"""A small exam with known figures, and a report's HTML as a tree that tests can ask."""

import re
import zlib
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.report.exam_page import AMPLE, exam_page
from COVIDQuantLib.report.subject import subject_of_exam
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

PDF_CAN_BE_MADE = True
try:
    import weasyprint  # noqa: F401
except (ImportError, OSError):
    PDF_CAN_BE_MADE = False
needs_pdf = pytest.mark.skipif(not PDF_CAN_BE_MADE, reason="WeasyPrint or Pango is not installed")
SHAPE = (24, 24, 36)
SOUND = CheckResult("size", Grade.SOUND, "of that size")
_VOID = {"meta", "img", "br", "link", "input"}


def arrays():
    """HU, lobes and lesions: five lobes as boxes, ground glass and consolidation low in the right lung."""
    lobes = np.zeros(SHAPE, np.uint8)
    lobes[12:22, 2:22, 3:16] = 1
    lobes[8:12, 2:12, 3:16] = 2
    lobes[2:12, 12:22, 3:16] = 3
    lobes[12:22, 2:22, 20:33] = 4
    lobes[2:12, 2:22, 20:33] = 5
    lesions = np.zeros(SHAPE, bool)
    lesions[3:9, 13:20, 5:13] = True
    hu = np.where(lobes > 0, -850, 40).astype(np.int16)
    hu[lesions] = -600
    hu[4:6, 14:17, 6:9] = -50
    return hu, lobes, lesions


def exam(*, lobes=None, lesions=None, checks=(SOUND,), warnings=(), source=None, provenance=None):
    """A quantified exam; by default of :func:`arrays`, graded sound."""
    hu, all_lobes, all_lesions = arrays()
    lobes = all_lobes if lobes is None else lobes
    lesions = all_lesions if lesions is None else lesions
    geometry = Geometry(SHAPE, (5.0, 5.0, 6.0), (-90.0, -60.0, -70.0))
    histogram = JointHistogram.of(hu, lobes, lesions, geometry.voxel_volume_ml)
    ct = CTVolume(hu, geometry, source=source or {"name": "Doe_Jane.nrrd"}, warnings=list(warnings))
    made = {"lobes": {"method": "given"}, "lesions": {"method": "given"}} if provenance is None else provenance
    segmentation = Segmentation(lobes, lesions, made, [], list(checks))
    return Exam(ct, segmentation, histogram, compute_metrics(histogram))


class Node:
    """An element of a page."""

    def __init__(self, tag, attributes):
        self.tag, self.attributes, self.children = tag, dict(attributes), []

    def all(self, *tags):
        """The elements of these names below this one, in the order of the page."""
        found = []
        for child in self.children:
            if isinstance(child, Node):
                found += [child] if child.tag in tags else []
                found += child.all(*tags)
        return found

    @property
    def classes(self):
        return self.attributes.get("class", "").split()

    @property
    def text(self):
        """Its words, blanks joined."""
        parts = (child.text if isinstance(child, Node) else child for child in self.children)
        return " ".join(" ".join(parts).split())


class _Tree(HTMLParser):
    def __init__(self):
        super().__init__()
        self.root = Node("root", {})
        self._open = [self.root]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, attrs)
        self._open[-1].children.append(node)
        if tag not in _VOID:
            self._open.append(node)

    def handle_endtag(self, tag):
        assert self._open[-1].tag == tag, f"</{tag}> ends <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data):
        self._open[-1].children.append(data)


def parsed(html):
    """The tree of a page whose every element is closed."""
    tree = _Tree()
    tree.feed(html)
    tree.close()
    assert tree._open == [tree.root]
    return tree.root


def table_of(root, kind):
    """Heading cells and rows of the first table of a class, all as text."""
    table = next(node for node in root.all("table") if kind in node.classes)
    heading, *rows = table.all("tr")
    return _cells(heading), [_cells(row) for row in rows]


def _cells(row):
    return [cell.text for cell in row.all("th", "td")]


def number(text):
    """The number of a cell; None for a dash."""
    return None if text == "–" else float(text.replace("−", "-"))


def pages_of(pdf):
    """Pages of a PDF, counted by its page objects, which may lie in compressed streams."""
    raw = pdf.read_bytes()
    parts = [raw]
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", raw, re.DOTALL):
        with suppress(zlib.error):
            parts.append(zlib.decompressobj().decompress(stream))
    return sum(len(re.findall(rb"/Type\s*/Page(?![a-zA-Z])", part)) for part in parts)


def page_of(made, pictures, identity=None, room=AMPLE, **documents):
    """The page of an exam, with readers' documents by name."""
    subject = subject_of_exam(made)
    subject = replace(subject, record={**subject.record, **documents})
    return exam_page(subject, pictures, "Exam", identity, room)


def banners(root):
    return [node for node in root.all("section") if "banner" in node.classes]


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
