"""How the lobes and the lesions of a result were made, as DICOM's algorithm identification says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import COVIDQuantLib
from COVIDQuantLib.anatomy import LESION, LOBES, Code
from COVIDQuantLib.dicom.objects.codes import ARTIFICIAL_INTELLIGENCE, MANUAL_PROCESSING, MORPHOLOGICAL_OPERATIONS
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.review.status import Figures
from COVIDQuantLib.structures import plain

AUTOMATIC, SEMIAUTOMATIC = "AUTOMATIC", "SEMIAUTOMATIC"
MANUFACTURER, MODEL_NAME = "COVIDQuant project", "COVIDQuant"
_FAMILY = {
    "network": ARTIFICIAL_INTELLIGENCE,
    "model-free": MORPHOLOGICAL_OPERATIONS,
    "given": MANUAL_PROCESSING,
}
_MAX_TEXT = 64


@dataclass(frozen=True)
class Algorithm:
    """What made some segments.

    Attributes:
        type: Segment Algorithm Type: ``AUTOMATIC``, or ``SEMIAUTOMATIC`` if a person gave or edited them.
        name: of the model or method.
        version: of the model, or of COVIDQuant.
        family: its coded family (CID 7162).
        parameters: what else identifies it.
    """

    type: str
    name: str
    version: str
    family: Code
    parameters: Mapping[str, str]


def software_version() -> str:
    """The version of COVIDQuant that writes."""
    return COVIDQuantLib.__version__


def figures_of(exam: Exam) -> Figures:
    """Whether the segments are as the program found them, edited or accepted by a reader."""
    review = exam.segmentation.provenance.get("review")
    told = review.get("figures") if isinstance(review, Mapping) else None
    try:
        return Figures(str(told)) if told else Figures.AI
    except ValueError:
        return Figures.AI


def edited_segments(exam: Exam) -> set[str]:
    """IDs of the segments that a reader has edited; every one of ours if only that some were is known."""
    review = exam.segmentation.provenance.get("review")
    told = review.get("edited") if isinstance(review, Mapping) else None
    if isinstance(told, (list, tuple)):
        return {str(name) for name in told}
    ours = {LESION.segment_id, *(lobe.segment_id for lobe in LOBES)}
    return ours if figures_of(exam) is Figures.EDITED else set()


def algorithm_of(exam: Exam, step: str, *, edited: bool = False) -> Algorithm:
    """What made the lobes or lesions of an exam.

    Args:
        exam: the exam.
        step: ``lobes`` or ``lesions``.
        edited: whether a reader has edited the segment.
    """
    made = exam.segmentation.provenance.get(step)
    record: Mapping[str, Any] = made if isinstance(made, Mapping) else {}
    method = str(record.get("method") or "unknown")
    model = record.get("model")
    kind = SEMIAUTOMATIC if edited or method not in {"network", "model-free"} else AUTOMATIC
    family = _FAMILY.get(method, MANUAL_PROCESSING)
    if isinstance(model, Mapping):
        name = plain(str(model.get("name") or step), _MAX_TEXT)
        weights = model.get("sha256")
        digests = weights if isinstance(weights, Mapping) else {}
        parameters = {plain(f"SHA-256 of {file}"): str(digest) for file, digest in sorted(digests.items())}
        return Algorithm(
            kind, name, plain(str(model.get("version") or software_version()), _MAX_TEXT), family, parameters
        )
    name = "mask given by the user" if method == "given" else f"COVIDQuant {plain(method, 40)} {step}"
    return Algorithm(kind, name, software_version(), family, {})
