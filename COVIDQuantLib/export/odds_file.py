"""``lesion_odds.nrrd``: how sure the networks were of pneumonia at each point of the lungs, beside the segmentation.

An image of signed bytes on the networks' own lattice: log odds in eighths, 0 at the cut above which a point is
pneumonia. What lies far below the cut is all one value, so that the file stays small. It says by a digest of the counts
which segmentation it is of: after an edit it is of another one, and is not used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.export.image_file import write_image
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.readers.identity import digest_of_counts
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

ODDS_FILE = "lesion_odds.nrrd"
_OF = "COVIDQuant_counts_sha256"
# Log odds in eighths: nobody asks how much less than 6 below the cut.
_LEAST = -48
_SAME_DIRECTION = 1e-4


def write_odds(path: Path, odds: OddsMap, geometry: Geometry, histogram: JointHistogram) -> None:
    """Write the networks' log odds of pneumonia.

    Args:
        path: the file; appears complete or not at all.
        odds: of ``lesions``.
        geometry: the CT's own grid, in any orientation.
        histogram: the counts of the segmentation that they are of.

    Raises:
        OutputError: the file cannot be written.
    """
    upright = Reorientation.of(geometry).canonical
    start = [mm / step for mm, step in zip(odds.start[::-1], upright.spacing, strict=True)]
    x, y, z = (float(place) for place in (upright.index_to_lps @ (*start, 1.0))[:3])
    k, j, i = odds.values.shape
    lattice = Geometry((k, j, i), (odds.step[2], odds.step[1], odds.step[0]), (x, y, z), upright.direction)
    image = lattice.to_image(np.maximum(odds.values, np.int8(_LEAST)))
    image.SetMetaData(_OF, digest_of_counts(histogram))
    write_image(image, path, "the networks' odds", "Check free space and permissions.")


def read_odds(path: Path, geometry: Geometry, histogram: JointHistogram) -> OddsMap | None:
    """The log odds that :func:`write_odds` wrote; None if there are none of this very segmentation.

    They only help to find again what another exam shows, so a file that cannot be used is as good as none.

    Args:
        path: the file.
        geometry: the CT's own grid.
        histogram: the counts of the segmentation.
    """
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError:
        return None
    known = image.GetMetaData(_OF) if image.HasMetaDataKey(_OF) else ""
    if known != digest_of_counts(histogram) or image.GetPixelID() != sitk.sitkInt8 or image.GetDimension() != 3:
        return None
    lattice, upright = Geometry.of_image(image), Reorientation.of(geometry).canonical
    if not np.allclose(lattice.direction, upright.direction, atol=_SAME_DIRECTION):
        return None
    first = (np.linalg.inv(upright.index_to_lps) @ (*lattice.origin, 1.0))[2::-1] * upright.spacing_kji
    start = float(first[0]), float(first[1]), float(first[2])
    return OddsMap(sitk.GetArrayFromImage(image), start, lattice.spacing_kji)
