"""How the figures were made, in words: the sentence to cite, the models' identity, the versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.report.identity import shortened
from COVIDQuantLib.report.plain_values import mapping

CITATION = "COVIDQuant contributors. COVIDQuant: quantification of COVID-19 pneumonia on chest CT for 3D Slicer."
_DIGITS = 12
_STEPS = ("lungs", "lobes", "lesions")
_NAMES = {"lungs": "lungs", "lobes": "lobes", "lesions": "pneumonia"}
_PAPERS = "Huang 2020, Pan 2021, Changsha 2020, Yoo 2022"


def methods_sentence(record: Mapping[str, Any], thresholds: Thresholds) -> str:
    """What a paper would say of these figures.

    Args:
        record: of the exam, as ``metrics.json`` holds it.
        thresholds: of ground glass and consolidation in the report.
    """
    steps = {name: mapping(mapping(record.get("segmentation")).get(name)) for name in _STEPS}
    made = [f"{_NAMES[name]} {_by(step)}" for name, step in steps.items() if step]
    version = shortened(str(mapping(record.get("software")).get("COVIDQuant", "")))
    segmented = f" ({'; '.join(made)})" if made else ""
    return (
        f"Pneumonia was quantified on chest CT with COVIDQuant {version}{segmented}: extent is the share of lung "
        f"volume that is lesion, weight its mass at (HU + 1000) g/L; ground glass is lesion from {thresholds.ggo_hu} "
        f"to below {thresholds.consolidation_hu} HU, consolidation from {thresholds.consolidation_hu} HU on; the CT "
        f"score is 0 to 5 for each lobe ({_PAPERS})."
    ).replace(" -", " −")


def _by(step: Mapping[str, Any]) -> str:
    method, model = str(step.get("method", "")), mapping(step.get("model"))
    if model:
        return shortened(f"by the network {model.get('name', 'unnamed')} {model.get('version', '')}".strip())
    return {"given": "given as masks", "model-free": "by image processing without a network"}.get(
        method, f"by {shortened(method) or 'an unknown method'}"
    )


def identity_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """The models with the beginning of their weights' SHA-256, and the versions of the software."""
    for step in _STEPS:
        model = mapping(mapping(mapping(record.get("segmentation")).get(step)).get("model"))
        if model:
            digests = ", ".join(
                f"{shortened(str(name))} {str(digest)[:_DIGITS]}…"
                for name, digest in mapping(model.get("sha256")).items()
            )
            named = f"{model.get('name', 'unnamed')} {model.get('version', '')}".strip()
            yield shortened(f"Model for {_NAMES[step]}: {named}") + (
                f"; SHA-256 of its weights: {digests}" if digests else ""
            )
    versions = [
        f"{shortened(str(name))} {shortened(str(value))}" for name, value in mapping(record.get("software")).items()
    ]
    if versions:
        yield f"Software: {', '.join(versions)}"


def input_line(record: Mapping[str, Any]) -> str:
    """Technical facts of the CT on one line; nothing that names anybody."""
    source, grid = mapping(record.get("input")), mapping(record.get("geometry"))
    told = [shortened(str(source[key])) for key in ("manufacturer", "model", "format") if source.get(key)]
    if source.get("kernel"):
        told.append(f"kernel {shortened(str(source['kernel']))}")
    thickness = source.get("slice_thickness_mm")
    if isinstance(thickness, (int, float)):
        told.append(f"sections of {thickness:g} mm")
    spacing, shape = grid.get("spacing_mm_ijk"), grid.get("shape_kji")
    if isinstance(spacing, (list, tuple)) and isinstance(shape, (list, tuple)) and len(spacing) == len(shape) == 3:
        size = " × ".join(str(n) for n in reversed(shape))
        told.append(f"{size} voxels of {' × '.join(f'{float(mm):.3g}' for mm in spacing)} mm")
    return ", ".join(told)
