"""Export beside the application: what was shown is written whole, or nothing is, whatever happens meanwhile."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from multiprocessing import spawn
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from scene_world import World, array_of
from worker_world import HERE, blocks_left, is_running, until

from COVIDQuantLib.errors import Cancelled, OutputError, UsageError
from COVIDQuantLib.export.exam_files import EXPORTS
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.scene.export import export_job
from COVIDQuantLib.scene.export.export_job import ExportJob
from COVIDQuantLib.scene.export.node_exam import export_reading
from COVIDQuantLib.scene.nodes.volumes import image_of_array
from COVIDQuantLib.scene.reading_session import Reading
from COVIDQuantLib.worker.failures import WorkerError
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.function_job import BackgroundJob

ALL = [export.name for export in EXPORTS]
QUICK = ["segmentation", "metrics", "nifti"]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    gc.collect()
    assert blocks_left() == []


@pytest.fixture
def world():
    world = World(60)
    world.reading = Reading(world.volume, world.node)
    yield world
    world.reading.close()


def done(job):
    """Poll a job to its end."""
    return until(lambda: state if isinstance(state := job.poll(), list) else None)


def contents(folder):
    """Every file below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def paint(world):
    world.paint("pneumonia", world.ball((10, 14, 14), 2), world.logic.MODE_MERGE_MAX)


def lingering(monkeypatch, name="write_and_linger"):
    monkeypatch.setattr(export_job, "_FUNCTION", f"export_world:{name}")


# ------------------------------------------------------------------------------------------------------ what is written


def test_the_files_are_those_of_an_export_that_waits(world, tmp_path):
    job = ExportJob(world.reading, tmp_path / "beside" / "new", ALL)
    files = done(job)
    export_reading(world.reading, tmp_path / "waiting", ALL)
    beside, waiting = contents(tmp_path / "beside" / "new"), contents(tmp_path / "waiting")
    assert sorted(beside) == sorted(waiting) == sorted(path.name for path in files)
    for name in beside:
        if not name.endswith(".json"):
            assert beside[name] == waiting[name], name
    assert read_metrics(tmp_path / "beside" / "new").metrics.rows == world.reading.live.metrics.rows


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_an_edit_meanwhile_does_not_mix_in(world, tmp_path, kind):
    raw = array_of(world.volume).astype(kind)
    if kind is np.float32:
        raw[2, 2, 2] = np.nan
    world.volume.SetAndObserveImageData(image_of_array(raw))
    export_reading(world.reading, tmp_path / "before", QUICK)
    job = ExportJob(world.reading, tmp_path / "during", QUICK)
    paint(world)
    array_of(world.volume)[:] = 0
    world.volume.SetSpacing(1, 1, 1)
    world.scene.Clear(0)
    done(job)
    before, during = contents(tmp_path / "before"), contents(tmp_path / "during")
    for name in before:
        if not name.endswith(".json"):
            assert before[name] == during[name], name


def test_edits_that_were_not_counted_yet_are_in(world, tmp_path):
    paint(world)
    assert world.reading.live.is_out_of_date
    done(ExportJob(world.reading, tmp_path, ["metrics"]))
    counts, _ = world.recount()
    assert np.array_equal(world.reading.live.histogram.counts, counts)
    assert read_metrics(tmp_path).metrics.rows == world.reading.live.metrics.rows


def test_the_reader_is_told_which_file_and_how_far(world, tmp_path):
    job = ExportJob(world.reading, tmp_path, ALL)
    told = []
    until(lambda: told.append(job.poll()) or isinstance(told[-1], list))
    states = told[:-1]
    assert states
    assert {state.stage for state in states} <= set(job.names)
    assert [state.fraction for state in states] == sorted(state.fraction for state in states)


# ----------------------------------------------------------------------------------------------- nothing is left behind


@pytest.mark.parametrize(("how", "earlier"), [("cancel", True), ("forget", False)])
def test_an_export_that_is_stopped_leaves_the_folder_as_it_was(world, tmp_path, monkeypatch, how, earlier):
    lingering(monkeypatch)
    if earlier:
        (tmp_path / "case").mkdir()
        (tmp_path / "case" / "metrics.csv").write_text("mine", encoding="utf-8")
    before = contents(tmp_path)
    job = ExportJob(world.reading, tmp_path / "case", QUICK)
    pid = job.pid
    assert until(lambda: job.poll().fraction) == 0.5
    assert contents(tmp_path) != before
    if how == "cancel":
        job.cancel()
        job.cancel()
        with pytest.raises(Cancelled):
            job.poll()
    else:
        del job
        gc.collect()
    assert contents(tmp_path) == before
    assert (tmp_path / "case").exists() == earlier
    assert not is_running(pid)


def test_an_export_stopped_at_once_leaves_nothing(world, tmp_path):
    job = ExportJob(world.reading, tmp_path / "a" / "b", ALL)
    pid = job.pid
    job.cancel()
    assert list(tmp_path.iterdir()) == []
    assert not is_running(pid)


def test_after_the_end_there_is_nothing_to_cancel(world, tmp_path):
    job = ExportJob(world.reading, tmp_path, ["metrics"])
    files = done(job)
    job.cancel()
    assert all(path.is_file() for path in files)
    assert sorted(contents(tmp_path)) == ["metrics.csv", "metrics.json"]


