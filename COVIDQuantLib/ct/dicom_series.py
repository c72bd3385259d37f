"""The series in a folder: what each is, why it is fit or not, how it is found by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydicom.uid import UID

from COVIDQuantLib.ct.dicom_frames import Frame, frames_of
from COVIDQuantLib.ct.dicom_headers import ImageFile
from COVIDQuantLib.ct.dicom_stack import MIN_SLICES, SAME_POSITION
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
# What tells two phases or reconstructions in one series apart, most telling first.
_PHASE_KEYS: dict[str, Callable[[Frame], str]] = {
    "acquisition": lambda frame: frame.file.text("AcquisitionNumber"),
    "temporal position": lambda frame: frame.file.text("TemporalPositionIdentifier"),
    "temporal index": lambda frame: frame.file.text("TemporalPositionIndex"),
    "cardiac phase": lambda frame: frame.file.text("NominalPercentageOfCardiacPhase"),
    "kernel": lambda frame: frame.file.text("ConvolutionKernel"),
    "image type": lambda frame: " ".join(frame.image_type),
    "section thickness": lambda frame: f"{frame.thickness or 0:g}",
    "acquisition time": lambda frame: frame.file.text("AcquisitionTime"),
}


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
    groups: dict[tuple[str, str], list[ImageFile]] = defaultdict(list)
    for image in images:
        groups[image.text("PatientID"), image.text("SeriesInstanceUID")].append(image)
    patients = {patient: n for n, patient in enumerate(dict.fromkeys(patient for patient, _ in groups), start=1)}
    found: list[SeriesInfo] = []
    for (patient, uid), files in groups.items():
        head = files[0]
        series = SeriesInfo(
            uid, head.text("SeriesNumber"), head.text("SeriesDescription"), patients[patient], _without_copies(files)
        )
        series.why_not = _why_not(series)
        found += [series] if series.why_not else _phases(series)
    return sorted(found, key=lambda s: (s.patient, int(s.number) if s.number.isdigit() else 0, s.uid, s.phase_number))


def _without_copies(files: list[ImageFile]) -> list[ImageFile]:
    """The same image copied twice into the folder counts once."""
    seen: dict[str, ImageFile] = {}
    for number, file in enumerate(files):
        seen.setdefault(file.text("SOPInstanceUID") or str(number), file)
    return list(seen.values())


def _why_not(series: SeriesInfo) -> str:
    """Why a series is no CT that can be quantified; fills its frames in where they can be told."""
    why = _why_not_ct(series.files[0])
    if why:
        return why
    try:
        frames = [frame for file in series.files for frame in frames_of(file)]
    except UnfitInputError as error:
        return error.what
    series.frames = [frame for frame in frames if "LOCALIZER" not in frame.image_type]
    if not series.frames or any(word in series.description.upper() for word in _LOCALIZER_WORDS):
        return "a localizer"
    processed = [_PROCESSED[value] for value in series.frames[0].image_type if value in _PROCESSED]
    return processed[0] if processed else _why_not_hu(series.frames) or _why_too_few(series.frames)


def _why_not_ct(head: ImageFile) -> str:
    modality, sop_class = head.text("Modality").upper(), head.text("SOPClassUID")
    if modality not in {"", "CT"}:
        return f"modality {modality}, not CT"
    if sop_class not in CT_CLASSES:
        return f"{UID(sop_class).name or 'unknown object'}, not a CT image"
    if head.number("SamplesPerPixel") not in {None, 1.0}:
        return "colour pictures, not CT numbers"
    return ""


def _why_not_hu(frames: Sequence[Frame]) -> str:
    for frame in frames:
        if frame.slope is None or frame.intercept is None or not np.isfinite([frame.slope, frame.intercept]).all():
            return f"no rescale slope and intercept, so not Hounsfield units ({frame.name})"
        if frame.slope == 0:
            return f"rescale slope 0 ({frame.name})"
        if frame.rescale_type not in {"", "HU", "UNSPECIFIED"}:
            return f"values in {frame.rescale_type}, not Hounsfield units"
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


def _positions_along(frames: Sequence[Frame]) -> np.ndarray | None:
    first = frames[0].orientation
    positions = [frame.position for frame in frames if frame.position is not None]
    if first is None or len(positions) < len(frames):
        return None
    normal = np.cross(first[:3], first[3:])
    return np.sort(np.array(positions) @ normal)


def _has_duplicates(frames: Sequence[Frame]) -> bool:
    along = _positions_along(frames)
    if along is None or len(along) < 2:
        return False
    intervals = np.diff(along)
    distinct = intervals[intervals > 1e-3]
    return not distinct.size or bool((intervals < SAME_POSITION * np.median(distinct)).any())


def _phases(series: SeriesInfo) -> list[SeriesInfo]:
    """The phases of a series that has several slices at each position, or the series itself."""
    if not _has_duplicates(series.frames):
        return [series]
    for what, key in _PHASE_KEYS.items():
        groups: dict[str, list[Frame]] = defaultdict(list)
        for frame in series.frames:
            groups[key(frame)].append(frame)
        if len(groups) < 2 or any(len(g) < MIN_SLICES or _has_duplicates(g) for g in groups.values()):
            continue
        return [
            SeriesInfo(
                series.uid,
                series.number,
                series.description,
                series.patient,
                series.files,
                groups[value],
                f"{what} {value or '?'}",
                number,
            )
            for number, value in enumerate(sorted(groups), start=1)
        ]
    return [series]
