"""Segment a CT, in the process that keeps the networks loaded. Nothing of Slicer is imported here."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from COVIDQuantLib import pipeline
from COVIDQuantLib.ct.checks.run import HeaderFacts, check_ct
from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.grades import CheckResult
from COVIDQuantLib.progress import ProgressState, StagedProgress
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.box import Box, occupied_box
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.voxels.label_codec import encode_labels, joined_labels

# More frequent progress than this is never displayed.
_SECONDS_BETWEEN_PROGRESS = 0.05

ShowProgress = Callable[[ProgressState], None]


def segmented(ct: CTVolume, given: pipeline.GivenMasks, plan: pipeline.Plan, report: ShowProgress) -> Segmentation:
    """:func:`~COVIDQuantLib.pipeline.segment_ct`, without the probability maps; arguments and errors as there."""
    found = pipeline.segment_ct(ct, given, StagedProgress(plan.stages, _throttled(report)), plan)
    lobes, lesions = found.lobes.astype(np.uint8, copy=False), found.lesions.astype(bool, copy=False)
    return Segmentation(lobes, lesions, found.provenance, found.warnings, found.checks)


@dataclass(frozen=True)
class PlacedPart:
    """The part of a label array that holds all its labels.

    Attributes:
        labels: uint8 ``[k, j, i]``.
        start: voxel ``(k, j, i)`` of the CT at which it begins.
    """

    labels: np.ndarray
    start: tuple[int, int, int]


@dataclass(frozen=True)
class SegmentedForScene:
    """A segmented CT as a scene takes it in: small, and with all that would take a pass over the voxels.

    Attributes:
        lobes, lesions: the labels; None where there are none.
        provenance, warnings, checks: of the segmentation; the CT's own warnings come first.
        counts: int64 ``[6, 2, 4096]``.
        kept: the AI result to go back to, as text.
        place: voxel ``(k, j, i)`` where most of the pneumonia is, else most of the lung; None without lungs.
    """

    lobes: PlacedPart | None
    lesions: PlacedPart | None
    provenance: dict[str, Any]
    warnings: list[CTWarning]
    checks: list[CheckResult]
    counts: np.ndarray
    kept: str
    place: tuple[float, float, float] | None


def segmented_for_scene(
    values: np.ndarray,
    geometry: Geometry,
    source: dict[str, Any],
    name: str,
    given: pipeline.GivenMasks,
    plan: pipeline.Plan,
    report: ShowProgress,
) -> SegmentedForScene:
    """Check a CT as a scene holds it, segment it and count it.

    Args:
        values: HU ``[k, j, i]``, any number type.
        geometry: their grid.
        source: of the CT, for the provenance.
        name: of the CT, for messages.
        given: masks that replace a step.
        plan: how lungs, lobes and lesions are found.
        report: progress.

    Raises:
        UnfitInputError: the CT cannot be quantified; says why.
    """
    ct = CTVolume.from_values(values, geometry)
    ct.source = CTSource(source)
    noticed = check_ct(ct, HeaderFacts(name))
    found = segmented(ct, given, plan, report)
    counts = JointHistogram.of(ct.hu, found.lobes, found.lesions, geometry.voxel_volume_ml, ct.padding)
    return SegmentedForScene(
        _part(found.lobes),
        _part(found.lesions.view(np.uint8)),
        found.provenance,
        [*noticed, *found.warnings],
        list(found.checks),
        counts.counts,
        encode_labels(joined_labels(found.lobes, found.lesions)),
        _place(found.lobes, found.lesions),
    )


def _part(labels: np.ndarray) -> PlacedPart | None:
    box = occupied_box(labels, (0, 0, 0), Box.of_shape((labels.shape[0], labels.shape[1], labels.shape[2])))
    return None if box is None else PlacedPart(np.ascontiguousarray(labels[box.slices]), box.start)


def _place(lobes: np.ndarray, lesions: np.ndarray) -> tuple[float, float, float] | None:
    """The middle of the pneumonia within the lungs, or else of the lungs, in the slice with most of it."""
    lungs = lobes != 0
    ill = lungs & lesions
    shown = ill if ill.any() else lungs
    by_slice = np.count_nonzero(shown, axis=(1, 2))
    if not by_slice.any():
        return None
    fullest = int(by_slice.argmax())
    row, column = np.argwhere(shown[fullest]).mean(axis=0)
    return float(fullest), float(row), float(column)


def prepare(plan: pipeline.Plan, report: ShowProgress) -> None:
    """Load the networks of a plan ahead of the first CT."""
    del report
    if plan.method == pipeline.NETWORK:
        # If there is anything wrong with the models, the job that needs them reports it.
        with suppress(COVIDQuantError):
            plan.networks()


def _throttled(report: ShowProgress) -> ShowProgress:
    """Limit how often progress is reported within a stage."""
    last = ("", 0.0)

    def show(state: ProgressState) -> None:
        nonlocal last
        now = time.monotonic()
        if state.stage != last[0] or now - last[1] >= _SECONDS_BETWEEN_PROGRESS:
            last = (state.stage, now)
            report(state)

    return show
