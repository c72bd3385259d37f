"""Where each exam of a batch has its results: a folder per patient and exam, whatever they are called."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

EXAMS = "exams"
_LONGEST = 60
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
# Names that Windows keeps for devices.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


def folder_name(text: str) -> str:
    """A name that every file system takes; names that had to be changed end in 8 digits of their SHA-256."""
    plain = _UNFIT.sub("_", text).strip(".")[:_LONGEST]
    if plain == text and not _RESERVED.match(plain):
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{'_' if _RESERVED.match(plain) else ''}{plain}-{digest}".lstrip("-")


def exam_folder(patient: str, exam: str) -> PurePosixPath:
    """The folder of an exam's results, relative to the batch's."""
    return PurePosixPath(EXAMS, folder_name(patient), folder_name(exam))
