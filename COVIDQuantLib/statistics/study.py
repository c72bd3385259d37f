"""A whole study: its tables read, who is left out shown, every analysis done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.statistics.analyses.kinds import KINDS
from COVIDQuantLib.statistics.config import read_config
from COVIDQuantLib.statistics.context import StudyContext
from COVIDQuantLib.statistics.data.quality import LeftOut, reasons_of
from COVIDQuantLib.statistics.data.study_data import StudyData, read_study_data
from COVIDQuantLib.statistics.figures.flow import Flow, draw_flow
from COVIDQuantLib.statistics.report.sections import Figure, Records, Section, Table


@dataclass(frozen=True)
class Study:
    """The results of a study.

    Attributes:
        title: heading.
        sections: the patient flow, then one for each analysis.
        left_out: exams that count nowhere.
        warnings: what was noticed in the tables.
    """

    title: str
    sections: list[Section]
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()


def load_study(path: Path) -> StudyContext:
    """Read a study's settings and tables.

    Raises:
        UsageError: a setting is unknown or unfit.
        UnfitInputError: a table is missing, damaged or contradicts itself.
    """
    config = read_config(path, {name: kind.schema for name, kind in KINDS.items()})
    folder = path.resolve().parent
    data = read_study_data(config, folder) if config["data"]["metrics"] else None
    return StudyContext(config, folder, data)


def run_study(study: StudyContext, report: Report = silent) -> Study:
    """Do every analysis.

    Args:
        study: as :func:`load_study` reads it.
        report: progress; may raise ``Cancelled``.

    Raises:
        UsageError: an analysis names a time, group or table that the study does not have.
        UnfitInputError: a column is missing or holds something else than it should.
    """
    sections = [] if study.data is None else [flow_section(study, study.data)]
    analyses: list[Mapping[str, Any]] = study.config["analysis"]
    for number, settings in enumerate(analyses):
        report(number / len(analyses))
        sections.append(KINDS[settings["kind"]].run(study, settings))
    report(1.0)
    data = study.data
    return Study(study.config["title"], sections, data.left_out if data else (), data.warnings if data else ())


def flow_section(study: StudyContext, data: StudyData) -> Section:
    """How many exams and patients were listed, left out and analysed."""
    section = Section("Patient flow", "flow", ("H3",))
    reasons = reasons_of(data.left_out)
    listed = {each.patient for each in data.left_out} | set(data.exams["patient"].astype(str))
    groups: dict[str, tuple[int, int]] = {}
    if study.config["groups"]["column"] and len(data.exams):
        for name, where in study.groups(data.exams).items():
            groups[name] = int(data.exams.loc[where, "patient"].nunique()), int(where.sum())
    flow = Flow(data.listed, len(listed), reasons, len(data.exams), data.patients, groups)
    rows = [["Listed", str(flow.exams), str(flow.patients)]]
    rows += [[f"    left out: {reason}", str(count), ""] for reason, count in reasons.items()]
    rows.append(["Analysed", str(flow.kept_exams), str(flow.kept_patients)])
    rows += [[f"    {name}", str(exams), str(patients)] for name, (patients, exams) in groups.items()]
    records: Records = [{"step": step.strip(), "exams": exams, "patients": patients} for step, exams, patients in rows]
    section.tables.append(Table(section.title, ["", "Exams", "Patients"], rows, records))
    caption = "An exam is left out for the first reason that holds."
    section.figures.append(Figure(section.title, caption, lambda: draw_flow(flow), records))
    return section
