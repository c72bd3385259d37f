"""Check by their headers that the images of a series are CT slices in Hounsfield units."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from COVIDQuantLib.ct.dicom.frames import Frame, frames_of
from COVIDQuantLib.ct.dicom.headers import ImageFile, class_name
from COVIDQuantLib.ct.dicom.series.outliers import along_normal, are_few, is_regular, left_out, settle
from COVIDQuantLib.ct.volume import MIN_SLICES, CTWarning
from COVIDQuantLib.errors import UnfitInputError

CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT",
}
# An axial slice's normal is within this angle of the body's long axis (a gantry tilts by 30 degrees at most).
AXIAL_COSINE = np.cos(np.radians(35.0))
_LOCALIZER_WORDS = ("LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM", "SCANOSCOPE")
# Values of Image Type whose numbers are no longer the CT numbers of a section.
_PROCESSED = {
    "MIP": "a maximum intensity projection",
    "MAXIMUM": "a maximum intensity projection",
    "MAX_IP": "a maximum intensity projection",
    "MINIP": "a minimum intensity projection",
    "MIN_IP": "a minimum intensity projection",
    "MINIMUM": "a minimum intensity projection",
    "PROJECTION IMAGE": "a projection",
    "VOLUME_RENDER": "a rendering",
    "VOLREN": "a rendering",
    "SURFACE_RENDER": "a rendering",
    "SSD": "a rendering",
    "VRT": "a rendering",
    "DOSE": "a dose report",
    "DOSE_INFO": "a dose report",
    "PERFUSION": "a perfusion map",
    "SUBTRACTION": "a subtraction",
    "VNC": "a virtual non-contrast map",
    "IODINE": "an iodine map",
    "MAT_SPECIFIC": "a material map",
    "Z_EFF": "an atomic number map",
    "EFF_ATOMIC_NUM": "an atomic number map",
    "ELECTRON_DENSITY": "an electron density map",
}
# Secondary Capture: a CT stored this way still has everything that positions and scales a slice; a screenshot does not.
_CAPTURES = {"1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.3"}
# Spellings of Hounsfield units in headers, letters only; "US" is DICOM's term for unspecified.
_HOUNSFIELD = {"", "HU", "HUS", "UH", "HE", "CTNUMBER", "CTNUMBERS", "US", "UNSPECIFIED", "UNKNOWN", "NONE", "NA"}
# Characters of a field shown in a message.
_TOLD = 64


def fit_frames(files: Sequence[ImageFile], description: str) -> tuple[list[Frame], str, list[CTWarning]]:
    """The slices of a series that can be quantified.

    Args:
        files: the files of the series.
        description: Series Description.

    Returns:
        The slices; why the series cannot be quantified, a clause, empty if there is no objection (then the slices may
        be few or none); and which single images were left out.
    """
    try:
        frames = [frame for file in files for frame in frames_of(file)]
    except UnfitInputError as error:
        return [], _why_not_ct(files[0], None) or error.what, []
    whys = [_why_not_ct(frame.file, frame) or _why_not_section(frame) for frame in frames]
    fit, others = _parted(frames, whys)
    if len(others) > len(fit) or (others and len(fit) < MIN_SLICES):
        return [], next(why for why in whys if why), []
    warnings = [left_out(others, next(why for why in whys if why))] if others else []
    if _is_called_localizer(description) and not _is_axial_stack(fit):
        return [], "a localizer", []
    whys = [_why_no_unit(frame) for frame in fit]
    rest, odd = _parted(fit, whys)
    if odd:
        why = next(why for why in whys if why)
        # A slice without a unit may be any slice of the lung; without it the others must still form a complete stack.
        if not are_few(odd, rest) or not is_regular(settle(rest)[0]):
            return fit, why, warnings
        warnings.append(left_out(odd, why))
    if any(frame.file.text("SOPClassUID") in _CAPTURES for frame in rest):
        text = (
            "The slices are stored as Secondary Capture: their header holds less information than that of a CT image."
        )
        warnings.append(CTWarning("secondary-capture", text))
    return rest, _why_too_few(rest), warnings


def _parted(frames: Sequence[Frame], whys: Sequence[str]) -> tuple[list[Frame], list[Frame]]:
    """Split frames into those without and those with a reason against them."""
    pairs = list(zip(frames, whys, strict=True))
    return [frame for frame, why in pairs if not why], [frame for frame, why in pairs if why]


def _why_not_ct(head: ImageFile, frame: Frame | None) -> str:
    modality, sop_class = head.text("Modality").upper(), head.text("SOPClassUID")
    captured = sop_class in _CAPTURES and frame is not None and _is_whole(frame)
    if modality not in ({"", "CT", "OT"} if captured else {"", "CT"}):
        return f"modality {modality[:_TOLD]}, not CT"
    if sop_class not in CT_CLASSES and not captured:
        return f"{class_name(sop_class) or 'unknown object'}, not a CT image"
    if head.number("SamplesPerPixel") not in {None, 1.0}:
        return "colour images, not CT numbers"
    return ""


def _is_whole(frame: Frame) -> bool:
    """Whether an image has everything a CT slice needs: position, orientation, pixel size, rescale, and 16 bits."""
    described = (frame.position, frame.orientation, frame.spacing, frame.slope, frame.intercept)
    bits = [frame.file.number(keyword) or 0 for keyword in ("BitsAllocated", "BitsStored")]
    return all(value is not None for value in described) and min(bits) > 8


def _why_not_section(frame: Frame) -> str:
    if "LOCALIZER" in frame.image_type:
        return "a localizer"
    return next((_PROCESSED[value] for value in frame.image_type if value in _PROCESSED), "")


def _is_called_localizer(description: str) -> bool:
    return any(word in description.upper() for word in _LOCALIZER_WORDS)


def _is_axial_stack(frames: Sequence[Frame]) -> bool:
    """Whether slices are a scan whatever they are called: axial, at many positions."""
    along = along_normal(frames)
    places = 0 if along is None else len(np.unique(np.round(along, 1)))
    return places >= MIN_SLICES and all(is_axial(frame) for frame in frames)


def _why_no_unit(frame: Frame) -> str:
    if frame.slope is None or frame.intercept is None:
        return f"no rescale slope and intercept, so not Hounsfield units ({frame.name})"
    if frame.slope == 0:
        return f"rescale slope 0 ({frame.name})"
    letters = re.sub("[^A-Z]", "", frame.rescale_type)
    if letters not in _HOUNSFIELD and "HOUNSFIELD" not in letters:
        return f"values in {frame.rescale_type[:_TOLD]}, not Hounsfield units"
    if (frame.file.number("BitsAllocated") or 16) <= 8:
        return "8-bit images, not Hounsfield units"
    return ""


def _why_too_few(frames: Sequence[Frame]) -> str:
    if len(frames) >= MIN_SLICES:
        return ""
    return f"only {len(frames)} slice{'s' * (len(frames) > 1)}, at least {MIN_SLICES} are needed"


def is_axial(frame: Frame) -> bool:
    """Whether the slice lies across the body's long axis; true if the header does not say."""
    if frame.orientation is None:
        return True
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    return bool(abs(normal[2]) >= AXIAL_COSINE)
