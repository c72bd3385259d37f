"""``lesions.csv``: a row for each lesion of each pair of exams that was followed, from the record of the comparison."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.followup.lesions.records import COLUMNS

LESIONS_FILE = "lesions.csv"
HEAD = {
    "exam_before": "number of the earlier exam",
    "exam_after": "number of the later exam",
    "compared": "`consecutive`, `from baseline` (the first and the last exam), or both joined by `+`",
    "interval_days": "days between the two",
    "registration": "`good` or `poor`: how well the two exams lie over each other",
}
TAIL = {
    "excluded_exams": "numbers of those of the two exams that their readers excluded from quantification; else empty"
}


def lesion_rows(record: Mapping[str, Any], excluded: Collection[int] = ()) -> Iterator[list[Cell]]:
    """The rows, header first; pairs that could not be registered have none.

    Args:
        record: as :func:`~COVIDQuantLib.followup.lesions.course.follow_lesions` makes it.
        excluded: numbers of the exams that their readers excluded.
    """
    yield [*HEAD, *COLUMNS, *(TAIL if excluded else ())]
    for pair in record["pairs"]:
        if pair["lesions"] is None:
            continue
        kinds, quality = "+".join(pair["compared"]), pair["registration"]["quality"]
        head: list[Cell] = [pair["before"], pair["after"], kinds, pair["interval_days"], quality]
        told = " ".join(str(number) for number in (pair["before"], pair["after"]) if number in excluded)
        for lesion in pair["lesions"]:
            yield [*head, *(lesion[column] for column in COLUMNS), *([told] if excluded else ())]
