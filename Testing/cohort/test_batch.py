"""A whole batch: the data set holds what the exams' files hold, in the manifest's order, the same bytes every time."""

import csv
import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from cohort_world import DENSE_HU, HEADER, PLAN, ct_bytes, write_cohort, write_manifest

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.cohort.batch import Where, run_batch
from COVIDQuantLib.cohort.columns import (
    AGREEMENT_FILE,
    EXAM_COLUMNS,
    EXAMS_FILE,
    METRICS_COLUMNS,
    METRICS_FILE,
    SUMMARY_FILE,
    Status,
)
from COVIDQuantLib.cohort.document import filled
from COVIDQuantLib.cohort.exams import job as exam_job
from COVIDQuantLib.cohort.manifest.rows import read_manifest
from COVIDQuantLib.cohort.settings import BatchSettings
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.system.atomic_files import OutputFolder

pq = pytest.importorskip("pyarrow.parquet")
SETTINGS = BatchSettings.of(PLAN, Thresholds(), ("segmentation", "metrics"))
EXAMS = [("P1", "E1", 1), ("P1", "E2", 2), ("P2", "E1", 3), ("P3", "E1", None), ("P4", "E1", 1)]


def batch(manifest, out, settings=SETTINGS, **options):
    with OutputFolder(out) as folder:
        return run_batch(read_manifest(manifest), folder, settings, Where(), **options)


def rows(out, name=EXAMS_FILE):
    return pq.read_table(out / name).to_pylist()


def without_times(out):
    """The data set as bytes, and the table of exams less its times."""
    exams = pq.read_table(out / EXAMS_FILE)
    files = {name: (out / name).read_bytes() for name in (METRICS_FILE, SUMMARY_FILE)}
    return files, exams.drop_columns(["seconds"])


def results(out):
    return {path.relative_to(out): path.stat().st_mtime_ns for path in out.rglob("metrics.json")}


@pytest.fixture
def cohort(tmp_path):
    return write_cohort(tmp_path / "cohort", EXAMS)


def test_the_data_set_holds_what_the_exams_hold(cohort, tmp_path, here):
    out = tmp_path / "out"
    result = batch(cohort, out)
    assert [state.status for state in result.states] == [*[Status.DONE] * 3, Status.FAILED, Status.DUPLICATE]
    assert sorted(here) == ["P1_E1.nrrd", "P1_E2.nrrd", "P2_E1.nrrd", "P4_E1.nrrd"]
    measured = rows(out, METRICS_FILE)
    told = ["patient", "exam", "date", "onset", "group", "age"]
    assert list(measured[0]) == [*told, *METRICS_COLUMNS]
    assert list(rows(out)[0]) == [*told, *EXAM_COLUMNS]
    expected = []
    for patient, exam, day, group, age in (
        ("P1", "E1", 1, "a", 40),
        ("P1", "E2", 2, "b", 41),
        ("P2", "E1", 3, "a", 42),
    ):
        read = read_metrics(out / "exams" / patient / exam)
        head = dict(zip(told, (patient, exam, date(2020, 2, day), date(2020, 1, 28), group, age), strict=True))
        tail = {"grade": str(read.grade), "excluded": None, "model": "model-free", "version": SETTINGS.version}
        expected += [{**head, **row, **tail} for row in read.metrics.rows]
    assert measured == expected
    failed, twice = rows(out)[3:]
    assert (failed["status"], failed["code"]) == ("failed", "no-such-file")
    assert twice["reason"] == "the same images as line 2 (P1 E1)"
    assert twice["grade"] is None


def test_again_makes_nothing_and_gives_the_same_bytes(cohort, tmp_path, here):
    out = tmp_path / "out"
    batch(cohort, out)
    first, files, made = without_times(out), results(out), len(here)
    seconds = [row["seconds"] for row in rows(out) if row["status"] == "done"]
    batch(cohort, out)
    assert len(here) == made
    assert results(out) == files
    assert without_times(out) == first
    assert [row["seconds"] for row in rows(out) if row["status"] == "done"] == seconds
    elsewhere = tmp_path / "elsewhere"
    batch(cohort, elsewhere)
    assert without_times(elsewhere) == first


def test_only_what_is_missing_is_made(cohort, tmp_path, here):
    out = tmp_path / "out"
    batch(cohort, out)
    whole = without_times(out)
    here.clear()
    shutil.rmtree(out / "exams" / "P1" / "E2")
    (out / METRICS_FILE).unlink()
    batch(cohort, out)
    assert here == ["P1_E2.nrrd"]
    assert without_times(out) == whole


