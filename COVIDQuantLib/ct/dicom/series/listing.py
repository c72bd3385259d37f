"""The series in a folder, with their properties and phases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from COVIDQuantLib.ct.dicom.frames import Frame
from COVIDQuantLib.ct.dicom.headers import ImageFile, as_number
from COVIDQuantLib.ct.dicom.series.fitness import fit_frames
from COVIDQuantLib.ct.dicom.series.identity import group_files
from COVIDQuantLib.ct.dicom.series.outliers import settle
from COVIDQuantLib.ct.dicom.series.phases import join_acquisitions, split_phases
from COVIDQuantLib.ct.volume import CTWarning

# Characters of a series' number and description, as many as DICOM allows.
_TEXT = 64


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
        why_not: why it cannot be quantified, a clause; empty if there is no objection.
        score: points of the choice, see :mod:`COVIDQuantLib.ct.dicom.series.choice`.
        points: the parts of the score, in words.
        warnings: irregularities of its files, and what was left out.
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
        """How to select it: the UID, and ``#n`` for one of several phases."""
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
        """A representative file of the series."""
        return self.frames[0].file if self.frames else self.files[0]

    @property
    def kernel(self) -> str:
        """Name of the reconstruction kernel, empty if missing."""
        return self.frames[0].marks["kernel"] if self.frames else self.head.text("ConvolutionKernel")

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
        series.frames, series.why_not, described = fit_frames(series.files, series.description)
        series.warnings += described
        found += [series] if series.why_not else _phases(series)
    return sorted(found, key=lambda s: (s.patient, as_number(s.number) or 0.0, s.uid, s.phase_number))


def _phases(series: SeriesInfo) -> list[SeriesInfo]:
    """The phases of a series that has several slices at each position, or the series itself without outliers."""
    series.frames, joined = join_acquisitions(series.frames)
    series.warnings += joined
    phases = split_phases(series.frames)
    found = []
    for number, (name, frames) in enumerate(phases, start=1):
        kept, described = settle(frames)
        phase_number = number if len(phases) > 1 else 0
        warnings = [*series.warnings, *described]
        found.append(replace(series, frames=kept, phase=name, phase_number=phase_number, warnings=warnings))
    return found
