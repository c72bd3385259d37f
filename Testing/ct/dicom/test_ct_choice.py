"""Out of a folder full of series the best axial chest series is chosen, or the one that the user names."""

import numpy as np
import pytest
from dicom_maker import PATIENT, chest, slice_datasets, write
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid
from test_ct_unfit import structured_report

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UnfitInputError, UsageError

HU = chest()
THIN = chest((30, 48, 64), seed=1)
CORONAL = ((1, 0, 0), (0, 0, -1), (0, 1, 0))


def head_ct():
    """Skull-like: no lungs, yet air around and tissue inside."""
    hu = chest()
    hu[(hu < -700) & (np.arange(64) > 8) & (np.arange(64) < 56) & (np.arange(48)[:, None] > 10)] = 35
    return hu


def series(hu=HU, folder=None, **tags):
    return slice_datasets(hu, **tags), folder


FULL = {
    "best": series(SeriesNumber=2, SeriesDescription="Thorax 1.0 soft", SliceThickness=1.0),
    "sharp": series(SeriesNumber=4, SeriesDescription="Thorax 1.0 lung", SliceThickness=1.0, ConvolutionKernel="B70f"),
    "thick": series(SeriesNumber=5, SeriesDescription="Thorax 8.0", SliceThickness=8.0),
    "coronal": series(
        SeriesNumber=6,
        SeriesDescription="Thorax cor MPR",
        SliceThickness=1.0,
        axes=CORONAL,
        ImageType=["DERIVED", "SECONDARY", "MPR"],
    ),
    "head": series(head_ct(), SeriesNumber=7, SeriesDescription="", SliceThickness=1.0),
    "expiration": series(SeriesNumber=8, SeriesDescription="Thorax exp 1.0", SliceThickness=1.0),
    "scout": series(HU[:1], SeriesNumber=1, SeriesDescription="Scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    "mip": series(SeriesNumber=9, SeriesDescription="Thorax MIP", ImageType=["DERIVED", "SECONDARY", "MIP"]),
    "capture": series(
        SeriesNumber=10, SeriesDescription="Dose", SOPClassUID=SecondaryCaptureImageStorage, PixelSpacing=None
    ),
    "mr": series(SeriesNumber=11, SeriesDescription="Chest MR", Modality="MR"),
}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    for name, (datasets, _) in FULL.items():
        write(datasets, folder / "study" / name)
    write([structured_report()], folder / "study" / "sr")
    (folder / "DICOMDIR").write_bytes(b"junk")
    (folder / "readme.txt").write_text("Viewer")
    return folder


def uid(name):
    return str(FULL[name][0][0].SeriesInstanceUID)


def test_the_best_series_is_chosen_and_says_why(full):
    ct = read_ct(full)
    assert ct.source["series_uid"] == uid("best")
    assert "best of 6 usable series" in ct.source["chosen_because"]
    assert "thin sections" in ct.source["chosen_because"]
    others = {one["number"]: one["reason"] for one in ct.source["other_series"]}
    assert set(others) == {"1", "4", "5", "6", "7", "8", "9", "10", "11"}
    assert "sharp kernel B70f" in others["4"]
    assert "thick sections (8 mm)" in others["5"]
    assert "reformat" in others["6"]
    assert "no lungs found" in others["7"]
    assert "expiration" in others["8"]
    assert (others["1"], others["9"]) == ("a localizer", "a maximum intensity projection")
    assert "Secondary Capture" in others["10"]
    assert "MR" in others["11"]
    assert ct.source["other_files"] == ["Enhanced SR Storage"]


def test_the_record_names_every_other_series_and_no_patient(full):
    others = read_ct(full).source["other_series"]
    assert len(others) == len(FULL) - 1
    assert uid("best") not in repr(others)
    assert not any(value.split("^")[0] in repr(others) for value in PATIENT.values())


NAMES = {
    "uid": lambda: uid("thick"),
    "end of uid": lambda: uid("thick")[-14:],
    "number": lambda: "5",
    "description": lambda: "THORAX 8.0",
    "part of description": lambda: "8.0",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_the_user_names_a_series(full, name):
    ct = read_ct(full, series=name())
    assert ct.source["series_uid"] == uid("thick")
    assert ct.source["chosen_because"] == "named by the user"


def test_a_name_that_fits_several_lists_them(full):
    with pytest.raises(UsageError, match=r"matches 6 series.*Thorax 1.0 lung"):
        read_ct(full, series="thorax")


def test_a_name_that_fits_none_lists_all(full):
    with pytest.raises(UsageError, match=r"no series is “abdomen”.*Thorax 1.0 lung"):
        read_ct(full, series="abdomen")


def test_a_named_series_that_is_unfit_says_why(full):
    with pytest.raises(UnfitInputError, match=r"MIP.*maximum intensity"):
        read_ct(full, series="9")


def test_a_coronal_series_is_read_if_it_is_all_there_is(full):
    ct = read_ct(full, series="6")
    upright, _ = ct.canonical()
    assert upright.geometry.direction == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))


def test_several_patients_are_told(tmp_path):
    write(slice_datasets(HU), tmp_path / "a")
    write(slice_datasets(THIN, spacing=(2, 4, 2), SliceThickness=1.0, PatientID="OTHER-1"), tmp_path / "b")
    ct = read_ct(tmp_path)
    assert "2 patients" in next(w.message for w in ct.warnings if w.code == "several-patients")
    assert "OTHER-1" not in repr((ct.source, ct.warnings))
    assert len(ct.hu) == 30


def test_an_irregular_series_gives_way_to_a_regular_one(tmp_path):
    gappy = slice_datasets(HU, SliceThickness=1.0, SeriesNumber=2)
    del gappy[5]
    write(gappy, tmp_path / "gappy")
    write(slice_datasets(HU, SeriesNumber=9), tmp_path / "whole")
    assert read_ct(tmp_path).source["series_number"] == "9"


def test_a_localizer_within_the_series_is_left_out(tmp_path):
    datasets = slice_datasets(HU)
    scout = slice_datasets(HU[:1], axes=CORONAL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[0]
    scout.SeriesInstanceUID = datasets[0].SeriesInstanceUID
    assert np.array_equal(read_ct(write([*datasets, scout], tmp_path)).hu, HU)


class TestPhases:
    @pytest.fixture
    def two_phases(self, tmp_path):
        first, second = slice_datasets(HU), slice_datasets(chest(seed=5), AcquisitionNumber=2)
        for ds in second:
            ds.SeriesInstanceUID = first[0].SeriesInstanceUID
            ds.SOPInstanceUID = generate_uid()
        return write([*first, *second], tmp_path)

    def test_two_phases_stop_and_are_named(self, two_phases):
        with pytest.raises(UnfitInputError, match=r"2 phases .*3#1 \(acquisition 1\), 3#2 .*--series 3#1"):
            read_ct(two_phases)

    def test_the_user_names_the_phase(self, two_phases):
        assert np.array_equal(read_ct(two_phases, series="3#1").hu, HU)
        assert np.array_equal(read_ct(two_phases, series="3#2").hu, chest(seed=5))

    def test_a_number_without_phase_is_ambiguous(self, two_phases):
        with pytest.raises(UsageError, match=r"matches 2 series"):
            read_ct(two_phases, series="3")
