"""A comparison of exams in the background: voxels copied in pieces, counted and registered by another process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import slicer

from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.followup.comparison import Comparison, compare_exams
from COVIDQuantLib.followup.exam_result import ExamResult
from COVIDQuantLib.followup.lesions.course import NOTHING_FOLLOWED, course_record, named_warnings, pair_head
from COVIDQuantLib.followup.lesions.pair_job import FollowedPair, PairExam
from COVIDQuantLib.followup.sequence import followed_pairs, in_order
from COVIDQuantLib.progress import ProgressState
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.scene.followup.exams import ChosenExam, check_exams
from COVIDQuantLib.scene.nodes.observers import Observers
from COVIDQuantLib.scene.piecewise_copy import PIECE_SECONDS, EditedError, LabelledCopy
from COVIDQuantLib.scene.review.result_checks import kept_checks
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.function_job import BackgroundJob

_FUNCTION = "COVIDQuantLib.followup.lesions.pair_job:followed_pair"
COPYING, COMPARING = "copying", "comparing"
# Of the time for a pair, for copying it.
_COPY_SHARE = 0.05


@dataclass(frozen=True)
class Compared:
    """A finished comparison, not in the scene yet.

    Attributes:
        comparison: with the fate of each lesion.
        exams: as chosen, in its order.
        pairs: what was found about each exam and the next one; then, of three or more, about the first and the last.
    """

    comparison: Comparison
    exams: tuple[ChosenExam, ...]
    pairs: tuple[FollowedPair, ...]


@dataclass
class _Pair:
    """Two exams on their way through another process."""

    exams: tuple[ChosenExam, ChosenExam]
    boxes: list[LabelledCopy | None] = field(default_factory=list)
    shared: SharedArguments | None = None
    job: BackgroundJob | None = None

    def free(self) -> None:
        """Give up whatever is held."""
        if self.job is not None:
            self.job.cancel()
        elif self.shared is not None:
            self.shared.free()
        self.job = self.shared = None


class FollowupRun:
    """One comparison; poll it from a timer. Nothing is added to the scene.

    No figure depends on the registration: they follow from the counts of each exam by itself. The run ends when one of
    its nodes is removed or the scene closes.

    Args:
        exams: two or more of one patient, in the order in which the reader chose them.
        onset: first day of symptoms; None if unknown.
        same_patient: the reader asserts that all are one patient.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        UnfitInputError: an exam of another patient, the same exam twice, one without a date, or a CT or segments that
            cannot be read.
        UsageError: there is only one exam.
    """

    def __init__(
        self,
        exams: Sequence[ChosenExam],
        onset: date | None = None,
        *,
        same_patient: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        check_exams(exams, same_patient=same_patient)
        self._given = tuple(exams)
        self._onset, self._same_patient, self._environment = onset, same_patient, environment
        ordered, _ = in_order([exam.result for exam in exams], _days(exams), onset)
        self._ordered = [_chosen(exams, one.result) for one in ordered]
        self._pairs: list[FollowedPair] = []
        todo = followed_pairs(self._ordered)
        self._count = len(todo)
        self._todo: Iterator[tuple[ChosenExam, ChosenExam]] = iter(todo)
        self._current: _Pair | None = None
        self._over = False
        self._began = time.monotonic()
        self._observers = Observers()
        self._observe()
        self._advance()

    @property
    def exams(self) -> tuple[ChosenExam, ...]:
        """The exams by date."""
        return tuple(self._ordered)

    def poll(self) -> ProgressState | Compared:
        """The progress, or the comparison once it is done; holds the window for a few hundredths of a second at most.

        Raises:
            Cancelled: it was cancelled, or its nodes were removed.
            COVIDQuantError: it failed; says why.
        """
        if self._over:
            raise Cancelled
        try:
            return self._step()
        except BaseException:
            self.cancel()
            raise

    def cancel(self) -> None:
        """End it; does nothing if it is over."""
        self._over = True
        self._observers.close()
        current, self._current = self._current, None
        if current is not None:
            current.free()

    def _step(self) -> ProgressState | Compared:
        pair = self._current
        if pair is None:
            raise Cancelled
        if pair.job is None:
            self._copy(pair)
            done = [box.fraction for box in pair.boxes if box is not None]
            return self._state(COPYING, _COPY_SHARE * (sum(done) / len(done) if done else 1.0))
        share = pair.job.poll()
        if not pair.job.is_done:
            return self._state(COMPARING, _COPY_SHARE + (1.0 - _COPY_SHARE) * share)
        self._pairs.append(pair.job.result)
        pair.free()
        self._advance()
        return self._state(COPYING, 0.0) if self._current is not None else self._finish()

    def _state(self, stage: str, share: float) -> ProgressState:
        fraction = (len(self._pairs) + share) / self._count
        spent = time.monotonic() - self._began
        left = spent / fraction - spent if fraction > 0.1 else None
        return ProgressState(stage, fraction, left)

    def _advance(self) -> None:
        """Prepare the next pair."""
        exams = next(self._todo, None)
        self._current = None if exams is None else _Pair(exams)

    def _copy(self, pair: _Pair) -> None:
        """Copy a piece; once everything is copied, start the process."""
        try:
            if pair.shared is None:
                self._begin(pair)
            elif pair.shared.prepare(PIECE_SECONDS):
                for number, box in enumerate(pair.boxes):
                    if box is not None and box.fraction < 1.0:
                        box.copy(pair.shared, f"_{number}")
                        return
                self._start(pair)
        except EditedError:
            pair.free()

    def _begin(self, pair: _Pair) -> None:
        pair.boxes = [LabelledCopy(e.volume, e.segmentation) if e.is_in_scene else None for e in pair.exams]
        blank: dict[str, Any] = {}
        for number, box in enumerate(pair.boxes):
            blank |= box.blank(f"_{number}") if box is not None else {}
        described = tuple(
            PairExam(
                exam.name, box.geometry if box is not None else None, None if exam.is_in_scene else exam.result.path
            )
            for exam, box in zip(pair.exams, pair.boxes, strict=True)
        )
        pair.shared = SharedArguments(blank, {"exams": described}, at_once=False)

    def _start(self, pair: _Pair) -> None:
        shared, pair.shared = pair.shared, None
        if shared is not None:
            pair.job = BackgroundJob(_FUNCTION, shared, self._environment)

    def _finish(self) -> Compared:
        """The figures, from each exam's counts alone, and what became of the lesions."""
        self._over = True
        self._observers.close()
        results = {id(exam): self._counted(exam) for exam in self._given}
        given = [results[id(exam)] for exam in self._given]
        comparison = compare_exams(given, _days(self._given), onset=self._onset, same_patient=self._same_patient)
        warnings = list(comparison.warnings)
        pairs = []
        for (before, after), found in zip(followed_pairs(comparison.exams), self._pairs, strict=True):
            warnings += named_warnings(before, after, found.warnings)
            why = found.warnings[0].code if found.warnings else "left-out"
            record = found.record or NOTHING_FOLLOWED | {"failed": why}
            pairs.append(pair_head(before, after) | record)
        lesions = course_record(pairs, with_cts=all(found.with_cts for found in self._pairs))
        comparison = replace(comparison, lesions=lesions, warnings=tuple(warnings))
        return Compared(comparison, tuple(self._ordered), tuple(self._pairs))

    def _counted(self, exam: ChosenExam) -> ExamResult:
        """What is known of an exam, with its counts and, if its checks are of these, its grade."""
        if not exam.is_in_scene:
            return exam.result
        place = next(n for n, one in enumerate(self._ordered) if one is exam)
        # The first pairs are each exam with the next one; the last exam is the later one of the last of these.
        counts = self._pairs[place].counts[0] if place < len(self._ordered) - 1 else self._pairs[place - 1].counts[1]
        histogram = JointHistogram(exam.result.histogram.voxel_volume_ml, counts)
        checks = kept_checks(exam.segmentation)
        return replace(exam.result, histogram=histogram, grade=checks.grade if checks.stands(histogram) else None)

    def _observe(self) -> None:
        scene = next((exam.volume.GetScene() for exam in self._given if exam.is_in_scene), None)
        if scene is None:
            return
        self._observers.on(scene, (slicer.vtkMRMLScene.StartCloseEvent,), self.cancel)
        self._observers.on_node(scene, slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._on_node_removed)

    def _on_node_removed(self, node: Any) -> None:
        if any(node is exam.volume or node is exam.segmentation for exam in self._given):
            self.cancel()


def _days(exams: Sequence[ChosenExam]) -> list[date]:
    return [exam.day for exam in exams if exam.day is not None]


def _chosen(exams: Sequence[ChosenExam], result: ExamResult) -> ChosenExam:
    return next(exam for exam in exams if exam.result is result)


def run_followup(run: FollowupRun, seconds: float = 0.02) -> Compared:
    """Wait for a run; for scripts.

    Raises:
        COVIDQuantError: it failed; says why.
    """
    while True:
        state = run.poll()
        if isinstance(state, Compared):
            return state
        time.sleep(seconds)
