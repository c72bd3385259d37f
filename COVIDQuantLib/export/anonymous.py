"""Remove identifying information from an exam: hashes replace names of files, folders and series, and UIDs.

The same name always has the same hash, so the same exam can be recognised; but someone with a list of names can try
them. Technical facts (scanner, kernel, thickness, spacing) and all measurements stay as they are. The exam date is
omitted: there are so few possible dates that a hash would hide nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from COVIDQuantLib.anatomy import REGIONS
from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.reader_records import EDIT_RECORD

# Prefix of replaced texts.
HASHED = "sha256:"
_DIGITS = 16

# Texts of the source that are technical facts.
_FACTS = {"format", "modality", "manufacturer", "model", "kernel", "hashed", "patient_check"}
# Texts of the source that are left out.
_DATES = {"acquisition_date"}
# Texts of the source that this program writes itself; they may contain names.
_WORDED = {"phase", "chosen_because", "reason", "other_files"}
# Keys of the provenance whose texts are names; the names of models and networks are not a patient's.
_NAMED = {"source", "sources", "file", "files", "path", "folder", "node", "volume", "series"}

_UID = re.compile(r"\b\d+(?:\.\d+){4,}")
_QUOTED = re.compile(r"“([^”]*)”")
_ENDING = r"\.(?:nii|gz|nrrd|nhdr|mha|mhd|dcm|dicom|ima|img|hdr|raw|zip|json|jpe?g|png|tiff?|pdf|txt|csv|xml)\b"
# From the last comma, colon or bracket on, because file names may have spaces.
_FILE = re.compile(rf"[^,;:()“”]*{_ENDING}", re.IGNORECASE)
_PATH = re.compile(r"(?:[A-Za-z]:\\|~?/|\.{1,2}/|\\\\)[^,;()“”]+")
# A shorter name would also match inside other words.
_SHORTEST = 3
_OUR_NAMES = {*(region.name for region in REGIONS), "lesions", "lungs", "lobes", "pneumonia"}


def hashed(text: str) -> str:
    """The replacement of a text: ``sha256:`` and 16 hexadecimal digits of its SHA-256; '' stays."""
    if not text or text.startswith(HASHED):
        return text
    return HASHED + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def without_names(exam: Exam) -> Exam:
    """The exam with hashes instead of names in its source, provenance and warnings; arrays and measurements are shared.

    Text from the input inside a warning must be quoted with “ and ”, or be a file name.
    """
    source, provenance = exam.ct.source, exam.segmentation.provenance
    known = sorted({*_names_in(source), *_names_of_masks(provenance)}, key=len, reverse=True)

    def worded(text: str) -> str:
        return redacted(text, known)

    ct = replace(
        exam.ct,
        # Neither the path nor what names the series goes along.
        source=CTSource({**_hashed_source(source, "", worded), "hashed": True}),
        warnings=[_hashed_warning(warning, worded) for warning in exam.ct.warnings],
    )
    segmentation = replace(
        exam.segmentation,
        provenance=_hashed_provenance(provenance, "", worded),
        warnings=[_hashed_warning(warning, worded) for warning in exam.segmentation.warnings],
    )
    return replace(exam, ct=ct, segmentation=segmentation, records=_hashed_records(exam.records, worded))


def _hashed_records(records: Mapping[str, Any], worded: Callable[[str], str]) -> dict[str, Any]:
    """The further entries: what the edit record repeats of the provenance; a reader's own comment stays."""
    shown = dict(records)
    edits = shown.get(EDIT_RECORD)
    if edits is not None:
        steps = _hashed_provenance(edits["ai"]["steps"], "", worded)
        shown[EDIT_RECORD] = {**edits, "ai": {**edits["ai"], "steps": steps}}
    return shown


def redacted(text: str, known: Collection[str] = ()) -> str:
    """A sentence of this program with hashes instead of the names in it.

    Args:
        text: the sentence.
        known: names that may occur in it, longest first.
    """
    for name in known:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda found: hashed(found[0]), text)
    text = _QUOTED.sub(lambda found: f"“{hashed(found[1])}”", text)
    for pattern in (_UID, _PATH, _FILE):
        text = pattern.sub(_kept_space, text)
    return text


def _kept_space(found: re.Match[str]) -> str:
    name = found[0].lstrip()
    return found[0][: len(found[0]) - len(name)] + hashed(name)


def _hashed_warning(warning: CTWarning, worded: Callable[[str], str]) -> CTWarning:
    text = warning.message
    if warning.code.startswith("segment"):
        # Segment names come last; they may be any text.
        head, mark, names = text.rpartition(": ")
        text = head + mark + ", ".join(map(_hashed_segment, names.split(", "))) if mark else text
    return CTWarning(warning.code, worded(text))


def _hashed_segment(name: str) -> str:
    return name if name.strip(". ").lower() in _OUR_NAMES else hashed(name)


def _hashed_source(value: Any, key: str, worded: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _hashed_source(item, str(name), worded) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hashed_source(item, key, worded) for item in value]
    if value is None or isinstance(value, (bool, int, float)) or key in _FACTS:
        return value
    if key in _DATES:
        return ""
    if key in _WORDED:
        return worded(str(value))
    return value if _is_number(value) else hashed(str(value))


def _is_number(value: Any) -> bool:
    """Whether it is not a name: a NumPy number, or the few digits of a series number."""
    return not isinstance(value, str) or (value.isascii() and value.isdigit() and len(value) <= 4)


def _hashed_provenance(value: Any, key: str, worded: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _hashed_provenance(item, str(name), worded) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hashed_provenance(item, key, worded) for item in value]
    if not isinstance(value, str):
        return value
    if key == "sha256":
        return value
    return hashed(value) if key in _NAMED else worded(value)


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a record, with its key or that of the list around it."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, str(name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item, key)
    elif isinstance(value, str):
        yield key, value


def _names_in(source: Any) -> Iterator[str]:
    """Every text of a source to be hashed, and the file names without extensions."""
    for key, text in _texts(source):
        if key not in _FACTS | _WORDED | _DATES and not _is_number(text):
            yield from _long_enough(text)


def _names_of_masks(provenance: Any) -> Iterator[str]:
    for key, text in _texts(provenance):
        if key in _NAMED:
            yield from _long_enough(text)


def _long_enough(text: str) -> Iterator[str]:
    name = PurePath(text).name
    for part in {text, name, name.partition(".")[0]}:
        if len(part) >= _SHORTEST and part.lower() not in _OUR_NAMES and not part.isdigit():
            yield part
