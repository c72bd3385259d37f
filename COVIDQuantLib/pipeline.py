"""The whole job from a CT in memory to its measurements, the same for the panel, the command line and batches."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from COVIDQuantLib.checks.run import run_checks
from COVIDQuantLib.ct.checks.run import check_lungs
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.progress import Report, Stage, StagedProgress, part
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.quantification.zones import zone_masks
from COVIDQuantLib.segmentation.lesions.model_free import find_lesions
from COVIDQuantLib.segmentation.lobes.connectivity import make_whole
from COVIDQuantLib.segmentation.lobes.model_free import find_lobes
from COVIDQuantLib.segmentation.lobes.smoothing import smooth_lobes
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.segmentation.lungs.model_free import Lungs, find_lungs
from COVIDQuantLib.segmentation.lungs.sides import sides_of_lobes
from COVIDQuantLib.segmentation.lungs.user_lungs import part_lungs
from COVIDQuantLib.segmentation.masks.placement import MaskFit, check_lesions_fit, taken_as
from COVIDQuantLib.segmentation.patient.bounds import ChestBounds, Patient, find_chest, find_patient
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Reorientation

if TYPE_CHECKING:
    from COVIDQuantLib.inference.networks import Networks

_Result = TypeVar("_Result")

NETWORK, MODEL_FREE = "network", "model-free"
METHODS = (NETWORK, MODEL_FREE)

# Seconds on two cores for a 512×512×300 phantom; only their ratios matter.
STAGES_OF: dict[str, tuple[Stage, ...]] = {
    NETWORK: (Stage("lobes", 10.0), Stage("lesions", 5.0), Stage("checks", 1.5), Stage("figures", 0.2)),
    MODEL_FREE: (
        Stage("lungs", 15.5),
        Stage("lobes", 4.5),
        Stage("lesions", 5.0),
        Stage("checks", 1.5),
        Stage("figures", 0.2),
    ),
}


@dataclass(frozen=True)
class Plan:
    """How to find lungs, lobes and lesions.

    Attributes:
        method: ``network`` or ``model-free``.
        device: where networks run: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        lobes_model: bundle for the lungs and lobes, by name or folder; None for the shipped one.
        lesions_model: bundle for the lesions, likewise.
    """

    method: str = NETWORK
    device: str = "auto"
    lobes_model: str | None = None
    lesions_model: str | None = None

    def __post_init__(self) -> None:
        """Validate the plan.

        Raises:
            UsageError: an unknown method, or a device or model with the model-free method.
        """
        if self.method not in METHODS:
            raise UsageError(f"there is no method {self.method!r}", remedy=f"Choose one of {', '.join(METHODS)}.")
        if self.method == NETWORK:
            return
        if self.device not in {"auto", "cpu"}:
            raise UsageError(
                f"the {self.method} method runs on the CPU, not on {self.device}",
                remedy="Leave --device out, or use cpu.",
            )
        if self.lobes_model or self.lesions_model:
            raise UsageError(
                f"the {self.method} method uses no model", remedy="Leave out either the model or the method."
            )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the job, for progress."""
        return STAGES_OF[self.method]

    def networks(self) -> Networks:
        """The networks, kept from the last CT if the plan is the same.

        Raises:
            UsageError: torch or MONAI is not installed, or there is no such device.
            UnfitInputError: a bundle is missing, damaged or for another task.
        """
        try:
            from COVIDQuantLib.inference.networks import warm_networks
        except ImportError as error:
            raise UsageError(
                f"the networks need a package that is not installed ({error.name})",
                remedy="Install torch, monai and safetensors, or choose the model-free method.",
            ) from error
        return warm_networks(self.lobes_model, self.lesions_model, self.device)


DEFAULT_PLAN = Plan()
_PACKAGES = ("torch", "monai", "safetensors")


