"""Group files into series, even where an anonymiser has made the identifiers useless."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from COVIDQuantLib.ct.dicom.headers import ImageFile
from COVIDQuantLib.ct.volume import MIN_SLICES, CTWarning

# What slices of one reconstruction share besides the study, whatever their identifiers.
_SHARED = (
    "SeriesNumber",
    "SeriesDescription",
    "Modality",
    "SOPClassUID",
    "ConvolutionKernel",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
)
# A set of slices is recognised by its study or, where that differs per slice too, by its coordinate system.
_FRAMES_OF_SETS = ("StudyInstanceUID", "FrameOfReferenceUID")


@dataclass
class FileGroup:
    """Files that are one series.

    Attributes:
        uid: Series Instance UID, of the first file where each has its own; empty if the header names none.
        patient: Patient ID of the first file; never shown or written.
        files: the files, copies left out.
        warnings: what was odd about the identifiers.
    """

    uid: str
    patient: str
    files: list[ImageFile]
    warnings: list[CTWarning] = field(default_factory=list)


def group_files(images: Iterable[ImageFile]) -> list[FileGroup]:
    """Group image files into series, in the order found."""
    by_uid: dict[tuple[str, ...], list[ImageFile]] = defaultdict(list)
    for image in images:
        uid = image.text("SeriesInstanceUID")
        by_uid[(uid,) if uid else ("", image.text("StudyInstanceUID"), *_signature(image))].append(image)
    groups = [group for (uid, *_), files in by_uid.items() for group in _by_patient(uid, files)]
    for frame in _FRAMES_OF_SETS:
        groups = _joined(groups, frame)
    for group in groups:
        _drop_copies(group)
    return groups


def _signature(image: ImageFile) -> tuple[str, ...]:
    return tuple(image.text(keyword) for keyword in _SHARED)


def _by_patient(uid: str, files: list[ImageFile]) -> list[FileGroup]:
    """One series UID with several patients: two series if each has slices enough, else one whose IDs were scrambled."""
    patients: dict[str, list[ImageFile]] = defaultdict(list)
    for file in files:
        patients[file.text("PatientID")].append(file)
    warnings = [] if uid else [_no_uid()]
    enough = all(sum(file.frames for file in own) >= MIN_SLICES for own in patients.values())
    if len(patients) == 1 or enough:
        return [FileGroup(uid, patient, own, [*warnings]) for patient, own in patients.items()]
    return [FileGroup(uid, next(iter(patients)), files, [*warnings, _patient_ids(len(patients))])]


def _joined(groups: list[FileGroup], frame: str) -> list[FileGroup]:
    """Join groups that are too small to be a series and alike in everything except their identifiers."""
    alike: dict[tuple[str, ...], list[FileGroup]] = defaultdict(list)
    for group in groups:
        head = group.files[0]
        if sum(file.frames for file in group.files) < MIN_SLICES and head.text(frame):
            alike[(head.text(frame), *_signature(head))].append(group)
    joined: dict[int, FileGroup | None] = {}
    for parts in alike.values():
        files = [file for part in parts for file in part.files]
        if len(parts) < 2 or len(files) < MIN_SLICES:
            continue
        text = f"{len(parts)} series UIDs in slices of the same study, number and grid: they were read as one series."
        warnings = [CTWarning("series-uids-differ", text)]
        patients = len({part.patient for part in parts})
        warnings += [_patient_ids(patients)] if patients > 1 else []
        joined |= {id(part): None for part in parts}
        joined[id(parts[0])] = FileGroup(parts[0].uid, parts[0].patient, files, warnings)
    settled = (joined.get(id(group), group) for group in groups)
    return [group for group in settled if group is not None]


def _drop_copies(group: FileGroup) -> None:
    """The same file copied twice into the folder counts once; other files may share its instance UID by mistake."""
    seen: dict[str, list[ImageFile]] = defaultdict(list)
    kept: list[ImageFile] = []
    for file in group.files:
        uid = file.text("SOPInstanceUID")
        if uid and any(_is_copy(file, other) for other in seen[uid]):
            continue
        seen[uid].append(file)
        kept.append(file)
    group.files = kept
    repeated = sum(len(files) for uid, files in seen.items() if uid and len(files) > 1)
    if repeated:
        text = f"{repeated} slices share their instance UID with another: each was read as a separate slice."
        group.warnings.append(CTWarning("instance-uids-same", text))


def _is_copy(file: ImageFile, other: ImageFile) -> bool:
    place = "ImagePositionPatient"
    alike = file.size == other.size and file.text(place) == other.text(place)
    return alike and filecmp.cmp(file.path, other.path, shallow=False)


def _no_uid() -> CTWarning:
    return CTWarning("series-uid-missing", "The header has no series UID: matching slices were read as one series.")


def _patient_ids(count: int) -> CTWarning:
    text = f"The slices of the series carry {count} patient IDs: check that they belong to one patient."
    return CTWarning("patient-ids-differ", text)
