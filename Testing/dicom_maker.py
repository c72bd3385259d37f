"""Small chests and the DICOM files of them, made on the fly."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

PATIENT = {"PatientName": "Hidden^Herbert", "PatientID": "SECRET-4711", "PatientBirthDate": "19311113"}


def chest(shape=(12, 48, 64), seed=0) -> np.ndarray:
    """int16 HU ``[k, j, i]``: an oval body with two lungs, a spine and noise that makes every slice its own."""
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    hu = np.full(shape, -1000.0)
    hu[(i / 0.9) ** 2 + (j / 0.85) ** 2 < 1] = 40
    for side in (-0.42, 0.42):
        hu[((i - side) / 0.3) ** 2 + (j / 0.6) ** 2 + (0.3 * k) ** 2 < 1] = -850
    hu[i**2 + ((j - 0.6) / 0.8) ** 2 < 0.02] = 300
    noise = np.random.default_rng(seed).normal(0, 8, shape)
    return np.rint(hu + noise).clip(-1024, 3071).astype(np.int16)


def slice_datasets(
    hu: np.ndarray,
    spacing=(2.0, 4.0, 5.0),
    origin=(-60.0, -90.0, 30.0),
    axes=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    step=None,
    slope=1.0,
    intercept=-1024.0,
    signed=True,
    bits=16,
    **tags: Any,
) -> list[Dataset]:
    """One CT image per slice. ``spacing`` is along i, j, k; ``step`` (default k axis × spacing) leads to the next."""
    axes = np.asarray(axes, float)
    step = axes[2] * spacing[2] if step is None else np.asarray(step, float)
    series, frame_of_reference, study = generate_uid(), generate_uid(), generate_uid()
    datasets = []
    for n, values in enumerate(hu):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = Dataset()
        ds.file_meta = meta
        meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame_of_reference
        ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 3, 1, n + 1
        ds.SeriesDescription, ds.ConvolutionKernel = "CHEST 1.0 B40f", "B40f"
        for keyword, value in PATIENT.items():
            setattr(ds, keyword, value)
        position = np.asarray(origin) + n * step
        ds.ImagePositionPatient = [round(float(x), 6) for x in position]
        ds.ImageOrientationPatient = [round(float(x), 9) for x in (*axes[0], *axes[1])]
        ds.PixelSpacing, ds.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        ds.Rows, ds.Columns = values.shape
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits, bits - 1, int(signed)
        if slope is not None:
            ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = slope, intercept, "HU"
        stored = np.rint((values.astype(float) - (intercept if slope else 0)) / (slope or 1))
        set_pixels(ds, stored)
        for keyword, value in tags.items():
            setattr(ds, keyword, value)
        datasets.append(ds)
    return datasets


def set_pixels(ds: Dataset, stored: np.ndarray) -> None:
    kind = f"<{'i' if ds.PixelRepresentation else 'u'}{ds.BitsAllocated // 8}"
    ds.PixelData = stored.astype(kind).tobytes()
    ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"


def write(datasets: Iterable[Dataset], folder: Path, name="IM{:04d}", change: Callable | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for n, ds in enumerate(datasets):
        if change:
            change(n, ds)
        ds.save_as(folder / name.format(n), enforce_file_format=True)
    return folder


def compress(ds: Dataset) -> Dataset:
    ds.compress(RLELossless, generate_instance_uid=False)
    return ds


def jpeg(ds: Dataset, kind: str, folder: Path) -> Dataset:
    """Pack the stored values as GDCM does: ``JPEG`` (lossless) or ``JPEG2000`` (lossless)."""
    frames = int(ds.get("NumberOfFrames", 1))
    dtype = "<i2" if ds.PixelRepresentation else "<u2"
    stored = np.frombuffer(ds.PixelData, dtype).reshape(frames, ds.Rows, ds.Columns)
    packed = []
    for n, values in enumerate(stored):
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.UseCompressionOn()
        writer.SetCompressor(kind)
        writer.SetFileName(str(folder / f"packed{n}.dcm"))
        writer.Execute(sitk.GetImageFromArray(values))
        made = dcmread(folder / f"packed{n}.dcm")
        packed += list(generate_frames(made.PixelData, number_of_frames=1))
    ds.PixelData = encapsulate(packed)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = made.file_meta.TransferSyntaxUID
    return ds


def big_endian(ds: Dataset) -> Dataset:
    ds.PixelData = np.frombuffer(ds.PixelData, "<i2").astype(">i2").tobytes()
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    return ds


def enhanced(hu: np.ndarray, slopes: np.ndarray, spacing=(2.0, 4.0, 5.0), origin=(-60.0, -90.0, 30.0)) -> Dataset:
    """One multi-frame file; every frame has its own rescale slope, position in its functional groups."""
    ds = slice_datasets(hu[:1], spacing, origin)[0]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(ds, keyword)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        delattr(ds, keyword)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = EnhancedCTImageStorage
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_item(PixelSpacing=[spacing[1], spacing[0]], SliceThickness=spacing[2])])
    shared.PlaneOrientationSequence = Sequence([_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
    shared.CTImageFrameTypeSequence = Sequence([_item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for n, slope in enumerate(slopes):
        group = Dataset()
        place = [origin[0], origin[1], origin[2] + n * spacing[2]]
        group.PlanePositionSequence = Sequence([_item(ImagePositionPatient=place)])
        group.PixelValueTransformationSequence = Sequence(
            [_item(RescaleSlope=float(slope), RescaleIntercept=-1024.0, RescaleType="HU")]
        )
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    ds.NumberOfFrames = len(hu)
    set_pixels(ds, np.rint((hu.astype(float) + 1024) / slopes[:, None, None]))
    return ds


def _item(**tags: Any) -> Dataset:
    item = Dataset()
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return item
