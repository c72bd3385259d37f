"""What people's folders really hold: odd identifiers, stray pictures, overlaps. Read as the plain series, and told."""

import shutil
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import chest, compress, enhanced, slice_datasets, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from COVIDQuantLib.ct.read import list_series, read_ct
from COVIDQuantLib.errors import UnfitInputError, UsageError

HU = chest()
OTHER = chest(seed=5)
CORONAL = ((1, 0, 0), (0, 0, -1), (0, 1, 0))


def reads(folder, expected=HU, codes=(), series=None):
    """The CT holds just these voxels and says just this (beside what every thick section says)."""
    ct = read_ct(folder, series)
    assert np.array_equal(ct.hu, expected)
    assert {w.code for w in ct.warnings} - {"thick-sections"} == set(codes)
    return ct


def refused(folder, code, series=None):
    with pytest.raises(UnfitInputError) as caught:
        read_ct(folder, series)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def same_series(datasets, *others):
    for ds in (one for other in others for one in other):
        ds.SeriesInstanceUID, ds.StudyInstanceUID = datasets[0].SeriesInstanceUID, datasets[0].StudyInstanceUID
    return [*datasets, *(one for other in others for one in other)]


class TestIdentifiers:
    """Anonymisers give every file identifiers of its own, the same ones, or none."""

    def test_a_series_uid_per_slice(self, tmp_path):
        datasets = slice_datasets(HU)
        for ds in datasets:
            ds.SeriesInstanceUID = generate_uid()
        reads(write(datasets, tmp_path), codes={"series-uids-differ"})

    def test_series_study_and_patient_of_its_own_per_slice(self, tmp_path):
        datasets = slice_datasets(HU)
        for n, ds in enumerate(datasets):
            ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.PatientID = generate_uid(), generate_uid(), f"P{n}"
        reads(write(datasets, tmp_path), codes={"series-uids-differ", "patient-ids-differ"})

    def test_no_series_uid(self, tmp_path):
        datasets = slice_datasets(HU)
        for ds in datasets:
            del ds.SeriesInstanceUID
        reads(write(datasets, tmp_path), codes={"series-uid-missing"})

    def test_no_series_uid_in_two_series(self, tmp_path):
        both = [*slice_datasets(HU, SeriesNumber=2), *slice_datasets(OTHER, SeriesNumber=5)]
        for ds in both:
            del ds.SeriesInstanceUID
        write(both, tmp_path)
        reads(tmp_path, OTHER, {"series-uid-missing"}, series="5")

    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "rle"])
    def test_one_instance_uid_for_all(self, tmp_path, packed):
        datasets = slice_datasets(HU)
        for ds in datasets:
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        datasets = [compress(ds) for ds in datasets] if packed else datasets
        reads(write(datasets, tmp_path), codes={"instance-uids-same"})

    def test_a_patient_id_per_slice(self, tmp_path):
        datasets = slice_datasets(HU)
        for n, ds in enumerate(datasets):
            ds.PatientID = f"PAT-{n}"
        ct = reads(write(datasets, tmp_path), codes={"patient-ids-differ"})
        assert "PAT-" not in repr((ct.source, ct.warnings))

    def test_two_people_under_one_series_uid_stay_two(self, tmp_path):
        one, other = slice_datasets(HU), slice_datasets(OTHER, PatientID="B")
        write(same_series(one, other), tmp_path)
        assert len(list_series(tmp_path)) == 2

    def test_single_pictures_of_different_grids_are_no_series(self, tmp_path):
        for n in range(6):
            ds = slice_datasets(HU[:1], spacing=(2.0 + n, 4.0, 5.0))
            write(ds, tmp_path / str(n))
        refused(tmp_path, "no-fit-series")


