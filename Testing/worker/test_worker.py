"""Segmentation in a second process: the same result, the same errors, one after another, and never in the way."""

import dataclasses
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from worker_world import WorkerThat, is_running, small_ct, until, until_stage

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import Cancelled, COVIDQuantError, UnfitInputError, UsageError
from COVIDQuantLib.pipeline import DEFAULT_PLAN, MODEL_FREE, NETWORK, GivenMasks, Plan, segment_ct
from COVIDQuantLib.progress import StagedProgress
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.worker.channel import Inbox, Outbox, encoded
from COVIDQuantLib.worker.failures import error_of_record, error_record
from COVIDQuantLib.worker.frame import Frame, SharedArguments, read_arguments, read_frame
from COVIDQuantLib.worker.process import clean_environment
from COVIDQuantLib.worker.worker import Worker

pytestmark = pytest.mark.usefixtures("no_file_is_left", "no_block_is_left")
# Small networks find the same, and are refused, in every run: test_worker_faults.py, damaged weights and whole ones.
BOTH = [MODEL_FREE, pytest.param(NETWORK, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def shared():
    """A worker for all, which waits for ever at a CT that begins with 0."""
    with WorkerThat("linger") as worker:
        yield worker


def ct_that(*, lingers, seed=0):
    ct = small_ct(seed=seed)
    ct.hu.flat[0] = 0 if lingers else 1
    return ct


def same(one, other):
    return (
        np.array_equal(one.lobes, other.lobes)
        and np.array_equal(one.lesions, other.lesions)
        and (one.lobes.dtype, one.lesions.dtype) == (other.lobes.dtype, other.lesions.dtype)
    )


# ------------------------------------------------------------------------------------------- the pipeline's own job


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=1, thickness_mm=10.0, matrix=64, slices=12, extent_percent=10.0).ct


@pytest.mark.parametrize("method", BOTH)
def test_the_result_is_that_of_the_pipeline_here_and_the_process_stays_warm(phantom, method):
    plan = Plan(method, "cpu")
    here = segment_ct(phantom, GivenMasks(), StagedProgress(plan.stages), plan)
    states = []
    with Worker() as worker:
        pid = worker.pid
        there = worker.submit(phantom, plan=plan).wait(states.append)
        masks = GivenMasks(lobes=here.lobes, lesions=here.lesions, sources={"lobes": "mine"})
        again = worker.submit(phantom, masks, plan).wait()
        assert worker.pid == pid
    assert same(here, there)
    assert there.provenance == here.provenance
    assert there.warnings == here.warnings
    assert there.checks == here.checks
    assert there.checks
    assert same(here, again)
    assert again.provenance["lobes"] == {"method": "given", "source": "mine"}
    fractions = [state.fraction for state in states]
    assert fractions == sorted(fractions)
    # A poll gives the latest state alone: a stage that is over between two polls is never seen.
    order = ["waiting", *(stage.name for stage in plan.stages)]
    places = [order.index(state.stage) for state in states]
    assert places == sorted(places)
    assert places[0] == 0
    assert places[-1] > 0
    assert not is_running(pid)


@pytest.mark.parametrize("method", BOTH)
def test_errors_of_the_job_are_the_pipelines_own_and_do_not_end_the_process(phantom, method):
    plan = Plan(method, "cpu")
    air = dataclasses.replace(phantom, hu=np.full_like(phantom.hu, -1000))
    both = GivenMasks(lungs=np.ones(phantom.hu.shape, bool), lobes=np.ones(phantom.hu.shape, np.uint8))
    with Worker() as worker:
        pid = worker.pid
        for ct, given, kind in ((air, GivenMasks(), UnfitInputError), (phantom, both, UsageError)):
            with pytest.raises(kind) as here:
                segment_ct(ct, given, StagedProgress(plan.stages), plan)
            with pytest.raises(kind) as there:
                worker.submit(ct, given, plan).wait()
            assert type(there.value) is type(here.value)
            assert there.value.line() == here.value.line()
            assert (there.value.what, there.value.remedy) == (here.value.what, here.value.remedy)
        assert worker.pid == pid


# ------------------------------------------------------------------------------------------------ turns and cancels


def test_jobs_wait_for_their_turn_and_any_poll_moves_them_on(shared):
    cts = [ct_that(lingers=False, seed=seed) for seed in range(3)]
    jobs = [shared.submit(ct) for ct in cts]
    last = until(lambda: isinstance(state := jobs[-1].poll(), Segmentation) and state)
    assert all(job.is_over for job in jobs)
    results = [job.poll() for job in jobs]
    assert results[-1] is last
    assert len({result.provenance["pid"] for result in results}) == 1
    for ct, result in zip(cts, results, strict=True):
        assert np.array_equal(result.lobes, ct.hu % 6)
        assert np.array_equal(result.lesions, ct.hu > 0)


def test_the_ct_may_change_once_it_is_submitted(shared):
    ct = ct_that(lingers=False)
    wanted = ct.hu % 6
    job = shared.submit(ct)
    ct.hu[:] = 0
    assert np.array_equal(job.wait().lobes, wanted)


def test_a_grid_of_one_voxel(shared):
    ct = CTVolume(np.ones((1, 1, 1), np.int16), Geometry((1, 1, 1), (1.0, 1.0, 1.0)))
    assert shared.submit(ct).wait().lobes.tolist() == [[[1]]]


def test_a_cancelled_job_frees_its_memory_and_the_others_go_on(shared):
    ready = ct_that(lingers=False)
    pid = shared.pid
    first, second, third = (shared.submit(ct) for ct in (ct_that(lingers=True), ready, ready))
    until_stage(first, "lobes")
    second.cancel()
    assert shared.pid == pid, "a job that only waits has no process to end"
    first.cancel()
    assert not is_running(pid)
    for job in (first, second):
        with pytest.raises(Cancelled):
            job.poll()
    result = third.wait()
    assert np.array_equal(result.lobes, ready.hu % 6)
    third.cancel()
    assert third.poll() is result


def test_two_workers_do_not_know_of_each_other(shared):
    with WorkerThat("linger") as other:
        job = other.submit(ct_that(lingers=True))
        shared.submit(ct_that(lingers=False)).wait()
        until_stage(job, "lobes")
        mine = shared.submit(ct_that(lingers=False))
        job.cancel()
        mine.wait()


def test_an_interruption_while_waiting_cancels(shared):
    def show(state):
        if state.stage == "lobes":
            raise KeyboardInterrupt

    job = shared.submit(ct_that(lingers=True))
    pid = shared.pid
    with pytest.raises(KeyboardInterrupt):
        job.wait(show)
    assert job.is_over
    assert not is_running(pid)


def test_closing_cancels_what_is_left():
    worker = WorkerThat("linger")
    jobs = [worker.submit(ct_that(lingers=True)) for _ in range(2)]
    pid = worker.pid
    worker.close()
    worker.close()
    assert not is_running(pid)
    for job in jobs:
        with pytest.raises(Cancelled):
            job.poll()
    with pytest.raises(RuntimeError, match="closed"):
        worker.submit(ct_that(lingers=False))


def test_an_idle_process_ends_and_the_next_job_starts_another():
    with WorkerThat("answer", idle_seconds=0.05) as worker:
        pid = worker.submit(small_ct()).wait().provenance["pid"]
        until(lambda: not is_running(pid))
        assert worker.submit(small_ct()).wait().provenance["pid"] != pid


def test_a_worker_that_is_forgotten_ends_its_process():
    worker = WorkerThat("answer")
    pid = worker.submit(small_ct()).wait().provenance["pid"]
    del worker
    assert not is_running(pid)


def test_a_result_with_more_text_than_there_is_room_for_comes_through_a_file():
    ct = small_ct()
    with WorkerThat("wordy") as worker:
        result = worker.submit(ct).wait()
        again = worker.submit(ct).wait()
        assert list(Path(tempfile.gettempdir()).glob("covidquant-worker-*/result-*")) == []
    assert len(result.provenance["words"]) == 5 << 20
    assert same(result, again)
    assert np.array_equal(result.lobes, ct.hu % 6)


# ---------------------------------------------------------------------------------------------------- surroundings


def test_what_anybody_prints_does_not_disturb():
    with WorkerThat("chatter") as worker:
        assert worker.submit(small_ct()).wait().provenance["pid"] == worker.pid


def test_slicers_own_variables_stay_behind(monkeypatch):
    own = {"LD_LIBRARY_PATH": "/slicer/lib", "PYTHONPATH": "/slicer", "QT_PLUGIN_PATH": "/slicer/qt"}
    kept = {**os.environ, "KEPT": "1"}
    assert clean_environment({**kept, **own, "PYTHONHOME": "/slicer"}) == clean_environment(kept)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    assert set(own) <= set(clean_environment()), "outside Slicer they are the user's, and needed"
    monkeypatch.setenv("SLICER_HOME", "/slicer")
    assert not set(own) & set(clean_environment())


def test_the_process_has_the_environment_asked_for_and_can_import_what_this_one_can(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path / "more"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "queue.py").write_text("raise SystemExit('a file of the current folder was imported')")
    wanted = {**os.environ, "KEPT": "1", "PYTHONHOME": "/nowhere"}
    with WorkerThat("environment", environment=wanted) as worker:
        record = worker.submit(small_ct()).wait().provenance
    found = record["environment"]
    assert found["KEPT"] == "1"
    assert "PYTHONHOME" not in found
    assert {path for path in sys.path if path} <= set(record["path"])
    assert str(tmp_path) not in record["path"]
    assert found["TMPDIR"] == found["TMP"] == found["TEMP"]
    assert Path(found["TMPDIR"]).name.startswith("covidquant-worker-")
    assert not Path(found["TMPDIR"]).exists()
    assert record["stdin"] == ""


# --------------------------------------------------------------------------------------------- what crosses, and how


@pytest.mark.parametrize(
    "given",
    [
        GivenMasks(),
        GivenMasks(lungs=np.ones((4, 5, 6), bool), sources={"lungs": "Lunge.nrrd"}),
        GivenMasks(
            lobes=np.arange(120, dtype=np.int32).reshape(4, 5, 6),
            lesions=np.zeros((4, 5, 6), np.float32),
        ),
    ],
)
@pytest.mark.parametrize("padded", [False, True])
def test_a_task_crosses_unchanged(given, padded):
    ct = small_ct()
    ct.padding = ct.hu > 1000 if padded else None
    ct.hu = np.transpose(np.transpose(ct.hu, (2, 1, 0)).copy(), (2, 1, 0))
    shared = SharedArguments({}, {"ct": ct, "given": given, "plan": DEFAULT_PLAN})
    task = SimpleNamespace(**read_arguments(shared.order()))
    shared.free()
    shared.free()
    assert task.plan == DEFAULT_PLAN
    assert task.ct.geometry == ct.geometry
    assert task.ct.source == ct.source
    assert np.array_equal(task.ct.hu, ct.hu)
    assert task.ct.hu.dtype == np.int16
    assert task.ct.hu.flags.owndata
    assert np.array_equal(task.ct.padding, ct.padding) if padded else task.ct.padding is None
    assert task.given.sources == given.sources
    for name in ("lungs", "lobes", "lesions"):
        one, other = getattr(given, name), getattr(task.given, name)
        assert (one is None) == (other is None)
        assert one is None or (np.array_equal(one, other) and one.dtype == other.dtype)


def test_a_result_crosses_unchanged():
    ct = small_ct(shape=(1, 1, 3))
    result = Segmentation(
        np.array([[[0, 3, 5]]], np.uint8), ct.hu > 0, {"lobes": {"bundle": "x"}}, [CTWarning("a", "Gerät")]
    )
    frame = Frame(result)
    buffer = memoryview(bytearray(frame.size))
    frame.write(buffer)
    back = read_frame(buffer, frame.text_bytes)
    assert same(back, result)
    assert back.lesions.any()
    assert (back.provenance, back.warnings) == (result.provenance, result.warnings)


def test_errors_cross_with_their_class_or_the_nearest_there_is():
    class PeculiarError(UnfitInputError):
        def __init__(self):
            super().__init__("odd", "slice 3", "Do.")

    for error in (UsageError("a"), UnfitInputError("a", "b", "C."), COVIDQuantError("x", remedy="Y.")):
        back = error_of_record(error_record(error))
        assert type(back) is type(error)
        assert back.line() == error.line() == str(back)
    assert type(error_of_record(error_record(PeculiarError()))) is UnfitInputError
    record = error_record(UsageError("a"))
    record["kinds"][:0] = [["COVIDQuantLib.not_here", "Error"], ["os", "system"], ["COVIDQuantLib.errors", "Cancelled"]]
    assert type(error_of_record(record)) is UsageError


def test_messages_arrive_whole_however_they_are_cut():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as source, os.fdopen(writing, "wb", buffering=0) as target:
        inbox = Inbox(source)
        assert inbox.take() == []
        line = encoded({"a": "ü\n"}) + encoded({"b": [1, None]})
        for start in range(0, len(line), 5):
            target.write(line[start : start + 5])
            if start == 5:
                assert inbox.take() == []
        assert inbox.take() == [{"a": "ü\n"}, {"b": [1, None]}]
        assert not inbox.ended
        target.close()
        assert inbox.take() == []
        assert inbox.ended


def test_progress_nobody_reads_holds_nobody_up_and_messages_keep_their_order():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as source:
        outbox = Outbox(os.fdopen(writing, "wb"))
        for number in range(20000):
            outbox.put_progress({"progress": number, "fill": "x" * 50})
        outbox.put({"done": 1})
        inbox = Inbox(source)
        found = []
        until(lambda: found.extend(inbox.take()) or found[-1:] == [{"done": 1}])
        outbox.close()
    numbers = [message["progress"] for message in found[:-1]]
    assert numbers == sorted(numbers)
    assert len(numbers) < 20000
