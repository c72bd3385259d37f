"""``--report`` on the command line: the files beside the others, refusals in one line before the work."""

import sys

import pytest
from followup_world import lungs, write_result
from report_world import parsed, table_of

from COVIDQuantLib.cli.main import main

SIZE = ["--matrix", "48", "--slices", "24", "--thickness", "10", "--seed", "7"]
DATES = ["--date", "2020-02-04", "2020-02-24"]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """A made CT with its true masks."""
    folder = tmp_path_factory.mktemp("phantom")
    assert main(["phantom", "--out", str(folder), *SIZE, "--extent", "20", "--quiet"]) == 0
    return folder


@pytest.fixture
def no_pdf(monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)


def quantify(phantom, out, *options):
    masks = ["--lobes", str(phantom / "lobes.nrrd"), "--lesions", str(phantom / "lesions.nrrd")]
    return main(["quantify", str(phantom / "ct.nrrd"), *masks, "--out", str(out), "--quiet", "--no-picture", *options])


def compare(folders, out, *options):
    return main(["compare", *map(str, folders), "--out", str(out), "--quiet", "--no-picture", *map(str, options)])


def page_of(folder):
    return parsed((folder / "report.html").read_text(encoding="utf-8"))


def test_quantify_writes_a_report_beside_its_files(phantom, tmp_path, capsys, no_pdf):
    assert quantify(phantom, tmp_path, "--report", "--report-label", "Study <17>") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "metrics.csv",
        "metrics.json",
        "report.html",
        "segmentation.seg.nrrd",
    ]
    assert "report-no-pdf" in capsys.readouterr().err
    root = page_of(tmp_path)
    assert next(node for node in root.all("p") if "about" in node.classes).text.startswith("Study <17>, exam ")
    assert len(table_of(root, "figures")[1]) == 9


def test_compare_writes_a_report_beside_its_files(tmp_path, capsys, no_pdf):
    folders = [write_result(tmp_path / name, lungs(ggo=n)) for name, n in (("a", 1_000), ("b", 9_000))]
    out = tmp_path / "out"
    assert compare(folders, out, *DATES, "--no-lesions", "--report") == 0
    assert "report.html" in {path.name for path in out.iterdir()}
    assert capsys.readouterr().err.count("report-no-segmentation") == 1
    root = page_of(out)
    assert "Follow-up: 2 exams over 20 days" in root.text
    assert "2020" not in table_of(root, "exams")[1][0][1]


def test_a_report_of_an_earlier_run_is_told(tmp_path, capsys):
    folders = [write_result(tmp_path / name, lungs(ggo=n)) for name, n in (("a", 1_000), ("b", 9_000))]
    out = tmp_path / "out"
    assert compare(folders, out, *DATES, "--no-lesions") == 0
    (out / "report.pdf").write_bytes(b"old")
    capsys.readouterr()
    assert compare(folders, out, *DATES, "--no-lesions") == 0
    assert "earlier-files: report.pdf" in " ".join(capsys.readouterr().err.split())
    assert (out / "report.pdf").read_bytes() == b"old"


@pytest.mark.slow
def test_the_report_of_a_comparison_shows_the_last_exams_own_ct(phantom, tmp_path, capsys):
    other = tmp_path / "other"
    assert main(["phantom", "--out", str(other), *SIZE, "--extent", "5", "--quiet"]) == 0
    folders = [tmp_path / "first", tmp_path / "second"]
    assert [quantify(phantom, folders[0]), quantify(other, folders[1])] == [0, 0]
    cts = [phantom / "ct.nrrd", other / "ct.nrrd"]
    wanted = [*DATES, "--no-lesions", "--report"]
    assert compare(folders, tmp_path / "out", *wanted, "--ct", *cts) == 0
    # Slices, views, charts of the exam and of the follow-up.
    assert len(page_of(tmp_path / "out").all("img")) == 9
    capsys.readouterr()
    assert compare(folders, tmp_path / "crossed", *wanted, "--ct", *reversed(cts)) == 3
    assert "[ct-other-exam]" in capsys.readouterr().err
    assert not (tmp_path / "crossed").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--report-label", "x"], "report-unused"),
        (["--report-identity"], "report-unused"),
        (["--report", "--report-identity"], "report-no-identity"),
    ],
)
@pytest.mark.parametrize("command", ["quantify", "compare"])
def test_options_that_cannot_be_met_are_refused_before_the_work(command, options, code, phantom, tmp_path, capsys):
    out = tmp_path / "out"
    if command == "quantify":
        assert quantify(phantom, out, *options) == 2
    else:
        folders = [write_result(tmp_path / name, lungs(ggo=n)) for name, n in (("a", 1_000), ("b", 9_000))]
        assert compare(folders, out, *DATES, *options) == 2
    error = capsys.readouterr().err
    assert f"[{code}]" in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_without_jinja_nothing_is_begun(phantom, tmp_path, monkeypatch, capsys):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "jinja2" else found(name, *rest)
    )
    assert quantify(phantom, tmp_path / "out", "--report") == 2
    assert 'pip install "COVIDQuant[report]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_starting_the_command_line_needs_nothing_of_the_report():
    import subprocess

    code = (
        "import sys\nfrom COVIDQuantLib.cli.main import make_parser\nmake_parser()\n"
        "sys.exit(any(name in sys.modules for name in ('jinja2', 'weasyprint', 'COVIDQuantLib.report.write')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
