"""Tracking identifiers: the same for the same lobe or lesion of a patient in every result.

A UID is 2.25 and 122 bits of a SHA-256, as of a name-based UUID, so that anyone who has the same result makes the same
one. A lobe's follows from the patient. A lesion's follows from the exam in which it was first seen and the voxel where
it begins there; a later exam inherits it through the follow-up of lesions (``lineage.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from COVIDQuantLib.ct.source import DicomIdentity
from COVIDQuantLib.export.anonymous import hashed


@dataclass(frozen=True)
class Tracked:
    """What is followed from exam to exam.

    Attributes:
        name: Tracking Identifier, for people.
        uid: Tracking Unique Identifier.
    """

    name: str
    uid: str


def uid_of(*words: str) -> str:
    """The UID of some words: the same words, the same UID."""
    digest = hashlib.sha256("\n".join(("COVIDQuant", *words)).encode("utf-8", "surrogateescape")).digest()
    number = int.from_bytes(digest[:16], "big")
    # The version and variant of a UUID whose bits are its maker's own (RFC 9562, version 8).
    for bits, place, value in ((0xF, 76, 8), (0x3, 62, 2)):
        number = number & ~(bits << place) | (value << place)
    return f"2.25.{number}"


def exam_key(series_uid: str, phase: str = "") -> str:
    """What a lesion's first exam is known by, in DICOM and in files without names alike: hashes of both."""
    return f"{hashed(series_uid)} {hashed(phase)}".strip()


@dataclass(frozen=True)
class Tracking:
    """The tracking identifiers of one result.

    Attributes:
        patient: what the patient is known by; the study if the ID is empty.
        exam: :func:`exam_key` of this exam.
        inherited: ID of a lesion in this exam → what it was tracked as before.
    """

    patient: str
    exam: str
    inherited: Mapping[str, Tracked] = field(default_factory=dict)

    @classmethod
    def of_exam(cls, identity: DicomIdentity, phase: str, inherited: Mapping[str, Tracked] | None = None) -> Tracking:
        """The identifiers of a result of a series.

        Args:
            identity: of the series.
            phase: which phase of it; empty if it has one.
            inherited: what :func:`COVIDQuantLib.dicom.lineage.inherited_tracking` found in an earlier exam.
        """
        number = identity.patient.get("PatientID", "")
        patient = f"{identity.patient.get('IssuerOfPatientID', '')}\n{number}" if number else identity.study_uid
        return cls(patient, exam_key(identity.series_uid, phase), inherited or {})

    def of(self, region: str) -> Tracked:
        """A region of the table or the pneumonia as a whole."""
        return Tracked(region, uid_of("region", self.patient, region))

    def lesion(self, lesion: str) -> Tracked:
        """A lesion by the ID of its component, ``k-j-i``."""
        if lesion in self.inherited:
            return self.inherited[lesion]
        uid = uid_of("lesion", self.exam, lesion)
        return Tracked(f"lesion {uid[-6:]}", uid)
