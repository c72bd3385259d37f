"""``covidquant compare`` end to end: known truth comes back, errors are one line, nothing of others is overwritten."""

import csv
import json

import pytest
from followup_world import lungs, write_result

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.followup.comparison_files import CHANGES_FILE, CHART_FILE, FILES, JSON_FILE
from COVIDQuantLib.followup.lesions.table import LESIONS_FILE
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.quantification.measures import MEASURES

# The severe course of Pan 2021, Fig. 3B, on days 3, 23 and 48.
COURSE = (7.9, 27.9, 16.4)
DATES = ("2020-02-04", "2020-02-24", "2020-03-20")
ONSET = "2020-02-01"


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """One made person in three exams, the disease along the published course, quantified with the true masks."""
    root = tmp_path_factory.mktemp("patient")
    for number, extent in enumerate(COURSE, start=1):
        made = root / f"ct{number}"
        size = ["--matrix", "48", "--slices", "24", "--thickness", "10", "--seed", "7", "--extent", str(extent)]
        assert main(["phantom", "--out", str(made), *size, "--quiet"]) == 0
        masks = ["--lobes", str(made / "lobes.nrrd"), "--lesions", str(made / "lesions.nrrd")]
        out = ["--out", str(root / f"exam{number}"), "--quiet", "--no-picture"]
        assert main(["quantify", str(made / "ct.nrrd"), *masks, *out]) == 0
    return root


@pytest.fixture(scope="module")
def compared(patient, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    folders = [str(patient / f"exam{n}") for n in range(1, 4)]
    assert main(["compare", *folders, "--out", str(out), "--date", *DATES, "--onset", ONSET]) == 0
    return out


@pytest.fixture
def exams(tmp_path):
    """Three small results of one patient."""
    return [write_result(tmp_path / name, lungs(ggo=n)) for name, n in (("a", 1_000), ("b", 9_000), ("c", 4_000))]


def compare(folders, out, *options):
    """The exit status; argparse's own refusals end the program, as they do on the command line."""
    try:
        return main(["compare", *map(str, folders), "--out", str(out), "--quiet", "--no-picture", *map(str, options)])
    except SystemExit as ended:
        return ended.code


def rows_of(folder):
    with (folder / CHANGES_FILE).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def record_of(folder):
    return json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))


