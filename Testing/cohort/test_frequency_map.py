"""The lesion frequency map: lesions at known places of lungs of any size and orientation come out where they are."""

import json

import numpy as np
import pytest

pytest.importorskip("pandas")

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.cohort.exams.folder import exam_folder
from COVIDQuantLib.cohort.frequency_figure import draw_frequency, frequency_section
from COVIDQuantLib.cohort.frequency_map import SEGMENTATION, cell_of, frequency_map, in_mean_lungs, segmentations_in
from COVIDQuantLib.cohort.result_names import results_of_exams
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.segmentation_file import write_segmentation
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.statistics.study import load_study
from COVIDQuantLib.voxels.geometry import Geometry

SHAPE = (40, 44, 64)
CELLS = 12


def lungs(scale=1.0):
    """Lobes of two ellipsoids, the right on the low side of i; and the unit position of every voxel in its lung."""
    k, j, i = np.indices(SHAPE).astype(float)
    lobes = np.zeros(SHAPE, np.uint8)
    unit = np.zeros((*SHAPE, 3))
    for label, middle in ((1, 16.0), (4, 47.0)):
        place = np.stack([(i - middle) / (13 * scale), (j - 21.5) / (19 * scale), (k - 19.5) / (18 * scale)], axis=-1)
        inside = (place**2).sum(axis=-1) <= 1
        lobes[inside] = label
        unit[inside] = place[inside]
    return lobes, unit


def write(folder, name, ill, scale=1.0, flipped=False):
    """An exam; ``ill`` says of the unit positions x, y, z and the lobes where it is ill."""
    lobes, unit = lungs(scale)
    lesions = ill(lobes, *np.moveaxis(unit, -1, 0)) & (lobes > 0)
    direction, origin = (1.0, 0, 0, 0, 1, 0, 0, 0, 1), (-90.0, -80.0, 50.0)
    if flipped:
        # Stored from head to feet: the same patient.
        lobes, lesions = lobes[::-1], lesions[::-1]
        direction, origin = (1.0, 0, 0, 0, 1, 0, 0, 0, -1), (-90.0, -80.0, 50.0 + 4.0 * (SHAPE[0] - 1))
    geometry = Geometry(SHAPE, (3.0, 3.0, 4.0), origin, direction)
    path = folder / name
    path.mkdir(parents=True)
    write_segmentation(path / SEGMENTATION, Segmentation(lobes.copy(), lesions.copy()), geometry)


def left_base(lobes, x, y, z):
    # The frame makes the curved base flat, so that the lower third of its lattice reaches a little above z = 0 there.
    return (lobes == 4) & (z < 0.15) & (y > 0)


def nowhere(lobes, x, y, z):
    return np.zeros(lobes.shape, bool)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write(folder, "a", left_base)
    write(folder, "b", left_base, scale=0.85)
    write(folder / "more", "c", left_base, flipped=True)
    write(folder, "d", nowhere)
    return folder


@pytest.fixture(scope="module")
def mapped(results):
    return frequency_map(segmentations_in(results), CELLS)


def part(values, z, y):
    """Mean of a part of a lung's cells, low, middle or high along height and depth."""
    thirds = [np.array_split(np.arange(CELLS), 3)[number] for number in (z, y)]
    return float(np.nanmean(values[thirds[0]][:, thirds[1]]))


def test_lesions_come_out_where_they_are(mapped):
    assert mapped.exams == 4
    assert part(mapped.percent["left"], 0, 2) == pytest.approx(75.0, abs=8.0), "three of four exams are ill there"
    assert part(mapped.percent["left"], 2, 0) == 0
    assert np.nanmax(mapped.percent["right"]) == 0
    assert np.nanmax(mapped.percent["left"]) <= 75.0 + 1e-9


def test_size_and_storage_order_do_not_matter(results):
    paths = segmentations_in(results)
    one, other = (frequency_map({"x": paths[name]}, CELLS).percent["left"] for name in ("a", "more/c"))
    both = np.isfinite(one) & np.isfinite(other)
    assert np.array_equal(np.isfinite(one), np.isfinite(other))
    assert one[both] == pytest.approx(other[both], abs=1e-9)
    smaller = frequency_map({"x": segmentations_in(results)["b"]}, CELLS).percent["left"]
    there = np.isfinite(one) & np.isfinite(smaller)
    assert np.abs(one[there] - smaller[there]).mean() < 5


def test_sections_thicker_than_the_cells_leave_no_stripes(results):
    fine = frequency_map({"x": segmentations_in(results)["a"]}, 48).percent["left"]
    assert np.isfinite(fine[16:32, 16:32, 16:32]).all()


def test_the_drawn_lungs_are_two_with_the_right_on_the_left(mapped):
    drawn = in_mean_lungs(mapped, step=6.0)
    ill = np.nan_to_num(drawn.percent)
    half = drawn.percent.shape[2] // 2
    assert ill[:, :, :half].max() == 0
    assert ill[:, :, half:].max() > 50
    k, j, _ = np.argwhere(ill > 50).mean(axis=0) / ill.shape
    assert k < 0.45, "low"
    assert j > 0.6, "at the back"
    figure = draw_frequency(drawn)
    assert [ax.get_title() for ax in figure.axes[:4]] == ["Coronal", "Axial", "Right lung", "Left lung"]


