"""What can go wrong with the second process, done to real ones: the caller hears of it and nothing stays behind."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from worker_world import (
    FAULTS,
    HERE,
    SHARED_BLOCKS,
    WorkerThat,
    blocks_left,
    blundered,
    crashed,
    is_running,
    killed,
    left,
    small_ct,
    starved,
    stopped,
    terminated,
    until,
    until_stage,
)

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import Cancelled, COVIDQuantError, UnfitInputError
from COVIDQuantLib.inference.device import MemoryRanOutError
from COVIDQuantLib.models import TrainedNetwork, write_bundle
from COVIDQuantLib.networks.registry import build_network
from COVIDQuantLib.pipeline import MODEL_FREE, NETWORK, GivenMasks, Plan, segment_ct
from COVIDQuantLib.progress import StagedProgress
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.worker import blocks
from COVIDQuantLib.worker.blocks import Block
from COVIDQuantLib.worker.failures import WorkerError
from COVIDQuantLib.worker.worker import Worker

POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no signals")
ROOT = Path(HERE).parent


pytestmark = pytest.mark.usefixtures("no_file_is_left", "no_block_is_left")


@pytest.fixture(scope="module")
def faulty():
    """One worker for all: each test shows that it got over the one before."""
    with WorkerThat("meet_with_a_fault") as worker:
        yield worker
        ct = small_ct()
        ct.hu.flat[0] = -1
        assert np.array_equal(worker.submit(ct).wait().lobes, ct.hu % 6)


def ct_that_is(fault):
    ct = small_ct()
    ct.hu.flat[0] = FAULTS.index(fault)
    return ct


# ------------------------------------------------------------------------------------------------------- the process


@pytest.mark.parametrize(
    ("fault", "what", "remedy", "log"),
    [
        pytest.param(killed, "SIGKILL", "out of memory", "last words", marks=POSIX),
        pytest.param(terminated, "SIGTERM", "last words", "last words", marks=POSIX),
        pytest.param(crashed, "SIGSEGV", "Try again", "worker_world.py", marks=POSIX),
        pytest.param(left, "status 7", "last words", "last words"),
        pytest.param(blundered, "ZeroDivisionError", "Report", "in blundered"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_process_that_ends_is_reported_and_replaced(faulty, fault, what, remedy, log):
    job = faulty.submit(ct_that_is(fault))
    pid = faulty.pid
    with pytest.raises(WorkerError, match=what) as caught:
        job.wait()
    assert remedy in caught.value.remedy
    assert log in caught.value.log
    assert caught.value.exit_status == 3
    assert blocks_left() == []
    until(lambda: not is_running(pid))
    with pytest.raises(WorkerError):
        job.poll()


def test_too_little_memory_for_the_job_is_told_as_such(faulty):
    with pytest.raises(MemoryRanOutError, match="Close other programs"):
        faulty.submit(ct_that_is(starved)).wait()


@POSIX
def test_cancel_ends_a_process_that_hangs(faulty):
    job = faulty.submit(ct_that_is(stopped))
    pid = faulty.pid
    until_stage(job, "lobes")
    job.cancel()
    assert not is_running(pid)


def test_a_process_that_cannot_begin_is_reported_once():
    with WorkerThat("nothing") as worker:
        jobs = [worker.submit(small_ct()) for _ in range(2)]
        for job in jobs:
            with pytest.raises(WorkerError, match="No module named 'scipy'"):
                job.wait()


def test_no_process_at_all(monkeypatch):
    monkeypatch.setattr(sys, "executable", str(Path(HERE) / "no-such-python"))
    with pytest.raises(WorkerError, match="cannot be started"):
        Worker().submit(small_ct())


def test_killed_while_it_had_nothing_to_do_it_is_replaced_without_a_word(faulty):
    ct = small_ct()
    ct.hu.flat[0] = -1
    pid = faulty.submit(ct).wait().provenance["pid"]
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    assert faulty.submit(ct).wait().provenance["pid"] != pid


def test_more_shared_memory_than_there_is_is_refused_in_words():
    with pytest.raises(WorkerError, match="no room"):
        Block(1 << 46)


def test_no_more_is_reserved_than_the_memory_holds_where_the_folder_is_larger(monkeypatch):
    monkeypatch.setattr(blocks, "available_bytes", lambda: 1000)
    with pytest.raises(WorkerError, match="no room"):
        Block(1001)
    Block(1000).free()
    monkeypatch.setattr(blocks, "available_bytes", lambda: None)
    Block(1001).free()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows frees shared memory without a tracker")
def test_without_a_tracker_nothing_is_left_and_the_reason_is_told(monkeypatch):
    def no_tracker(*_):
        raise BrokenPipeError

    folder = Path("/dev/shm")
    before = sorted(folder.glob("covidquant-*"))
    with monkeypatch.context() as patched:
        patched.setattr("multiprocessing.resource_tracker.register", no_tracker)
        with pytest.raises(WorkerError, match="helper process"):
            Block(1000)
    assert sorted(folder.glob("covidquant-*")) == before


# ----------------------------------------------------------------------------------------------------------- cancel


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=1, thickness_mm=10.0, matrix=64, extent_percent=10.0).ct


@pytest.fixture(scope="module")
def real():
    with Worker() as worker:
        yield worker


@pytest.fixture(scope="module")
def slow():
    """Slow enough to be caught at networks as small as these."""
    with WorkerThat("in_slow_motion") as worker:
        yield worker


@pytest.mark.parametrize("stage", ["at once", "lungs", "lobes", "lesions", "done"])
def test_cancel_at_every_stage_of_the_job_without_models(real, phantom, stage):
    job = real.submit(phantom, plan=Plan(MODEL_FREE))
    pid = real.pid
    if stage == "done":
        result = job.wait()
        job.cancel()
        assert job.poll() is result
        assert real.pid == pid
    else:
        cancel_at(stage, job, pid)


def cancel_at(stage, job, pid):
    if stage != "at once":
        # The last stage may be over before it was seen.
        until(lambda: isinstance(state := job.poll(), Segmentation) or state.stage == stage)
    was_over = job.is_over
    job.cancel()
    job.cancel()
    assert blocks_left() == []
    if not was_over:
        assert not is_running(pid)
        with pytest.raises(Cancelled):
            job.poll()


@POSIX
def test_cancel_takes_along_what_the_process_started_and_wrote(tmp_path, monkeypatch):
    note = tmp_path / "note"
    monkeypatch.setenv("COVIDQUANT_TEST_NOTE", str(note))
    with WorkerThat("with_family") as worker:
        job = worker.submit(small_ct())
        until(note.exists)
        pid, other, file = note.read_text(encoding="utf-8").split(maxsplit=2)
        assert Path(file).is_file()
        job.cancel()
        until(lambda: not is_running(int(other)))
        assert not is_running(int(pid))
        assert not Path(file).exists()


# ----------------------------------------------------------------------------------------------------- a dead parent

PARENT = """
import sys, time
sys.path.append(sys.argv[1])
from worker_world import WorkerThat, small_ct, until_stage
ct = small_ct()
ct.hu.flat[0] = 0
worker = WorkerThat("linger")
job = worker.submit(ct)
until_stage(job, "lobes")
print(worker.pid, flush=True)
if sys.argv[2] == "wait":
    time.sleep(600)
