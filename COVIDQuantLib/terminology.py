"""The terminology dictionary for Slicer's Segment Editor, generated from the regions of ``anatomy.py``."""

from __future__ import annotations

from typing import Any

from COVIDQuantLib.anatomy import INFILTRATE, LESION, LOBES, Code, Colour, LesionKind, Lobe
from COVIDQuantLib.terminology_text import CATEGORY_CONTEXT

_SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/segment-context-schema.json#"


def dictionary() -> dict[str, Any]:
    """``Resources/Terminologies/COVIDQuant.term.json``: categories, types and modifiers of our segments."""
    categories: dict[Code, dict[Code, list[tuple[Code | None, str, Colour]]]] = {}
    kinds: tuple[Lobe | LesionKind, ...] = (*LOBES, LESION)
    for kind in kinds:
        terms = kind.terminology
        types = categories.setdefault(terms.category, {})
        types.setdefault(terms.type, []).append((terms.modifier, kind.name, kind.colour))
    # Pneumonia of another or unknown cause has the same code without the modifier.
    categories[LESION.terminology.category][INFILTRATE].append((None, "infiltrate", LESION.colour))
    return {
        "SegmentationCategoryTypeContextName": CATEGORY_CONTEXT,
        "@schema": _SCHEMA,
        "SegmentationCodes": {
            "Category": [
                _record(category) | {"showAnatomy": category == LESION.terminology.category, "Type": _types(types)}
                for category, types in categories.items()
            ]
        },
    }


def _types(types: dict[Code, list[tuple[Code | None, str, Colour]]]) -> list[dict[str, Any]]:
    records = []
    for code, uses in types.items():
        record = _record(code)
        modifiers = [
            _record(modifier) | _shown(name, colour) for modifier, name, colour in uses if modifier is not None
        ]
        plain = [(name, colour) for modifier, name, colour in uses if modifier is None]
        if plain:
            record |= _shown(*plain[0])
        if modifiers:
            record["Modifier"] = modifiers
        records.append(record)
    return records


def _record(code: Code) -> dict[str, Any]:
    return {"CodingSchemeDesignator": code.scheme, "CodeValue": code.value, "CodeMeaning": code.meaning}


def _shown(name: str, colour: Colour) -> dict[str, Any]:
    return {"recommendedDisplayRGBValue": [round(255 * part) for part in colour], "3dSlicerLabel": name}
