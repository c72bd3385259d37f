"""How long a quantification will take: as told by earlier runs on this computer, or by the table of measured ones."""

from __future__ import annotations

import json
import math
import os

from COVIDQuantLib.pipeline import MODEL_FREE, NETWORK, STAGES_OF

# The stages' seconds in the pipeline were measured on so many cores and voxels.
_MEASURED_CORES = 2
_MEASURED_MEGAVOXELS = 512 * 512 * 300 / 1e6
# What the first job pays before it begins: the process, its libraries, the weights.
_SECONDS_TO_START = {NETWORK: 8.0, MODEL_FREE: 2.0}
# Further cores help less and less; no run of ours shows more than this.
_MOST_SPEEDUP = 4.0
# A new run counts for half against all before it.
_WEIGHT = 0.5
_LEAST_MEGAVOXELS = 0.1


class RunTimes:
    """How much longer than the measured ones earlier runs took, by method and device.

    Args:
        text: what :attr:`text` gave when it was kept in the application's settings; anything else counts as nothing.
    """

    def __init__(self, text: str = "") -> None:
        self._known = _read(text)

    @property
    def text(self) -> str:
        """What was learned, to keep."""
        return json.dumps(self._known)

    def learn(self, method: str, device: str, megavoxels: float, seconds: float) -> None:
        """Take in a run that was done."""
        if seconds <= 0 or megavoxels <= 0:
            return
        ratio = seconds / _measured_seconds(method, megavoxels)
        key = _key(method, device)
        before = self._known.get(key, ratio)
        self._known[key] = (1 - _WEIGHT) * before + _WEIGHT * ratio

    def seconds(self, method: str, device: str, megavoxels: float) -> float | None:
        """About how long a run takes; None where nothing is known (a GPU that was never used)."""
        ratio = self._known.get(_key(method, device))
        if ratio is None and device != "cpu":
            return None
        return (ratio or 1.0) * _measured_seconds(method, megavoxels)


def rounded_seconds(seconds: float) -> int:
    """Seconds as an estimate should be told: two digits at most, never 0."""
    if seconds < 10:
        return max(1, round(seconds))
    step = 10 ** (math.floor(math.log10(seconds)) - 1)
    return int(round(seconds / step) * step)


def _measured_seconds(method: str, megavoxels: float) -> float:
    """What the measured runs say of a CT of any size on as many cores as there are here."""
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
