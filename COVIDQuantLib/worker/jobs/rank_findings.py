"""Rank lesion components by suspicion, in a background process. Nothing of Slicer is imported here."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.progress import Report
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.suspicion import Finding, rank
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation
from COVIDQuantLib.voxels.label_codec import decode_labels, parted_labels


def ranked(
    values: np.ndarray,
    geometry: Geometry,
    kept: str,
    thresholds: Thresholds,
    report: Report,
    lobes: np.ndarray | None = None,
    lesions: np.ndarray | None = None,
) -> list[Finding]:
    """:func:`~COVIDQuantLib.review.suspicion.rank` of a CT in any orientation.

    Args:
        values: HU ``[k, j, i]``, any number type.
        geometry: their grid.
        kept: lobes and lesions as text (``voxels/label_codec.py``); empty if they are given as arrays.
        thresholds: for the effect of a removal.
        report: progress.
        lobes: label values 0..5, of the shape of the values.
        lesions: bool, same shape.

    Raises:
        UnfitInputError: the text is damaged.
    """
    ct = CTVolume.from_values(values, geometry)
    if lobes is None or lesions is None:
        lobes, lesions = parted_labels(decode_labels(kept))
    counts = JointHistogram.of(ct.hu, lobes, lesions, geometry.voxel_volume_ml, ct.padding)
    turn = Reorientation.of(geometry)
    hu, ill, of_lobe = (turn.apply(array) for array in (ct.hu, lesions, lobes))
    return rank(hu, ill, of_lobe, turn.canonical.spacing_kji, histogram=counts, thresholds=thresholds, report=report)