class TestOddPictures:
    def test_a_screenshot(self, tmp_path):
        datasets = slice_datasets(HU)
        shot = slice_datasets(HU[:1], SOPClassUID=SecondaryCaptureImageStorage)[0]
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
            delattr(shot, keyword)
        write(same_series(datasets, [shot]), tmp_path)
        (tmp_path / "IM0012").rename(tmp_path / "A shot")
        ct = reads(tmp_path, codes={"odd-slices"})
        assert "A shot" in next(w.message for w in ct.warnings if w.code == "odd-slices")

    def test_a_screenshot_in_colour_stored_as_ct(self, tmp_path):
        shot = slice_datasets(HU[:1])[0]
        shot.SamplesPerPixel, shot.PhotometricInterpretation, shot.PlanarConfiguration = 3, "RGB", 0
        shot.BitsAllocated, shot.BitsStored, shot.HighBit, shot.PixelRepresentation = 8, 8, 7, 0
        shot.PixelData = bytes(3 * shot.Rows * shot.Columns)
        reads(write(same_series(slice_datasets(HU), [shot]), tmp_path), codes={"odd-slices"})

    @pytest.mark.parametrize(
        "tags",
        [{"axes": CORONAL}, {"spacing": (2.5, 4.0, 5.0)}, {"hu": np.zeros((1, 32, 40), np.int16)}, {"slope": None}],
        ids=["coronal", "other pixels", "other matrix", "no rescale"],
    )
    def test_one_picture_of_another_kind(self, tmp_path, tags):
        tags = {"hu": HU[:1], **tags}
        stray = slice_datasets(origin=(-60, -90, 500), **tags)
        reads(write(same_series(slice_datasets(HU), stray), tmp_path), codes={"odd-slices"})

    def test_a_localizer(self, tmp_path):
        scout = slice_datasets(HU[:1], axes=CORONAL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        reads(write(same_series(slice_datasets(HU), scout), tmp_path), codes={"odd-slices"})

    def test_a_twin_with_the_same_pixels(self, tmp_path):
        twin = slice_datasets(HU)[4:5]
        reads(write(same_series(slice_datasets(HU), twin), tmp_path), codes={"twin-slices"})

    def test_a_twin_with_other_pixels(self, tmp_path):
        twin = slice_datasets(OTHER)[4:5]
        assert "two slices" in refused(write(same_series(slice_datasets(HU), twin), tmp_path), "double-slices")

    def test_a_whole_series_twice(self, tmp_path):
        reads(write(same_series(slice_datasets(HU), slice_datasets(HU)), tmp_path), codes={"twin-slices"})

    @pytest.mark.parametrize("ends", [(0,), (11,), (0, 11), (10, 11)])
    @pytest.mark.parametrize("value", [-1024, -3024])
    def test_blank_ends(self, tmp_path, ends, value):
        hu = HU.copy()
        hu[list(ends)] = value
        ct = reads(write(slice_datasets(hu), tmp_path), np.delete(HU, ends, axis=0), {"blank-slices"})
        assert ct.geometry.origin[2] == 30.0 + 5.0 * (0 in ends)

    @pytest.mark.parametrize(("n", "mm"), [(11, -1.25), (0, 1.25), (11, 1.8), (0, -1.8)])
    def test_an_end_at_another_distance(self, tmp_path, n, mm):
        datasets = slice_datasets(HU)
        x, y, z = datasets[n].ImagePositionPatient
        datasets[n].ImagePositionPatient = [x, y, float(z) + mm]
        reads(write(datasets, tmp_path), np.delete(HU, n, axis=0), {"odd-end-slice"})

    def test_a_missing_slice_beside_an_odd_picture_is_still_missing(self, tmp_path):
        datasets = slice_datasets(HU)
        del datasets[5]
        stray = slice_datasets(HU[:1], axes=CORONAL)
        refused(write(same_series(datasets, stray), tmp_path), "orientation")


class TestOverlap:
    def parts(self, shared=1, second=None):
        """Two acquisitions of one chest that share so many slices."""
        first, rest = slice_datasets(HU), slice_datasets(HU if second is None else second, AcquisitionNumber=2)
        return same_series(first[:6], rest[6 - shared :])

    def test_two_acquisitions_that_share_a_slice(self, tmp_path):
        ct = reads(write(self.parts(), tmp_path), codes={"acquisitions-joined"})
        assert "2 acquisitions" in next(w.message for w in ct.warnings if w.code == "acquisitions-joined")

    def test_the_shared_slice_may_differ_and_the_earlier_is_kept(self, tmp_path):
        expected = np.concatenate([HU[:6], OTHER[6:]])
        reads(write(self.parts(second=OTHER), tmp_path), expected, {"acquisitions-joined"})

    def test_acquisitions_that_meet_need_no_word(self, tmp_path):
        reads(write(self.parts(shared=0), tmp_path))

    def test_three_acquisitions(self, tmp_path):
        hu = chest((24, 48, 64))
        goes = [slice_datasets(hu, spacing=(2, 4, 3), AcquisitionNumber=n, SliceThickness=1.0) for n in (1, 2, 10)]
        write(same_series(goes[0][:9], goes[1][8:17], goes[2][16:]), tmp_path)
        assert np.array_equal(read_ct(tmp_path).hu, hu)

    @pytest.mark.parametrize("shared", [4, 5])
    def test_much_in_common_is_no_overlap(self, tmp_path, shared):
        message = refused(write(self.parts(shared=shared), tmp_path), "several-phases")
        assert "acquisition 2" in message


class TestUnits:
    @pytest.mark.parametrize(
        "unit", ["US", "HU", "hu", "HU ", "H.U.", "Hounsfield", "HOUNSFIELD UNITS", "[HU]", "unspecified", "", None]
    )
    def test_spellings_of_hounsfield(self, tmp_path, unit):
        reads(write(slice_datasets(HU, RescaleType=unit), tmp_path))

    @pytest.mark.parametrize("unit", ["Z_EFF", "MGML", "ED", "PCT", "HU_MOD", "OD"])
    def test_other_units(self, tmp_path, unit):
        assert unit in refused(write(slice_datasets(HU, RescaleType=unit), tmp_path), "no-fit-series")

    def test_unspecified_is_believed_only_by_the_values(self, tmp_path):
        refused(write(slice_datasets(HU, intercept=-1024, RescaleIntercept=0, RescaleType="US"), tmp_path),
                "not-hounsfield")  # fmt: skip

    def test_a_series_written_by_simpleitk(self, tmp_path):
        image = sitk.GetImageFromArray(HU)
        for k in range(len(HU)):
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            part = image[:, :, k]
            place = ("0020|0032", f"-60\\-90\\{30 + 5 * k}")
            for key, value in (place, ("0020|000e", "1.2.3"), ("0020|000d", "1.2.4"), ("0008|0018", f"1.2.3.{k}"),
                               ("0008|0060", "CT"), ("0020|0037", "1\\0\\0\\0\\1\\0")):  # fmt: skip
                part.SetMetaData(key, value)
            part.SetSpacing((2.0, 4.0))
            writer.SetFileName(str(tmp_path / f"{k}.dcm"))
            writer.Execute(part)
        reads(tmp_path)


class TestWrapping:
    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "rle"])
    def test_ct_stored_as_secondary_capture(self, tmp_path, packed):
        datasets = slice_datasets(HU, SOPClassUID=SecondaryCaptureImageStorage, ImageType=["DERIVED", "SECONDARY"])
        for ds in datasets:
            ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        datasets = [compress(ds) for ds in datasets] if packed else datasets
        reads(write(datasets, tmp_path), codes={"secondary-capture"})

    @pytest.mark.parametrize("description", ["Scout + Thorax", "Topogram 0.6 / CHEST 1.0", "SURVIEW and Lung"])
    def test_a_description_that_names_the_scout_too(self, tmp_path, description):
        reads(write(slice_datasets(HU, SeriesDescription=description), tmp_path))

    def test_a_stack_of_scouts_is_none(self, tmp_path):
        folder = write(slice_datasets(HU, SeriesDescription="Scout", axes=CORONAL), tmp_path)
        assert "localizer" in refused(folder, "no-fit-series")

    @staticmethod
    def ending(path, tail):
        data = path.read_bytes()
        end = data.rindex(b"\xfe\xff\xdd\xe0\0\0\0\0")
        path.write_bytes(data[:end] + tail)

    @pytest.mark.parametrize("tail", [b"", bytes(10), bytes(9000), b"\xfe\xff\xdd\xe0\0\0\0\0" + bytes(9000)])
    @pytest.mark.parametrize("multi", [False, True], ids=["classic", "multi-frame"])
    def test_packed_pixels_without_end_or_with_padding(self, tmp_path, tail, multi):
        datasets = [enhanced(HU, np.ones(len(HU)))] if multi else slice_datasets(HU)
        write([compress(ds) for ds in datasets], tmp_path)
        for path in tmp_path.iterdir():
            self.ending(path, tail)
        reads(tmp_path)

    @pytest.mark.parametrize("lost", [1, 30, 400])
    def test_packed_pixels_cut_off_are_refused(self, tmp_path, lost):
        write([compress(ds) for ds in slice_datasets(HU)], tmp_path)
        self.ending(tmp_path / "IM0004", b"")
        path = tmp_path / "IM0004"
        path.write_bytes(path.read_bytes()[:-lost])
        assert "IM0004" in refused(tmp_path, "damaged-file")


