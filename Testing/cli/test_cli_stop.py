"""Stopped and killed at any moment: the old result or the new one, nothing left after the next run, the right status.

Six times in every run; ``COVIDQUANT_KILLS=60 pytest -m slow Testing/cli/test_cli_stop.py`` does so as often as it says.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.cli.stopping import Stopped, stop_signals
from COVIDQuantLib.simulation.phantom.files import write_phantom
from COVIDQuantLib.system.atomic_files import settle_results

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")

ROOT = Path(__file__).resolve().parents[2]
FILES = {"segmentation.seg.nrrd", "metrics.csv", "metrics.json"}
# Once it is at work: what Python itself does before it has read a line of ours is not ours.
READY = "import sys; from COVIDQuantLib.cli.main import main; sys.stderr.write('ready\\n'); sys.stderr.flush(); "


@pytest.fixture(scope="module")
def world(tmp_path_factory, once):
    """A small CT with its masks, and what two runs with different thresholds make of it."""
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(once.phantom(seed=1, thickness_mm=10.0, matrix=64, extent_percent=10.0), folder)
    assert main(command(folder, folder / "old", "-750")) == 0
    assert main(command(folder, folder / "new", "-700")) == 0
    assert content(folder / "old") != content(folder / "new")
    return folder


def command(world, out, threshold):
    masks = [f"--{name}={world / name}.nrrd" for name in ("lobes", "lesions")]
    options = ["--method=model-free", "--quiet", "--no-picture", f"--ggo-hu={threshold}"]
    return ["quantify", str(world / "ct.nrrd"), *masks, *options, f"--out={out}"]


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def names(folder):
    return {path.name for path in folder.iterdir()}


def start(world, out, threshold="-700"):
    run = [sys.executable, "-c", f"{READY} sys.exit(main())", *command(world, out, threshold)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(run, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stderr.readline() == "ready\n"
    return process


def kill_often(world, folder, times):
    old, new = content(world / "old"), content(world / "new")
    begun = time.monotonic()
    assert start(world, folder / "whole").wait() == 0
    seconds = time.monotonic() - begun
    draw = random.Random(0)
    outcomes = []
    for number in range(times):
        out = folder / str(number)
        out.mkdir()
        for name, data in old.items():
            (out / name).write_bytes(data)
        number_of_signal = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[number % 3]
        process = start(world, out)
        time.sleep(seconds * (number + draw.random()) / times)
        process.send_signal(number_of_signal)
        _, complaint = process.communicate(timeout=120)
        if number_of_signal != signal.SIGKILL:
            assert process.returncode in (0, 128 + number_of_signal), complaint
            lines = complaint.splitlines()
            assert [line for line in lines if not line.startswith("warning ")] == (
                [f"covidquant: stopped; {lines[-1].partition('; ')[2]}"] if process.returncode else []
            )
            assert names(out) == FILES
        settle_results(out)
        now = {name: data for name, data in content(out).items() if name in FILES}
        assert now in (old, new), (number, number_of_signal)
        outcomes.append(now == new)
        # The next run, here one that is refused, clears up.
        assert main([*command(world, out, "-700")[:-1], f"--out={out}", "--lungs=missing.nrrd"]) in (2, 3)
        assert names(out) == FILES
        assert {name: data for name, data in content(out).items() if name in FILES} == now
    return outcomes


def test_killed_at_a_few_moments(world, tmp_path):
    outcomes = kill_often(world, tmp_path, int(os.environ.get("COVIDQUANT_KILLS", "6")))
    assert not outcomes[0]


@pytest.mark.slow
@pytest.mark.skipif("COVIDQUANT_KILLS" not in os.environ, reason="COVIDQUANT_KILLS says how often")
def test_killed_at_many_moments(world, tmp_path):
    outcomes = kill_often(world, tmp_path, int(os.environ["COVIDQUANT_KILLS"]))
    assert not all(outcomes)


def test_a_job_that_is_killed_at_once_into_a_new_folder_leaves_what_the_next_clears(world, tmp_path):
    out = tmp_path / "out"
    process = start(world, out)
    while not out.exists() or not names(out):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert not names(out) & FILES
    assert main(command(world, out, "-700")) == 0
    assert content(out) == content(world / "new")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_way_to_say_stop_is_one_exception_with_its_status(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped, stop_signals(whole_program=False):
        signal.raise_signal(number)
    assert stopped.value.status == 128 + number
    assert signal.getsignal(number) is before


def test_what_is_told_to_be_ignored_is(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals(whole_program=False):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_wish_does_not_disturb_the_cleaning_up():
    cleaned = []

    def work():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(True)

    with pytest.raises(Stopped), stop_signals(whole_program=False):
        work()
    assert cleaned


def test_a_stop_that_an_import_turns_into_an_error_is_a_stop(world, tmp_path, capsys, monkeypatch):
    def importing(*_, **__):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt as stopped:
            raise ImportError("initialization failed") from stopped

    monkeypatch.setattr("COVIDQuantLib.cli.commands.quantify.read_ct", importing)
    assert main(command(world, tmp_path / "out", "-700")) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "covidquant: stopped; nothing was written\n"


def test_stopped_after_the_result_was_written_it_says_so(world, tmp_path, capsys, monkeypatch):
    def stop(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("COVIDQuantLib.cli.commands.quantify.show_warnings", stop)
    assert main(command(world, tmp_path / "out", "-700")) == 130
    assert "the result was written before" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["thresholds"]["ggo_hu"] == -700


def test_an_interrupt_that_somebody_else_raised_is_one_too(world, tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("COVIDQuantLib.cli.commands.quantify.read_ct", stop)
    assert main(command(world, tmp_path / "out", "-700")) == 130
    assert capsys.readouterr().err == "covidquant: stopped; nothing was written\n"
    assert list(tmp_path.iterdir()) == []


def test_files_of_an_earlier_run_that_stay_are_told_of(world, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "overlay.png").write_bytes(b"of an earlier run")
    (out / "lobes.nii.gz").write_bytes(b"of an earlier run")
    assert main(command(world, out, "-700")) == 0
    (told,) = (line for line in capsys.readouterr().err.splitlines() if "earlier-files" in line)
    assert "overlay.png, lobes.nii.gz" in told
    assert (out / "overlay.png").read_bytes() == b"of an earlier run"
