"""Read CTs and label maps stored in one file: NIfTI, NRRD, MetaImage.

Headers and voxels are read here and not by ITK's readers, which trust the file: they overrun buffers, allocate
whatever a header claims, and ignore damage. The format is recognised by the content, not by the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.ct.files.formats import metaimage_header, nifti_header, nrrd_header
from COVIDQuantLib.ct.files.inflate import GZIP_MAGIC
from COVIDQuantLib.ct.files.input_files import check_input, shown
from COVIDQuantLib.ct.files.volume_header import VolumeHeader
from COVIDQuantLib.ct.files.voxel_data import Voxels, first_bytes, read_voxels
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry

FORMATS = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr) or MetaImage (.mha, .mhd)"
_PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"}
# Other file types by their first bytes, for the message to a user who sees only the name.
_OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"PK\x05\x06": "an empty zip archive",
    b"\x89PNG": "an image (PNG)",
    b"\xff\xd8\xff": "an image (JPEG)",
    b"II*\x00": "an image (TIFF)",
    b"MM\x00*": "an image (TIFF)",
    b"\x89HDF": "HDF5 or MINC",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"Rar!": "a rar archive: unpack it first",
    b"BZh": "a bzip2 archive: unpack it first",
    b"\xfd7zX": "an xz archive: unpack it first",
    b"%PDF": "a PDF",
    b"# vtk": "VTK",
    b"<?xml": "XML",
    b"version https://git-lfs": "a Git LFS pointer: fetch the file itself",
}
_START_BYTES = 4096


@dataclass
class VolumeFile:
    """A volume as stored in its file.

    Attributes:
        voxels: ``[k, j, i]``, or ``[k, j, i, value]`` with several values per voxel.
        header: the file's description of them.
    """

    voxels: Voxels
    header: VolumeHeader

    @property
    def values(self) -> np.ndarray:
        """The true values in one array; slices of :attr:`voxels` need less memory if the header scales them."""
        return self.voxels.whole()

    @property
    def geometry(self) -> Geometry:
        """The grid."""
        return self.header.geometry

    @property
    def warnings(self) -> list[CTWarning]:
        """Warnings about the header."""
        return list(self.header.warnings)

    def image(self) -> sitk.Image:
        """A SimpleITK image, with NRRD's key/value pairs as its metadata."""
        image = sitk.GetImageFromArray(self.values, isVector=self.voxels.stored.ndim == 4)
        image.SetSpacing(self.geometry.spacing)
        image.SetOrigin(self.geometry.origin)
        image.SetDirection(self.geometry.direction)
        for key, value in self.header.fields.items():
            image.SetMetaData(key, value)
        return image


def read_volume_file(path: Path, *, layers: bool = False) -> VolumeFile:
    """Read the voxels and the header of one file, with warnings.

    Args:
        path: the file.
        layers: whether several values per voxel (layers of a segmentation) are allowed.

    Raises:
        UnfitInputError: the file is missing, unreadable, damaged, too large, not three-dimensional, or has an invalid
            grid.
    """
    header = read_header(path, layers=layers)
    try:
        return VolumeFile(read_voxels(header), header)
    except OSError as error:
        raise UnfitInputError(
            f"it cannot be read ({error.strerror or error})", header.name, "Check its permissions.", "unreadable"
        ) from error
    except MemoryError as error:
        extent = " × ".join(str(n) for n in header.geometry.shape[::-1])
        raise UnfitInputError(
            f"{extent} voxels do not fit into this computer's memory",
            header.name,
            "Crop or resample it.",
            "too-large",
        ) from error


def read_header(path: Path, *, layers: bool = True) -> VolumeHeader:
    """Read a file's header without reading the voxels.

    Args:
        path: the file.
        layers: whether several values per voxel are allowed.

    Raises:
        UnfitInputError: as :func:`read_volume_file`, except for damage to the voxels.
    """
    path = _header_of_pair(path)
    name = shown(path.name)
    if path.suffix.lower() in _PICTURES:
        raise UnfitInputError(
            "a photo or screenshot is not a CT: it has no Hounsfield units", name, f"Give DICOM, {FORMATS}.", "picture"
        )
    check_input(path)
    try:
        header = _parsed(path, name)
        # Evaluated here, so that an excessive claim is also refused when only headers are read.
        header.voxel_bytes  # noqa: B018
    except OSError as error:
        raise UnfitInputError(
            f"it cannot be read ({error.strerror or error})", name, "Check its permissions.", "unreadable"
        ) from error
    if header.components > 1 and not layers:
        raise UnfitInputError(
            f"the image has {header.components} values per voxel (colour or several images)",
            name,
            "Give an image of Hounsfield units.",
            "several-values",
        )
    return header


def _parsed(path: Path, name: str) -> VolumeHeader:
    start = first_bytes(path, _START_BYTES, packed=False)
    packed = start.startswith(GZIP_MAGIC)
    # Only the header: damage after it is reported when the voxels are read.
    inner = first_bytes(path, nifti_header.HEADER_BYTES, packed=True) if packed else start
    if nifti_header.is_nifti(inner):
        return nifti_header.parse_nifti(inner[: nifti_header.HEADER_BYTES], path, name, packed=packed)
    if start.startswith(nrrd_header.MAGIC):
        return nrrd_header.parse_nrrd(first_bytes(path, nrrd_header.HEADER_BYTES, packed=False), path, name)
    if metaimage_header.is_meta(start):
        return metaimage_header.parse_meta(first_bytes(path, metaimage_header.HEADER_BYTES, packed=False), path, name)
    raise UnfitInputError(_no_volume(inner, packed=packed), name, f"Give DICOM, {FORMATS}.", "unknown-kind")


def _header_of_pair(path: Path) -> Path:
    """The ``.hdr`` beside an ``.img``."""
    header = path.with_suffix(".hdr") if path.suffix.lower() == ".img" else path
    try:
        return header if header.is_file() else path
    except (OSError, ValueError):
        return path


def _no_volume(inner: bytes, *, packed: bool) -> str:
    if packed and (inner.startswith(nrrd_header.MAGIC) or metaimage_header.is_meta(inner)):
        return (
            "the file type is not supported: an NRRD or MetaImage file compressed again with gzip, so unpack it first"
        )
    if packed and not inner:
        return "the file type is not supported, or the file is damaged (its compressed data cannot be unpacked)"
    known = next((kind for magic, kind in _OTHER_KINDS.items() if inner.startswith(magic)), "")
    if not known and inner and inner.isascii():
        known = "text"
    return (
        f"the file type is not supported ({known})"
        if known
        else ("the file type is not supported, or the file is damaged")
    )
