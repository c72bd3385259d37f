"""The values of a mask as whole numbers; apart from the files they came from, so that a worker need not load DICOM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from COVIDQuantLib.errors import UnfitInputError

if TYPE_CHECKING:
    from COVIDQuantLib.ct.files.voxel_data import Voxels

_MAX_LABEL = 65535
# A header's scaling leaves labels this close to integers; probabilities are further off somewhere.
_NEARLY = 0.01
_MOST_SCALED = 10


def whole_labels(values: np.ndarray | Voxels, name: str) -> np.ndarray:
    """Values as labels: whole numbers from 0, uint8 or uint16; slice by slice, to spare memory.

    Args:
        values: ``[k, j, i]``, any number type; as near to whole numbers as a file's scaling leaves them.
        name: where they came from, for messages.

    Raises:
        UnfitInputError: negative, huge or invalid numbers (``mask-no-labels``), or fractions (``mask-probabilities``).
    """
    extremes = [(plane.min(), plane.max()) for plane in values if plane.size]
    low, high = (float(np.min(extremes)), float(np.max(extremes))) if extremes else (0.0, 0.0)
    if not low >= -_NEARLY or not high <= _MAX_LABEL:
        raise UnfitInputError(
            f"values from {low:g} to {high:g} are not labels",
            name,
            "Give a mask: 0 outside, whole numbers inside.",
            code="mask-no-labels",
        )
    kind = np.uint8 if high < 255.5 else np.uint16
    if np.issubdtype(values.dtype, np.integer) or values.dtype == bool:
        return (values if isinstance(values, np.ndarray) else values.whole()).astype(kind, copy=False)
    labels = np.empty(values.shape, kind)
    for k, plane in enumerate(values):
        whole = np.rint(plane)
        # A slope close to 1 shifts a label in proportion.
        if not (np.abs(plane - whole) <= _NEARLY * np.clip(whole, 1, _MOST_SCALED)).all():
            raise UnfitInputError(
                "values are not whole numbers, so they are not labels",
                name,
                "Threshold probabilities into a mask first.",
                code="mask-probabilities",
            )
        labels[k] = whole
    return labels
