"""Shared memory of jobs that were killed with everything that would have freed it is freed by the next."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from COVIDQuantLib.system.file_lock import FileLock
from COVIDQuantLib.worker import blocks
from COVIDQuantLib.worker.blocks import Block, clear_gone_blocks
from COVIDQuantLib.worker.process import FOLDER_PREFIX, clear_gone_folders

FOLDER = Path("/dev/shm")
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="blocks are no files here")

MAKE = """
import sys
from multiprocessing import resource_tracker
from COVIDQuantLib.worker.blocks import Block
block = Block(100_000)
print(block.name, resource_tracker._resource_tracker._pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other():
    """A process that holds a block; its name, and the ID of the helper that would free it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", MAKE]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    name, keeper = process.stdout.readline().split()
    yield process, FOLDER / name, int(keeper)
    process.kill()
    process.communicate()
    (FOLDER / name).unlink(missing_ok=True)


def test_the_block_of_a_living_process_stays(other, monkeypatch):
    _, path, _ = other
    monkeypatch.setattr(blocks, "_SECONDS_NEW", -1.0)
    clear_gone_blocks()
    assert path.exists()


def test_killed_with_its_keeper_it_is_gone_after_the_next_start(other):
    process, path, keeper = other
    os.kill(keeper, signal.SIGKILL)
    process.kill()
    process.wait()
    assert path.exists()
    block = Block(1000)
    assert not path.exists()
    assert (FOLDER / block.name).exists()
    block.free()
    assert not (FOLDER / block.name).exists()


def test_one_that_was_just_made_and_is_not_locked_yet_stays():
    path = FOLDER / f"covidquant-{os.getpid()}-{'0' * 8}"
    path.write_bytes(b"x")
    try:
        clear_gone_blocks()
        assert path.exists()
    finally:
        path.unlink()


@pytest.mark.parametrize("name", ["covidquant-1-x", "covidquant-99999999999-00000000", "covidquant-other"])
def test_what_is_named_otherwise_is_not_ours(name):
    path = FOLDER / name
    path.write_bytes(b"x")
    try:
        clear_gone_blocks()
        assert path.exists()
    finally:
        path.unlink()


def test_folders_of_killed_processes_are_removed_and_those_of_living_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    living, dead, fresh = (tmp_path / f"{FOLDER_PREFIX}{name}" for name in ("living", "dead", "fresh"))
    for folder in (living, dead, fresh):
        folder.mkdir()
    held = FileLock(living / "owner")
    FileLock(dead / "owner").release()
    (dead / "half").write_text("half")
    clear_gone_folders()
    assert {path.name for path in tmp_path.iterdir()} == {living.name, fresh.name}
    held.release()
