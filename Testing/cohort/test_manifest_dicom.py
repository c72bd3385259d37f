"""A manifest from a tree of DICOM files: a line per chest CT series, all others with their reason, nobody named."""

import csv

import numpy as np
import pytest
from dicom_maker import chest, slice_datasets, write
from pydicom.uid import generate_uid

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.cohort.columns import Status
from COVIDQuantLib.cohort.manifest.rows import read_manifest

HU = chest()


def head_ct():
    """Air around and tissue inside, but no lungs."""
    hu = chest()
    hu[(hu < -700) & (np.arange(64) > 8) & (np.arange(64) < 56) & (np.arange(48)[:, None] > 10)] = 35
    return hu


def tags(patient, study, day, number, **more):
    return {
        "PatientID": patient,
        "PatientName": f"Name^{patient}",
        "StudyInstanceUID": study,
        "StudyDate": day,
        "AcquisitionDate": day,
        "SeriesNumber": number,
        "SliceThickness": 1.0,
        "SeriesDescription": f"Thorax of {patient}",
        **more,
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Two patients: Beta with one study, Alpha with two, the later one first; with series of every kind."""
    folder = tmp_path_factory.mktemp("tree")
    early, late, other = generate_uid(), generate_uid(), generate_uid()
    sharp = {"ConvolutionKernel": "B70f"}
    beta = folder / "a_beta"
    write(slice_datasets(HU, **tags("Beta-77", other, "20200301", 2)), beta / "soft [1]")
    write(slice_datasets(HU, **tags("Beta-77", other, "20200301", 3, **sharp)), beta / "sharp")
    write(slice_datasets(head_ct(), **tags("Beta-77", other, "20200301", 4)), beta / "head")
    write(slice_datasets(HU[:1], **tags("Beta-77", other, "20200301", 5)), beta / "scout")
    alpha = folder / "b_alpha"
    write(slice_datasets(HU, **tags("alpha-1", late, "20200410", 2)), alpha / "later")
    # One series in two folders, as some archives store them.
    halves = slice_datasets(HU, **tags("alpha-1", early, "20200402", 2))
    write(halves[:3], alpha / "early" / "1")
    write(halves[3:], alpha / "early" / "2")
    (folder / "b_alpha" / "readme.txt").write_text("Viewer")
    (folder / ".hidden").mkdir()
    return folder


def made(tree, out, *options):
    assert main(["batch", "--make-manifest", str(tree), "--out", str(out), "--quiet", *options]) == 0
    return [list(csv.DictReader((out / name).open(encoding="utf-8"))) for name in ("manifest.csv", "series.csv")]


def test_one_line_per_chest_ct_and_one_chosen_of_each_study(tree, tmp_path):
    manifest, series = made(tree, tmp_path)
    told = [(row["patient"], row["exam"], row["use"], row["kernel"]) for row in manifest]
    assert told == [
        ("P0001", "E1", "yes", "B40f"),
        ("P0001", "E1.2", "no", "B70f"),
        ("P0002", "E1", "yes", "B40f"),
        ("P0002", "E2", "yes", "B40f"),
    ]
    assert [row["path"] for row in manifest] == [
        str(tree / "a_beta" / "soft [1]"),
        str(tree / "a_beta" / "sharp"),
        str(tree / "b_alpha" / "early"),
        str(tree / "b_alpha" / "later"),
    ]
    assert [row["slices"] for row in manifest] == ["12"] * 4
    reasons = {row["number"]: row["reason"] for row in series if row["patient"] == "P0001"}
    assert "no lungs" in reasons["4"]
    assert "1 image" in reasons["5"] or "only 1" in reasons["5"]
    assert "another series of the study was chosen" in reasons["3"]
    assert len(series) == 6


def test_nobody_is_named_and_no_day_unless_asked_for(tree, tmp_path):
    made(tree, tmp_path / "plain")
    text = "".join((tmp_path / "plain" / name).read_text(encoding="utf-8") for name in ("manifest.csv", "series.csv"))
    text = text.replace(str(tree), "")
    for secret in ("Beta-77", "alpha-1", "Name", "Thorax", "2020"):
        assert secret not in text, secret
    manifest, _ = made(tree, tmp_path / "dated", "--dates")
    assert [row["date"] for row in manifest] == ["2020-03-01", "2020-03-01", "2020-04-02", "2020-04-10"]
    assert manifest[0]["patient"] == "P0001"
    manifest, series = made(tree, tmp_path / "named", "--identify")
    assert [row["patient"] for row in manifest] == ["Beta-77", "Beta-77", "alpha-1", "alpha-1"]
    assert series[0]["description"] == "Thorax of Beta-77"


def test_the_manifest_is_one_for_batch(tree, tmp_path):
    made(tree, tmp_path)
    found = read_manifest(tmp_path / "manifest.csv")
    assert [row.status for row in found.rows] == [Status.PENDING, Status.LEFT_OUT, Status.PENDING, Status.PENDING]
    assert set(found.columns) == {"slices", "thickness_mm", "kernel"}
    from COVIDQuantLib.ct.read import read_ct

    for row in found.rows:
        if row.status is Status.PENDING:
            assert read_ct(row.path, row.series).hu.shape == HU.shape


def test_a_copy_of_a_series_is_not_taken_for_a_part(tmp_path):
    datasets = slice_datasets(HU, **tags("x", generate_uid(), "20200301", 2))
    for name in ("one", "copy"):
        write(datasets, tmp_path / "tree" / name)
    manifest, _ = made(tmp_path / "tree", tmp_path / "out")
    assert sorted((row["path"].rpartition("/")[2], row["use"]) for row in manifest) == [("copy", "yes"), ("one", "no")]


def test_a_manifest_is_never_replaced(tree, tmp_path, capsys):
    (tmp_path / "manifest.csv").write_text("filled in by hand")
    assert main(["batch", "--make-manifest", str(tree), "--out", str(tmp_path), "--quiet"]) == 3
    assert "[manifest-exists]" in capsys.readouterr().err
    assert (tmp_path / "manifest.csv").read_text(encoding="utf-8") == "filled in by hand"


def test_a_tree_without_images_and_a_file_are_refused(tmp_path, capsys):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.txt").write_text("x")
    for tree, code in (("tree", "no-image"), ("tree/a.txt", "not-a-folder"), ("none", "no-such-file")):
        out = tmp_path / "out"
        assert main(["batch", "--make-manifest", str(tmp_path / tree), "--out", str(out), "--quiet"]) == 3
        assert f"[{code}]" in capsys.readouterr().err
        assert not out.exists()
