"""Tell the archive why a series was not quantified: a text report in its study, where a site wants it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, generate_uid

from COVIDQuantLib import __version__
from COVIDQuantLib.ct.dicom.headers import PATIENT_MODULE, STUDY_MODULE
from COVIDQuantLib.node.config import NodeConfig
from COVIDQuantLib.node.durable import images_in
from COVIDQuantLib.node.gather import Gathering
from COVIDQuantLib.node.ledger import Ledger, Unit
from COVIDQuantLib.system.atomic_files import write_folder_atomically

_log = logging.getLogger(__name__)

FILE = "reason_sr.dcm"
# Type 2 of the patient and study modules (PS3.3, C.7.1.1 and C.7.2.1): present, empty if not known.
_ALWAYS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_IDENTITY = (*PATIENT_MODULE, *STUDY_MODULE, "SpecificCharacterSet", "StudyInstanceUID", "SeriesInstanceUID")
_IMAGE = ("SOPClassUID", "SOPInstanceUID")
# Not in the range of a scanner's series, nor of the results'.
_SERIES_NUMBER = 309
_TITLE = "Pneumonia on this CT was not quantified"


class Reasons:
    """Makes the report of every series that was put aside, and owes it to the destinations; once for each reason.

    Args:
        config: whether it is wanted, and the destinations.
        ledger: the queue.
        gathering: where the images are.
        folder: where the result of a unit's run lies.
    """

    def __init__(
        self, config: NodeConfig, ledger: Ledger, gathering: Gathering, folder: Callable[[str, int], Path]
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._gathering = gathering
        self._folder = folder

    def step(self) -> None:
        """Tell what has not been told.

        Raises:
            OutputError: the disk is full, for example; it is tried again.
        """
        if not self._config.results["say_why"] or not self._config.destinations:
            return
        for unit in self._ledger.untold():
            images = images_in(self._gathering.folder(unit.key))
            if images:
                self._tell(unit, images)

    def _tell(self, unit: Unit, images: list[Path]) -> None:
        run = unit.run + 1
        report = reason_report(images, unit.reason)
        with write_folder_atomically(self._folder(unit.key, run)) as folder:
            report.save_as(folder / FILE, enforce_file_format=True)
        destinations = [one.name for one in self._config.destinations]
        files = [(FILE, str(report.SOPClassUID), str(report.SOPInstanceUID))]
        with self._ledger.change():
            self._ledger.owe(unit.key, run, files, destinations)
            self._ledger.set(unit.key, run=run, told=unit.reason, at=unit.at)
        shutil.rmtree(self._folder(unit.key, unit.run), ignore_errors=True)


def reason_report(images: list[Path], why: str) -> Dataset:
    """A Basic Text SR (PS3.3, A.35.1) that says why a series was not quantified.

    Args:
        images: files of the series.
        why: the reason, with its code.
    """
    head = dcmread(images[0], stop_before_pixels=True, specific_tags=[*_IDENTITY, *_IMAGE])
    report, meta, now = Dataset(), FileMetaDataset(), datetime.now(UTC).astimezone()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = report.SOPClassUID = BasicTextSRStorage
    meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID = generate_uid(prefix=None)
    report.file_meta = meta
    for keyword in _ALWAYS:
        setattr(report, keyword, None)
    for keyword in _IDENTITY[:-1]:
        if keyword in head:
            report[keyword] = head[keyword]
    report.SeriesInstanceUID, report.Modality = generate_uid(prefix=None), "SR"
    report.SeriesNumber, report.InstanceNumber = _SERIES_NUMBER, 1
    report.SeriesDescription = "COVIDQuant: not quantified"
    report.Manufacturer, report.SoftwareVersions = "COVIDQuant", __version__
    report.ReferencedPerformedProcedureStepSequence = report.PerformedProcedureCodeSequence = []
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.ContentDate, report.ContentTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    report.CurrentRequestedProcedureEvidenceSequence = [_evidence(head, images)]
    report.ValueType, report.ContinuityOfContent = "CONTAINER", "SEPARATE"
    report.ConceptNameCodeSequence = [_code("18782-3", "LN", "Radiology Study observation (findings)")]
    texts = [_text(_TITLE), _text(why)]
    report.ContentSequence = texts
    return report


def _evidence(head: Dataset, images: list[Path]) -> Dataset:
    """The images that the report is about, all of one study; those of the first image's series."""
    study, series = Dataset(), Dataset()
    references = []
    for path in images:
        one = dcmread(path, stop_before_pixels=True, specific_tags=[*_IMAGE, "SeriesInstanceUID"])
        if one.SeriesInstanceUID == head.SeriesInstanceUID:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
            references.append(item)
    series.SeriesInstanceUID, series.ReferencedSOPSequence = head.SeriesInstanceUID, references
    study.StudyInstanceUID, study.ReferencedSeriesSequence = head.StudyInstanceUID, [series]
    return study


def _text(words: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = [_code("121106", "DCM", "Comment")]
    # The character set is the source's, which may lack other than ASCII letters.
    item.TextValue = words.encode("ascii", "replace").decode("ascii")
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
