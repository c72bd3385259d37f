"""The queue on the disk: which series are where on their way, and which results went to whom.

One SQLite file, written through at every change. The images are the truth about what has arrived, this about what has
been done with it; a change is one transaction, so a kill leaves the state before it or after it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import OutputError

FILE = "queue.sqlite"
# Where a series is on its way. Aside: it was not quantified, and `reason` says why.
GATHERING, WAITING, WORKING, SENDING, DONE, ASIDE, UNSENT = (
    "gathering",
    "waiting",
    "working",
    "sending",
    "done",
    "aside",
    "unsent",
)
# Who ended an association before it was closed well.
WHOLE, BY_SENDER, BY_NODE = range(3)
# Where an object is on its way to a destination. Asked: it was sent, and a commitment to it was asked for.
TO_SEND, SENT, ASKED, STORED, GIVEN_UP = "to-send", "sent", "asked", "stored", "given-up"

_TABLES = """
CREATE TABLE IF NOT EXISTS unit (
  key TEXT PRIMARY KEY, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL, sender TEXT NOT NULL, state TEXT NOT NULL,
  open INTEGER NOT NULL DEFAULT 0, broken INTEGER NOT NULL DEFAULT 0, expected INTEGER NOT NULL DEFAULT 0,
  images INTEGER NOT NULL DEFAULT 0, content TEXT NOT NULL DEFAULT '', run INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0, cleared INTEGER NOT NULL DEFAULT 0, changed INTEGER NOT NULL DEFAULT 0,
  grade TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  told TEXT NOT NULL DEFAULT '', seconds REAL NOT NULL DEFAULT 0,
  first_at REAL NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS unit_state ON unit (state, at);
CREATE TABLE IF NOT EXISTS delivery (
  id INTEGER PRIMARY KEY, unit TEXT NOT NULL, run INTEGER NOT NULL, file TEXT NOT NULL, sop_class TEXT NOT NULL,
  sop_instance TEXT NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'to-send',
  attempts INTEGER NOT NULL DEFAULT 0, since REAL NOT NULL, next_at REAL NOT NULL, why TEXT NOT NULL DEFAULT '',
  transaction_uid TEXT NOT NULL DEFAULT '', UNIQUE (unit, run, file, destination)
);
CREATE INDEX IF NOT EXISTS delivery_state ON delivery (state, next_at);
"""


@dataclass(frozen=True)
class Unit:
    """What is quantified together: a series, or a study.

    Attributes:
        key: name of its folder, a hash of its UIDs.
        study_uid: Study Instance UID.
        series_uid: Series Instance UID; empty for a study.
        sender: the AE title or source that sent its first image.
        state: where it is on its way.
        open: whether an association that sent images of it has not been closed.
        broken: whether one broke off, and none has been closed well since; by whom.
        expected: number of images that a header or a server told; 0: unknown.
        images: images when it was last found whole.
        content: a hash of those images' names.
        run: number of its latest result.
        attempts: of the job since the images last changed.
        cleared: whether images and results were deleted after their time.
        changed: whether images came while it was being quantified.
        grade: of the result.
        reason: why it is aside or unsent; warnings of a result.
        told: the reason that the destinations were told, if they are told any.
        seconds: that its quantification took.
        first_at: when the first image came, seconds since 1970.
        at: of the last change of state or image.
    """

    key: str
    study_uid: str
    series_uid: str
    sender: str
    state: str
    open: int
    broken: int
    expected: int
    images: int
    content: str
    run: int
    attempts: int
    cleared: int
    changed: int
    grade: str
    reason: str
    told: str
    seconds: float
    first_at: float
    at: float


@dataclass(frozen=True)
class Delivery:
    """An object of a result on its way to a destination; ``file`` lies in the result's folder."""

    id: int
    unit: str
    run: int
    file: str
    sop_class: str
    sop_instance: str
    destination: str
    state: str
    attempts: int
    since: float
    next_at: float
    why: str
    transaction_uid: str


_UNIT = ", ".join(field.name for field in fields(Unit))
_DELIVERY = ", ".join(field.name for field in fields(Delivery))


class Ledger:
    """The queue; safe to use from any thread.

    Args:
        path: the SQLite file; made if missing.

    Raises:
        OutputError: it cannot be opened, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
            # A committed change survives a power cut.
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.executescript(_TABLES)
            (sound,) = self._base.execute("PRAGMA quick_check").fetchone()
        except sqlite3.Error as error:
            raise _unreadable(path, str(error)) from error
        if sound != "ok":
            self._base.close()
            raise _unreadable(path, sound)

    def close(self) -> None:
        """Close the file; nothing may be asked afterwards."""
        with self._lock:
            self._base.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Make several changes one: all or none."""
        with self._lock:
            if self._base.in_transaction:
                yield
                return
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    # ------------------------------------------------------------------------------------------------------- units

    def unit(self, key: str) -> Unit | None:
        """The unit of a key; None if there is none."""
        found = self._rows(f"SELECT {_UNIT} FROM unit WHERE key = ?", key)  # noqa: S608 - names of our own columns
        return Unit(*found[0]) if found else None

    def units(self, *states: str, newest: int | None = None) -> list[Unit]:
        """Units in some states, all if none is named; the longest there first, or the newest so many."""
        marks = ", ".join("?" * len(states))
        where = f"WHERE state IN ({marks})" if states else ""
        order = "ORDER BY at" if newest is None else f"ORDER BY at DESC LIMIT {int(newest)}"
        return [Unit(*row) for row in self._rows(f"SELECT {_UNIT} FROM unit {where} {order}", *states)]  # noqa: S608

    def untold(self) -> list[Unit]:
        """Units that are aside, with images, for a reason that the destinations were not told."""
        rows = self._rows(f"SELECT {_UNIT} FROM unit WHERE state = ? AND told != reason AND NOT cleared", ASIDE)  # noqa: S608
        return [Unit(*row) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many units are in each state."""
        return dict(self._rows("SELECT state, COUNT(*) FROM unit GROUP BY state"))

    def add(self, key: str, study_uid: str, series_uid: str, sender: str, *, arriving: bool) -> None:
        """A new unit, gathering its images; ``arriving``: over an association that is open."""
        now = time.time()
        self._do(
            "INSERT INTO unit (key, study_uid, series_uid, sender, state, open, first_at, at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(key, study_uid, series_uid, sender, GATHERING, arriving, now, now),
        )

    def set(self, key: str, **values: Any) -> None:
        """Change columns of a unit; ``at`` becomes now unless it is given."""
        values.setdefault("at", time.time())
        columns = ", ".join(f"{name} = ?" for name in values)
        self._do(f"UPDATE unit SET {columns} WHERE key = ?", *values.values(), key)  # noqa: S608

    # -------------------------------------------------------------------------------------------------- deliveries

    def owe(self, unit: str, run: int, files: Sequence[tuple[str, str, str]], destinations: Sequence[str]) -> None:
        """Objects of a new result to be sent; what is still unsent of the unit's earlier results no longer is.

        Args:
            unit: key of the unit.
            run: number of the result.
            files: name, SOP class and SOP instance of each object.
            destinations: names of where each goes.
        """
        now = time.time()
        with self.change():
            self._do("DELETE FROM delivery WHERE unit = ? AND run < ? AND state != ?", unit, run, STORED)
            for file, sop_class, sop_instance in files:
                for destination in destinations:
                    self._do(
                        "INSERT INTO delivery (unit, run, file, sop_class, sop_instance, destination, since, next_at) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        *(unit, run, file, sop_class, sop_instance, destination, now, now),
                    )

    def due(self, now: float) -> list[Delivery]:
        """What is to be done about deliveries now: send, ask for commitment, or ask again."""
        return self._deliveries("WHERE state IN (?, ?, ?) AND next_at <= ? ORDER BY id", TO_SEND, SENT, ASKED, now)

    def deliveries_of(self, unit: str) -> list[Delivery]:
        """All deliveries of a unit's results."""
        return self._deliveries("WHERE unit = ? ORDER BY id", unit)

    def asked_for(self, transaction_uid: str) -> list[Delivery]:
        """The deliveries whose commitment was asked for in one transaction."""
        return self._deliveries("WHERE transaction_uid = ? AND state = ?", transaction_uid, ASKED)

    def pending(self) -> list[Delivery]:
        """Deliveries that are not over."""
        return self._deliveries("WHERE state IN (?, ?, ?) ORDER BY id", TO_SEND, SENT, ASKED)

    def set_delivery(self, delivery: int, **values: Any) -> None:
        """Change columns of a delivery."""
        columns = ", ".join(f"{name} = ?" for name in values)
        self._do(f"UPDATE delivery SET {columns} WHERE id = ?", *values.values(), delivery)  # noqa: S608

    def forget_deliveries(self, unit: str) -> None:
        """Delete the deliveries of a unit."""
        self._do("DELETE FROM delivery WHERE unit = ?", unit)

    # ------------------------------------------------------------------------------------------------------ helpers

    def _deliveries(self, rest: str, *values: Any) -> list[Delivery]:
        return [Delivery(*row) for row in self._rows(f"SELECT {_DELIVERY} FROM delivery {rest}", *values)]  # noqa: S608

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    def _do(self, statement: str, *values: Any) -> None:
        with self._lock:
            self._base.execute(statement, values)


def _unreadable(path: Path, why: str) -> OutputError:
    return OutputError(
        f"the queue cannot be opened ({why})",
        str(path),
        "Check the folder's permissions and disk; if the file is damaged, move it away: images still in the folder are "
        "then taken up anew.",
        "queue-unreadable",
    )
