"""The figures of an exam as a structured report: TID 1500, Comprehensive 3D SR.

A measurement group for every region of the table, one for the pneumonia, one for each lesion; then what cannot be
measured: whose segments these are, the grade, warnings, and findings of the checks. The counts from which every figure
follows go along in a private element, so that the report can be compared with later exams at any threshold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset

from COVIDQuantLib.anatomy import LESION, LOBES, OUTSIDE_LOBES, REGIONS, WHOLE_LUNG, Code
from COVIDQuantLib.dicom.objects import codes
from COVIDQuantLib.dicom.objects.algorithms import (
    MANUFACTURER,
    MODEL_NAME,
    algorithm_of,
    edited_segments,
    figures_of,
    software_version,
)
from COVIDQuantLib.dicom.objects.codes import CONCEPT, site_of
from COVIDQuantLib.dicom.objects.lesions import Lesion, lesion_figures, lesions_of
from COVIDQuantLib.dicom.objects.payload import put_payload
from COVIDQuantLib.dicom.objects.segmentation import SEGMENTS, segment_number
from COVIDQuantLib.dicom.objects.source import SourceSeries
from COVIDQuantLib.dicom.objects.tracking import Tracked, Tracking, uid_of
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.anonymous import without_names
from COVIDQuantLib.export.table_file import metrics_record
from COVIDQuantLib.grades import finding_line, findings_of

if TYPE_CHECKING:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        Measurement,
        MeasurementReport,
        ObservationContext,
        QualitativeEvaluation,
    )

SERIES_OFFSET = 2
_MAX_TEXT = 1024


def make_report(
    exam: Exam, source: SourceSeries, segmentation: Dataset, tracking: Tracking, new_uid: Callable[[], str]
) -> Dataset:
    """The structured report of an exam.

    Args:
        exam: the quantified exam.
        source: the images it was made from.
        segmentation: its segmentation object.
        tracking: names and UIDs of regions and lesions.
        new_uid: makes a UID.
    """
    from highdicom.sr import Comprehensive3DSR

    content = _content(exam, segmentation, tracking)
    report = Comprehensive3DSR(
        evidence=[segmentation, *source.headers],
        content=content,
        **source.new_series(SERIES_OFFSET, "COVIDQuant measurements", new_uid),
        is_complete=True,
        is_final=False,
        coding_schemes=[_scheme()],
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    # No text of the machine that quantified goes along: names of files and folders are hashes in it.
    shown = without_names(exam)
    record = metrics_record(shown.ct, shown.segmentation, shown.histogram, shown.metrics)
    put_payload(report, json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":")))
    return report


def _scheme() -> CodingSchemeIdentificationItem:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return CodingSchemeIdentificationItem(
        designator=codes.SCHEME,
        name=codes.SCHEME_NAME,
        version="1",
        responsible_organization=MANUFACTURER,
    )


def _content(exam: Exam, segmentation: Dataset, tracking: Tracking) -> MeasurementReport:
    from highdicom.sr import MeasurementReport

    groups = [
        *(
            _region_group(exam, region.name, segmentation, tracking)
            for region in REGIONS
            if _has_figures(exam, region.name)
        ),
        _pneumonia_group(exam, segmentation, tracking),
        *(_lesion_group(exam, lesion) for lesion in lesions_of(exam, tracking)),
    ]
    report = MeasurementReport(
        observation_context=_observer(),
        procedure_reported=codes.CT_CHEST.as_dicom(),
        imaging_measurements=groups,
    )
    report[0].ContentSequence.append(_evaluations(exam))
    return report


def _has_figures(exam: Exam, region: str) -> bool:
    return any(value is not None for name, value in exam.metrics.row(region).items() if name != "region")


def _observer() -> ObservationContext:
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
    from pydicom.sr.codedict import codes as standard

    device = DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", MODEL_NAME, software_version()),
        name=MODEL_NAME,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=software_version(),
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=standard.DCM.Device, observer_identifying_attributes=device
        )
    )


def _region_group(exam: Exam, region: str, segmentation: Dataset, tracking: Tracking) -> Any:
    from highdicom.sr import MeasurementsAndQualitativeEvaluations, VolumetricROIMeasurementsAndQualitativeEvaluations

    figures: dict[str, Any] = {name: value for name, value in exam.metrics.row(region).items() if name != "region"}
    summary = exam.metrics.summary()
    if region == WHOLE_LUNG.name:
        figures |= {name: value for name, value in summary.items() if name != "thresholds"}
        figures |= {name: value for name, value in summary["thresholds"].items() if name in CONCEPT}
    site = site_of(region)
    common = {
        "tracking_identifier": _tracked(tracking.of(region)),
        "finding_type": (codes.LESION_OUTSIDE if region == OUTSIDE_LOBES.name else site.code).as_dicom(),
        "finding_sites": [_site(region)],
        "measurements": _measurements(figures),
        "algorithm_id": _algorithm(exam, "lobes"),
    }
    if any(region == lobe.name for lobe in LOBES):
        return VolumetricROIMeasurementsAndQualitativeEvaluations(
            **common,
            finding_category=LOBES[0].terminology.category.as_dicom(),
            referenced_segment=_segment(segmentation, region, exam),
        )
    return MeasurementsAndQualitativeEvaluations(
        **common, qualitative_evaluations=_qualities(exam) if region == WHOLE_LUNG.name else None
    )


def _pneumonia_group(exam: Exam, segmentation: Dataset, tracking: Tracking) -> Any:
    from highdicom.sr import VolumetricROIMeasurementsAndQualitativeEvaluations

    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracked(tracking.of(LESION.name)),
        referenced_segment=_segment(segmentation, LESION.name, exam),
        finding_category=LESION.terminology.category.as_dicom(),
        finding_type=LESION.terminology.type.as_dicom(),
        finding_sites=[_site(WHOLE_LUNG.name)],
        measurements=_measurements(lesion_figures(exam.histogram, exam.metrics.thresholds)),
        algorithm_id=_algorithm(exam, "lesions"),
    )


def _lesion_group(exam: Exam, lesion: Lesion) -> Any:
    from highdicom.sr import MeasurementsAndQualitativeEvaluations

    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracked(lesion.tracked),
        finding_category=LESION.terminology.category.as_dicom(),
        finding_type=LESION.terminology.type.as_dicom(),
        finding_sites=[_site(lesion.lobe or WHOLE_LUNG.name)],
        measurements=_measurements(lesion.figures),
        algorithm_id=_algorithm(exam, "lesions"),
    )


def _segment(segmentation: Dataset, name: str, exam: Exam) -> Any:
    from highdicom.sr import ReferencedSegment, SourceSeriesForSegmentation

    identity = exam.ct.source.dicom
    assert identity is not None  # noqa: S101 - the source was checked
    return ReferencedSegment(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        segment_number=segment_number(segmentation, name),
        source_series=SourceSeriesForSegmentation(identity.series_uid),
    )


def _tracked(tracked: Tracked) -> Any:
    from highdicom.sr import TrackingIdentifier

    return TrackingIdentifier(uid=tracked.uid, identifier=tracked.name)


def _site(region: str) -> FindingSite:
    from highdicom.sr import FindingSite

    site = site_of(region)
    return FindingSite(site.code.as_dicom(), laterality=site.side.as_dicom() if site.side else None)


def _algorithm(exam: Exam, step: str) -> AlgorithmIdentification:
    from highdicom.sr import AlgorithmIdentification

    algorithm = algorithm_of(exam, step)
    parameters = [f"{name}: {value}" for name, value in algorithm.parameters.items()]
    return AlgorithmIdentification(algorithm.name, algorithm.version, parameters or None)


def _measurements(figures: Mapping[str, Any]) -> Sequence[Measurement] | None:
    """The figures that are defined, each under its concept."""
    from highdicom.sr import Measurement

    made = [
        Measurement(
            name=CONCEPT[name].code.as_dicom(),
            value=value if isinstance(value, int) else float(value),
            unit=CONCEPT[name].unit.as_dicom(),
        )
        for name, value in figures.items()
        if value is not None
    ]
    return made or None


def _qualities(exam: Exam) -> list[QualitativeEvaluation]:
    from highdicom.sr import QualitativeEvaluation

    told: tuple[tuple[Code, Code], ...] = (
        (codes.GRADE, codes.GRADES[exam.grade]),
        (codes.FIGURES, codes.FIGURES_OF[figures_of(exam)]),
    )
    return [QualitativeEvaluation(name.as_dicom(), value.as_dicom()) for name, value in told]


def _evaluations(exam: Exam) -> Dataset:
    """Grade, reader, warnings and findings of the checks, as TID 1500 has them beside the measurements."""
    from highdicom.sr import CodeContentItem, ContainerContentItem, ContentSequence, TextContentItem

    container = ContainerContentItem(name=codes.QUALITATIVE.as_dicom(), relationship_type="CONTAINS")
    items: list[Dataset] = [
        CodeContentItem(codes.GRADE.as_dicom(), codes.GRADES[exam.grade].as_dicom(), relationship_type="CONTAINS"),
        CodeContentItem(
            codes.FIGURES.as_dicom(), codes.FIGURES_OF[figures_of(exam)].as_dicom(), relationship_type="CONTAINS"
        ),
    ]
    items += [
        TextContentItem(name.as_dicom(), text[:_MAX_TEXT], relationship_type="CONTAINS") for name, text in _texts(exam)
    ]
    container.ContentSequence = ContentSequence(items, is_root=False)
    return container


def _texts(exam: Exam) -> Iterator[tuple[Code, str]]:
    edited = edited_segments(exam)
    for kind in SEGMENTS:
        if kind.segment_id in edited:
            yield codes.EDITED_SEGMENT, kind.name
    for warning in without_names(exam).warnings:
        yield codes.WARNING, f"{warning.code}: {warning.message}"
    for check in findings_of(exam.checks):
        yield codes.FINDING, f"{check.code} ({check.grade.text}): {finding_line(check)}"
