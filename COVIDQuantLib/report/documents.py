"""What readers have added to a result, in words: rating, edit record and reading aids, as ``metrics.json`` holds them.

The documents are other rooms' to define and check; here they are shown as far as they are understood, and a part that
is missing or of another kind is passed over: a report must not fail because of a note in the margin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from COVIDQuantLib.report.identity import shortened

RATING, EDITS, AIDS = "rating", "edit_record", "reading_aids"
_EXCLUDED = "excluded"
_EVERYWHERE = "everywhere"
_SECONDS = 60


@dataclass(frozen=True)
class Note:
    """A short text under a heading of its own.

    Attributes:
        title: the heading.
        lines: sentences.
        source: where its rules are from; may be empty.
    """

    title: str
    lines: tuple[str, ...]
    source: str = ""


def notes_of(record: Mapping[str, Any]) -> list[Note]:
    """The notes of an exam: readers' rating, edits, reading aids; those that the record has."""
    found = (_rating(_mapping(record.get(RATING))), _edits(record), _aids(record.get(AIDS)))
    return [note for note in found if note is not None]


def exclusion_of(record: Mapping[str, Any]) -> str:
    """Why readers have excluded the exam from quantification; empty if they have not."""
    rating = _mapping(record.get(RATING))
    verdict = str(rating.get("verdict", ""))
    if not verdict.startswith(_EXCLUDED):
        return ""
    mean = _number(rating.get("mean"))
    least = _number(_mapping(rating.get("scale")).get("adequate_from"))
    because = f": mean rating {mean:.1f}" if mean is not None else ""
    below = f", below {least:g}" if because and least is not None else ""
    return f"{verdict[:1].upper()}{verdict[1:]} by the readers{because}{below}"


def _rating(rating: Mapping[str, Any]) -> Note | None:
    if not rating:
        return None
    scale = _mapping(rating.get("scale"))
    lines = [shortened(f"Verdict: {rating.get('verdict', 'not rated')}")]
    mean, highest = _number(rating.get("mean")), _number(scale.get("highest"))
    if mean is not None:
        lines[0] += f"; mean {mean:.1f}{f' of {highest:g}' if highest is not None else ''}"
    rounds = _listed(rating.get("rounds"))
    current = _listed(_mapping(rounds[-1]).get("readers")) if rounds else ()
    lines.extend(_reader(_mapping(said)) for said in current)
    return Note("Readers' rating", tuple(lines), shortened(str(scale.get("source", ""))))


def _reader(said: Mapping[str, Any]) -> str:
    name = shortened(str(said.get("reader", "")))
    scores = _listed(said.get("scores"))
    # A score that waits for the second reader is sealed.
    if not scores:
        return f"{name}: has rated, not shown before the second reader has"
    last = _mapping(scores[-1])
    comment = shortened(str(last.get("comment", "")))
    when = str(last.get("time", ""))[:10]
    return f"{name}: {last.get('score', '–')}{f' ({when})' if when else ''}{f': {comment}' if comment else ''}"


def _edits(record: Mapping[str, Any]) -> Note | None:
    edits = _mapping(record.get(EDITS))
    if not edits:
        return _review(_mapping(_mapping(record.get("segmentation")).get("review")))
    if edits.get("edited") is False:
        return Note("Edits", ("The result of the AI was not edited.",))
    reader = shortened(str(edits.get("reader", "")))
    seconds = _number(edits.get("active_seconds"))
    by = f" by {reader}" if reader else ""
    spent = f" in {_duration(seconds)} of work" if seconds else ""
    lines = [f"The result of the AI was edited{by}{spent}.", *_changes(edits), *_figures(edits)]
    removed = _listed(edits.get("removed_as_artefact"))
    if removed:
        volume = sum(_number(_mapping(part).get("volume_ml")) or 0.0 for part in removed)
        parts = "1 part" if len(removed) == 1 else f"{len(removed)} parts"
        lines.append(f"Removed as artefact: {parts} of the pneumonia, {volume:.1f} mL.")
    return Note("Edits", tuple(lines))


def _changes(edits: Mapping[str, Any]) -> Iterator[str]:
    for row in map(_mapping, _listed(edits.get("changes"))):
        added, removed = _number(row.get("lesion_added_ml")), _number(row.get("lesion_removed_ml"))
        if row.get("region") == _EVERYWHERE and added is not None and removed is not None:
            dice = _number(row.get("lesion_dice"))
            agreed = f"; Dice of AI and final {dice:.3f}" if dice is not None else ""
            yield f"Pneumonia: {added:.1f} mL added, {removed:.1f} mL removed{agreed}."


def _figures(edits: Mapping[str, Any]) -> Iterator[str]:
    """The headline figures before and after, of the first row: the whole lung."""
    before, after = (_listed(edits.get(name)) for name in ("figures_before", "figures_after"))
    if not before or not after:
        return
    told = []
    for name, words, unit in (("extent_percent", "extent", "%"), ("weight_g", "weight", "g")):
        values = [_number(_mapping(rows[0]).get(name)) for rows in (before, after)]
        if values[0] is not None and values[1] is not None:
            told.append(f"{words} {values[0]:.1f} → {values[1]:.1f} {unit}")
    if told:
        yield f"Before → after: {', '.join(told)}."


def _review(review: Mapping[str, Any]) -> Note | None:
    """What the review in Slicer says by itself, where there is no edit record."""
    figures = review.get("figures")
    return Note("Review", (shortened(f"Figures: {figures}."),)) if isinstance(figures, str) else None


def _aids(aids: Any) -> Note | None:
    """Reading aids, whatever their form: texts, or facts by name."""
    lines = [line for line in _told(aids) if line]
    return Note("Reading aids from the literature, not a diagnosis", tuple(lines)) if lines else None


def _told(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        parts = {key: item for key, item in value.items() if not isinstance(item, (Mapping, list, tuple))}
        if "text" in parts:
            source = f" ({parts['source']})" if parts.get("source") else ""
            yield shortened(f"{parts['text']}{source}")
        elif parts and (name or len(parts) == len(value)):
            facts = ", ".join(f"{str(key).replace('_', ' ')} {_written(item)}" for key, item in parts.items())
            yield shortened(f"{name.replace('_', ' ')}: {facts}" if name else facts)
        for key, item in value.items():
            if isinstance(item, (Mapping, list, tuple)):
                yield from _told(item, str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _told(item, name)
    elif value is not None:
        yield shortened(f"{name.replace('_', ' ')}: {_written(value)}" if name else _written(value))


def _written(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _SECONDS else f"{seconds / _SECONDS:.0f} min"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
