"""The series in a folder: what each is, why it is fit or not, how it is found by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from COVIDQuantLib.ct.dicom_frames import Frame, frames_of
from COVIDQuantLib.ct.dicom_headers import ImageFile, as_number, class_name
from COVIDQuantLib.ct.dicom_identity import group_files
from COVIDQuantLib.ct.dicom_odd import along_normal, are_few, is_regular, left_out, settle
from COVIDQuantLib.ct.dicom_phases import join_acquisitions, split_phases
from COVIDQuantLib.ct.dicom_stack import MIN_SLICES
from COVIDQuantLib.ct.volume import CTWarning
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
# Characters of a series' number and description, as many as DICOM allows.
_TEXT = 64
# Secondary Capture: a CT in its clothes has everything that places and scales a slice; a screenshot has not.
_CAPTURES = {"1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.3"}
# What a header writes that means Hounsfield units, letters alone; "US" is DICOM's word for unspecified.
_HOUNSFIELD = {"", "HU", "HUS", "UH", "HE", "CTNUMBER", "CTNUMBERS", "US", "UNSPECIFIED", "UNKNOWN", "NONE", "NA"}


@dataclass
class SeriesInfo:
    """One series (or one phase of a series that holds several).

    Attributes:
        uid: Series Instance UID.
        number: Series Number, empty if absent.
        description: Series Description.
        phase: which of several phases, e.g. ``acquisition 2``; empty for a whole series.
        phase_number: from 1 within the series, 0 for a whole series.
        patient: number of the patient from 1 in the order met; never the name or ID.
        files: the files.
        frames: the slices, localizers left out.
        why_not: why it cannot be quantified, a clause; empty if nothing speaks against it.
        score: points of the choice, see :mod:`COVIDQuantLib.ct.dicom_choice`.
        points: what the score is made of, in words.
        warnings: what was odd about its files, and what of it is left out.
    """

    uid: str
    number: str
    description: str
    patient: int
    files: list[ImageFile]
    frames: list[Frame] = field(default_factory=list)
    phase: str = ""
    phase_number: int = 0
    why_not: str = ""
    score: float = 0.0
    points: list[str] = field(default_factory=list)
    warnings: list[CTWarning] = field(default_factory=list)

    @property
    def key(self) -> str:
        """What selects it: the UID, and ``#n`` for one of several phases."""
        return f"{self.uid}#{self.phase_number}" if self.phase_number else self.uid

    @property
    def name(self) -> str:
        """The series for a message: number, description, phase."""
        number = self.number or f"…{self.uid[-12:]}"
        text = f"series {number}" + (f"#{self.phase_number}" if self.phase_number else "")
        if self.description:
            text += f" “{self.description}”"
        return text + (f" ({self.phase})" if self.phase else "")

    @property
    def head(self) -> ImageFile:
        """A file that speaks for the series."""
        return self.frames[0].file if self.frames else self.files[0]

    @property
    def thickness(self) -> float | None:
        """Section thickness, millimetres."""
        return self.frames[0].thickness if self.frames else None

    def as_record(self) -> dict[str, object]:
        """The series for ``metrics.json``: nothing that names the patient."""
        return {
            "uid": self.uid,
            "number": self.number,
            "description": self.description,
            "phase": self.phase,
            "slices": len(self.frames),
            "score": round(self.score, 1),
            "reason": self.why_not or ", ".join(self.points),
        }


def group_series(images: Iterable[ImageFile]) -> list[SeriesInfo]:
    """The series that image files belong to, in the order of patient, series number and UID."""
    groups = group_files(images)
    patients = {patient: n for n, patient in enumerate(dict.fromkeys(group.patient for group in groups), start=1)}
    found: list[SeriesInfo] = []
    for group in groups:
        head = group.files[0]
        series = SeriesInfo(
            group.uid,
            head.text("SeriesNumber")[:_TEXT],
            head.text("SeriesDescription")[:_TEXT],
            patients[group.patient],
            group.files,
            warnings=group.warnings,
        )
        series.why_not = _why_not(series)
        found += [series] if series.why_not else _phases(series)
    return sorted(found, key=lambda s: (s.patient, as_number(s.number) or 0.0, s.uid, s.phase_number))


def _why_not(series: SeriesInfo) -> str:
    """Why a series is no CT that can be quantified; fills its frames in where they can be told."""
    try:
        frames = [frame for file in series.files for frame in frames_of(file)]
    except UnfitInputError as error:
        return _why_not_ct(series.files[0], None) or error.what
    whys = [_why_not_ct(frame.file, frame) or _why_not_section(frame) for frame in frames]
    fit = [frame for frame, why in zip(frames, whys, strict=True) if not why]
    if len(fit) < MIN_SLICES and len(fit) < len(frames):
        return next(why for why in whys if why)
    others = [frame for frame, why in zip(frames, whys, strict=True) if why]
    if len(others) > len(fit):
        return next(why for why in whys if why)
    if others:
        series.warnings.append(left_out(others, next(why for why in whys if why)))
    if not fit or (_is_called_localizer(series) and not _is_axial_stack(fit)):
        return "a localizer"
    series.frames = fit
    return _why_not_hu(series) or _why_too_few(series.frames)


