"""How normal lungs are distributed over CT numbers, and how far a patient's are from it (papers.md row P4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.ct.volume import HU_MIN
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.quantification.histogram import HU_BINS, JointHistogram
from COVIDQuantLib.resources import resource_path
from COVIDQuantLib.system.json_file import read_json

# Wide enough that the sampling noise of one scan does not count as distance, narrow against the lung's peak.
BIN_WIDTH_HU = 16
FORMAT = "covidquant-normal-reference/1"
_REBUILD = "Rebuild it with 'covidquant reference'."


@dataclass(frozen=True)
class NormalReference:
    """The mean CT number distribution of normal lungs.

    Attributes:
        frequency: float64 ``[256]``, sums to one; bins of 16 HU from −1024.
        subjects: one record per normal CT: name, licence, lung volume, how its lungs were found.
    """

    frequency: np.ndarray
    subjects: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, lungs: Sequence[np.ndarray], subjects: Sequence[dict[str, Any]]) -> NormalReference:
        """The mean of subjects' distributions, each subject with the same weight.

        Args:
            lungs: per subject the counts of its lung voxels by HU, ``[4096]``.
            subjects: their records.

        Raises:
            ValueError: no subject, or a subject without lung voxels.
        """
        if not lungs:
            raise ValueError("a normal reference needs at least one normal CT")
        return cls(np.mean([distribution(counts) for counts in lungs], axis=0), tuple(subjects))

    @classmethod
    def read(cls, path: Path) -> NormalReference:
        """A reference from its file.

        Raises:
            UnfitInputError: the file is not one.
        """
        try:
            return cls._from_record(read_json(path, _REBUILD))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnfitInputError(
                f"not a normal reference ({error})", str(path), _REBUILD, code="reference-damaged"
            ) from error

    @classmethod
    def _from_record(cls, record: dict[str, Any]) -> NormalReference:
        if record["format"] != FORMAT or record["bin_width_hu"] != BIN_WIDTH_HU or record["first_hu"] != HU_MIN:
            raise ValueError("another format")
        frequency = np.asarray(record["frequency"], dtype=np.float64)
        if frequency.shape != (HU_BINS // BIN_WIDTH_HU,) or abs(frequency.sum() - 1.0) > 1e-6:
            raise ValueError("frequencies do not sum to one")
        return cls(frequency, tuple(record["subjects"]))

    def as_record(self) -> dict[str, Any]:
        """The reference as its file holds it."""
        return {
            "format": FORMAT,
            "first_hu": HU_MIN,
            "bin_width_hu": BIN_WIDTH_HU,
            "subjects": list(self.subjects),
            "frequency": [float(f"{value:.9g}") for value in self.frequency / self.frequency.sum()],
        }


@cache
def shipped_reference() -> NormalReference:
    """The reference that ships with COVIDQuant; its subjects' records say what it is made of."""
    return NormalReference.read(resource_path("Reference", "normal_lung_histogram.json"))


def lung_counts(histogram: JointHistogram) -> np.ndarray:
    """Counts ``[4096]`` of all lung voxels by HU, lesion or not."""
    return histogram.region(WHOLE_LUNG.labels).sum(axis=0)


def distribution(counts: np.ndarray) -> np.ndarray:
    """Counts by HU ``[4096]`` as frequencies in bins of 16 HU ``[256]``.

    Raises:
        ValueError: nothing was counted.
    """
    total = counts.sum()
    if total == 0:
        raise ValueError("a distribution needs at least one voxel")
    return counts.reshape(-1, BIN_WIDTH_HU).sum(axis=1) / total


def hellinger_distance(p: np.ndarray, q: np.ndarray) -> float:
    """Hellinger distance of two frequency distributions, 0 (same) to 1 (disjoint): sqrt(1 − Σ sqrt(p·q))."""
    return float(np.sqrt(max(0.0, 1.0 - np.sqrt(p * q).sum())))


def intersection_over_union(p: np.ndarray, q: np.ndarray) -> float:
    """Overlap of two frequency distributions, 1 (same) to 0 (disjoint): Σ min(p, q) / Σ max(p, q)."""
    return float(np.minimum(p, q).sum() / np.maximum(p, q).sum())
