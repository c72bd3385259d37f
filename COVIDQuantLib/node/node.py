"""The node: its parts put together, started where the last process ended, and stopped without losing anything."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from COVIDQuantLib.errors import OutputError
from COVIDQuantLib.node.config import NodeConfig
from COVIDQuantLib.node.deliverer import Deliverer
from COVIDQuantLib.node.durable import bytes_below
from COVIDQuantLib.node.gather import Gathering
from COVIDQuantLib.node.intake import Intake
from COVIDQuantLib.node.ledger import ASIDE, DONE, FILE, Ledger
from COVIDQuantLib.node.network.service import Service
from COVIDQuantLib.node.network.web_source import WebSource
from COVIDQuantLib.node.quantifier import Quantifier, SeriesWorker, StartJob
from COVIDQuantLib.node.reason import Reasons
from COVIDQuantLib.node.status_page import StatusPage
from COVIDQuantLib.system.atomic_files import output_error
from COVIDQuantLib.system.file_lock import FileLock, HeldError

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_STEPS = 0.2
_SECONDS_BETWEEN_CLEARINGS = 60.0
_SECONDS_TO_STOP = 30.0
# Less room than this is trouble, although smaller images would still be taken.
_ROOM = 10_000_000
_PARTS = ("images", "results", "incoming")


class Node:
    """A running node; ``with Node(config) as node: node.run()``.

    Args:
        config: everything it does.
        start: starts the job of a series; None for a worker of its own.

    Raises:
        OutputError: its folder cannot be used, or another node uses it; the port is taken.
        UsageError: a TLS file is not what it should be.
    """

    def __init__(self, config: NodeConfig, start: StartJob | None = None) -> None:
        self.config = config
        self.started = time.time()
        self._stop = threading.Event()
        self._troubles: dict[str, str] = {}
        self._threads: list[threading.Thread] = []
        self._next_clearing = 0.0
        self._images, self._results, incoming = (config.folder / name for name in _PARTS)
        # What was opened is closed again if a later part cannot be, and in the end, in the reverse order.
        self._closing = ExitStack()
        with ExitStack() as opened:
            lock = _own(config.folder)
            opened.callback(lock.release, remove=True)
            self.ledger = Ledger(config.folder / FILE)
            opened.callback(self.ledger.close)
            self.gathering = Gathering(config, self.ledger, self._images)
            used = sum(map(bytes_below, (self._images, self._results)))
            self.intake = Intake(config, self.gathering, incoming, used)
            self.worker = SeriesWorker(config)
            opened.callback(self.worker.close)
            begin = start or self.worker.quantify
            self.quantifier = Quantifier(config, self.ledger, self.gathering, self._results, begin)
            self.deliverer = Deliverer(config, self.ledger, self.quantifier.folder)
            self.reasons = Reasons(config, self.ledger, self.gathering, self.quantifier.folder)
            opened.callback(self._join)
            opened.callback(self.quantifier.stop)
            self.page = StatusPage(self) if config.status["show"] else None
            if self.page is not None:
                opened.callback(self.page.close)
            self.service = Service(config, self.intake, self.gathering, self.deliverer.committed)
            opened.callback(self.service.close)
            self._closing = opened.pop_all()
        self._repeat("deliverer", self.deliverer.step)
        for remote in config.sources:
            source = WebSource(config, remote, self.intake, self.gathering, self.ledger, self._stop.is_set)
            self._repeat(f"source {remote.name}", source.step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Work until an exception, as of Ctrl-C, or until a condition holds."""
        while not until():
            self.step()
            time.sleep(_SECONDS_BETWEEN_STEPS)

    def step(self) -> None:
        """Do what is next: close series that are whole, watch the job, delete what is over; never blocks for long."""
        for name, task in (
            ("queue", self._advance),
            ("reasons", self.reasons.step),
            ("clearing", self._clear_old),
        ):
            self._guarded(name, task)

    def stop(self) -> None:
        """Ask the threads to end; safe from anywhere."""
        self._stop.set()

    def close(self) -> None:
        """Close the port, end the job and the threads; what is queued stays queued."""
        self._stop.set()
        self._closing.close()

    def troubles(self) -> list[str]:
        """What keeps the node from doing its work now, for ``/healthz``; empty if nothing does."""
        found = [f"{name}: {why}" for name, why in sorted(self._troubles.items())]
        if not self.service.is_alive:
            found.append("the DICOM port is not served")
        found += [f"{thread.name} has ended" for thread in self._threads if not thread.is_alive()]
        no_room = self.intake.why_no_room(_ROOM)
        return [*found, *([no_room] if no_room else [])]

    # ------------------------------------------------------------------------------------------------------- pieces

    def _advance(self) -> None:
        self.gathering.close_whole()
        # Notices a process that has ended, also where nothing waits for it.
        self.worker.advance()
        if self.quantifier.step():
            self.intake.recount(self._images, self._results)

    def _clear_old(self) -> None:
        """Delete images and results whose time is over, and folders that belong to nothing."""
        if time.monotonic() < self._next_clearing:
            return
        self._next_clearing = time.monotonic() + _SECONDS_BETWEEN_CLEARINGS
        before = time.time() - 3600.0 * self.config.limits["keep_hours"]
        for unit in self.ledger.units(DONE, ASIDE):
            if unit.cleared or unit.at > before:
                continue
            with self.gathering.lock:
                # An image may have come since.
                now = self.ledger.unit(unit.key)
                if now is None or now.state not in {DONE, ASIDE}:
                    continue
                self.ledger.forget_deliveries(unit.key)
                self.ledger.set(unit.key, cleared=1, at=unit.at)
                shutil.rmtree(self.gathering.folder(unit.key), ignore_errors=True)
            for folder in self._results.glob(f"{unit.key}-*"):
                shutil.rmtree(folder, ignore_errors=True)
            _log.info("series %s: images and results deleted after their time", unit.key)
        self.intake.recount(self._images, self._results)

    def _repeat(self, name: str, task: Callable[[], object]) -> None:
        def loop() -> None:
            while not self._stop.wait(_SECONDS_BETWEEN_STEPS):
                self._guarded(name, task)

        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _join(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_SECONDS_TO_STOP)

    def _guarded(self, name: str, task: Callable[[], object]) -> None:
        """Run a task; if it fails, say so once and on the status page, and try again at its next turn."""
        try:
            task()
        except (OSError, OutputError, sqlite3.Error) as error:
            self._trouble(name, f"{error}")
        except Exception as error:  # noqa: BLE001 - the node goes on with its other work
            if self._trouble(name, f"{type(error).__name__}: {error}"):
                _log.exception("a bug: report these lines")
        else:
            if self._troubles.pop(name, None) is not None:
                _log.info("%s works again", name)

    def _trouble(self, name: str, why: str) -> bool:
        new = self._troubles.get(name) != why
        self._troubles[name] = why
        if new:
            _log.error("%s: %s", name, why)
        return new


def _own(folder: Path) -> FileLock:
    """Make the node's folder, for its user alone, and lock it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _PARTS:
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        return FileLock(folder / "lock")
    except OSError as error:
        raise output_error(error, folder) from error
    except HeldError as error:
        raise OutputError(
            f"another node (process {error.owner}) uses this folder", str(folder), "Give each its own.", "in-use"
        ) from error