PARENT = """
import sys, time
sys.path[:0] = [{here!r}, {root!r}]
from pathlib import Path
from scene_world import World
from COVIDQuantLib.scene.export import export_job
from COVIDQuantLib.scene.reading_session import Reading
export_job._FUNCTION = "export_world:write_and_linger"
world = World(61)
job = export_job.ExportJob(Reading(world.volume, world.node), Path(sys.argv[1]), ["metrics"])
while not job.poll().fraction:
    time.sleep(0.02)
print(job.pid, flush=True)
{then}
"""


@pytest.mark.skipif(os.name == "nt", reason="a process is told of signals only elsewhere")
@pytest.mark.parametrize("end", ["killed", "quit"])
def test_an_application_that_goes_leaves_no_process_and_no_half_file(tmp_path, end):
    script, folder, temporary = tmp_path / "parent.py", tmp_path / "case", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    # Whoever is killed cannot remove its own scene's folder.
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))}
    then = "time.sleep(600)" if end == "killed" else ""
    script.write_text(PARENT.format(here=HERE, root=str(Path(HERE).parent), then=then), encoding="utf-8")
    with subprocess.Popen([sys.executable, script, folder], stdout=subprocess.PIPE, env=environment) as parent:
        child = int(parent.stdout.readline())
        if end == "killed":
            parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not is_running(child))
    until(lambda: list(folder.iterdir()) == [])


# ------------------------------------------------------------------------------------------------------------- failures


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the length of a file")
def test_no_room_for_a_file_is_told_and_nothing_is_lost(world, tmp_path, monkeypatch):
    lingering(monkeypatch, "write_with_little_room")
    (tmp_path / "segmentation.seg.nrrd").write_text("mine", encoding="utf-8")
    before = contents(tmp_path)
    job = ExportJob(world.reading, tmp_path, QUICK)
    with pytest.raises(OutputError, match="larger than allowed") as told:
        done(job)
    assert told.value.where == str(tmp_path / "segmentation.seg.nrrd")
    assert contents(tmp_path) == before
    with pytest.raises(Cancelled):
        job.poll()


def test_a_folder_that_cannot_be_made_is_told_at_once(world, tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OutputError, match="file"):
        ExportJob(world.reading, tmp_path / "file", ALL)
    with pytest.raises(OutputError):
        ExportJob(world.reading, tmp_path / "file" / "below", ALL)
    assert contents(tmp_path) == {"file": b"x"}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may write anywhere")
def test_a_read_only_folder_is_told_at_once(world, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=r"no permission|read-only"):
        ExportJob(world.reading, tmp_path, ALL)


def test_a_folder_in_the_place_of_a_file_is_told_and_the_others_are_not_written(world, tmp_path):
    (tmp_path / "metrics.json").mkdir()
    (tmp_path / "metrics.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="folder of this name"):
        done(ExportJob(world.reading, tmp_path, QUICK))
    assert contents(tmp_path) == {"metrics.csv": b"mine"}


def test_a_folder_that_goes_meanwhile_can_be_left(world, tmp_path, monkeypatch):
    lingering(monkeypatch)
    job = ExportJob(world.reading, tmp_path / "case", ["metrics"])
    until(lambda: job.poll().fraction)
    shutil.rmtree(tmp_path / "case")
    job.cancel()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "what"),
    [("write_and_crash", "ended before it was done"), ("stumble", "because of a bug")],
)
def test_a_process_that_fails_is_told_and_nothing_is_left(world, tmp_path, monkeypatch, name, what):
    lingering(monkeypatch, name)
    job = ExportJob(world.reading, tmp_path / "case", ["metrics"])
    with pytest.raises(WorkerError, match=what):
        done(job)
    assert list(tmp_path.iterdir()) == []


def test_nothing_wanted_is_a_usage_error(world, tmp_path):
    with pytest.raises(UsageError):
        ExportJob(world.reading, tmp_path / "case", ["nothing"])
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_cannot_start_leaves_nothing(world, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(WorkerError):
        ExportJob(world.reading, tmp_path / "case", ["metrics"])
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------- the job itself


def test_a_function_gets_its_arrays_and_gives_its_result():
    numbers = np.arange(12.0).reshape(3, 4)
    shared = SharedArguments({"numbers": numbers}, {"factor": 2})
    shared.view("numbers")[:] = numbers
    job = BackgroundJob("export_world:double", shared)
    until(lambda: job.poll() == 1.0 and job.is_done)
    assert np.array_equal(job.result, 2 * numbers)
    assert job.pid is None


def test_an_error_of_the_users_keeps_its_kind():
    job = BackgroundJob("export_world:refuse", SharedArguments({}, {}))
    with pytest.raises(UsageError, match="there: not like this") as told:
        until(lambda: job.poll() and False)
    assert told.value.remedy == "Do it otherwise."


def test_shared_memory_can_be_had_where_slicer_named_its_python_late(monkeypatch):
    monkeypatch.setattr(spawn, "_python_exe", b"")
    SharedArguments({}, {}).free()
    assert os.fsdecode(spawn.get_executable()) == sys.executable
