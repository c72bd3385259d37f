"""The figures as a reader sees them: chosen columns in a chosen order, headlines, text for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.quantification.measure_table import Measure, View
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import MetricsTable, Row

# The tooltip says that a density is a mean.
_NARROWER = (("Consolidation", "Consol."), (" mean", ""))
_UNDEFINED = "–"


def chosen_measures(names: Iterable[str]) -> list[Measure]:
    """The measures of some names in the contract's order; the default ones if none of the names is known."""
    wanted = set(names)
    return [measure for measure in MEASURES if measure.name in wanted] or list(MEASURES.shown_in(View.PANEL))


def heading(measure: Measure) -> str:
    """A column's heading with its unit."""
    return f"{measure.title}\n{measure.unit}" if measure.unit else measure.title


def narrow_heading(measure: Measure) -> str:
    """A column's heading with its unit in two lines of like length, for a table in a narrow panel."""
    title = measure.title
    for long, short in _NARROWER:
        title = title.replace(long, short)
    words = [*title.split(), *([measure.unit] if measure.unit else [])]
    splits = [(" ".join(words[:place]), " ".join(words[place:])) for place in range(1, len(words) + 1)]
    return "\n".join(min(splits, key=lambda lines: max(map(len, lines)))).rstrip("\n")


def cell(measure: Measure, value: float | None) -> str:
    """A figure with the digits that mean something; a dash where it is undefined."""
    if value is None:
        return _UNDEFINED
    text = f"{value:.{measure.decimals}f}"
    # A rounded −0.0 reads like a fault.
    return text.removeprefix("-") if float(text) == 0 else text


def sorted_rows(metrics: MetricsTable, column: str = "", *, descending: bool = True) -> list[Row]:
    """The rows in the contract's order, or by a column with what is undefined last.

    Args:
        metrics: the figures.
        column: a measure's name; anything else means the contract's order.
        descending: the highest first.
    """
    rows = list(metrics.rows)
    if column not in MEASURES.names:
        return rows
    defined = [row for row in rows if row[column] is not None]
    undefined = [row for row in rows if row[column] is None]
    return sorted(defined, key=lambda row: _number(row[column]), reverse=descending) + undefined


def _number(value: str | float | None) -> float:
    return float(value) if value is not None else 0.0


def as_text(rows: Sequence[Row], measures: Sequence[Measure]) -> str:
    """Rows for the clipboard: tab between cells, full precision, an undefined figure empty, headings with units."""
    headings = ["region", *(heading(measure).replace("\n", " ") for measure in measures)]
    lines = ["\t".join(headings)]
    for row in rows:
        values = (row[measure.name] for measure in measures)
        lines.append("\t".join([str(row["region"]), *("" if value is None else f"{value}" for value in values)]))
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Headline:
    """One figure of the whole lung, to be read at a glance.

    Attributes:
        title: what it is.
        text: its value with unit.
        explanation: its definition.
    """

    title: str
    text: str
    explanation: str


# The CT score stands third: the total of the lobes, which the table tells once.
_SCORE, _SCORE_PLACE = "ct_score", 3


def headlines(metrics: MetricsTable) -> list[Headline]:
    """The headline values of a patient: extent, weight, CT score, ground glass and consolidation."""
    placed: list[tuple[int, Headline]] = []
    for measure in MEASURES.headlines:
        value = metrics.value(WHOLE_LUNG.name, measure.name)
        text = cell(measure, value) + (f" {measure.unit}" if value is not None else "")
        placed.append((measure.headline or 0, Headline(measure.called, text, measure.formula)))
    score = _UNDEFINED if metrics.ct_score_total is None else f"{metrics.ct_score_total} / 25"
    lobes = f"{metrics.involved_lobes} of 5 lobes involved"
    placed.append((_SCORE_PLACE, Headline("CT score", score, f"{MEASURES.named(_SCORE).formula}; {lobes}")))
    found = [headline for _, headline in sorted(placed, key=lambda one: one[0])]
    if metrics.hellinger_distance is not None:
        text = f"{metrics.hellinger_distance:.2f}"
        found.append(
            Headline("From normal", text, "Hellinger distance of the HU histogram from that of normal lungs, 0 to 1")
        )
    return found
