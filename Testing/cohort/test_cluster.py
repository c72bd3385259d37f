"""How workers are laid out on a machine, and how exams are handed to them whatever happens to Dask."""

import queue

import pytest

from COVIDQuantLib.cohort.cluster import BYTES_PER_WORKER, local_plan, scheduler_at, usable_gpus, workers_of
from COVIDQuantLib.cohort.dispatch import Dispatch
from COVIDQuantLib.cohort.exams.job import ExamJob, Outcome
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.pipeline import MODEL_FREE, NETWORK, Plan

ROOM = 100 * BYTES_PER_WORKER


@pytest.mark.parametrize(
    ("method", "wanted", "exams", "cores", "memory", "gpus", "workers", "threads", "seen"),
    [
        (MODEL_FREE, None, 100, 8, ROOM, (), 8, 1, None),
        (MODEL_FREE, None, 3, 8, ROOM, (), 3, 2, None),
        (MODEL_FREE, None, 100, 8, 3 * BYTES_PER_WORKER, (), 3, 2, None),
        (MODEL_FREE, None, 100, 8, 1, (), 1, 8, None),
        (MODEL_FREE, None, 100, 8, None, (), 8, 1, None),
        (MODEL_FREE, 2, 100, 8, ROOM, (), 2, 4, None),
        (MODEL_FREE, 16, 100, 8, 1, (), 16, 1, None),
        (MODEL_FREE, None, 100, 8, ROOM, ("0", "1"), 8, 1, None),
        (NETWORK, None, 100, 8, ROOM, ("0", "3"), 2, 4, "3"),
        (NETWORK, 3, 100, 8, ROOM, ("0", "3"), 3, 2, "0"),
        (NETWORK, None, 1, 8, ROOM, ("0", "3"), 1, 8, "0"),
    ],
)
def test_workers_fit_cores_memory_and_gpus(method, wanted, exams, cores, memory, gpus, workers, threads, seen):
    layout = local_plan(Plan(method), wanted, exams=exams, cores=cores, memory=memory, gpus=gpus)
    assert (layout.workers, layout.threads, layout.gpus[-1]) == (workers, threads, seen)


def test_threads_of_each_worker_as_wanted():
    layout = local_plan(Plan(MODEL_FREE), 2, exams=9, cores=8, memory=None, gpus=(), threads=1)
    assert (layout.workers, layout.threads) == (2, 1)


def test_networks_on_the_cpu_take_no_gpu():
    layout = local_plan(Plan(NETWORK, "cpu"), None, exams=9, cores=4, memory=None, gpus=("0",))
    assert layout.gpus == (None,) * 4


def test_gpus_are_those_that_may_be_seen(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-abc")
    assert usable_gpus(Plan()) == ("2", "GPU-abc")
    assert usable_gpus(Plan(MODEL_FREE)) == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert usable_gpus(Plan()) == ()


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(UsageError, match="workers-count"):
        local_plan(Plan(MODEL_FREE), 0, exams=1, cores=1, memory=None, gpus=())
    with pytest.raises(UsageError, match="0 threads"):
        local_plan(Plan(MODEL_FREE), 1, exams=1, cores=1, memory=None, gpus=(), threads=0)
    with pytest.raises(UsageError, match="workers-count"), workers_of(Plan(MODEL_FREE), "tcp://x:1", 2, 1, tmp_path):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "no address", "none.json"])
def test_a_scheduler_that_does_not_answer(address, monkeypatch, tmp_path):
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("COVIDQuantLib.cohort.cluster._SECONDS_TO_CONNECT", 1)
    with pytest.raises(UnfitInputError) as refused, scheduler_at(address):
        pass
    assert refused.value.code == "scheduler-unreachable"
    assert address in refused.value.line()


class Future:
    """As much of Dask's future as is used; ``fate`` is what becomes of it."""

    def __init__(self, fate):
        self.status, self._result = fate if isinstance(fate, tuple) else (fate, None)

    def add_done_callback(self, tell):
        if self.status not in {"lost", "pending"}:
            tell(self)

    def result(self):
        return self._result

    def exception(self):
        return self._result