def plan_for_here() -> tuple[Plan, list[CTWarning]]:
    """The default plan, or the model-free one with a notice if the networks' packages are not installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return DEFAULT_PLAN, []
    text = f"not installed: {', '.join(missing)}; lungs, lobes and lesions were found without the networks"
    return Plan(MODEL_FREE), [CTWarning("networks-missing", text)]


@dataclass(frozen=True)
class GivenMasks:
    """Label arrays on the CT's grid that replace a step, each with its origin.

    Attributes:
        lungs: nonzero in the lungs.
        lobes: label values 0..5 of the contract, or those of another recognised program.
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
    plan: Plan = DEFAULT_PLAN,
) -> Exam:
    """Segment and measure a CT, by networks (papers.md rows H1, P1, C1, Y1) or without (row P2).

    Args:
        ct: a checked CT in any orientation.
        given: masks that replace a step.
        thresholds: bounds of ground glass and consolidation.
        progress: progress over the stages of the plan; may raise ``Cancelled``.
        plan: how to find lungs, lobes and lesions.

    Raises:
        UnfitInputError: there are no lungs, a given mask is not what it should be, or a model is damaged.
        UsageError: both lobes and lungs were given, or the device is not available.
    """
    progress = progress or StagedProgress(plan.stages)
    segmentation = segment_ct(ct, given or GivenMasks(), progress, plan)
    with progress.stage("figures"):
        lobes, lesions = segmentation.lobes, segmentation.lesions
        zones = zone_masks(lobes, ct.geometry)
        histogram = JointHistogram.of(ct.hu, lobes, lesions, ct.geometry.voxel_volume_ml, ct.padding, zones)
        metrics = compute_metrics(histogram, thresholds)
    return Exam(ct, segmentation, histogram, metrics)


def segment_ct(ct: CTVolume, given: GivenMasks, progress: StagedProgress, plan: Plan = DEFAULT_PLAN) -> Segmentation:
    """Segment lobes and lesions of a CT on its own grid; arguments and errors as in :func:`quantify_ct`."""
    if given.lobes is not None and given.lungs is not None:
        raise UsageError(
            "lobes and lungs were both given", remedy="The lobes define the lungs: give only one of the two."
        )
    upright, turn = ct.canonical()
    steps = _STEPS[plan.method](upright, turn, given, progress, plan)
    lobes = steps.lobes()
    lesions = steps.lesions(lobes)
    if upright.padding is not None:
        lobes[upright.padding] = 0
        lesions &= ~upright.padding
    with progress.stage("checks"):
        checks = run_checks(upright, lobes, lesions, steps.bounds, steps.odds)
    return Segmentation(turn.undo(lobes), turn.undo(lesions), steps.provenance, steps.warnings, checks, steps.odds)


