"""A comparison kept in the scene: its record, tables, charts, and the earlier exams in the later ones' space.

The record is the text of ``comparison.json`` in a text node, which refers to everything else; so all of it is saved
with the scene and found again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any

import slicer

from COVIDQuantLib.export.table_file import plain_values
from COVIDQuantLib.followup.comparison_files import COLUMNS, FORMAT, change_rows, comparison_record
from COVIDQuantLib.followup.lesions.records import COLUMN_TEXTS
from COVIDQuantLib.followup.lesions.table import HEAD, lesion_rows
from COVIDQuantLib.followup.sequence import followed_pairs
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.scene.followup.change_nodes import LEGEND_TITLE, fill_change_colours, fill_change_map
from COVIDQuantLib.scene.followup.course_charts import CHART_ROLE, chart_of, write_course_charts
from COVIDQuantLib.scene.followup.exams import ChosenExam
from COVIDQuantLib.scene.followup.kept_exams import exams_text
from COVIDQuantLib.scene.followup.registration_nodes import fill_copy, fill_outline, write_transform
from COVIDQuantLib.scene.followup.run import Compared
from COVIDQuantLib.scene.nodes.result_links import companion, link, nodes_of_class, volume_of
from COVIDQuantLib.scene.nodes.tables import write_rows
from COVIDQuantLib.scene.review.result_checks import digest_of

_MARK = "COVIDQuant.followup"
_EXAM, _CHANGES, _LESIONS = f"{_MARK}.exam", f"{_MARK}.changes", f"{_MARK}.lesions"
_TRANSFORM, _OUTLINE, _COPY = f"{_MARK}.transform", f"{_MARK}.outline", f"{_MARK}.copy"
_MAP, _COLOURS, _COUNTS = f"{_MARK}.map", f"{_MARK}.colours", f"{_MARK}.counts"
# Key of what the record holds beyond comparison.json.
_SCENE = "scene"


class KeptComparison:
    """A comparison in the scene.

    Args:
        node: its vtkMRMLTextNode.

    Attributes:
        node: the same.
    """

    def __init__(self, node: Any) -> None:
        self.node = node

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """What ``comparison.json`` would hold, names and dates included."""
        record: Mapping[str, Any] = json.loads(self.node.GetText() or "{}")
        return record

    @property
    def count(self) -> int:
        """Number of exams."""
        return len(self.record["exams"])

    @property
    def changes(self) -> Any:
        """The vtkMRMLTableNode of all changes."""
        return self.node.GetNodeReference(_CHANGES)

    @property
    def lesions(self) -> Any:
        """The vtkMRMLTableNode of what became of each lesion."""
        return self.node.GetNodeReference(_LESIONS)

    @property
    def exams_text(self) -> str:
        """The exams' counts and ratings, see ``kept_exams.py``; empty if an earlier version made the comparison."""
        node = self.node.GetNodeReference(_COUNTS)
        return "" if node is None else str(node.GetText() or "")

    def chart(self, measure: str) -> Any:
        """The vtkMRMLPlotChartNode of a measure's time course."""
        return chart_of(self.node, measure)

    def segmentation(self, exam: int) -> Any:
        """The result of an exam by its number; None for a folder, or if it was removed."""
        return self.node.GetNodeReference(f"{_EXAM}.{exam}")

    def volume(self, exam: int) -> Any:
        """The CT of an exam; None for a folder, or if it was removed."""
        segmentation = self.segmentation(exam)
        return None if segmentation is None else volume_of(segmentation)

    def transform(self, exam: int) -> Any:
        """The transform that brings an exam into the space of the next one; None if they could not be registered."""
        return self.node.GetNodeReference(f"{_TRANSFORM}.{exam}")

    def outline(self, exam: int) -> Any:
        """The outline of an exam's pneumonia in the space of the next one; None without a registration."""
        return self.node.GetNodeReference(f"{_OUTLINE}.{exam}")

    def change_map(self, before: int, after: int) -> Any:
        """The vtkMRMLLabelMapVolumeNode of two exams in the later one's space; labels of ``CHANGE_LABELS``.

        None if the two were not followed or could not be registered, or if neither has disease.
        """
        return self.node.GetNodeReference(f"{_MAP}.{before}.{after}")

    def change_maps(self) -> list[Any]:
        """All change maps."""
        pairs = [(pair["before"], pair["after"]) for pair in self.record["pairs"]]
        return [node for pair in pairs if (node := self.change_map(*pair)) is not None]

    def moved_volume(self, exam: int) -> Any:
        """An exam's CT in the space of the next one; made when first asked for, as it is not saved with the scene.

        None without its CT or a registration.
        """
        volume, transform = self.volume(exam), self.transform(exam)
        if volume is None or transform is None or volume.GetImageData() is None:
            return None
        copy = companion(self.node, f"{_COPY}.{exam}", "vtkMRMLScalarVolumeNode", f"{volume.GetName()} moved")
        fill_copy(copy, volume, transform)
        return copy

    def moved_copy(self, exam: int) -> Any:
        """What :meth:`moved_volume` has made; None if it was not asked for."""
        return self.node.GetNodeReference(f"{_COPY}.{exam}")

    def changed_since(self, segmentation: Any, histogram: JointHistogram) -> bool:
        """Whether a result was edited since it was compared.

        Args:
            segmentation: one of its exams' results.
            histogram: the result's counts now.
        """
        digests = self.record.get(_SCENE, {}).get("digests", {})
        return any(
            self.segmentation(int(exam)) is segmentation and digest != digest_of(histogram)
            for exam, digest in digests.items()
        )

    def exam_of(self, segmentation: Any) -> int | None:
        """The number of the exam that a result is of; None if it is none of them."""
        return next((n for n in range(1, self.count + 1) if self.segmentation(n) is segmentation), None)

    def nodes(self) -> Iterator[Any]:
        """Everything that belongs to the comparison alone."""
        yield from self.change_maps()
        roles = [_CHANGES, _LESIONS, _COLOURS, _COUNTS]
        for exam in range(1, self.count + 1):
            roles += [f"{role}.{exam}" for role in (_COPY, _OUTLINE, _TRANSFORM)]
        yield from (node for role in roles if (node := self.node.GetNodeReference(role)) is not None)
        names: list[str] = []
        self.node.GetNodeReferenceRoles(names)
        for role in names:
            chart = self.node.GetNodeReference(role) if role.startswith(CHART_ROLE) else None
            if chart is not None:
                parts: list[str] = []
                chart.GetNodeReferenceRoles(parts)
                own = [chart.GetNodeReference(part) for part in parts if part.startswith(CHART_ROLE)]
                yield from (node for node in own if node is not None)
                yield chart
        yield self.node


