"""Which segmentation a record is about: digests that tell two segmentations apart, wherever one is stored."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.voxels.box import Box, occupied_box

_DIGEST = re.compile(r"(?:[0-9a-f]{64})?")
_LESION_BIT = 8


@dataclass(frozen=True)
class SegmentationIdentity:
    """Digests of one segmentation. A file of figures knows the counts, a file of segments the masks, a scene both.

    Attributes:
        counts: SHA-256 of the joint histogram's counts; empty if unknown.
        masks: SHA-256 of the lobes and lesions within the box that they occupy; empty if unknown. Cropping a file or
            extending it does not change it.
    """

    counts: str = ""
    masks: str = ""

    @classmethod
    def of(
        cls, histogram: JointHistogram | None = None, labels: tuple[np.ndarray, np.ndarray] | None = None
    ) -> SegmentationIdentity:
        """The identity of a segmentation.

        Args:
            histogram: its counts; None if unknown.
            labels: lobes 0..5 and lesions (nonzero in lesion) ``[k, j, i]``; None if unknown.
        """
        return cls(
            "" if histogram is None else digest_of_counts(histogram), "" if labels is None else digest_of_masks(*labels)
        )

    @classmethod
    def from_record(cls, record: Any) -> SegmentationIdentity:
        """The identity that :meth:`as_record` described.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        counts, masks = record["counts_sha256"], record["masks_sha256"]
        for text in (counts, masks):
            if not isinstance(text, str) or not _DIGEST.fullmatch(text):
                raise ValueError("not a SHA-256")
        if not counts and not masks:
            raise ValueError("no digest of the segmentation")
        return cls(counts, masks)

    def as_record(self) -> dict[str, str]:
        """Plain values, for JSON."""
        return {"counts_sha256": self.counts, "masks_sha256": self.masks}

    def differs_from(self, other: SegmentationIdentity) -> bool:
        """Whether they are surely two segmentations: a digest that both have differs."""
        pairs = ((self.counts, other.counts), (self.masks, other.masks))
        return any(mine and theirs and mine != theirs for mine, theirs in pairs)

    def is_surely(self, other: SegmentationIdentity) -> bool:
        """Whether they are one segmentation: they share a digest, and none differs."""
        shared = (self.counts and self.counts == other.counts) or (self.masks and self.masks == other.masks)
        return bool(shared) and not self.differs_from(other)

    def with_more(self, other: SegmentationIdentity) -> SegmentationIdentity:
        """The same segmentation with the digests that only the other knows."""
        return SegmentationIdentity(self.counts or other.counts, self.masks or other.masks)


def digest_of_counts(histogram: JointHistogram) -> str:
    """SHA-256 of a joint histogram's counts."""
    return hashlib.sha256(histogram.counts.astype("<i8").tobytes()).hexdigest()


def digest_of_masks(lobes: np.ndarray, lesions: np.ndarray) -> str:
    """SHA-256 of labels within the box that they occupy.

    Args:
        lobes: label values 0..5 ``[k, j, i]``.
        lesions: nonzero in lesion, same shape.

    Raises:
        ValueError: the shapes differ.
    """
    if lobes.shape != lesions.shape:
        raise ValueError(f"lobes and lesions differ in shape: {lobes.shape}, {lesions.shape}")
    box = _occupied(lobes, lesions)
    if box is None:
        return hashlib.sha256(b"empty").hexdigest()
    found = hashlib.sha256(np.array(box.shape, "<u4").tobytes())
    for lobe_plane, lesion_plane in zip(lobes[box.slices], lesions[box.slices], strict=True):
        joined = (lesion_plane != 0).view(np.uint8) * np.uint8(_LESION_BIT)
        joined |= lobe_plane.astype(np.uint8, copy=False)
        found.update(joined.data)
    return found.hexdigest()


def _occupied(lobes: np.ndarray, lesions: np.ndarray) -> Box | None:
    """The smallest box around both; None if they are empty."""
    whole = Box.of_shape((lobes.shape[0], lobes.shape[1], lobes.shape[2]))
    boxes = [box for labels in (lobes, lesions) if (box := occupied_box(labels, (0, 0, 0), whole)) is not None]
    return boxes[0].hull(boxes[-1]) if boxes else None
