"""``covidquant compare`` follows each lesion: a made patient's truth comes back, nothing foreign is matched."""

import csv
import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from followup_world import lungs, write_result

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.export.exam_files import SEGMENTATION_FILE
from COVIDQuantLib.export.segmentation_file import read_segmentation, write_segmentation
from COVIDQuantLib.followup.comparison_files import CHANGES_FILE, JSON_FILE
from COVIDQuantLib.followup.exam_result import read_result
from COVIDQuantLib.followup.lesions import FATES, course
from COVIDQuantLib.followup.lesions.exam_segmentation import read_exam_images
from COVIDQuantLib.followup.lesions.records import COLUMNS, LESION_ML
from COVIDQuantLib.followup.lesions.table import HEAD, LESIONS_FILE
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

DAYS = ("6", "18", "40")
DATES = ("2020-02-07", "2020-02-19", "2020-03-12")
MAPS = {"change_map_02.nrrd", "change_map_03.nrrd", "change_map_03_since_01.nrrd"}


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """A made person in three exams, each in its own breath and position; quantified with the true masks."""
    root = tmp_path_factory.mktemp("patient")
    made = ["--course", "moderate", "--days", *DAYS, "--matrix", "64", "--thickness", "6", "--seed", "21"]
    assert main(["phantom", "--out", str(root / "made"), *made, "--quiet"]) == 0
    for number, folder in enumerate(sorted((root / "made").iterdir()), start=1):
        masks = ["--lobes", str(folder / "lobes.nrrd"), "--lesions", str(folder / "lesions.nrrd")]
        out = ["--out", str(root / f"exam{number}"), "--quiet", "--no-picture"]
        assert main(["quantify", str(folder / "ct.nrrd"), *masks, *out]) == 0
    return root


@pytest.fixture(scope="module", autouse=True)
def registered_once():
    """The same two exams are laid over each other once for all tests here; it takes seconds."""
    honest, found = course.register, {}

    def key_of(exam):
        arrays = [array.tobytes() for array in (exam.lobes, exam.lesions, exam.hu) if array is not None]
        return hashlib.sha256(b"|".join([repr((exam.geometry, exam.odds)).encode(), *arrays])).digest()

    def register(baseline, followup, *rest):
        key = key_of(baseline), key_of(followup)
        if key not in found:
            found[key] = honest(baseline, followup, *rest)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "register", register)
        yield


@pytest.fixture(scope="module")
def compared(patient, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    assert compare(exams_of(patient), out, "--lesions", "--ct", *cts_of(patient)) == 0
    return out


@pytest.fixture
def own(patient, tmp_path):
    """Copies of the results, to be spoilt."""
    for number in (1, 2, 3):
        shutil.copytree(patient / f"exam{number}", tmp_path / f"exam{number}")
    return tmp_path


def exams_of(root):
    return [root / f"exam{number}" for number in (1, 2, 3)]


def cts_of(root):
    return [folder / "ct.nrrd" for folder in sorted((root / "made").iterdir())]


def compare(folders, out, *options):
    options = [*map(str, options), "--date", *DATES[: len(folders)], "--no-picture", "--quiet"]
    try:
        return main(["compare", *map(str, folders), "--out", str(out), *options])
    except SystemExit as ended:
        return ended.code


def record_of(folder):
    return json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))


