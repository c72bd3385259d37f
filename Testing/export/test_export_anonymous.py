"""What is written names nobody unless asked: hashes stand for names and UIDs, figures and technical facts stay."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.anonymous import HASHED, hashed, redacted, without_names
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.simulation.phantom.files import write_phantom
from COVIDQuantLib.voxels.geometry import Geometry

SHAPE = (4, 5, 6)
SOURCE = {
    "name": "Miller_Anna 1950",
    "format": "DICOM",
    "modality": "CT",
    "study_uid": "1.2.826.0.1.3680043.8.498.7",
    "series_uid": "1.2.826.0.1.3680043.8.498.7.1",
    "series_number": "3",
    "series_description": "Thorax Miller",
    "phase": "acquisition 1",
    "manufacturer": "SIEMENS",
    "model": "Force",
    "kernel": "Br64",
    "contrast_agent": "Ultravist Miller",
    "slice_thickness_mm": 1.0,
    "slice_shifts_pixels": [[0, 1]],
    "chosen_because": "the only fit series: axial, kernel Br64",
    "other_series": [{"uid": "1.2.3.4.5.6", "number": "4", "description": "Miller lung", "reason": "only 2 slices"}],
    "other_files": ["DICOMDIR"],
}
PROVENANCE = {
    "lobes": {"method": "given", "source": "Anna lobes.nii.gz"},
    "lesions": {
        "method": "network",
        "model": {"name": "lesions-default", "version": "1", "sha256": {"slices": "ab" * 32}},
    },
}


def exam(source=SOURCE, provenance=PROVENANCE, warnings=()):
    ct = CTVolume(
        np.zeros(SHAPE, np.int16), Geometry(SHAPE, (1.0, 1.0, 1.0)), source=dict(source), warnings=list(warnings)
    )
    segmentation = Segmentation(np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool), provenance, list(warnings))
    histogram = JointHistogram(0.001)
    return Exam(ct, segmentation, histogram, compute_metrics(histogram))


def test_names_and_uids_are_hashed_and_technical_facts_stay():
    shown = without_names(exam()).ct.source
    for key in ("name", "study_uid", "series_uid", "series_description", "contrast_agent"):
        assert shown[key] == hashed(SOURCE[key])
        assert re.fullmatch(r"sha256:[0-9a-f]{16}", shown[key])
    for key in (
        "format",
        "modality",
        "series_number",
        "phase",
        "manufacturer",
        "model",
        "kernel",
        "slice_thickness_mm",
        "slice_shifts_pixels",
        "chosen_because",
        "other_files",
    ):
        assert shown[key] == SOURCE[key]
    assert set(shown) == {*SOURCE, "hashed"}
    assert shown["other_series"][0]["description"] == hashed("Miller lung")
    assert shown["other_series"][0]["uid"] == hashed("1.2.3.4.5.6")
    assert shown["other_series"][0]["reason"] == "only 2 slices"


def test_provenance_keeps_models_and_hashes_files():
    shown = without_names(exam()).segmentation.provenance
    assert shown["lobes"] == {"method": "given", "source": hashed("Anna lobes.nii.gz")}
    assert shown["lesions"] == PROVENANCE["lesions"]


def test_the_exam_itself_is_not_changed():
    one = exam(warnings=[CTWarning("odd", "“Miller”")])
    without_names(one)
    assert one.ct.source == SOURCE
    assert one.segmentation.provenance == PROVENANCE
    assert one.ct.warnings[0].message == "“Miller”"


@pytest.mark.parametrize(
    "message",
    [
        "Anna lobes.nii.gz lies on another grid and was resampled: 5.1 to 4.9 mL.",
        "The mask Anna lobes: nothing.",
        "3 damaged files in other folders left out: Miller A.dcm, /home/miller/x.IMA, Miller2.dcm.",
        "Thorax Miller of one of them was taken.",
        "series “Miller thorax” was left out.",
        "series 1.2.826.0.1.3680043.8.498.7.1#2 was left out.",
        r"C:\Users\Miller\ct.nrrd is odd",
        "../Miller/ct is odd",
    ],
)
def test_no_name_stays_in_a_warning(message):
    (shown,) = without_names(exam(warnings=[CTWarning("odd", message)])).ct.warnings
    assert "iller" not in shown.message
    assert "Anna" not in shown.message
    assert "3680043" not in shown.message
    assert HASHED in shown.message


def test_names_of_segments_are_hashed_unless_they_are_ours():
    text = "segments not drawn on the CT's voxels and counted by nearest neighbour: right upper lobe, Miller"
    (shown,) = without_names(exam(warnings=[CTWarning("segment-off-grid", text)])).ct.warnings
    assert shown.message.endswith(f": right upper lobe, {hashed('Miller')}")


@pytest.mark.parametrize(
    "message",
    [
        "Sections of 5.227 mm: measurements are coarse and depend on where the sections happen to lie.",
        "21.2 % of the image was not measured (padding) and is left out of all measurements.",
        (
            "The lungs are cut off at the highest slice (1 cm²): volumes cover only the visible part, and its "
            "lobes are a rough guess."
        ),
        "The lungs measure only 880 mL.",
    ],
)
def test_plain_warnings_stay_as_they_are(message):
    (shown,) = without_names(exam(warnings=[CTWarning("odd", message)])).ct.warnings
    assert shown.message == message


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=3), st.sampled_from([".nii.gz", ".nrrd", ".dcm", ""]))
def test_any_known_name_is_gone(name, ending):
    source = {"name": name + ending, "series_description": name}
    message = f"the file {name}{ending} is odd"
    shown = without_names(exam(source, {}, [CTWarning("odd", message)]))
    assert shown.ct.source["series_description"] in (hashed(name), name if name.isdigit() and len(name) <= 4 else None)
    assert without_names(shown).ct.source == shown.ct.source


@given(st.text())
def test_hashes_are_stable_short_and_stay(text):
    once = hashed(text)
    assert hashed(once) == once
    assert len(once) <= max(23, len(text))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_sentence_can_be_redacted(text):
    redacted(text, ["name", "(", "a b"])


# --------------------------------------------------------------------------------------------------- the command line

NAME, UID = "MILLERANNA", "1.2.826.0.1.3680043.8.498.42"


@pytest.fixture(scope="module")
def named(tmp_path_factory, once):
    """A CT and masks whose names are a patient's."""
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(once.phantom(seed=1, thickness_mm=10.0, matrix=64, extent_percent=10.0), folder)
    for name in ("ct", "lobes", "lesions"):
        (folder / f"{name}.nrrd").rename(folder / f"{NAME}_{name}.nrrd")
    return folder


