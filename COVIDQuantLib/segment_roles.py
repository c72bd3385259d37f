"""Which segments are the lobes and the pneumonia: found by ID or by terminology, never by name or order."""

from __future__ import annotations

from COVIDQuantLib.anatomy import COVID_19, INFILTRATE, LESION, LOBES, LUNG, MIDDLE_LOBE, Code, Terminology

# Roles beside the lobes' label values 1..5.
NO_ROLE = 0
LESION_ROLE = 1 + max(lobe.label for lobe in LOBES)

_ROLE_OF_ID = {lobe.segment_id: lobe.label for lobe in LOBES} | {LESION.segment_id: LESION_ROLE}


def role_of(segment_id: str, terminology: Terminology | None) -> int:
    """What a segment stands for: a lobe's label value, ``LESION_ROLE``, or ``NO_ROLE``.

    Our own ID decides; any other segment is recognised by its codes, so that the lobes of TotalSegmentator
    or of a reader count as well.

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
    return next((lobe.label for lobe in LOBES if _is_lobe(terminology, lobe.terminology)), NO_ROLE)


def _is_lobe(given: Terminology, lobe: Terminology) -> bool:
    if not _same(given.type, lobe.type):
        return False
    # There is one middle lobe, so its side may go without saying (TotalSegmentator leaves it out).
    return _same(given.modifier, lobe.modifier) or (given.modifier is None and _same(lobe.type, MIDDLE_LOBE))


def _is_lesion(given: Terminology) -> bool:
    return (
        _same(given.type, INFILTRATE)
        and (given.modifier is None or _same(given.modifier, COVID_19))
        and (given.region is None or _same(given.region, LUNG))
    )


def _same(one: Code | None, other: Code | None) -> bool:
    return one is not None and other is not None and (one.scheme, one.value) == (other.scheme, other.value)
