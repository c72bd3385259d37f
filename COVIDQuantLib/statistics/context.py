"""What every analysis works on: the exams, and the study's groups, times and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.statistics.data.study_data import StudyData
from COVIDQuantLib.statistics.data.times import at_time
from COVIDQuantLib.statistics.data.variables import Variable, variable, words
from COVIDQuantLib.statistics.report.sections import Section
from COVIDQuantLib.system.near_names import did_you_mean

if TYPE_CHECKING:
    from pandas import DataFrame

ALL = "all"


@dataclass(frozen=True)
class StudyContext:
    """A study while its analyses run.

    Attributes:
        config: the checked settings.
        folder: against which paths in the settings are resolved.
        data: the exams; None in a study without them.
        compared: tables of scans compared with their references, by data set, where the study names masks.
    """

    config: Mapping[str, Any]
    folder: Path
    data: StudyData | None = None
    compared: Mapping[str, DataFrame] = field(default_factory=dict)

    @property
    def exams(self) -> DataFrame:
        """A row per exam.

        Raises:
            UsageError: the study names no table of exams.
        """
        if self.data is None:
            remedy = 'Give it as metrics = "…" under [data].'
            raise UsageError("this analysis needs the table of exams", "the study", remedy, code="study-config")
        return self.data.exams

    @property
    def alpha(self) -> float:
        """Level of significance."""
        return float(self.config["alpha"])

    @property
    def labels(self) -> dict[str, str]:
        """Titles given by the study."""
        return dict(self.config["labels"])

    def at(self, time: str) -> DataFrame:
        """The exams of a named time; all of them for an empty name.

        Raises:
            UsageError: the study has no such time.
        """
        if not time:
            return self.exams
        for record in self.config["times"]:
            if record["name"] == time:
                return at_time(self.exams, record)
        names = [record["name"] for record in self.config["times"]]
        remedy = f"{did_you_mean(time, names)}The times are {', '.join(names) or 'none: add [[times]]'}."
        raise UsageError(f"no time is named {time}", "the study", remedy, code="study-config")

    def variable(self, exams: DataFrame, name: str) -> Variable:
        """A variable of some exams, with its title."""
        return variable(exams, name, self.labels)

    def groups(self, exams: DataFrame, *, all_if_none: bool = False) -> dict[str, np.ndarray]:
        """Where each group is, in the study's order, by its title.

        Raises:
            UsageError: the study names no column of groups, or the order names one that never occurs.
        """
        column, order = self.config["groups"]["column"], list(self.config["groups"]["order"])
        if not column:
            if all_if_none:
                return {ALL: np.ones(len(exams), bool)}
            remedy = 'Give it as column = "…" under [groups].'
            raise UsageError("this analysis needs groups", "the study", remedy, code="study-config")
        own = words(exams, column)
        everywhere = {word for word in words(self.exams, column) if word}
        for name in order:
            if name not in everywhere:
                remedy = f"{did_you_mean(name, everywhere)}The column {column} says {', '.join(sorted(everywhere))}."
                raise UsageError(f"no exam is in the group {name}", "the study", remedy, code="value-unknown")
        return {self.labels.get(name, name): own == name for name in order or sorted(everywhere)}

    def note_ungrouped(self, section: Section, groups: Mapping[str, np.ndarray]) -> None:
        """Record exams that are in none of the groups."""
        inside = np.logical_or.reduce(list(groups.values())) if groups else np.zeros(0, bool)
        section.note_missing("one of the groups", int((~inside).sum()))