def quantify(folder, out, *options):
    masks = [f"--{name}={folder / f'{NAME}_{name}.nrrd'}" for name in ("lobes", "lesions")]
    arguments = [str(folder / f"{NAME}_ct.nrrd"), *masks, f"--out={out}", "--quiet", "--nifti", *options]
    return main(["quantify", "--method=model-free", *arguments])


def bytes_of(folder):
    import gzip

    data = b""
    for path in folder.iterdir():
        content = path.read_bytes()
        data += path.name.encode() + content
        if content.startswith(b"\x1f\x8b"):
            data += gzip.decompress(content)
    return data


def test_no_file_names_the_patient(named, tmp_path):
    assert quantify(named, tmp_path / "out") == 0
    assert NAME.encode() not in bytes_of(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert record["input"]["name"] == hashed(f"{NAME}_ct.nrrd")
    assert record["segmentation"]["lobes"]["source"] == hashed(f"{NAME}_lobes.nrrd")


def test_identify_writes_the_names(named, tmp_path):
    assert quantify(named, tmp_path / "out", "--identify", "--no-picture") == 0
    record = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert record["input"]["name"] == f"{NAME}_ct.nrrd"
    assert record["segmentation"]["lesions"]["source"] == f"{NAME}_lesions.nrrd"


def test_uids_of_a_series_are_not_written():
    source = {**SOURCE, "study_uid": UID, "frames": [{"uid": UID + ".1"}]}
    assert UID not in json.dumps(dict(without_names(exam(source)).ct.source))


@pytest.mark.parametrize("identify", [False, True])
def test_a_reference_names_nobody_unless_asked(tmp_path, monkeypatch, identify):
    folder = tmp_path / "normals"
    (folder / "Hidden Herbert").mkdir(parents=True)
    (folder / "Anna_4711.nrrd").write_bytes(b"x")
    found = (np.ones(4096, np.int64), {"lung_volume_ml": 4000.0, "lungs": "thresholds"}, [])
    monkeypatch.setattr("COVIDQuantLib.cli.commands.reference._subject", lambda *_: found)
    out = tmp_path / "reference.json"
    options = ["--identify"] if identify else []
    assert main(["reference", str(folder), "--out", str(out), "--licence", "in-house", *options]) == 0
    names = ["Anna_4711.nrrd", "Hidden Herbert"]
    subjects = json.loads(out.read_text(encoding="utf-8"))["subjects"]
    assert [subject["name"] for subject in subjects] == (names if identify else [hashed(name) for name in names])
    assert all(subject["licence"] == "in-house" and subject["lungs"] == "thresholds" for subject in subjects)
    assert identify or not any(word in out.read_text(encoding="utf-8") for word in ("Herbert", "Anna"))