def _why_not_ct(head: ImageFile, frame: Frame | None) -> str:
    modality, sop_class = head.text("Modality").upper(), head.text("SOPClassUID")
    captured = sop_class in _CAPTURES and frame is not None and _is_whole(frame)
    if modality not in ({"", "CT", "OT"} if captured else {"", "CT"}):
        return f"modality {modality[:_TEXT]}, not CT"
    if sop_class not in CT_CLASSES and not captured:
        return f"{class_name(sop_class) or 'unknown object'}, not a CT image"
    if head.number("SamplesPerPixel") not in {None, 1.0}:
        return "colour pictures, not CT numbers"
    return ""


def _is_whole(frame: Frame) -> bool:
    """Whether a picture has all that makes a CT slice: place, direction, pixel size, rescale, and 16 bits."""
    told = (frame.position, frame.orientation, frame.spacing, frame.slope, frame.intercept)
    bits = [frame.file.number(keyword) or 0 for keyword in ("BitsAllocated", "BitsStored")]
    return all(value is not None for value in told) and min(bits) > 8


def _why_not_section(frame: Frame) -> str:
    if "LOCALIZER" in frame.image_type:
        return "a localizer"
    return next((_PROCESSED[value] for value in frame.image_type if value in _PROCESSED), "")


def _is_called_localizer(series: SeriesInfo) -> bool:
    return any(word in series.description.upper() for word in _LOCALIZER_WORDS)


def _is_axial_stack(frames: Sequence[Frame]) -> bool:
    """Whether slices are a scan for all that they are called: across the body, at many positions."""
    along = along_normal(frames)
    places = 0 if along is None else len(np.unique(np.round(along, 1)))
    return places >= MIN_SLICES and all(is_axial(frame) for frame in frames)


def _why_not_hu(series: SeriesInfo) -> str:
    """Why the frames do not hold Hounsfield units; single pictures that do not are left out if the rest is a stack."""
    whys = {frame.name: why for frame in series.frames if (why := _why_no_unit(frame))}
    if not whys:
        return ""
    odd = [frame for frame in series.frames if frame.name in whys]
    rest = [frame for frame in series.frames if frame.name not in whys]
    why = next(iter(whys.values()))
    if not are_few(odd, rest) or not is_regular(settle(rest)[0]):
        return why
    series.frames = rest
    series.warnings.append(left_out(odd, why))
    return ""


def _why_no_unit(frame: Frame) -> str:
    if frame.slope is None or frame.intercept is None:
        return f"no rescale slope and intercept, so not Hounsfield units ({frame.name})"
    if frame.slope == 0:
        return f"rescale slope 0 ({frame.name})"
    letters = re.sub("[^A-Z]", "", frame.rescale_type)
    if letters not in _HOUNSFIELD and "HOUNSFIELD" not in letters:
        return f"values in {frame.rescale_type[:_TEXT]}, not Hounsfield units"
    if (frame.file.number("BitsAllocated") or 16) <= 8:
        return "8-bit pictures, not Hounsfield units"
    return ""


def _why_too_few(frames: Sequence[Frame]) -> str:
    if len(frames) >= MIN_SLICES:
        return ""
    return f"only {len(frames)} slice{'s' * (len(frames) > 1)}, at least {MIN_SLICES} are needed"


def is_axial(frame: Frame) -> bool:
    """Whether the slice lies across the body's long axis; true if the header does not tell."""
    if frame.orientation is None:
        return True
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    return bool(abs(normal[2]) >= AXIAL_COSINE)


def _phases(series: SeriesInfo) -> list[SeriesInfo]:
    """The phases of a series that has several slices at each position, or the series itself; odd pictures set aside."""
    if any(frame.file.text("SOPClassUID") in _CAPTURES for frame in series.frames):
        text = "The slices are stored as Secondary Capture: their header tells less than that of a CT image."
        series.warnings.append(CTWarning("secondary-capture", text))
    series.frames, joined = join_acquisitions(series.frames)
    series.warnings += joined
    phases = split_phases(series.frames)
    found = []
    for number, (name, frames) in enumerate(phases, start=1):
        kept, told = settle(frames)
        phase_number = number if len(phases) > 1 else 0
        warnings = [*series.warnings, *told]
        found.append(replace(series, frames=kept, phase=name, phase_number=phase_number, warnings=warnings))
    return found