class _Steps:
    """The steps on the canonical grid; each uses the user's mask if one was given."""

    def __init__(
        self, ct: CTVolume, turn: Reorientation, given: GivenMasks, progress: StagedProgress, plan: Plan
    ) -> None:
        self._ct = ct
        self._turn = turn
        self._given = given
        self._progress = progress
        self._plan = plan
        self.provenance: dict[str, dict[str, Any]] = {}
        self.warnings: list[CTWarning] = []
        self.odds: dict[str, OddsMap] = {}

    @cached_property
    def patient(self) -> Patient:
        """Where the patient is."""
        return find_patient(self._ct)

    @cached_property
    def bounds(self) -> ChestBounds:
        """Where lung can be, independent of the segmentation."""
        return find_chest(self._ct, patient=self.patient)

    @cached_property
    def _fit(self) -> MaskFit:
        """The CT, for checking given masks against it."""
        return MaskFit(self._ct, self.bounds)

    def lobes(self) -> np.ndarray:
        """uint8 label values of the lobes; found lobes are smoothed and connected."""
        given = self._given_mask("lobes")
        if given is None:
            found = self._find_lobes()
            smooth_lobes(found, self._ct.geometry.spacing_kji)
            make_whole(found, self._ct.geometry.spacing_kji)
            return found
        lobes = given.astype(np.uint8)
        self.warnings += check_lungs(lobes, self._ct)
        return lobes

    def lesions(self, lobes: np.ndarray) -> np.ndarray:
        """Bool mask of the pneumonia."""
        given = self._given_mask("lesions")
        if given is None:
            return self._find_lesions(lobes)
        self.warnings += check_lesions_fit(given, lobes, self._fit, self._given.sources.get("lesions", ""))
        return given != 0

    def _find_lobes(self) -> np.ndarray:
        raise NotImplementedError

    def _find_lesions(self, lobes: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _given_lungs(self) -> np.ndarray | None:
        """The user's lungs, divided into right (1) and left (2)."""
        given = self._given_mask("lungs")
        if given is None:
            return None
        if not given.any():
            raise UnfitInputError(
                "the lung mask is empty on this CT",
                self._given.sources.get("lungs", ""),
                "Give the lungs of the same exam.",
                code="mask-empty",
            )
        return part_lungs(given, self._ct.geometry)

    def _given_mask(self, step: str) -> np.ndarray | None:
        mask: np.ndarray | None = getattr(self._given, step)
        if mask is None:
            return None
        if mask.shape != self._turn.source.shape:
            raise ValueError(f"the {step} of shape {mask.shape} are not on the CT's grid {self._turn.source.shape}")
        source = self._given.sources.get(step, "")
        self.provenance[step] = {"method": "given", "source": source}
        upright = np.ascontiguousarray(self._turn.apply(mask))
        taken, warnings = taken_as(upright, step, self._fit, source)
        self.warnings += warnings
        return taken

    def _made(self, step: str, make: Callable[[Report], _Result]) -> _Result:
        with self._progress.stage(step) as report:
            result = make(report)
        self.provenance[step] = {"method": self._plan.method}
        return result


class _ModelFreeSteps(_Steps):
    """Thresholds, morphology and an atlas (row P2)."""

    _airways: np.ndarray | None = None

    def _find_lobes(self) -> np.ndarray:
        lungs = self._given_lungs()
        if lungs is None:
            found: Lungs = self._made("lungs", lambda report: find_lungs(self._ct, report, self.bounds))
            self._airways = found.airways
            lungs = found.mask
        self.warnings += check_lungs(lungs, self._ct)
        return self._made("lobes", lambda report: find_lobes(self._ct, lungs, report))

    def _find_lesions(self, lobes: np.ndarray) -> np.ndarray:
        lungs = sides_of_lobes(lobes)
        return self._made("lesions", lambda report: find_lesions(self._ct, lungs, self._airways, report))


class _NetworkSteps(_Steps):
    """Trained networks; if only the lungs are known, the atlas divides them into lobes."""

    def _find_lobes(self) -> np.ndarray:
        lungs = self._given_lungs()
        if lungs is None:
            return self._lobes_by_networks()
        self.warnings += check_lungs(lungs, self._ct)
        lobes = self._made("lobes", lambda report: find_lobes(self._ct, lungs, report))
        # The atlas and the fissures in the image define them, not a network.
        self.provenance["lobes"]["method"] = MODEL_FREE
        return lobes

    def _lobes_by_networks(self) -> np.ndarray:
        networks = self._plan.networks()
        if self._given.lesions is None:
            # Report missing or damaged weights now rather than after the lobes.
            networks.load_lesions()

        def make(report: Report) -> np.ndarray:
            span = part(report, 0.0, 1.0 if networks.finds_lobes else 0.7)
            found = networks.lobes(self._ct, self.warnings, span, self.patient, self.odds)
            if not networks.keeps_to_chest:
                self.bounds.keep(found)
            return found if networks.finds_lobes else find_lobes(self._ct, found, part(report, 0.7, 1.0))

        lobes = self._made("lobes", make)
        self.provenance["lobes"] |= networks.record("lobes", self.warnings)
        self.warnings += check_lungs(lobes, self._ct)
        return lobes

    def _find_lesions(self, lobes: np.ndarray) -> np.ndarray:
        networks = self._plan.networks()
        lesions = self._made(
            "lesions", lambda report: networks.lesions(self._ct, lobes, self.warnings, report, self.odds)
        )
        self.provenance["lesions"] |= networks.record("lesions", self.warnings)
        return lesions


_STEPS: dict[str, type[_Steps]] = {NETWORK: _NetworkSteps, MODEL_FREE: _ModelFreeSteps}
