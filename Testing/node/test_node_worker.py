"""The node's worker: one process for series after series, and another when it ended, whatever it ended by."""

import os
import signal
from functools import partial

import pytest
from node_world import configured, run_until, sent, series, settings, states
from worker_world import is_running

from COVIDQuantLib.node import node as node_module
from COVIDQuantLib.node.node import Node
from COVIDQuantLib.node.quantifier import SeriesWorker


@pytest.fixture
def real_node(tmp_path, monkeypatch):
    """Makes nodes with a real process, whose work is that of ``node_child``."""
    monkeypatch.setattr(node_module, "SeriesWorker", partial(SeriesWorker, jobs="node_child"))

    def made(**quantify):
        keys = {"method": "model-free", "device": "cpu", **quantify}
        return Node(configured(tmp_path, settings(tmp_path / "spool", quantify=keys)))

    return made


def send(node, images):
    """Send images, again where an association ran into a time-out on a busy machine, as a scanner does."""
    for _ in range(3):
        if set(sent(node.service.port, images)) == {0}:
            return
    pytest.fail("the node does not take the images")


def bring(node, seed, description="CT"):
    """Send a series and wait until it is over; its unit."""
    before = {unit.key for unit in node.ledger.units()}
    send(node, series(seed=seed, SeriesDescription=description))
    run_until(node, lambda: sum(states(node).get(state, 0) for state in ("done", "aside")) == len(before) + 1)
    (unit,) = [unit for unit in node.ledger.units() if unit.key not in before]
    return unit


def test_one_process_takes_series_after_series_and_ends_with_the_node(real_node):
    with real_node() as node:
        assert node.worker.pid is None, "nothing is started before there is work"
        first, second = bring(node, 1), bring(node, 2)
        assert (first.state, second.state) == ("done", "done")
        pid = node.worker.pid
        assert first.reason == second.reason == str(pid)
        assert node.quantifier.pid is None
        os.kill(pid, signal.SIGKILL)
        third = bring(node, 3)
        assert (third.state, third.attempts) == ("done", 1), "a process that died between two series costs no try"
        last = int(third.reason)
        assert last != pid
    assert not is_running(pid)
    assert not is_running(last)


def test_a_series_whose_process_is_killed_is_tried_again_in_another(real_node, tmp_path):
    with real_node() as node:
        send(node, series(SeriesDescription="long"))
        run_until(node, lambda: node.quantifier.progress is not None and node.quantifier.progress[1] == 0.25)
        pid = node.quantifier.pid
        os.kill(pid, signal.SIGKILL)
        (tmp_path / "spool" / "results" / "tried").touch()
        run_until(node, lambda: states(node) == {"done": 1})
        (unit,) = node.ledger.units()
        assert unit.attempts == 2
        assert unit.reason not in {"", str(pid)}


def test_a_series_that_kills_its_process_is_put_aside_and_the_next_is_done(real_node):
    with real_node(attempts=2) as node:
        deadly = bring(node, 1, "deadly")
        assert (deadly.state, deadly.attempts) == ("aside", 2)
        assert "ended before it was done (SIGKILL)" in deadly.reason
        assert bring(node, 2).state == "done"


def test_memory_that_a_warm_process_lacks_is_asked_of_a_new_one(real_node):
    with real_node() as node:
        first = bring(node, 1)
        second = bring(node, 2, "needs all memory")
        assert (second.state, second.attempts) == ("done", 2)
        assert first.reason != second.reason


@pytest.mark.parametrize(
    "limit",
    [
        {"worker_series": 1},
        pytest.param({"worker_gb": 0.001}, marks=pytest.mark.slow),
        pytest.param({"worker_idle_minutes": 1e-6}, marks=pytest.mark.slow),
    ],
)
def test_the_process_is_replaced_at_its_limits(real_node, limit):
    with real_node(**limit) as node:
        first = bring(node, 1)
        run_until(node, lambda: node.worker.pid is None)
        second = bring(node, 2)
        assert first.reason != second.reason
        assert (second.state, second.attempts) == ("done", 1)


@pytest.mark.slow
def test_the_networks_are_loaded_once_for_all_series(real_node):
    with real_node(method="network") as node:
        assert [bring(node, seed, "keeps its networks").state for seed in (1, 2)] == ["done", "done"]