def names(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def refused(capsys, code):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(f"[{code}]"), lines


def key(fate, *sides):
    """A lesion by its word and the volumes of its parts; crumbs may come and go."""
    return fate, *(
        tuple(sorted(round(p["volume_ml"], 3) for p in side if p["volume_ml"] >= LESION_ML)) for side in sides
    )


# --------------------------------------------------------------------------------------------------------- known truth


def test_the_fates_are_those_of_the_truth(patient, compared):
    pairs = record_of(compared)["lesions"]["pairs"]
    told = [(pair["before"], pair["after"], pair["interval_days"], pair["compared"]) for pair in pairs]
    assert told == [
        (1, 2, 12, ["consecutive", "from baseline"]),
        (2, 3, 22, ["consecutive"]),
        (1, 3, 34, ["from baseline"]),
    ]
    folders = sorted((patient / "made").iterdir())
    for pair in pairs:
        folder = folders[pair["after"] - 1]
        assert pair["registration"]["quality"] == "good"
        assert pair["failed"] is None
        truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["course"]["since"][pair["before"] - 1]
        true = Counter(key(one["fate"], one["baseline"], one["followup"]) for one in truth["lesions"])
        found = Counter(key(one["fate"], one["baseline_parts"], one["followup_parts"]) for one in pair["lesions"])
        assert true
        assert found == true
        assert pair["counts"] == {fate: sum(one["fate"] == fate for one in truth["lesions"]) for fate in FATES}


def test_the_table_holds_the_same_as_the_json(compared):
    with (compared / LESIONS_FILE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [*HEAD, *COLUMNS]
    told = [(pair, one) for pair in record_of(compared)["lesions"]["pairs"] for one in pair["lesions"]]
    assert len(rows) == len(told)
    for row, (pair, one) in zip(rows, told, strict=True):
        assert (row["exam_before"], row["exam_after"]) == (str(pair["before"]), str(pair["after"]))
        assert row["compared"] == "+".join(pair["compared"])
        assert (row["lesion"], row["fate"], row["region"]) == (str(one["lesion"]), one["fate"], one["region"])
        assert float(row["change_ml"]) == one["followup_volume_ml"] - one["baseline_volume_ml"]


def test_the_maps_lie_on_the_later_exams(patient, compared):
    assert {*MAPS, CHANGES_FILE, JSON_FILE, LESIONS_FILE} == names(compared)
    for pair in record_of(compared)["lesions"]["pairs"]:
        image = sitk.ReadImage(str(compared / pair["change_map"]))
        file = read_segmentation(patient / f"exam{pair['after']}" / SEGMENTATION_FILE)
        labels = sitk.GetArrayFromImage(image)
        assert Geometry.of_image(image).same_grid(file.geometry)
        assert np.array_equal(np.isin(labels, (1, 2)), file.segmentation.lesions)
        told = [pair["change_map_ml"][words] for words in ("persisting disease", "new disease", "resolved disease")]
        volumes = [np.count_nonzero(labels == value) * file.geometry.voxel_volume_ml for value in (1, 2, 3)]
        assert told == pytest.approx(volumes)


def test_no_figure_depends_on_the_lesions(patient, compared, tmp_path):
    assert compare(exams_of(patient), tmp_path / "out", "--no-lesions") == 0
    assert names(tmp_path / "out") == {CHANGES_FILE, JSON_FILE}
    assert (tmp_path / "out" / CHANGES_FILE).read_bytes() == (compared / CHANGES_FILE).read_bytes()
    alone, both = record_of(tmp_path / "out"), record_of(compared)
    assert alone.pop("lesions") is None
    assert both.pop("lesions")["registration"] == "lobes and CT"
    assert alone == both


def test_the_terminal_tells_fates_and_largest_changes(patient, tmp_path, capsys):
    folders = map(str, exams_of(patient)[:2])
    assert main(["compare", *folders, "--out", str(tmp_path / "out"), "--date", *DATES[:2], "--no-picture"]) == 0
    said = capsys.readouterr().out
    assert "what became of each lesion (registered by lobes)" in said
    assert "largest changes" in said
    assert str(tmp_path / "out" / "change_map_02.nrrd") in said.splitlines()


def test_cts_follow_their_exams_into_the_order_of_dates(patient, compared, tmp_path):
    folders, cts = ([of(patient)[1], of(patient)[0]] for of in (exams_of, cts_of))
    options = ["--ct", *map(str, cts), "--date", *reversed(DATES[:2]), "--no-picture", "--quiet"]
    assert main(["compare", *map(str, folders), "--out", str(tmp_path / "out"), *options]) == 0
    assert record_of(tmp_path / "out")["lesions"]["pairs"] == record_of(compared)["lesions"]["pairs"][:1]


@pytest.mark.slow
def test_of_more_than_two_exams_the_terminal_tells_the_last_against_the_baseline_too(patient, tmp_path, capsys):
    folders = map(str, exams_of(patient))
    assert main(["compare", *folders, "--out", str(tmp_path / "out"), "--date", *DATES, "--no-picture"]) == 0
    said = capsys.readouterr().out
    assert "1 → 3 (from baseline)" in said
    # Of the largest changes each is told once.
    assert "from baseline" not in said.split("largest changes")[1]
    assert str(tmp_path / "out" / "change_map_03_since_01.nrrd") in said.splitlines()


def test_maps_of_an_earlier_run_are_told(patient, compared, tmp_path, capsys):
    out = shutil.copytree(compared, tmp_path / "out")
    assert compare(exams_of(patient)[:2], out, "--no-lesions") == 0
    said = capsys.readouterr().err
    assert "earlier-files" in said
    assert all(name in said for name in (LESIONS_FILE, *MAPS))


@pytest.mark.parametrize("name", [LESIONS_FILE, "change_map_02.nrrd"])
def test_foreign_files_are_not_overwritten(patient, tmp_path, name, capsys):
    (tmp_path / name).write_text("mine")
    assert compare(exams_of(patient), tmp_path) == 3
    refused(capsys, "not-ours")
    assert names(tmp_path) == {name}


# ------------------------------------------------------------------------------------------------------------ bad input


def missing(folder):
    (folder / SEGMENTATION_FILE).unlink()


def damaged(folder):
    path = folder / SEGMENTATION_FILE
    path.write_bytes(path.read_bytes()[:-2000])


def rewritten(change):
    def spoil(folder):
        file = read_segmentation(folder / SEGMENTATION_FILE)
        lobes, lesions, grid = change(file.segmentation.lobes.copy(), file.segmentation.lesions.copy(), file.geometry)
        write_segmentation(folder / SEGMENTATION_FILE, Segmentation(lobes, lesions), grid)

    return spoil


def moved(lobes, lesions, grid):
    return lobes, lesions, Geometry(grid.shape, grid.spacing, (grid.origin[0] + 2.0, *grid.origin[1:]), grid.direction)


def stretched(lobes, lesions, grid):
    return lobes, lesions, Geometry(grid.shape, (*grid.spacing[:2], 7.0), grid.origin, grid.direction)


def edited(lobes, lesions, grid):
    lesions[tuple(np.argwhere(lesions)[0])] = False
    return lobes, lesions, grid


def relabelled(lobes, lesions, grid):
    lobes[tuple(np.argwhere(lobes == 3)[0])] = 2
    return lobes, lesions, grid


def swapped(folder):
    shutil.copy(folder.parent / "exam1" / SEGMENTATION_FILE, folder / SEGMENTATION_FILE)


SPOILT = [
    (missing, "segmentation-missing"),
    (rewritten(moved), "segmentation-other-grid"),
    (rewritten(stretched), "segmentation-other-grid"),
    (rewritten(edited), "segmentation-other-counts"),
    (rewritten(relabelled), "segmentation-other-counts"),
]


@pytest.mark.parametrize(("spoil", "code"), SPOILT)
def test_a_segmentation_of_other_figures_is_refused(own, spoil, code, capsys):
    spoil(own / "exam2")
    assert compare(exams_of(own), own / "out", "--lesions") == 3
    refused(capsys, code)
    assert not (own / "out").exists()


@pytest.mark.parametrize("spoil", [damaged, swapped])
def test_damaged_and_foreign_segmentations_are_refused_in_one_line(own, spoil, capsys):
    spoil(own / "exam2")
    assert compare(exams_of(own), own / "out", "--lesions") == 3
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (own / "out").exists()


@pytest.mark.parametrize("spoil", [*(spoil for spoil, _ in SPOILT), damaged])
def test_unasked_they_cost_the_lesions_and_not_the_figures(own, spoil, capsys):
    spoil(own / "exam3")
    assert compare(exams_of(own), own / "out") == 0
    assert "lesions-left-out" in capsys.readouterr().err
    assert names(own / "out") == {CHANGES_FILE, JSON_FILE}
    record = record_of(own / "out")
    assert record["lesions"] is None
    assert "lesions-left-out" in [warning["code"] for warning in record["warnings"]]


def test_results_without_segmentations_are_compared_as_ever(tmp_path, capsys):
    folders = [write_result(tmp_path / name, lungs(ggo=n)) for name, n in (("a", 1_000), ("b", 9_000))]
    for folder in folders:
        (folder / SEGMENTATION_FILE).unlink()
    assert compare(folders, tmp_path / "out") == 0
    assert "lesions" not in capsys.readouterr().err


def test_cts_of_other_exams_are_refused(patient, tmp_path, capsys):
    cts = cts_of(patient)
    assert compare(exams_of(patient), tmp_path / "out", "--ct", cts[1], cts[0], cts[2]) == 3
    refused(capsys, "ct-other-grid")
    image = sitk.ReadImage(str(cts[1]))
    image.CopyInformation(sitk.ReadImage(str(cts[0])))
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    assert compare(exams_of(patient), tmp_path / "out", "--ct", tmp_path / "ct.nrrd", *cts[1:]) == 3
    refused(capsys, "ct-other-exam")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [(["--ct", "ct.nrrd"], "ct-count"), (["--no-lesions", "--ct", *["ct.nrrd"] * 3], "ct-unused")],
)
def test_wrong_use(patient, tmp_path, options, code, capsys):
    assert compare(exams_of(patient), tmp_path / "out", *options) == 2
    refused(capsys, code)
    assert not (tmp_path / "out").exists()


def test_a_failed_registration_is_a_warning(patient, tmp_path, monkeypatch, capsys):
    honest = course.register

    def failing(baseline, *rest):
        if baseline.name == "exam 1":
            raise RuntimeError("no samples")
        return honest(baseline, *rest)

    monkeypatch.setattr(course, "register", failing)
    assert compare(exams_of(patient), tmp_path / "out", "--lesions", "--ct", *cts_of(patient)) == 0
    assert "registration-failed" in capsys.readouterr().err
    first, second, overall = record_of(tmp_path / "out")["lesions"]["pairs"]
    assert (first["failed"], first["lesions"]) == ("registration-failed", None)
    assert overall["failed"] == "registration-failed"
    assert second["lesions"]
    assert names(tmp_path / "out") == {CHANGES_FILE, JSON_FILE, LESIONS_FILE, "change_map_03.nrrd"}


def test_an_exam_without_lungs_is_a_warning_with_its_code(patient, tmp_path, monkeypatch, capsys):
    def without_lungs(result, ct=None, name=""):
        found = read_exam_images(result, ct, name)
        return replace(found, lobes=np.zeros_like(found.lobes))

    monkeypatch.setattr(course, "read_exam_images", without_lungs)
    assert compare(exams_of(patient), tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert said.count("followup-no-lungs") == 3
    record = record_of(tmp_path / "out")
    assert [pair["failed"] for pair in record["lesions"]["pairs"]] == ["followup-no-lungs"] * 3
    assert "exam1" not in json.dumps(record)
    assert names(tmp_path / "out") == {CHANGES_FILE, JSON_FILE, LESIONS_FILE}


def test_a_segmentation_that_slicer_cropped_is_the_same(own):
    before = read_exam_images(read_result(own / "exam1"))

    def cropped(lobes, lesions, grid):
        k, j, i = (slice(int(n.min()), int(n.max()) + 1) for n in np.nonzero((lobes > 0) | lesions))
        corner = (grid.index_to_lps @ (i.start, j.start, k.start, 1.0))[:3]
        box = np.ascontiguousarray(lobes[k, j, i]), np.ascontiguousarray(lesions[k, j, i])
        return *box, Geometry(box[0].shape, grid.spacing, tuple(map(float, corner)), grid.direction)

    rewritten(cropped)(own / "exam1")
    after = read_exam_images(read_result(own / "exam1"))
    assert np.array_equal(before.lobes, after.lobes)
    assert np.array_equal(before.lesions, after.lesions)
    assert after.geometry == before.geometry