"""


def start_parent(tmp_path, what):
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "TEMP": str(tmp_path)}
    command = [sys.executable, str(script), HERE, what]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@POSIX
def test_a_killed_parent_leaves_no_process_no_block_no_file(tmp_path):
    parent = start_parent(tmp_path, "wait")
    child = int(parent.stdout.readline())
    blocks = f"covidquant-{parent.pid}-*"
    if SHARED_BLOCKS.is_dir():
        assert list(SHARED_BLOCKS.glob(blocks))
    parent.kill()
    parent.communicate()
    until(lambda: not is_running(child))
    until(lambda: not SHARED_BLOCKS.is_dir() or not list(SHARED_BLOCKS.glob(blocks)))
    until(lambda: not list(tmp_path.glob("covidquant-worker-*")))


def test_a_parent_that_ends_in_the_middle_tidies_up_without_complaint(tmp_path):
    parent = start_parent(tmp_path, "go")
    out, complaints = parent.communicate(timeout=120)
    assert parent.returncode == 0
    assert complaints == ""
    until(lambda: not is_running(int(out)))
    assert not list(tmp_path.glob("covidquant-worker-*"))
    assert not SHARED_BLOCKS.is_dir() or not list(SHARED_BLOCKS.glob(f"covidquant-{parent.pid}-*"))


# --------------------------------------------------------------------------------------------------- models and memory


def write_random(folder, task, networks):
    """A bundle of networks by role."""
    facts = {"version": "0.0.1", "description": "Random weights.", "licence": "CC0-1.0", "data_source": "None."}
    return write_bundle(folder, networks=networks, name=folder.name, task=task, **facts).path


def write_lesions(folder):
    """A small network with random weights, the same every time, that says yes here and no there."""
    torch.manual_seed(0)
    network = build_network("yoo-unet-2d", width=2).eval()
    with torch.no_grad():
        network.final.bias -= network(torch.rand(1, 1, 64, 64)).median()
    record = {"channels": 1, "pixel_mm": 1.5, "window_hu": [-1350.0, 150.0]}
    return write_random(folder, "lesions", {"slices": TrainedNetwork("yoo-unet-2d", {"width": 2}, network, record)})


def random_lobes_network(in_channels, spacing_mm):
    settings = {"in_channels": in_channels, "out_channels": 6, "features": [2, 2]}
    record = {"window_hu": [-1000.0, 400.0], "spacing_mm": spacing_mm}
    return TrainedNetwork("lobes-unet-3d", settings, build_network("lobes-unet-3d", **settings), record)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A bundle for the lobes, which the pipeline wants loaded, and one for the lesions, which is used here."""
    folder = tmp_path_factory.mktemp("models")
    roles = {"coarse": random_lobes_network(1, 4.0), "fine": random_lobes_network(7, 2.0)}
    return str(write_random(folder / "random-lobes", "lobes", roles)), str(write_lesions(folder / "random-lesions"))


