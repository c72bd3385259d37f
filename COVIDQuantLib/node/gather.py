"""When a series is whole: by its number of images where that is told, else by silence after a closed association."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from COVIDQuantLib.ct.dicom.headers import read_header
from COVIDQuantLib.node.config import NodeConfig
from COVIDQuantLib.node.durable import hashed_name, images_in, make_durable
from COVIDQuantLib.node.ledger import (
    ASIDE,
    BY_NODE,
    BY_SENDER,
    DONE,
    GATHERING,
    SENDING,
    UNSENT,
    WAITING,
    WHOLE,
    WORKING,
    Ledger,
    Unit,
)

_log = logging.getLogger(__name__)

_QUEUED = (GATHERING, WAITING, WORKING)


@dataclass
class _Arriving:
    """What memory holds of a unit that is gathering.

    Attributes:
        images: names of the images on the disk.
        last: when the last one came, by the monotonic clock.
        links: the associations that sent images and are open, each with the time of its first.
        broken_at: when one broke off; None if none did, or one that began later was closed well.
        broken: who ended it: nobody, the sender, or this node.
    """

    images: set[str]
    last: float
    links: dict[object, float] = field(default_factory=dict)
    broken_at: float | None = None
    broken: int = WHOLE


class Gathering:
    """Units whose images are coming in; safe to use from any thread.

    Args:
        config: times and limits.
        ledger: the queue.
        images: the folder of the units' images.
    """

    def __init__(self, config: NodeConfig, ledger: Ledger, images: Path) -> None:
        self._config = config
        self._ledger = ledger
        self._images = images
        self._units: dict[str, _Arriving] = {}
        # Held while an image gets its name and its unit a new state, so that no unit is closed in between.
        self.lock = threading.RLock()
        self._take_up()

    def folder(self, key: str) -> Path:
        """Where the images of a unit lie."""
        return self._images / key

    def count(self, key: str) -> int:
        """How many images of a unit are here."""
        with self.lock:
            return len(self._known(key))

    def has(self, key: str, name: str) -> bool:
        """Whether an image is here already."""
        with self.lock:
            return name in self._known(key)

    def is_full(self, key: str) -> bool:
        """Whether there is no room for a unit in the queue; one that is in it may always get more images."""
        unit = self._ledger.unit(key)
        if unit is not None and unit.state in _QUEUED:
            return False
        counts = self._ledger.counts()
        return sum(counts.get(state, 0) for state in _QUEUED) >= self._config.limits["queue_series"]

    def open(self, key: str, study_uid: str, series_uid: str, sender: str) -> None:
        """Before the first image of a unit gets its name: the unit stands in the queue, its folder on the disk.

        Raises:
            OSError, sqlite3.Error: it cannot be written.
        """
        if self._ledger.unit(key) is None:
            self._ledger.add(key, study_uid, series_uid, sender, arriving=True)
        make_durable(self.folder(key))

    def arrived(self, key: str, name: str, link: object, *, new: bool, expected: int = 0) -> None:
        """An image is on the disk; the caller holds :attr:`lock`.

        Args:
            key: its unit.
            name: its name.
            link: the association or fetch that brought it.
            new: whether it was not here before; if it was, only the time changes.
            expected: images of the whole unit, if the header or server tells; else 0.
        """
        unit = self._ledger.unit(key)
        assert unit is not None  # noqa: S101 - see open
        # Sent again after it was put aside, a series is tried again; one that is done is not.
        if not new and unit.state not in {GATHERING, ASIDE}:
            return
        arriving = self._units.setdefault(key, _Arriving(self._known(key), time.monotonic()))
        arriving.images.add(name)
        arriving.last = time.monotonic()
        arriving.links.setdefault(link, arriving.last)
        values = _on_arrival(unit, expected)
        if values:
            self._ledger.set(key, **values)

    def closed(self, link: object, *, well: bool) -> None:
        """An association or fetch has ended: released, or broken off."""
        with self.lock:
            for key, arriving in self._units.items():
                began = arriving.links.pop(link, None)
                if began is None:
                    continue
                if not well:
                    arriving.broken_at, arriving.broken = time.monotonic(), BY_SENDER
                elif arriving.broken_at is not None and began > arriving.broken_at:
                    arriving.broken_at, arriving.broken = None, WHOLE
                self._ledger.set(key, open=bool(arriving.links), broken=arriving.broken)

    def close_whole(self) -> None:
        """Queue the units that are whole, and put aside those whose rest did not come."""
        with self.lock:
            for key in list(self._units):
                self._close_if_whole(key, self._units[key])

    def seconds_left(self, key: str) -> float | None:
        """Until a unit is closed if nothing comes; None if it is not gathering."""
        with self.lock:
            arriving, unit = self._units.get(key), self._ledger.unit(key)
            if arriving is None or unit is None:
                return None
            return max(0.0, arriving.last + self._patience(arriving, unit) - time.monotonic())

    def requeue(self, key: str) -> None:
        """Images came while a unit was quantified: gather again."""
        with self.lock:
            unit = self._ledger.unit(key)
            if unit is not None and key not in self._units:
                self._units[key] = self._taken_up(unit)
            self._ledger.set(key, state=GATHERING, changed=0, attempts=0)

    # ---------------------------------------------------------------------------------------------------- decisions

    def _patience(self, arriving: _Arriving, unit: Unit) -> float:
        times = self._config.gather
        if unit.expected and len(arriving.images) >= unit.expected:
            return 0.0
        if arriving.broken_at is not None or unit.expected:
            return times["broken_off_seconds"]
        return times["open_seconds"] if arriving.links else times["quiet_seconds"]

    def _close_if_whole(self, key: str, arriving: _Arriving) -> None:
        unit = self._ledger.unit(key)
        if unit is None or unit.state != GATHERING:
            if unit is None or unit.state != WORKING:
                del self._units[key]
            return
        if time.monotonic() - arriving.last < self._patience(arriving, unit):
            return
        del self._units[key]
        count, content = len(arriving.images), hashed_name(*sorted(arriving.images))
        values = {"images": count, "content": content, "open": 0, "broken": 0, "attempts": 0}
        why = _why_not_whole(unit, arriving, count)
        if why:
            _log.warning("series %s put aside: %s", key, why)
            self._ledger.set(key, state=ASIDE, reason=why, **values | {"images": max(count, unit.images)})
        else:
            # After an end of the node's own, a sender that had sent all of it has no reason to come again.
            how = ", as nothing more came after the node was started again" if arriving.broken else ""
            _log.info("series %s is whole with %d images%s", key, count, how)
            self._ledger.set(key, state=WAITING, reason="", grade="", cleared=0, **values)

    # -------------------------------------------------------------------------------------------------------- start

    def _known(self, key: str) -> set[str]:
        arriving = self._units.get(key)
        if arriving is not None:
            return arriving.images
        return {path.name for path in images_in(self.folder(key))}

    def _take_up(self) -> None:
        """Continue where the last process ended, however it did."""
        for folder in self._images.iterdir():
            if self._ledger.unit(folder.name) is None:
                self._take_up_unknown(folder)
        for unit in self._ledger.units(GATHERING):
            arriving = self._units[unit.key] = self._taken_up(unit)
            if unit.open:
                self._ledger.set(unit.key, open=0, broken=arriving.broken)

    def _taken_up(self, unit: Unit) -> _Arriving:
        """A unit as it is after the node was started: its associations ended with the last process."""
        now, broken = time.monotonic(), unit.broken or (BY_NODE if unit.open else WHOLE)
        return _Arriving(self._known(unit.key), now, {}, now if broken else None, broken)

    def _take_up_unknown(self, folder: Path) -> None:
        """Images of which the queue, which is another than before, knows nothing."""
        images = images_in(folder)
        if not images:
            shutil.rmtree(folder, ignore_errors=True)
            return
        head = read_header(images[0])
        study, series = head.text("StudyInstanceUID"), head.text("SeriesInstanceUID")
        of_series = series if folder.name == hashed_name(study, series) else ""
        self._ledger.add(folder.name, study, of_series, "(found)", arriving=False)


def _on_arrival(unit: Unit, expected: int) -> dict[str, object]:
    """The columns of a unit that an image changes."""
    values: dict[str, object] = {}
    if not unit.open:
        values["open"] = 1
    if expected and expected != unit.expected:
        values["expected"] = max(expected, unit.expected)
    if unit.state in {WAITING, SENDING, DONE, ASIDE, UNSENT}:
        values |= {"state": GATHERING}
    elif unit.state == WORKING and not unit.changed:
        values["changed"] = 1
    return values


def _why_not_whole(unit: Unit, arriving: _Arriving, count: int) -> str:
    """Why a unit for which nothing more came is not quantified; empty if it is whole."""
    if unit.expected and count < unit.expected:
        return f"only {count} of {unit.expected} images came; send the series again [series-incomplete]"
    if unit.expected:
        return ""
    if arriving.broken == BY_SENDER:
        return (
            f"the sender broke off after {count} images and the rest did not come; send the series again [broken-off]"
        )
    if unit.cleared and count < unit.images:
        return (
            f"{count} images came of a series of {unit.images} whose earlier ones are deleted; send all of it again "
            "[series-incomplete]"
        )
    return ""
