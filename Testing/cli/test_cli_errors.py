"""Whatever goes wrong is one line and a status; text from outside is shown as it is; what printed it away is quiet."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import chest

from COVIDQuantLib.cli import failures
from COVIDQuantLib.cli.commands import phantom, quantify
from COVIDQuantLib.cli.main import main, make_parser
from COVIDQuantLib.cli.terminal import console, shown
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.system.atomic_files import OutputFolder

ROOT = Path(__file__).resolve().parents[2]
NASTY = ["[/red]", "[/b]1", "[link=x]", "[bold", ":smile:", "a\x1b[2Jb", "a\nb", "a\u2028b", "\ud800", "a\rb\x00"]


@pytest.fixture(autouse=True)
def state(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setattr(failures, "log_folder", lambda: folder / "COVIDQuant")
    return folder / "COVIDQuant"


def one_line(capsys):
    # Where standard error is no terminal, the stages that the progress has seen stand before it.
    lines = [line for line in capsys.readouterr().err.splitlines() if not re.match(r" *\d+% ", line)]
    assert len(lines) == 1, lines
    assert lines[0].startswith("covidquant: ")
    return lines[0]


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


def fail_with(monkeypatch, error):
    monkeypatch.setattr(phantom, "make_phantom", raising(error))


def run_phantom(folder):
    return main(["phantom", "--out", str(folder / "out"), "--quiet"])


# ------------------------------------------------------------------------------------------------------- unforeseen


@pytest.mark.parametrize(
    "error",
    [ValueError("what\nis\x1b[2J this"), KeyError("x"), RecursionError("deep"), ZeroDivisionError(), OSError("odd")],
    ids=lambda error: type(error).__name__,
)
def test_an_unforeseen_error_is_one_line_with_a_private_log(monkeypatch, tmp_path, capsys, state, error):
    fail_with(monkeypatch, error)
    assert run_phantom(tmp_path) == 1
    line = one_line(capsys)
    assert "[unexpected-error]" in line
    assert type(error).__name__ in line
    (log,) = state.iterdir()
    assert str(log) in line
    text = log.read_text(encoding="utf-8")
    assert "Traceback" in text
    assert "names of files" in text
    if os.name == "posix":
        assert log.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_only_the_latest_logs_are_kept(state):
    for _ in range(30):
        failures.write_log(ValueError("x"))
    assert len(list(state.iterdir())) == 20


def test_without_a_place_for_the_log_it_is_still_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(failures, "_write_private", raising(PermissionError(13, "no")))
    fail_with(monkeypatch, ValueError("x"))
    assert run_phantom(tmp_path) == 1
    assert "No log could be written" in one_line(capsys)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), MemoryError("8 GiB"), RuntimeError("std::bad_alloc")],
)
def test_too_little_memory_is_said(monkeypatch, tmp_path, capsys, error):
    fail_with(monkeypatch, error)
    assert run_phantom(tmp_path) == 3
    assert "too little memory" in one_line(capsys)


def test_a_phantom_larger_than_the_memory_is_refused_before_it_is_made(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("COVIDQuantLib.system.memory.available_bytes", lambda: 2_000_000_000)
    assert main(["phantom", "--out", str(tmp_path / "out"), "--matrix", "1024", "--quiet"]) == 3
    line = one_line(capsys)
    assert "GB of memory, 2.0 GB are free" in line
    assert "[memory-too-small]" in line
    assert list(tmp_path.iterdir()) == []


def test_names_too_long_are_said(tmp_path, capsys):
    long = "n" * 5000
    for arguments in (
        ["quantify", "ct.nrrd", "--out", str(tmp_path / long)],
        ["quantify", str(tmp_path / long), "--out", str(tmp_path / "out")],
        ["evaluate", str(tmp_path / long), str(tmp_path), "--out", str(tmp_path / "out")],
        ["models", "show", long],
        ["models", "import", long],
        ["models", "remove", long],
        ["train", long, "--out", str(tmp_path / "out")],
        ["reference", long, "--out", str(tmp_path / "out.json")],
    ):
        assert main(arguments) == 3, arguments
        assert len(one_line(capsys)) < 6000
    assert list(tmp_path.iterdir()) == []


def test_wrong_use_is_one_line_too(capsys):
    for arguments in ([], ["quantify"], ["burn"], ["quantify", "ct", "--out", "x", "--method", "a\nb"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert "--help" in one_line(capsys)


def test_help_tells_the_statuses_and_every_option_has_a_text():
    parser = make_parser()
    told = parser.format_help()
    for status in ("0", "1", "2", "3", "4", "130", "143"):
        assert status in told
    (subparsers,) = (action for action in parser._actions if action.dest == "command")
    for name, subparser in subparsers.choices.items():
        assert subparser.format_help()
        for action in subparser._actions:
            assert action.help or action.dest == "action", (name, action.dest)


# ---------------------------------------------------------------------------------------------------------- output


def test_the_folder_is_tried_before_the_work(monkeypatch, tmp_path, capsys):
    (tmp_path / "f").write_text("a file")
    worked = []
    monkeypatch.setattr(quantify, "read_ct", lambda *_: worked.append(1))
    monkeypatch.setattr(phantom, "make_phantom", lambda *_: worked.append(1))
    monkeypatch.setattr("COVIDQuantLib.cli.commands.evaluate.find_pairs", lambda *_: worked.append(1))
    monkeypatch.setattr("COVIDQuantLib.cli.commands.reference.read_ct", lambda *_: worked.append(1))
    (tmp_path / "cts").mkdir()
    (tmp_path / "cts" / "one").touch()
    out = str(tmp_path / "f" / "sub")
    for arguments in (
        ["quantify", "ct", "--out", out],
        ["quantify", "ct", "--out", str(tmp_path / "f")],
        ["phantom", "--out", out],
        ["evaluate", "a", "b", "--out", out],
        ["train", "yoo-2022", "--data", str(tmp_path), "--out", out],
        ["reference", str(tmp_path / "cts"), "--out", out],
    ):
        assert main(arguments) == 3, arguments
        line = one_line(capsys)
        assert str(tmp_path / "f") in line
        assert "not-a-folder" in line
    assert worked == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cts", "f"]


def test_a_name_that_is_taken_is_told_before_the_work(monkeypatch, tmp_path, capsys):
    (tmp_path / "overlay.png").mkdir()
    monkeypatch.setattr(quantify, "read_ct", raising(AssertionError("worked")))
    assert main(["quantify", "ct", "--out", str(tmp_path)]) == 3
    assert "overlay.png: a folder of this name is in the way" in one_line(capsys)


def test_a_refused_input_leaves_no_folder(tmp_path, capsys):
    assert main(["quantify", str(tmp_path / "missing"), "--out", str(tmp_path / "a" / "b")]) == 3
    assert "missing" in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_the_second_job_is_told(tmp_path, capsys):
    with OutputFolder(tmp_path / "out"):
        assert main(["quantify", "ct", "--out", str(tmp_path / "out")]) == 3
    assert "is writing to this folder" in one_line(capsys)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_names_the_users_folder(tmp_path):
    from COVIDQuantLib.errors import OutputError
    from COVIDQuantLib.export.table_file import write_json

    def write(path):
        with Path("/dev/full").open("w") as file:
            file.write("x" * 100_000)

    with pytest.raises(OutputError, match="disk is full") as caught, OutputFolder(tmp_path / "out") as out:
        out.write("a", lambda path: write_json(path.parent / "b", {}) or write(path))
    assert caught.value.where == str(tmp_path / "out" / "a")
    assert ".covidquant" not in str(caught.value)


# ----------------------------------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize("text", NASTY)
def test_text_from_outside_is_no_markup_and_steers_no_terminal(text):
    screen = console()
    screen.file = io.StringIO()
    screen.print(text, soft_wrap=True)
    told = screen.file.getvalue()
    assert told.count("\n") == 1
    assert told.strip().isprintable()
    assert shown(text) in told


@pytest.mark.parametrize("text", NASTY[:8])
def test_names_of_scans_are_shown_as_they_are(tmp_path, capsys, text):
    error = UnfitInputError(f"the segment {text} is odd", f"folder {text}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantify, "read_ct", raising(error))
        assert main(["quantify", "ct", "--out", str(tmp_path)]) == 3
    assert one_line(capsys).isprintable()


def test_a_stage_named_like_markup_is_shown(capsys):
    from COVIDQuantLib.cli.terminal import progress_bar
    from COVIDQuantLib.progress import Stage

    stages = [Stage("reading", 1.0), Stage("scan [/red]", 1.0)]
    with progress_bar(stages, log=True) as progress:
        with progress.stage("reading"):
            pass
        assert capsys.readouterr().err == ""
        with progress.stage("scan [/red]"):
            pass
    assert "scan [/red]" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["quantify", "evaluate", "reference"])
def test_a_refusal_is_the_only_line_where_nobody_watches(tmp_path, command):
    """With no --quiet, and after stages that went well."""
    hu = chest((24, 64, 80))
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((4.0, 4.0, 5.0))
    folder = tmp_path / "many"
    folder.mkdir()
    sitk.WriteImage(image, str(folder / "1.nrrd"))
    mask = sitk.GetImageFromArray((hu < -600).astype(np.uint8))
    mask.CopyInformation(image)
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        sitk.WriteImage(mask, str(tmp_path / side / "1_lungs.nrrd"))
        (tmp_path / side / "2_lungs.nrrd").write_bytes((tmp_path / side / "1_lungs.nrrd").read_bytes()[:-2000])
    (folder / "2.nrrd").write_bytes((folder / "1.nrrd").read_bytes()[:-2000])
    given = {
        "quantify": [str(folder / "1.nrrd"), "--lobes", str(tmp_path / "a" / "2_lungs.nrrd"), "--method", "model-free"],
        "evaluate": [str(tmp_path / "a"), str(tmp_path / "b")],
        "reference": [str(folder)],
    }
    process = program(command, *given[command], "--out", str(tmp_path / "out"), stdout=subprocess.DEVNULL)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == 3
    assert complaint.count(b"\n") == 1, complaint.decode()
    assert b"damaged-file" in complaint


def test_warnings_are_a_line_each(capsys):
    from COVIDQuantLib.cli.terminal import show_warnings
    from COVIDQuantLib.ct.volume import CTWarning

    show_warnings([CTWarning("odd", f"the name {text}") for text in NASTY])
    assert len(capsys.readouterr().err.splitlines()) == len(NASTY)


def program(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, "-m", "COVIDQuantLib.cli", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, **options)


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise on Windows")
def test_a_reader_of_the_output_that_is_gone_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    process = program("models", "list", stdout=writing, env={"COVIDQUANT_MODELS": "/nonexistent"})
    os.close(writing)
    _, complaint = process.communicate(timeout=120)
    assert complaint == b""
    assert process.returncode == 0


def test_what_a_terminal_cannot_show_is_shown_by_its_code(tmp_path):
    folder = tmp_path / "own"
    (folder / "żółw−[/red]").mkdir(parents=True)
    environment = {"PYTHONIOENCODING": "ascii", "COVIDQUANT_MODELS": str(folder)}
    process = program("models", "list", "--json", stdout=subprocess.PIPE, env=environment)
    told, complaint = process.communicate(timeout=120)
    assert (process.returncode, complaint) == (0, b"")
    assert b"\\u017c" in told
