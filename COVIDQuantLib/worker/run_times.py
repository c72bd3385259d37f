"""Estimates of how long a quantification takes, from earlier runs on this computer or from reference measurements."""

from __future__ import annotations

import json
import math
import os

from COVIDQuantLib.pipeline import MODEL_FREE, NETWORK, STAGES_OF

# The weights of the pipeline's stages are seconds measured with this many cores and voxels.
_MEASURED_CORES = 2
_MEASURED_MEGAVOXELS = 512 * 512 * 300 / 1e6
# Startup before the first job: the process, its libraries, the weights.
_SECONDS_TO_START = {NETWORK: 8.0, MODEL_FREE: 2.0}
# Returns from further cores diminish; no measured run exceeds this.
_MOST_SPEEDUP = 4.0
# A new run has as much weight as all earlier ones together.
_WEIGHT = 0.5
_LEAST_MEGAVOXELS = 0.1


class RunTimes:
    """How much longer earlier runs took than the reference measurements, by method and device.

    Args:
        text: the value of :attr:`text` saved in the application's settings; anything else is ignored.
    """

    def __init__(self, text: str = "") -> None:
        self._known = _read(text)

    @property
    def text(self) -> str:
        """The learned ratios, for saving."""
        return json.dumps(self._known)

    def learn(self, method: str, device: str, megavoxels: float, seconds: float) -> None:
        """Learn from a completed run."""
        if seconds <= 0 or megavoxels <= 0:
            return
        ratio = seconds / _measured_seconds(method, megavoxels)
        key = _key(method, device)
        before = self._known.get(key, ratio)
        self._known[key] = (1 - _WEIGHT) * before + _WEIGHT * ratio

    def seconds(self, method: str, device: str, megavoxels: float) -> float | None:
        """The expected duration of a run; None if nothing is known (a GPU that was never used)."""
        ratio = self._known.get(_key(method, device))
        if ratio is None and device != "cpu":
            return None
        return (ratio or 1.0) * _measured_seconds(method, megavoxels)


def rounded_seconds(seconds: float) -> int:
    """Seconds rounded as an estimate: at most two significant digits, never 0."""
    if seconds < 10:
        return max(1, round(seconds))
    step = 10 ** (math.floor(math.log10(seconds)) - 1)
    return int(round(seconds / step) * step)


def _measured_seconds(method: str, megavoxels: float) -> float:
    """The duration for a CT of any size on this computer's cores, scaled from the reference measurements."""
    speedup = min(max((os.cpu_count() or 1) / _MEASURED_CORES, 0.5), _MOST_SPEEDUP)
    share = max(megavoxels, _LEAST_MEGAVOXELS) / _MEASURED_MEGAVOXELS
    return _SECONDS_TO_START[method] + sum(stage.weight for stage in STAGES_OF[method]) * share / speedup


def _key(method: str, device: str) -> str:
    return f"{method} {device}"


def _read(text: str) -> dict[str, float]:
    try:
        record = json.loads(text or "{}")
        return {str(key): float(value) for key, value in record.items() if float(value) > 0}
    except (ValueError, TypeError, AttributeError):
        return {}
