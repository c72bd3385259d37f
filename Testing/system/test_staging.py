"""Hidden folders: a set that is moved into place survives a kill at any step, and what a killed job left is cleared."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from COVIDQuantLib.errors import OutputError, UnfitInputError
from COVIDQuantLib.system.atomic_files import OutputFolder, check_file, settle_results, write_atomically
from COVIDQuantLib.system.file_lock import FileLock, HeldError
from COVIDQuantLib.system.staging import LOCK, PREFIX, Staging, clear_gone, settle

FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
OLD = {"a": b"old a", "c": b"old c", "mine": b"kept"}
NEW = {"a": b"new a", "b": b"new b", "c": b"new c", "mine": b"kept"}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def old_result(folder):
    folder.mkdir(exist_ok=True)
    for name, data in OLD.items():
        (folder / name).write_bytes(data)
    return folder


def write_new(folder):
    with OutputFolder(folder) as out:
        for name in "abc":
            out.write(name, lambda path, name=name: path.write_text(f"new {name}"))


def leave_nothing(folder):
    """What the next run on the folder does, whatever it then writes."""
    with OutputFolder(folder):
        pass
    assert [path.name for path in folder.iterdir() if path.name.startswith(PREFIX)] == []


STEPS = ("mkdir", "open", "rename", "replace", "unlink", "rmdir")


def killed_at(step, do):
    """Run something in a process that is killed at its n-th step on the disk; whether it got so far."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def dying(function):
            def call(*arguments, **options):
                nonlocal count
                count += 1
                if count == step:
                    os._exit(9)
                return function(*arguments, **options)

            return call

        for name in STEPS:
            setattr(os, name, dying(getattr(os, name)))
        try:
            do()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def in_small_process(scenario, folder):
    """Run a scenario in a process of its own: it forks often, and a fork of one as large as this takes long."""
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    call = f"test_staging.{scenario.__name__}(Path({str(folder)!r}))"
    code = f"import sys; sys.path[:0] = {paths!r}; from pathlib import Path; import test_staging; {call}"
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr


@FORK
@pytest.mark.parametrize("scenario", ["killed_at_any_step", "killed_while_clearing_up", "killed_while_putting_back"])
def test_killed_at_any_step_it_is_the_old_set_or_the_new_one_and_nothing_is_left(scenario, tmp_path):
    in_small_process(globals()[scenario], tmp_path)


def killed_at_any_step(tmp_path):
    seen, step = set(), 0
    while True:
        step += 1
        folder = old_result(tmp_path / str(step))
        died = killed_at(step, lambda folder=folder: write_new(folder))
        settle(folder)
        now = content(folder)
        now.pop(LOCK, None)
        assert now in (OLD, NEW), step
        seen.add(len(now))
        leave_nothing(folder)
        assert content(folder) == now
        if not died:
            break
    assert step > 15
    assert seen == {3, 4}


def killed_while_clearing_up(tmp_path):
    """Killed while it clears up after a killed one."""
    for first in range(1, 40, 4):
        for second in range(1, 12, 2):
            folder = old_result(tmp_path / f"{first}-{second}")
            killed_at(first, lambda folder=folder: write_new(folder))
            killed_at(second, lambda folder=folder: leave_nothing(folder))
            leave_nothing(folder)
            assert content(folder) in (OLD, NEW), (first, second)


def killed_while_putting_back(tmp_path):
    """A move fails, the process begins to undo the others, and is killed at any step of that."""

    def fail(folder):
        replace = os.replace

        def refuse(source, target, **options):
            if Path(target) == folder / "c" and "files" in str(source):
                raise PermissionError(13, "open in another program")
            return replace(source, target, **options)

        os.replace = refuse
        write_new(folder)

    for step in range(1, 45, 2):
        folder = old_result(tmp_path / str(step))
        killed_at(step, lambda folder=folder: fail(folder))
        settle(folder)
        leave_nothing(folder)
        # Killed between the moves before the failing one was tried, the next run finishes them.
        assert content(folder) in (OLD, NEW), step


def interrupted_move(folder):
    """A folder as a job leaves it that was killed after the first of its moves."""
    staging = Staging(folder)
    for name in "abc":
        (staging.files / name).write_text(f"new {name}")
    log = staging.path / "commit"
    (log / "before").mkdir(parents=True)
    (log / "forward.json").write_text(json.dumps({"names": ["a", "b", "c"], "replaced": ["a", "c"]}))
    (staging.files / "a").replace(folder / "a")
    staging._owner.release()
    return staging.path


def test_a_reader_finishes_what_was_interrupted(tmp_path):
    folder = old_result(tmp_path / "out")
    interrupted_move(folder)
    settle_results(folder)
    assert content(folder) == NEW
    assert [path for path in folder.iterdir() if path.is_dir()] == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="no mode holds an administrator")