def comparisons(scene: Any) -> list[KeptComparison]:
    """The comparisons in a scene that can be read, oldest first."""
    found = (KeptComparison(node) for node in nodes_of_class(scene, "vtkMRMLTextNode") if node.GetAttribute(_MARK))
    return [one for one in found if _can_be_read(one)]


def comparison_of(segmentation: Any) -> KeptComparison | None:
    """The newest comparison of a result, one where it is the last exam if there is any; None if there is none."""
    scene = segmentation.GetScene()
    found = [(one, one.exam_of(segmentation)) for one in (comparisons(scene) if scene is not None else [])]
    known = [(one, number) for one, number in found if number is not None]
    last = [one for one, number in known if number == one.count]
    return last[-1] if last else known[-1][0] if known else None


def _can_be_read(kept: KeptComparison) -> bool:
    try:
        return kept.record.get("format") == FORMAT and bool(kept.record["exams"]) and bool(kept.record["pairs"])
    except (ValueError, KeyError, AttributeError, TypeError):
        return False


def keep(compared: Compared, scene: Any) -> KeptComparison:
    """Keep a comparison in the scene; an earlier one of the same exams is replaced.

    Args:
        compared: the comparison.
        scene: the vtkMRMLScene of its results.
    """
    last = compared.exams[-1]
    for earlier in comparisons(scene):
        results = [earlier.segmentation(n) for n in range(1, earlier.count + 1)]
        if last.is_in_scene and results[-1] is last.segmentation:
            remove(earlier, scene)
    name = scene.GenerateUniqueName(f"{last.name} follow-up")
    node = scene.AddNewNodeByClass("vtkMRMLTextNode", name)
    node.SetHideFromEditors(True)
    node.SetAttribute(_MARK, "1")
    comparison = compared.comparison
    record = comparison_record(comparison, identify=True)
    digests = {
        str(exam.number): digest_of(exam.result.histogram)
        for exam, chosen in zip(comparison.exams, compared.exams, strict=True)
        if chosen.is_in_scene
    }
    record |= {_SCENE: {"digests": digests}}
    node.SetText(json.dumps(plain_values(record), allow_nan=False))
    for number, exam in enumerate(compared.exams, start=1):
        if exam.is_in_scene:
            link(node, f"{_EXAM}.{number}", exam.segmentation)
    counts = companion(node, _COUNTS, "vtkMRMLTextNode", f"{name} counts")
    counts.SetHideFromEditors(True)
    counts.SetText(exams_text([exam.result for exam in comparison.exams]))
    _write_tables(node, compared, name)
    _write_registrations(node, compared)
    _write_change_maps(node, compared)
    write_course_charts(node, comparison.trajectory, last.name)
    _place_in_hierarchy(node, last)
    return KeptComparison(node)


