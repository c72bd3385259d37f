"""Which exam of which patient DICOM headers are of.

A date and a check value of the ID name neither and are written; the identity, to which an object made from the images
refers, stays in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime

from COVIDQuantLib.ct.dicom.frames import Frame
from COVIDQuantLib.ct.dicom.headers import PATIENT_MODULE, STUDY_MODULE, ImageFile
from COVIDQuantLib.ct.source import DicomIdentity, SourceImage

# The scanner's own date first; the others are of later steps, and usually the same.
_DATES = ("AcquisitionDate", "AcquisitionDateTime", "ContentDate", "SeriesDate", "StudyDate")
# No CT is older; an anonymiser's stand-in for a date (19000101) is.
_FIRST_CT = date(1971, 10, 1)
# Placeholders that anonymisers write instead of an ID.
_NO_ID = {"anon", "anonym", "anonymous", "anonymized", "anonymised", "unknown", "none", "null", "na", "n/a", "0", "-"}
# Three hexadecimal digits: 4095 of 4096 mix-ups are detected, yet thousands of IDs share each value, so trying all IDs
# of a hospital reveals nothing.
_CHECK_DIGITS = 3


def acquisition_date(head: ImageFile) -> str:
    """The day of the exam as ``YYYY-MM-DD``; empty if the header names none that can be."""
    found = (day_of(head.text(keyword)) for keyword in _DATES)
    return next((day.isoformat() for day in found if day is not None), "")


def day_of(value: str) -> date | None:
    """The day that a DICOM date or date and time names; None if it cannot be that of a CT."""
    text = value.replace(".", "")
    try:
        # datetime's %d would take a single digit, and a longer value begins with the date.
        day = datetime.strptime(text[:8], "%Y%m%d").date() if text[:8].isdigit() else None  # noqa: DTZ007
    except ValueError:
        return None
    return day if day is not None and len(text) >= 8 and day >= _FIRST_CT else None


def patient_check(head: ImageFile) -> str:
    """A check value of the Patient ID: different values mean different patients; empty if there is no ID.

    It is deliberately short, so that it cannot be turned back into the ID.
    """
    return check_of_id(head.text("PatientID"))


def check_of_id(patient_id: str) -> str:
    """:func:`patient_check` of a Patient ID."""
    text = patient_id.strip().casefold()
    if not text or text in _NO_ID:
        return ""
    return hashlib.sha256(f"COVIDQuant patient {text}".encode("utf-8", "surrogateescape")).hexdigest()[:_CHECK_DIGITS]


def identity_of(frames: Sequence[Frame], shifts: Sequence[tuple[int, int]] = ()) -> DicomIdentity:
    """What names the series of some sections.

    Args:
        frames: the sections of the CT, in its order; at least one.
        shifts: where each begins in the CT's grid, ``(j, i)``; none if all do at its corner.
    """
    head = frames[0].file
    images = tuple(
        SourceImage(
            frame.file.text("SOPClassUID"),
            frame.file.text("SOPInstanceUID"),
            frame.index + 1 if frame.file.frames > 1 else None,
            shift,
            frame.file.path,
        )
        for frame, shift in zip(frames, shifts or [(0, 0)] * len(frames), strict=True)
    )
    patient, study = (
        {keyword: text for keyword in module if (text := head.text(keyword))}
        for module in (PATIENT_MODULE, STUDY_MODULE)
    )
    return DicomIdentity(
        head.text("StudyInstanceUID"),
        head.text("SeriesInstanceUID"),
        head.text("FrameOfReferenceUID"),
        images,
        patient,
        study,
    )
