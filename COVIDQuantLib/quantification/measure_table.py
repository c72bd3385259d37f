"""What a measure is, where it has a value and where it is shown; and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import overload

from COVIDQuantLib.quantification.region_counts import RegionCounts


class Scope(Enum):
    """Which voxels a measure needs, from which follows where it has a value."""

    LESION = "lesion"
    """Lesion voxels alone: it has a value outside the lobes too, and the pneumonia's is that of all its voxels."""
    REGION = "region"
    """Every voxel of the region: it has none outside the lobes, and the pneumonia's is that of the whole lung."""
    LOBE = "lobe"
    """Of one lobe: a lung's is the sum over its lobes, and pneumonia by itself has none."""


class View(Flag):
    """Where there is room for some measures only; files and the panel's choice of columns hold every one."""

    NOWHERE = 0
    PANEL = auto()
    """Columns of the panel's table as it first comes up."""
    TERMINAL = auto()
    """Columns of the table of figures and rows of the table of changes on the command line."""
    EXAMS = auto()
    """Columns of the table of a patient's exams on the command line."""
    BRIEF = auto()
    """Where there is room for two: that table on a narrow terminal, and what removing a finding would change."""
    SEGMENTS = auto()
    """Chosen in Slicer's Segment Statistics as it first comes up."""


@dataclass(frozen=True)
class Measure:
    """A column of the metrics table.

    Attributes:
        name: column of ``metrics.csv`` and key in ``metrics.json`` (design.md, contract).
        title: heading for people.
        unit: unit for people; empty for a score.
        formula: definition in one line.
        source: paper row in papers.md.
        of: the value of one region; None where it is undefined.
        scope: which voxels it needs.
        decimals: digits after the point in displays; files carry full precision.
        shown: where there is room for it.
        words: what it is called by itself, beside no other column; the title if empty.
        headline: its place among what the panel says first of the whole lung; None if it is not said there.
        sheet: its place among the figures of the whole lung in the picture's margin; None if it is not there.
        breath_free: whether it hardly changes with how deeply the patient has breathed in.
    """

    name: str
    title: str
    unit: str
    formula: str
    source: str
    of: Callable[[RegionCounts], float | None]
    scope: Scope = Scope.REGION
    decimals: int = 1
    shown: View = View.NOWHERE
    words: str = ""
    headline: int | None = None
    sheet: int | None = None
    breath_free: bool = False

    @property
    def outside(self) -> bool:
        """Whether it has a value for what lies outside every lobe."""
        return self.scope is Scope.LESION

    @property
    def summed_over_lobes(self) -> bool:
        """Whether a lung's value is the sum over its lobes instead of ``of`` its own counts."""
        return self.scope is Scope.LOBE

    @property
    def called(self) -> str:
        """What it is called by itself."""
        return self.words or self.title


class MeasureTable(Sequence[Measure]):
    """The measures in the contract's order; whoever shows or writes figures asks it and names none by hand.

    Args:
        records: the measures.
    """

    def __init__(self, records: Iterable[Measure]) -> None:
        self.records = tuple(records)

    @overload
    def __getitem__(self, index: int) -> Measure: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Measure]: ...

    def __getitem__(self, index: int | slice) -> Measure | Sequence[Measure]:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Measure]:
        return iter(self.records)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(measure.name for measure in self.records)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the table of figures: ``region``, then the measures."""
        return ("region", *self.names)

    def named(self, name: str) -> Measure:
        """The measure of a name.

        Raises:
            KeyError: there is none.
        """
        for measure in self.records:
            if measure.name == name:
                return measure
        raise KeyError(name)

    def shown_in(self, view: View) -> tuple[Measure, ...]:
        """Those for which there is room in a view."""
        return tuple(measure for measure in self.records if measure.shown & view)

    @property
    def headlines(self) -> tuple[Measure, ...]:
        """Those that the panel says first of the whole lung, in that order."""
        return tuple(sorted((m for m in self.records if m.headline is not None), key=lambda m: m.headline or 0))

    @property
    def on_sheet(self) -> tuple[Measure, ...]:
        """Those in the picture's margin, in that order."""
        return tuple(sorted((m for m in self.records if m.sheet is not None), key=lambda m: m.sheet or 0))