class TestTimePoints:
    def two_times(self, tags):
        """One multi-frame file with HU at time 1 and OTHER at time 2; ``tags(n, t)`` marks the frames."""
        first = enhanced(np.concatenate([HU, OTHER]), np.ones(2 * len(HU)))
        for n, group in enumerate(first.PerFrameFunctionalGroupsSequence):
            k, t = n % len(HU), n // len(HU) + 1
            group.PlanePositionSequence[0].ImagePositionPatient = [-60, -90, 30 + 5 * k]
            item = Dataset()
            for keyword, value in tags(k + 1, t).items():
                setattr(item, keyword, value)
            group.FrameContentSequence = [item]
        return first

    MARKS: ClassVar = {
        "temporal position": lambda k, t: {"TemporalPositionIndex": t, "DimensionIndexValues": [t, k]},
        "acquisition": lambda k, t: {"FrameAcquisitionNumber": 8 + t},
        "dimension 2": lambda k, t: {"DimensionIndexValues": [k, t]},
        "acquisition time": lambda k, t: {"FrameAcquisitionDateTime": f"2020010110300{t}"},
    }

    @pytest.mark.parametrize("name", MARKS)
    def test_the_time_is_named(self, tmp_path, name):
        write([self.two_times(self.MARKS[name])], tmp_path, name="multi.dcm")
        assert name in refused(tmp_path / "multi.dcm", "several-phases")
        for series, expected in (("3#1", HU), ("3#2", OTHER)):
            reads(tmp_path / "multi.dcm", expected, series=series)

    def test_phases_are_counted_as_numbers(self, tmp_path):
        goes = [slice_datasets(chest(seed=n), AcquisitionNumber=n) for n in (2, 10)]
        write(same_series(*goes), tmp_path)
        reads(tmp_path, chest(seed=2), series="3#1")


