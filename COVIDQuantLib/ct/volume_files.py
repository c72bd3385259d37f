"""CTs and label maps in one file: NIfTI, NRRD, MetaImage."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.ct.itk_files import first_reason, image_reader, itk_silent
from COVIDQuantLib.ct.nifti_data import check_nifti_data
from COVIDQuantLib.errors import UnfitInputError

FORMATS = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr) or MetaImage (.mha, .mhd)"
_FORMAT_OF_SUFFIX = {
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".nrrd": "NRRD",
    ".nhdr": "NRRD",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
}
_PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"}


def read_volume(path: Path, *, layers: bool = False) -> tuple[sitk.Image, str]:
    """A three-dimensional image from one file, and the name of its format.

    Args:
        path: the file.
        layers: whether several values per voxel (layers of a segmentation) are allowed.

    Raises:
        UnfitInputError: the file is missing, unreadable, damaged, not three-dimensional, or has a grid that cannot be.
    """
    name = path.name
    if path.suffix.lower() in _PICTURES:
        raise UnfitInputError("a picture is no CT: it has no Hounsfield units", name, f"Give DICOM, {FORMATS}.")
    reader = image_reader(path)
    try:
        with itk_silent():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise UnfitInputError(_why_unreadable(error), name, f"Give DICOM, {FORMATS}.") from error
    _check_header(reader, name, layers=layers)
    try:
        with itk_silent():
            image = reader.Execute()
    except RuntimeError as error:
        raise UnfitInputError(
            f"the file is truncated or damaged ({first_reason(error)})", name, "Copy it again."
        ) from error
    if _format_of(path) == "NIfTI":
        missing = check_nifti_data(path)
        if missing is not None:
            image = _with_nan(image, missing)
    if image.GetDimension() == 4:
        image = image[:, :, :, 0]
    return image, _format_of(path)


def _with_nan(image: sitk.Image, missing: np.ndarray) -> sitk.Image:
    """The image with NaN where the file has no number."""
    values = sitk.GetArrayFromImage(image)
    values[missing.reshape(values.shape)] = np.nan
    restored = sitk.GetImageFromArray(values)
    restored.CopyInformation(image)
    return restored


def _format_of(path: Path) -> str:
    name = path.name.lower()
    return next((known for suffix, known in _FORMAT_OF_SUFFIX.items() if name.endswith(suffix)), "volume file")


def _check_header(reader: sitk.ImageFileReader, name: str, *, layers: bool) -> None:
    size, spacing = reader.GetSize(), reader.GetSpacing()
    if len(size) == 4 and size[3] > 1:
        raise UnfitInputError(f"the image has four dimensions ({size[3]} time points)", name, "Give one time point.")
    if len(size) not in {3, 4}:
        raise UnfitInputError(f"the image has {len(size)} dimensions, a CT has three", name, "Give the whole volume.")
    if reader.GetNumberOfComponents() > 1 and not layers:
        raise UnfitInputError(
            f"the image has {reader.GetNumberOfComponents()} values per voxel (colour or several images)",
            name,
            "Give an image of Hounsfield units.",
        )
    check_spacing(spacing[:3], name)
    check_numbers((*reader.GetOrigin(), *reader.GetDirection()), name)


def check_spacing(spacing: tuple[float, ...], name: str) -> None:
    """Refuse spacing that cannot be.

    Raises:
        UnfitInputError: zero, negative, not a number.
    """
    if not all(math.isfinite(s) and s > 0 for s in spacing):
        told = " × ".join(f"{s:g}" for s in spacing)
        raise UnfitInputError(f"the header's voxel size {told} mm cannot be", name, "Export it again.")


def check_numbers(values: tuple[float, ...], name: str) -> None:
    """Refuse an origin or direction that is not a number.

    Raises:
        UnfitInputError: NaN or infinity.
    """
    if not np.isfinite(values).all():
        raise UnfitInputError("the header's origin or direction is not a number", name, "Export it again.")


def _why_unreadable(error: RuntimeError) -> str:
    text = str(error)
    if "Unable to determine ImageIO reader" in text:
        return "the file is of no kind that can be read, or damaged"
    return f"the file cannot be read ({first_reason(error)})"
