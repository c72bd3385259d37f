"""Write a quantified exam's files as one set: the available exports, and writing the selected ones."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.anonymous import without_names
from COVIDQuantLib.export.labelmaps import write_label_map
from COVIDQuantLib.export.odds_file import ODDS_FILE, write_odds
from COVIDQuantLib.export.segmentation_file import write_segmentation
from COVIDQuantLib.export.sheet.page import write_sheet
from COVIDQuantLib.export.table_file import CSV_FILE, JSON_FILE, metrics_record, write_csv, write_json
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.system.atomic_files import OutputFolder, Writer

SEGMENTATION_FILE = "segmentation.seg.nrrd"
PICTURE_FILE = "overlay.png"

ExamWriter = Callable[[Path, Exam, Report], None]


@dataclass(frozen=True)
class Export:
    """Files that belong together and are selected by one name.

    Attributes:
        name: its name, an option of the command line.
        text: its description for users.
        files: file names and their writers.
        default: whether it is written by default.
    """

    name: str
    text: str
    files: dict[str, ExamWriter]
    default: bool = True


def _write_json(path: Path, exam: Exam, report: Report) -> None:  # noqa: ARG001 - quick
    write_json(path, metrics_record(exam.ct, exam.segmentation, exam.histogram, exam.metrics, exam.records))


EXPORTS: tuple[Export, ...] = (
    Export(
        "segmentation",
        "the segmentation for 3D Slicer",
        {
            SEGMENTATION_FILE: lambda path, exam, report: write_segmentation(
                path, exam.segmentation, exam.ct.geometry, report, exam.records
            )
        },
    ),
    Export(
        "metrics",
        "the table of measurements",
        {
            CSV_FILE: lambda path, exam, report: write_csv(path, exam.metrics, exam.grade, exam.records),  # noqa: ARG005
            JSON_FILE: _write_json,
        },
    ),
    Export(
        "picture",
        "an overview image with overlays",
        {
            PICTURE_FILE: lambda path, exam, report: write_sheet(
                path, exam.ct, exam.segmentation, exam.metrics, report=report
            )
        },
    ),
    Export(
        "nifti",
        "label maps of lobes and lesions as NIfTI",
        {
            "lobes.nii.gz": lambda path, exam, report: write_label_map(  # noqa: ARG005
                path, exam.segmentation.lobes, exam.ct.geometry
            ),
            "lesions.nii.gz": lambda path, exam, report: write_label_map(  # noqa: ARG005
                path, exam.segmentation.lesions, exam.ct.geometry
            ),
        },
        default=False,
    ),
)


def files_of(wanted: Collection[str]) -> list[str]:
    """The names of the files of the wanted exports, in the order of the table."""
    return [name for export in EXPORTS if export.name in wanted for name in export.files]


def write_exam(
    exam: Exam,
    folder: Path,
    wanted: Collection[str] | None = None,
    report: Report = silent,
    *,
    identify: bool = False,
) -> list[Path]:
    """Write the wanted exports of an exam into a folder, all of them or none.

    Args:
        exam: the quantified exam.
        folder: created if missing; earlier files of the same names are replaced.
        wanted: names of exports; None for those that are written by default.
        report: progress; may raise ``Cancelled``.
        identify: keep names of files and series, and UIDs, instead of writing hashes.

    Returns:
        The files, in the order of the table.

    Raises:
        OutputError: the folder cannot be written; it is unchanged.
    """
    if wanted is None:
        wanted = [export.name for export in EXPORTS if export.default]
    with OutputFolder(folder) as out:
        return put_exam(exam, out, wanted, report, identify=identify)


def put_exam(
    exam: Exam, out: OutputFolder, wanted: Collection[str], report: Report = silent, *, identify: bool = False
) -> list[Path]:
    """Like :func:`write_exam`, into a set that is already open; the files appear when its block ends.

    Beside the segmentation stand the networks' odds, if it is theirs.
    """
    writers = {name: write for export in EXPORTS if export.name in wanted for name, write in export.files.items()}
    shown = exam if identify else without_names(exam)
    for number, (name, write) in enumerate(writers.items()):
        inner = part(report, number / len(writers), (number + 1) / len(writers))
        out.write(name, _bound(write, shown, inner))
    names = list(writers)
    odds = shown.segmentation.odds.get("lesions")
    if SEGMENTATION_FILE in writers and odds is not None:
        out.write(ODDS_FILE, lambda path: write_odds(path, odds, shown.ct.geometry, shown.histogram))
        names.append(ODDS_FILE)
    return [out.path / name for name in names]


def _bound(write: ExamWriter, exam: Exam, report: Report) -> Writer:
    return lambda path: write(path, exam, report)
