"""Write a readers' rating into the files of a result folder, all of them or none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.exam_files import PICTURE_FILE, SEGMENTATION_FILE
from COVIDQuantLib.export.reader_records import RATING, ReaderRecords, with_gate
from COVIDQuantLib.export.segmentation_file import retagged
from COVIDQuantLib.export.sheet.gate_line import mark_picture
from COVIDQuantLib.export.table_file import CSV_FILE, JSON_FILE, MetricsFile, read_metrics, write_csv, write_json
from COVIDQuantLib.readers.rating import Rating
from COVIDQuantLib.readers.rating_record import rating_record
from COVIDQuantLib.system.atomic_files import OutputFolder

_MOST_HEADER = 1 << 20
_END_OF_HEADER = b"\n\n"


def rate_result(folder: Path, say: Callable[[MetricsFile], Rating]) -> tuple[Rating, list[Path]]:
    """Write a rating into every file of a result that can carry it; nothing else in them changes.

    Args:
        folder: a result folder with its ``metrics.json``.
        say: given the result's figures, with the rating so far, returns the new rating. The folder is held meanwhile,
            so that two readers who rate at one time cannot lose each other's word.

    Returns:
        The rating, and the files, which were all in the folder before. An image that cannot be read is not among them,
        and stays as it is.

    Raises:
        OutputError: the folder cannot be written, or another job is writing to it; it is unchanged.
        UnfitInputError: ``metrics.json`` cannot be read, or the segmentation's header is damaged
            (``segments-damaged``).
    """
    with OutputFolder(folder) as out:
        read = read_metrics(folder / JSON_FILE)
        rating = say(read)
        told = ReaderRecords(rating, read.readers.edits).as_record()
        record = _with_rating(read, rating)
        written = [JSON_FILE]
        out.write(JSON_FILE, lambda path: write_json(path, record))
        if (folder / CSV_FILE).exists():
            out.write(CSV_FILE, lambda path: write_csv(path, read.metrics, read.grade, told))
            written.append(CSV_FILE)
        segmentation = folder / SEGMENTATION_FILE
        if segmentation.exists():
            out.write(SEGMENTATION_FILE, lambda path: _retag(segmentation, path, told))
            written.append(SEGMENTATION_FILE)
        if (folder / PICTURE_FILE).exists() and _marked(folder / PICTURE_FILE, out, rating):
            written.append(PICTURE_FILE)
    return rating, [folder / name for name in written]


def _with_rating(read: MetricsFile, rating: Rating) -> dict[str, Any]:
    """The file's entries with the rating in its place, before the counts."""
    record = {key: value for key, value in read.record.items() if key not in {RATING, "histogram"}}
    warnings = record.get("warnings")
    record["warnings"] = with_gate(warnings if isinstance(warnings, list) else [], rating, read.identity)
    return {**record, RATING: rating_record(rating), "histogram": read.record["histogram"]}


def _marked(picture: Path, out: OutputFolder, rating: Rating) -> bool:
    """Put the verdict above the overview image; whether that could be done."""
    made = out.staging / f"marked-{picture.name}"
    try:
        mark_picture(picture, made, rating)
    except (ImportError, OSError, ValueError, SyntaxError):
        return False
    out.write(picture.name, lambda path: shutil.copyfile(made, path))
    return True


def _retag(source: Path, target: Path, records: dict[str, Any]) -> None:
    """Copy a segmentation with another header; the voxels stay as they are packed."""
    with source.open("rb") as file:
        start = file.read(_MOST_HEADER)
        end = start.find(_END_OF_HEADER)
        try:
            if end < 0:
                raise ValueError("its header has no end")  # noqa: TRY301 - told with the others
            header = retagged(start[:end], records)
        except ValueError as error:
            what = f"the readers' rating cannot be stored in it ({error})"
            remedy = "Save the segmentation again in Slicer."
            raise UnfitInputError(what, str(source), remedy, code="segments-damaged") from error
        file.seek(end)
        with target.open("wb") as copy:
            copy.write(header)
            shutil.copyfileobj(file, copy, 1 << 20)
