"""A session that leaves something behind fails and says what."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import leftovers
import pytest
from leftovers import Watched, nothing_left, processes_with


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(leftovers, "_SECONDS_TO_GO", 0.3)


def left_by(action):
    with pytest.raises(pytest.fail.Exception) as failed, nothing_left(lambda: False):
        action()
    return str(failed.value)


def test_a_tidy_session_passes_and_its_folder_goes():
    with nothing_left(lambda: False) as watched:
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(watched.temporary)
        with tempfile.TemporaryDirectory():
            pass
    assert not watched.temporary.exists()
    assert tempfile.gettempdir() != str(watched.temporary)


def test_what_an_owner_still_holds_goes_with_it():
    with nothing_left(lambda: False):
        kept = tempfile.TemporaryDirectory()
    kept.cleanup()


def test_a_folder_is_named(soon):
    assert "temporary covidquant-scene-" in left_by(lambda: tempfile.mkdtemp(prefix="covidquant-scene-"))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc")
def test_a_process_is_named(soon):
    command = [sys.executable, "-c", "import time; time.sleep(600)  # forgotten"]
    kept = []
    try:
        told = left_by(lambda: kept.append(subprocess.Popen(command)))
    finally:
        kept[0].kill()
        kept[0].wait()
    assert f"process {kept[0].pid} " in told
    assert "forgotten" in told
    assert processes_with(f"COVIDQUANT_TEST_SESSION={kept[0].pid}".encode()) == []


def test_a_file_beside_the_sources_is_named(soon, tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "ROOT", tmp_path)
    told = left_by((tmp_path / "metrics.csv").touch)
    assert told.endswith("beside the sources metrics.csv")


def test_after_a_failure_nothing_is_asked_for(soon):
    with nothing_left(lambda: True) as watched:
        tempfile.mkdtemp()
    assert not watched.temporary.exists()


def test_caches_of_tools_are_theirs(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "ROOT", tmp_path)
    watched = Watched()
    for name in (".pytest_cache", ".hypothesis", "__pycache__"):
        (tmp_path / name).mkdir()
    assert watched.left() == []
    watched.remove()
