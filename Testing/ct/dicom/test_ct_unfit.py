"""Every way a DICOM folder can be unfit stops with one line that says what, where and what to do."""

import contextlib
import re
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import chest, compress, enhanced, set_pixels, slice_datasets, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage, SecondaryCaptureImageStorage, generate_uid

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UnfitInputError

HU = chest()


def stops(path, *words):
    """Reading stops with status 3 and one line that holds every word (patterns)."""
    with pytest.raises(UnfitInputError) as caught:
        read_ct(path)
    line = str(caught.value)
    assert caught.value.exit_status == 3
    assert "\n" not in line
    assert caught.value.remedy
    assert len(line) < 600
    for word in words:
        assert re.search(word, line, re.IGNORECASE), line
    return line


def setting(keyword, value, only=None):
    """A change of the datasets: one tag of every slice, or of one."""

    def change(datasets):
        for n, ds in enumerate(datasets):
            if only is None or n == only:
                setattr(ds, keyword, value)

    return change


def without(*keywords):
    def change(datasets):
        for ds in datasets:
            for keyword in keywords:
                delattr(ds, keyword)

    return change


def smaller_slice(datasets):
    datasets[4].Rows, datasets[4].Columns = 24, 32
    set_pixels(datasets[4], np.zeros((24, 32)))


def turned_slice(datasets):
    datasets[4].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def moved(n, mm):
    def change(datasets):
        x, y, z = datasets[n].ImagePositionPatient
        datasets[n].ImagePositionPatient = [x, y, float(z) + mm]

    return change


def eight_bit(datasets):
    for ds in datasets:
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
        set_pixels(ds, np.zeros((ds.Rows, ds.Columns)))


def colour(datasets):
    eight_bit(datasets)
    for ds in datasets:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.PixelData = bytes(3 * ds.Rows * ds.Columns)


def sideways(datasets):
    x, y, z = datasets[5].ImagePositionPatient
    datasets[5].ImagePositionPatient = [float(x) + 30, y, z]


def one_place(datasets):
    for ds in datasets:
        ds.ImagePositionPatient = [0, 0, 0]


def noise_slice(datasets):
    set_pixels(datasets[6], np.random.default_rng(0).integers(0, 4000, (48, 64)))


def capture(datasets):
    setting("SOPClassUID", SecondaryCaptureImageStorage)(datasets)
    without("RescaleSlope", "RescaleIntercept")(datasets)


def raw_counts(datasets):
    for ds in datasets:
        ds.RescaleIntercept = 0


