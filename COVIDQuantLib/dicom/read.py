"""Read a result back from its DICOM objects: the figures from the structured report, the masks from the segmentation.

Needs pydicom alone. The counts in the report are validated like ``metrics.json``, and every figure that the report's
content says must be theirs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from COVIDQuantLib.anatomy import LESION, REGIONS
from COVIDQuantLib.ct.dicom.exam import acquisition_date
from COVIDQuantLib.ct.dicom.file_search import find_images
from COVIDQuantLib.ct.dicom.header_claims import check_deflated
from COVIDQuantLib.ct.dicom.headers import SEGMENTATION_CLASSES, ImageFile, as_number, is_dicom, value_of
from COVIDQuantLib.ct.dicom.open import open_dicom
from COVIDQuantLib.ct.files.input_files import shown
from COVIDQuantLib.ct.files.itk_files import first_reason
from COVIDQuantLib.dicom.objects.codes import CONCEPT, MEASURE_CONCEPTS
from COVIDQuantLib.dicom.objects.payload import payload_of
from COVIDQuantLib.dicom.objects.tracking import Tracked
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.table_file import JSON_FILE, MetricsFile, metrics_of
from COVIDQuantLib.followup.exam_result import ExamResult, read_result, result_of
from COVIDQuantLib.structures import listed
from COVIDQuantLib.system.json_file import parse_json

_REPORTS = {
    "1.2.840.10008.5.1.4.1.1.88.34": "Comprehensive 3D SR Storage",
    "1.2.840.10008.5.1.4.1.1.88.33": "Comprehensive SR Storage",
    "1.2.840.10008.5.1.4.1.1.88.22": "Enhanced SR Storage",
}
_AGAIN = "Get the report from the archive again, or run quantify again."
_RECOUNT = "Quantify its CT again with the segmentation: covidquant quantify CT --lobes SEG --lesions SEG --out DIR."
# DICOM's decimal strings have 16 characters.
_DS_DIGITS = 1e-9
_GROUP, _TRACKING, _TRACKING_UID = "125007", "112039", "112040"


@dataclass(frozen=True)
class Group:
    """A measurement group of a report.

    Attributes:
        tracked: its tracking identifier.
        figures: value by the name of the figure.
    """

    tracked: Tracked
    figures: dict[str, float]


@dataclass(frozen=True)
class ReportFile:
    """A structured report of ours.

    Attributes:
        path: the file.
        metrics: its counts, validated.
        groups: its measurement groups, in their order.
        segmentation: SOP Instance UID of the segmentation that it refers to; empty if none.
        head: the dataset.
    """

    path: Path
    metrics: MetricsFile
    groups: tuple[Group, ...]
    segmentation: str
    head: Dataset

    @property
    def lesions(self) -> tuple[Group, ...]:
        """The groups of single lesions, the largest first."""
        known = {region.name for region in REGIONS} | {LESION.name}
        return tuple(group for group in self.groups if group.tracked.name not in known)


def read_any_result(path: Path) -> ExamResult:
    """Read an earlier result: a folder written by quantify, a report of ours, or a folder with its DICOM objects.

    Raises:
        UnfitInputError: as :func:`COVIDQuantLib.followup.exam_result.read_result`; the report holds no counts
            (``sr-without-counts``), contradicts itself (``sr-damaged``), or there are several (``several-reports``).
    """
    report = find_report(path)
    return read_result(path) if report is None else read_dicom_result(report)


def find_report(path: Path) -> Path | None:
    """The structured report that a path means; None if it means a folder of quantify, or nothing.

    Raises:
        UnfitInputError: there are several (``several-reports``).
    """
    if path.is_file():
        return path if is_dicom(path) else None
    if not path.is_dir() or (path / JSON_FILE).exists():
        return None
    found = sorted(file for file, kind in find_images(path).others.items() if kind in set(_REPORTS.values()))
    if len(found) > 1:
        what = f"there are {len(found)} structured reports in the folder ({listed(file.name for file in found)})"
        raise UnfitInputError(what, shown(path), "Name one of the files.", code="several-reports")
    return found[0] if found else None


def read_dicom_result(path: Path) -> ExamResult:
    """The exam of a report of ours, with the segmentation it refers to if that lies in the same folder.

    Raises:
        UnfitInputError: see :func:`read_any_result`.
    """
    report = read_report(path)
    result = result_of(path, report.metrics, _segmentation_beside(report))
    return replace(result, acquired=_study_date(report) or result.acquired)


def _study_date(report: ReportFile) -> date | None:
    """The day of the study: the counts name none, and the report's own dates are those of its writing."""
    study = Dataset()
    study.StudyDate = value_of(report.head, "StudyDate") or ""
    day = acquisition_date(ImageFile(report.path, study, "", 0))
    return date.fromisoformat(day) if day else None


