"""Write every made cohort as CSV: ``python -m COVIDQuantLib.simulation.cohorts.write FOLDER``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from COVIDQuantLib.export.csv_file import write_rows
from COVIDQuantLib.quantification.time_courses import curve_named
from COVIDQuantLib.simulation.cohorts import changsha, huang, pan, serial, yoo

Row = dict[str, Any]


def _serial(place: int) -> list[Row]:
    return serial.tables()[place]


TABLES: dict[str, Callable[[], list[Row]]] = {
    "huang_metrics.csv": lambda: huang.exams()[0],
    "huang_clinical.csv": lambda: huang.exams()[1],
    "huang_course.csv": lambda: pan.along(curve_named("huang-2a"), 100, 3, 0.4),
    "pan_times.csv": pan.times,
    "pan_scans.csv": pan.scans,
    "pan_courses.csv": pan.courses,
    "changsha_severity.csv": changsha.severity,
    "changsha_progression.csv": changsha.progression,
    **{f"yoo_{name.lower()}.csv": partial(yoo.evaluation, name) for name in yoo.TABLE_1},
    **{f"{name}.csv": partial(_serial, place) for place, name in enumerate(("metrics", "exams", "clinical"))},
    "yoo_japan.csv": yoo.visual_scores,
    "yoo_symptoms.csv": lambda: yoo.risk("symptoms"),
    "yoo_outcome.csv": lambda: yoo.risk("outcome"),
}


def write_tables(folder: Path, names: Sequence[str] = tuple(TABLES)) -> None:
    """Write made cohorts.

    Args:
        folder: made if it is not there.
        names: keys of ``TABLES``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        rows = TABLES[name]()
        columns = list(dict.fromkeys(column for row in rows for column in row))
        write_rows(folder / name, [columns, *([row.get(column) for column in columns] for row in rows)])


def main() -> None:
    """Write all of them into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the tables go")
    write_tables(parser.parse_args().folder)


if __name__ == "__main__":
    main()
