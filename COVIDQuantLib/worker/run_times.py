"""Estimates of how long a quantification takes, from earlier runs on this computer or from reference measurements."""

from __future__ import annotations

import json
import math

from COVIDQuantLib.pipeline import MODEL_FREE, NETWORK, STAGES_OF
from COVIDQuantLib.system.processors import usable_processors

# The weights of the pipeline's stages are seconds measured with this many cores and voxels.
_MEASURED_CORES = 2
_MEASURED_MEGAVOXELS = 512 * 512 * 300 / 1e6
# Seconds that a CT of any size takes on as many cores: chests are looked at on lattices of their own.
_SECONDS_OF_ANY = {NETWORK: 6.0, MODEL_FREE: 5.0}
# What the first job of a process waits for: its libraries and the weights. A disk that was not read before, or a virus
# scanner, makes it several times as long, which is learnt.
_SECONDS_TO_LOAD = {NETWORK: 12.0, MODEL_FREE: 2.0}
# Returns from further cores diminish; no measured run exceeds this.
_MOST_SPEEDUP = 4.0
# A new run has as much weight as all earlier ones together.
_WEIGHT = 0.5
_LEAST_MEGAVOXELS, _LEAST_SECONDS = 0.1, 0.1
# What is learnt of each method and device: pace of the work beside the reference, and seconds of loading.
_WORK, _LOADING = "work", "loading"


class RunTimes:
    """How earlier runs compare with the reference measurements, by method and device: their pace, and what was loaded.

    The first run of a process loads libraries and weights, which may take longer than the work; both are learnt apart.

    Args:
        text: the value of :attr:`text` saved in the application's settings; anything else is ignored.
    """

    def __init__(self, text: str = "") -> None:
        self._known = _read(text)

    @property
    def text(self) -> str:
        """What was learnt, for saving."""
        return json.dumps(self._known)

    def learn(self, method: str, device: str, megavoxels: float, seconds: float, *, first: bool = False) -> None:
        """Learn from a completed run.

        Args:
            method: of the run.
            device: where it ran.
            megavoxels: size of the CT.
            seconds: how long it took.
            first: whether its process was new and had to load what it needs.
        """
        if seconds <= 0 or megavoxels <= 0:
            return
        work = _measured_seconds(method, megavoxels)
        if not first:
            self._mix(_key(method, device, _WORK), seconds / work)
            return
        known = self._known.get(_key(method, device, _WORK))
        # Nothing is known of a GPU's pace before its second run; the first one then counts as nothing but loading.
        pace = known if known is not None else 1.0 if device == "cpu" else 0.0
        self._mix(_key(method, device, _LOADING), max(seconds - pace * work, _LEAST_SECONDS))

    def seconds(self, method: str, device: str, megavoxels: float, *, first: bool = False) -> float | None:
        """The expected duration of a run; None if unknown: of a GPU never used, or its later runs."""
        pace = self._known.get(_key(method, device, _WORK))
        loading = self._known.get(_key(method, device, _LOADING))
        if pace is None and device != "cpu" and (loading is None or not first):
            return None
        if pace is None:
            pace = 1.0 if device == "cpu" else 0.0
        wait = (_SECONDS_TO_LOAD[method] if loading is None else loading) if first else 0.0
        return pace * _measured_seconds(method, megavoxels) + wait

    def _mix(self, key: str, value: float) -> None:
        before = self._known.get(key, value)
        self._known[key] = (1 - _WEIGHT) * before + _WEIGHT * value


def rounded_seconds(seconds: float) -> int:
    """Seconds rounded as an estimate: at most two significant digits, never 0."""
    if seconds < 10:
        return max(1, round(seconds))
    step = 10 ** (math.floor(math.log10(seconds)) - 1)
    return int(round(seconds / step) * step)


def _measured_seconds(method: str, megavoxels: float) -> float:
    """The duration for a CT of any size on this computer's cores, scaled from the reference measurements."""
    speedup = min(max(usable_processors() / _MEASURED_CORES, 0.5), _MOST_SPEEDUP)
    share = max(megavoxels, _LEAST_MEGAVOXELS) / _MEASURED_MEGAVOXELS
    return (_SECONDS_OF_ANY[method] + sum(stage.weight for stage in STAGES_OF[method]) * share) / speedup


def _key(method: str, device: str, what: str) -> str:
    return f"{method} {device} {what}"


def _read(text: str) -> dict[str, float]:
    try:
        record = json.loads(text or "{}")
        return {str(key): float(value) for key, value in record.items() if float(value) > 0}
    except (ValueError, TypeError, AttributeError):
        return {}
