"""What two readers say of a batch's exam: it reaches the data set and the study, whenever it was said."""

import json

import pytest
from cohort_world import write_cohort

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.cohort.columns import EXAMS_FILE, METRICS_FILE, SUMMARY_FILE
from COVIDQuantLib.readers.scale import WHY_EXCLUDED

pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("pandas")


def batch(manifest, out, *options):
    command = ["batch", str(manifest), f"--out={out}", "--method=model-free", "--no-picture", "--quiet"]
    return main([*command, *options])


def rate(folder, *scores, change=()):
    for reader, score in zip(("AB", "CD"), scores, strict=True):
        assert main(["rate", str(folder), "--quiet", "--reader", reader, "--score", str(score), *change]) == 0


def table(out, name, column):
    rows = pq.read_table(out / name).to_pylist()
    return {(row["patient"], row["exam"]): row[column] for row in rows}


@pytest.fixture
def out(tmp_path, here):
    """A finished batch; its manifest is beside it."""
    exams = [("P1", "E1", 1), ("P1", "E2", 2), ("P2", "E1", 3), ("P2", "E2", 4), ("P3", "E1", 5)]
    manifest = write_cohort(tmp_path / "cohort", exams)
    assert batch(manifest, tmp_path / "out") in {0, 4}
    here.clear()
    return tmp_path / "out"


def test_an_exam_rated_below_the_gate_is_left_out_of_the_study(out, tmp_path, here):
    pytest.importorskip("jinja2")
    manifest = tmp_path / "cohort" / "manifest.csv"
    figures = pq.read_table(out / METRICS_FILE).drop_columns(["excluded"])
    rate(out / "exams/P1/E2", 2, 3)
    rate(out / "exams/P2/E1", 4, 4)
    assert main(["rate", str(out / "exams/P3/E1"), "--quiet", "--reader", "AB", "--score", "0"]) == 0
    batch(manifest, out)
    assert here == [], "no exam is made again"
    expected = {("P1", "E1"): None, ("P1", "E2"): WHY_EXCLUDED, ("P2", "E1"): None, ("P2", "E2"): None}
    # One reader alone excludes nothing.
    expected[("P3", "E1")] = None
    assert table(out, METRICS_FILE, "excluded") == expected
    assert table(out, EXAMS_FILE, "excluded") == expected
    assert pq.read_table(out / METRICS_FILE).drop_columns(["excluded"]) == figures, "the figures stay"
    assert set(table(out, EXAMS_FILE, "edited").values()) == {False}, "a rating corrects nothing"
    assert "excluded by their readers: 1\n  P1 E2: " in (out / SUMMARY_FILE).read_text(encoding="utf-8")

    path = out / "study.toml"
    path.write_text(
        '[data]\nmetrics = "metrics.parquet"\nexams = "exams.parquet"\n'
        '[[analysis]]\nkind = "table-one"\nvariables = ["age", "extent_percent"]\n'
        '[frequency_map]\nresults = "exams"\ncells = 8\n',
        encoding="utf-8",
    )
    assert main(["study", str(path), "--out", str(tmp_path / "study"), "--quiet", "--identify"]) == 0
    left = (tmp_path / "study" / "left_out.csv").read_text(encoding="utf-8").splitlines()
    assert left[1:] == [f"P1,E2,excluded by the study: {WHY_EXCLUDED},"]
    told = (tmp_path / "study" / "study.json").read_text(encoding="utf-8")
    assert "Percentage of 4 exams" in told, "exams whose names repeat between patients are mapped, each once"
    assert "1 result without figures that count in the study" in told
    assert WHY_EXCLUDED in json.dumps(json.loads(told)["sections"], ensure_ascii=False)


def test_a_better_score_lifts_it_and_the_manifest_has_the_first_word(out, tmp_path, here):
    manifest = tmp_path / "cohort" / "manifest.csv"
    rate(out / "exams/P1/E1", 1, 2)
    rate(out / "exams/P1/E2", 1, 2)
    batch(manifest, out, "--collect")
    assert table(out, EXAMS_FILE, "excluded")["P1", "E1"] == WHY_EXCLUDED
    lines = manifest.read_text(encoding="utf-8").splitlines()
    reasons = ["excluded", "yes", "motion", "", "yes", ""]
    manifest.write_text("\n".join(f"{a},{b}" for a, b in zip(lines, reasons, strict=True)), encoding="utf-8")
    batch(manifest, out, "--collect")
    assert list(table(out, EXAMS_FILE, "excluded").values()) == [WHY_EXCLUDED, "motion", None, "yes", None]
    rate(out / "exams/P1/E1", 5, 5, change=["--change"])
    rate(out / "exams/P1/E2", 5, 5, change=["--change"])
    batch(manifest, out, "--collect")
    assert list(table(out, EXAMS_FILE, "excluded").values()) == ["yes", "motion", None, "yes", None]


def test_a_study_of_quantifys_own_folders_heeds_the_readers_too(out, tmp_path):
    from COVIDQuantLib.statistics.data.study_data import read_study_data
    from COVIDQuantLib.statistics.study import load_study

    rate(out / "exams/P2/E2", 0, 1)
    path = tmp_path / "study.toml"
    path.write_text(f'[data]\nmetrics = "{(out / "exams").as_posix()}"\n[[analysis]]\nkind = "table-one"\n'
                    'variables = ["extent_percent"]\n', encoding="utf-8")  # fmt: skip
    study = load_study(path)
    data = read_study_data(study.config, study.folder)
    assert [(each.exam, each.reason) for each in data.left_out] == [("E2", f"excluded by the study: {WHY_EXCLUDED}")]
    assert len(data.exams) == 4
