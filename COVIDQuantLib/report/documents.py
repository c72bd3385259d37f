"""What readers have added to a result, in words: rating, edit record and reading aids, as ``metrics.json`` holds them.

The documents are other rooms' to define and check; here they are shown as far as they are understood, and a part that
is missing or of another kind is passed over: a report must not fail because of a note in the margin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from COVIDQuantLib.report.aids import aid_lines
from COVIDQuantLib.report.identity import shortened
from COVIDQuantLib.report.plain_values import listed, mapping, number

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
        wide: whether it takes the width of the page instead of a column.
    """

    title: str
    lines: tuple[str, ...]
    source: str = ""
    wide: bool = False


def notes_of(record: Mapping[str, Any]) -> list[Note]:
    """The notes of an exam: readers' rating, edits, reading aids; those that the record has."""
    found = (_rating(mapping(record.get(RATING))), _edits(record), _aids(record.get(AIDS)))
    return [note for note in found if note is not None]


def exclusion_of(record: Mapping[str, Any]) -> str:
    """Why readers have excluded the exam from quantification; empty if they have not."""
    rating = mapping(record.get(RATING))
    verdict = str(rating.get("verdict", ""))
    if not verdict.startswith(_EXCLUDED):
        return ""
    mean = number(rating.get("mean"))
    least = number(mapping(rating.get("scale")).get("adequate_from"))
    because = f": mean rating {mean:.1f}" if mean is not None else ""
    below = f", below {least:g}" if because and least is not None else ""
    return f"{verdict[:1].upper()}{verdict[1:]} by the readers{because}{below}"


def _rating(rating: Mapping[str, Any]) -> Note | None:
    if not rating:
        return None
    scale = mapping(rating.get("scale"))
    lines = [shortened(f"Verdict: {rating.get('verdict', 'not rated')}")]
    mean, highest = number(rating.get("mean")), number(scale.get("highest"))
    if mean is not None:
        lines[0] += f"; mean {mean:.1f}{f' of {highest:g}' if highest is not None else ''}"
    lines.extend(_readers(listed(rating.get("rounds"))))
    return Note("Readers' rating", tuple(lines), shortened(str(scale.get("source", ""))))


def _readers(rounds: Sequence[Any]) -> Iterator[str]:
    """What the readers said in the last round that both have finished, and who has spoken in the open one."""
    spoken = [listed(mapping(one).get("readers")) for one in rounds]
    finished = [readers for readers in spoken if all(mapping(said).get("scores") for said in readers)]
    for said in finished[-1] if finished else ():
        yield _reader(mapping(said))
    if spoken and (not finished or spoken[-1] is not finished[-1]):
        for said in spoken[-1]:
            name = shortened(str(mapping(said).get("reader", "")))
            yield f"{name}: has rated, not shown before the second reader has"


def _reader(said: Mapping[str, Any]) -> str:
    name = shortened(str(said.get("reader", "")))
    scores = listed(said.get("scores")) or [{}]
    last = mapping(scores[-1])
    comment = shortened(str(last.get("comment", "")))
    when = str(last.get("time", ""))[:10]
    return f"{name}: {last.get('score', '–')}{f' ({when})' if when else ''}{f': {comment}' if comment else ''}"


def _edits(record: Mapping[str, Any]) -> Note | None:
    edits = mapping(record.get(EDITS))
    if not edits:
        return _review(mapping(mapping(record.get("segmentation")).get("review")))
    if edits.get("edited") is False:
        return Note("Edits", ("The result of the AI was not edited.",))
    reader = shortened(str(edits.get("reader", "")))
    seconds = number(edits.get("active_seconds"))
    by = f" by {reader}" if reader else ""
    spent = f" in {_duration(seconds)} of work" if seconds else ""
    lines = [f"The result of the AI was edited{by}{spent}.", *_changes(edits), *_figures(edits)]
    removed = listed(edits.get("removed_as_artefact"))
    if removed:
        volume = sum(number(mapping(part).get("volume_ml")) or 0.0 for part in removed)
        parts = "1 part" if len(removed) == 1 else f"{len(removed)} parts"
        lines.append(f"Removed as artefact: {parts} of the pneumonia, {volume:.1f} mL.")
    return Note("Edits", tuple(lines))


def _changes(edits: Mapping[str, Any]) -> Iterator[str]:
    for row in map(mapping, listed(edits.get("changes"))):
        added, removed = number(row.get("lesion_added_ml")), number(row.get("lesion_removed_ml"))
        if row.get("region") == _EVERYWHERE and added is not None and removed is not None:
            dice = number(row.get("lesion_dice"))
            agreed = f"; Dice of AI and final {dice:.3f}" if dice is not None else ""
            yield f"Pneumonia: {added:.1f} mL added, {removed:.1f} mL removed{agreed}."


def _figures(edits: Mapping[str, Any]) -> Iterator[str]:
    """The headline figures before and after, of the first row: the whole lung."""
    before, after = (listed(edits.get(name)) for name in ("figures_before", "figures_after"))
    if not before or not after:
        return
    told = []
    for name, words, unit in (("extent_percent", "extent", "%"), ("weight_g", "weight", "g")):
        values = [number(mapping(rows[0]).get(name)) for rows in (before, after)]
        if values[0] is not None and values[1] is not None:
            told.append(f"{words} {values[0]:.1f} → {values[1]:.1f} {unit}")
    if told:
        yield f"Before → after: {', '.join(told)}."


def _review(review: Mapping[str, Any]) -> Note | None:
    """What the review in Slicer says by itself, where there is no edit record."""
    figures = review.get("figures")
    return Note("Review", (shortened(f"Figures: {figures}."),)) if isinstance(figures, str) else None


def _aids(aids: Any) -> Note | None:
    lines = tuple(filter(None, map(shortened, aid_lines(aids))))
    notice = shortened(str(mapping(aids).get("notice", "")))
    return Note("Reading aids from the literature, not a diagnosis", lines, notice, wide=True) if lines else None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _SECONDS else f"{seconds / _SECONDS:.0f} min"
