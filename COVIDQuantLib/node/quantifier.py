"""Quantify what is whole, one series after another, in a warm background process that may fail without harm."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from COVIDQuantLib.ct.dicom.headers import read_header
from COVIDQuantLib.ct.volume import MIN_SLICES
from COVIDQuantLib.errors import COVIDQuantError, OutputError
from COVIDQuantLib.inference.device import MemoryRanOutError
from COVIDQuantLib.node.config import NodeConfig
from COVIDQuantLib.node.durable import images_in
from COVIDQuantLib.node.gather import Gathering
from COVIDQuantLib.node.job import OUTCOME
from COVIDQuantLib.node.ledger import ASIDE, DONE, SENDING, WAITING, WORKING, Ledger, Unit
from COVIDQuantLib.system.json_file import read_json
from COVIDQuantLib.worker.failures import WorkerError
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.warm import Lifetime, WarmCall, WarmProcess

_log = logging.getLogger(__name__)

_JOBS = "COVIDQuantLib.node.job"
# Another try is in another process.
_MAY_PASS = (WorkerError, MemoryRanOutError)
# After a full disk, the next try waits for somebody to free some.
_SECONDS_WITHOUT_ROOM = 60.0


class SeriesWorker(WarmProcess):
    """The process that quantifies series after series and keeps the networks loaded; started with the first.

    Args:
        config: when it is replaced.
        jobs: the module of the function ``quantified``.
    """

    def __init__(self, config: NodeConfig, jobs: str = _JOBS) -> None:
        told = config.quantify
        held_bytes = int(1e9 * told["worker_gb"])
        super().__init__(jobs, None, Lifetime(60.0 * told["worker_idle_minutes"], told["worker_series"], held_bytes))
        self._function = f"{jobs}:quantified"

    def quantify(self, arguments: Mapping[str, Any]) -> WarmCall:
        """Start to quantify a series, with the arguments of ``job.quantified``.

        Raises:
            WorkerError: the process cannot be started.
        """
        return self.submit_call(self._function, SharedArguments({}, arguments))


StartJob = Callable[[Mapping[str, Any]], WarmCall]


class Quantifier:
    """The node's one job at a time; nothing blocks, and nothing advances unless :meth:`step` is called.

    Args:
        config: how to quantify.
        ledger: the queue.
        gathering: where the images are.
        results: the folder of the results.
        start: as ``SeriesWorker.quantify``.
    """

    def __init__(
        self, config: NodeConfig, ledger: Ledger, gathering: Gathering, results: Path, start: StartJob
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._gathering = gathering
        self._results = results
        self._start_job = start
        self._job: WarmCall | None = None
        self._fraction = 0.0
        self._unit: Unit | None = None
        self._began = 0.0
        self._paused_until = 0.0
        self._resume()

    @property
    def progress(self) -> tuple[str, float] | None:
        """The unit that is being quantified and the fraction done; None if there is none."""
        job, unit = self._job, self._unit
        # Not by polling: the status page asks from its own thread.
        return None if job is None or unit is None else (unit.key, self._fraction)

    @property
    def pid(self) -> int | None:
        """Process ID of the job; None if there is none."""
        return self._job.pid if self._job else None

    def folder(self, key: str, run: int) -> Path:
        """Where a result lies."""
        return self._results / f"{key}-{run}"

    def step(self) -> bool:
        """Take in what the job has done, or start the next one.

        Returns:
            Whether a job ended.
        """
        if self._job is not None:
            return self._watch(self._job)
        if time.monotonic() < self._paused_until:
            return False
        waiting = self._ledger.units(WAITING)
        if waiting:
            self._start(waiting[0])
        return False

    def stop(self) -> None:
        """End the job; its series stays in the queue, and this try does not count."""
        job, self._job = self._job, None
        if job is not None and self._unit is not None:
            job.cancel()
            unit = self._ledger.unit(self._unit.key)
            if unit is not None and unit.changed:
                self._gathering.requeue(unit.key)
            elif unit is not None and unit.state == WORKING:
                self._ledger.set(unit.key, state=WAITING, attempts=unit.attempts - 1)

    # ---------------------------------------------------------------------------------------------------- the job

    def _start(self, unit: Unit) -> None:
        if unit.attempts >= self._config.quantify["attempts"]:
            self._put_aside(unit, f"its job ended before it was done {unit.attempts} times [job-crashed]")
            return
        few = _too_few(self._gathering.folder(unit.key))
        if few:
            self._put_aside(unit, few)
            return
        run = unit.run + 1
        arguments = {
            "images": self._gathering.folder(unit.key),
            "out": self.folder(unit.key, run),
            "plan": self._config.plan,
            "thresholds": self._config.thresholds,
            "objects": list(self._config.results["objects"]),
        }
        # Written before the start: a series that takes the whole node down counts its tries too.
        self._ledger.set(unit.key, state=WORKING, attempts=unit.attempts + 1, changed=0, at=unit.at)
        _log.info("series %s: quantifying %d images", unit.key, unit.images)
        self._unit, self._began, self._fraction = unit, time.monotonic(), 0.0
        try:
            self._job = self._start_job(arguments)
        except WorkerError as error:
            self._failed(unit, error)

    def _watch(self, job: WarmCall) -> bool:
        unit = self._unit
        assert unit is not None  # noqa: S101 - a job is of a unit
        minutes = self._config.quantify["minutes"]
        try:
            self._fraction = job.poll()
            if not job.is_done:
                if time.monotonic() - self._began < 60.0 * minutes:
                    return False
                job.cancel()
                self._put_aside(unit, f"it was not done after {minutes:g} minutes [job-too-long]")
            else:
                self._finish(unit)
        except COVIDQuantError as error:
            self._failed(unit, error)
        self._job = self._unit = None
        return True

    def _finish(self, unit: Unit) -> None:
        """A result is complete on the disk: owe it to the destinations, unless images came meanwhile."""
        run, now = unit.run + 1, self._ledger.unit(unit.key)
        folder = self.folder(unit.key, run)
        if now is not None and now.changed:
            _log.info("series %s: more images came while it was quantified; it is gathered again", unit.key)
            shutil.rmtree(folder, ignore_errors=True)
            self._gathering.requeue(unit.key)
            return
        told = read_json(folder / OUTCOME, "Send the series again.")
        files = [(one["file"], one["sop_class"], one["sop_instance"]) for one in told["files"]]
        destinations = [one.name for one in self._config.destinations]
        state = SENDING if files and destinations else DONE
        with self._ledger.change():
            self._ledger.owe(unit.key, run, files, destinations)
            self._ledger.set(
                unit.key,
                state=state,
                run=run,
                grade=told["grade"],
                reason=", ".join(told["warnings"]),
                told="",
                seconds=told["seconds"],
            )
        shutil.rmtree(self.folder(unit.key, unit.run), ignore_errors=True)
        _log.info(
            "series %s: quantified in %.0f s, graded %s", unit.key, told["seconds"], told["grade"] or "by nothing"
        )

    def _failed(self, unit: Unit, error: COVIDQuantError) -> None:
        shutil.rmtree(self.folder(unit.key, unit.run + 1), ignore_errors=True)
        now = self._ledger.unit(unit.key)
        if now is not None and now.changed:
            self._gathering.requeue(unit.key)
        elif isinstance(error, OutputError) and error.code == "disk-full":
            _log.warning("series %s waits: %s", unit.key, _line(error))
            self._ledger.set(unit.key, state=WAITING, attempts=unit.attempts, at=unit.at)
            self._paused_until = time.monotonic() + _SECONDS_WITHOUT_ROOM
        elif isinstance(error, _MAY_PASS) and unit.attempts + 1 < self._config.quantify["attempts"]:
            _log.warning("series %s is tried again: %s", unit.key, _line(error))
            self._ledger.set(unit.key, state=WAITING)
        else:
            self._put_aside(unit, _line(error))

    def _put_aside(self, unit: Unit, why: str) -> None:
        _log.warning("series %s put aside: %s", unit.key, why)
        self._ledger.set(unit.key, state=ASIDE, reason=why)

    def _resume(self) -> None:
        """What the last process was working on: done if its result is complete, else to be done again."""
        for unit in self._ledger.units(WORKING):
            with suppress(COVIDQuantError):
                if (self.folder(unit.key, unit.run + 1) / OUTCOME).is_file():
                    self._finish(unit)
                    continue
            if unit.changed:
                self._gathering.requeue(unit.key)
            else:
                self._ledger.set(unit.key, state=WAITING, at=unit.at)


def _too_few(folder: Path) -> str:
    """Why images are too few for a CT, which needs no process to find out; empty if they may be enough."""
    images = images_in(folder)
    if len(images) >= MIN_SLICES:
        return ""
    slices = sum(read_header(path).frames for path in images)
    return f"only {slices} slices, at least {MIN_SLICES} are needed [too-few-slices]" if slices < MIN_SLICES else ""


def _line(error: COVIDQuantError) -> str:
    """What is wrong, with its code; no path, as the folder's name tells nobody anything.

    What to do is worded for the command line, except about a process that failed.
    """
    remedy = error.remedy if isinstance(error, WorkerError) else ""
    return COVIDQuantError(error.what, "", remedy, error.code).line()