def test_what_the_manifest_says_can_change_without_making_anything(cohort, tmp_path, here):
    out = tmp_path / "out"
    batch(cohort, out)
    here.clear()
    table = list(csv.reader(cohort.open(encoding="utf-8")))
    table = [[*row, extra] for row, extra in zip(table, ["excluded", "", "motion", "", "", ""], strict=True)]
    write_manifest(cohort, table[:0:-1], table[0])
    batch(cohort, out)
    assert here == []
    kept = {(row["patient"], row["exam"]): row["excluded"] for row in rows(out, METRICS_FILE)}
    # Of twice the same images the manifest's first now counts.
    assert kept == {("P4", "E1"): None, ("P2", "E1"): None, ("P1", "E2"): "motion"}


def test_the_summary_begins_with_what_to_review_and_tells_all_the_rest(cohort, tmp_path, here):
    out = tmp_path / "out"
    result = batch(cohort, out)
    lines = (out / SUMMARY_FILE).read_text(encoding="utf-8").splitlines()
    review = [state for state in result.states if state.to_review]
    assert review
    assert lines[0].startswith("5 exams: 3 done, 1 failed, 1 duplicate; graded: ")
    assert lines[2] == f"to review (the checks found something): {len(review)}"
    assert lines[3] == f"  {review[0].name}: look at this (lung-lump) – {review[0].folder}"
    assert "  P3 E1 (line 5): there is no such file or folder [no-such-file]" in lines


def test_a_folder_of_another_batch_is_refused_unless_told(cohort, tmp_path, here):
    out = tmp_path / "out"
    batch(cohort, out)
    before = without_times(out)
    other = BatchSettings.of(PLAN, Thresholds(ggo_hu=-700), ("segmentation", "metrics"))
    with pytest.raises(UnfitInputError) as refused:
        batch(cohort, out, other)
    assert refused.value.code == "batch-differs"
    assert "-750" in refused.value.what
    assert "-700" in refused.value.what
    assert without_times(out) == before
    here.clear()
    batch(cohort, out, other, redo=True)
    assert len(here) == 4
    assert (
        json.loads((out / "exams" / "P1" / "E1" / "metrics.json").read_text(encoding="utf-8"))["thresholds"]["ggo_hu"]
        == -700
    )


def test_collect_makes_nothing(cohort, tmp_path, here):
    out = tmp_path / "out"
    result = batch(cohort, out, collect=True)
    assert here == []
    assert {state.status for state in result.states} == {Status.PENDING}
    assert rows(out, METRICS_FILE) == []
    assert [row["status"] for row in rows(out)] == ["pending"] * 5


def test_a_full_disk_stops_the_batch_in_one_line(cohort, tmp_path, here, monkeypatch, capsys):
    import errno

    real, written = exam_job.put_exam, []

    def full(*arguments, **options):
        written.append(1)
        if len(written) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(exam_job, "put_exam", full)
    out = tmp_path / "out"
    assert main(command(cohort, out)) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "the disk is full" in lines[0]
    assert "[disk-full]" in lines[0]
    assert not (out / METRICS_FILE).exists()
    monkeypatch.setattr(exam_job, "put_exam", real)
    here.clear()
    assert main(command(cohort, out)) == 0
    assert len(here) == 3
    elsewhere = tmp_path / "elsewhere"
    assert main(command(cohort, elsewhere)) == 0
    assert without_times(out) == without_times(elsewhere)


def command(manifest, out, *options):
    return ["batch", str(manifest), f"--out={out}", "--method=model-free", "--no-picture", "--quiet", *options]


