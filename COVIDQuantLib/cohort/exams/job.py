"""One exam on a worker: read, quantified and written there, so that nothing but a few words comes back.

The same function runs wherever Dask calls it. It may be called twice for one exam, when a worker has vanished and its
exam was given to another: a lock on the exam's folder makes the second wait, and what is finished is not done again.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from COVIDQuantLib import __version__
from COVIDQuantLib.cohort.exams.agreement import AGREEMENT_FILE, AgreementRecord, agreement_of, agreement_stamp
from COVIDQuantLib.cohort.exams.fingerprint import Fingerprint, fingerprint_of
from COVIDQuantLib.cohort.exams.log import ExamLog
from COVIDQuantLib.cohort.exams.record import (
    DONE_FILE,
    DoneRecord,
    FailedRecord,
    Figures,
    files_are_there,
    written_files,
)
from COVIDQuantLib.cohort.settings import BatchSettings, models_of
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import COVIDQuantError, OutputError, UnfitInputError, UsageError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.exam_files import put_exam
from COVIDQuantLib.export.table_file import write_json
from COVIDQuantLib.pipeline import quantify_ct
from COVIDQuantLib.progress import ProgressState, Stage, StagedProgress
from COVIDQuantLib.system.atomic_files import OutputFolder, make_folder, output_error
from COVIDQuantLib.system.json_file import read_json

TRIES_FILE = "tries.json"
# So many workers may die of an exam before it counts as their cause.
MOST_TRIES = 3
# Refusals of the disk or the workplace, not of the exam: the whole batch stops.
FATAL = {"disk-full", "not-writable", "cannot-write", "worker-differs", "cohort-packages"}
# Refusals that may be over when the batch is run again.
_PASSING = {"unreadable", "no-such-file", "memory-too-small", "too-large", "in-use", "half-moved", "too-many-files"}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_SECONDS_TO_WAIT = 6 * 3600.0
_READING, _WRITING = Stage("reading", 2.5), Stage("writing", 4.0)


@dataclass(frozen=True)
class ExamJob:
    """What a worker must know to make an exam.

    Attributes:
        patient, exam: for the log.
        path, series: its images.
        folder: for its results, absolute.
        settings: as :meth:`BatchSettings.as_message` gives them.
        references: label maps that people drew of it, by what they show.
        run: a name of this run of the batch; deaths of workers are counted within one.
    """

    patient: str
    exam: str
    path: str
    series: str | None
    folder: str
    settings: Mapping[str, Any]
    run: str
    references: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The exam for a message."""
        return f"{self.patient} {self.exam}"


@dataclass(frozen=True)
class Outcome:
    """What became of an exam.

    Attributes:
        status: ``done``, ``found`` (it was done already), ``failed`` or ``fatal`` (the batch must stop).
        seconds: that it took.
        grade: of a finished one.
        code, reason: of a refusal.
        where, remedy: of a fatal one.
    """

    status: str
    seconds: float = 0.0
    grade: str | None = None
    code: str = ""
    reason: str = ""
    where: str = ""
    remedy: str = ""


def run_exam(job: ExamJob) -> Outcome:
    """Make an exam, unless it is made already; never raises for a reason that concerns this exam alone."""
    settings = BatchSettings.from_message(job.settings)
    try:
        _check_worker(settings)
        folder = Path(job.folder)
        make_folder(folder)
        return _alone(job, folder, settings)
    except COVIDQuantError as error:
        status = "fatal" if error.code in FATAL or isinstance(error, UsageError) else "failed"
        return Outcome(status, code=error.code, reason=error.what, where=error.where, remedy=error.remedy)


def _check_worker(settings: BatchSettings) -> None:
    """Refuse to work with another version or other models than the batch was started with."""
    if settings.version != __version__:
        what = f"a worker has COVIDQuant {__version__}, this batch was started with {settings.version}"
    elif models_of(settings.plan) != dict(settings.models):
        what = "a worker has other models than this batch was started with"
    else:
        return
    remedy = "Install the same version and models on every worker."
    raise UnfitInputError(what, remedy=remedy, code="worker-differs")


def _alone(job: ExamJob, folder: Path, settings: BatchSettings) -> Outcome:
    """Make the exam while no other process does; wait for one that does."""
    until = time.monotonic() + _SECONDS_TO_WAIT
    while True:
        try:
            return _made_and_compared(job, folder, settings)
        except OutputError as error:
            if error.code != "in-use" or time.monotonic() > until:
                raise
            time.sleep(1.0)


def _names(path: Path) -> tuple[str, ...]:
    """What may name the patient in a message about the images; single letters would be found in every word."""
    return tuple(name for name in (str(path), path.name, path.stem) if len(name) > 2)


def _made_and_compared(job: ExamJob, folder: Path, settings: BatchSettings) -> Outcome:
    with OutputFolder(folder) as out:
        outcome = _try(job, out, settings)
    if job.references and outcome.status in {"done", "found"}:
        # Once the result is in place.
        with OutputFolder(folder) as out:
            _compare(job, out)
    return outcome


