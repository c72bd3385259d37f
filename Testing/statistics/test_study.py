"""A study from its file to its results: what is asked, what is left out, what is refused and how."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("statsmodels")
pytest.importorskip("jinja2")

import pandas as pd

from COVIDQuantLib.cli.main import main, make_parser
from COVIDQuantLib.errors import COVIDQuantError, OutputError, UnfitInputError, UsageError
from COVIDQuantLib.simulation.cohorts.write import write_tables
from COVIDQuantLib.statistics import packages
from COVIDQuantLib.statistics.analyses.kinds import KINDS
from COVIDQuantLib.statistics.analyses.progression import phrase_of
from COVIDQuantLib.statistics.data.variables import variable
from COVIDQuantLib.statistics.document import filled
from COVIDQuantLib.statistics.study import load_study, run_study

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "study.toml"


def rows(exams=12, **columns):
    """A table with a row per exam of the whole lung; a column is a list or a value for all."""
    base = {
        "patient": [f"p{n:02d}" for n in range(exams)],
        "exam": [f"e{n:02d}" for n in range(exams)],
        "region": "whole lung",
        "extent_percent": [float(n) for n in range(exams)],
        "group": ["mild", "severe"] * (exams // 2),
        "days": [float(3 + n) for n in range(exams)],
    }
    return pd.DataFrame({**base, **columns})


@pytest.fixture
def make(tmp_path):
    """Write tables and a study; returns the path of the study."""

    def write(analysis='kind = "groups"\nmeasures = ["extent_percent"]', metrics=None, top="", **more):
        (rows() if metrics is None else metrics).to_csv(tmp_path / "metrics.csv", index=False)
        for name, table in more.items():
            table.to_csv(tmp_path / f"{name}.csv", index=False)
        data = "".join(f'{name} = "{name}.csv"\n' for name in more)
        text = (
            f'{top}\n[data]\nmetrics = "metrics.csv"\n{data}\n[groups]\ncolumn = "group"\n\n[[analysis]]\n{analysis}\n'
        )
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        return tmp_path / "study.toml"

    return write


def sections(path):
    return run_study(load_study(path)).sections


def refusal(path):
    with pytest.raises(COVIDQuantError) as caught:
        sections(path)
    assert len(caught.value.line().splitlines()) == 1
    return caught.value


# ------------------------------------------------------------------------------------------------ the example


@pytest.fixture(scope="module")
def example(once):
    """The shipped example beside the tables of a made clinic, as a batch writes them."""

    def fill(folder):
        write_tables(folder, ("metrics.csv", "exams.csv", "clinical.csv"))
        for name in ("metrics", "exams"):
            pd.read_csv(folder / f"{name}.csv").to_parquet(folder / f"{name}.parquet")
        shutil.copy(EXAMPLE, folder / "study.toml")

    return once.folder("study-example", fill)


def test_the_shipped_example_runs_on_the_tables_of_a_batch(example):
    study = run_study(load_study(example / "study.toml"))
    assert [section.kind for section in study.sections] == [
        "flow", "table-one", "groups", "changes", "correlation", "time-course", "roc", "risk"
    ]  # fmt: skip
    assert {reason.reason for reason in study.left_out} == {"not quantified: failed", "self-check: not usable"}
    assert sum(each.detail == "the slices are unevenly spaced" for each in study.left_out) == 3
    for section in study.sections:
        assert section.tables
        for table in section.tables:
            assert all(len(row) == len(table.columns) for row in table.rows)
        if section.kind != "flow":
            assert section.methods, "every result names its method"


def test_every_result_names_its_method_and_n(example):
    for section in run_study(load_study(example / "study.toml")).sections[1:]:
        for record in (record for table in section.tables for record in table.records):
            if "p" in record:
                assert record["method"]
                assert record["n"] > 0


@pytest.mark.slow
def test_the_report_holds_all_and_needs_nothing_else(example, tmp_path):
    assert main(["study", str(example / "study.toml"), "--out", str(tmp_path / "a"), "--quiet"]) == 0
    text = (tmp_path / "a" / "study.html").read_text(encoding="utf-8")
    record = json.loads((tmp_path / "a" / "study.json").read_text(encoding="utf-8"))
    for section in record["sections"]:
        assert section["title"] in text
        assert text.count("<figure>") == sum(len(each["figures"]) for each in record["sections"])
    assert 'src="data:image/svg+xml;base64,' in text
    assert "http" not in text.replace("http://www.w3.org", "").replace("https://matplotlib.org", "")
    assert "mod001" not in (tmp_path / "a" / "left_out.csv").read_text(encoding="utf-8"), "hashes, not names"
    assert main(["study", str(example / "study.toml"), "--out", str(tmp_path / "b"), "--quiet", "--identify"]) == 0
    assert "mod001" in (tmp_path / "b" / "left_out.csv").read_text(encoding="utf-8")
    for name in sorted(record["files"]):
        if name != "left_out.csv":
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_every_setting_of_every_kind_is_documented():
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    assert filled(page) == page, "run: python -m COVIDQuantLib.statistics.document"
    assert all(f"### `{name}`" in page for name in KINDS)


# ------------------------------------------------------------------------------------------------ the tables


def test_regions_become_columns_and_days_come_from_dates(make):
    lobe = rows(region="left lower lobe", extent_percent=7.0)
    metrics = pd.concat([rows(), lobe]).drop(columns="days")
    metrics["date"], metrics["onset"] = "2020-02-10", "2020-02-01"
    data = load_study(make(metrics=metrics)).data
    assert len(data.exams) == 12
    assert (data.exams["extent_percent@left lower lobe"] == 7.0).all()
    assert (data.exams["days"] == 9.0).all()


def test_a_folder_of_results_is_a_table_too(make, tmp_path):
    path = make()
    for patient, exam in (("p1", "a"), ("p1", "b"), ("p2", "c")):
        folder = tmp_path / "results" / patient / exam
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text("region,extent_percent,grade\nwhole lung,4.5,sound\nleft lung,5.5,sound\n")
    path.write_text(path.read_text(encoding="utf-8").replace("metrics.csv", "results").replace('column = "group"', ""))
    data = load_study(path).data
    assert sorted(zip(data.exams["patient"], data.exams["exam"], strict=True)) == [
        ("p1", "a"),
        ("p1", "b"),
        ("p2", "c"),
    ]
    assert (data.exams["extent_percent@left lung"] == 5.5).all()


def test_numbers_of_patients_stay_texts(make, tmp_path):
    clinical = pd.DataFrame({"patient": [f"{n:03d}" for n in range(12)], "age": range(12)})
    path = make(metrics=rows(patient=[f"{n:03d}" for n in range(12)]), clinical=clinical)
    assert load_study(path).data.exams["age"].tolist() == list(range(12))


def test_visits_are_numbered_by_date_and_times_take_the_nearest_exam(make):
    metrics = rows(6, patient=["p"] * 6, group="mild", days=[20.0, 5.0, 9.0, 12.0, 13.0, np.nan])
    path = make(metrics=metrics, top='[[times]]\nname = "week"\ndays = [4, 10]\n')
    study = load_study(path)
    assert study.data.exams["visit"].tolist()[:5] == [5.0, 1.0, 2.0, 3.0, 4.0]
    assert study.at("week")["days"].tolist() == [12.0], "day 7 after the first exam"
    assert any("1 exam without a date" in text for text in study.data.warnings)


def test_columns_of_other_names_are_renamed(make):
    path = make(metrics=rows().rename(columns={"patient": "subject"}), top='[columns]\npatient = "subject"\n')
    assert load_study(path).data.patients == 12


def test_comparisons_are_variables():
    exams = pd.DataFrame(
        {"extent_percent": [4.0, 5.0, np.nan, 6.0], "sex": ["m", "f", None, "m"], "icu": ["yes", "no", "", "yes"]}
    )
    assert variable(exams, "extent_percent > 5", {}).title == "Extent > 5 %"
    assert np.array_equal(variable(exams, "extent_percent > 5", {}).values, [0, 0, np.nan, 1], equal_nan=True)
    assert np.array_equal(variable(exams, "extent_percent ≥ 5", {}).values, [0, 1, np.nan, 1], equal_nan=True)
    assert np.array_equal(variable(exams, "sex = m", {}).values, [1, 0, np.nan, 1], equal_nan=True)
    assert np.array_equal(variable(exams, "sex != m", {}).values, [0, 1, np.nan, 0], equal_nan=True)
    assert np.array_equal(variable(exams, "icu", {}).values, [1, 0, np.nan, 1], equal_nan=True)
    with pytest.raises(UnfitInputError, match="never says male"):
        variable(exams, "sex = male", {})
    with pytest.raises(UnfitInputError, match="Did you mean extent_percent"):
        variable(exams, "extent_procent > 5", {})


@pytest.mark.parametrize(
    ("text", "sign", "partial"),
    [
        ("Infection region has expanded", 1, False),
        ("has partially contracted", -1, True),
        ("density has decreased", -1, False),
        ("-1", -1, False),
    ],
)
def test_reports_are_read(text, sign, partial):
    assert (phrase_of(text).sign, phrase_of(text).partial) == (sign, partial)


@pytest.mark.parametrize("text", ["expanded and partially contracted", "stable", "0"])
def test_reports_without_one_direction_are_left_out(text):
    assert phrase_of(text) is None


# ---------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("analysis", "words"),
    [
        ('kind = "group"\nmeasures = ["extent_percent"]', "Did you mean groups?"),
        ('kind = "groups"\nmeasure = ["extent_percent"]', "unknown key analysis[1].measure"),
        ('kind = "groups"\nmeasure = ["extent_percent"]', "Did you mean measures?"),
        ('kind = "groups"', "analysis[1].measures is missing"),
        ('kind = "groups"\nmeasures = ["extent_precent"]', "Did you mean extent_percent?"),
        ('kind = "groups"\nmeasures = ["extent_percent"]\ntimes = ["baseline"]', "no time is named baseline"),
        ('kind = "time-course"\nmeasures = ["extent_percent"]\ndegrees = [4]', "cannot be [4]"),
        ('kind = "roc"\noutcome = "group"\nmarkers = ["extent_percent"]', "in the column group is not a number"),
        ('kind = "roc"\noutcome = "days"\nmarkers = ["extent_percent"]', "is not yes or no"),
        ('kind = "risk"\noutcome = "group = sever"\nfactors = ["days"]', "Did you mean severe?"),
        ('kind = "changes"\nmeasures = ["extent_percent"]\ntimes = ["one"]', "two times or more"),
        ('kind = "progression"\nreaders = {extent = "x"}', "a column for extent_percent or mean_lesion_hu"),
        ('kind = "agreement"\ndatasets = {ours = "none.csv"}', "there is no such table"),
        ('kind = "agreement"', "the agreement has no data set"),
        ('kind = "agreement"\nmasks = {ours = {predicted = "a"}}', "reference"),
        ('kind = "agreement"\ndatasets = {ours = "metrics.csv"}', "the column predicted_extent_percent is missing"),
        ("kind = 3", "analysis[1].kind cannot be 3"),
        ("kind =", "it cannot be read as TOML"),
    ],
)
def test_settings_are_refused_in_one_line_with_what_may_be_meant(make, analysis, words):
    assert words in refusal(make(analysis)).line()


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda t: t.drop(columns="patient"), "column-missing", "the column patient is missing"),
        (lambda t: t.rename(columns={"exam": "exams"}), "column-missing", "Did you mean exams?"),
        (lambda t: t.drop(columns="extent_percent"), "column-missing", "the table has no measure"),
        (lambda t: t.assign(extent_percent="n/k"), "not-a-number", "'n/k' in the column extent_percent"),
        (lambda t: t.assign(exam="e", patient="p"), "exam-twice", "occurs twice with different values"),
        (lambda t: t.assign(date="yesterday"), "not-a-date", "'yesterday' in the column date is not a date"),
        (lambda t: t.iloc[:0], "table-empty", "the table has no rows"),
        (lambda t: t.drop(columns="group"), "column-missing", "no column is named group"),
    ],
)
def test_tables_are_refused_in_one_line(make, change, code, words):
    error = refusal(make(metrics=change(rows())))
    assert error.code == code
    assert words in error.line()


def test_files_that_are_no_tables_are_refused(make, tmp_path):
    path = make()
    (tmp_path / "metrics.csv").write_bytes(b"PAR1 and then nothing")
    assert refusal(path).code == "table-damaged"
    (tmp_path / "metrics.csv").write_bytes(b"\xff\xfe\x00\x81")
    assert refusal(path).code == "table-damaged"
    (tmp_path / "metrics.csv").unlink()
    assert refusal(path).code == "no-such-table"


def test_a_study_must_be_there_and_ask_for_something(tmp_path, capsys):
    assert main(["study", str(tmp_path / "none.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "[study-config]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists(), "nothing is left behind"
    (tmp_path / "empty.toml").write_text('title = "x"\n')
    assert "asks for no analysis" in refusal(tmp_path / "empty.toml").line()
    (tmp_path / "time.toml").write_text('[[times]]\nname = "t"\n\n[[analysis]]\nkind = "groups"\nmeasures = []\n')
    assert "needs either visit or days" in refusal(tmp_path / "time.toml").line()


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name in {"pandas", "jinja2"} else object())
    with pytest.raises(UsageError, match=r'pip install "COVIDQuant\[cohort,report\]"'):
        packages.require_packages()


# ------------------------------------------------------------------------------------------- what is said, not hidden


def test_a_group_of_one_and_equal_values_are_described_but_not_tested(make):
    table = rows(group=["critical", *["mild", "severe"] * 5, "mild"])
    section = sections(make(metrics=table))[1]
    assert any("critical: fewer than two values" in text for text in section.warnings)
    flat = sections(make(metrics=rows(extent_percent=2.0)))[1]
    assert flat.tables[0].rows[0][-1] == "–"
    assert flat.tables[0].records[-1]["note"] == "all values are equal"


def test_a_separated_outcome_is_said_in_every_table(make):
    analysis = 'kind = "roc"\noutcome = "group = severe"\nmarkers = ["extent_percent"]'
    apart = rows(group=["mild"] * 6 + ["severe"] * 6)
    section = sections(make(analysis, metrics=apart))[1]
    assert any("separated" in text for text in section.warnings)
    assert "separated" in section.tables[1].rows[0][2]
    assert section.tables[0].records[0]["auc"] == 1.0
    risk = sections(
        make('kind = "risk"\noutcome = "group = severe"\nfactors = ["extent_percent", "days"]', metrics=apart)
    )[1]
    assert "separated" in risk.tables[0].rows[0][1]
    assert any("not in the multivariate models" in text for text in risk.warnings)


def test_missing_values_are_counted_with_their_reason(make):
    table = rows(extent_percent=[np.nan, 2.0, *range(3, 13)], days=[1.0] * 11 + [np.nan])
    section = sections(make('kind = "time-course"\nmeasures = ["extent_percent"]\nby_group = false', metrics=table))[1]
    assert "1 exam without days since onset" in section.left_out
    assert "1 exam without Extent (%) (all)" in section.left_out
    assert any("too few different days" in text for text in section.warnings)


def test_repeated_rows_count_once_and_are_told(make):
    table = pd.concat([rows(), rows().iloc[:2]])
    data = load_study(make(metrics=table)).data
    assert len(data.exams) == 12
    assert "2 repeated rows in metrics.csv, counted once" in data.warnings


def test_excluded_exams_are_left_out_with_their_reason(make):
    table = rows(
        excluded=["", "no", "yes", "motion", *[None] * 8],
        grade=["sound"] * 10 + ["unusable", "look"],
        reader_1=[4] * 9 + [2, 4, None],
        reader_2=[4] * 9 + [3, 4, 3],
    )
    path = make(metrics=table, top='[quality]\nreaders = ["reader_1", "reader_2"]\n')
    data = load_study(path).data
    assert {(each.exam, each.reason, each.detail) for each in data.left_out} == {
        ("e02", "excluded by the study", ""),
        ("e03", "excluded by the study: motion", ""),
        ("e10", "self-check: not usable", ""),
        ("e09", "segmentation quality: mean score below 3", "mean score 2.5"),
        ("e11", "segmentation not scored by every reader", ""),
    }
    flow = sections(path)[0].tables[0].rows
    assert flow[0] == ["Listed", "12", "12"]
    assert ["Analysed", "7", "7"] in flow


def test_patients_without_clinical_data_are_told(make):
    clinical = pd.DataFrame({"patient": ["p00", "p01", "p01"], "age": [50, 60, 60]})
    data = load_study(make(clinical=clinical)).data
    assert any("10 patients not in clinical.csv" in text for text in data.warnings)
    with pytest.raises(UnfitInputError, match="patient p01 occurs twice"):
        load_study(make(clinical=clinical.assign(age=[50, 60, 61])))


# ---------------------------------------------------------------------------------------------------- the files


def test_files_of_others_are_not_overwritten_and_earlier_ones_are_told(make, tmp_path, capsys):
    analysis = 'kind = "progression"\nreaders = {extent_percent = "report"}'
    table = rows(report="expanded")
    out = tmp_path / "out"
    out.mkdir()
    (out / "study.html").write_text("mine")
    assert main(["study", str(make(analysis, metrics=table)), "--out", str(out), "--quiet"]) == 3
    assert "[not-ours]" in capsys.readouterr().err
    assert [file.name for file in out.iterdir()] == ["study.html"]
    (out / "study.html").unlink()
    assert main(["study", str(make(analysis, metrics=table)), "--out", str(out), "--quiet"]) == 0
    before = {file.name for file in out.iterdir()}
    other = make(analysis + '\ntitle = "Another"', metrics=table)
    assert main(["study", str(other), "--out", str(out), "--quiet"]) == 0
    assert "earlier-files: 01-table-1-progression" in capsys.readouterr().err
    assert before < {file.name for file in out.iterdir()}


def test_a_refused_study_leaves_no_folder(make, tmp_path):
    assert main(["study", str(make('kind = "groups"\nmeasures = ["nothing"]')), "--out", str(tmp_path / "out")]) == 3
    assert not (tmp_path / "out").exists()


def test_an_unwritable_name_is_refused_before_the_work(make, tmp_path):
    (tmp_path / "out" / "study.html").mkdir(parents=True)
    arguments = make_parser().parse_args(["study", str(make()), "--out", str(tmp_path / "out")])
    with pytest.raises(OutputError):
        arguments.run(arguments)


def test_reports_are_not_quoted_in_the_results(make):
    table = rows(
        patient=["p1"] * 12, visit=range(1, 13), report=["", "expanded", "Mr Miller is stable", *["expanded"] * 9]
    )
    section = sections(make('kind = "progression"\nreaders = {extent_percent = "report"}', metrics=table))[1]
    told = " ".join(section.left_out)
    assert "1 report of POI with opposite or unknown phrases" in told
    assert "Miller" not in told
