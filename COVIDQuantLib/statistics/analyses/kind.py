"""A kind of analysis: its name in a study, its settings, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from COVIDQuantLib.statistics.context import StudyContext
from COVIDQuantLib.statistics.report.sections import Section
from COVIDQuantLib.system.settings_schema import Schema


@dataclass(frozen=True)
class Kind:
    """A kind of analysis.

    Attributes:
        name: ``kind`` in the study.
        title: heading unless the study gives one.
        rows: rows of the papers that it follows.
        schema: its settings.
        fill: does it: fills the section from the study and the checked settings.
        needs_exams: whether it works on the table of exams.
    """

    name: str
    title: str
    rows: tuple[str, ...]
    schema: Schema
    fill: Callable[[Section, StudyContext, Mapping[str, Any]], None]
    needs_exams: bool = True

    def run(self, study: StudyContext, settings: Mapping[str, Any]) -> Section:
        """The section of one analysis."""
        rows = tuple(settings["rows"]) or self.rows
        section = Section(settings["title"] or self.title, self.name, rows)
        self.fill(section, study, settings)
        section.methods = [text[:1].upper() + text[1:] for text in section.methods]
        return section
