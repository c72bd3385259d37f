"""Files appear whole or not at all, whatever goes wrong and whenever."""

import errno
import os
from pathlib import Path

import pytest

from COVIDQuantLib.errors import Cancelled, OutputError, UsageError
from COVIDQuantLib.system.atomic_files import (
    OutputFolder,
    make_folder,
    output_error,
    write_atomically,
    write_folder_atomically,
)


def text(content):
    return lambda path: path.write_text(content, encoding="utf-8")


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fail_with(error):
    def write(path):
        path.write_text("half", encoding="utf-8")
        raise error

    return write


def write_set(folder, **writers):
    with OutputFolder(folder) as out:
        for name, writer in writers.items():
            out.write(name, writer)


def test_a_set_appears_together_and_replaces_the_earlier_one(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "other").write_text("kept")
    with OutputFolder(tmp_path) as out:
        out.write("a", text("new"))
        out.write("b", text("too"))
        assert (tmp_path / "a").read_text(encoding="utf-8") == "old"
        assert not (tmp_path / "b").exists()
    assert everything(tmp_path) == {"a": b"new", "b": b"too", "other": b"kept"}


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), Cancelled(), OSError(errno.ENOSPC, "full")])
def test_a_failure_while_writing_leaves_the_folder_as_it_was(tmp_path, error):
    (tmp_path / "a").write_text("old")
    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_set(tmp_path, a=text("new"), b=fail_with(error))
    assert everything(tmp_path) == {"a": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_failure_while_moving_puts_every_file_back(tmp_path, monkeypatch, failing, error):
    (tmp_path / "a").write_text("old a")
    (tmp_path / "c").write_text("old c")
    before = everything(tmp_path)
    move, moves = Path.replace, []

    def replace(self, target):
        moves.append(target)
        if len(moves) == failing + 1:
            raise error
        return move(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
        write_set(tmp_path, **dict.fromkeys("abc", text("new")))
    assert everything(tmp_path) == before
    if caught.type is OutputError:
        assert caught.value.where == str(tmp_path / "abc"[failing])


def test_folders_made_for_a_failure_are_gone(tmp_path):
    with pytest.raises(RuntimeError):
        write_set(tmp_path / "x" / "y", a=text("new"), b=fail_with(RuntimeError()))
    assert list(tmp_path.iterdir()) == []


def test_one_file_alone(tmp_path):
    write_atomically(tmp_path / "deep" / "a.nii.gz", text("whole"))
    assert everything(tmp_path) == {str(Path("deep", "a.nii.gz")): b"whole"}
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "deep" / "a.nii.gz", fail_with(KeyboardInterrupt()))
    assert everything(tmp_path) == {str(Path("deep", "a.nii.gz")): b"whole"}


def test_the_writer_is_given_the_same_ending(tmp_path):
    seen = []
    write_atomically(tmp_path / "a.seg.nrrd", lambda path: (seen.append(path.name), path.touch()))
    assert seen == ["a.seg.nrrd"]


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(OutputError, match=r"metrics\.csv: a folder of this name is in the way\. Move it away"):
        write_atomically(tmp_path / "metrics.csv", text("x"))
    assert everything(tmp_path) == {}


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("a file")
    for path in (tmp_path / "out" / "metrics.csv", tmp_path / "out" / "deeper" / "metrics.csv"):
        with pytest.raises(OutputError, match="out"):
            write_atomically(path, text("x"))
    assert everything(tmp_path) == {"out": b"a file"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_said_in_words(tmp_path):
    def write(path):
        path.touch()
        with Path("/dev/full").open("w") as file:
            file.write("x" * 100_000)

    with pytest.raises(OutputError, match=r"the disk is full\. Free some space"):
        write_atomically(tmp_path / "a", write)
    assert everything(tmp_path) == {}


@pytest.mark.skipif(os.name == "nt", reason="folders are not made read-only by their mode on Windows")
def test_a_read_only_folder_is_said_in_words(tmp_path):
    tmp_path.chmod(0o500)
    # Nobody may write to the kernel's own tree, not even an administrator, whom no mode holds.
    folder = Path("/sys/kernel") if os.geteuid() == 0 else tmp_path
    with pytest.raises(OutputError, match=r"no permission|read-only"):
        write_atomically(folder / "a", text("x"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.EIO])
def test_every_cause_has_a_remedy(number):
    error = output_error(OSError(number, os.strerror(number)), Path("out"))
    assert error.what
    assert error.remedy.endswith(".")


@pytest.mark.parametrize("name", ["a", "../b", "deep/b"])
def test_names_are_plain_and_used_once(tmp_path, name):
    with OutputFolder(tmp_path) as out:
        out.write("a", text("x"))
        with pytest.raises(UsageError):
            out.write(name, text("y"))
    assert everything(tmp_path) == {"a": b"x"}


def fill(folder, text):
    with write_folder_atomically(folder) as staging:
        (staging / "deep").mkdir(parents=True)
        (staging / "deep" / "a.txt").write_text(text)


def test_a_folder_takes_the_place_of_the_earlier_one_whole(tmp_path):
    fill(tmp_path / "new" / "model", "first")
    (tmp_path / "new" / "model" / "old.txt").touch()
    fill(tmp_path / "new" / "model", "second")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "new" / "model").iterdir()] == ["deep"]
    assert (tmp_path / "new" / "model" / "deep" / "a.txt").read_text(encoding="utf-8") == "second"


@pytest.mark.parametrize(("error", "seen"), [(OSError(28, "full"), OutputError), (KeyboardInterrupt(), None)])
def test_a_folder_that_could_not_be_filled_leaves_the_earlier_one(tmp_path, error, seen):
    fill(tmp_path / "model", "first")
    for folder in (tmp_path / "model", tmp_path / "new" / "model"):
        with pytest.raises(seen or type(error)), write_folder_atomically(folder):
            raise error
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "deep" / "a.txt").read_text(encoding="utf-8") == "first"


def test_what_a_killed_job_left_in_a_folder_is_cleared_away(tmp_path):
    left = tmp_path / "out" / ".covidquant-left"
    (left / "files").mkdir(parents=True)
    (left / "owner").touch()
    make_folder(tmp_path / "out")
    make_folder(tmp_path / "other" / "deep")
    assert not left.exists()
    assert (tmp_path / "other" / "deep").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        make_folder(tmp_path / "file" / "below")
