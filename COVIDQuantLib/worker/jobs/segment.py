"""Segment a CT, in the process that keeps the networks loaded. Nothing of Slicer is imported here."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from COVIDQuantLib import pipeline
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.progress import ProgressState, StagedProgress
from COVIDQuantLib.segmentation.result import Segmentation

# More frequent progress than this is never displayed.
_SECONDS_BETWEEN_PROGRESS = 0.05

ShowProgress = Callable[[ProgressState], None]


def segmented(ct: CTVolume, given: pipeline.GivenMasks, plan: pipeline.Plan, report: ShowProgress) -> Segmentation:
    """:func:`~COVIDQuantLib.pipeline.segment_ct`, without the probability maps; arguments and errors as there."""
    found = pipeline.segment_ct(ct, given, StagedProgress(plan.stages, _throttled(report)), plan)
    lobes, lesions = found.lobes.astype(np.uint8, copy=False), found.lesions.astype(bool, copy=False)
    return Segmentation(lobes, lesions, found.provenance, found.warnings, found.checks)


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
