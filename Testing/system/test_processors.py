"""Number of processors and threads."""

import os

import pytest

from COVIDQuantLib.system.processors import THREADS_VARIABLE, usable_processors, usable_threads


def test_processors_are_those_this_process_may_run_on():
    assert 1 <= usable_processors() <= os.cpu_count()


@pytest.mark.parametrize(
    ("value", "threads"), [("1", 1), ("0", 1), ("-3", 1), ("4,2", None), ("", None), ("999", None)]
)
def test_threads_are_no_more_than_processors_or_the_environment_allow(monkeypatch, value, threads):
    monkeypatch.setenv(THREADS_VARIABLE, value)
    assert usable_threads() == (threads or usable_processors())
