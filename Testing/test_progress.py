"""Staged progress: one fraction for the whole job, time left once it can be told, and cancelling."""

import pytest

from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.progress import Stage, StagedProgress, part

STAGES = (Stage("reading", 1.0), Stage("lungs", 3.0))


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_fractions_follow_the_stages_shares():
    shown = []
    progress = StagedProgress(STAGES, shown.append)
    with progress.stage("reading") as report:
        report(0.5)
    with progress.stage("lungs") as report:
        report(1 / 3)
    assert [state.fraction for state in shown] == pytest.approx([0, 0.125, 0.25, 0.25, 0.5, 1])
    assert [state.stage for state in shown] == ["reading"] * 3 + ["lungs"] * 3


def test_time_left_is_told_once_it_has_settled():
    shown, clock = [], Clock()
    progress = StagedProgress(STAGES, shown.append, clock)
    with progress.stage("reading") as report:
        report(0.9)
        assert shown[-1].seconds_left is None  # no time has passed yet
        clock.now += 10
        report(1.0)
    assert shown[-1].seconds_left == pytest.approx(30)
    with progress.stage("lungs") as report:
        clock.now += 30
    assert shown[-1].seconds_left == 0


def test_fractions_out_of_range_are_held_in_it():
    told = []
    inner = part(told.append, 0.2, 0.4)
    for fraction in (-1, 0, 0.5, 2):
        inner(fraction)
    assert told == pytest.approx([0.2, 0.2, 0.3, 0.4])


def test_a_skipped_stage_and_an_unknown_one():
    shown = []
    progress = StagedProgress(STAGES, shown.append)
    with progress.stage("lungs"):
        pass
    assert shown[-1].fraction == 0.75
    with pytest.raises(KeyError), progress.stage("heart"):
        pass


def test_cancelling_comes_out_of_the_report():
    def stop(state):
        if 0.3 < state.fraction < 0.75:
            raise Cancelled

    with StagedProgress(STAGES, stop).stage("lungs") as report:
        report(0.1)
        with pytest.raises(Cancelled):
            report(0.9)
        report(0.2)
