"""``covidquant evaluate`` end to end: pairs by name, figures out, clear errors, nothing half done."""

import csv
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.evaluation.measures import COLUMNS
from COVIDQuantLib.evaluation.result_files import PLOT_FILE, SCANS_FILE, SUMMARY_CSV, SUMMARY_JSON
from COVIDQuantLib.evaluation.scan_files import name_and_content
from COVIDQuantLib.export.anonymous import hashed
from COVIDQuantLib.export.segmentation_file import read_segmentation

FILES = {SCANS_FILE, SUMMARY_CSV, SUMMARY_JSON}
SEEDS = (1061, 1062)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Two tiny phantoms, each in a folder of its own, and what quantify makes of their true lesions grown a little."""
    root = tmp_path_factory.mktemp("scans")
    for seed in SEEDS:
        folder = root / "truth" / str(seed)
        options = ["--matrix", "48", "--slices", "24", "--thickness", "10", "--seed", str(seed), "--extent", "12"]
        assert main(["phantom", "--out", str(folder), *options, "--quiet"]) == 0
        grown = root / f"grown-{seed}.nrrd"
        lesions = sitk.ReadImage(str(folder / "lesions.nrrd"))
        sitk.WriteImage(sitk.BinaryDilate(lesions, (1, 0, 0)), str(grown))
        masks = ["--lobes", str(folder / "lobes.nrrd"), "--lesions", str(grown)]
        out = ["--out", str(root / "found" / str(seed)), "--quiet", "--no-picture"]
        assert main(["quantify", str(folder / "ct.nrrd"), *masks, *out]) == 0
    return root


@pytest.fixture(scope="module")
def evaluated(phantoms, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated")
    paths = [str(phantoms / "found"), str(phantoms / "truth")]
    assert main(["evaluate", *paths, "--identify", "--out", str(out)]) == 0
    return out


def evaluate(predicted, reference, out, *options):
    """With the scans' names."""
    paths = [str(predicted), str(reference)]
    return main(["evaluate", *paths, "--identify", "--out", str(out), "--quiet", "--no-plots", *map(str, options)])


def rows_of(folder):
    with (folder / SCANS_FILE).open(newline="", encoding="utf-8") as file:
        return {(row["scan"], row["structure"]): row for row in csv.DictReader(file)}


def summary_of(folder):
    return json.loads((folder / SUMMARY_JSON).read_text(encoding="utf-8"))