def test_cells_hold_their_positions():
    unit = np.array([[-1.05, -1.05, -1.05], [1.05, 1.05, 1.05], [0.01, 0.01, 0.01], [9.0, 0.0, -9.0]])
    assert cell_of(unit, 4).tolist() == [0, 63, (2 * 4 + 2) * 4 + 2, (0 * 4 + 2) * 4 + 3]


def test_what_cannot_be_mapped_is_said(results, tmp_path):
    write(tmp_path, "ok", nowhere)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / SEGMENTATION).write_bytes(b"NRRD0004\n")
    found = frequency_map(segmentations_in(tmp_path), CELLS)
    assert found.exams == 1
    assert [name for name, _ in found.left_out] == ["broken"]
    with pytest.raises(UnfitInputError, match="none of 1 segmentations"):
        frequency_map({"broken": tmp_path / "broken" / SEGMENTATION}, CELLS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnfitInputError, match="no folder below holds"):
        segmentations_in(tmp_path / "empty")


RESULTS = ["P1/E1", "P1/E2", "P2/E1"]
# Names that some file system refuses.
ODD = exam_folder("Ä 1", "1/2").as_posix()


@pytest.mark.parametrize(
    ("results", "exams", "expected"),
    [
        (RESULTS, [("P2", "E1"), ("P1", "E1")], {("P2", "E1"): "P2/E1", ("P1", "E1"): "P1/E1"}),
        # Never another patient's exam of that name.
        (RESULTS, [("P1", "E2"), ("P3", "E1"), ("P2", "E2")], {("P1", "E2"): "P1/E2"}),
        (["all/P1/E1", "E9"], [("P1", "E1"), ("P2", "E9")], {("P1", "E1"): "all/P1/E1"}),
        (["a", "more/c"], [("p", "a"), ("q", "c"), ("q", "z")], {("p", "a"): "a", ("q", "c"): "more/c"}),
        ([ODD], [("Ä 1", "1/2")], {("Ä 1", "1/2"): ODD}),
        (RESULTS, [("Q1", "X1")], {}),
    ],
)
def test_results_belong_to_patient_and_exam(results, exams, expected):
    assert results_of_exams(results, exams, "here") == expected


@pytest.mark.parametrize(
    ("results", "exams", "what"),
    [
        (["a/P1/E1", "b/P1/E1"], [("P1", "E1")], r"two result folders .* E1 of P1 \(a/P1/E1, b/P1/E1\)"),
        (["a/E1", "b/E1"], [("P1", "E1")], "two result folders"),
        (["E1"], [("P1", "E1"), ("P2", "E1")], "the result folder E1 could be of P1 and of P2"),
    ],
)
def test_a_result_that_could_be_of_two_is_refused(results, exams, what):
    with pytest.raises(UnfitInputError, match=what) as refused:
        results_of_exams(results, exams, "here")
    assert refused.value.code == "exam-twice"


def test_exams_whose_names_repeat_between_patients_are_mapped(tmp_path):
    write(tmp_path / "exams" / "P1", "E1", left_base)
    write(tmp_path / "exams" / "P2", "E1", nowhere)
    write(tmp_path / "exams" / "P3", "E1", nowhere)
    (tmp_path / "metrics.csv").write_text(
        "patient,exam,region,extent_percent\nP1,E1,whole lung,3\nP2,E1,whole lung,0\n"
    )
    path = tmp_path / "study.toml"
    path.write_text(f'[data]\nmetrics = "metrics.csv"\n[frequency_map]\nresults = "exams"\ncells = {CELLS}\n')
    section = frequency_section(load_study(path))
    assert section.tables[0].notes[0].startswith("Percentage of 2 exams")
    rows = {row[0]: row[1:] for row in section.tables[0].rows}
    assert float(rows["Left lung, lower third"][2]) == pytest.approx(50, abs=8), "one of the two is ill there"
    assert section.left_out == ["1 result without figures that count in the study"]


def test_the_command_draws_the_map(results, tmp_path, capsys):
    pytest.importorskip("jinja2")
    path = tmp_path / "study.toml"
    path.write_text(f'[frequency_map]\nresults = "{results.as_posix()}"\ncells = {CELLS}\n', encoding="utf-8")
    assert main(["study", str(path), "--out", str(tmp_path / "out")]) == 0
    section = json.loads((tmp_path / "out" / "study.json").read_text(encoding="utf-8"))["sections"][0]
    assert section["title"] == "Lesion frequency"
    rows = {row[0]: row[1:] for row in section["tables"][0]["rows"]}
    assert rows["Right lung, upper third"] == ["0.0", "0.0", "0.0"]
    assert float(rows["Left lung, lower third"][2]) > 60
    assert (tmp_path / "out" / "00-figure-1-lesion-frequency.svg").is_file()
    assert "Lesion frequency" in capsys.readouterr().out


def test_only_exams_of_the_study_are_mapped(results, tmp_path):
    exams = "p,a,whole lung,3\nq,d,whole lung,0\nr,z,whole lung,1\n"
    (tmp_path / "metrics.csv").write_text(f"patient,exam,region,extent_percent\n{exams}")
    path = tmp_path / "study.toml"
    path.write_text(
        f'[data]\nmetrics = "metrics.csv"\n[frequency_map]\nresults = "{results.as_posix()}"\ncells = {CELLS}\n'
    )
    section = frequency_section(load_study(path))
    assert section.tables[0].notes[0].startswith("Percentage of 2 exams")
    assert "2 results without figures that count in the study" in section.left_out
    assert "1 exam without a segmentation in the folder of results" in section.left_out