def names(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def refused(capsys):
    """The one line that a refusal is."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("covidquant: ")
    return lines[0]


# --------------------------------------------------------------------------------------------------------- known truth


def test_every_change_is_that_of_the_truth(patient, compared):
    truth = {}
    for number in range(1, 4):
        record = json.loads((patient / f"ct{number}" / "truth.json").read_text(encoding="utf-8"))
        truth[number] = {row["region"]: row for row in record["regions"]}
    measured = {measure.name for measure in MEASURES}
    rows = [row for row in rows_of(compared) if row["measure"] in measured]
    assert len(rows) == 3 * (8 * len(MEASURES) + sum(measure.outside for measure in MEASURES))
    for row in rows:
        before, after = (truth[int(row[key])][row["region"]][row["measure"]] for key in ("exam_before", "exam_after"))
        if before is None or after is None:
            assert row["change"] == ""
        else:
            assert float(row["change"]) == pytest.approx(after - before, rel=1e-6, abs=1e-6), row
            if before:
                percent = 100 * (after - before) / abs(before)
                assert float(row["change_percent"]) == pytest.approx(percent, rel=1e-5, abs=1e-4)


def test_the_course_is_told(compared):
    record = record_of(compared)
    assert names(compared) == {
        *FILES,
        LESIONS_FILE,
        "change_map_02.nrrd",
        "change_map_03.nrrd",
        "change_map_03_since_01.nrrd",
    }
    assert [exam["days_since_onset"] for exam in record["exams"]] == [3, 23, 48]
    assert [pair["signs"]["POI"]["sign"] for pair in record["pairs"]] == [1, -1, 1]
    assert "expanded" in record["pairs"][0]["signs"]["POI"]["words"]
    for point, extent in zip(record["time_course"]["trajectory"], COURSE, strict=True):
        assert point["extent_percent"] == pytest.approx(extent, abs=1.0)
        assert point["published_on_that_day"]["pan-3b-severe"] == pytest.approx(extent, abs=0.1)
    verdicts = [pair["regions"][0]["changes"]["extent_percent"]["limits"]["verdict"] for pair in record["pairs"]]
    assert verdicts == ["beyond"] * 3
    assert [pair["inspiration"]["differs"] for pair in record["pairs"]] == [False] * 3
    assert [(pair["before"], pair["after"]) for pair in record["lesions"]["pairs"]] == [(1, 2), (2, 3), (1, 3)]
    assert (compared / CHART_FILE).read_bytes().startswith(b"\x89PNG")


def test_the_terminal_tells_the_headlines(patient, tmp_path, capsys):
    folders = [patient / "exam1", patient / "exam2"]
    dates = ["--date", *DATES[:2], "--same-patient", "--no-picture"]
    assert main(["compare", *map(str, folders), "--out", str(tmp_path), *dates]) == 0
    said = capsys.readouterr()
    assert "exam1" in said.out
    assert "infection region has" in said.out
    assert "exceeds error" in said.out
    assert str(tmp_path / JSON_FILE) in said.out.splitlines()


# ------------------------------------------------------------------------------------------------------ order and files


def test_exams_are_ordered_and_the_order_is_told(exams, tmp_path, capsys):
    out = tmp_path / "out"
    assert compare(exams, out, "--date", "2020-03-01", "2020-02-01", "2020-02-15") == 0
    assert "exams-reordered" in capsys.readouterr().err
    assert [exam["days"] for exam in record_of(out)["exams"]] == [0, 14, 29]
    extents = [exam["regions"][0]["extent_percent"] for exam in record_of(out)["exams"]]
    assert extents == pytest.approx([9.0, 4.0, 1.0])


def test_a_second_run_replaces_the_first_and_nothing_else(exams, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["compare", *map(str, exams), "--out", str(out), "--date", *DATES, "--quiet"]) == 0
    (out / "notes.txt").write_text("mine")
    first = (out / CHANGES_FILE).read_bytes()
    assert compare(exams, out, "--date", *DATES, "--ggo-hu", "-500") == 0
    assert "earlier-files" in capsys.readouterr().err
    assert (out / CHANGES_FILE).read_bytes() != first
    assert (out / "notes.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", FILES)
def test_what_is_not_ours_is_not_overwritten(exams, tmp_path, name, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("{}")
    assert compare(exams, out, "--date", *DATES) == 3
    assert "[not-ours]" in refused(capsys)
    assert names(out) == {name}
    assert (out / name).read_text(encoding="utf-8") == "{}"


def test_results_may_go_into_an_exams_folder(exams):
    before = (exams[0] / "metrics.json").read_bytes()
    assert compare(exams, exams[0], "--date", *DATES) == 0
    assert (exams[0] / "metrics.json").read_bytes() == before
    assert {CHANGES_FILE, JSON_FILE} <= names(exams[0])


def test_dates_and_folders_are_written_only_if_asked_for(exams, tmp_path):
    for options, told in (([], False), (["--identify"], True)):
        out = tmp_path / f"out-{told}"
        assert compare(exams, out, "--date", *DATES, "--onset", ONSET, *options) == 0
        text = "".join(path.read_text(encoding="utf-8") for path in out.iterdir())
        assert ("2020-02" in text) is told


def test_thirty_exams(tmp_path):
    folders = [write_result(tmp_path / f"e{n}", lungs(ggo=100 * n)) for n in range(1, 31)]
    days = [f"2020-{1 + n // 28:02}-{1 + n % 28:02}" for n in range(30)]
    out = tmp_path / "out"
    assert main(["compare", *map(str, folders), "--out", str(out), "--date", *days, "--onset", days[0]]) == 0
    assert len(record_of(out)["pairs"]) == 57


# ------------------------------------------------------------------------------------------------------------ bad input


def another_patient(folder):
    write_result(folder, lungs(ggo=50), source={"patient_check": "111"})


def other_version(folder):
    path = write_result(folder, lungs(ggo=50)) / "metrics.json"
    path.write_text(path.read_text("utf-8").replace("covidquant-metrics/1", "covidquant-metrics/7"), encoding="utf-8")


def half_written(folder):
    (write_result(folder, lungs(ggo=50)) / "metrics.json").unlink()


def unreadable(folder):
    (write_result(folder, lungs(ggo=50)) / "metrics.json").write_text("{" * 100)


def twice(folder):
    write_result(folder, lungs(ggo=1_000))


def nothing(folder):
    folder.mkdir()


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (another_patient, "another-patient"),
        (other_version, "metrics-version"),
        (half_written, "result-incomplete"),
        (unreadable, "json-damaged"),
        (twice, "same-exam"),
        (nothing, "no-result"),
        (lambda folder: None, "no-such-file"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(exams, tmp_path, make, code, capsys):
    write_result(exams[0], lungs(ggo=1_000), source={"patient_check": "222"})
    make(tmp_path / "bad")
    out = tmp_path / "out"
    assert compare([*exams[:2], tmp_path / "bad"], out, "--date", *DATES) == 3
    assert refused(capsys).endswith(f"[{code}]")
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "status", "word"),
    [
        ([], 3, "date-missing"),
        (["--date", "2020-02-01"], 2, "dates-count"),
        (["--date", "2020-02-01", "2020-02-30", "2020-03-01"], 2, "2020-02-30"),
        (["--date", *DATES, "--onset", "soon"], 2, "soon"),
        (["--date", *DATES, "--ggo-hu", "0", "--consolidation-hu", "-500"], 2, "order"),
        (["--date", *DATES, "--limits", "missing"], 3, "no-such-file"),
    ],
)
def test_wrong_use_is_one_line(exams, tmp_path, options, status, word, capsys):
    assert compare(exams, tmp_path / "out", *options) == status
    assert word in refused(capsys)
    assert not (tmp_path / "out").exists()


def test_a_baseline_alone_is_wrong_use(exams, tmp_path, capsys):
    assert compare(exams[:1], tmp_path / "out", "--date", DATES[0]) == 2
    assert "FOLLOWUP" in refused(capsys)


def test_strict_says_that_an_exam_is_not_sound(exams, tmp_path, capsys):
    assert compare(exams, tmp_path / "sound", "--date", *DATES, "--strict") == 0
    write_result(exams[1], lungs(ggo=9_000), grade=Grade.LOOK)
    assert compare(exams, tmp_path / "out", "--date", *DATES, "--strict") == 4
    assert "exam 2 is not graded sound" in capsys.readouterr().err.splitlines()[-1]
    assert {CHANGES_FILE, JSON_FILE} <= names(tmp_path / "out")
