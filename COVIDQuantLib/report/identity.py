"""Who a report is about. Nothing of this is written unless somebody asked for it."""

from __future__ import annotations

from dataclasses import dataclass

from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.errors import UsageError

_LONGEST = 120
# Keyword of DICOM's patient and study modules and its name on the page.
_PATIENT = (("PatientID", "ID"), ("PatientBirthDate", "born"), ("PatientSex", "sex"))
_DATE = "acquisition_date"


@dataclass(frozen=True)
class ReportIdentity:
    """What a report says about the patient when it is asked to.

    Attributes:
        name: the patient's name, or any other heading the user gave.
        details: further facts in words, e.g. ``("ID", "123")``.
    """

    name: str = ""
    details: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, source: CTSource) -> ReportIdentity:
        """The name, ID, birth date, sex and exam date of a DICOM exam.

        Raises:
            UsageError: the CT is not DICOM, or names nobody.
        """
        dicom = source.dicom
        patient = {} if dicom is None else dicom.patient
        name = shortened(" ".join(str(patient.get("PatientName", "")).replace("^", " ").split()))
        details = [(words, shortened(_day(str(patient[key])))) for key, words in _PATIENT if patient.get(key)]
        if not name and not details:
            raise UsageError(
                "the CT does not say whose it is, so the report cannot",
                source.where,
                "Leave --report-identity out, or head the report with a text of your own (--report-label).",
                "report-no-identity",
            )
        if source.text(_DATE):
            details.append(("exam of", source.text(_DATE)))
        return cls(name, tuple(details))


def shortened(text: str) -> str:
    """One line of printable characters, cut where it would not fit the page."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _day(text: str) -> str:
    """A DICOM date as people write it; anything else as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text
