"""Read the results of ``covidquant quantify`` for one exam into a record for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.anonymous import hashed
from COVIDQuantLib.export.exam_files import SEGMENTATION_FILE
from COVIDQuantLib.export.table_file import CSV_FILE, JSON_FILE, MetricsFile, read_metrics
from COVIDQuantLib.grades import Grade, findings_of
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.readers.rating import Rating
from COVIDQuantLib.system.atomic_files import settle_results
from COVIDQuantLib.voxels.geometry import Geometry

_GIVE = "Give folders written by quantify."
_AGAIN = "Run quantify again; it writes all its files or none."
_MAX_TEXT = 200
_MAX_CODE = 40
# Acquisition parameters that affect densities: key in the file, name, unit.
PROTOCOL = (
    ("slice_thickness_mm", "section thickness", "mm"),
    ("kernel", "kernel", ""),
    ("contrast_agent", "contrast agent", ""),
)


@dataclass(frozen=True)
class ExamResult:
    """A quantified exam.

    Attributes:
        path: the folder it was read from.
        histogram: the counts from which every value follows.
        thresholds: those used for its own values.
        grade: its reliability; None if nothing was checked.
        acquired: the date of the exam; None if not stored.
        patient: check value of the patient's ID; empty if not stored.
        series, study: hashes of the UIDs; empty if the CT had none.
        methods: per step (``lobes``, ``lesions`` …) how it was made, with the model's identity.
        software: version of COVIDQuant that made it.
        protocol: known acquisition parameters, keyed as in :data:`PROTOCOL`.
        segmentation: the file of lobes and lesions; None if the folder has none.
        notices: codes of quantify's warnings, and of the checks below sound.
        geometry: the grid that was counted; None if not stored.
        padding_voxels: voxels that the scanner did not measure, which are never counted.
        rating: what two readers said about its segmentation; None if nobody rated it.
    """

    path: Path
    histogram: JointHistogram
    thresholds: Thresholds
    grade: Grade | None = None
    acquired: date | None = None
    patient: str = ""
    series: str = ""
    study: str = ""
    methods: Mapping[str, str] = field(default_factory=dict)
    software: str = ""
    protocol: Mapping[str, str] = field(default_factory=dict)
    segmentation: Path | None = None
    notices: tuple[str, ...] = ()
    geometry: Geometry | None = None
    padding_voxels: int = 0
    rating: Rating | None = None

    @property
    def is_excluded(self) -> bool:
        """Whether its readers excluded it from quantification."""
        return self.rating is not None and self.rating.excludes

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name or self.path.resolve().name


def read_result(path: Path) -> ExamResult:
    """Read a folder written by quantify, or the ``metrics.json`` in it.

    Raises:
        UnfitInputError: there is no such folder, it is half written, of another format version, damaged, or its
            figures contradict its counts.
    """
    folder = path.parent if path.is_file() else path
    if not path.exists():
        raise UnfitInputError("there is no such folder", str(path), _GIVE, code="no-such-file")
    settle_results(folder)
    if not (folder / JSON_FILE).exists():
        raise _no_result(folder)
    segmentation = folder / SEGMENTATION_FILE
    if segmentation.exists() and segmentation.stat().st_size == 0:
        raise UnfitInputError("the file is empty", str(segmentation), _AGAIN, code="result-incomplete")
    read = read_metrics(path if path.is_file() else folder)
    return result_of(folder, read, segmentation if segmentation.is_file() else None)


def _no_result(folder: Path) -> UnfitInputError:
    if (folder / SEGMENTATION_FILE).exists() or (folder / CSV_FILE).exists():
        what = f"the result is incomplete: there is no {JSON_FILE}"
        return UnfitInputError(what, str(folder), _AGAIN, code="result-incomplete")
    return UnfitInputError(f"there is no {JSON_FILE} in the folder", str(folder), _GIVE, code="no-result")


def result_of(folder: Path, read: MetricsFile, segmentation: Path | None) -> ExamResult:
    """The exam of a validated record.

    Args:
        folder: where it was read from.
        read: the record.
        segmentation: the file of lobes and lesions; None if there is none.
    """
    source, software = _mapping(read.record, "input"), _mapping(read.record, "software")
    series = _hash_of(source, "series_uid")
    phase = _hash_of(source, "phase")
    return ExamResult(
        path=folder,
        histogram=read.histogram,
        thresholds=read.metrics.thresholds,
        grade=read.grade,
        acquired=_day(_text(source, "acquisition_date")),
        patient=_text(source, "patient_check"),
        # Two phases of one series are two reconstructions, like two series of one study.
        series=f"{series} {phase}".strip() if series else "",
        study=_hash_of(source, "study_uid"),
        methods=methods_of(_mapping(read.record, "segmentation")),
        software=_text(software, "COVIDQuant"),
        protocol=_protocol(source),
        segmentation=segmentation,
        notices=_notices(read),
        geometry=_geometry(_mapping(read.record, "geometry")),
        padding_voxels=_count(source, "padding_voxels"),
        rating=read.readers.rating,
    )


def _geometry(record: Mapping[str, Any]) -> Geometry | None:
    try:
        return Geometry.from_record(record)
    except (KeyError, TypeError, ValueError):
        return None


def _count(record: Mapping[str, Any], key: str) -> int:
    value = record.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _notices(read: MetricsFile) -> tuple[str, ...]:
    warnings = read.record.get("warnings")
    warned = [_text(one, "code") for one in warnings if isinstance(one, Mapping)] if isinstance(warnings, list) else []
    codes = [*warned, *(check.code for check in findings_of(read.checks))]
    return tuple(dict.fromkeys(code[:_MAX_CODE] for code in codes if code))


def _mapping(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = record.get(key)
    return value if isinstance(value, Mapping) else {}


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


def _hash_of(record: Mapping[str, Any], key: str) -> str:
    """The hash of a name, whether the file holds the name itself (``--identify``) or the hash already."""
    return hashed(_text(record, key))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def methods_of(steps: Mapping[str, Any]) -> dict[str, str]:
    """How each step was made, from the provenance of a segmentation; see :class:`ExamResult`."""
    methods = {}
    for step in steps:
        made = _mapping(steps, step)
        method = _text(made, "method") or "unknown"
        model = _mapping(made, "model")
        methods[step] = f"{method}{_identity(model)}" if model else method
    # The method for lungs does not matter once there are lobes.
    return {step: methods[step] for step in sorted(methods) if step in {"lobes", "lesions"} or "lobes" not in methods}


def _identity(model: Mapping[str, Any]) -> str:
    """A model's name and version, and the start of its weights' SHA-256."""
    weights = _mapping(model, "sha256")
    digest = " ".join(sorted(str(value)[:12] for value in weights.values()))
    described = " ".join(filter(None, (_text(model, "name"), _text(model, "version"))))
    return f" ({described}{'; weights ' + digest if digest else ''})"


def _protocol(source: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for key, _, unit in PROTOCOL:
        value = source.get(key)
        if unit:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found[key] = f"{value:g} {unit}"
        elif isinstance(value, str) and value:
            # A contrast agent's name is hashed in one result and plain in another.
            found[key] = hashed(value) if key == "contrast_agent" else value[:_MAX_TEXT]
    return found