class Client:
    """As much of Dask's client as is used: every submission meets the next of its fates.

    A real scheduler cannot be made to lose its connection at a given moment; one that is killed is in test_killed.py.
    """

    def __init__(self, *fates, status="running"):
        self.fates, self.status = list(fates), status
        self.submitted, self.cancelled, self.most = [], [], 0

    def submit(self, function, job, **_):
        self.submitted.append(job.patient)
        return Future(self.fates.pop(0) if self.fates else ("finished", Outcome("done")))

    def nthreads(self):
        return {"a": 1, "b": 1}

    def cancel(self, futures, **_):
        self.cancelled += futures


def jobs(count):
    return [ExamJob(f"P{n}", "E", "x", None, "y", {}, "run") for n in range(count)]


# As distributed calls it.
KilledWorker = type("KilledWorker", (Exception,), {})


def dispatched(client, count, monkeypatch, patience=0.05):
    monkeypatch.setattr("COVIDQuantLib.cohort.dispatch._POLL_SECONDS", 0.01)
    done = []
    Dispatch(client, jobs(count), lambda job, _: done.append(job.patient), patience=patience).run()
    return done


def test_every_exam_is_made_once(monkeypatch):
    client = Client()
    assert sorted(dispatched(client, 20, monkeypatch), key=lambda name: int(name[1:])) == client.submitted
    assert len(client.submitted) == 20


@pytest.mark.parametrize("fate", ["cancelled", "lost", ("error", KilledWorker("x"))])
def test_an_exam_whose_worker_or_scheduler_was_lost_is_handed_over_again(fate, monkeypatch):
    client = Client(fate, fate)
    assert sorted(dispatched(client, 3, monkeypatch)) == ["P0", "P1", "P2"]
    assert len(client.submitted) == 5


def test_the_scheduler_never_holds_more_than_a_few_exams(monkeypatch):
    monkeypatch.setattr("COVIDQuantLib.cohort.dispatch._POLL_SECONDS", 0.01)
    client = Client(status="running")
    client.submit = lambda function, job, **_: client.submitted.append(job) or Future("pending")
    dispatch = Dispatch(client, iter(jobs(100_000)), lambda *_: None, tick=lambda _: _stop_after(client))
    with pytest.raises(StopIteration):
        dispatch.run()
    assert len(client.submitted) <= 4
    assert len(client.cancelled) == len(client.submitted)


def _stop_after(client, looks=[0]):  # noqa: B006 - counts over all calls
    looks[0] += 1
    if looks[0] > 10:
        raise StopIteration


def test_a_scheduler_that_has_gone_stops_the_batch(monkeypatch):
    for status in ("closed", "connecting"):
        client = Client("lost", status=status)
        with pytest.raises(UnfitInputError) as stopped:
            dispatched(client, 2, monkeypatch)
        assert stopped.value.code == "scheduler-lost"
        assert "what is done is kept" in stopped.value.remedy


def test_a_scheduler_that_comes_back_goes_on(monkeypatch):
    client = Client(status="connecting")
    looks = queue.SimpleQueue()
    for _ in range(3):
        looks.put("connecting")
    kind = type(client)
    monkeypatch.setattr(
        kind, "status", property(lambda _: "running" if looks.empty() else looks.get(), lambda *_: None), raising=False
    )
    assert sorted(dispatched(client, 2, monkeypatch, patience=30)) == ["P0", "P1"]


@pytest.mark.parametrize(
    ("fate", "code"),
    [
        (("finished", Outcome("fatal", code="disk-full", reason="the disk is full", where="x")), "disk-full"),
        (("error", ModuleNotFoundError("No module named 'COVIDQuantLib'")), "worker-differs"),
    ],
)
def test_what_no_exam_can_help_stops_the_batch(fate, code, monkeypatch):
    client = Client("lost", fate)
    with pytest.raises(UnfitInputError) as stopped:
        dispatched(client, 2, monkeypatch)
    assert stopped.value.code == code
    assert stopped.value.remedy
