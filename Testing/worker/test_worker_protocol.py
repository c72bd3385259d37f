"""What crosses between the two processes, and what happens when something else does."""

import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from worker_world import blocks_left, is_running, until

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import Cancelled, UsageError
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.worker import function_job
from COVIDQuantLib.worker.channel import Inbox
from COVIDQuantLib.worker.failures import WorkerError
from COVIDQuantLib.worker.frame import Frame, SharedArguments, read_frame, read_frame_file
from COVIDQuantLib.worker.function_job import BackgroundJob
from COVIDQuantLib.worker.values import decode, encode


@pytest.fixture(autouse=True)
def _no_block_is_left():
    yield
    assert blocks_left() == []


ARRAYS = hnp.arrays(
    st.one_of(hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.floating_dtypes()),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.dates(),
    st.sampled_from([Grade.LOOK, Path("a/b"), slice(1, None, -2), CTWarning("a", "Gerät"), Thresholds(-800, -400)]),
    st.just(CheckResult("outside", Grade.UNUSABLE, "out", place=(1.0, -2.5, math.inf))),
    ARRAYS,
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.sampled_from(Grade)), inner, max_size=3),
    ),
    max_leaves=8,
)


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and type(one) is type(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


@settings(max_examples=60, deadline=None)
@given(value=VALUES)
def test_a_value_comes_back_as_it_was(tmp_path_factory, value):
    frame = Frame(value)
    buffer = memoryview(bytearray(frame.size))
    frame.write(buffer)
    assert same(read_frame(buffer, frame.text_bytes), value)
    path = tmp_path_factory.mktemp("frame") / "result"
    with path.open("wb") as file:
        frame.write_file(file)
    assert path.read_bytes() == bytes(buffer)
    assert same(read_frame_file(path, frame.text_bytes), value)


@dataclass
class Stranger:
    """A record of somebody else."""

    number: int = 1


class Odd(Enum):
    """An enumeration of somebody else."""

    ONE = 1


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        b"bytes",
        np.array([object()]),
        np.array(["a"]),
        Stranger(),
        Odd.ONE,
        print,
        Grade,
        datetime(2020, 2, 1, tzinfo=UTC),
    ],
)
def test_what_cannot_be_sent_is_refused_before_it_is(value):
    with pytest.raises(TypeError):
        SharedArguments({}, {"value": value})


@pytest.mark.parametrize(
    "record",
    [
        {"record": [["os", "system"], {}]},
        {"record": [["pathlib", "Path"], {}]},
        {"record": [["COVIDQuantLib.errors", "UsageError"], {"what": "x"}]},
        {"record": [["COVIDQuantLib.worker.process", "subprocess.Popen"], {}]},
        {"enum": [["COVIDQuantLib.grades", "CheckResult"], 1]},
        {"enum": [["COVIDQuantLib.grades", "Grade"], "splendid"]},
        {"array": {"offset": 0, "shape": [1], "dtype": "|u1"}},
        {"unheard of": 1},
        {},
    ],
)
def test_a_record_can_make_nothing_but_the_librarys_own_values(record):
    with pytest.raises((ValueError, TypeError, KeyError)):
        decode(record)


def test_progress_is_a_value_without_arrays():
    assert decode(encode(Thresholds())) == Thresholds()
    with pytest.raises(TypeError):
        encode(np.zeros(3))


# -------------------------------------------------------------------------------------------------------------- garbage


def inbox_of(data):
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as source:
        inbox = Inbox(source)
        return inbox, inbox.take()


def test_what_is_printed_before_the_first_message_is_ignored():
    inbox, messages = inbox_of(b'Welcome!\n[1]\n\n\xff\n{"ready": 1}\n{"job": 1}\n')
    assert messages == [{"ready": 1}, {"job": 1}]
    assert not inbox.garbage


def test_garbage_among_the_messages_ends_the_channel():
    inbox, messages = inbox_of(b'{"ready": 1}\n{"job": 1, "don\n{"job": 1, "done": {}}\n')
    assert messages == [{"ready": 1}]
    assert inbox.ended
    assert inbox.garbage == b'{"job": 1, "don'


ANSWERS = {
    "garbage": ('print("free as a bird")', "cause unknown"),
    "a result that is not there": ('print(json.dumps({"job": 1, "done": {"text": 4, "file": "/none"}}))', "be read"),
    "a result of no kind": ('print(json.dumps({"job": 1, "done": 5}))', "be read"),
    "an error of no kind": ('print(json.dumps({"job": 1, "failed": {}}))', "be read"),
    "progress of no kind": ('print(json.dumps({"job": 1, "progress": {"x": 1}}))', "be read"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_process_that_answers_nonsense_is_reported_and_ended(monkeypatch, name):
    code, what = ANSWERS[name]
    run = f'import time; print(json.dumps({{"ready": 1}})); {code}; sys.stdout.flush(); time.sleep(600)'
    monkeypatch.setattr(function_job, "CHILD_MAIN", run)
    job = BackgroundJob("export_world:double", SharedArguments({}, {"numbers": np.zeros(3), "factor": 1}))
    pid = job.pid
    with pytest.raises(WorkerError, match=what) as caught:
        until(lambda: job.poll() and False)
    assert "free as a bird" in caught.value.remedy or name != "garbage"
    assert not job.is_done
    assert job.pid is None
    assert not is_running(pid)


def test_a_process_that_prints_as_it_starts_does_its_job(monkeypatch):
    monkeypatch.setattr(function_job, "CHILD_MAIN", f"print('hello', flush=True); {function_job.CHILD_MAIN}")
    job = BackgroundJob("export_world:double", SharedArguments({}, {"numbers": np.arange(3), "factor": 2}))
    until(lambda: job.poll() == 1.0 and job.is_done)
    assert job.result.tolist() == [0, 2, 4]


def test_a_job_that_is_over_stays_as_it_is():
    job = BackgroundJob("export_world:refuse", SharedArguments({}, {}))
    for _ in range(2):
        with pytest.raises(UsageError):
            until(lambda: job.poll() and False)
    job.cancel()
    with pytest.raises(UsageError):
        job.poll()
    cancelled = BackgroundJob("export_world:refuse", SharedArguments({}, {}))
    cancelled.cancel()
    with pytest.raises(Cancelled):
        cancelled.poll()


def test_a_function_whose_answer_cannot_be_sent_is_a_bug():
    job = BackgroundJob("builtins:dict", SharedArguments({}, {}))
    with pytest.raises(WorkerError, match=r"bug \(TypeError"):
        until(lambda: job.poll() and False)
