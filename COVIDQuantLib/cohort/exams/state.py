"""What is known of each exam of the manifest: done, refused, or still to be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from COVIDQuantLib.cohort.columns import Status
from COVIDQuantLib.cohort.exams.agreement import AgreementRecord, agreement_stamp
from COVIDQuantLib.cohort.exams.fingerprint import stamp_of
from COVIDQuantLib.cohort.exams.folder import exam_folder
from COVIDQuantLib.cohort.exams.record import (
    DONE_FILE,
    FAILED_FILE,
    DoneRecord,
    FailedRecord,
    Figures,
    figures_now,
    files_are_there,
)
from COVIDQuantLib.cohort.manifest.rows import ExamRow
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.system.staging import clear_gone

# The check waits for the disk, most of all for one across a network.
_THREADS = 8


@dataclass(frozen=True)
class ExamState:
    """An exam of the manifest and what became of it.

    Attributes:
        row: of the manifest.
        status: what became of it.
        code, reason: why it is not done; empty if it is.
        seconds: that it took; None if it was not tried.
        content: SHA-256 of its images; empty if unknown.
        figures: of a finished exam.
        model, version: that made it; empty if it is not done.
        agreement: with the references of the row; None if it has none or they were not compared.
        images_gone: whether it is done and its images can no longer be read.
    """

    row: ExamRow
    status: Status
    code: str = ""
    reason: str = ""
    seconds: float | None = None
    content: str = ""
    figures: Figures | None = None
    model: str = ""
    version: str = ""
    agreement: AgreementRecord | None = None
    images_gone: bool = False

    @property
    def folder(self) -> str:
        """The folder of its results, relative to the batch's, with slashes."""
        return exam_folder(self.row.patient, self.row.exam).as_posix()

    @property
    def name(self) -> str:
        """The exam for a message."""
        return self.row.name

    @property
    def excluded(self) -> str:
        """Why it should not count in statistics: as the manifest says, else as its readers do; empty if it counts."""
        readers = self.figures.excluded if self.status is Status.DONE and self.figures else ""
        # A bare yes gives no reason.
        return readers if readers and self.row.excluded in {"", "yes"} else self.row.excluded

    @property
    def to_review(self) -> bool:
        """Whether the checks ask a reader to look at it."""
        return self.status is Status.DONE and self.figures is not None and bool(self.figures.findings)


def state_of(row: ExamRow, out: Path, key: str, *, settled: bool) -> ExamState:
    """What is known of an exam from its folder.

    Args:
        row: of the manifest.
        out: the folder of the batch.
        key: of the settings that a result must be of.
        settled: whether what was refused counts as refused though another try might succeed.
    """
    if row.status is not Status.PENDING:
        return ExamState(row, row.status, row.code, row.reason)
    folder = out / exam_folder(row.patient, row.exam)
    if not folder.is_dir():
        return ExamState(row, Status.PENDING)
    with suppress(OSError):
        # A worker may have been killed between moving two files, or just after.
        clear_gone(folder)
    stamp = _stamp(row.path)
    done = DoneRecord.read(folder) if (folder / DONE_FILE).exists() else None
    if done is not None and done.key == key and stamp in {"", done.input.stamp} and files_are_there(folder, done):
        state = _done(row, folder, done, images_gone=not stamp)
        return replace(state, status=Status.PENDING) if not settled and _to_compare(state, folder) else state
    failed = FailedRecord.read(folder) if (folder / FAILED_FILE).exists() else None
    if failed is not None and failed.key == key and (settled or (failed.final and failed.stamp == stamp)):
        return ExamState(row, Status.FAILED, failed.code, failed.reason, failed.seconds, failed.content)
    return ExamState(row, Status.PENDING)


def _to_compare(state: ExamState, folder: Path) -> bool:
    """Whether the result is yet to be compared with the references of its row."""
    if state.status is not Status.DONE or not state.row.references or state.images_gone:
        return False
    return state.agreement is None or state.agreement.stamp != agreement_stamp(folder, state.row.references)


def _stamp(path: Path) -> str:
    try:
        return stamp_of(path)
    except UnfitInputError:
        return ""


def _done(row: ExamRow, folder: Path, record: DoneRecord, *, images_gone: bool) -> ExamState:
    content = record.input.content
    try:
        figures = figures_now(folder, record)
    except (UnfitInputError, OSError) as error:
        code, what = (error.code, error.what) if isinstance(error, UnfitInputError) else ("unreadable", str(error))
        return ExamState(row, Status.FAILED, code or "metrics-damaged", what, record.seconds, content)
    return ExamState(
        row,
        Status.DONE,
        seconds=record.seconds,
        content=content,
        figures=figures,
        model=record.model,
        version=record.version,
        agreement=AgreementRecord.read(folder) if row.references else None,
        images_gone=images_gone,
    )


def states_of(
    rows: Sequence[ExamRow], out: Path, key: str, *, settled: bool, checked: Callable[[], object] = lambda: None
) -> list[ExamState]:
    """The states of many exams, in their order.

    Args:
        rows: of the manifest.
        out: the folder of the batch.
        key: of the settings.
        settled: as in :func:`state_of`.
        checked: called after each.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        states = []
        for state in pool.map(lambda row: state_of(row, out, key, settled=settled), rows):
            checked()
            states.append(state)
    return states


def without_copies(states: Sequence[ExamState]) -> list[ExamState]:
    """The states; of finished exams with the same images only the manifest's first counts."""
    first: dict[str, ExamState] = {}
    kept = []
    for state in states:
        if state.status is Status.DONE:
            earlier = first.setdefault(state.content, state)
            if earlier is not state:
                reason = f"the same images as {earlier.row.place} ({earlier.name})"
                state = replace(state, status=Status.DUPLICATE, code="images-twice", reason=reason)  # noqa: PLW2901
        kept.append(state)
    return kept
