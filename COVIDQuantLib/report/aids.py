"""Reading aids in lines: where an exam lies among published figures, as the document ``reading_aids`` says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.report.plain_values import listed, mapping, number

# Of the published groups there is room for these measures of the whole lung.
_OF_GROUPS = ("extent_percent", "ct_score")


def aid_lines(aids: Any) -> Iterator[str]:
    """The published cut-offs, the CT score's conversion, the groups, or whatever else the document says in text.

    Args:
        aids: the document; parts that are missing or of another kind are passed over.
    """
    for one in listed(aids):
        told = mapping(one)
        if told.get("text"):
            yield f"{told['text']}{_source(told)}"
        elif isinstance(one, str):
            yield one
    document = mapping(aids)
    for one in map(mapping, listed(document.get("cut_offs"))):
        value = number(one.get("value"))
        if one.get("what") and value is not None:
            where = f"{value:.1f} {one.get('unit', '')}, {one.get('position', '')}"
            yield f"{one['what']}; this exam: {where}{_source(one)}"
    yield from _conversion(mapping(document.get("ct_score")))
    for one in map(mapping, listed(document.get("groups"))):
        if one.get("region") == WHOLE_LUNG.name and one.get("measure") in _OF_GROUPS and one.get("position"):
            title = MEASURES.named(one["measure"]).title
            group = f"{one.get('group', 'group')} (n {one.get('n', '–')}), published {one.get('published', '–')}"
            yield f"{title}, {group}: {one['position']}{_source(one)}"


def _conversion(score: Mapping[str, Any]) -> Iterator[str]:
    conversion = mapping(score.get("conversion"))
    expected, measured = (number(conversion.get(name)) for name in ("expected_percent", "measured_percent"))
    if expected is not None and measured is not None:
        words = f"CT score {score.get('score', '–')} corresponds to {expected:.1f} % of the lungs"
        yield f"{words}, measured {measured:.1f} %{_source(conversion)}"


def _source(record: Mapping[str, Any]) -> str:
    source = record.get("source")
    return f" ({source})" if isinstance(source, str) and source else ""
