"""Which result folder belongs to which exam of a study, by the names of both."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

from COVIDQuantLib.cohort.exams.folder import folder_name
from COVIDQuantLib.errors import UnfitInputError

_Key = TypeVar("_Key", bound=Hashable)


def results_of_exams(
    results: Sequence[str], exams: Sequence[tuple[str, str]], where: str
) -> dict[tuple[str, str], str]:
    """Find the result of each exam.

    Folders are named ``PATIENT/EXAM``, as a batch names them, or ``EXAM`` alone where no result lies in a folder of its
    patient. Exams may share their names between patients only in the first way.

    Args:
        results: paths of result folders below a common one, with slashes.
        exams: patient and exam.
        where: the common folder, for messages.

    Returns:
        Path of the result by patient and exam; an exam without one is missing.

    Raises:
        UnfitInputError: two results could be an exam's, or one could be that of two exams (``exam-twice``).
    """
    paths = [PurePosixPath(result) for result in results]
    by_both = _grouped(((path.parent.name, path.name) for path in paths), results)
    # A study of quantify's own folders keeps their names; a batch replaces what some file system refuses.
    named = {exam: [exam, (folder_name(exam[0]), folder_name(exam[1]))] for exam in exams}
    chosen = {exam: [key for key in keys if key in by_both] for exam, keys in named.items()}
    if any(chosen.values()):
        return _one_each({exam: by_both[keys[0]] for exam, keys in chosen.items() if keys}, where)
    by_exam = _grouped((path.name for path in paths), results)
    alone = {exam: [key[1] for key in keys if key[1] in by_exam] for exam, keys in named.items()}
    return _one_each({exam: by_exam[names[0]] for exam, names in alone.items() if names}, where)


def _grouped(keys: Iterable[_Key], results: Sequence[str]) -> dict[_Key, list[str]]:
    found: dict[_Key, list[str]] = {}
    for key, result in zip(keys, results, strict=True):
        found.setdefault(key, []).append(result)
    return found


def _one_each(found: Mapping[tuple[str, str], Sequence[str]], where: str) -> dict[tuple[str, str], str]:
    owner: dict[str, tuple[str, str]] = {}
    for exam, results in found.items():
        remedy = "Name the folders of results PATIENT/EXAM."
        if len(results) > 1:
            what = f"two result folders are named as the exam {exam[1]} of {exam[0]} ({results[0]}, {results[1]})"
            raise UnfitInputError(what, where, remedy, code="exam-twice")
        if results[0] in owner:
            what = f"the result folder {results[0]} could be of {owner[results[0]][0]} and of {exam[0]}"
            raise UnfitInputError(what, where, remedy, code="exam-twice")
        owner[results[0]] = exam
    return {exam: results[0] for exam, results in found.items()}
