"""One exam on a worker: made once, recognised afterwards, refused in words, never at the cost of what was there."""

import errno
import json
import os

import pytest
from cohort_world import PLAN, ct_bytes, quick

from COVIDQuantLib.cohort.columns import Status
from COVIDQuantLib.cohort.exams import job as exam_job
from COVIDQuantLib.cohort.exams.fingerprint import fingerprint_of, input_files, stamp_of
from COVIDQuantLib.cohort.exams.folder import exam_folder
from COVIDQuantLib.cohort.exams.job import MOST_TRIES, ExamJob, run_exam
from COVIDQuantLib.cohort.exams.record import DONE_FILE, FAILED_FILE, DoneRecord
from COVIDQuantLib.cohort.exams.state import state_of
from COVIDQuantLib.cohort.manifest.rows import ExamRow
from COVIDQuantLib.cohort.settings import BatchSettings
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds

SETTINGS = BatchSettings.of(PLAN, Thresholds(), ("segmentation", "metrics"))


@pytest.fixture
def made(monkeypatch):
    """The names of the exams that were really made."""
    names = []

    def counted(ct, *rest):
        names.append(ct.source.path.name)
        return quick(ct, *rest)

    monkeypatch.setattr(exam_job, "quantify_ct", counted)
    return names


@pytest.fixture
def ct(tmp_path):
    path = tmp_path / "Herbert.nrrd"
    path.write_bytes(ct_bytes(1))
    return path


def job(tmp_path, ct, settings=SETTINGS, run="run", **more):
    folder = tmp_path / "out" / exam_folder("P1", "E1")
    return ExamJob("P1", "E1", str(ct), None, str(folder), settings.as_message(), run, **more)


def state(tmp_path, ct, settings=SETTINGS, *, settled=False, **more):
    return state_of(ExamRow("line 2", "P1", "E1", ct, **more), tmp_path / "out", settings.key, settled=settled)


def folder_of(tmp_path):
    return tmp_path / "out" / exam_folder("P1", "E1")


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "log.txt"}


def test_made_once_and_then_found(tmp_path, ct, made):
    first = run_exam(job(tmp_path, ct))
    assert (first.status, first.grade) == ("done", read_metrics(folder_of(tmp_path)).grade)
    before = content(folder_of(tmp_path))
    assert set(before) == {"segmentation.seg.nrrd", "metrics.csv", "metrics.json", DONE_FILE}
    again = run_exam(job(tmp_path, ct))
    assert (again.status, again.grade) == ("found", first.grade)
    assert made == ["Herbert.nrrd"]
    assert content(folder_of(tmp_path)) == before


def test_the_state_follows_the_folder(tmp_path, ct, made):
    assert state(tmp_path, ct).status is Status.PENDING
    run_exam(job(tmp_path, ct))
    found = state(tmp_path, ct)
    assert found.status is Status.DONE
    read = read_metrics(folder_of(tmp_path))
    assert [dict(row) for row in read.metrics.rows] == list(found.figures.regions)
    assert found.figures.summary["ct_score_total"] == read.metrics.ct_score_total
    assert found.content == fingerprint_of(ct).content
    (folder_of(tmp_path) / "metrics.csv").unlink()
    assert state(tmp_path, ct).status is Status.PENDING


def test_what_a_killed_worker_left_beside_a_finished_result_is_cleared_away(tmp_path, ct, made):
    run_exam(job(tmp_path, ct))
    before = content(folder_of(tmp_path))
    (folder_of(tmp_path) / ".covidquant-lock").write_text("999999 nowhere\n")
    (folder_of(tmp_path) / ".covidquant-abc").mkdir()
    assert state(tmp_path, ct).status is Status.DONE
    assert content(folder_of(tmp_path)) == before


def test_images_with_a_new_time_are_read_but_not_made_again(tmp_path, ct, made):
    run_exam(job(tmp_path, ct))
    os.utime(ct, (1, 1))
    assert state(tmp_path, ct).status is Status.PENDING
    assert run_exam(job(tmp_path, ct)).status == "found"
    assert state(tmp_path, ct).status is Status.DONE
    assert len(made) == 1


