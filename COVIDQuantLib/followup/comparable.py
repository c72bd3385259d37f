"""Whether exams can be compared, and with which reservations: patient, exam, method, thresholds, protocol, grade."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.followup.exam_result import PROTOCOL, ExamResult
from COVIDQuantLib.followup.sequence import DatedExam
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds

# Section thicknesses that differ by less count as equal.
_ALIKE_MM = 0.51


def refuse_mixed(results: Sequence[ExamResult], *, same_patient: bool = False) -> None:
    """Refuse the same exam twice, and exams of different patients.

    Args:
        results: in the given order.
        same_patient: the user asserts that it is one patient, whatever the IDs.

    Raises:
        UnfitInputError: if so; names the two.
    """
    for key in (_folder, lambda result: result.series, _counts):
        twins = _twins(results, key)
        if twins:
            what = f"this is the same exam as {twins[0].path}"
            raise UnfitInputError(what, str(twins[1].path), "Give each exam once.", code="same-exam")
    if same_patient:
        return
    known = [result for result in results if result.patient]
    other = next((result for result in known if result.patient != known[0].patient), None)
    if other is not None:
        what = f"this is another patient than {known[0].path}"
        remedy = "Give exams of one patient; if an anonymiser gave each exam its own ID, use --same-patient."
        raise UnfitInputError(what, str(other.path), remedy, code="another-patient")


def _twins(results: Sequence[ExamResult], key: Callable[[ExamResult], str]) -> tuple[ExamResult, ExamResult] | None:
    """The first two results with the same key; empty keys are ignored."""
    seen: dict[str, ExamResult] = {}
    for result in results:
        value = key(result)
        if value and value in seen:
            return seen[value], result
        seen[value] = result
    return None


def _folder(result: ExamResult) -> str:
    return str(result.path.resolve())


def _counts(result: ExamResult) -> str:
    """A fingerprint that two different exams never share: the counts of each CT number in each region."""
    counts = result.histogram.counts
    return hashlib.sha256(counts.tobytes()).hexdigest() if counts.any() else ""


def _lungs(result: ExamResult) -> str:
    counts = result.histogram.region(WHOLE_LUNG.labels).sum(axis=0)
    return hashlib.sha256(counts.tobytes()).hexdigest() if counts.any() else ""


def common_thresholds(results: Sequence[ExamResult]) -> Thresholds:
    """The thresholds of all results; the default ones if they differ."""
    found = {result.thresholds for result in results}
    return found.pop() if len(found) == 1 else DEFAULT_THRESHOLDS


def reserves(exams: Sequence[DatedExam], thresholds: Thresholds, *, same_patient: bool = False) -> list[CTWarning]:
    """Reasons why exams are less comparable than they look, each given once.

    Args:
        exams: in order.
        thresholds: those with which all values are recomputed.
        same_patient: the user asserts that it is one patient.
    """
    return [
        *_of_identity(exams, same_patient=same_patient),
        *_of_thresholds(exams, thresholds),
        *_of_methods(exams),
        *_of_protocol(exams),
        *_of_regions(exams),
        *_of_readers(exams),
        *_of_grades(exams),
    ]


def _of_identity(exams: Sequence[DatedExam], *, same_patient: bool) -> list[CTWarning]:
    results = [exam.result for exam in exams]
    found = []
    if same_patient and len({result.patient for result in results if result.patient}) > 1:
        text = "The exams carry different patient IDs; they were treated as one patient because of --same-patient."
        found.append(CTWarning("patients-differ", text))
    unknown = [exam for exam in exams if not exam.result.patient]
    if unknown and not same_patient:
        text = f"Nothing in {_numbers(unknown)} identifies the patient: make sure that all exams are of one patient."
        found.append(CTWarning("patient-unknown", text))
    if _twins(results, lambda result: result.study):
        text = (
            "Two of the exams are series of one study: they may be two reconstructions or two breath-holds of one day."
        )
        found.append(CTWarning("same-study", text))
    if _twins(results, _lungs):
        text = "The lungs of two exams have exactly the same CT numbers: they are two segmentations of one CT."
        found.append(CTWarning("same-lungs", text))
    return found


def _of_thresholds(exams: Sequence[DatedExam], thresholds: Thresholds) -> list[CTWarning]:
    other = [exam for exam in exams if exam.result.thresholds != thresholds]
    if not other:
        return []
    text = (
        f"The measurements of {_numbers(other)} were made with other thresholds; all were recomputed from counts "
        f"at {thresholds.ggo_hu} and {thresholds.consolidation_hu} HU."
    )
    return [CTWarning("thresholds-differ", text)]


def _of_methods(exams: Sequence[DatedExam]) -> list[CTWarning]:
    found = []
    steps = dict.fromkeys(step for exam in exams for step in exam.result.methods)
    for step in steps:
        described = _groups(exams, partial(_method, step))
        if described:
            text = f"The {step} were found by different methods, which by itself changes results: {described}."
            found.append(CTWarning("methods-differ", text))
    described = _groups(exams, lambda result: result.software)
    if described:
        found.append(
            CTWarning("versions-differ", f"The results were made by different versions of COVIDQuant: {described}.")
        )
    return found


def _method(step: str, result: ExamResult) -> str:
    return result.methods.get(step, "unknown")


def _made(key: str, result: ExamResult) -> str:
    return result.protocol.get(key, "")


def _of_protocol(exams: Sequence[DatedExam]) -> list[CTWarning]:
    parts = []
    for key, title, unit in PROTOCOL:
        values = {exam.result.protocol.get(key, "") for exam in exams}
        if unit == "mm" and _alike([float(value.split()[0]) for value in values if value]):
            continue
        described = _groups(exams, partial(_made, key))
        if described and key == "contrast_agent":
            described = "not the same in all"
        parts += [f"{title} {described}"] if described else []
    if not parts:
        return []
    text = f"The CTs were acquired differently, which affects densities and small lesions: {'; '.join(parts)}."
    return [CTWarning("protocols-differ", text)]


def _alike(values: Sequence[float]) -> bool:
    return not values or max(values) - min(values) < _ALIKE_MM


def _of_regions(exams: Sequence[DatedExam]) -> list[CTWarning]:
    """Lobes that some exams have and others lack."""
    found = []
    for exam in exams:
        missing = [label for label in WHOLE_LUNG.labels if not exam.result.histogram.counts[label].any()]
        found.append(frozenset(missing))
    if len(set(found)) < 2:
        return []
    lacking = [exam for exam, missing in zip(exams, found, strict=True) if missing]
    text = f"A lobe is missing in {_numbers(lacking)} but not in all: it is not compared, the lungs with reservation."
    return [CTWarning("lobes-differ", text)]


def _of_readers(exams: Sequence[DatedExam]) -> list[CTWarning]:
    excluded = [exam for exam in exams if exam.result.is_excluded]
    if not excluded:
        return []
    text = (
        f"Two readers excluded {_numbers(excluded)} from quantification: the measurements and changes of such an exam "
        "are shown, but not to be relied on."
    )
    return [CTWarning("exam-excluded", text)]


def _of_grades(exams: Sequence[DatedExam]) -> list[CTWarning]:
    found = []
    for grade in (Grade.UNUSABLE, Grade.LOOK):
        of = [exam for exam in exams if exam.result.grade is grade]
        if of:
            text = f"The result of {_numbers(of)} is graded {grade.text}: its changes are no more reliable than that."
            found.append(CTWarning("grade-below-sound", text))
    unchecked = [exam for exam in exams if exam.result.grade is None]
    if unchecked:
        text = f"The result of {_numbers(unchecked)} was never checked: run quantify again for a grade."
        found.append(CTWarning("not-checked", text))
    noticed: dict[str, list[DatedExam]] = {}
    for exam in exams:
        for code in exam.result.notices:
            noticed.setdefault(code, []).append(exam)
    if noticed:
        described = "; ".join(f"{code} in {_numbers(of)}" for code, of in noticed.items())
        text = f"The warnings of each exam apply here too ({described})."
        found.append(CTWarning("exam-warnings", text))
    return found


def _groups(exams: Sequence[DatedExam], value_of: Callable[[ExamResult], str]) -> str:
    """``a (exam 1, 3), b (exam 2)`` for a property that differs between exams; empty if it is the same or unknown."""
    groups: dict[str, list[DatedExam]] = {}
    for exam in exams:
        groups.setdefault(value_of(exam.result), []).append(exam)
    if len(groups) < 2 or not any(groups):
        return ""
    return ", ".join(f"{value or 'not described'} ({_numbers(members)})" for value, members in groups.items())


def _numbers(exams: Iterable[DatedExam]) -> str:
    """``exam 2``, or ``exams 1, 3 to 5``."""
    numbers = [exam.number for exam in exams]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    described = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return f"{'exam' if len(numbers) == 1 else 'exams'} {', '.join(described)}"