def test_the_command_shows_what_to_review_and_ends_with_the_files(cohort, tmp_path, here, capsys):
    out = tmp_path / "out"
    assert main([option for option in command(cohort, out) if option != "--quiet"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].startswith("to review")
    assert lines[-3:] == [str(out / name) for name in (EXAMS_FILE, METRICS_FILE, SUMMARY_FILE)]
    told = shown.err.splitlines()
    assert len(told) == 5
    assert told[0].startswith("1/5 ")
    assert sum("[no-such-file]" in line for line in told) == 1
    assert {path.name for path in out.iterdir()} == {
        "exams", "batch.json", EXAMS_FILE, METRICS_FILE, SUMMARY_FILE,
    }  # fmt: skip
    assert main(command(cohort, out, "--strict")) == 4
    assert "to be reviewed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ([], 2, "give either a manifest or a tree"),
        (["m.csv", "--make-manifest", "tree"], 2, "give either"),
        (["m.csv", "--dates"], 2, "--dates"),
        (["m.csv", "--workers", "2", "--scheduler", "tcp://x:1"], 2, "not allowed with"),
        (["m.csv", "--method", "model-free"], 3, "[no-such-file]"),
        (["m.csv", "--method", "model-free", "--device", "cuda"], 2, "CPU"),
        (["m.csv", "--ggo-hu", "0"], 2, "thresholds"),
    ],
)
def test_wrong_use_is_one_line(options, status, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        found = main(["batch", *options, "--out", "out"])
    except SystemExit as ended:
        found = ended.code
    assert found == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_references_give_a_table_of_agreement(tmp_path, here):
    cohort = write_cohort(tmp_path / "cohort", EXAMS[:3])
    out = tmp_path / "out"
    batch(cohort, out)
    assert not (out / AGREEMENT_FILE).exists()
    references = [out / "exams" / "P1" / "E1" / "segmentation.seg.nrrd", "gone.nrrd", ""]
    for number, path in enumerate(references[:1]):
        shutil.copy(path, tmp_path / "cohort" / f"r{number}.seg.nrrd")
    table = list(csv.reader(cohort.open(encoding="utf-8")))
    names = ["reference_lesions", "r0.seg.nrrd", "gone.nrrd", ""]
    write_manifest(cohort, *_split([[*row, name] for row, name in zip(table, names, strict=True)]))
    here.clear()
    batch(cohort, out)
    assert here == []
    compared = rows(out, AGREEMENT_FILE)
    assert {(row["patient"], row["exam"]) for row in compared} == {("P1", "E1")}
    lesions = next(row for row in compared if row["structure"] == "lesions")
    assert lesions["dice"] == 1.0
    assert lesions["age"] == 40
    assert lesions["predicted_weight_g"] == lesions["reference_weight_g"] > 0
    assert [row["agreement"] for row in rows(out)] == ["done", "there is no such file", None]


def _split(table):
    return table[1:], table[0]


def test_an_awkward_manifest_loses_nothing(tmp_path, here):
    folder = tmp_path / "cohort"
    folder.mkdir()
    (folder / "a[1].nrrd").write_bytes(ct_bytes(1))
    (folder / "ü b.nrrd").write_bytes(ct_bytes(2))
    (folder / "pipe.nrrd").mkdir()
    lines = [
        ";".join(HEADER),
        "../Müller;1/2;a[1].nrrd;2020-02-01;;a;40,5",
        "CON;.;ü b.nrrd;2020-02-01;;b;",
        "P3;E1;pipe.nrrd;2020-02-01;;b;NA",
        "P3;E1;a[1].nrrd;2020-02-01;;b;1",
        "P4;E1",
        ";E1;a[1].nrrd;;;;",
    ]
    manifest = folder / "m.csv"
    manifest.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    out = tmp_path / "out"
    result = batch(manifest, out)
    status = [row["status"] for row in rows(out)]
    assert status == ["done", "done", "failed", "unreadable", "unreadable", "unreadable"]
    assert [row["patient"] for row in rows(out)] == ["../Müller", "CON", "P3", "P3", "P4", None]
    # Patient and exam name one row of the table.
    assert [row["exam"] for row in rows(out)] == ["1/2", ".", "E1", None, "E1", "E1"]
    assert {row["age"] for row in rows(out, METRICS_FILE)} == {40.5, None}
    for state in result.states[:2]:
        assert (out / state.folder / "metrics.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cohort", "out"]


def test_two_batches_in_one_folder_are_refused(cohort, tmp_path, here, capsys):
    out = tmp_path / "out"
    with OutputFolder(out):
        assert main(command(cohort, out)) == 3
    assert "[in-use]" in capsys.readouterr().err


def test_without_its_packages_it_says_which_to_install(cohort, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(command(cohort, tmp_path / "out")) == 2
    assert 'pip install "COVIDQuant[cohort]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_docs_name_every_column():
    page = Path(__file__).resolve().parents[2] / "docs" / "batch.md"
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "run: python -m COVIDQuantLib.cohort.document"


def test_the_dense_part_of_the_lungs_is_measured(cohort, tmp_path, here):
    out = tmp_path / "out"
    batch(cohort, out)
    lung = next(row for row in rows(out, METRICS_FILE) if row["region"] == "whole lung")
    assert lung["mean_lesion_hu"] > DENSE_HU > lung["mean_lung_hu"]