def remove(kept: KeptComparison, scene: Any) -> None:
    """Remove a comparison with everything that belongs to it; the results stay."""
    for node in list(kept.nodes()):
        shown = node.GetNumberOfDisplayNodes() if node.IsA("vtkMRMLDisplayableNode") else 0
        stored = node.GetNumberOfStorageNodes() if node.IsA("vtkMRMLStorableNode") else 0
        own = [node.GetNthDisplayNode(n) for n in range(shown)] + [node.GetNthStorageNode(n) for n in range(stored)]
        for one in [*own, node]:
            if one is not None:
                scene.RemoveNode(one)


def _write_tables(node: Any, compared: Compared, name: str) -> None:
    _, *changes = change_rows(compared.comparison)
    write_rows(companion(node, _CHANGES, "vtkMRMLTableNode", f"{name} changes"), COLUMNS, changes)
    if compared.comparison.lesions is not None:
        _, *lesions = lesion_rows(compared.comparison.lesions)
        write_rows(companion(node, _LESIONS, "vtkMRMLTableNode", f"{name} lesions"), HEAD | COLUMN_TEXTS, lesions)


def _write_registrations(node: Any, compared: Compared) -> None:
    # Beside each other stand an exam and the next one; the pair of the first and the last has its figures alone.
    for number, ((before, after), found) in enumerate(
        zip(pairwise(compared.exams), compared.pairs, strict=False), start=1
    ):
        if found.to_baseline is None:
            continue
        transform = companion(node, f"{_TRANSFORM}.{number}", "vtkMRMLTransformNode", f"{before.name} to {after.name}")
        write_transform(transform, found.to_baseline)
        outline = companion(node, f"{_OUTLINE}.{number}", "vtkMRMLSegmentationNode", f"{before.name} before")
        fill_outline(outline, found.lesions, transform)


def _write_change_maps(node: Any, compared: Compared) -> None:
    comparison = compared.comparison
    for (before, after), found in zip(followed_pairs(comparison.exams), compared.pairs, strict=True):
        if found.changes is None:
            continue
        name = f"{after.result.name} changes"
        colours = companion(node, _COLOURS, "vtkMRMLColorTableNode", f"{name} colours")
        fill_change_colours(colours)
        role = f"{_MAP}.{before.number}.{after.number}"
        title = LEGEND_TITLE.format(day=before.day.isoformat())
        made = companion(node, role, "vtkMRMLLabelMapVolumeNode", f"{name} since {before.day.isoformat()}")
        fill_change_map(made, found.changes, colours, title)


def _place_in_hierarchy(node: Any, exam: ChosenExam) -> None:
    """Beside the last exam's CT, so that patients stay apart in Slicer's data tree."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    beside = hierarchy.GetItemByDataNode(exam.volume) if hierarchy is not None and exam.is_in_scene else 0
    if not beside:
        return
    for part in KeptComparison(node).nodes():
        item = hierarchy.GetItemByDataNode(part)
        if item:
            hierarchy.SetItemParent(item, hierarchy.GetItemParent(beside))
