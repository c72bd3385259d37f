"""The files of a study: each table as CSV, each figure as SVG, PDF and CSV, one HTML report, one JSON record."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from COVIDQuantLib.errors import OutputError, UnfitInputError
from COVIDQuantLib.export.anonymous import hashed
from COVIDQuantLib.export.csv_file import write_rows
from COVIDQuantLib.export.table_file import software_versions, write_json
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.statistics.figures.style import look
from COVIDQuantLib.statistics.packages import computing_versions
from COVIDQuantLib.statistics.report.html import html_report
from COVIDQuantLib.statistics.report.sections import Section, Table, columns_of
from COVIDQuantLib.system.atomic_files import OutputFolder
from COVIDQuantLib.system.json_file import read_json

if TYPE_CHECKING:
    from COVIDQuantLib.statistics.study import Study

HTML_FILE, JSON_FILE, LEFT_OUT_FILE = "study.html", "study.json", "left_out.csv"
FIXED_FILES = (HTML_FILE, JSON_FILE, LEFT_OUT_FILE)
FORMAT = "covidquant-study/1"
_FORMATS = "covidquant-study/"
_LONGEST = 48


@dataclass(frozen=True)
class Drawn:
    """A figure as its files hold it."""

    svg: bytes
    pdf: bytes


def put_study(study: Study, out: OutputFolder, report: Report = silent, *, identify: bool = False) -> list[Path]:
    """Write the files of a study into a set of files that appear together, when its block ends.

    Args:
        study: the results.
        out: where to.
        report: progress; may raise ``Cancelled``.
        identify: whether the list of those left out names patients and exams instead of their hashes.

    Raises:
        OutputError: a file cannot be written, or one of these names there was not written by study.
    """
    names = set(FIXED_FILES)
    drawn: dict[str, Drawn] = {}
    contents: dict[str, Any] = {}
    for number, section in enumerate(study.sections):
        report(0.9 * number / len(study.sections))
        for stem, figure in figure_stems(number, section):
            drawn[stem] = _drawn(figure.draw)
            contents[f"{stem}.svg"], contents[f"{stem}.pdf"] = drawn[stem].svg, drawn[stem].pdf
            contents[f"{stem}.csv"] = figure.records
        for stem, table in table_stems(number, section):
            contents[f"{stem}.csv"] = [list(table.columns), *table.rows]
            if table.records:
                contents[f"{stem}-values.csv"] = table.records
    refuse_others_files(out.path, {*names, *contents})
    for name, content in contents.items():
        out.write(name, partial(_write, content=content))
    who = str if identify else hashed
    rows = [[who(each.patient), who(each.exam), each.reason, each.detail] for each in study.left_out]
    out.write(LEFT_OUT_FILE, lambda path: write_rows(path, [["patient", "exam", "reason", "detail"], *rows]))
    text = html_report(study, {stem: each.svg for stem, each in drawn.items()})
    out.write(HTML_FILE, lambda path: _write(path, text.encode()))
    record = study_record(study, sorted({*names, *contents}))
    out.write(JSON_FILE, lambda path: write_json(path, record))
    report(1.0)
    return [out.path / name for name in (*FIXED_FILES, *contents)]


def figure_stems(number: int, section: Section) -> Iterable[tuple[str, Any]]:
    """Each figure of a section with its file name without the ending."""
    return (
        (f"{number:02d}-figure-{index}-{_slug(figure.title)}", figure)
        for index, figure in enumerate(section.figures, 1)
    )


def table_stems(number: int, section: Section) -> Iterable[tuple[str, Table]]:
    """Each table of a section with its file name without the ending."""
    return (
        (f"{number:02d}-table-{index}-{_slug(table.title)}", table) for index, table in enumerate(section.tables, 1)
    )


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:_LONGEST].rstrip("-") or "untitled"


def _drawn(draw: Any) -> Drawn:
    with look():
        figure = draw()
        svg, pdf = io.BytesIO(), io.BytesIO()
        # Without dates, so that the same tables give the same files.
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return Drawn(svg.getvalue(), pdf.getvalue())


def _write(path: Path, content: Any) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content and isinstance(content[0], Mapping):
        columns = columns_of(content)
        write_rows(path, [columns, *([record.get(column) for column in columns] for record in content)])
    else:
        write_rows(path, content)


def study_record(study: Study, files: Iterable[str]) -> dict[str, Any]:
    """The contents of ``study.json``: everything in full precision, without a date."""
    return {
        "format": FORMAT,
        "software": software_versions() | computing_versions(),
        "title": study.title,
        "sections": [_section_record(section) for section in study.sections],
        "left_out": len(study.left_out),
        "warnings": list(study.warnings),
        "files": list(files),
    }


def _section_record(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "kind": section.kind,
        "rows": list(section.rows),
        "methods": section.methods,
        "left_out": section.left_out,
        "warnings": section.warnings,
        "tables": [
            {"title": table.title, "columns": list(table.columns), "rows": [list(row) for row in table.rows],
             "notes": list(table.notes), "records": list(table.records)}
            for table in section.tables
        ],
        "figures": [{"title": figure.title, "caption": figure.caption} for figure in section.figures],
    }  # fmt: skip


def refuse_others_files(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder in which a file with one of our names was not written by study.

    Raises:
        OutputError: if so (``not-ours``).
    """
    ours = _earlier(folder)
    taken = sorted(name for name in names if (folder / name).exists() and name not in ours)
    if taken:
        more = f" and {len(taken) - 3} more" if len(taken) > 3 else ""
        what = f"{', '.join(taken[:3])}{more} there was not written by study, and would be overwritten"
        raise OutputError(what, str(folder), "Choose another folder, or move it away.", code="not-ours")


def earlier_files(folder: Path) -> set[str]:
    """Files that an earlier study wrote in a folder and that are still there."""
    return {name for name in _earlier(folder) if (folder / name).is_file()}


def _earlier(folder: Path) -> set[str]:
    try:
        record = read_json(folder / JSON_FILE, "")
    except (FileNotFoundError, NotADirectoryError, UnfitInputError):
        return set()
    if not isinstance(record, dict) or not str(record.get("format", "")).startswith(_FORMATS):
        return set()
    return {str(name) for name in record.get("files", []) if Path(str(name)).name == name}