class TestDirectory:
    def dicomdir(self, folder, names):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
        ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.FileSetID = "X"
        if names is not None:
            ds.DirectoryRecordSequence = []
            for name in names:
                record = Dataset()
                record.DirectoryRecordType = "IMAGE"
                record.add(DataElement("ReferencedFileID", "CS", name, validation_mode=IGNORE))
                ds.DirectoryRecordSequence.append(record)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds.save_as(folder / "DICOMDIR", enforce_file_format=True)
        return folder / "DICOMDIR"

    def test_the_files_it_lists(self, tmp_path):
        write(slice_datasets(HU), tmp_path / "DICOM" / "A", name="IM{:04d}")
        write(slice_datasets(OTHER), tmp_path / "other")
        path = self.dicomdir(tmp_path, [["DICOM", "A", f"IM{n:04d}"] for n in range(len(HU))])
        assert reads(path).source["name"] == tmp_path.name

    def test_written_in_small_letters_by_the_copy(self, tmp_path):
        write(slice_datasets(HU), tmp_path / "dicom", name="im{:04d}")
        reads(self.dicomdir(tmp_path, [["DICOM", f"IM{n:04d}"] for n in range(len(HU))]))

    @pytest.mark.parametrize("names", [None, [], [["GONE", "IM0001"]]])
    def test_its_folder_where_it_lists_nothing_that_is_there(self, tmp_path, names):
        write(slice_datasets(HU), tmp_path / "sub")
        reads(self.dicomdir(tmp_path, names))

    def test_it_may_not_lead_out_of_its_folder(self, tmp_path):
        write(slice_datasets(HU), tmp_path / "outside")
        (tmp_path / "disc").mkdir()
        names = [["..", "outside", f"IM{n:04d}"] for n in range(len(HU))]
        refused(self.dicomdir(tmp_path / "disc", [*names, str(tmp_path / "outside" / "IM0000")]), "no-image")


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_oddities_together_are_read_as_the_plain_series(tmp_path_factory, data):
    """Any of these faults, in any order of files, leaves every voxel where it was."""
    folder = tmp_path_factory.mktemp("odd")
    faults = data.draw(st.sets(st.sampled_from(["uids", "instance", "patients", "scout", "twin", "unit", "rle"])))
    datasets = slice_datasets(HU, RescaleType="US" if "unit" in faults else "HU")
    if "rle" in faults:
        datasets = [compress(ds) for ds in datasets]
    if "scout" in faults:
        datasets = same_series(datasets, slice_datasets(HU[:1], axes=CORONAL))
    if "twin" in faults:
        datasets = same_series(datasets, slice_datasets(HU)[5:6])
    for n, ds in enumerate(datasets):
        if "uids" in faults:
            ds.SeriesInstanceUID = generate_uid()
        if "instance" in faults:
            ds.SOPInstanceUID = "1.2.3"
        if "patients" in faults:
            ds.PatientID = f"P{n}"
    order = data.draw(st.permutations(range(len(datasets))))
    assert np.array_equal(read_ct(write([datasets[n] for n in order], folder)).hu, HU)
    shutil.rmtree(folder)


def test_a_named_series_of_many_digits(tmp_path):
    write(slice_datasets(HU), tmp_path)
    for name in ("3" * 5000, "3#" + "1" * 5000, "#" * 5000, "3#²"):
        with pytest.raises(UsageError) as caught:
            read_ct(tmp_path, name)
        assert len(str(caught.value)) < 500


@pytest.mark.shared
def test_the_cases_of_people(shared_data):
    plain = None
    for name in ("02-*/dcm", "01-*/dcm", "07-*/dcm", "09-*/dcm", "11-*/dcm", "12-*/dcm", "14-*/e.dcm", "15-*/dcm"):
        path = next((shared_data / "faults").glob(name))
        path = path / "DICOMDIR" if name.startswith("15") else path
        ct = read_ct(Path(path), "3#1" if name.startswith("14") else None)
        plain = ct.hu if plain is None else plain
        assert np.array_equal(ct.hu, plain), name
    short = read_ct(next((shared_data / "faults").glob("17-*/dcm")))
    assert np.array_equal(short.hu, plain[:-1])
