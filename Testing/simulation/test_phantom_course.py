"""The made patient with a course: one anatomy in several exams, whose way from exam to exam is known exactly."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.simulation.anatomy.posture import Placement, Posture
from COVIDQuantLib.simulation.phantom import PhantomSettings
from COVIDQuantLib.simulation.phantom.course import COURSES, MAX_DAY, MIN_DAY, check_days, folder_of, make_course
from COVIDQuantLib.simulation.phantom.course_fates import ExamLesions, true_fates
from COVIDQuantLib.simulation.phantom.make import draw_anatomy

COARSE = PhantomSettings(seed=3, matrix=64, thickness_mm=8.0, noise_hu=0.0)
DAYS = (6.0, 18.0, 40.0)


@pytest.fixture(scope="module")
def exams():
    return list(make_course(COARSE, COURSES["moderate"], DAYS))


@pytest.fixture(scope="module")
def anatomy():
    return draw_anatomy(COARSE, 3.0)


# Pan 2021, figure 3B: the peaks as the text prints them.
@pytest.mark.parametrize(("name", "day", "percent"), [("moderate", 18, 3.37), ("severe", 23, 27.91)])
def test_the_curves_have_the_published_peaks(name, day, percent):
    course = COURSES[name]
    values = [course.extent_percent(x) for x in range(int(MIN_DAY), int(MAX_DAY) + 1)]
    assert MIN_DAY + int(np.argmax(values)) == pytest.approx(day, abs=1)
    assert max(values) == pytest.approx(percent, abs=0.1)
    assert course.peak_day == day
    assert min(values) >= 0


def test_the_disease_follows_the_curve(exams):
    for exam in exams:
        wanted = COURSES["moderate"].extent_percent(exam.day)
        assert exam.phantom.truth["course"]["extent_percent_of_the_curve"] == wanted
        assert exam.phantom.truth["regions"][0]["extent_percent"] == pytest.approx(wanted, rel=0.15, abs=0.2)


def test_it_is_the_same_patient_in_another_breath_and_place(exams):
    first = exams[0]
    for exam in exams[1:]:
        truth = exam.phantom.truth
        assert truth["fissures"] == first.phantom.truth["fissures"]
        assert truth["seed"] == first.phantom.truth["seed"]
        lesions = [[(n["kind"], n["centre"], n["radius"]) for n in e.phantom.truth["lesions"]] for e in (first, exam)]
        assert lesions[0] == lesions[1]
        assert truth["course"]["posture"] != first.phantom.truth["course"]["posture"]
        assert exam.phantom.ct.geometry.origin != first.phantom.ct.geometry.origin
    volumes = [e.phantom.truth["regions"][0]["volume_ml"] / e.placement.posture.breath for e in exams]
    assert max(volumes) / min(volumes) < 1.05


def test_less_air_makes_the_lung_denser(anatomy):
    breaths = [Posture(breath=breath) for breath in (0.85, 1.05)]
    out, full = make_course(COARSE, COURSES["moderate"], (17, 18), breaths)
    rows = [exam.phantom.truth["regions"][0] for exam in (out, full)]
    assert rows[0]["mean_lung_hu"] > rows[1]["mean_lung_hu"] + 10
    assert rows[0]["volume_ml"] / rows[1]["volume_ml"] == pytest.approx(0.85 / 1.05, rel=0.03)


@settings(max_examples=20, deadline=None)
@given(
    st.floats(0.8, 1.1),
    st.tuples(*[st.floats(-8, 8)] * 3),
    st.tuples(*[st.floats(-4, 4)] * 3),
    st.tuples(*[st.floats(-200, 200)] * 3),
    st.integers(0, 2**32 - 1),
)
def test_every_point_finds_its_way_back(anatomy, breath, shift, turn, table, seed):
    placement = Placement(Posture(breath, shift, turn, table), anatomy.thorax, anatomy.body)
    points = np.random.default_rng(seed).uniform((-140, -100, -180), (140, 100, 90), (50, 3))
    assert placement.to_rest(placement.from_rest(points)) == pytest.approx(points, abs=0.01)


def test_labels_and_lesions_lie_where_the_map_says(exams):
    """The middle of a lobe at rest is in that lobe in every exam."""
    here, there = exams[0], exams[1]
    matrix = here.phantom.ct.geometry.index_to_lps
    inverse = np.linalg.inv(there.phantom.ct.geometry.index_to_lps)
    for label in range(1, 6):
        voxels = np.argwhere(here.phantom.lobes == label)[::37]
        points = voxels[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]
        moved = there.placement.from_rest(here.placement.to_rest(points))
        at = np.rint(moved @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)[:, ::-1]
        assert np.mean(there.phantom.lobes[tuple(at.T)] == label) > 0.8


def test_the_same_course_twice(exams):
    again = next(make_course(COARSE, COURSES["moderate"], DAYS))
    assert np.array_equal(again.phantom.ct.hu, exams[0].phantom.ct.hu)
    assert np.array_equal(again.phantom.lesions, exams[0].phantom.lesions)


def test_fates_are_told_since_every_earlier_exam(exams):
    for number, exam in enumerate(exams):
        since = exam.phantom.truth["course"]["since"]
        assert [one["since"] for one in since] == [earlier.folder for earlier in exams[:number]]
    assert json.loads(json.dumps(exams[-1].phantom.truth, allow_nan=False))


def test_an_exam_against_itself_is_unchanged(exams):
    exam = exams[1]
    phantom = exam.phantom
    parts = ExamLesions.of("same", phantom.lobes, phantom.lesions, phantom.ct.geometry, exam.placement)
    assert {record["fate"] for record in true_fates(parts, parts)["lesions"]} == {"unchanged"}


@pytest.mark.parametrize("days", [(), (4, 4), (9, 4), (0.5,), (51,), (float("nan"),), tuple(range(1, 32))])
def test_days_that_are_no_course_are_refused(days):
    with pytest.raises(UsageError) as refused:
        check_days(days)
    assert refused.value.code == "course-days"


def test_an_extent_beside_a_course_is_refused():
    wanted = PhantomSettings(extent_percent=5.0)
    with pytest.raises(UsageError) as refused:
        next(make_course(wanted, COURSES["severe"], (4,)))
    assert refused.value.code == "course-extent"


def test_folders_sort_as_the_exams():
    names = [folder_of(number, day) for number, day in ((1, 4.0), (2, 9.5), (10, 30.0))]
    assert names == ["exam01-day04", "exam02-day09.5", "exam10-day30"]


COMMAND = ("phantom", "--seed", "3", "--matrix", "48", "--thickness", "10", "--quiet", "--course", "moderate")


def test_the_command_writes_a_folder_for_each_exam(tmp_path):
    assert main([*COMMAND, "--out", str(tmp_path / "p"), "--days", "9", "21.5"]) == 0
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["exam01-day09", "exam02-day21.5"]
    for folder in (tmp_path / "p").iterdir():
        assert {"ct.nrrd", "lobes.nrrd", "lesions.nrrd", "truth.json"} <= {path.name for path in folder.iterdir()}
    truth = json.loads((tmp_path / "p" / "exam02-day21.5" / "truth.json").read_text(encoding="utf-8"))
    assert truth["course"]["day_since_onset"] == 21.5
    assert truth["course"]["since"][0]["since"] == "exam01-day09"


@pytest.mark.parametrize("more", [("--days", "9", "4"), ("--days", "4", "--extent", "5")])
def test_the_command_refuses_and_writes_nothing(tmp_path, capsys, more):
    assert main([*COMMAND, "--out", str(tmp_path / "p"), *more]) == 2
    assert not (tmp_path / "p").exists()
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_days_without_a_course_are_refused(tmp_path, capsys):
    assert main(["phantom", "--out", str(tmp_path / "p"), "--days", "4"]) == 2
    assert "[course-days]" in capsys.readouterr().err