def test_a_reader_that_cannot_finish_it_says_so(tmp_path):
    folder = old_result(tmp_path / "out")
    interrupted_move(folder)
    folder.chmod(0o500)
    try:
        with pytest.raises(UnfitInputError, match=r"two jobs.*\[half-moved\]"):
            settle_results(folder)
    finally:
        folder.chmod(0o700)


def test_a_journal_that_names_files_elsewhere_moves_nothing_there(tmp_path):
    folder = old_result(tmp_path / "out")
    hidden = folder / f"{PREFIX}planted"
    (hidden / "files").mkdir(parents=True)
    (hidden / "commit").mkdir()
    (hidden / "files" / "x").write_text("x")
    names = ["../x", "..", "", str(tmp_path / "x"), "files/x"]
    (hidden / "commit" / "forward.json").write_text(json.dumps({"names": names, "replaced": []}))
    leave_nothing(folder)
    assert content(folder) == OLD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("journal", ["", "{", "[]", '{"names": 1}', "[" * 100_000, '{"names": [], "replaced": null}'])
def test_a_garbled_journal_is_no_obstacle(tmp_path, journal):
    folder = old_result(tmp_path / "out")
    hidden = folder / f"{PREFIX}planted" / "commit"
    hidden.mkdir(parents=True)
    (hidden / "forward.json").write_text(journal)
    leave_nothing(folder)
    assert content(folder) == OLD


def test_what_a_living_job_has_there_stays(tmp_path):
    (tmp_path / f"{PREFIX}of-an-older-version").mkdir()
    (tmp_path / f"{PREFIX}of-an-older-version" / "half").write_text("half")
    living = Staging(tmp_path)
    write_new(tmp_path)
    assert living.path.is_dir()
    living.remove()
    assert content(tmp_path) == {name: NEW[name] for name in "abc"}
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


def test_a_link_named_like_ours_is_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{PREFIX}link").symlink_to(tmp_path / "precious", target_is_directory=True)
    write_new(out)
    assert (tmp_path / "precious" / "file").read_text(encoding="utf-8") == "precious"


def test_the_second_job_into_a_folder_is_told_at_once(tmp_path):
    with OutputFolder(tmp_path) as out:
        with pytest.raises(OutputError, match=rf"process {os.getpid()}\) is writing.*\[in-use\]"):
            write_new(tmp_path)
        # One file by itself is no set, and nobody's business.
        write_atomically(tmp_path / "other", lambda path: path.write_text("other"))
        out.write("a", lambda path: path.write_text("first"))
    assert content(tmp_path) == {"a": b"first", "other": b"other"}


def test_many_at_once_one_is_let_in_and_no_lock_is_left(tmp_path):
    inside, most, told = 0, 0, 0
    guard = threading.Lock()
    barrier = threading.Barrier(8)

    def job():
        nonlocal inside, most, told
        barrier.wait()
        for _ in range(20):
            try:
                with OutputFolder(tmp_path):
                    with guard:
                        inside += 1
                        most = max(most, inside)
                    with guard:
                        inside -= 1
            except OutputError:
                with guard:
                    told += 1

    threads = [threading.Thread(target=job) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


def test_a_lock_goes_with_its_process(tmp_path):
    lock = tmp_path / "lock"
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom COVIDQuantLib.system.file_lock import FileLock\n"
        "held = FileLock(Path(sys.argv[1]))\nprint('held', flush=True)\nsys.stdin.read()\nos._exit(1)\n"
    )
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert process.stdout.readline().strip() == b"held"
    with pytest.raises(HeldError) as held:
        FileLock(lock)
    assert held.value.owner == str(process.pid)
    process.communicate(b"")
    FileLock(lock).release(remove=True)
    assert not lock.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows always has locks")
def test_where_there_are_no_locks_the_name_of_the_owner_counts(tmp_path, monkeypatch):
    def no_locks(handle):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("COVIDQuantLib.system.file_lock._lock", no_locks)
    first = FileLock(tmp_path / "lock")
    with pytest.raises(HeldError):
        FileLock(tmp_path / "lock")
    first.release(remove=True)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    name = (tmp_path / "lock2").write_text(f"{process.pid} {os.uname().nodename}\n")
    assert name
    FileLock(tmp_path / "lock2").release()


def test_a_file_is_tried_without_a_trace(tmp_path):
    check_file(tmp_path / "deep" / "er" / "a.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="not-a-folder"):
        check_file(tmp_path / "file" / "a.json")
    with pytest.raises(OutputError, match="name-too-long"):
        check_file(tmp_path / ("n" * 300))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folders_are_moved_as_files_are(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "x").write_text("old")
    staging = Staging(tmp_path)
    (staging.files / "bundle").mkdir()
    (staging.files / "bundle" / "x").write_text("new")
    staging.commit(["bundle"])
    staging.remove()
    assert (tmp_path / "bundle" / "x").read_text(encoding="utf-8") == "new"
    assert clear_gone(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
