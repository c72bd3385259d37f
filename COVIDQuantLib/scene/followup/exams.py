"""Which exam of which patient a result in the scene is of, and which others it can be compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import slicer

from COVIDQuantLib.ct.dicom.exam import check_of_id, day_of
from COVIDQuantLib.errors import COVIDQuantError, UnfitInputError
from COVIDQuantLib.export.anonymous import hashed
from COVIDQuantLib.followup.comparable import refuse_mixed
from COVIDQuantLib.followup.exam_result import ExamResult, methods_of, read_result
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of
from COVIDQuantLib.scene.nodes.result_links import nodes_of_class, results_of, volume_of
from COVIDQuantLib.scene.nodes.segmentations import provenance_of_node
from COVIDQuantLib.scene.nodes.tables import thresholds_of_result
from COVIDQuantLib.scene.quantification_job import warnings_of_node

# The reader's date of an exam, an attribute of its CT.
DATE_ATTRIBUTE = "COVIDQuant.exam.date"
_DICOM = slicer.vtkMRMLSubjectHierarchyConstants


@dataclass(frozen=True)
class Identity:
    """Whose exam a CT in the scene is, and from when, as far as the subject hierarchy knows.

    Attributes:
        patient: tells patients of one scene apart; empty if unknown.
        check: check value of the patient's ID, as result folders hold it; empty without an ID.
        day: of the exam; None if unknown.
        series, study: hashes of their UIDs; empty if unknown.
    """

    patient: str = ""
    check: str = ""
    day: date | None = None
    series: str = ""
    study: str = ""


def identity_of(volume: Any) -> Identity:
    """The identity of a CT, from the subject hierarchy, where Slicer keeps what DICOM says.

    A date that the reader has given (:func:`set_day`) comes before the study's. A patient without an ID is told apart
    by the item, as a folder of Slicer's own.
    """
    day = _day_given(volume)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = hierarchy.GetItemByDataNode(volume) if hierarchy is not None else 0
    if not item:
        return Identity(day=day, series=_series(volume, ""))
    patient = hierarchy.GetItemAncestorAtLevel(item, _DICOM.GetDICOMLevelPatient())
    study = hierarchy.GetItemAncestorAtLevel(item, _DICOM.GetDICOMLevelStudy())
    uid = _DICOM.GetDICOMUIDName()
    patient_id = hierarchy.GetItemAttribute(patient, _DICOM.GetDICOMPatientIDAttributeName()) if patient else ""
    study_date = hierarchy.GetItemAttribute(study, _DICOM.GetDICOMStudyDateAttributeName()) if study else ""
    check = check_of_id(patient_id)
    named = f"ID {patient_id.strip().casefold()}" if check else f"item {hierarchy.GetItemName(patient)}"
    return Identity(
        patient=named if patient else "",
        check=check,
        day=day or day_of(study_date),
        series=_series(volume, hierarchy.GetItemUID(item, uid)),
        study=hashed(hierarchy.GetItemUID(study, uid)) if study else "",
    )


def _series(volume: Any, series_uid: str) -> str:
    """Two results on one CT are one exam, whatever DICOM says."""
    return hashed(series_uid or volume.GetAttribute("DICOM.instanceUIDs") or f"node {volume.GetID()}")


def set_day(volume: Any, day: date | None) -> None:
    """Keep the reader's date of an exam with its CT; None returns to what DICOM says."""
    volume.SetAttribute(DATE_ATTRIBUTE, None if day is None else day.isoformat())


def _day_given(volume: Any) -> date | None:
    try:
        return date.fromisoformat(volume.GetAttribute(DATE_ATTRIBUTE) or "")
    except ValueError:
        return None


@dataclass(frozen=True, eq=False)
class ChosenExam:
    """An exam that can be compared: a result in the scene, or a folder written by quantify.

    Attributes:
        result: what is known of it; of a scene's result its counts are empty until it was counted.
        day: of the exam; None if unknown.
        patient: tells patients of one scene apart; empty if unknown.
        segmentation, volume: its nodes; None for a folder.
    """

    result: ExamResult
    day: date | None = None
    patient: str = ""
    segmentation: Any = field(default=None, repr=False)
    volume: Any = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.result.name

    @property
    def is_in_scene(self) -> bool:
        """Whether it is a result in the scene."""
        return self.segmentation is not None

    def on(self, day: date | None) -> ChosenExam:
        """The same exam on another day."""
        return replace(self, day=day)