def test_other_images_or_settings_are_made_again(tmp_path, ct, made):
    run_exam(job(tmp_path, ct))
    ct.write_bytes(ct_bytes(2))
    assert state(tmp_path, ct).status is Status.PENDING
    assert run_exam(job(tmp_path, ct)).status == "done"
    other = BatchSettings.of(PLAN, Thresholds(ggo_hu=-700), ("segmentation", "metrics"))
    assert other.key != SETTINGS.key
    assert state(tmp_path, ct, other).status is Status.PENDING
    assert run_exam(job(tmp_path, ct, other)).status == "done"
    assert (
        json.loads((folder_of(tmp_path) / "metrics.json").read_text(encoding="utf-8"))["thresholds"]["ggo_hu"] == -700
    )
    assert len(made) == 3


def test_images_that_are_gone_leave_a_finished_exam_as_it_is(tmp_path, ct, made):
    run_exam(job(tmp_path, ct))
    ct.unlink()
    found = state(tmp_path, ct)
    assert found.status is Status.DONE
    assert found.images_gone


def test_a_refusal_is_kept_and_not_repeated_while_nothing_changes(tmp_path, ct, made):
    ct.write_bytes(ct_bytes(1)[:-500])
    refused = run_exam(job(tmp_path, ct))
    assert (refused.status, refused.code) == ("failed", "damaged-file")
    found = state(tmp_path, ct)
    assert (found.status, found.code) == (Status.FAILED, "damaged-file")
    ct.write_bytes(ct_bytes(1))
    assert state(tmp_path, ct).status is Status.PENDING
    assert run_exam(job(tmp_path, ct)).status == "done"
    assert not (folder_of(tmp_path) / FAILED_FILE).exists()


def test_a_failure_that_may_pass_is_tried_again(tmp_path, ct, made):
    assert run_exam(job(tmp_path, tmp_path / "none.nrrd")).code == "no-such-file"
    assert state(tmp_path, ct).status is Status.PENDING
    assert state(tmp_path, ct, settled=True).code == "no-such-file"


