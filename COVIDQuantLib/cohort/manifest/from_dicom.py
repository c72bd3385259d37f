"""Make a manifest from a tree of DICOM files: a line per chest CT series, one of each study chosen.

Folders are read one after the other, so that a tree of any size fits into memory. Patients are numbered in the order in
which the tree has them, and exams by date; neither names nor dates are written unless they are asked for.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from COVIDQuantLib.ct.dicom.exam import acquisition_date
from COVIDQuantLib.ct.dicom.file_search import Findings, images_among
from COVIDQuantLib.ct.dicom.headers import ImageFile
from COVIDQuantLib.ct.dicom.series.choice import rate, shows_lungs
from COVIDQuantLib.ct.dicom.series.listing import SeriesInfo, group_series
from COVIDQuantLib.ct.dicom.series.stack import stack_frames
from COVIDQuantLib.ct.files.input_files import check_input, shown
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.anonymous import redacted
from COVIDQuantLib.export.csv_file import Cell, write_rows
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.system.atomic_files import OutputFolder

MANIFEST_FILE, SERIES_FILE = "manifest.csv", "series.csv"
FILES = (MANIFEST_FILE, SERIES_FILE)
SEARCHING = "searching"
_NOT_CHOSEN = "another series of the study was chosen"


@dataclass(frozen=True)
class FoundSeries:
    """A DICOM series of the tree.

    Attributes:
        path: the folder that holds it.
        key: names it in the folder (``--series``).
        identity: what one patient's series share; never written.
        label: the patient ID, or name, as it stands; written only if asked for.
        study: Study Instance UID.
        day, time: of the exam as DICOM has them; empty if unknown.
        name: number and description, for messages.
        number, description, kernel: of the header.
        thickness: of a section, millimetres.
        slices: number of sections.
        score: points of the choice among the series of a study.
        points: of the score, in words.
        why_not: why it is not to be quantified; empty if it is.
        used: whether it is the one of its study that is chosen.
        patient, exam: pseudonyms: ``P0001``, ``E1``.
    """

    path: Path
    key: str
    identity: tuple[str, ...]
    label: str
    study: str
    day: str
    time: str
    name: str
    number: str
    description: str
    kernel: str
    thickness: float | None
    slices: int
    score: float
    points: str
    why_not: str = ""
    used: bool = False
    patient: str = ""
    exam: str = ""

    @property
    def shown(self) -> str:
        """The series for a message on the terminal."""
        return f"{shown(self.path)}, {self.name}"


def series_below(tree: Path, report: Report = silent) -> list[FoundSeries]:
    """Every DICOM series below a folder, sorted by patient, exam and series.

    Args:
        tree: the folder; links to folders are not followed, hidden files and folders are left out.
        report: progress.

    Raises:
        UnfitInputError: it is no folder, cannot be read, or holds no DICOM image.
    """
    check_input(tree, folder=True)
    if not tree.is_dir():
        raise UnfitInputError("this is a file", shown(tree), "Give the folder that holds the patients.", "not-a-folder")
    gathered = _Gathered()
    folders = [(Path(folder), names) for folder, names in _folders(tree.absolute()) if names]
    for number, (folder, names) in enumerate(folders):
        report(number / len(folders))
        gathered.add(folder, images_among([folder / name for name in names]))
    found = gathered.series()
    report(1.0)
    if not found:
        raise UnfitInputError("there is no DICOM image below the folder", shown(tree), "Check it.", code="no-image")
    return _chosen(_named(found))


def _folders(tree: Path) -> Iterator[tuple[str, list[str]]]:
    for folder, inner, names in os.walk(tree):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        files = sorted(name for name in names if not name.startswith("."))
        yield folder, [name for name in files if (Path(folder) / name).is_file()]


@dataclass
class _Gathered:
    """Series by folder; one whose files lie in several folders is put together at the end."""

    found: list[FoundSeries] = field(default_factory=list)
    folders: dict[str, dict[Path, str]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, folder: Path, findings: Findings) -> None:
        series = group_series(findings.images)
        for uid in dict.fromkeys(one.uid for one in series):
            instances = sorted(file.text("SOPInstanceUID") for one in series if one.uid == uid for file in one.files)
            self.folders[uid][folder] = hashlib.sha256("\n".join(instances).encode()).hexdigest()
        self.found += _described(folder, series, findings)

    def series(self) -> list[FoundSeries]:
        # Folders with the same images hold copies, those with different ones the parts of a series.
        scattered = {uid: at for uid, at in self.folders.items() if uid and len(set(at.values())) > 1}
        kept = [one for one in self.found if one.key.partition("#")[0] not in scattered]
        for uid, folders in scattered.items():
            files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
            findings = images_among([path for path in files if not path.name.startswith(".")])
            findings.images = [image for image in findings.images if image.text("SeriesInstanceUID") == uid]
            top = Path(os.path.commonpath(folders))
            kept += _described(top, group_series(findings.images), findings)
        return kept


def _described(folder: Path, series: Sequence[SeriesInfo], findings: Findings) -> list[FoundSeries]:
    rate(series)
    damaged = f"; {len(findings.damaged)} damaged files lie beside it" if findings.damaged else ""
    found = []
    for one in series:
        head, why = one.head, _why_not(one)
        found.append(
            FoundSeries(
                folder,
                one.key,
                _identity(head),
                head.text("PatientID") or head.text("PatientName"),
                head.text("StudyInstanceUID"),
                acquisition_date(head),
                head.text("AcquisitionTime") or head.text("StudyTime"),
                one.name,
                one.number,
                one.description,
                one.kernel,
                one.thickness,
                len(one.frames),
                one.score,
                ", ".join(one.points),
                f"{why}{damaged}" if why else "",
            )
        )
    return found


def _why_not(series: SeriesInfo) -> str:
    if series.why_not:
        return series.why_not
    try:
        stack_frames(series.frames, series.name)
    except UnfitInputError as error:
        return error.what
    seen = shows_lungs(series)
    if seen is None:
        return "its pixels cannot be read"
    return "" if seen else "no lungs were found in three of its slices"


def _identity(head: ImageFile) -> tuple[str, ...]:
    """What one patient's files share: the ID; without one name and date of birth; without those the study."""
    number = head.text("PatientID").casefold()
    if number:
        return ("id", number, head.text("IssuerOfPatientID").casefold())
    name = head.text("PatientName").casefold()
    return ("name", name, head.text("PatientBirthDate")) if name else ("study", head.text("StudyInstanceUID"))