CHANGES = {
    "MR": (setting("Modality", "MR"), "modality MR"),
    "MR storage": (setting("SOPClassUID", MRImageStorage), "MR Image Storage"),
    "secondary capture": (capture, "Secondary Capture"),
    "no rescale": (without("RescaleSlope", "RescaleIntercept"), "no rescale slope"),
    "rescale slope 0": (setting("RescaleSlope", 0), "slope 0"),
    "other unit": (setting("RescaleType", "Z_EFF"), "Z_EFF"),
    "intercept lost": (raw_counts, "no air|no value is negative"),
    "8 bit": (eight_bit, "8-bit"),
    "colour": (colour, "colour"),
    "few slices": (lambda d: d.__delitem__(slice(4, None)), "only 4 slices"),
    "missing slice": (lambda d: d.__delitem__(5), r"1 slice missing between 50\.00 and 60\.00 mm"),
    "same place twice": (moved(5, -5), r"two slices at the same position.* 50\.00 mm .*IM0004.*IM0005"),
    "uneven": (moved(5, 1.8), "unevenly spaced: "),
    "all in one place": (one_place, "the same position"),
    "turned slice": (turned_slice, "different orientations .*IM0004"),
    "smaller slice": (smaller_slice, "differ in size: 64×48 .*32×24"),
    "other pixel size": (setting("PixelSpacing", [3, 3], only=7), "differ in pixel size"),
    "pixel size 0": (setting("PixelSpacing", [0, 0]), "pixel size"),
    "negative pixel size": (setting("PixelSpacing", [-1, 1]), "pixel size"),
    "no pixel size": (without("PixelSpacing"), "pixel size"),
    "absurd pixel size": (setting("PixelSpacing", [90, 90]), "too large"),
    "tiny pixel size": (setting("PixelSpacing", [0.001, 0.001]), "not a chest"),
    "no position": (without("ImagePositionPatient"), "slice position"),
    "no orientation": (without("ImageOrientationPatient"), "orientation"),
    "impossible orientation": (setting("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "orientation"),
    "displaced slice": (sideways, "displaced sideways by up to 30"),
    "noise for a slice": (noise_slice, "slice 7 of 12 .*does not fit its neighbours"),
    "maximum intensity projection": (setting("ImageType", ["DERIVED", "SECONDARY", "MIP"]), "maximum intensity"),
    "localizer": (setting("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), "localizer"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_an_unfit_series_stops(tmp_path, change, words):
    datasets = slice_datasets(HU)
    change(datasets)
    stops(write(datasets, tmp_path), words)


def test_many_missing_slices_are_summed_up(tmp_path):
    datasets = slice_datasets(chest((30, 48, 64)))
    for n in (25, 20, 15, 10, 5):
        del datasets[n]
    stops(write(datasets, tmp_path), r"about 5 slices missing between 50\.00 and 60\.00 mm, .* and in 2 more places")


def test_spacing_that_is_no_number(tmp_path):
    datasets = slice_datasets(HU)
    write(datasets, tmp_path)
    path = tmp_path / "IM0003"
    data = path.read_bytes()
    assert b"4.0\\2.0 " in data
    path.write_bytes(data.replace(b"4.0\\2.0 ", b"NaN\\NaN "))
    stops(tmp_path, "pixel size|damaged")


def test_a_constant_volume_is_no_chest(tmp_path):
    stops(write(slice_datasets(np.full_like(HU, 40)), tmp_path), "not Hounsfield units")


def test_only_padding_is_no_chest(tmp_path):
    stops(write(slice_datasets(np.full_like(HU, -3024)), tmp_path), "every voxel is padding")


class TestDamagedFiles:
    @pytest.mark.parametrize("kept", [0, 0.02, 0.1, 0.2, 0.5, 0.98])
    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "rle"])
    def test_a_cut_off_slice_is_named(self, tmp_path, kept, packed):
        datasets = slice_datasets(HU)
        write([compress(ds) for ds in datasets] if packed else datasets, tmp_path, name="IM{:04d}.dcm")
        path = tmp_path / "IM0005.dcm"
        data = path.read_bytes()
        path.write_bytes(data[: int(kept * len(data))])
        stops(
            tmp_path,
            r"IM0005\.dcm|between 50",
            "empty|begin|truncated|damaged|cut off|missing|no series|no rescale|too few",
        )

    @pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
    @pytest.mark.shared
    def test_a_cut_off_jpeg_is_named(self, tmp_path, shared_data, share):
        shutil.copytree(shared_data / "ricord1a_dicom_slab", tmp_path / "slab")
        path = tmp_path / "slab" / "1-115.dcm"
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        stops(tmp_path / "slab", r"1-115\.dcm", "truncated|damaged")

    @pytest.mark.shared
    def test_jpeg_rubbish_that_still_decodes_is_noticed(self, tmp_path, shared_data):
        shutil.copytree(shared_data / "ricord1a_dicom_slab", tmp_path / "slab")
        path = tmp_path / "slab" / "1-115.dcm"
        data = bytearray(path.read_bytes())
        data[len(data) // 4 : len(data) // 4 + 400] = bytes(400)
        path.write_bytes(data)
        stops(tmp_path / "slab", "does not fit its neighbours|damaged")

    def test_a_damaged_file_in_another_folder_is_told(self, tmp_path):
        write(slice_datasets(HU), tmp_path / "good")
        write(slice_datasets(HU)[:1], tmp_path / "bad", name="cut.dcm")
        (tmp_path / "bad" / "cut.dcm").write_bytes(b"")
        ct = read_ct(tmp_path)
        assert "cut.dcm" in next(w.message for w in ct.warnings if w.code == "damaged-files")

    def test_a_cut_off_multi_frame_file(self, tmp_path):
        write([enhanced(HU, np.ones(len(HU)))], tmp_path, name="multi.dcm")
        path = tmp_path / "multi.dcm"
        path.write_bytes(path.read_bytes()[:-5000])
        stops(path, r"multi\.dcm", "damaged")

    def test_a_multi_frame_file_that_forgets_frames(self, tmp_path):
        ds = enhanced(HU, np.ones(len(HU)))
        del ds.PerFrameFunctionalGroupsSequence[-1]
        write([ds], tmp_path, name="multi.dcm")
        stops(tmp_path, "announces 12 frames but describes 11")

    def test_a_multi_frame_file_without_places(self, tmp_path):
        ds = enhanced(HU, np.ones(len(HU)))
        del ds.PerFrameFunctionalGroupsSequence, ds.SharedFunctionalGroupsSequence
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        write([ds], tmp_path, name="multi.dcm")
        stops(tmp_path, "does not give their positions")


SMALL = chest((6, 40, 48))


@pytest.fixture(scope="module")
def victims(tmp_path_factory):
    """A file to damage and what is read then: a slice of a series, a multi-frame file, two volume files."""
    folder = tmp_path_factory.mktemp("victims")
    series = write(slice_datasets(SMALL), folder / "series")
    multi = write([enhanced(SMALL, np.ones(len(SMALL)))], folder / "multi", name="multi.dcm")
    found = [(series / "IM0002", series), (multi / "multi.dcm", multi)]
    for name in ("ct.nii", "ct.nrrd"):
        image = sitk.GetImageFromArray(SMALL)
        image.SetSpacing((4.0, 4.0, 5.0))
        sitk.WriteImage(image, str(folder / name))
        found.append((folder / name, folder / name))
    return found


@settings(max_examples=60, deadline=None)
@given(which=st.integers(0, 3), seed=st.integers(0, 2**32 - 1), end=st.sampled_from([300, 1200, None]))
def test_random_damage_is_read_or_refused_but_never_surprises(victims, which, seed, end):
    file, read = victims[which]
    whole = file.read_bytes()
    damaged, rng = bytearray(whole), np.random.default_rng(seed)
    place = int(rng.integers(min(len(whole), end or len(whole))))
    match seed % 3:
        case 0:
            damaged[place] = int(rng.integers(256))
        case 1:
            damaged[place : place + 8] = rng.integers(0, 256, 8, dtype=np.uint8).tobytes()
        case _:
            del damaged[place : place + int(rng.integers(1, 40))]
    file.write_bytes(damaged)
    try:
        # Any other error than these fails the test.
        with contextlib.suppress(UnfitInputError):
            ct = read_ct(read)
            assert ct.hu.shape == ct.geometry.shape
    finally:
        file.write_bytes(whole)


class TestNoCTAtAll:
    def test_no_such_folder(self, tmp_path):
        stops(tmp_path / "nowhere", "no such file", "nowhere")

    def test_an_empty_folder(self, tmp_path):
        stops(tmp_path, "no DICOM image")

    def test_a_folder_of_other_things(self, tmp_path):
        (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4" + bytes(500))
        (tmp_path / "notes.txt").write_text("DICOM")
        (tmp_path / "._IM0001.dcm").write_bytes(b"\0\5\x16\7")
        stops(tmp_path, "no DICOM image")

    def test_only_objects_without_an_image(self, tmp_path):
        write([structured_report()], tmp_path)
        stops(tmp_path, "no image, only .*SR")

    def test_one_slice_asks_for_the_folder(self, tmp_path):
        write(slice_datasets(HU), tmp_path)
        stops(tmp_path / "IM0003", "only 1 slice", "Give the folder")


def structured_report() -> Dataset:
    ds = slice_datasets(HU[:1])[0]
    for keyword in ("Rows", "Columns", "PixelData", "BitsAllocated", "RescaleSlope", "RescaleIntercept"):
        delattr(ds, keyword)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"
    ds.Modality, ds.SeriesInstanceUID = "SR", generate_uid()
    return ds


def test_the_same_file_twice_is_one_slice(tmp_path):
    write(slice_datasets(HU), tmp_path)
    shutil.copy(tmp_path / "IM0003", tmp_path / "copy of IM0003")
    assert np.array_equal(read_ct(tmp_path).hu, HU)


def test_positions_rounded_by_the_header_are_no_fault(tmp_path):
    datasets = slice_datasets(HU, spacing=(2.0, 4.0, 5.0))
    for n, ds in enumerate(datasets):
        ds.ImagePositionPatient = [-60, -90, round(30 + 5.004 * n, 1)]
    ct = read_ct(write(datasets, tmp_path))
    assert ct.geometry.spacing[2] == pytest.approx(5.0, abs=0.01)


def test_slight_unevenness_is_told(tmp_path):
    datasets = slice_datasets(HU)
    moved(5, 0.5)(datasets)
    ct = read_ct(write(datasets, tmp_path))
    assert "uneven-spacing" in {w.code for w in ct.warnings}