def test_an_error_nobody_foresaw_fails_this_exam_and_is_logged(tmp_path, ct, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("in Herbert.nrrd")

    monkeypatch.setattr(exam_job, "quantify_ct", fail)
    refused = run_exam(job(tmp_path, ct))
    assert (refused.status, refused.code) == ("failed", "unexpected-error")
    log = (folder_of(tmp_path) / "log.txt").read_text(encoding="utf-8")
    assert "ZeroDivisionError" in log
    assert "Traceback" in log
    assert state(tmp_path, ct).status is Status.PENDING  # the next version may know better


def test_nothing_that_is_written_names_the_file(tmp_path, ct, made, monkeypatch):
    run_exam(job(tmp_path, ct))
    ct.write_bytes(b"NRRD0004\ntype: short\n")
    assert run_exam(job(tmp_path, ct)).status == "failed"
    for path in folder_of(tmp_path).iterdir():
        assert b"Herbert" not in path.read_bytes(), path.name


def test_an_exam_that_kills_its_worker_again_and_again_is_refused(tmp_path, ct, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    monkeypatch.setattr(exam_job, "quantify_ct", die)
    for _ in range(MOST_TRIES):
        with pytest.raises(Killed):
            run_exam(job(tmp_path, ct))
    refused = run_exam(job(tmp_path, ct))
    assert (refused.status, refused.code) == ("failed", "worker-killed")
    assert f"{MOST_TRIES} times" in refused.reason
    # The next run of the batch begins to count anew.
    with pytest.raises(Killed):
        run_exam(job(tmp_path, ct, run="another"))


@pytest.mark.parametrize("where", ["put_exam", "written_files"])
def test_a_full_disk_stops_the_batch_and_leaves_the_earlier_result(tmp_path, ct, made, monkeypatch, where):
    run_exam(job(tmp_path, ct))
    before = content(folder_of(tmp_path))
    ct.write_bytes(ct_bytes(2))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exam_job, where, full)
    stopped = run_exam(job(tmp_path, ct))
    assert (stopped.status, stopped.code) == ("fatal", "disk-full")
    now = content(folder_of(tmp_path))
    assert {name: now[name] for name in before} == before


def test_another_version_on_a_worker_stops_the_batch(tmp_path, ct, made):
    message = {**SETTINGS.as_message(), "version": "9.9"}
    stopped = run_exam(ExamJob("P1", "E1", str(ct), None, str(folder_of(tmp_path)), message, "run"))
    assert (stopped.status, stopped.code) == ("fatal", "worker-differs")
    assert "9.9" in stopped.reason
    assert not folder_of(tmp_path).exists()


def test_what_a_reader_corrects_by_hand_is_kept_and_counts(tmp_path, ct, made):
    run_exam(job(tmp_path, ct))
    folder = folder_of(tmp_path)
    # As the panel exports a corrected result: the same files, other counts.
    other = tmp_path / "other"
    run_exam(ExamJob("P1", "E1", str(_other_ct(tmp_path)), None, str(other), SETTINGS.as_message(), "run"))
    for name in ("segmentation.seg.nrrd", "metrics.json", "metrics.csv"):
        (folder / name).write_bytes((other / name).read_bytes())
    found = state(tmp_path, ct)
    assert found.status is Status.DONE
    assert found.figures.edited
    assert list(found.figures.regions) == [dict(row) for row in read_metrics(other).metrics.rows]
    assert run_exam(job(tmp_path, ct)).status == "found"


def _other_ct(tmp_path):
    path = tmp_path / "other.nrrd"
    path.write_bytes(ct_bytes(5))
    return path


def test_a_segmentation_that_was_changed_alone_is_neither_counted_nor_replaced(tmp_path, ct, made):
    run_exam(job(tmp_path, ct))
    path = folder_of(tmp_path) / "segmentation.seg.nrrd"
    path.write_bytes(path.read_bytes() + b" ")
    found = state(tmp_path, ct)
    assert (found.status, found.code) == (Status.FAILED, "result-changed")


def test_references_are_compared_once_and_again_when_they_change(tmp_path, ct, made, monkeypatch):
    run_exam(job(tmp_path, ct))
    reference = tmp_path / "reader.seg.nrrd"
    reference.write_bytes((folder_of(tmp_path) / "segmentation.seg.nrrd").read_bytes())
    with_it = {"references": {"lesions": reference}}
    assert state(tmp_path, ct, **with_it).status is Status.PENDING
    job_with = job(tmp_path, ct, references={"lesions": str(reference)})
    assert run_exam(job_with).status == "found"
    compared = state(tmp_path, ct, **with_it)
    assert compared.status is Status.DONE
    assert {row["dice"] for row in compared.agreement.structures} == {1.0}
    reference.write_bytes(b"no segmentation")
    assert state(tmp_path, ct, **with_it).status is Status.PENDING
    run_exam(job_with)
    compared = state(tmp_path, ct, **with_it)
    assert compared.status is Status.DONE
    assert compared.agreement.reason
    assert made == ["Herbert.nrrd"]


def test_a_record_that_is_damaged_is_none(tmp_path, ct, made):
    run_exam(job(tmp_path, ct))
    path = folder_of(tmp_path) / DONE_FILE
    text = path.read_text(encoding="utf-8")
    for damage in ("", "[]", "{}", text[:-9], text.replace('"key"', '"kay"'), text.replace("covidquant-exam/1", "x")):
        path.write_text(damage)
        assert DoneRecord.read(folder_of(tmp_path)) is None
        assert state(tmp_path, ct).status is Status.PENDING
    assert run_exam(job(tmp_path, ct)).status == "done"


def test_the_fingerprint_is_of_the_content_whatever_the_files_are_called(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name / "sub").mkdir(parents=True)
    (tmp_path / "one" / "a").write_bytes(b"1")
    (tmp_path / "one" / "sub" / "b").write_bytes(b"2")
    (tmp_path / "other" / "x").write_bytes(b"2")
    (tmp_path / "other" / "sub" / "y").write_bytes(b"1")
    one, other = (fingerprint_of(tmp_path / name) for name in ("one", "other"))
    assert one.content == other.content
    assert one.stamp != other.stamp
    assert one.stamp == stamp_of(tmp_path / "one")
    assert fingerprint_of(tmp_path / "one", "3").content != one.content
    (tmp_path / "one" / "a").write_bytes(b"3")
    assert fingerprint_of(tmp_path / "one").content != one.content


def test_voxels_beside_their_header_belong_to_the_input(tmp_path):
    from file_maker import VALUES, nrrd

    (tmp_path / "ct.nhdr").write_bytes(nrrd(data_file="ct.raw"))
    (tmp_path / "ct.raw").write_bytes(VALUES.tobytes())
    assert [path.name for path in input_files(tmp_path / "ct.nhdr")] == ["ct.nhdr", "ct.raw"]
    before = fingerprint_of(tmp_path / "ct.nhdr")
    (tmp_path / "ct.raw").write_bytes((VALUES + 1).astype("<i2").tobytes())
    assert fingerprint_of(tmp_path / "ct.nhdr").content != before.content