def exam_of_folder(path: Path | str) -> ChosenExam:
    """The exam in a folder written by quantify.

    Raises:
        UnfitInputError: it cannot be read (see ``read_result``).
    """
    result = read_result(Path(path).resolve())
    return ChosenExam(result, result.acquired)


def exam_of_result(segmentation: Any, name: str = "") -> ChosenExam:
    """The exam of a result in the scene, not counted yet.

    Args:
        segmentation: the vtkMRMLSegmentationNode.
        name: by which it is called; the node's by default.

    Raises:
        UnfitInputError: it has no CT, or its CT has no grid.
    """
    volume = volume_of(segmentation)
    if volume is None:
        raise UnfitInputError("the result has no CT", segmentation.GetName(), "Load its CT and quantify it.")
    identity = identity_of(volume)
    provenance = provenance_of_node(segmentation)
    geometry = geometry_of(volume)
    shown = (name or segmentation.GetName()).replace("/", "-").replace("\\", "-")
    result = ExamResult(
        path=Path(shown),
        histogram=JointHistogram(geometry.voxel_volume_ml),
        thresholds=thresholds_of_result(segmentation),
        acquired=identity.day,
        patient=identity.check,
        series=identity.series,
        study=identity.study,
        methods=methods_of(provenance),
        notices=tuple(dict.fromkeys(warning.code for warning in warnings_of_node(segmentation))),
        geometry=geometry,
    )
    return ChosenExam(result, identity.day, identity.patient, segmentation, volume)


def other_exams(segmentation: Any, *, same_patient: bool = False) -> list[ChosenExam]:
    """The exams in the scene with which a result can be compared: the newest result of each other CT, by date.

    Those of another patient are left out; where the patient of either is unknown they are kept, as the reader may know.

    Args:
        segmentation: the result shown.
        same_patient: the reader asserts that all are one patient.
    """
    own = volume_of(segmentation)
    if own is None:
        return []
    patient = identity_of(own).patient
    volumes = {id(volume): volume for node in _results(segmentation.GetScene()) if (volume := volume_of(node))}
    newest = [results_of(volume)[-1] for volume in volumes.values() if volume is not own]
    names = Counter(node.GetName() for node in [segmentation, *newest])
    found = []
    for node in newest:
        name = node.GetName()
        try:
            exam = exam_of_result(node, name if names[name] == 1 else f"{name} ({node.GetID()})")
        except COVIDQuantError:
            # Its CT is under a transform that cannot be counted; the panel says so when that result is chosen.
            continue
        if same_patient or not patient or not exam.patient or exam.patient == patient:
            found.append(exam)
    return in_order_of_days(found)


def _results(scene: Any) -> Iterable[Any]:
    return nodes_of_class(scene, "vtkMRMLSegmentationNode")


def in_order_of_days(exams: Iterable[ChosenExam]) -> list[ChosenExam]:
    """Exams by date; those without one last, each in the given order."""
    return sorted(exams, key=lambda exam: exam.day or date.max)


def check_exams(exams: Sequence[ChosenExam], *, same_patient: bool = False) -> None:
    """Refuse what cannot be compared before anything is copied or counted.

    Args:
        exams: two or more.
        same_patient: the reader asserts that all are one patient.

    Raises:
        UnfitInputError: an exam of another patient, the same exam twice, or one without a date.
    """
    refuse_mixed([exam.result for exam in exams], same_patient=same_patient)
    known = [exam for exam in exams if exam.patient]
    other = next((exam for exam in known if exam.patient != known[0].patient), None)
    if other is not None and not same_patient:
        what = f"this is another patient than {known[0].name}"
        remedy = "Choose exams of one patient; tick Same patient if an anonymiser gave each exam its own ID."
        raise UnfitInputError(what, other.name, remedy, code="another-patient")
    undated = next((exam for exam in exams if exam.day is None), None)
    if undated is not None:
        remedy = "Enter its date in the list of exams, as YYYY-MM-DD."
        raise UnfitInputError("the exam has no date", undated.name, remedy, code="date-missing")
