"""When a series is whole, held against a plain statement of the rule over any order of events, restarts included."""

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

from hypothesis import settings as settings_of
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from node_world import configured, settings

from COVIDQuantLib.node import gather
from COVIDQuantLib.node.durable import images_in
from COVIDQuantLib.node.ledger import ASIDE, FILE, GATHERING, WAITING, Ledger

KEY = "0123456789abcdef0123456789abcdef"
QUIET, OPEN, BROKEN = 10.0, 100.0, 1000.0
LINKS = st.integers(0, 2)
IMAGES = st.integers(0, 5)


class OneSeries(RuleBasedStateMachine):
    """One series, three associations that open and close, a clock that is told the time, a node that is killed."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        times = {"quiet_seconds": QUIET, "open_seconds": OPEN, "broken_off_seconds": BROKEN}
        self.config = configured(self.folder, settings(self.folder / "spool", gather=times))
        (self.folder / "images").mkdir()
        self.now, self.real = 1000.0, gather.time
        gather.time = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now)
        # The rule's view: what is on the disk; which open associations brought anything, and since when; whether one
        # broke off that none which began later has made good, and whether the sender did; when the last image came.
        self.images, self.since, self.broken_at, self.last, self.by_sender = set(), {}, None, None, False
        self.ledger = Ledger(self.folder / FILE)
        self.gathering = gather.Gathering(self.config, self.ledger, self.folder / "images")

    def teardown(self):
        if hasattr(self, "real"):
            gather.time = self.real
            self.ledger.close()
            shutil.rmtree(self.folder)

    @property
    def state(self):
        unit = self.ledger.unit(KEY)
        return unit.state if unit else None

    @rule(link=LINKS, image=IMAGES)
    def arrive(self, link, image):
        self.now += 0.5
        name, new = f"{image}.dcm", image not in self.images
        with self.gathering.lock:
            assert self.gathering.has(KEY, name) is not new
            self.gathering.open(KEY, "1.2", "1.3", "SCANNER")
            (self.gathering.folder(KEY) / name).touch()
            self.gathering.arrived(KEY, name, link, new=new)
        if new or self.last is not None or self.state == GATHERING:
            self.images.add(image)
            self.since.setdefault(link, self.now)
            self.last = self.now

    @rule(link=LINKS, well=st.booleans())
    def close(self, link, well):
        self.now += 0.5
        self.gathering.closed(link, well=well)
        began = self.since.pop(link, None)
        if began is None:
            return
        if not well:
            self.broken_at, self.by_sender = self.now, True
        elif self.broken_at is not None and began > self.broken_at:
            self.broken_at, self.by_sender = None, False

    @rule(seconds=st.sampled_from([1.0, QUIET + 1, OPEN + 1, BROKEN + 1]))
    def wait(self, seconds):
        self.now += seconds
        self.gathering.close_whole()
        if self.last is None:
            return
        patience = BROKEN if self.broken_at is not None else OPEN if self.since else QUIET
        if self.now - self.last < patience:
            assert self.state == GATHERING
            return
        assert self.state == (ASIDE if self.by_sender else WAITING)
        assert self.ledger.unit(KEY).images == len(self.images)
        self.since, self.broken_at, self.last, self.by_sender = {}, None, None, False

    @rule()
    def kill(self):
        """Every association ends with the node; a sender that had sent all does not come again."""
        self.ledger.close()
        self.ledger = Ledger(self.folder / FILE)
        self.gathering = gather.Gathering(self.config, self.ledger, self.folder / "images")
        if self.last is not None:
            self.last = self.now
            if self.since or self.broken_at is not None:
                self.broken_at = self.now
        self.since = {}

    @invariant()
    def nothing_is_lost(self):
        if hasattr(self, "images"):
            assert {path.stem for path in images_in(self.folder / "images")} == {str(image) for image in self.images}


TestOneSeries = OneSeries.TestCase
TestOneSeries.settings = settings_of(max_examples=30, stateful_step_count=25, deadline=None)
