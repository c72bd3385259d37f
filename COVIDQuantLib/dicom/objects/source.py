"""The series that DICOM results refer to: whether it has what they need, and the headers of its images."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from COVIDQuantLib.ct.dicom.headers import PATIENT_MODULE, STUDY_MODULE, printable
from COVIDQuantLib.ct.dicom.open import open_dicom
from COVIDQuantLib.ct.source import CTSource, DicomIdentity
from COVIDQuantLib.dicom.objects.algorithms import MANUFACTURER, MODEL_NAME, software_version
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.voxels.geometry import Geometry

# What a refusal offers instead.
OFFER = "Leave DICOM out: segmentation.seg.nrrd and metrics.json hold the same result."
_PACKAGE = "highdicom"
# What names an image, and what may not be empty (PS3.3, types 1); everything else may be written empty (type 2).
_UIDS = {
    "study_uid": "Study Instance UID",
    "series_uid": "Series Instance UID",
    "frame_of_reference_uid": "Frame of Reference UID",
}
# All that is taken from the images: patient, study, trial and de-identification, what places a frame, what names it.
_ATTRIBUTES = (
    *PATIENT_MODULE,
    *STUDY_MODULE,
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "Modality",
    "Manufacturer",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
)
_SEXES = {"M", "F", "O"}
_AGE = re.compile(r"\d{3}[DWMY]")
_DAY = re.compile(r"(?:19|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_TIME = re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,6})?)?)?")
_TOLD = 5


def check_source(source: CTSource) -> DicomIdentity:
    """Whether results can be written as DICOM, before any work is done for them.

    Raises:
        UnfitInputError: the CT is not DICOM (``dicom-no-source``) or lacks what an object must refer to
            (``dicom-incomplete``).
        UsageError: a package is missing (``dicom-package``).
    """
    if find_spec(_PACKAGE) is None:
        raise UsageError(
            "writing DICOM needs highdicom, which is not installed",
            remedy='pip install "COVIDQuant[dicom]"',
            code="dicom-package",
        )
    identity = source.dicom
    if identity is None:
        what = "results can only be written as DICOM if the CT is DICOM: they refer to its images"
        raise UnfitInputError(what, source.where, OFFER, code="dicom-no-source")
    missing = _missing(identity)
    if missing:
        raise UnfitInputError(
            f"its images lack what DICOM results must refer to: {'; '.join(missing)}",
            source.where,
            f"Export the series again from the archive. {OFFER}",
            code="dicom-incomplete",
        )
    return identity


def _missing(identity: DicomIdentity) -> list[str]:
    missing = [title for key, title in _UIDS.items() if not _is_uid(getattr(identity, key))]
    bad = [n for n, image in enumerate(identity.images, start=1) if not _is_uid(image.sop_instance)]
    if bad:
        missing.append(f"SOP Instance UID (of section {', '.join(map(str, bad[:_TOLD]))}{' …' * (len(bad) > _TOLD)})")
    names = [(image.sop_instance, image.frame) for image in identity.images]
    if not bad and len(set(names)) < len(names):
        missing.append("a SOP Instance UID for each image (two have the same)")
    if any(image.path is None for image in identity.images):
        missing.append("the files of the images")
    elif len({image.path for image in identity.images if image.frame is not None}) > 1:
        missing.append("one multi-frame image (the sections are in several)")
    return missing


def _is_uid(text: str) -> bool:
    return bool(text) and UID(text).is_valid


@dataclass(frozen=True)
class SourceSeries:
    """The images that a result refers to, with the CT's grid.

    Attributes:
        identity: what names them.
        geometry: the CT's grid; section k lies on image k.
        where: what a message calls the CT.
    """

    identity: DicomIdentity
    geometry: Geometry
    where: str

    @cached_property
    def headers(self) -> list[Dataset]:
        """The headers without pixels: one per section, in the CT's order, or that of the multi-frame image.

        Raises:
            UnfitInputError: a file is gone or has changed since it was read (``dicom-changed``).
        """
        found: dict[Path, Dataset] = {}
        for image in self.identity.images:
            path = image.path
            if path is not None and path not in found:
                found[path] = self._header(path, image.sop_instance)
        return list(found.values())

    @property
    def is_multiframe(self) -> bool:
        """Whether all sections are frames of one image."""
        return self.identity.images[0].frame is not None

    def _header(self, path: Path, sop_instance: str) -> Dataset:
        try:
            with warnings.catch_warnings(), open_dicom(path) as stream:
                warnings.simplefilter("ignore")
                header = dcmread(stream, stop_before_pixels=True, force=True, specific_tags=[*_ATTRIBUTES])
                same = str(header.get("SOPInstanceUID", "")) == sop_instance
                if same:
                    _tidy(header)
        except Exception as error:
            raise self._changed(path, f"cannot be read any more ({type(error).__name__})") from error
        if not same:
            raise self._changed(path, "is another image than the one that was quantified")
        return header

    def _changed(self, path: Path, how: str) -> UnfitInputError:
        return UnfitInputError(
            f"{printable(path.name)} {how}", self.where, f"Quantify the CT again. {OFFER}", code="dicom-changed"
        )

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of the images."""
        header = self.headers[0]
        return int(header.Rows), int(header.Columns)

    def section(self, labels: np.ndarray, k: int) -> np.ndarray:
        """What lies on image k of labels ``[k, j, i]`` on the CT's grid: a view of the image's rows and columns."""
        j, i = self.identity.images[k].shift
        rows, columns = self.matrix
        return labels[k, j : j + rows, i : i + columns]

    def new_series(self, offset: int, description: str, new_uid: Callable[[], str]) -> dict[str, Any]:
        """What names a new series of one object and the equipment that made it, as highdicom's classes take it.

        Args:
            offset: its number within those that a result adds, after 100 × the CT's.
            description: Series Description.
            new_uid: makes a UID.
        """
        return {
            "series_instance_uid": new_uid(),
            "series_number": self._series_number + offset,
            "series_description": description,
            "sop_instance_uid": new_uid(),
            "instance_number": 1,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL_NAME,
            "software_versions": software_version(),
            "device_serial_number": software_version(),
            "specific_character_set": "ISO_IR 192",
        }

    @property
    def _series_number(self) -> int:
        try:
            number = int(self.headers[0].get("SeriesNumber") or 0)
        except (TypeError, ValueError):
            number = 0
        return 100 * number if 0 < number < 10_000_000 else 9000


def _tidy(header: Dataset) -> None:
    """Texts in Unicode, empty where the standard asks for the attribute, and no value that would not be valid."""
    header.decode()
    # pydicom keeps the bytes of a name as they were read, in the character set that they were read in.
    header.walk(_as_text)
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (*PATIENT_MODULE, *STUDY_MODULE, "Manufacturer", "SeriesNumber"):
        if keyword not in {"IssuerOfPatientID", "StudyDescription"} and keyword not in header:
            setattr(header, keyword, "")
    for keyword, valid in (("PatientBirthDate", _DAY), ("StudyDate", _DAY), ("StudyTime", _TIME)):
        if not valid.fullmatch(str(header.get(keyword, ""))):
            setattr(header, keyword, "")
    if str(header.get("PatientSex", "")) not in _SEXES:
        header.PatientSex = ""
    if not _AGE.fullmatch(str(header.get("PatientAge", "000Y"))):
        del header.PatientAge
    for keyword in ("IssuerOfPatientID", "StudyDescription"):
        if keyword in header and not str(header.get(keyword) or ""):
            delattr(header, keyword)


def _as_text(dataset: Dataset, element: Any) -> None:
    if element.VR == "PN" and element.VM == 1:
        dataset[element.tag].value = str(element.value)
