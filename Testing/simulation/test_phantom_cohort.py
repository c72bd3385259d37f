"""The made cohort: drawn from one seed, written with a manifest that batch takes."""

import csv
from datetime import date

import pytest

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.cohort.columns import Status
from COVIDQuantLib.cohort.manifest.rows import read_manifest
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.simulation.phantom.cohort import COLUMNS, draw_cohort, manifest_rows
from COVIDQuantLib.simulation.phantom.course import check_days
from COVIDQuantLib.simulation.phantom_settings import PhantomSettings

SETTINGS = PhantomSettings(matrix=48, thickness_mm=10.0)


def test_patients_differ_and_a_larger_cohort_begins_with_a_smaller():
    patients = draw_cohort(40, SETTINGS)
    assert draw_cohort(5, SETTINGS) == patients[:5]
    assert draw_cohort(40, PhantomSettings(seed=1))[0].settings.seed != patients[0].settings.seed
    assert len({patient.settings.seed for patient in patients}) == len({patient.name for patient in patients}) == 40
    assert all(patient.settings.seed >= 500_000 for patient in patients)
    for patient in patients:
        check_days(patient.days)
        assert len(patient.days) == 3
        assert max(patient.course.extent_percent(day) for day in range(1, 50)) < 60


def test_what_a_study_shall_find_is_there():
    patients = draw_cohort(300, SETTINGS)
    peaks = {group: [p.course.extent_percent(p.course.peak_day) for p in patients if p.group == group] for group in
             ("severe", "moderate")}  # fmt: skip
    assert min(map(len, peaks.values())) > 100
    means = {group: sum(values) / len(values) for group, values in peaks.items()}
    # Pan 2021, figure 3B: 27.9 and 3.4 %, here with a spread.
    assert means["severe"] == pytest.approx(27.9, rel=0.15)
    assert means["moderate"] == pytest.approx(3.4, rel=0.15)
    shares = {group: sum(p.icu for p in patients if p.group == group) / len(values) for group, values in peaks.items()}
    assert shares["severe"] > 2 * shares["moderate"] > 0


def test_the_manifest_follows_the_days():
    (patient,) = draw_cohort(1, SETTINGS)
    header, *rows = manifest_rows([patient])
    assert header == list(COLUMNS)
    for row, day in zip(rows, patient.days, strict=True):
        known = dict(zip(header, row, strict=True))
        assert (date.fromisoformat(known["date"]) - date.fromisoformat(known["onset"])).days == day


def test_the_command_writes_exams_and_a_manifest_for_batch(tmp_path, capsys):
    command = ["phantom", "--cohort", "1", "--out", str(tmp_path), "--quiet", "--matrix", "48", "--thickness", "10"]
    assert main(command) == 0
    found = read_manifest(tmp_path / "manifest.csv")
    assert [row.status for row in found.rows] == [Status.PENDING] * 3
    assert all(row.path.is_file() for row in found.rows)
    assert all(path.is_file() for row in found.rows for path in row.references.values())
    assert set(found.columns) == {"date", "onset", "group", "age", "sex", "crp", "icu"}
    assert len(list(csv.reader((tmp_path / "manifest.csv").open(encoding="utf-8")))) == 4
    assert main(command) == 3
    assert "[manifest-exists]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--cohort", "0"], "cohort-size"),
        (["--cohort", "20000"], "cohort-size"),
        (["--cohort", "2", "--extent", "5"], "course-extent"),
        (["--cohort", "2", "--course", "severe"], "course-days"),
        (["--cohort", "2", "--days", "5"], "course-days"),
    ],
)
def test_wrong_use_is_refused(options, code, tmp_path, capsys):
    assert main(["phantom", *options, "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert f"[{code}]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_extent_of_its_own_is_no_cohort():
    with pytest.raises(UsageError, match="course-extent"):
        draw_cohort(1, PhantomSettings(extent_percent=3.0))