def array(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def names(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


# ------------------------------------------------------------------------------------------------- two folders of many


def test_the_files(evaluated):
    assert names(evaluated) == FILES | {PLOT_FILE}
    rows = rows_of(evaluated)
    assert len(rows) == len(SEEDS) * 9
    assert list(next(iter(rows.values()))) == ["scan", "structure", *COLUMNS]
    assert (evaluated / PLOT_FILE).read_bytes().startswith(b"\x89PNG")


def test_the_figures_are_those_of_the_masks(evaluated, phantoms):
    for seed in SEEDS:
        truth = array(phantoms / "truth" / str(seed) / "lesions.nrrd") > 0
        found = array(phantoms / f"grown-{seed}.nrrd") > 0
        row = rows_of(evaluated)[str(seed), "lesions"]
        both = (truth & found).sum()
        assert float(row["dice"]) == pytest.approx(2 * both / (truth.sum() + found.sum()))
        assert float(row["sensitivity"]) == 1.0
        assert float(row["ppv"]) == pytest.approx(both / found.sum())
        assert rows_of(evaluated)[str(seed), "right middle lobe"]["dice"] == "1.0"


def test_weight_is_that_of_metrics_and_of_the_truth(evaluated, phantoms):
    for seed in SEEDS:
        truth = json.loads((phantoms / "truth" / str(seed) / "truth.json").read_text(encoding="utf-8"))
        metrics = json.loads((phantoms / "found" / str(seed) / "metrics.json").read_text(encoding="utf-8"))
        row = rows_of(evaluated)[str(seed), "right lower lobe"]
        for side, record in (("predicted", metrics), ("reference", truth)):
            region = next(region for region in record["regions"] if region["region"] == "right lower lobe")
            assert float(row[f"{side}_weight_g"]) == pytest.approx(region["weight_g"])
            assert float(row[f"{side}_extent_percent"]) == pytest.approx(region["extent_percent"])
            assert float(row[f"{side}_mean_lesion_hu"]) == pytest.approx(region["mean_lesion_hu"])


def test_the_summary_agrees_with_the_rows(evaluated):
    record = summary_of(evaluated)
    dice = [float(rows_of(evaluated)[str(seed), "lesions"]["dice"]) for seed in SEEDS]
    found = record["structures"]["lesions"]
    assert record["scans"] == [str(seed) for seed in SEEDS]
    assert found["scores"]["dice"]["mean"] == pytest.approx(np.mean(dice))
    assert found["scores"]["dice"]["sd"] == pytest.approx(np.std(dice, ddof=1))
    assert record["mean_lobe_dice"]["mean"] == 1.0
    assert {"icc", "limit_lower", "limit_lower_at_10_percent"} <= set(found["quantities"]["extent_difference_points"])
    assert "limit_upper_at_500_g" in found["quantities"]["weight_difference_g"]
    # Two scans are too few for a correlation.
    assert found["quantities"]["weight_difference_g"]["pearson"] is None
    assert record["warnings"] == []
    with (evaluated / SUMMARY_CSV).open(newline="", encoding="utf-8") as file:
        table = {(row["structure"], row["measure"]): row for row in csv.DictReader(file)}
    assert float(table["lesions", "dice"]["mean"]) == pytest.approx(np.mean(dice))
    assert float(table["lesions", "dice"]["pooled"]) == pytest.approx(found["scores"]["dice"]["pooled"])
    assert table["lesions", "weight_difference_g"]["pearson"] == ""


def test_no_file_holds_nan(evaluated):
    for name in (SCANS_FILE, SUMMARY_CSV, SUMMARY_JSON):
        assert "nan" not in (evaluated / name).read_text(encoding="utf-8").lower().replace("covidquant", "")


def test_the_same_input_gives_the_same_files(evaluated, phantoms, tmp_path):
    assert evaluate(phantoms / "found", phantoms / "truth", tmp_path) == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (evaluated / name).read_bytes()


def test_what_has_no_partner_is_named(phantoms, tmp_path, capsys):
    more = tmp_path / "more"
    shutil.copytree(phantoms / "found" / str(SEEDS[0]), more / str(SEEDS[0]))
    shutil.copytree(phantoms / "found" / str(SEEDS[0]), more / "alone")
    (more / "notes.txt").write_text("not a scan")
    assert evaluate(more, phantoms / "truth", tmp_path / "out", "--no-distances") == 0
    told = capsys.readouterr().err
    warnings = " ".join(summary_of(tmp_path / "out")["warnings"])
    for text in (
        "only predicted, not compared: alone",
        f"only in the reference, not compared: {SEEDS[1]}",
        "notes.txt",
    ):
        assert text in told
        assert text in warnings


def test_flat_folders_are_paired_by_the_names_of_their_files(phantoms, tmp_path):
    for seed in SEEDS:
        source = phantoms / "truth" / str(seed)
        for side, lesions in (("a", phantoms / f"grown-{seed}.nrrd"), ("b", source / "lesions.nrrd")):
            (tmp_path / side).mkdir(exist_ok=True)
            shutil.copy(lesions, tmp_path / side / f"p{seed}_lesions.nrrd")
            shutil.copy(source / "lobes.nrrd", tmp_path / side / f"p{seed}_lobes.nrrd")
        (tmp_path / "ct").mkdir(exist_ok=True)
        shutil.copy(source / "ct.nrrd", tmp_path / "ct" / f"p{seed}_ct.nrrd")
    assert evaluate(tmp_path / "a", tmp_path / "b", tmp_path / "out", "--ct", tmp_path / "ct", "--no-distances") == 0
    rows = rows_of(tmp_path / "out")
    assert {scan for scan, _ in rows} == {f"p{seed}" for seed in SEEDS}
    row = rows[f"p{SEEDS[0]}", "lesions"]
    assert float(row["weight_difference_g"]) > 0
    assert row["surface_distance_mm"] == ""


def test_the_files_name_nobody_unless_asked(phantoms, tmp_path, capsys):
    fields = "Segment0_ID:=Segment_1\nSegment0_Name:=Herbert lesion\nSegment0_Layer:=0\nSegment0_LabelValue:=1\n"
    for side in ("a", "b"):
        for name in ("Hidden Herbert", "Anna_4711"):
            folder = tmp_path / side / name
            shutil.copytree(phantoms / "truth" / str(SEEDS[0]), folder)
            (folder / "ct.nrrd").unlink()
    shutil.copytree(tmp_path / "a" / "Anna_4711", tmp_path / "a" / "Lonely Lena")
    (tmp_path / "b" / "Hidden Herbert notes.txt").write_text("x")
    shutil.copytree(phantoms / "truth" / str(SEEDS[0]), tmp_path / "b" / "Odd Otto")
    lesions = sitk.ReadImage(str(tmp_path / "a" / "Anna_4711" / "lesions.nrrd"))
    for line in fields.splitlines():
        lesions.SetMetaData(*line.split(":="))
    sitk.WriteImage(lesions, str(tmp_path / "a" / "Anna_4711" / "lesions.nrrd"))
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["evaluate", *paths, "--out", str(tmp_path / "out"), "--quiet", "--no-distances"]) == 0
    shown = capsys.readouterr().err
    assert "Lonely Lena" in shown
    summary = summary_of(tmp_path / "out")
    assert summary["scans"] == [hashed("Anna_4711"), hashed("Hidden Herbert")]
    assert {scan for scan, _ in rows_of(tmp_path / "out")} == set(summary["scans"])
    assert any(hashed("Lonely Lena") in warning for warning in summary["warnings"])
    assert any(warning.startswith(hashed("Anna_4711")) for warning in summary["warnings"])
    for file in (tmp_path / "out").iterdir():
        held = file.read_bytes()
        for word in (b"Herbert", b"Anna", b"Lena", b"Otto", b"4711"):
            assert word not in held, file.name
    assert evaluate(*paths, tmp_path / "named", "--no-distances") == 0
    assert summary_of(tmp_path / "named")["scans"] == ["Anna_4711", "Hidden Herbert"]


# ------------------------------------------------------------------------------------------------------------ one scan


def test_one_segmentation_against_one_label_map_in_another_orientation(phantoms, tmp_path):
    """NIfTI with its axes turned holds the same voxels; without HU, weight is empty and it is said."""
    source = phantoms / "truth" / str(SEEDS[0])
    turned = sitk.DICOMOrient(sitk.ReadImage(str(source / "lesions.nrrd")), "PIR")
    sitk.WriteImage(turned, str(tmp_path / "mask.nii.gz"))
    segmentation = tmp_path / "s.seg.nrrd"
    shutil.copy(phantoms / "found" / str(SEEDS[0]) / "segmentation.seg.nrrd", segmentation)
    assert evaluate(segmentation, tmp_path / "mask.nii.gz", tmp_path / "out", "--content", "lesions") == 0
    rows = rows_of(tmp_path / "out")
    assert {structure for _, structure in rows} == {"lesions"}
    row = next(iter(rows.values()))
    truth, found = array(source / "lesions.nrrd") > 0, read_segmentation(segmentation).segmentation.lesions
    assert float(row["dice"]) == pytest.approx(2 * (truth & found).sum() / (truth.sum() + found.sum()))
    assert row["predicted_weight_g"] == row["reference_extent_percent"] == row["weight_difference_g"] == ""
    assert sum("give the CT with --ct" in warning for warning in summary_of(tmp_path / "out")["warnings"]) == 2
    options = ("--content", "lesions", "--ct", source / "ct.nrrd")
    assert evaluate(segmentation, tmp_path / "mask.nii.gz", tmp_path / "out", *options) == 0
    assert next(iter(rows_of(tmp_path / "out").values()))["weight_difference_g"] != ""


def test_a_folder_of_quantify_needs_no_ct(phantoms, tmp_path):
    found = phantoms / "found" / str(SEEDS[0])
    assert evaluate(found, found / "segmentation.seg.nrrd", tmp_path) == 0
    row = rows_of(tmp_path)[str(SEEDS[0]), "lesions"]
    assert row["dice"] == "1.0"
    assert float(row["weight_difference_g"]) == 0.0
    assert float(row["predicted_weight_g"]) > 0


def test_an_edited_segmentation_does_not_take_the_weight_of_the_old_one(phantoms, tmp_path):
    edited = tmp_path / "edited"
    shutil.copytree(phantoms / "found" / str(SEEDS[0]), edited)
    shutil.copy(phantoms / "found" / str(SEEDS[1]) / "metrics.json", edited / "metrics.json")
    assert evaluate(edited, phantoms / "found" / str(SEEDS[0]), tmp_path / "out") == 0
    assert rows_of(tmp_path / "out")["edited", "lesions"]["predicted_weight_g"] == ""
    assert "counts other voxels" in summary_of(tmp_path / "out")["warnings"][0]


def test_the_table_goes_to_standard_output(phantoms, tmp_path, capsys):
    found = str(phantoms / "found" / str(SEEDS[0]))
    assert main(["evaluate", found, found, "--out", str(tmp_path)]) == 0
    # One scan has no scatter to plot.
    assert names(tmp_path) == FILES
    told = capsys.readouterr().out
    assert "right middle lobe" in told
    assert "1.000" in told
    assert SUMMARY_JSON in told


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p1_lobes.nii.gz", ("p1", "lobes")),
        ("lesions.nrrd", ("", "lesions")),
        ("p.2-LESIONS.nii", ("p.2", "lesions")),
        ("p3_ct.nrrd", ("p3", "ct")),
        ("p4.seg.nrrd", ("p4", "")),
        ("direct.nrrd", ("direct", "")),
    ],
)
def test_names_tell_scan_and_content(tmp_path, name, expected):
    assert name_and_content(tmp_path / name) == expected


