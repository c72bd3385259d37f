"""Read and write Slicer's ``TerminologyEntry`` tag of a segment, without Slicer."""

from __future__ import annotations

from COVIDQuantLib.anatomy import Code, Terminology

TAG = "TerminologyEntry"
# Names of the shipped dictionaries under Resources/Terminologies; readers compare codes, not these.
CATEGORY_CONTEXT = "Segmentation category and type - COVIDQuant"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
_PARTS = 7


def serialize(terminology: Terminology) -> str:
    """The seven parts of Slicer's terminology entry joined by ``~``, each code as ``scheme^value^meaning``."""
    return "~".join(
        (
            CATEGORY_CONTEXT,
            _code_text(terminology.category),
            _code_text(terminology.type),
            _code_text(terminology.modifier),
            REGION_CONTEXT,
            _code_text(terminology.region),
            _code_text(None),
        )
    )


def parse(entry: str) -> Terminology | None:
    """The codes of a terminology entry; None if it is not one or names no category and type."""
    parts = entry.split("~")
    if len(parts) != _PARTS:
        return None
    category, kind = _code(parts[1]), _code(parts[2])
    if category is None or kind is None:
        return None
    return Terminology(category, kind, _code(parts[3]), _code(parts[5]))


def _code_text(code: Code | None) -> str:
    return "^^" if code is None else f"{code.scheme}^{code.value}^{code.meaning}"


def _code(text: str) -> Code | None:
    scheme, value, *meaning = [*text.split("^"), "", ""]
    return Code(scheme, value, meaning[0]) if scheme and value else None
