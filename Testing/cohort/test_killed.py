"""Workers, schedulers and whole batches killed in the middle: the same data set in the end, no exam made twice.

Everything is real: processes, Dask's scheduler, the model-free method.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cohort_world import write_manifest
from leftovers import processes_with

from COVIDQuantLib.cohort.columns import AGREEMENT_FILE, EXAMS_FILE, METRICS_FILE, SUMMARY_FILE
from COVIDQuantLib.simulation.phantom.files import write_phantom

pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")]

ROOT = Path(__file__).resolve().parents[2]
EXAMS = 4
_SECONDS = 300.0
# By which the processes of these tests are known.
_MARK, _OURS = "COVIDQUANT_BATCH_TEST", secrets.token_hex(8)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, once):
    folder = tmp_path_factory.mktemp("cohort")
    rows = []
    for number in range(EXAMS):
        made = folder / f"ct{number}"
        write_phantom(once.phantom(seed=number, thickness_mm=10.0, matrix=64, extent_percent=8.0), made)
        rows.append((f"P{number}", "E1", f"ct{number}/ct.nrrd", f"ct{number}/lesions.nrrd"))
    rows.append(("P9", "E1", "gone.nrrd", ""))
    return write_manifest(folder / "m.csv", rows, ("patient", "exam", "path", "reference_lesions"))


@pytest.fixture(scope="module")
def undisturbed(manifest, tmp_path_factory):
    """The data set of a batch that nobody disturbs."""
    out = tmp_path_factory.mktemp("undisturbed")
    status, _, told = finish(start(manifest, out))
    assert status == 0, told
    # A line per exam and none of Dask's.
    assert [line.partition(" ")[0] for line in told.splitlines()] == [f"{n}/{EXAMS + 1}" for n in range(1, EXAMS + 2)]
    return data_set(out)


def environment():
    # Each worker beside the others on few processors.
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", _MARK: _OURS}


def start(manifest, out, *options):
    command = [sys.executable, "-m", "COVIDQuantLib.cli", "batch", str(manifest), f"--out={out}"]
    command += ["--method=model-free", "--no-picture", *(options or ("--workers=2",))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment(), start_new_session=True, **pipes)


def finish(process):
    out, err = process.communicate(timeout=_SECONDS)
    return process.returncode, out, err


def data_set(out):
    """Everything but times."""
    tables = pq.read_table(out / EXAMS_FILE).drop_columns(["seconds"])
    return tables, {name: (out / name).read_bytes() for name in (METRICS_FILE, AGREEMENT_FILE, SUMMARY_FILE)}


def finished(out):
    return {path.parent: path.stat().st_mtime_ns for path in out.glob("exams/*/*/metrics.json")}


def wait_until(true, process=None):
    until = time.monotonic() + _SECONDS
    while not true():
        assert time.monotonic() < until, "it takes too long"
        assert process is None or process.poll() is None, finish(process)
        time.sleep(0.02)


def busy(out):
    """The processes that are making an exam now."""
    found = {}
    for log in out.glob("exams/*/*/log.txt"):
        if (log.parent / "tries.json").exists():
            line = [line for line in log.read_text(encoding="utf-8").splitlines() if "---- " in line][-1]
            found[log.parent] = int(line.rpartition("process ")[2])
    return found


def hidden(out):
    return list(out.rglob(".*"))


def tries(out):
    """How often each exam was begun."""
    return {
        log.parent.parent.name: log.read_text(encoding="utf-8").count("---- ") for log in out.glob("exams/*/*/log.txt")
    }


def test_a_worker_that_is_killed_loses_only_its_exam(manifest, undisturbed, tmp_path):
    out = tmp_path / "out"
    process = start(manifest, out)
    wait_until(lambda: len(finished(out)) >= 1 and busy(out), process)
    folder, worker = next(iter(busy(out).items()))
    kept = finished(out)
    os.kill(worker, signal.SIGKILL)
    status, _, complaint = finish(process)
    assert status == 0, complaint
    assert data_set(out) == undisturbed
    assert {each: finished(out)[each] for each in kept if each != folder} == {
        k: v for k, v in kept.items() if k != folder
    }
    begun = tries(out)
    # Another exam of that worker's may just have begun; none that was finished began again.
    assert sum(begun.values()) <= EXAMS + 2
    assert hidden(out) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_whole_batch_that_is_stopped_goes_on_where_it_was(manifest, undisturbed, tmp_path, number):
    out = tmp_path / "out"
    process = start(manifest, out)
    wait_until(lambda: len(finished(out)) >= 1 and busy(out), process)
    # Ctrl-C in a terminal reaches the workers as well.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    status, _, complaint = finish(process)
    assert status == (-number if number == signal.SIGKILL else 128 + number), complaint
    if number != signal.SIGKILL:
        assert complaint.splitlines()[-1] == (
            "covidquant: stopped; every exam that is done is kept; run the same command again to go on"
        )
        assert hidden(out) == []
    wait_until(lambda: not processes_with(f"{_MARK}={_OURS}".encode()))
    kept = finished(out)
    assert not (out / METRICS_FILE).exists()
    status, _, complaint = finish(start(manifest, out))
    assert status == 0, complaint
    assert data_set(out) == undisturbed
    assert {each: finished(out)[each] for each in kept} == kept
    assert hidden(out) == []


@contextlib.contextmanager
def dask_processes(folder, workers=2):
    """A scheduler and workers as processes of their own; yields its address, itself, and the workers."""
    address_file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    # What Dask keeps on the disk stays there when it is killed.
    own = {**environment(), "DASK_TEMPORARY_DIRECTORY": str(folder)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": own, "cwd": folder}
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(address_file)]
    scheduler = subprocess.Popen([*dask, "scheduler", *options], **quiet)
    started = [scheduler]
    try:
        wait_until(lambda: address_file.exists() and address_file.stat().st_size, scheduler)
        options = ["--scheduler-file", str(address_file), "--nthreads", "1", "--no-dashboard", "--no-nanny"]
        options += ["--local-directory", str(folder), "--death-timeout", "20"]
        started += [subprocess.Popen([*dask, "worker", *options], **quiet) for _ in range(workers)]
        yield str(address_file), scheduler, started[1:]
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def test_workers_of_a_running_scheduler_one_of_them_killed(manifest, undisturbed, tmp_path):
    out = tmp_path / "out"
    with dask_processes(tmp_path) as (address, _, workers):
        process = start(manifest, out, f"--scheduler={address}")
        wait_until(lambda: busy(out), process)
        workers[0].kill()
        status, _, complaint = finish(process)
        assert status == 0, complaint
        assert workers[1].poll() is None
    assert data_set(out) == undisturbed


def test_a_scheduler_that_vanishes_stops_the_batch_and_nothing_is_lost(manifest, undisturbed, tmp_path):
    out = tmp_path / "out"
    with dask_processes(tmp_path) as (address, scheduler, _):
        process = start(manifest, out, f"--scheduler={address}")
        wait_until(lambda: len(finished(out)) >= 1, process)
        scheduler.kill()
        status, _, complaint = finish(process)
        assert status == 3, complaint
        line = complaint.splitlines()[-1]
        assert "the Dask scheduler has gone" in line
        assert "[scheduler-lost]" in line
        kept = finished(out)
    status, _, complaint = finish(start(manifest, out))
    assert status == 0, complaint
    assert data_set(out) == undisturbed
    assert {each: finished(out)[each] for each in kept} == kept