@pytest.fixture(scope="module")
def chest():
    """A CT and lobes on it, for the lesions network alone: noise in two boxes of flesh."""
    noise = np.random.default_rng(0).integers(-1000, 100, (12, 40, 40), dtype=np.int16)
    lobes = np.zeros(noise.shape, np.uint8)
    lobes[1:11, 5:35, 4:18] = 1
    lobes[1:11, 5:35, 22:36] = 4
    hu = np.where(lobes > 0, noise, np.int16(40))
    return CTVolume(hu, Geometry(hu.shape, (6.0, 6.0, 20.0))), GivenMasks(lobes=lobes)


@pytest.fixture(scope="module")
def with_memory(chest, models):
    """The result of one worker's job, by how much memory there is."""
    with WorkerThat("on_imitated_gpu") as worker:
        plan = Plan(NETWORK, "auto", *models)
        worker.start(plan)
        yield lambda memory: worker.submit(replace(chest[0], source={"memory": memory}), chest[1], plan).wait()


@pytest.fixture(scope="module")
def plain(chest, with_memory):
    result = with_memory("enough")
    assert 0 < result.lesions.sum() < (chest[1].lobes > 0).sum()
    return result


def codes(result):
    return {warning.code for warning in result.warnings}


@pytest.mark.parametrize(("memory", "code"), [("small GPU", "smaller-batch"), ("full GPU", "cpu-instead")])
def test_too_little_memory_on_the_gpu_changes_nothing_but_the_way_and_is_said(plain, with_memory, memory, code):
    result = with_memory(memory)
    assert codes(result) - codes(plain) == {code}
    # The CPU's precision may be another.
    assert np.mean(result.lesions != plain.lesions) < 0.02


def test_no_memory_at_all_is_told_with_what_to_do(with_memory):
    with pytest.raises(MemoryRanOutError, match="Close other programs"):
        with_memory("none")


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@GPU
def test_a_real_gpu_whose_memory_runs_out_on_the_way(chest, models, plain):
    with WorkerThat("on_tight_gpu") as worker:
        result = worker.submit(*chest, Plan(NETWORK, "cuda", *models)).wait()
    assert codes(result) - codes(plain) == {"cpu-instead"}
    assert np.mean(result.lesions != plain.lesions) < 0.02


@GPU
def test_a_real_gpu_that_is_full_from_the_beginning_is_passed_over(chest, models, plain):
    free, _ = torch.cuda.mem_get_info()
    hogs = [torch.empty(free - (1 << 28), dtype=torch.uint8, device="cuda")]
    try:
        with Worker() as worker:
            result = worker.submit(*chest, Plan(NETWORK, "auto", *models)).wait()
    finally:
        hogs.clear()
        torch.cuda.empty_cache()
    assert np.mean(result.lesions != plain.lesions) < 0.02


# The first of these to load torch is the only one but for the last: cancelled at a stage, a process is gone.


def test_damaged_weights_are_refused_and_whole_ones_find_what_they_find_here(slow, chest, models, tmp_path):
    lobes, whole = models
    for damage in ("cut", "changed", "gone"):
        folder = write_lesions(tmp_path / damage)
        weights = folder / "models" / "slices.safetensors"
        data = bytearray(weights.read_bytes())
        if damage == "gone":
            weights.unlink()
        else:
            data[-1] ^= 1
            weights.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
        with pytest.raises(UnfitInputError, match=damage) as caught:
            slow.submit(*chest, Plan(NETWORK, "cpu", lobes, str(folder))).wait()
        assert caught.value.remedy
        pid = slow.pid
    plan = Plan(NETWORK, "cpu", lobes, whole)
    there = slow.submit(*chest, plan).wait()
    assert slow.pid == pid
    here = segment_ct(*chest, StagedProgress(plan.stages), plan)
    assert 0 < there.lesions.sum() < there.lesions.size
    assert np.array_equal(there.lesions, here.lesions)
    assert np.array_equal(there.lobes, here.lobes)
    assert (there.provenance, there.warnings, there.checks) == (here.provenance, here.warnings, here.checks)


@pytest.mark.parametrize("stage", ["lobes", "lesions", "at once"])
def test_cancel_at_every_stage_of_the_job_by_networks(slow, chest, models, stage):
    ct, given = chest
    job = slow.submit(ct, given if stage == "lesions" else GivenMasks(), Plan(NETWORK, "cpu", *models))
    cancel_at(stage, job, slow.pid)


def test_every_error_here_is_the_users_to_read():
    assert issubclass(WorkerError, COVIDQuantError)
    assert WorkerError("a").line() == "a"
