"""Sign of the change between consecutive exams against the radiologists' words (papers.md row C4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.quantification.biomarkers import BIOMARKERS, Biomarker
from COVIDQuantLib.statistics.analyses.kind import Kind
from COVIDQuantLib.statistics.context import StudyContext
from COVIDQuantLib.statistics.data.variables import words
from COVIDQuantLib.statistics.methods.kappa import METHOD, WORDS, Kappa, cohens_kappa
from COVIDQuantLib.statistics.report.numbers import UNDEFINED, counted, interval, number, p_text
from COVIDQuantLib.statistics.report.sections import Section, Table
from COVIDQuantLib.system.settings_schema import REQUIRED, Setting

_BY_MEASURE = {biomarker.measure: biomarker for biomarker in BIOMARKERS}
# What radiologists write, beside the paper's own words.
_UP = ("expanded", "increased", "progress", "larger", "worse")
_DOWN = ("contracted", "decreased", "absorb", "smaller", "improved")
_PARTIAL = "partial"


@dataclass(frozen=True)
class Phrase:
    """What a report says of one change: 1 up, −1 down; of a part of the lesions or of all."""

    sign: int
    partial: bool


def phrase_of(text: str) -> Phrase | None:
    """The direction that a report's words give; None if they give none, or both.

    A number counts as its sign.
    """
    lower = text.lower()
    try:
        value = float(lower)
    except ValueError:
        up, down = (any(word in lower for word in some) for some in (_UP, _DOWN))
        return None if up == down else Phrase(1 if up else -1, _PARTIAL in lower)
    return Phrase(int(np.sign(value)), partial=False) if value else None


@dataclass(frozen=True)
class _Change:
    measured: int
    phrase: Phrase


def _fill(section: Section, study: StudyContext, settings: Mapping[str, Any]) -> None:
    rows, records, phrases = [], [], []
    for measure, column in settings["readers"].items():
        biomarker = _BY_MEASURE[measure]
        changes = _changes(section, study, measure, column)
        counted = Counter((change.phrase.sign, change.phrase.partial) for change in changes)
        phrases += _phrase_rows(biomarker, counted)
        for partial in (False, True):
            chosen = [change for change in changes if partial or not change.phrase.partial]
            one = np.array([change.measured for change in chosen])
            other = np.array([change.phrase.sign for change in chosen])
            found = cohens_kappa(one, other)
            title = f"{biomarker.subject.capitalize()} change{' (with partial changes)' if partial else ''}"
            rows.append(_row(title, found))
            records.append(_record(biomarker, found, partial=partial))
            if found.note:
                section.warnings.append(f"{title}: {found.note}")
    columns = ["", "Cases", "Observed", "Kappa", "Error", "95 % CI", "P", "Strength"]
    strengths = ", ".join(f"≤ {end:.2f} {word}" for end, word in WORDS)
    notes = ["Observed: share of cases that agree. Kappa: Cohen's, with its error.", f"Strength: {strengths}."]
    section.tables.append(Table(section.title, columns, rows, records, notes))
    section.tables.append(Table("Phrases of the reports", ["Phrase", "Occurrences"], phrases))
    section.methods += [
        f"{METHOD}.",
        "The sign of the change from each exam to the patient's next is compared with the words of the later report.",
        "Changes of exactly 0 and reports with opposite phrases are left out, as in Changsha 2020, Table 3.",
    ]


def _changes(section: Section, study: StudyContext, measure: str, column: str) -> list[_Change]:
    exams = study.exams.sort_values(["patient", "visit"], kind="stable")
    values = study.variable(exams, measure).values
    said, patients = words(exams, column), np.asarray(exams["patient"].astype(str))
    changes, silent, unclear, undefined, still = [], 0, 0, 0, 0
    for index in range(1, len(exams)):
        if patients[index] != patients[index - 1]:
            continue
        if not said[index]:
            silent += 1
            continue
        phrase, change = phrase_of(said[index]), values[index] - values[index - 1]
        if phrase is None:
            unclear += 1
        elif not np.isfinite(change):
            undefined += 1
        elif change == 0:
            still += 1
        else:
            changes.append(_Change(int(np.sign(change)), phrase))
    name = _BY_MEASURE[measure].name
    section.note_missing(f"a report of the change ({name})", silent, "changes")
    section.note_missing(f"a defined {name} at both exams", undefined, "changes")
    if still:
        section.left_out.append(f"{counted(still, 'changes')} of {name} of exactly 0")
    if unclear:
        # Not quoted: reports are free text, and the results are passed on.
        known = ", ".join((*_UP, *_DOWN))
        section.left_out.append(
            f"{counted(unclear, 'reports')} of {name} with opposite or unknown phrases (known: {known})"
        )
    return changes


def _phrase_rows(biomarker: Biomarker, counted: Mapping[tuple[int, bool], int]) -> list[list[str]]:
    words_ = {1: biomarker.up, -1: biomarker.down}
    return [
        [
            f"{biomarker.subject} has {'partially ' if partial else ''}{words_[sign]}",
            str(counted.get((sign, partial), 0)),
        ]
        for sign in (1, -1)
        for partial in (False, True)
    ]


def _row(title: str, found: Kappa) -> list[str]:
    observed = UNDEFINED if found.observed is None else number(found.observed, 4)
    cells = [observed, number(found.kappa, 4), number(found.error, 4), interval(found.lower, found.upper, 3)]
    return [title, str(found.n), *cells, p_text(found.p), found.words or UNDEFINED]


def _record(biomarker: Biomarker, found: Kappa, *, partial: bool) -> dict[str, Cell]:
    return {
        "biomarker": biomarker.name, "partial": "yes" if partial else "no", "method": METHOD, "n": found.n,
        "observed": found.observed, "kappa": found.kappa, "error": found.error,
        "large_sample_error": found.large_sample_error, "lower": found.lower, "upper": found.upper, "p": found.p,
        "words": found.words, "note": found.note,
    }  # fmt: skip


def _are_readers(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and set(value) <= set(_BY_MEASURE)


KIND = Kind(
    "progression",
    "Progression against the radiologists' reports",
    ("C4",),
    {
        "readers": Setting(
            REQUIRED, f"a column for {' or '.join(_BY_MEASURE)}", _are_readers,
            "columns with the report's words about the change since the exam before, by measure",
        ),
    },
    _fill,
)  # fmt: skip
