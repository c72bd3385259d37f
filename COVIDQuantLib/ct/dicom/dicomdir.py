"""DICOMDIR: the index of the files on a disc or in an export."""

from __future__ import annotations

import warnings
from pathlib import Path

from pydicom import dcmread
from pydicom.multival import MultiValue

from COVIDQuantLib.ct.dicom.open import meta_info, open_dicom

_DICOMDIR = "1.2.840.10008.1.3.10"


def is_directory(path: Path) -> bool:
    """Whether a DICOM file is a DICOMDIR, by its name or its class."""
    if path.name.upper() == "DICOMDIR":
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(meta_info(path).get("MediaStorageSOPClassUID", "")) == _DICOMDIR
    except Exception:  # noqa: BLE001 - pydicom raises many kinds of error on files that are no DICOM
        return False


def referenced_files(path: Path) -> list[Path]:
    """The files that a DICOMDIR lists and that lie below its folder, each once; empty if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_dicom(path) as stream:
                records = dcmread(stream, force=True).get("DirectoryRecordSequence") or []
            names = [record.get("ReferencedFileID") for record in records]
    except Exception:  # noqa: BLE001 - pydicom raises many kinds of error on damaged files
        return []
    found: dict[Path, None] = {}
    for name in names:
        parts = [str(part) for part in name] if isinstance(name, (MultiValue, list)) else [str(name or "")]
        # An index may not point outside its own folder.
        if all(part not in {"", ".", ".."} and "/" not in part and "\0" not in part for part in parts):
            file = _present(path.parent, parts)
            if file is not None:
                found[file] = None
    return list(found)


def _present(folder: Path, parts: list[str]) -> Path | None:
    """The file, in small letters if so the copying system wrote it; None if it is absent."""
    for cased in (parts, [part.lower() for part in parts]):
        file = folder.joinpath(*cased)
        if file.is_file():
            return file
    return None
