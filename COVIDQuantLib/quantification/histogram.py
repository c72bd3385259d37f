"""The joint histogram: counts[lobe label, lesion or not, HU], from which every figure follows exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from COVIDQuantLib.anatomy import LABEL_COUNT
from COVIDQuantLib.ct.files.size_limits import MAX_VOXELS
from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN
from COVIDQuantLib.voxels.box import map_threads

HU_BINS = HU_MAX - HU_MIN + 1
HU_VALUES = np.arange(HU_MIN, HU_MAX + 1)
# A slab's working arrays stay in the processor's cache at about this many voxels.
_SLAB_VOXELS = 1 << 20
# Larger than any voxel of a CT; what is read back from a file stays below.
_MAX_VOXEL_ML = 1000.0


@dataclass
class JointHistogram:
    """Voxel counts by lobe, lesion and CT number.

    Attributes:
        counts: int64 ``[6 labels, 2, 4096]``: label 0 is outside every lobe; second axis 0 is no lesion, 1 is
            lesion; third axis is HU from −1024. Outside the lobes only lesion voxels are counted.
        voxel_volume_ml: volume of one voxel, millilitres.
        zones: by name of a zone of the CT the counts within it, axes as of ``counts``; what is missing was not counted.
    """

    voxel_volume_ml: float
    counts: np.ndarray = field(default_factory=lambda: np.zeros((LABEL_COUNT, 2, HU_BINS), np.int64))
    zones: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        hu: np.ndarray,
        lobes: np.ndarray,
        lesions: np.ndarray,
        voxel_volume_ml: float,
        padding: np.ndarray | None = None,
        zones: Mapping[str, np.ndarray] | None = None,
    ) -> JointHistogram:
        """Count a whole volume.

        Args:
            hu: integer Hounsfield units ``[k, j, i]``; clipped to −1024..3071 as they are counted.
            lobes: label values 0..5, same shape.
            lesions: nonzero in lesion, same shape.
            voxel_volume_ml: volume of one voxel.
            padding: true where nothing was measured; such voxels are never counted.
            zones: by name, where each zone lies, bool; ``quantification/zones.py``.

        Raises:
            ValueError: shapes differ, or a label is not 0..5.
        """
        beyond = {name: ~zone if padding is None else ~zone | padding for name, zone in (zones or {}).items()}
        within = {name: count_voxels(hu, lobes, lesions, outside) for name, outside in beyond.items()}
        return cls(voxel_volume_ml, count_voxels(hu, lobes, lesions, padding), within)

    def replace(self, before: np.ndarray, after: np.ndarray) -> None:
        """Take a box's old counts out and put its new counts in (both as ``count_voxels`` gives them)."""
        self.counts += after - before

    def region(self, labels: tuple[int, ...], zone: str = "") -> np.ndarray:
        """Counts ``[2, 4096]`` of some labels together, within a zone or everywhere.

        Raises:
            KeyError: that zone was not counted.
        """
        counts = self.zones[zone] if zone else self.counts
        return counts[list(labels)].sum(axis=0)

    def as_record(self) -> dict[str, Any]:
        """The counts for ``metrics.json``: per label and lesion state the occupied span of HU bins; zones if any."""
        record: dict[str, Any] = {"voxel_volume_ml": self.voxel_volume_ml, "entries": self._entries(self.counts)}
        if self.zones:
            record["zones"] = {name: self._entries(counts) for name, counts in self.zones.items()}
        return record

    @staticmethod
    def _entries(counts: np.ndarray) -> list[dict[str, Any]]:
        entries = []
        for label, lesion in np.ndindex(counts.shape[:2]):
            row = counts[label, lesion]
            occupied = np.flatnonzero(row)
            if occupied.size:
                first, last = int(occupied[0]), int(occupied[-1])
                entries.append(
                    {
                        "label": int(label),
                        "lesion": bool(lesion),
                        "first_hu": HU_MIN + first,
                        "counts": row[first : last + 1].tolist(),
                    }
                )
        return entries

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> JointHistogram:
        """The histogram that :meth:`as_record` wrote.

        Raises:
            KeyError, TypeError, ValueError, IndexError: it is something else.
        """
        histogram = cls(float(record["voxel_volume_ml"]))
        if not 0.0 < histogram.voxel_volume_ml < _MAX_VOXEL_ML:
            raise ValueError(f"a voxel of {histogram.voxel_volume_ml} mL")
        _read_entries(record["entries"], histogram.counts)
        for name, entries in record.get("zones", {}).items():
            histogram.zones[str(name)] = np.zeros_like(histogram.counts)
            _read_entries(entries, histogram.zones[str(name)])
        return histogram


def _read_entries(entries: Iterable[dict[str, Any]], into: np.ndarray) -> None:
    for entry in entries:
        label, lesion, start = int(entry["label"]), int(entry["lesion"]), int(entry["first_hu"]) - HU_MIN
        counts = np.asarray(entry["counts"])
        if not 0 <= label < LABEL_COUNT or not 0 <= lesion <= 1 or start < 0:
            raise ValueError("a count of no region or CT number")
        if counts.dtype.kind != "i" or counts.ndim != 1 or counts.min() < 0 or counts.max() > MAX_VOXELS:
            raise ValueError("counts are whole numbers of voxels")
        into[label, lesion, start : start + len(counts)] = counts


def count_voxels(
    hu: np.ndarray, lobes: np.ndarray, lesions: np.ndarray, padding: np.ndarray | None = None
) -> np.ndarray:
    """Counts ``[6, 2, 4096]`` of a volume or of any box of it; arguments as in :meth:`JointHistogram.of`."""
    shapes = {hu.shape, lobes.shape, lesions.shape} | ({padding.shape} if padding is not None else set())
    if len(shapes) != 1:
        raise ValueError(f"CT and labels differ in shape: {sorted(shapes)}")
    if hu.size == 0:
        return np.zeros((LABEL_COUNT, 2, HU_BINS), np.int64)
    step = max(1, _SLAB_VOXELS // max(1, hu[0].size))
    slabs = [slice(start, start + step) for start in range(0, len(hu), step)]

    def count(slab: slice) -> np.ndarray:
        return _count_slab(hu[slab], lobes[slab], lesions[slab], None if padding is None else padding[slab])

    if len(slabs) == 1:
        return count(slabs[0])
    total = np.zeros((LABEL_COUNT, 2, HU_BINS), np.int64)
    for counts in map_threads(count, slabs):
        total += counts
    return total


def _count_slab(hu: np.ndarray, lobes: np.ndarray, lesions: np.ndarray, padding: np.ndarray | None) -> np.ndarray:
    if lobes.max() >= LABEL_COUNT or lobes.min() < 0:
        raise ValueError(f"lobe labels must be 0..{LABEL_COUNT - 1}, found {lobes.min()}..{lobes.max()}")
    # One byte per voxel tells the row of the table, so that only two arrays are gathered; row 0 is not counted.
    row = lobes.astype(np.uint8) * np.uint8(2)
    row += lesions != 0
    inside = row != 0
    if padding is not None:
        inside &= ~padding
    values = hu[inside] if hu.dtype == np.int16 else hu[inside].astype(np.int32)
    index = row[inside].astype(np.intp)
    index *= HU_BINS
    index += np.clip(values, HU_MIN, HU_MAX)
    index -= HU_MIN
    return np.bincount(index, minlength=LABEL_COUNT * 2 * HU_BINS).reshape(LABEL_COUNT, 2, HU_BINS)
