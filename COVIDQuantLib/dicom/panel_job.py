"""Write a result of the scene with its DICOM objects, in a background process. Nothing of Slicer is imported here.

A scene knows a CT's voxels and the UIDs of its images, not their headers. The files of the images give the series, and
the voxels are brought into the order of its sections; a volume that is not the series voxel by voxel is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from COVIDQuantLib.ct.dicom.exam import identity_of
from COVIDQuantLib.ct.dicom.file_search import Findings, find_images
from COVIDQuantLib.ct.dicom.frames import frames_of
from COVIDQuantLib.ct.dicom.series.stack import Stack, stack_frames
from COVIDQuantLib.ct.source import CTSource, DicomIdentity
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.dicom.files import DICOM, names_of
from COVIDQuantLib.dicom.objects.source import OFFER, check_source
from COVIDQuantLib.dicom.write import put_dicom_result
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.exam_files import put_exam
from COVIDQuantLib.progress import Report, part
from COVIDQuantLib.system.atomic_files import OutputFolder
from COVIDQuantLib.voxels.geometry import Reorientation
from COVIDQuantLib.worker.jobs.export import Snapshot, exam_of_snapshot

# Slicer computes positions from the first and last image: its grid and ours differ by less than this share of a voxel.
_SAME_VOXELS = 0.1


def write_snapshot_and_dicom(
    values: np.ndarray,
    lobes: np.ndarray,
    lesions: np.ndarray,
    snapshot: Snapshot,
    folder: Path,
    wanted: Collection[str],
    images: Sequence[Path],
    report: Report,
) -> list[str]:
    """Write the wanted exports of a snapshot into a folder, DICOM among them.

    Takes and returns what :func:`~COVIDQuantLib.worker.jobs.export.write_snapshot` does; ``wanted`` may have ``dicom``,
    too, and ``images`` are the files of the images that the CT was loaded from.

    Raises:
        UnfitInputError: the images are missing, are no series, or not the CT's (``dicom-other-grid``).
        OutputError: the files cannot be written.
    """
    stack, identity = series_of(images, snapshot.source.get("node", ""))
    exam = exam_of_snapshot(values, lobes, lesions, snapshot)
    of_series = on_series(exam, stack, identity)
    check_source(of_series.ct.source)
    with OutputFolder(folder) as out:
        put_exam(exam, out, [name for name in wanted if name != DICOM.name], part(report, 0.0, 0.5))
        put_dicom_result(of_series, out, report=part(report, 0.5, 1.0))
    return names_of(wanted)


def series_of(images: Sequence[Path], where: str) -> tuple[Stack, DicomIdentity]:
    """The series that some files are, sorted as when it is read from a folder.

    Args:
        images: the files.
        where: what a message calls the CT.

    Raises:
        UnfitInputError: a file is missing or damaged (``dicom-changed``), or they form no regular stack.
    """
    found = Findings()
    for path in images:
        if not path.is_file():
            what = f"the DICOM file {path.name} of this CT is not there any more"
            raise UnfitInputError(what, where, f"Import the series into the database again. {OFFER}", "dicom-changed")
        one = find_images(path)
        found.images += one.images
        found.damaged |= one.damaged
    if found.damaged or not found.images:
        what = "the DICOM files of this CT cannot be read as images"
        raise UnfitInputError(what, where, f"Import the series into the database again. {OFFER}", "dicom-changed")
    stack = stack_frames([frame for image in found.images for frame in frames_of(image)], where)
    return stack, identity_of(stack.frames, stack.shifts)


def on_series(exam: Exam, stack: Stack, identity: DicomIdentity) -> Exam:
    """The same exam with its voxels in the order of the series, and with its identity.

    Raises:
        UnfitInputError: the CT's voxels are not those of the series (``dicom-other-grid``).
    """
    own, wanted = Reorientation.of(exam.ct.geometry), Reorientation.of(stack.geometry)
    if not own.canonical.same_grid(wanted.canonical, _SAME_VOXELS):
        raise UnfitInputError(
            "the CT in the scene does not lie voxel by voxel on its DICOM images: it was cropped, resampled or moved",
            exam.ct.source.where,
            f"Quantify the series as it was loaded. {OFFER}",
            code="dicom-other-grid",
        )

    def turned(array: np.ndarray) -> np.ndarray:
        return wanted.undo(own.apply(array))

    source = CTSource(dict(exam.ct.source), exam.ct.source.path, identity)
    padding = None if exam.ct.padding is None else turned(exam.ct.padding)
    ct = CTVolume(turned(exam.ct.hu), stack.geometry, padding, source, exam.ct.warnings)
    lobes, lesions = turned(exam.segmentation.lobes), turned(exam.segmentation.lesions)
    return replace(exam, ct=ct, segmentation=replace(exam.segmentation, lobes=lobes, lesions=lesions))