# --------------------------------------------------------------------------------------------------------------- errors


def broken(tmp_path, phantoms):
    """Per error: predicted, reference, options, status, and words that must be told."""
    truth = phantoms / "truth" / str(SEEDS[0])
    other = phantoms / "truth" / str(SEEDS[1])
    many = phantoms / "truth"
    empty = tmp_path / "empty"
    empty.mkdir()
    text = tmp_path / "text.txt"
    text.write_text("no mask")
    damaged = tmp_path / "damaged_lesions.nrrd"
    damaged.write_bytes((truth / "lesions.nrrd").read_bytes()[:400])
    (tmp_path / "renamed").mkdir()
    shutil.copytree(truth, tmp_path / "renamed" / "someone")
    plain = tmp_path / "mask.nrrd"
    shutil.copy(truth / "lesions.nrrd", plain)
    wrong = tmp_path / "wrong_lobes.nrrd"
    shutil.copy(truth / "ct.nrrd", wrong)
    return {
        "another grid": (truth, other, (), 3, "are on different grids"),
        "another CT": (truth, truth, ("--ct", other / "ct.nrrd"), 3, "are on different grids"),
        "one and many": (truth, many, (), 3, "folder of many"),
        "nothing there": (tmp_path / "gone", truth, (), 3, "no such file"),
        "no CT there": (truth, truth, ("--ct", tmp_path / "gone"), 3, "no such file"),
        "one CT for many": (many, many, ("--ct", truth / "ct.nrrd"), 3, "folder of CTs"),
        "empty folder": (empty, truth, (), 3, "no segmentation"),
        "no pair": (tmp_path / "renamed", many, (), 3, "someone"),
        "no mask": (text, truth, (), 3, "not a segmentation"),
        "damaged": (damaged, truth / "lesions.nrrd", (), 3, "damaged_lesions.nrrd"),
        "nothing in common": (truth / "lobes.nrrd", truth / "lesions.nrrd", (), 3, "nothing to compare"),
        "no content": (plain, truth, (), 2, "--content"),
        "no labels": (wrong, truth, (), 3, "labels"),
    }


