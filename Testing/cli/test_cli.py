"""The command line end to end: a made CT in, files by the contract out, clear errors, nothing half written."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from COVIDQuantLib.anatomy import LOBES, REGIONS
from COVIDQuantLib.cli.main import main, make_parser
from COVIDQuantLib.cli.mask_options import ct_path
from COVIDQuantLib.export.segmentation_file import read_segmentation
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.quantification.measures import MEASURES

# Small enough to be quick, whole enough to have every lobe.
PHANTOM = ["--matrix", "64", "--thickness", "8", "--slices", "20", "--seed", "1001", "--quiet"]
MODEL_FREE = ["--method", "model-free", "--no-picture"]
FILES = {"segmentation.seg.nrrd", "metrics.csv", "metrics.json", "overlay.png"}


@pytest.fixture(scope="module")
def phantom(once):
    """The folder of a phantom; tests read it only."""

    def fill(folder):
        assert main(["phantom", "--out", str(folder), *PHANTOM]) == 0

    return once.folder("cli-phantom", fill)


@pytest.fixture(scope="module")
def quantified(phantom, once):
    """The folder of what quantify finds; tests read it only."""

    def fill(folder):
        assert main(["quantify", str(phantom / "ct.nrrd"), "--out", str(folder), "--nifti"]) == 0

    return once.folder("cli-quantified", fill)


@pytest.fixture(scope="module")
def model_free(phantom, once):
    """The folder of what quantify finds without networks, which takes less time; tests read it only."""
    return once.folder("cli-model-free", lambda folder: quantify(phantom, folder, *MODEL_FREE))


def quantify(phantom, out, *options, ct="ct.nrrd"):
    return main(["quantify", str(phantom / ct), "--out", str(out), "--quiet", *map(str, options)])


def names(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_phantom_writes_the_contract(phantom):
    assert {"ct.nrrd", "lobes.nrrd", "lesions.nrrd", "truth.json"} <= names(phantom)
    truth = json.loads((phantom / "truth.json").read_text(encoding="utf-8"))
    assert [row["region"] for row in truth["regions"]] == [region.name for region in REGIONS]


def test_quantify_writes_the_contract(quantified):
    assert names(quantified) == FILES | {"lobes.nii.gz", "lesions.nii.gz", "lesion_odds.nrrd"}
    rows = list(csv.reader((quantified / "metrics.csv").open()))
    assert tuple(rows[0]) == (*MEASURES.columns, "grade")
    assert [row[0] for row in rows[1:]] == [region.name for region in REGIONS]
    record = read_metrics(quantified / "metrics.json").record
    assert {row[-1] for row in rows[1:]} == {record["grade"]}
    keys = {
        "checks",
        "grade",
        "ct_score_total",
        "involved_lobes",
        "hellinger_distance",
        "histogram_iou",
        "thresholds",
        "models",
    }
    assert keys | {"software", "geometry", "warnings", "histogram", "regions"} <= set(record)
    assert (quantified / "overlay.png").read_bytes().startswith(b"\x89PNG")


def test_files_agree_with_each_other(quantified, phantom):
    segmentation = read_segmentation(quantified / "segmentation.seg.nrrd").segmentation
    lobes = sitk.GetArrayFromImage(sitk.ReadImage(str(quantified / "lobes.nii.gz")))
    ct = sitk.ReadImage(str(phantom / "ct.nrrd"))
    voxel_ml = np.prod(ct.GetSpacing()) / 1000
    assert np.array_equal(np.asarray(segmentation.lobes), lobes)
    metrics = read_metrics(quantified / "metrics.json").metrics
    assert metrics.value("whole lung", "volume_ml") == pytest.approx((lobes > 0).sum() * voxel_ml)


def test_figures_with_the_truth_given_are_exact(phantom, tmp_path):
    assert quantify(phantom, tmp_path, "--lobes", phantom / "lobes.nrrd", "--lesions", phantom / "lesions.nrrd") == 0
    found = read_metrics(tmp_path).record["regions"]
    for row, truth in zip(
        found, json.loads((phantom / "truth.json").read_text(encoding="utf-8"))["regions"], strict=True
    ):
        for column in MEASURES.names:
            expected = truth[column]
            assert row[column] == (None if expected is None else pytest.approx(expected, rel=1e-6)), (row, column)


@pytest.mark.parametrize("orientation", ["RAI", "LPS", "SAR", "PIR"])
def test_masks_in_any_orientation_give_the_same_figures(phantom, tmp_path, orientation):
    for name in ("lobes", "lesions"):
        turned = sitk.DICOMOrient(sitk.ReadImage(str(phantom / f"{name}.nrrd")), orientation)
        sitk.WriteImage(turned, str(tmp_path / f"{name}.nii.gz"))
    masks = ["--lobes", tmp_path / "lobes.nii.gz", "--lesions", tmp_path / "lesions.nii.gz"]
    assert quantify(phantom, tmp_path / "out", *masks, "--no-picture") == 0
    truth = json.loads((phantom / "truth.json").read_text(encoding="utf-8"))["regions"]
    for row, expected in zip(read_metrics(tmp_path / "out").record["regions"], truth, strict=True):
        assert row["weight_g"] == pytest.approx(expected["weight_g"], rel=1e-6)


def test_a_ct_in_another_orientation_gives_the_same_figures(phantom, model_free, tmp_path):
    ct = sitk.DICOMOrient(sitk.ReadImage(str(phantom / "ct.nrrd")), "SAR")
    sitk.WriteImage(ct, str(tmp_path / "turned.nrrd"))
    assert quantify(tmp_path, tmp_path / "out", *MODEL_FREE, ct="turned.nrrd") == 0
    assert read_metrics(tmp_path / "out").metrics.rows == read_metrics(model_free).metrics.rows


def test_given_lungs_take_the_place_of_found_ones(phantom, tmp_path):
    lobes = sitk.ReadImage(str(phantom / "lobes.nrrd"))
    sitk.WriteImage(lobes > 0, str(tmp_path / "lungs.nrrd"))
    assert quantify(phantom, tmp_path / "out", "--lungs", tmp_path / "lungs.nrrd", *MODEL_FREE) == 0
    found = read_metrics(tmp_path / "out")
    voxel_ml = np.prod(lobes.GetSpacing()) / 1000
    volume = np.count_nonzero(sitk.GetArrayFromImage(lobes)) * voxel_ml
    assert found.metrics.value("whole lung", "volume_ml") == pytest.approx(volume)
    assert found.record["segmentation"]["lungs"]["method"] == "given"


def test_thresholds_are_the_users(phantom, tmp_path):
    masks = ["--lobes", phantom / "lobes.nrrd", "--lesions", phantom / "lesions.nrrd", "--no-picture"]
    assert quantify(phantom, tmp_path, *masks, "--ggo-hu", -1024, "--consolidation-hu", 0) == 0
    metrics = read_metrics(tmp_path).metrics
    assert metrics.value("whole lung", "below_ggo_volume_ml") == 0
    assert metrics.thresholds.consolidation_hu == 0


@pytest.mark.parametrize(
    ("options", "status", "word"),
    [
        (["--ggo-hu", "0", "--consolidation-hu", "-500"], 2, "order"),
        (["--device", "cuda", "--method", "model-free"], 2, "CPU"),
        (["--lobes", "ct.nrrd"], 3, "not labels"),
        (["--lobes", "missing.nrrd"], 3, "missing.nrrd"),
        (["--lobes", "lobes.nrrd", "--lungs", "lobes.nrrd"], 2, "lungs"),
    ],
)
def test_wrong_requests_end_with_one_clear_line_and_no_file(phantom, tmp_path, capsys, options, status, word):
    options = [str(phantom / option) if option.endswith(".nrrd") else option for option in options]
    assert quantify(phantom, tmp_path / "out", *options) == status
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert word in error[0]
    assert names(tmp_path / "out") == set()


def test_lobes_numbered_by_another_program_give_the_same_figures(phantom, tmp_path, capsys):
    lobes = sitk.ReadImage(str(phantom / "lobes.nrrd"))
    swapped = sitk.ChangeLabel(lobes, {1: 3, 2: 4, 3: 5, 4: 1, 5: 2})
    sitk.WriteImage(swapped, str(tmp_path / "lobes.nrrd"))
    masks = ["--lobes", tmp_path / "lobes.nrrd", "--lesions", phantom / "lesions.nrrd", "--no-picture"]
    assert quantify(phantom, tmp_path / "out", *masks) == 0
    assert "mask-layout" in capsys.readouterr().err
    truth = json.loads((phantom / "truth.json").read_text(encoding="utf-8"))["regions"]
    for row, expected in zip(read_metrics(tmp_path / "out").record["regions"], truth, strict=True):
        assert row["weight_g"] == pytest.approx(expected["weight_g"], rel=1e-6)


def test_a_file_for_each_lobe(phantom, tmp_path, capsys):
    lobes = sitk.ReadImage(str(phantom / "lobes.nrrd"))
    files = []
    for lobe in LOBES:
        files.append(tmp_path / f"{lobe.segment_id}.nii.gz")
        sitk.WriteImage(lobes == lobe.label, str(files[-1]))
    masks = ["--lobes", *files, "--lesions", phantom / "lesions.nrrd", "--no-picture"]
    assert quantify(phantom, tmp_path / "out", *masks) == 0
    truth = json.loads((phantom / "truth.json").read_text(encoding="utf-8"))["regions"]
    for row, expected in zip(read_metrics(tmp_path / "out").record["regions"], truth, strict=True):
        assert row["weight_g"] == pytest.approx(expected["weight_g"], rel=1e-6)
    assert quantify(phantom, tmp_path / "one", "--lobes", files[0]) == 3
    assert "[mask-one-lobe]" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--lobes", "a.nrrd"], ["--lobes", "a.nrrd", "--quiet"]])
def test_a_ct_must_be_given(tmp_path, capsys, options):
    assert main(["quantify", *options, "--out", str(tmp_path / "out")]) == 2
    assert "no CT was given" in capsys.readouterr().err


def test_the_ct_may_stand_behind_a_mask(tmp_path):
    for line, ct, lobes in (
        (["--lobes", "a", "ct"], "ct", ["a"]),
        (["ct", "--lobes", "a", "b"], "ct", ["a", "b"]),
        (["--lobes", "a", "b", "--lesions", "l", "ct"], "ct", ["a", "b"]),
        (["--lesions", "l", "--lobes", "a", "--quiet", "ct"], "ct", ["a"]),
    ):
        arguments = make_parser().parse_args(["quantify", *line, "--out", "o"])
        assert str(ct_path(arguments)) == ct
        assert [str(path) for path in arguments.lobes] == lobes


def test_argparse_ends_with_two():
    for arguments in ([], ["quantify"], ["quantify", "ct", "--out", "x", "--method", "magic"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2


def test_no_lungs_is_unfit_and_writes_nothing(tmp_path, capsys):
    values = np.full((40, 64, 64), -1000, np.int16)
    values[:, 8:56, 8:56] = 30
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((5, 5, 5))
    sitk.WriteImage(image, str(tmp_path / "water.nrrd"))
    assert quantify(tmp_path, tmp_path / "out", ct="water.nrrd") == 3
    assert "lung" in capsys.readouterr().err
    assert names(tmp_path / "out") == set()


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")
def test_interrupt_leaves_no_file(phantom, tmp_path):
    command = [
        sys.executable,
        "-m",
        "COVIDQuantLib.cli",
        "quantify",
        str(phantom / "ct.nrrd"),
        "--out",
        str(tmp_path / "o"),
        "--method",
        "model-free",
    ]
    # The stage is shown on a terminal alone.
    ours, theirs = os.openpty()
    process = subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    shown = b""
    while b"lobes" not in shown:
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # the other side is closed at the end
        while os.read(ours, 4096):
            pass
    os.close(ours)
    assert process.wait(60) == 130
    assert names(tmp_path / "o") == set()


@pytest.mark.skipif(os.name == "nt", reason="permissions differ on Windows")
def test_earlier_results_survive_a_failed_run(phantom, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "metrics.csv").write_text("earlier")
    (out / "overlay.png").mkdir()  # in the way
    masks = ["--lobes", phantom / "lobes.nrrd", "--lesions", phantom / "lesions.nrrd"]
    assert quantify(phantom, out, *masks) == 3
    assert (out / "metrics.csv").read_text(encoding="utf-8") == "earlier"
    assert names(out) == {"metrics.csv", "overlay.png"}


def test_runs_are_repeatable(phantom, model_free, tmp_path):
    assert quantify(phantom, tmp_path, *MODEL_FREE) == 0
    assert (tmp_path / "metrics.json").read_bytes() == (model_free / "metrics.json").read_bytes()


# ------------------------------------------------------------------------------------------------------------ grade


def quantify_without_a_lobe(phantom, folder, *options):
    lobes = sitk.ReadImage(str(phantom / "lobes.nrrd"))
    sitk.WriteImage(sitk.ChangeLabel(lobes, {4: 0}), str(folder / "lobes.nrrd"))
    masks = ["--lobes", folder / "lobes.nrrd", "--lesions", phantom / "lesions.nrrd"]
    arguments = [phantom / "ct.nrrd", "--out", folder / "out", *masks, "--no-picture", *options]
    return main(["quantify", *map(str, arguments)])


def test_strict_ends_with_four_below_sound_and_everything_is_written(phantom, tmp_path, capsys):
    assert quantify_without_a_lobe(phantom, tmp_path, "--strict", "--quiet") == 4
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("covidquant:")
    assert "missed-air" in line
    read = read_metrics(tmp_path / "out")
    assert read.grade != "sound"
    assert "missed-air" in {check.code for check in read.checks if check.grade != "sound"}
    rows = list(csv.DictReader((tmp_path / "out" / "metrics.csv").open()))
    assert {row["grade"] for row in rows} == {read.grade}


def test_without_strict_the_status_is_zero_and_the_grade_stands_above_the_table(phantom, tmp_path, capsys):
    assert quantify_without_a_lobe(phantom, tmp_path) == 0
    told = capsys.readouterr().out
    assert "of aerated lung" in told
    assert told.index("result: ") < told.index("whole lung")
