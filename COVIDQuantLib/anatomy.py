"""The one place that knows the regions: label values, names, colours, terminology codes.

Every table, picture, segment and document loops over these records; none names a lobe by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.sr.coding import Code as DicomCode

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Code:
    """A coded concept as DICOM writes it: scheme designator, value, meaning.

    A class of our own because ``pydicom.sr`` loads every code of DICOM's context groups when it is imported (0.25 s),
    and this module is imported by everything. ``as_dicom`` gives pydicom's class where DICOM is written.
    """

    scheme: str
    value: str
    meaning: str

    def as_dicom(self) -> DicomCode:
        """The same code for pydicom and highdicom."""
        from pydicom.sr.coding import Code as DicomCode

        return DicomCode(self.value, self.scheme, self.meaning)


@dataclass(frozen=True)
class Terminology:
    """What a segment is, in the fields of Slicer's terminology entry."""

    category: Code
    type: Code
    modifier: Code | None = None
    region: Code | None = None


@dataclass(frozen=True)
class Lobe:
    """A lobe of a lung.

    Attributes:
        label: value in every label map (design.md, contract).
        name: name of its row and segment.
        short: radiologists' abbreviation.
        segment_id: ID of its segment in a segmentation node or file.
        side: ``right`` or ``left``.
        colour: RGB 0..1, told apart also by the colour-blind.
        terminology: SNOMED CT codes.
    """

    label: int
    name: str
    short: str
    segment_id: str
    side: str
    colour: Colour
    terminology: Terminology


@dataclass(frozen=True)
class Region:
    """A row of the metrics table: a set of label values counted together, everywhere or within a zone.

    Attributes:
        name: the row's name in the contract.
        labels: lobe label values it holds; ``(0,)`` is what lies outside every lobe.
        is_lobe: whether it is one lobe (has a CT score of its own, not a sum).
        zone: name of the zone (``quantification/zones.py``) within which its labels count; empty for all of them.
    """

    name: str
    labels: tuple[int, ...]
    is_lobe: bool = False
    zone: str = ""


ANATOMICAL_STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
MORPHOLOGICALLY_ALTERED = Code("SCT", "49755003", "Morphologically Altered Structure")
RIGHT = Code("SCT", "24028007", "Right")
LEFT = Code("SCT", "7771000", "Left")
UPPER_LOBE = Code("SCT", "45653009", "Upper lobe of lung")
MIDDLE_LOBE = Code("SCT", "72481006", "Middle lobe of right lung")
LOWER_LOBE = Code("SCT", "90572001", "Lower lobe of lung")
LUNG = Code("SCT", "39607008", "Lung")
INFILTRATE = Code("SCT", "47351003", "Infiltrate")
COVID_19 = Code("SCT", "840539006", "COVID-19")

# Bright on dark lungs, and apart from each other and from the pneumonia in every kind of colour blindness
# (Testing/export/test_colours_apart.py).
_LOBES = (
    (1, "right upper lobe", "RUL", "right", UPPER_LOBE, (0.60, 0.33, 1.00)),
    (2, "right middle lobe", "RML", "right", MIDDLE_LOBE, (0.93, 0.87, 0.53)),
    (3, "right lower lobe", "RLL", "right", LOWER_LOBE, (0.75, 0.95, 0.15)),
    (4, "left upper lobe", "LUL", "left", UPPER_LOBE, (1.00, 0.67, 0.73)),
    (5, "left lower lobe", "LLL", "left", LOWER_LOBE, (0.10, 0.57, 0.42)),
)

LOBES: tuple[Lobe, ...] = tuple(
    Lobe(
        label,
        name,
        short,
        name.replace(" ", "_"),
        side,
        colour,
        Terminology(ANATOMICAL_STRUCTURE, code, RIGHT if side == "right" else LEFT),
    )
    for label, name, short, side, code, colour in _LOBES
)
OUTSIDE_LABEL = 0
LABEL_COUNT = 1 + len(LOBES)


# The lungs, and their values in a map that knows right from left: the patient's right and left.
SIDE_VALUE: dict[str, int] = {"right": 1, "left": 2}
SIDES: tuple[str, ...] = tuple(SIDE_VALUE)


def labels_of_side(side: str) -> tuple[int, ...]:
    """Label values of the lobes of the ``right`` or ``left`` lung."""
    return tuple(lobe.label for lobe in LOBES if lobe.side == side)


OBLIQUE, HORIZONTAL = "oblique", "horizontal"


@dataclass(frozen=True)
class Fissure:
    """A border between lobes of one lung.

    Attributes:
        name: its name, as in the atlas of the fissures.
        kind: ``oblique`` or ``horizontal``.
        side: the lung, ``right`` or ``left``.
        above: label values of the lobes above it (and in front of it), the uppermost first.
        below: of those below it.
        ends_at: name of the fissure at which it ends within the lung; empty if it runs through the whole lung.
    """

    name: str
    kind: str
    side: str
    above: tuple[int, ...]
    below: tuple[int, ...]
    ends_at: str = ""

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Every two lobes that it parts, the upper one first."""
        return tuple((upper, lower) for upper in self.above for lower in self.below)


FISSURES: tuple[Fissure, ...] = (
    Fissure("right oblique", OBLIQUE, "right", (1, 2), (3,)),
    Fissure("right horizontal", HORIZONTAL, "right", (1,), (2,), ends_at="right oblique"),
    Fissure("left oblique", OBLIQUE, "left", (4,), (5,)),
)
FISSURE: dict[str, Fissure] = {fissure.name: fissure for fissure in FISSURES}


WHOLE_LUNG = Region("whole lung", tuple(lobe.label for lobe in LOBES))
OUTSIDE_LOBES = Region("outside lobes", (OUTSIDE_LABEL,))
REGIONS: tuple[Region, ...] = (
    WHOLE_LUNG,
    Region("right lung", labels_of_side("right")),
    Region("left lung", labels_of_side("left")),
    *(Region(lobe.name, (lobe.label,), is_lobe=True) for lobe in LOBES),
    OUTSIDE_LOBES,
)


@dataclass(frozen=True)
class LesionKind:
    """The pneumonia as a segment of its own.

    Attributes:
        name: name of the segment.
        segment_id: ID of its segment.
        colour: RGB 0..1.
        terminology: SNOMED CT codes.
    """

    name: str
    segment_id: str
    colour: Colour
    terminology: Terminology


LESION = LesionKind(
    "pneumonia",
    "pneumonia",
    (0.90, 0.30, 0.10),
    Terminology(MORPHOLOGICALLY_ALTERED, INFILTRATE, COVID_19, LUNG),
)