CASES = (
    "another grid", "another CT", "one and many", "nothing there", "no CT there", "one CT for many", "empty folder",
    "no pair", "no mask", "damaged", "nothing in common", "no content", "no labels",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_errors_say_what_and_where_and_write_nothing(case, phantoms, tmp_path, capsys):
    cases = broken(tmp_path, phantoms)
    assert set(cases) == set(CASES)
    predicted, reference, options, status, words = cases[case]
    assert evaluate(predicted, reference, tmp_path / "out", *options) == status
    told = capsys.readouterr().err.strip()
    assert words in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_two_segmentations_of_one_name_are_refused(phantoms, tmp_path, capsys):
    folder = tmp_path / "twice"
    shutil.copytree(phantoms / "found" / str(SEEDS[0]), folder / "p1")
    shutil.copy(folder / "p1" / "segmentation.seg.nrrd", folder / "p1.seg.nrrd")
    assert evaluate(folder, folder, tmp_path / "out") == 3
    assert "both the segmentation of p1" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_left_as_it_was(phantoms, tmp_path):
    found = phantoms / "found" / str(SEEDS[0])
    (tmp_path / SUMMARY_JSON).mkdir()
    assert evaluate(found, found, tmp_path) == 3
    assert names(tmp_path) == {SUMMARY_JSON}
