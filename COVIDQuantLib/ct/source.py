"""Where a CT came from: the facts that a result may tell, and beside them what stays in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from COVIDQuantLib.ct.files.input_files import shown


@dataclass(frozen=True)
class SourceImage:
    """The stored image that one section of a CT was read from.

    Attributes:
        sop_class: SOP Class UID.
        sop_instance: SOP Instance UID.
        frame: frame number from 1 in a multi-frame image; None in an image of one section.
        shift: where its first voxel lies in the CT's grid, ``(j, i)``; not zero if a tilted stack was straightened.
        path: the file; None if it is not known. In memory only.
    """

    sop_class: str
    sop_instance: str
    frame: int | None = None
    shift: tuple[int, int] = (0, 0)
    path: Path | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class DicomIdentity:
    """What names a DICOM series: a segmentation or report made from it refers to these and repeats its modules.

    Attributes:
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        frame_of_reference_uid: Frame of Reference UID; empty if the images have none.
        images: the image of every section, in the order of the CT's sections.
        patient: attributes of the patient module by keyword, as the first image has them; absent ones left out.
        study: the same of the study module.
    """

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    images: tuple[SourceImage, ...]
    patient: Mapping[str, str] = field(default_factory=dict)
    study: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class CTSource(Mapping[str, Any]):
    """Where a CT came from.

    As a mapping it is its facts alone, so that whoever writes or prints a source cannot tell more than those.

    Attributes:
        facts: what ``metrics.json`` says of the input (docs/output.md): name, series, thickness, kernel ...; the
            writers put hashes for names.
        path: file or folder that was read; None if it was made or is in a scene. For messages, never written.
        dicom: what names the series; None if it is no DICOM. In memory only; no file holds it unless a writer is
            asked to identify.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    path: Path | None = field(default=None, repr=False)
    dicom: DicomIdentity | None = field(default=None, repr=False)

    def __getitem__(self, key: str) -> Any:
        return self.facts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def text(self, key: str) -> str:
        """A fact as text; empty if it is not known."""
        value = self.facts.get(key)
        return "" if value is None else str(value)

    @property
    def where(self) -> str:
        """What a message calls the CT: its series or name with the path, whatever of them is known."""
        name = self.text("series_description") or self.text("name") or self.text("node")
        if self.path is None:
            return name
        path = shown(self.path)
        return f"{path} ({name})" if name and name != self.path.name else path

    def without_identity(self) -> CTSource:
        """The same without what names the DICOM series and its patient, for another process."""
        return CTSource(dict(self.facts), self.path)
