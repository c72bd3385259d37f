"""What C libraries print is held while they read, kept for the reason, and nothing else is lost."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from COVIDQuantLib.ct.files.itk_files import image_reader, itk_silent
from COVIDQuantLib.system.quiet_stderr import held_stderr

ROOT = Path(__file__).resolve().parents[2]


def as_c_prints(text):
    os.write(2, text.encode())


def test_held_and_told(capfd):
    with held_stderr() as held:
        as_c_prints("first\n\n")
        assert held.text == "first"
        as_c_prints("  second: é\n")
    assert held.text == "first; second: é"
    as_c_prints("after")
    assert capfd.readouterr().err == "after"


def test_nested_holds_each_tell_their_own(capfd):
    with held_stderr() as outer:
        as_c_prints("one\n")
        with held_stderr() as inner:
            as_c_prints("two\n")
        as_c_prints("three\n")
    assert (inner.text, outer.text) == ("two", "one; two; three")
    assert capfd.readouterr().err == ""


def test_it_ends_with_an_error_too(capfd):
    def fail():
        as_c_prints("why")
        raise RuntimeError

    with pytest.raises(RuntimeError), held_stderr() as held:
        fail()
    as_c_prints("shown")
    assert (held.text, capfd.readouterr().err) == ("why", "shown")


def test_many_threads_leave_the_terminal_as_it_was(capfd):
    def read():
        for _ in range(50):
            with held_stderr():
                as_c_prints("noise\n")

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    as_c_prints("end")
    assert capfd.readouterr().err == "end"


def test_a_flood_is_cut():
    with held_stderr() as held:
        for _ in range(300):
            as_c_prints("x" * 1000)
    assert len(held.text) == 4096


SCRIPT = """
import os, sys
from COVIDQuantLib.ct.files.itk_files import image_reader, itk_silent
from COVIDQuantLib.system.quiet_stderr import held_stderr
{before}
with held_stderr() as held:
    os.write({number}, b"noise\\n")
    if sys.stderr: sys.stderr.write("progress\\n")
print(held.text)
"""


def run(before="", number=2):
    code = SCRIPT.format(before=before, number=number)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)


def test_pythons_own_words_still_reach_the_terminal():
    done = run()
    assert (done.stdout, done.stderr) == ("noise\n", "progress\n")


def test_a_stream_without_a_descriptor_as_in_slicer():
    own = "class Own:\n    def write(self, text): print('own', text, end='')\n    def flush(self): pass\n"
    done = run(own + "sys.stderr = Own()")
    assert (done.stdout, done.stderr) == ("own progress\nnoise\n", "")
    assert run("sys.stderr = None").stdout == "noise\n"


def test_without_descriptor_2_nothing_is_held():
    done = run("sys.stderr = None; os.close(2)", number=1)
    assert done.stdout == "noise\n\n"


def test_what_gdcm_prints_is_held_where_itk_reads(capfd, tmp_path):
    (tmp_path / "x.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\x00\x05\x00CS\xff\xff" + bytes(40))
    with itk_silent() as held:
        as_c_prints("a codec's word")
        with pytest.raises(RuntimeError):
            image_reader(tmp_path / "x.dcm", "GDCMImageIO").Execute()
    assert "a codec's word" in held.text
    assert capfd.readouterr().err == ""
