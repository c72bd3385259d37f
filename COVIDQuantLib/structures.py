"""Structures that a mask, segment or file can hold besides our own regions, and their names in other programs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from COVIDQuantLib.anatomy import LESION, LOBES

RIGHT_LUNG, LEFT_LUNG, LUNGS = "right lung", "left lung", "lungs"
PNEUMONIA = LESION.name
AERATED = "aerated lung"
AIRWAYS, VESSELS = "airways", "vessels"

LOBE_NAMES: tuple[str, ...] = tuple(lobe.name for lobe in LOBES)
LABEL_OF_LOBE: dict[str, int] = {lobe.name: lobe.label for lobe in LOBES}
# Structures that are lung tissue; pneumonia lies within, airways do not count.
SIDE_OF: dict[str, str] = {
    **{lobe.name: lobe.side for lobe in LOBES},
    RIGHT_LUNG: "right",
    LEFT_LUNG: "left",
}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SHORT = {lobe.short.lower(): lobe.name for lobe in LOBES}
_SIDES = {"right": "right", "rt": "right", "r": "right", "left": "left", "lt": "left", "l": "left"}
_LEVELS = {
    **dict.fromkeys(("upper", "superior", "sup", "u"), "upper"),
    **dict.fromkeys(("middle", "mid", "medium", "m"), "middle"),
    **dict.fromkeys(("lower", "inferior", "inf"), "lower"),
}
# Words that do not identify a structure.
_FILLERS = _set("of the and mask label labels seg segment segmentation pulmonary structure region roi final")
_DENIALS = {"non", "not", "no", "without", "minus", "except", "excluding"}
_LUNG_WORDS = {"lung", "lungs", "lungmask"}
_LOBE_WORDS = {"lobe", "lobes"}
_WORDS: tuple[tuple[str, frozenset[str]], ...] = (
    (AIRWAYS, _set("airway airways trachea bronchus bronchi bronchia bronchial tree tracheobronchial main")),
    (VESSELS, _set("vessel vessels vasculature artery arteries vein veins vascular")),
    (AERATED, _set("aerated inflated emphysema emphysematous healthy normal ventilated hyperinflated")),
    (
        PNEUMONIA,
        _set(
            "pneumonia covid covid19 infection infected infiltrate infiltrates infiltrated infiltration infiltrations "
            "consolidation consolidations consolidated ggo ggos ground glass opacity opacities lesion lesions "
            "collapsed disease"
        ),
    ),
)
# These alone never identify a structure.
_WEAK = {"main", "tree", "disease"}
_MAX_NAME = 80


def plain(name: str, most: int = _MAX_NAME) -> str:
    """A name from a file as one short line: no control characters, no runs of spaces, at most ``most`` characters."""
    kept = "".join(" " if c.isspace() else c for c in name if c.isspace() or unicodedata.category(c)[0] != "C")
    short = " ".join(kept.split())
    return short if len(short) <= most else short[: most - 1] + "…"


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names joined by commas: the first few, and the number of others."""
    shown = [plain(name) for name in names]
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more} more" if more > 0 else "")


def structure_named(name: str) -> str | None:
    """Identify a structure by a segment's or file's name, in the usual spellings of several programs.

    Args:
        name: e.g. ``RUL``, ``right upper lobe``, ``lung_upper_lobe_right``, ``Infiltrated``.

    Returns:
        A lobe's name, ``right lung``, ``left lung``, ``lungs``, ``pneumonia``, ``aerated lung``, ``airways``,
        ``vessels``, or None if it names none of these or several.
    """
    words = _words(name)
    if set(words) & _DENIALS:
        return None
    shorts = {_SHORT[word] for word in words if word in _SHORT}
    rest = [word for word in words if word not in _SHORT and word not in _FILLERS]
    if shorts:
        return shorts.pop() if len(shorts) == 1 and not set(rest) - _LUNG_WORDS - _LOBE_WORDS else None
    return _part_of_lung(rest) or _word_of(rest)


def _words(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.findall(r"[^\W\d_]+\d*", parted.lower())
    return [word if word == "covid19" else word.rstrip("0123456789") for word in words]


def _part_of_lung(words: list[str]) -> str | None:
    """A lobe, a lung or the lungs, if every word fits."""
    sides = {_SIDES[word] for word in words if word in _SIDES}
    levels = {_LEVELS[word] for word in words if word in _LEVELS}
    nouns = set(words) & (_LUNG_WORDS | _LOBE_WORDS)
    others = set(words) - set(_SIDES) - set(_LEVELS) - nouns - {"both", "whole", "all"}
    if others or len(sides) > 1 or len(levels) > 1 or not (nouns or (sides and levels)):
        return None
    side, level = next(iter(sides), ""), next(iter(levels), "")
    if level == "middle" and side != "left":
        return LOBE_NAMES[1]
    if level:
        lobe = f"{side} {level} lobe"
        return lobe if lobe in LABEL_OF_LOBE else None
    if nouns & _LOBE_WORDS and not nouns & _LUNG_WORDS:
        return None
    return {"right": RIGHT_LUNG, "left": LEFT_LUNG, "": LUNGS}[side]


def _word_of(words: list[str]) -> str | None:
    """The structure that the words name, ignoring sides and other words; None if they name two."""
    found = {what for what, known in _WORDS if set(words) & (known - _WEAK)}
    return found.pop() if len(found) == 1 else None
