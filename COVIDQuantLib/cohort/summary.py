"""The summary of a batch in words: exams to review first, then what failed, then the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from COVIDQuantLib.cohort.columns import Status
from COVIDQuantLib.cohort.exams.state import ExamState
from COVIDQuantLib.grades import Grade


@dataclass(frozen=True)
class Listed:
    """Exams that a reader should know of, under a heading.

    Attributes:
        heading: what they have in common.
        lines: one per exam.
    """

    heading: str
    lines: list[str] = field(default_factory=list)


def listed(states: Sequence[ExamState]) -> list[Listed]:
    """The exams to review, worst first, then those that are not in the data set, by what became of them."""
    review = sorted((state for state in states if state.to_review), key=lambda state: -_badness(state))
    found = [Listed("to review (the checks found something)", [_review_line(state) for state in review])]
    headings = {
        Status.FAILED: "failed",
        Status.UNREADABLE: "rows of the manifest that cannot be used",
        Status.DUPLICATE: "images that are there twice",
        Status.PENDING: "not done yet",
        Status.LEFT_OUT: "left out by the manifest",
    }
    found += [
        Listed(heading, [_line(state) for state in states if state.status is status])
        for status, heading in headings.items()
    ]
    gone = [f"{state.name} ({state.row.place})" for state in states if state.images_gone]
    found.append(Listed("done earlier; the images can no longer be read", gone))
    rated = [f"{state.name}: {state.figures.excluded}" for state in states if state.figures and state.figures.excluded]
    found.append(Listed("excluded by their readers", rated))
    edited = [f"{state.name}: {state.folder}" for state in states if state.figures and state.figures.edited]
    found.append(Listed("corrected by hand; the figures are those of the correction", edited))
    return [each for each in found if each.lines]


def _badness(state: ExamState) -> int:
    grade = state.figures.grade if state.figures else None
    return Grade(grade).badness if grade else 0


def _review_line(state: ExamState) -> str:
    if state.figures is None or not state.figures.grade:
        return state.name
    grade = Grade(state.figures.grade).text
    return f"{state.name}: {grade} ({', '.join(state.figures.findings)}) – {state.folder}"


def _line(state: ExamState) -> str:
    code = f" [{state.code}]" if state.code else ""
    reason = f": {state.reason}" if state.reason else ""
    return f"{state.name} ({state.row.place}){reason}{code}"


def counts_line(states: Sequence[ExamState]) -> str:
    """How many exams there are of each kind."""
    counts = Counter(state.status for state in states)
    parts = [f"{count} {status}" for status in Status if (count := counts[status])]
    grades = Counter(state.figures.grade for state in states if state.status is Status.DONE and state.figures)
    graded = [f"{count} {grade.text}" for grade in Grade if (count := grades[grade])]
    return f"{len(states)} exams: {', '.join(parts)}" + (f"; graded: {', '.join(graded)}" if graded else "")


def summary_text(states: Sequence[ExamState]) -> str:
    """The summary as a file: the same exams always give the same text."""
    return "".join(f"{line}\n" for line in _summary_lines(states))


def _summary_lines(states: Sequence[ExamState]) -> Iterator[str]:
    yield counts_line(states)
    for each in listed(states):
        yield ""
        yield f"{each.heading}: {len(each.lines)}"
        yield from (f"  {line}" for line in each.lines)
