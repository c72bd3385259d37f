"""A quantified exam's files as one set: the table of what can be written, and the writing of what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.atomic import OutputFolder, Writer
from COVIDQuantLib.export.labelmaps import write_label_map
from COVIDQuantLib.export.segmentation_file import write_segmentation
from COVIDQuantLib.export.sheet import write_sheet
from COVIDQuantLib.export.table_file import CSV_FILE, JSON_FILE, metrics_record, write_csv, write_json
from COVIDQuantLib.progress import Report, part, silent

SEGMENTATION_FILE = "segmentation.seg.nrrd"
PICTURE_FILE = "overlay.png"

ExamWriter = Callable[[Path, Exam, Report], None]


@dataclass(frozen=True)
class Export:
    """Files that belong together and are asked for by one name.

    Attributes:
        name: what it is asked for by, an option of the command line.
        text: what it is, for people.
        files: names of the files and what writes each.
        default: whether it is written unasked.
    """

    name: str
    text: str
    files: dict[str, ExamWriter]
    default: bool = True


def _write_json(path: Path, exam: Exam, report: Report) -> None:  # noqa: ARG001 - quick
    write_json(path, metrics_record(exam.ct, exam.segmentation, exam.histogram, exam.metrics))


EXPORTS: tuple[Export, ...] = (
    Export(
        "segmentation",
        "the segmentation for 3D Slicer",
        {
            SEGMENTATION_FILE: lambda path, exam, report: write_segmentation(
                path, exam.segmentation, exam.ct.geometry, report
            )
        },
    ),
    Export(
        "metrics",
        "the table of figures",
        {
            CSV_FILE: lambda path, exam, report: write_csv(path, exam.metrics, exam.grade),  # noqa: ARG005
            JSON_FILE: _write_json,
        },
    ),
    Export(
        "picture",
        "a sheet of overlays",
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


def write_exam(exam: Exam, folder: Path, wanted: Collection[str], report: Report = silent) -> list[Path]:
    """Write the wanted exports of an exam into a folder, all of them or none.

    Args:
        exam: what was found.
        folder: made if missing; earlier files of the same names are replaced.
        wanted: names of exports.
        report: progress; may raise ``Cancelled``.

    Returns:
        The files, in the order of the table.

    Raises:
        OutputError: the folder cannot be written; it is as it was.
    """
    files = [item for export in EXPORTS if export.name in wanted for item in export.files.items()]
    with OutputFolder(folder) as out:
        for number, (name, write) in enumerate(files):
            inner = part(report, number / len(files), (number + 1) / len(files))
            out.write(name, _bound(write, exam, inner))
    return [folder / name for name, _ in files]


def _bound(write: ExamWriter, exam: Exam, report: Report) -> Writer:
    return lambda path: write(path, exam, report)