def _try(job: ExamJob, out: OutputFolder, settings: BatchSettings) -> Outcome:
    begun = time.monotonic()
    log = ExamLog(out.path, None if settings.identify else _names(Path(job.path)))
    tries = _count_try(out.path, job.run)
    log.begin(tries)
    found: Fingerprint | None = None
    try:
        _refuse_deadly(tries)
        found = fingerprint_of(Path(job.path), job.series)
        outcome = _found(out.path, settings, found) or _make(job, out, settings, found, log)
        FailedRecord.remove(out.path)
    except Exception as error:  # noqa: BLE001 - one exam's failure must not stop the others
        outcome = _failed(error, out.path, settings, found, time.monotonic() - begun, log)
    with suppress(OSError):
        (out.path / TRIES_FILE).unlink()
    return outcome


def _compare(job: ExamJob, out: OutputFolder) -> None:
    """Compare the result with the references, unless that is done already."""
    references = {kind: Path(path) for kind, path in job.references.items()}
    earlier = AgreementRecord.read(out.path)
    if earlier is None or earlier.stamp != agreement_stamp(out.path, references):
        record = agreement_of(out.path, references, Path(job.path), job.series)
        out.write(AGREEMENT_FILE, record.write)


def _count_try(folder: Path, run: str) -> int:
    """Which try of this exam in this run begins, from 1; earlier ones ended with their worker."""
    try:
        told = read_json(folder / TRIES_FILE, "")
        before = int(told["tries"]) if told["run"] == run else 0
    except (FileNotFoundError, UnfitInputError, KeyError, TypeError, ValueError):
        before = 0
    write_json(folder / TRIES_FILE, {"run": run, "tries": before + 1})
    return before + 1


def _refuse_deadly(tries: int) -> None:
    if tries <= MOST_TRIES:
        return
    what = f"the worker was killed {tries - 1} times while it made this exam, most likely because memory ran out"
    raise UnfitInputError(what, remedy="Give each worker more memory: --workers with fewer.", code="worker-killed")


def _found(folder: Path, settings: BatchSettings, found: Fingerprint) -> Outcome | None:
    """The result that is there already, if it is of these images and settings."""
    record = DoneRecord.read(folder)
    if record is None or record.key != settings.key or not files_are_there(folder, record):
        return None
    if record.input.content != found.content:
        return None
    if record.input.stamp != found.stamp:
        # The same images with other times: noted, so that they need not be read next time.
        record.with_stamp(found.stamp).write(folder / DONE_FILE)
    return Outcome("found", record.seconds, record.figures.grade)


def _make(job: ExamJob, out: OutputFolder, settings: BatchSettings, found: Fingerprint, log: ExamLog) -> Outcome:
    begun = time.monotonic()
    out.expect([*settings.files, DONE_FILE])
    progress = StagedProgress((_READING, *settings.plan.stages, _WRITING), _stage_lines(log))
    exam = _quantified(job, settings, progress)
    for warning in exam.warnings:
        log.line(f"warning {warning.code}: {warning.message}")
    with progress.stage(_WRITING.name) as report:
        put_exam(exam, out, settings.exports, report, identify=settings.identify)
    seconds = time.monotonic() - begun
    figures = Figures.of_exam(exam)
    out.write(DONE_FILE, lambda path: _write_done(path, settings, found, seconds, figures))
    log.line(f"done, graded {figures.grade or 'by nothing'}")
    return Outcome("done", seconds, figures.grade)


def _quantified(job: ExamJob, settings: BatchSettings, progress: StagedProgress) -> Exam:
    with progress.stage(_READING.name) as report:
        ct = read_ct(Path(job.path), job.series, report)
    return quantify_ct(ct, None, settings.thresholds, progress, settings.plan)


def _write_done(path: Path, settings: BatchSettings, found: Fingerprint, seconds: float, figures: Figures) -> None:
    files = written_files(path.parent, settings.files)
    DoneRecord(settings.key, found, settings.model, settings.version, round(seconds, 3), figures, files).write(path)


def _stage_lines(log: ExamLog) -> Any:
    last = ""

    def show(state: ProgressState) -> None:
        nonlocal last
        if state.stage != last:
            last = state.stage
            log.line(last)

    return show


def _failed(
    error: Exception, folder: Path, settings: BatchSettings, found: Fingerprint | None, seconds: float, log: ExamLog
) -> Outcome:
    """Note why the exam failed.

    Raises:
        OutputError: the disk is at fault; the batch must stop.
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        error = output_error(error, folder)
    if isinstance(error, OutputError) and error.code in FATAL | {"in-use"}:
        raise error
    known = error if isinstance(error, COVIDQuantError) else _unforeseen(error)
    log.line(f"failed: {known.line()}")
    if known is not error:
        log.error(error)
    final = isinstance(error, UnfitInputError) and known.code not in _PASSING | {"worker-killed"}
    stamp, content = (found.stamp, found.content) if found else ("", "")
    reason = known.what if settings.identify else log.worded(known.what)
    FailedRecord(
        settings.key, stamp, known.code, reason, final and found is not None, round(seconds, 3), content
    ).write(folder)
    return Outcome("failed", seconds, code=known.code, reason=known.what)


def _unforeseen(error: Exception) -> COVIDQuantError:
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return UnfitInputError("memory ran out", remedy="Use fewer --workers.", code="memory-ran-out")
    described = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return UnfitInputError(f"unexpected error ({described:.200})", remedy="See its log.", code="unexpected-error")
