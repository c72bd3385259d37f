"""Identify the segments of lobes and pneumonia by ID or terminology, never by name or order."""

from __future__ import annotations

from COVIDQuantLib.anatomy import COVID_19, INFILTRATE, LESION, LOBES, LUNG, MIDDLE_LOBE, Code, Terminology

# Roles beside the lobes' label values 1..5.
NO_ROLE = 0
LESION_ROLE = 1 + max(lobe.label for lobe in LOBES)

# SNOMED RT codes, written by older DICOM software and Slicer under these names, as SNOMED CT (PS3.16, CID 6170).
_SNOMED_RT = {"SRT", "SNM3", "99SDM"}
_SCT_OF_RT = {
    "T-28820": "45653009",
    "T-28300": "72481006",
    "T-28830": "90572001",
    "T-28000": "39607008",
    "G-A100": "24028007",
    "G-A101": "7771000",
    "T-D000A": "123037004",
    "M-01000": "49755003",
}
# Codes that include the side.
_LOBE_OF_SIDED_CODE = {"42400003": 1, "72481006": 2, "266005": 3, "44714003": 4, "41224006": 5}

_ROLE_OF_ID = {lobe.segment_id: lobe.label for lobe in LOBES} | {LESION.segment_id: LESION_ROLE}


def role_of(segment_id: str, terminology: Terminology | None) -> int:
    """The role of a segment: a lobe's label value, ``LESION_ROLE``, or ``NO_ROLE``.

    Our own ID decides; any other segment is recognised by its codes, so that lobes from TotalSegmentator or drawn by a
    reader are recognised too.

    Args:
        segment_id: ID of the segment in its segmentation.
        terminology: its terminology entry, None if it has none.
    """
    if segment_id in _ROLE_OF_ID:
        return _ROLE_OF_ID[segment_id]
    if terminology is None:
        return NO_ROLE
    if _is_lesion(terminology):
        return LESION_ROLE
    coded = next((lobe.label for lobe in LOBES if _is_lobe(terminology, lobe.terminology)), NO_ROLE)
    return coded or _sided(terminology)


def _is_lobe(given: Terminology, lobe: Terminology) -> bool:
    if not _same(given.type, lobe.type):
        return False
    # There is only one middle lobe, so its side may be missing (as in TotalSegmentator).
    return _same(given.modifier, lobe.modifier) or (given.modifier is None and _same(lobe.type, MIDDLE_LOBE))


def _sided(given: Terminology) -> int:
    label = _LOBE_OF_SIDED_CODE.get(sct_value(given.type), NO_ROLE)
    if label == NO_ROLE or given.modifier is None:
        return label
    return label if any(_same(given.modifier, x.terminology.modifier) for x in LOBES if x.label == label) else NO_ROLE


def _is_lesion(given: Terminology) -> bool:
    return (
        _same(given.type, INFILTRATE)
        and (given.modifier is None or _same(given.modifier, COVID_19))
        and (given.region is None or _same(given.region, LUNG))
    )


def sct_value(code: Code) -> str:
    """The value of a code in SNOMED CT; empty if it is of another scheme or unknown."""
    if code.scheme == "SCT":
        return code.value
    return _SCT_OF_RT.get(code.value, "") if code.scheme in _SNOMED_RT else ""


def _same(one: Code | None, other: Code | None) -> bool:
    return one is not None and other is not None and bool(sct_value(one)) and sct_value(one) == sct_value(other)
