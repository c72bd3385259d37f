"""Find the DICOM images below a folder, or listed in a DICOMDIR, by their headers alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from COVIDQuantLib.ct.dicom.dicomdir import is_directory, referenced_files
from COVIDQuantLib.ct.dicom.headers import ImageFile, class_name, is_dicom, read_header
from COVIDQuantLib.ct.files.itk_files import first_reason
from COVIDQuantLib.progress import Report, silent

# Extensions that promise DICOM; a file with one that does not start like DICOM is reported as damaged.
_SUFFIXES = {".dcm", ".dicom", ".ima"}


@dataclass
class Findings:
    """What lies below a folder.

    Attributes:
        images: files with a DICOM image.
        others: for each DICOM file without one, what kind of object it is.
        damaged: for each file that is DICOM but cannot be read, why.
    """

    images: list[ImageFile] = field(default_factory=list)
    others: dict[Path, str] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)


def find_images(path: Path, report: Report = silent) -> Findings:
    """Read the headers of a DICOM file, of the files that a DICOMDIR lists, or of every file below a folder.

    Args:
        path: the file or folder. A DICOMDIR that lists no file stands for its folder.
        report: progress.

    Raises:
        OSError: the folder cannot be listed.
    """
    files = [path]
    if path.is_dir():
        files = sorted(files_below(path))
    elif is_directory(path):
        files = referenced_files(path) or sorted(file for file in files_below(path.parent) if file.name != path.name)
    return images_among(files, report)


def images_among(files: Sequence[Path], report: Report = silent) -> Findings:
    """Read the headers of files, and say which hold an image.

    Args:
        files: regular files.
        report: progress.
    """
    findings = Findings()
    for number, file in enumerate(files):
        report(number / len(files))
        _sort_in(file, findings)
    report(1.0)
    return findings


def files_below(folder: Path) -> Iterator[Path]:
    """Regular files only: reading a pipe or device could block. Links to folders are not followed, as they may loop."""
    with os.scandir(folder):
        waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    # Dot files are left behind by macOS and version control, "._1.dcm" among them.
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.name.startswith(".") and _is_regular(entry):
                        yield Path(entry.path)
        except OSError:
            # A subfolder without read permission, or a path that is too long for the system.
            continue


def _is_regular(entry: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return False


def _sort_in(path: Path, findings: Findings) -> None:
    try:
        # Empty files are not opened: special files of the system have size 0 and may block.
        if not path.stat().st_size or not is_dicom(path):
            if path.suffix.lower() in _SUFFIXES:
                findings.damaged[path] = (
                    "it is empty" if not path.stat().st_size else "it does not start like a DICOM file"
                )
            return
        image = read_header(path)
        why = _why_no_image(image)
    except Exception as error:  # noqa: BLE001 - pydicom raises many kinds of error on damaged files
        findings.damaged[path] = first_reason(error)
        return
    sop_class = image.text("SOPClassUID")
    if not why:
        findings.images.append(image)
    elif sop_class and not why.startswith("its"):
        findings.others[path] = why
    else:
        findings.damaged[path] = why


def _why_no_image(image: ImageFile) -> str:
    """Why the file holds no usable image: its kind, or a fault (starting with "its")."""
    sop_class = image.text("SOPClassUID")
    if min(image.matrix) > 0 and "Segmentation" not in class_name(sop_class):
        return "" if image.frames else "its number of frames (Number of Frames) is not a number"
    if is_directory(image.path):
        return "DICOMDIR"
    return class_name(sop_class) if sop_class else "its header is cut off"
