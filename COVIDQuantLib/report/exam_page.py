"""The page of one exam: what stands on it, ready for the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from COVIDQuantLib.anatomy import LOBES, WHOLE_LUNG
from COVIDQuantLib.grades import Grade, finding_line, findings_of
from COVIDQuantLib.quantification.measure_table import Measure
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.presentation import cell, headlines
from COVIDQuantLib.quantification.table import MetricsTable
from COVIDQuantLib.report.documents import Note, exclusion_of, notes_of
from COVIDQuantLib.report.exam_pictures import ExamPictures
from COVIDQuantLib.report.identity import ReportIdentity, shortened
from COVIDQuantLib.report.methods import identity_lines, input_line, methods_sentence
from COVIDQuantLib.report.pictures.slices import window_text
from COVIDQuantLib.report.subject import Subject

_LONGEST_LINE = 230
ALARM, LOOK = "alarm", "look"


@dataclass(frozen=True)
class Room:
    """How many lines there is room for.

    Attributes:
        reasons: below a banner.
        findings: of checks and warnings.
        notes: of each note.
    """

    reasons: int
    findings: int
    notes: int


# The second for an exam with so much to say that even the smallest print would not fit the page.
AMPLE, SCARCE = Room(4, 6, 8), Room(2, 3, 3)


@dataclass(frozen=True)
class Banner:
    """What has to be read before anything else.

    Attributes:
        kind: :data:`ALARM` or :data:`LOOK`.
        title: in one line.
        lines: the reasons.
    """

    kind: str
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tile:
    """One headline figure: its name, its value with unit, its definition."""

    title: str
    text: str
    explanation: str


@dataclass(frozen=True)
class TableRow:
    """One region of the table.

    Attributes:
        region: its name.
        kind: ``lung``, ``lobe`` or ``rest``.
        cells: the figures, in the order of the measures.
        short: abbreviation of a lobe, as the pictures have it.
        colour: of a lobe, as CSS writes it.
    """

    region: str
    kind: str
    cells: tuple[str, ...]
    short: str = ""
    colour: str = ""


@dataclass(frozen=True)
class ExamPage:
    """Everything on the page of one exam.

    Attributes:
        title: what the page is about.
        identity: of the patient; empty unless it was asked for.
        banners: the worst first.
        tiles: headline figures.
        pictures: slices, views and charts.
        slices_note: the line below the slices, or why there are none.
        measures: columns of the table.
        rows: its rows.
        findings: checks below sound, and the other warnings; with the number of those left out.
        unremarkable: what to say where there are none.
        notes: of the readers, and reading aids.
        methods: the sentence to cite.
        facts: lines about the CT, models and versions.
    """

    title: str
    identity: ReportIdentity | None
    banners: tuple[Banner, ...]
    tiles: tuple[Tile, ...]
    pictures: ExamPictures
    slices_note: str
    measures: tuple[Measure, ...]
    rows: tuple[TableRow, ...]
    findings: tuple[str, ...]
    unremarkable: str
    notes: tuple[Note, ...]
    methods: str
    facts: tuple[str, ...] = field(default=())


def exam_page(
    subject: Subject,
    pictures: ExamPictures,
    title: str,
    identity: ReportIdentity | None = None,
    room: Room = AMPLE,
) -> ExamPage:
    """The page of one exam.

    Args:
        subject: the exam.
        pictures: of it.
        title: what it is, e.g. ``Exam 3 of 3``.
        identity: of the patient; None to name nobody.
        room: for what comes in lines; each list ends with how many more there are.
    """
    metrics = subject.metrics
    return ExamPage(
        title,
        identity,
        banners_of(subject, room),
        _tiles(subject),
        pictures,
        _slices_note(subject),
        tuple(MEASURES),
        table_rows(metrics),
        tuple(_findings(subject, room)),
        "No check and no warning stands out."
        if subject.grade
        else "The result was not checked; there are no warnings.",
        tuple(replace(note, lines=tuple(limited(note.lines, room.notes))) for note in notes_of(subject.record)),
        methods_sentence(subject.record, metrics.thresholds),
        tuple(filter(None, (_labelled("CT", input_line(subject.record)), *identity_lines(subject.record)))),
    )


def banners_of(subject: Subject, room: Room = AMPLE) -> tuple[Banner, ...]:
    """What stands above all else: not usable, excluded by readers, to be looked at, not checked."""
    found = []
    excluded = exclusion_of(subject.record)
    if excluded:
        found.append(Banner(ALARM, shortened(excluded)))
    grade = subject.grade
    if grade is Grade.UNUSABLE:
        reasons = [check for check in findings_of(subject.checks) if check.grade is Grade.UNUSABLE]
        lines = limited([_finding(check.region, finding_line(check)) for check in reasons], room.reasons)
        found.append(Banner(ALARM, "NOT USABLE: do not rely on these figures", tuple(lines)))
    elif grade is Grade.LOOK:
        count = len(findings_of(subject.checks))
        what = "a finding asks" if count == 1 else f"{count} findings ask"
        found.append(Banner(LOOK, f"Look at this: {what} for a reader's eye before the figures are used"))
    elif grade is None:
        found.append(Banner(LOOK, "Not checked: nothing is known about the soundness of this result"))
    if not subject.metrics.value(WHOLE_LUNG.name, "volume_ml"):
        found.append(Banner(ALARM, "There are no lungs in this result"))
    else:
        absent = [lobe.name for lobe in LOBES if not subject.metrics.value(lobe.name, "volume_ml")]
        if absent:
            found.append(Banner(LOOK, f"Not in this result: {', '.join(absent)}"))
    return tuple(sorted(found, key=lambda banner: banner.kind != ALARM))


def _tiles(subject: Subject) -> tuple[Tile, ...]:
    tiles = [Tile(one.title, minus(one.text), one.explanation) for one in headlines(subject.metrics)]
    grade = subject.grade
    tiles.append(Tile("Checks", grade.text if grade else "not checked", "worst grade of the plausibility checks"))
    return tuple(tiles)


def table_rows(metrics: MetricsTable) -> tuple[TableRow, ...]:
    """The whole table, with a dash where a figure is undefined."""
    lobes = {lobe.name: lobe for lobe in LOBES}
    rows = []
    for row in metrics.rows:
        name = str(row["region"])
        cells = tuple(minus(cell(measure, metrics.value(name, measure.name))) for measure in MEASURES)
        lobe = lobes.get(name)
        if lobe is not None:
            colour = "#" + "".join(f"{round(255 * channel):02x}" for channel in lobe.colour)
            rows.append(TableRow(name, "lobe", cells, lobe.short, colour))
        else:
            rows.append(TableRow(name, "lung" if name == WHOLE_LUNG.name else "rest", cells))
    return tuple(rows)


def minus(text: str) -> str:
    """The text with a true minus sign before a number."""
    return f"−{text[1:]}" if text.startswith("-") else text


def limited(lines: Sequence[str], most: int) -> list[str]:
    """At most so many printable lines of limited length; the last one then says how many more there are."""
    lines = ["".join(letter if letter.isprintable() else " " for letter in line) for line in lines]
    kept = [line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…" for line in lines]
    return kept if len(kept) <= most else [*kept[: most - 1], f"and {len(kept) - most + 1} more in metrics.json"]


def _findings(subject: Subject, room: Room) -> list[str]:
    checks = [
        f"{check.grade.text}: {_finding(check.region, finding_line(check))} [{check.code}]"
        for check in findings_of(subject.checks)
    ]
    entries = subject.record.get("warnings", ())
    warnings = [" ".join(f"warning: {entry['message']} [{entry['code']}]".split()) for entry in entries]
    missing = [f"this report: {warning.message} [{warning.code}]" for warning in subject.missing]
    return [*missing, *limited([*checks, *warnings], room.findings)]


def _finding(region: str, text: str) -> str:
    return f"{region}: {text}" if region else text


def _labelled(name: str, text: str) -> str:
    return f"{name}: {text}" if text else ""


def _slices_note(subject: Subject) -> str:
    if not subject.metrics.value(WHOLE_LUNG.name, "volume_ml"):
        return "No slices: there are no lungs to show."
    if subject.ct is None:
        return "Slices and figures as quantify drew them." if subject.sheet else "No slices: the CT is not at hand."
    ill = subject.metrics.value(WHOLE_LUNG.name, "lesion_volume_ml")
    which = "with the most pneumonia" if ill else "with the most lung"
    return (
        "Lobes outlined in their colours; pneumonia outlined in white, blue where it is ground glass, orange with a "
        f"dotted line where it is consolidation; {window_text()}. Each slice is the one of its plane {which}."
    )
