"""Lobes and lesions as NIfTI label maps, for programs that do not read Slicer's segmentations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from COVIDQuantLib.export.image_file import write_image
from COVIDQuantLib.voxels.geometry import Geometry


def write_label_map(path: Path, labels: np.ndarray, geometry: Geometry) -> None:
    """Write one label map; the extension decides the format (``.nii.gz``, ``.nii``, ``.nrrd``, ``.mha``).

    Args:
        path: the file; appears complete or not at all.
        labels: label values 0..255 or a bool mask ``[k, j, i]`` on the grid.
        geometry: the CT's own grid, in any orientation.

    Raises:
        OutputError: the file cannot be written.
        ValueError: the labels are not on the grid.
    """
    image = geometry.to_image(labels.astype(np.uint8, copy=False))
    write_image(image, path, "the label map", "Check the file's extension, free space and permissions.")
