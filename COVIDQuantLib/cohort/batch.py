"""A batch: every exam of a manifest that is not done yet is made, and the data set of all is written."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from COVIDQuantLib.cohort.cluster import workers_of
from COVIDQuantLib.cohort.columns import SUMMARY_FILE, Status
from COVIDQuantLib.cohort.dataset import put_dataset
from COVIDQuantLib.cohort.dispatch import Dispatch
from COVIDQuantLib.cohort.exams.folder import exam_folder
from COVIDQuantLib.cohort.exams.job import ExamJob, Outcome
from COVIDQuantLib.cohort.exams.state import ExamState, states_of, without_copies
from COVIDQuantLib.cohort.manifest.rows import ExamRow, Manifest
from COVIDQuantLib.cohort.packages import optional
from COVIDQuantLib.cohort.settings import BatchSettings
from COVIDQuantLib.cohort.summary import summary_text
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.table_file import write_json
from COVIDQuantLib.system.atomic_files import OutputFolder, make_folder
from COVIDQuantLib.system.json_file import read_json

BATCH_FILE = "batch.json"
FORMAT = "covidquant-batch/1"


@dataclass(frozen=True)
class Where:
    """Where exams are made.

    Attributes:
        scheduler: address of a running Dask scheduler; None for this machine.
        workers: number of workers on this machine; None to fit it.
        threads: of each worker on this machine; None to divide the processors among them.
    """

    scheduler: str | None = None
    workers: int | None = None
    threads: int | None = None


class Watcher:
    """Is told how a batch goes; this one shows nothing."""

    def checked(self, number: int, of: int) -> None:
        """So many exams have been looked up."""

    def starts(self, done: int, of: int) -> None:
        """The making begins; so many of all exams are done already."""

    def ended(self, job: ExamJob, outcome: Outcome) -> None:
        """An exam was made, found or refused."""

    def ticks(self, workers: int) -> None:
        """Time passes; there are so many workers."""


@dataclass
class BatchResult:
    """What became of a batch.

    Attributes:
        states: of all exams, in the manifest's order.
        files: that were written.
        made: exams that this run made.
        seconds: that the making took.
    """

    states: list[ExamState]
    files: list[Path] = field(default_factory=list)
    made: int = 0
    seconds: float = 0.0


def run_batch(
    manifest: Manifest,
    out: OutputFolder,
    settings: BatchSettings,
    where: Where | None = None,
    watcher: Watcher | None = None,
    *,
    redo: bool = False,
    collect: bool = False,
) -> BatchResult:
    """Make every exam that is not done, then write the data set into ``out``.

    Args:
        manifest: of the cohort.
        out: the open folder of the batch; each exam has its own folder in it.
        settings: how exams are made.
        where: the workers; by default those of this machine.
        watcher: is told how it goes.
        redo: make exams again that were made with other settings.
        collect: make none; write the data set of what is done.

    Raises:
        UnfitInputError: the folder holds a batch with other settings, the scheduler is lost, or the disk is full.
        UsageError: a package is missing.
    """
    watcher = watcher or Watcher()
    for package in ("pyarrow", "pyarrow.parquet"):
        optional(package)
    _claim(out.path, settings, redo=redo)
    states = _looked_up(manifest.rows, out.path, settings, watcher, settled=collect)
    open_rows = [state.row for state in states if state.status is Status.PENDING]
    result = BatchResult(states)
    if open_rows and not collect:
        result = _made(open_rows, states, out, settings, where or Where(), watcher)
    result.states = without_copies(result.states)
    result.files = put_dataset(manifest, result.states, settings.key, out)
    text = summary_text(result.states)
    out.write(SUMMARY_FILE, lambda path: path.write_bytes(text.encode("utf-8", "backslashreplace")))
    result.files.append(out.path / SUMMARY_FILE)
    return result


def _claim(folder: Path, settings: BatchSettings, *, redo: bool) -> None:
    """Note the settings of the batch; refuse a folder that holds one with others.

    Raises:
        UnfitInputError: it does.
    """
    path = folder / BATCH_FILE
    record = {"format": FORMAT, "key": settings.key, "settings": settings.record()}
    try:
        earlier = read_json(path, "Choose another folder.")
    except FileNotFoundError:
        earlier = None
    if earlier is not None:
        if not isinstance(earlier, dict) or earlier.get("format") != FORMAT:
            what = "the file is not of a batch"
            raise UnfitInputError(what, str(path), "Choose another folder.", code="not-ours")
        if earlier.get("key") == settings.key:
            return
        if not redo:
            raise UnfitInputError(
                f"the folder holds a batch with other settings ({_difference(earlier.get('settings'), record)})",
                str(folder),
                "Choose another folder, or --redo to make its exams again.",
                code="batch-differs",
            )
    write_json(path, record)


def _difference(earlier: object, record: Mapping[str, object]) -> str:
    now = record["settings"]
    if not isinstance(earlier, dict) or not isinstance(now, dict):
        return "unknown"
    differing = [name for name in now if earlier.get(name) != now[name]]
    return "; ".join(f"{name} {_brief(earlier.get(name))}, now {_brief(now[name])}" for name in differing)


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _looked_up(
    rows: Sequence[ExamRow], out: Path, settings: BatchSettings, watcher: Watcher, *, settled: bool
) -> list[ExamState]:
    number = 0

    def checked() -> None:
        nonlocal number
        number += 1
        watcher.checked(number, len(rows))

    return states_of(rows, out, settings.key, settled=settled, checked=checked)


def _made(
    rows: Sequence[ExamRow],
    states: Sequence[ExamState],
    out: OutputFolder,
    settings: BatchSettings,
    where: Where,
    watcher: Watcher,
) -> BatchResult:
    """Make the exams of rows, then look at all again that were open."""
    run, message = secrets.token_hex(8), settings.as_message()
    jobs = [_job(row, out.path, message, run) for row in rows]
    made = 0

    def ended(job: ExamJob, outcome: Outcome) -> None:
        nonlocal made
        made += outcome.status == "done"
        watcher.ended(job, outcome)

    begun = time.monotonic()
    unfinished: Callable[[], list[ExamJob]] = list
    try:
        wanted = (where.scheduler, where.workers, len(jobs), out.staging)
        with workers_of(settings.plan, *wanted, threads=where.threads) as client:
            # Counted once the workers are there, so that the rate is theirs.
            watcher.starts(len(states) - len(jobs), len(states))
            dispatch = Dispatch(client, jobs, ended, watcher.ticks)
            unfinished = lambda: dispatch.unfinished  # noqa: E731
            dispatch.run()
    finally:
        _clear_up(unfinished() if where.scheduler is None else [])
    fresh = iter(states_of(rows, out.path, settings.key, settled=True))
    now = [next(fresh) if state.status is Status.PENDING else state for state in states]
    return BatchResult(now, made=made, seconds=time.monotonic() - begun)


def _job(row: ExamRow, out: Path, message: dict[str, object], run: str) -> ExamJob:
    references = {kind: str(path) for kind, path in row.references.items()}
    folder = out.absolute() / exam_folder(row.patient, row.exam)
    return ExamJob(row.patient, row.exam, str(row.path), row.series, str(folder), message, run, references)


def _clear_up(jobs: Sequence[ExamJob]) -> None:
    """Clear away what workers that were stopped have left half written."""
    for job in jobs:
        if Path(job.folder).is_dir():
            with suppress(Exception):
                make_folder(Path(job.folder))
