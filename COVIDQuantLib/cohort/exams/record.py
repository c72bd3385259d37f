"""What a batch keeps of an exam beside its results: ``exam.json`` of a finished one, ``failed.json`` of a refused one.

A finished exam is recognised by these: the same images, the same settings, and files as they were written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from COVIDQuantLib.cohort.exams.fingerprint import Fingerprint, file_digest
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.exam_files import SEGMENTATION_FILE
from COVIDQuantLib.export.table_file import JSON_FILE, MetricsFile, read_metrics, write_json
from COVIDQuantLib.grades import findings_of
from COVIDQuantLib.readers.scale import WHY_EXCLUDED
from COVIDQuantLib.system.json_file import read_json

DONE_FILE, FAILED_FILE = "exam.json", "failed.json"
FORMAT = "covidquant-exam/1"
_REMEDY = "Remove it, and run the batch again."


@dataclass(frozen=True)
class Figures:
    """What the data set takes from a result.

    Attributes:
        regions: a record per region, keyed by column.
        summary: the figures of the whole patient.
        grade: of the result; None if nothing was checked.
        findings: codes of the checks below sound, worst first.
        warnings: codes of the warnings.
        edited: whether it was corrected by hand after the batch wrote it.
        excluded: why its readers excluded it from quantification; empty if they did not.
    """

    regions: Sequence[Mapping[str, Any]] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    grade: str | None = None
    findings: Sequence[str] = ()
    warnings: Sequence[str] = ()
    edited: bool = False
    excluded: str = ""

    @classmethod
    def of_exam(cls, exam: Exam) -> Self:
        """The figures of an exam in memory."""
        summary = exam.metrics.summary()
        return cls(
            [dict(row) for row in exam.metrics.rows],
            {name: value for name, value in summary.items() if name != "thresholds"},
            None if exam.grade is None else str(exam.grade),
            _once(check.code for check in findings_of(exam.checks)),
            _once(warning.code for warning in exam.warnings),
        )

    @classmethod
    def of_file(cls, read: MetricsFile) -> Self:
        """The figures of a ``metrics.json``."""
        warnings = read.record.get("warnings") or ()
        rating = read.readers.rating
        return cls(
            [dict(row) for row in read.metrics.rows],
            {name: value for name, value in read.metrics.summary().items() if name != "thresholds"},
            None if read.grade is None else str(read.grade),
            _once(check.code for check in findings_of(read.checks)),
            _once(str(one.get("code", "")) for one in warnings if isinstance(one, Mapping)),
            excluded=WHY_EXCLUDED if rating is not None and rating.excludes else "",
        )


def _once(codes: Any) -> list[str]:
    return list(dict.fromkeys(code for code in codes if code))


@dataclass(frozen=True)
class DoneRecord:
    """A finished exam.

    Attributes:
        key: of the settings (:attr:`BatchSettings.key`).
        input: its images.
        model, version: as in the data set.
        seconds: that it took.
        figures: for the data set.
        files: size and SHA-256 of each file of the result.
    """

    key: str
    input: Fingerprint
    model: str
    version: str
    seconds: float
    figures: Figures
    files: Mapping[str, Mapping[str, Any]]

    def write(self, path: Path) -> None:
        """Write it; as :func:`write_json`."""
        write_json(path, {"format": FORMAT, "status": "done", **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The record in an exam's folder; None if there is none that can be read."""
        record = _read(folder / DONE_FILE)
        try:
            return cls(
                str(record["key"]),
                Fingerprint(**record["input"]),
                str(record["model"]),
                str(record["version"]),
                float(record["seconds"]),
                Figures(**record["figures"]),
                {str(name): dict(file) for name, file in record["files"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def with_stamp(self, stamp: str) -> Self:
        """The same for files of the same content with other times."""
        return replace(self, input=Fingerprint(self.input.content, stamp))


@dataclass(frozen=True)
class FailedRecord:
    """An exam that was refused or failed.

    Attributes:
        key: of the settings.
        stamp: of the images; empty if they could not be read.
        code, reason: of the refusal.
        final: whether the same images and settings would be refused again.
        seconds: until then.
        content: SHA-256 of the images; empty if they could not be read.
    """

    key: str
    stamp: str
    code: str
    reason: str
    final: bool
    seconds: float = 0.0
    content: str = ""

    def write(self, folder: Path) -> None:
        """Write it into an exam's folder; as :func:`write_json`."""
        write_json(folder / FAILED_FILE, {"format": FORMAT, "status": "failed", **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The record in an exam's folder; None if there is none that can be read."""
        record = _read(folder / FAILED_FILE)
        try:
            return cls(**{name: record[name] for name in cls.__dataclass_fields__})
        except (KeyError, TypeError):
            return None

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove an earlier one."""
        with suppress(FileNotFoundError):
            (folder / FAILED_FILE).unlink()


def _read(path: Path) -> Any:
    try:
        record = read_json(path, _REMEDY)
    except (FileNotFoundError, NotADirectoryError, UnfitInputError):
        return {}
    return record if isinstance(record, dict) and record.get("format") == FORMAT else {}


def written_files(folder: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of files, for :attr:`DoneRecord.files`."""
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": file_digest(folder / name)} for name in names}


def files_are_there(folder: Path, record: DoneRecord) -> bool:
    """Whether every file of a result is there, changed or not."""
    return all((folder / name).is_file() for name in record.files)


def figures_now(folder: Path, record: DoneRecord) -> Figures:
    """The figures of a result as it is now: the recorded ones, or those that a reader has put there since.

    A correction changes the figures; a rating leaves them, and may exclude the exam. Only sizes and times are compared
    before a file is read: both change those of ``metrics.json``.

    Raises:
        UnfitInputError: the segmentation was changed and the figures were not, or they are damaged.
    """
    if not _changed(folder, record, JSON_FILE):
        if SEGMENTATION_FILE in record.files and _changed(folder, record, SEGMENTATION_FILE):
            raise UnfitInputError(
                "the segmentation was changed, but not the figures",
                str(folder),
                "Export both from Slicer, or remove the folder to have the exam made again.",
                code="result-changed",
            )
        return record.figures
    read = read_metrics(folder / JSON_FILE)
    now, recorded = Figures.of_file(read), record.figures
    corrected = [*now.regions] != [*recorded.regions] or {**now.summary} != {**recorded.summary}
    edits = read.readers.edits
    return replace(now, edited=corrected or (edits is not None and edits.is_edited))


def _changed(folder: Path, record: DoneRecord, name: str) -> bool:
    told = record.files[name]
    path = folder / name
    if path.stat().st_size != told["bytes"]:
        return True
    # Only a file that was touched after the record was written can have been changed.
    if path.stat().st_mtime_ns <= (folder / DONE_FILE).stat().st_mtime_ns:
        return False
    return file_digest(path) != told["sha256"]