def _named(found: Sequence[FoundSeries]) -> list[FoundSeries]:
    """The series with pseudonyms: patients numbered in the order of the tree, their studies by date."""
    patients = {identity: n for n, identity in enumerate(dict.fromkeys(one.identity for one in found), start=1)}
    studies: dict[tuple[str, ...], dict[str, tuple[str, str, str]]] = defaultdict(dict)
    for one in found:
        when = (one.day or "9999", one.time, one.study)
        studies[one.identity][one.study] = min(when, studies[one.identity].get(one.study, when))
    numbers = {
        (identity, study): n
        for identity, whens in studies.items()
        for n, study in enumerate(sorted(whens, key=lambda study: whens[study]), start=1)
    }
    named = [
        replace(one, patient=f"P{patients[one.identity]:04d}", exam=f"E{numbers[one.identity, one.study]}")
        for one in found
    ]
    return sorted(named, key=lambda one: (patients[one.identity], numbers[one.identity, one.study]))


def _chosen(found: Sequence[FoundSeries]) -> list[FoundSeries]:
    """The series, the best of each study marked; the exams of the others are told apart by a number."""
    best: dict[tuple[str, str], int] = {}
    for index, one in enumerate(found):
        key = (one.patient, one.exam)
        if not one.why_not and (key not in best or _rank(one) > _rank(found[best[key]])):
            best[key] = index
    kept = []
    others: dict[tuple[str, str], int] = defaultdict(lambda: 1)
    for index, one in enumerate(found):
        key = (one.patient, one.exam)
        if best.get(key) == index:
            kept.append(replace(one, used=True))
        elif one.why_not:
            kept.append(one)
        else:
            others[key] += 1
            kept.append(replace(one, exam=f"{one.exam}.{others[key]}"))
    place = {(one.identity, one.study): index for index, one in reversed(list(enumerate(found)))}
    return sorted(kept, key=lambda one: (place[one.identity, one.study], not one.used, bool(one.why_not), -one.score))


def _rank(one: FoundSeries) -> tuple[float, int]:
    return one.score, one.slices


def put_manifest(found: Sequence[FoundSeries], out: OutputFolder, *, dates: bool, identify: bool) -> list[Path]:
    """Write the manifest, and the list of all series with the reason for each, into a set of files.

    Args:
        found: the series.
        out: where to.
        dates: write the day of each exam.
        identify: write patient IDs and descriptions as they are.

    Raises:
        OutputError: a file cannot be written.
    """
    out.write(MANIFEST_FILE, lambda path: write_rows(path, _manifest_rows(found, dates=dates, identify=identify)))
    out.write(SERIES_FILE, lambda path: write_rows(path, _series_rows(found, identify=identify)))
    return [out.path / name for name in FILES]


def _patient(one: FoundSeries, *, identify: bool) -> str:
    return one.label if identify and one.label else one.patient


def _manifest_rows(found: Iterable[FoundSeries], *, dates: bool, identify: bool) -> Iterator[list[Cell]]:
    days = ["date"] if dates else []
    yield ["patient", "exam", "path", "series", "use", *days, "slices", "thickness_mm", "kernel"]
    for one in found:
        if one.why_not:
            continue
        head: list[Cell] = [_patient(one, identify=identify), one.exam, str(one.path), one.key]
        day: list[Cell] = [one.day] if dates else []
        yield [*head, "yes" if one.used else "no", *day, one.slices, one.thickness, one.kernel]


def _series_rows(found: Iterable[FoundSeries], *, identify: bool) -> Iterator[list[Cell]]:
    described = ["description"] if identify else []
    yield [
        "patient",
        "exam",
        "path",
        "series",
        "number",
        *described,
        "slices",
        "thickness_mm",
        "score",
        "chosen",
        "reason",
    ]
    for one in found:
        reason = one.why_not or (one.points if one.used else f"{_NOT_CHOSEN} ({one.points})")
        known = [] if identify else [name for name in (one.description, one.label, *one.identity[1:]) if len(name) > 2]
        head: list[Cell] = [_patient(one, identify=identify), one.exam, str(one.path), one.key, one.number]
        text: list[Cell] = [one.description] if identify else []
        told = reason if identify else redacted(reason, sorted(known, key=len, reverse=True))
        yield [*head, *text, one.slices, one.thickness, round(one.score, 1), "yes" if one.used else "no", told]
