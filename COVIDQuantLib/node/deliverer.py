"""Bring results to their destinations: again and again until they are there, each once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from pydicom.errors import InvalidDicomError

from COVIDQuantLib.node.config import NodeConfig, Remote
from COVIDQuantLib.node.ledger import (
    ASKED,
    DONE,
    GIVEN_UP,
    SENDING,
    SENT,
    STORED,
    TO_SEND,
    UNSENT,
    Delivery,
    Ledger,
)
from COVIDQuantLib.node.network.destinations import NotSentError, ask_commitment, new_transaction, send
from COVIDQuantLib.node.settings import DICOM

_log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 3600.0
# A commitment that is not answered for so long is asked for again.
_SECONDS_TO_COMMIT = 600.0


class Deliverer:
    """Sends what is due; a result whose every object is stored is done.

    An object keeps its UID however often it is sent, so one that arrived although the answer was lost is the same
    object to its destination.

    Args:
        config: destinations.
        ledger: the queue.
        folder: where the result of a unit's run lies.
    """

    def __init__(self, config: NodeConfig, ledger: Ledger, folder: Callable[[str, int], Path]) -> None:
        self._config = config
        self._ledger = ledger
        self._folder = folder
        # What was given up is tried again by a node that is started again, as after a change of the configuration.
        for unit in ledger.units(UNSENT):
            for one in ledger.deliveries_of(unit.key):
                if one.state == GIVEN_UP:
                    now = time.time()
                    ledger.set_delivery(one.id, state=TO_SEND, since=now, next_at=now, attempts=0)
            ledger.set(unit.key, state=SENDING, reason="")

    def step(self) -> bool:
        """Send what is due now; blocks while it sends.

        Returns:
            Whether anything was due.
        """
        due = self._ledger.due(time.time())
        by_target = sorted(due, key=lambda one: (one.unit, one.run, one.destination, one.id))
        for (unit, run, name), found in groupby(by_target, key=lambda one: (one.unit, one.run, one.destination)):
            group = list(found)
            remote = self._config.destination(name)
            if remote is None:
                self._put_off(group, f"the configuration names no destination {name}")
            else:
                self._bring(remote, self._folder(unit, run), group)
            self._settle(unit, run)
        return bool(due)

    def committed(self, transaction: str, stored: Sequence[str], failed: Sequence[str]) -> bool:
        """A destination has answered a request for commitment.

        Args:
            transaction: the request's UID.
            stored: SOP Instance UIDs that it has.
            failed: those that it has not; they are sent again.

        Returns:
            Whether there was such a request.
        """
        asked = self._ledger.asked_for(transaction)
        for one in asked:
            if one.sop_instance in stored:
                self._ledger.set_delivery(one.id, state=STORED, why="")
            elif one.sop_instance in failed:
                self._put_off([one], "it did not commit to the object")
        for unit, run in {(one.unit, one.run) for one in asked}:
            self._settle(unit, run)
        return bool(asked)

    def _bring(self, remote: Remote, folder: Path, group: Sequence[Delivery]) -> None:
        """Do for deliveries of one result what is next, as far as it goes."""
        to_send = [one for one in group if one.state == TO_SEND]
        if to_send:
            try:
                self._send(remote, folder, to_send)
            except (NotSentError, OSError, InvalidDicomError) as error:
                self._put_off(to_send, str(error))
        if remote.kind == DICOM and remote["commitment"]:
            ids = {one.id for one in group}
            of_unit = self._ledger.deliveries_of(group[0].unit)
            sent = [one for one in of_unit if one.id in ids and one.state in {SENT, ASKED}]
            if sent:
                self._ask(remote, sent)

    def _send(self, remote: Remote, folder: Path, group: Sequence[Delivery]) -> None:
        files = {folder / one.file: one for one in group}
        lost = [one for path, one in files.items() if not path.is_file()]
        for one in lost:
            self._ledger.set_delivery(one.id, state=GIVEN_UP, why="its file is gone")
        there = {path: one for path, one in files.items() if one not in lost}
        if not there:
            return
        told = send(self._config, remote, there)
        after = SENT if remote.kind == DICOM and remote["commitment"] else STORED
        for path, one in there.items():
            if told[path]:
                self._put_off([one], told[path])
            else:
                self._ledger.set_delivery(one.id, state=after, why="")
        taken = sum(not why for why in told.values())
        _log.info("series %s: %s took %d of %d objects", group[0].unit, remote.name, taken, len(told))

    def _ask(self, remote: Remote, sent: Sequence[Delivery]) -> None:
        late = [one for one in sent if one.state == ASKED and self._is_over(one)]
        if late:
            self._put_off(late, "it was sent, but is not committed to")
            return
        transaction = new_transaction()
        # Before the request, as the answer may come before it returns.
        for one in sent:
            self._ledger.set_delivery(
                one.id, state=ASKED, transaction_uid=transaction, next_at=time.time() + _SECONDS_TO_COMMIT
            )
        try:
            ask_commitment(self._config, remote, sent, transaction)
        except NotSentError as error:
            self._put_off(sent, f"{error}; it was sent, but is not committed to", SENT)

    def _put_off(self, group: Sequence[Delivery], why: str, state: str = TO_SEND) -> None:
        """Try later, more and more seldom; give up in the end.

        Args:
            group: deliveries of one result to one destination.
            why: for the log and the status page.
            state: what they are to be tried from.
        """
        for one in group:
            pause = min(_FIRST_PAUSE * 2.0 ** min(one.attempts, 20), _LONGEST_PAUSE)
            self._ledger.set_delivery(
                one.id,
                state=GIVEN_UP if self._is_over(one) else state,
                attempts=one.attempts + 1,
                next_at=time.time() + pause,
                why=why,
            )
        _log.warning("series %s, destination %s: %s", group[0].unit, group[0].destination, why)

    def _is_over(self, one: Delivery) -> bool:
        return time.time() - one.since > 3600.0 * self._config.limits["give_up_hours"]

    def _settle(self, key: str, run: int) -> None:
        """A result all of whose deliveries are over is done, or marked as unsent."""
        unit = self._ledger.unit(key)
        if unit is None or unit.state != SENDING or unit.run != run:
            return
        left = [one for one in self._ledger.deliveries_of(key) if one.run == run and one.state != STORED]
        if not left:
            _log.info("series %s: done", key)
            self._ledger.set(key, state=DONE)
        elif all(one.state == GIVEN_UP for one in left):
            why = f"not sent to {', '.join(sorted({one.destination for one in left}))}: {left[0].why} [not-sent]"
            _log.warning("series %s: %s", key, why)
            self._ledger.set(key, state=UNSENT, reason=why)