def read_report(path: Path) -> ReportFile:
    """Read and validate a structured report of ours.

    Raises:
        UnfitInputError: see :func:`read_any_result`.
    """
    with warnings.catch_warnings():
        # pydicom converts values as they are asked for, and warns about harmless violations of the standard.
        warnings.simplefilter("ignore")
        return _report(path, _dataset(path))


def _report(path: Path, head: Dataset) -> ReportFile:
    if str(value_of(head, "SOPClassUID") or "") not in _REPORTS:
        what = "it is DICOM, but not a structured report of measurements"
        raise UnfitInputError(what, shown(path), "Give the report of an earlier result.", code="no-result")
    try:
        text = payload_of(head)
        record = None if text is None else parse_json(text)
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(path, f"its counts cannot be read ({first_reason(error)})") from error
    if record is None:
        raise UnfitInputError(
            "the report holds no counts of COVIDQuant: it is of another program, or an archive has removed them",
            shown(path),
            _RECOUNT,
            code="sr-without-counts",
        )
    metrics = metrics_of(record, path)
    groups = tuple(_groups(head))
    _check_figures(path, metrics, groups)
    return ReportFile(path, metrics, groups, _referenced(head), head)


def _dataset(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings(), open_dicom(path) as stream:
            warnings.simplefilter("ignore")
            check_deflated(path)
            return dcmread(stream, stop_before_pixels=True, force=True)
    except OSError as error:
        what = f"it cannot be read ({error.strerror or error})"
        raise UnfitInputError(what, shown(path), "Check its permissions.", "unreadable") from error
    except Exception as error:
        raise _damaged(path, f"it cannot be read ({first_reason(error)})") from error


def _damaged(path: Path, why: str) -> UnfitInputError:
    return UnfitInputError(f"the report is damaged: {why}", shown(path), _AGAIN, code="sr-damaged")


def _items(item: Dataset, keyword: str = "ContentSequence") -> list[Dataset]:
    value = value_of(item, keyword)
    return list(value) if isinstance(value, (list, tuple)) or hasattr(value, "__iter__") else []


def _concept(item: Dataset) -> str:
    found = _items(item, "ConceptNameCodeSequence")
    return str(value_of(found[0], "CodeValue") or "") if found else ""


def _groups(head: Dataset) -> Iterator[Group]:
    for container in _items(head):
        for group in _items(container):
            if _concept(group) == _GROUP:
                yield _group(group)


def _group(group: Dataset) -> Group:
    name = uid = ""
    figures: dict[str, float] = {}
    names = {concept.code.value: concept.name for concept in CONCEPT.values()}
    for item in _items(group):
        concept = _concept(item)
        if concept == _TRACKING:
            name = str(value_of(item, "TextValue") or "")
        elif concept == _TRACKING_UID:
            uid = str(value_of(item, "UID") or "")
        elif concept in names:
            value = _number(item)
            if value is not None:
                figures[names[concept]] = value
    return Group(Tracked(name, uid), figures)


def _number(item: Dataset) -> float | None:
    measured = _items(item, "MeasuredValueSequence")
    if not measured:
        return None
    for keyword in ("FloatingPointValue", "NumericValue"):
        value = as_number(value_of(measured[0], keyword))
        if value is not None:
            return value
    return None


def _referenced(head: Dataset) -> str:
    for study in _items(head, "CurrentRequestedProcedureEvidenceSequence"):
        for series in _items(study, "ReferencedSeriesSequence"):
            for item in _items(series, "ReferencedSOPSequence"):
                if str(value_of(item, "ReferencedSOPClassUID") or "") in SEGMENTATION_CLASSES:
                    return str(value_of(item, "ReferencedSOPInstanceUID") or "")
    return ""


def _check_figures(path: Path, metrics: MetricsFile, groups: tuple[Group, ...]) -> None:
    """Refuse a report whose content says other figures than its counts give."""
    told = {group.tracked.name: group.figures for group in groups}
    for row in metrics.metrics.rows:
        region = str(row["region"])
        figures = told.get(region, {})
        for concept in MEASURE_CONCEPTS:
            right, said = row.get(concept.name), figures.get(concept.name)
            if right is None and said is None:
                continue
            if said is None or not isinstance(right, (int, float)) or not math.isclose(said, right, rel_tol=_DS_DIGITS):
                raise _damaged(path, f"it gives {concept.name} of {region} as {said}, its counts give {right}")


def _segmentation_beside(report: ReportFile) -> Path | None:
    if not report.segmentation:
        return None
    wanted = set(SEGMENTATION_CLASSES.values())
    for file, kind in find_images(report.path.parent).others.items():
        if kind in wanted and str(value_of(_dataset(file), "SOPInstanceUID") or "") == report.segmentation:
            return file
    return None
