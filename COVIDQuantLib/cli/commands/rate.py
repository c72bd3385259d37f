"""``covidquant rate``: a reader's score of a segmentation, and the gate of two readers."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from COVIDQuantLib.cli.terminal import console, show_files, show_warnings
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.export.exam_files import PICTURE_FILE
from COVIDQuantLib.export.rated_result import rate_result
from COVIDQuantLib.export.reader_records import gate_warnings
from COVIDQuantLib.export.table_file import JSON_FILE, MetricsFile, read_metrics
from COVIDQuantLib.followup.exam_result import read_result
from COVIDQuantLib.followup.lesions.exam_segmentation import read_exam_images
from COVIDQuantLib.readers.identity import SegmentationIdentity
from COVIDQuantLib.readers.rating import Rating, comment_of, initials_of, score_of
from COVIDQuantLib.readers.scale import ENDS, HIGHEST, LOWEST
from COVIDQuantLib.readers.words import rating_lines

NAME = "rate"
HELP = "Rate the segmentation of a result from 0 to 5, as one of two readers; a mean below 3 excludes the exam."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    ends = ", ".join(f"{score} {words}" for score, words in ENDS.items())
    parser.add_argument("result", type=Path, metavar="RESULT_FOLDER", help="a folder written by quantify or the panel")
    parser.add_argument("--reader", metavar="INITIALS", help="who rates")
    parser.add_argument("--score", metavar=f"{LOWEST}..{HIGHEST}", help=f"a whole number: {ends}")
    parser.add_argument("--comment", default="", metavar="TEXT", help="stored as it is: name no patient")
    parser.add_argument("--change", action="store_true", help="replace this reader's own earlier score")
    parser.add_argument("--quiet", action="store_true", help="show nothing but warnings")


def run(arguments: argparse.Namespace) -> None:
    """Do it; without a reader and a score only show what the rating has come to.

    Raises:
        UsageError: the initials, score or comment is none, one of them is missing, or there is no score to change.
        UnfitInputError: the folder holds no complete result of one exam, the reader has rated it already, or two
            others have.
        OutputError: the folder cannot be written; it is unchanged.
    """
    said = _said(arguments)
    result = read_result(arguments.result)
    if said is None:
        read = read_metrics(result.path / JSON_FILE)
        _show(read.readers.rating, read.identity)
        return
    segments = SegmentationIdentity.of(result.histogram)
    if result.segmentation is not None:
        # Also makes sure that the segments in the folder are those of the figures.
        images = read_exam_images(result)
        segments = SegmentationIdentity.of(result.histogram, (images.lobes, images.lesions))
    rating, files = rate_result(result.path, partial(_rated, said, segments, arguments))
    arguments.written = True
    show_warnings([*gate_warnings(rating, segments), *_unmarked(result.path, files)])
    if not arguments.quiet:
        _show(rating, segments)
        show_files(files)


def _said(arguments: argparse.Namespace) -> tuple[str, int] | None:
    """The reader and the score, checked before anything is read; None if neither was given."""
    comment_of(arguments.comment)
    if arguments.reader is None and arguments.score is None and not (arguments.change or arguments.comment):
        return None
    for option, value in (("--reader", arguments.reader), ("--score", arguments.score)):
        if value is None:
            raise UsageError(f"{option} is missing", "", "Give both --reader and --score.", code="rating-incomplete")
    return initials_of(arguments.reader), score_of(arguments.score)


def _rated(
    said: tuple[str, int], segments: SegmentationIdentity, arguments: argparse.Namespace, read: MetricsFile
) -> Rating:
    """The rating with this reader's score."""
    if read.identity.differs_from(segments):
        what = "the result was replaced while it was read"
        raise UnfitInputError(what, str(read.path), "Look at the new one, and rate it.", code="result-replaced")
    edits = read.readers.edits
    before = read.readers.rating or Rating(segments if edits is None else edits.ai)
    reader, score = said
    return before.rate(reader, score, segments, comment=arguments.comment, change=arguments.change)


def _unmarked(folder: Path, files: list[Path]) -> list[CTWarning]:
    picture = folder / PICTURE_FILE
    if picture in files or not picture.exists():
        return []
    return [CTWarning("picture-unmarked", f"{picture} cannot be read, and does not say what the readers decided.")]


def _show(rating: Rating | None, segments: SegmentationIdentity) -> None:
    screen = console()
    for line in rating_lines(rating, segments):
        screen.print(line, soft_wrap=True)
