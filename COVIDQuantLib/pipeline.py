"""The whole job from a CT in memory to its figures, the same for the panel, the command line and a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from COVIDQuantLib.anatomy import LOBES, labels_of_side
from COVIDQuantLib.ct.checks import check_lungs
from COVIDQuantLib.ct.geometry import Reorientation
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.progress import Report, Stage, StagedProgress
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.segmentation.lesions import find_lesions
from COVIDQuantLib.segmentation.lobes import find_lobes
from COVIDQuantLib.segmentation.lungs import Lungs, find_lungs
from COVIDQuantLib.segmentation.lungs_given import part_lungs
from COVIDQuantLib.segmentation.result import Segmentation

_Result = TypeVar("_Result")

MODEL_FREE = "model-free"
METHODS = (MODEL_FREE,)

# Seconds on two cores for a 512×512×300 phantom; only their shares matter.
STAGES: tuple[Stage, ...] = (
    Stage("lungs", 15.5),
    Stage("lobes", 4.5),
    Stage("lesions", 5.0),
    Stage("figures", 0.2),
)


@dataclass(frozen=True)
class GivenMasks:
    """Label arrays on the CT's grid that take the place of a step, each with the name of where it came from.

    Attributes:
        lungs: nonzero in the lungs.
        lobes: label values 0..5 of the contract.
        lesions: nonzero in the pneumonia.
        sources: per key (``lungs``, ``lobes``, ``lesions``) the file or node it came from.
    """

    lungs: np.ndarray | None = None
    lobes: np.ndarray | None = None
    lesions: np.ndarray | None = None
    sources: dict[str, str] = field(default_factory=dict)


def quantify_ct(
    ct: CTVolume,
    given: GivenMasks | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    progress: StagedProgress | None = None,
) -> Exam:
    """Lungs, lobes, lesions and figures of a CT by the path that needs no model (papers.md row P2).

    Args:
        ct: a checked CT in any orientation.
        given: masks that take the place of a step.
        thresholds: bounds of ground glass and consolidation.
        progress: told of the stages of ``STAGES``; may raise ``Cancelled``.

    Raises:
        UnfitInputError: no lungs, or a given mask cannot be what it is said to be.
        UsageError: given lobes and given lungs together.
    """
    progress = progress or StagedProgress(STAGES)
    segmentation = segment_ct(ct, given or GivenMasks(), progress)
    with progress.stage("figures"):
        histogram = JointHistogram.of(
            ct.hu, segmentation.lobes, segmentation.lesions, ct.geometry.voxel_volume_ml, ct.padding
        )
        metrics = compute_metrics(histogram, thresholds)
    return Exam(ct, segmentation, histogram, metrics)


def segment_ct(ct: CTVolume, given: GivenMasks, progress: StagedProgress) -> Segmentation:
    """Lobes and lesions of a CT on its own grid; arguments and errors as in :func:`quantify_ct`."""
    if given.lobes is not None and given.lungs is not None:
        raise UsageError("lobes and lungs were both given", remedy="The lobes are the lungs: give one of them.")
    upright, turn = ct.canonical()
    steps = _Steps(upright, turn, given, progress)
    lobes = steps.lobes()
    lesions = steps.lesions(lobes)
    if upright.padding is not None:
        lobes[upright.padding] = 0
        lesions &= ~upright.padding
    return Segmentation(turn.undo(lobes), turn.undo(lesions), steps.provenance, steps.warnings)


class _Steps:
    """The steps on the canonical grid, each taking the user's mask where one was given."""

    def __init__(self, ct: CTVolume, turn: Reorientation, given: GivenMasks, progress: StagedProgress) -> None:
        self._ct = ct
        self._turn = turn
        self._given = given
        self._progress = progress
        self._airways: np.ndarray | None = None
        self.provenance: dict[str, dict[str, str]] = {}
        self.warnings: list[CTWarning] = []

    def lobes(self) -> np.ndarray:
        """uint8 label values of the lobes."""
        given = self._given_mask("lobes")
        if given is not None:
            _check_given_lobes(given, self._given.sources.get("lobes", ""))
            lobes = given.astype(np.uint8)
            self.warnings += check_lungs(lobes, self._ct)
            return lobes
        lungs = self._lungs()
        return self._made("lobes", lambda report: find_lobes(self._ct, lungs, report))

    def lesions(self, lobes: np.ndarray) -> np.ndarray:
        """Bool mask of the pneumonia."""
        given = self._given_mask("lesions")
        if given is not None:
            return given != 0
        lungs = _sides(lobes)
        return self._made("lesions", lambda report: find_lesions(self._ct, lungs, self._airways, report))

    def _lungs(self) -> np.ndarray:
        given = self._given_mask("lungs")
        if given is not None:
            if not given.any():
                raise UnfitInputError("the lung mask is empty on this CT", self._given.sources.get("lungs", ""))
            lungs = part_lungs(given, self._ct.geometry)
        else:
            found: Lungs = self._made("lungs", lambda report: find_lungs(self._ct, report))
            self._airways = found.airways
            lungs = found.mask
        self.warnings += check_lungs(lungs, self._ct)
        return lungs

    def _given_mask(self, step: str) -> np.ndarray | None:
        mask: np.ndarray | None = getattr(self._given, step)
        if mask is None:
            return None
        if mask.shape != self._turn.source.shape:
            raise ValueError(f"the {step} of shape {mask.shape} are not on the CT's grid {self._turn.source.shape}")
        self.provenance[step] = {"method": "given", "source": self._given.sources.get(step, "")}
        return np.ascontiguousarray(self._turn.apply(mask))

    def _made(self, step: str, make: Callable[[Report], _Result]) -> _Result:
        with self._progress.stage(step) as report:
            result = make(report)
        self.provenance[step] = {"method": MODEL_FREE}
        return result


def _sides(lobes: np.ndarray) -> np.ndarray:
    """Lungs (1 right, 2 left) of lobes."""
    table = np.zeros(256, np.uint8)
    table[list(labels_of_side("right"))] = 1
    table[list(labels_of_side("left"))] = 2
    return table[lobes]


def _check_given_lobes(lobes: np.ndarray, source: str) -> None:
    """Refuse lobes whose values are not the contract's; other programs number them differently."""
    values = np.unique(lobes)
    known = {0, *(lobe.label for lobe in LOBES)}
    order = ", ".join(f"{lobe.label} {lobe.name}" for lobe in LOBES)
    if not set(values.tolist()) <= known:
        raise UnfitInputError(f"label values {values.tolist()} are not lobes", source, f"Expected {order}.")
    if not lobes.any():
        raise UnfitInputError("there is no lobe on this CT", source, "Give the lobes of the same exam.")
    middle = [np.nonzero(np.isin(lobes, labels_of_side(side)).any(axis=(0, 1)))[0] for side in ("right", "left")]
    if all(len(columns) for columns in middle) and np.mean(middle[0]) > np.mean(middle[1]):
        raise UnfitInputError("right lobes lie to the left of left lobes", source, f"Expected {order}.")
