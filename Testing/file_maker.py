"""Volume files of every format made by hand, field by field, so that a test can say what no writer would."""

import bz2
import gzip
import struct
import zlib
from functools import partial

import numpy as np

SHAPE = (12, 10, 14)
SPACING, ORIGIN = (2.0, 3.0, 4.0), (-10.0, 20.0, 30.0)
VALUES = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 1300 - 1000).astype("<i2")
PACK = {"raw": bytes, "gzip": partial(gzip.compress, mtime=0), "zlib": zlib.compress, "bzip2": bz2.compress}

NRRD = {
    "type": "short", "dimension": "3", "space": "left-posterior-superior", "sizes": "14 10 12",
    "space directions": "(2,0,0) (0,3,0) (0,0,4)", "kinds": "domain domain domain", "endian": "little",
    "encoding": "raw", "space origin": "(-10,20,30)",
}  # fmt: skip
META = {
    "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "-10 20 30",
    "ElementSpacing": "2 3 4", "DimSize": "14 10 12", "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL",
}  # fmt: skip
# Struct letters and places of NIfTI-1's fields.
NIFTI = {
    "sizeof_hdr": ("i", 0), "dim": ("8h", 40), "datatype": ("h", 70), "bitpix": ("h", 72), "pixdim": ("8f", 76),
    "vox_offset": ("f", 108), "scl_slope": ("f", 112), "scl_inter": ("f", 116), "xyzt_units": ("B", 123),
    "qform_code": ("h", 252), "sform_code": ("h", 254), "quatern": ("3f", 256), "qoffset": ("3f", 268),
    "srow_x": ("4f", 280), "srow_y": ("4f", 296), "srow_z": ("4f", 312), "magic": ("4s", 344),
}  # fmt: skip
_NIFTI_VALUES = {
    "sizeof_hdr": (348,), "dim": (3, 14, 10, 12, 1, 1, 1, 1), "datatype": (4,), "bitpix": (16,),
    "pixdim": (1, 2, 3, 4, 1, 1, 1, 1), "vox_offset": (352,), "scl_slope": (1,), "scl_inter": (0,), "xyzt_units": (2,),
    "qform_code": (1,), "sform_code": (1,), "quatern": (0, 0, 1), "qoffset": (10, -20, 30),
    "srow_x": (-2, 0, 0, 10), "srow_y": (0, -3, 0, -20), "srow_z": (0, 0, 4, 30), "magic": (b"n+1\0",),
}  # fmt: skip


def changed(fields, changes):
    """Fields with some changed, None taking one away; names with blanks are given with ``_``."""
    merged = {**fields, **{key if key in fields else key.replace("_", " "): value for key, value in changes.items()}}
    return {key: value for key, value in merged.items() if value is not None}


def nrrd(values=VALUES, *, more="", **changes):
    """A NRRD with its voxels attached (``data_file=...`` leaves them out)."""
    fields = changed(NRRD, changes)
    head = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in fields.items()) + more
    if "data file" in fields:
        return head.encode()
    return head.encode() + b"\n" + PACK.get(fields.get("encoding"), bytes)(values.tobytes())


def meta(values=VALUES, **changes):
    """A MetaImage with its voxels attached, unless another data file is named."""
    fields = changed(META, changes)
    told = fields.pop("ElementDataFile", None)
    head = "".join(f"{key} = {value}\n" for key, value in fields.items())
    if told is None:
        return head.encode()
    pack = PACK["zlib" if fields.get("CompressedData") == "True" else "raw"]
    return f"{head}ElementDataFile = {told}\n".encode() + (pack(values.tobytes()) if told == "LOCAL" else b"")


def nifti(values=VALUES, *, order="<", packed=False, **changes):
    """A NIfTI-1 file; a change is a number or a tuple of them."""
    header = bytearray(352)
    for name, value in {**_NIFTI_VALUES, **changes}.items():
        letters, place = NIFTI[name]
        struct.pack_into(order + letters, header, place, *(value if isinstance(value, tuple) else (value,)))
    data = bytes(header) + values.astype(values.dtype.newbyteorder(order)).tobytes()
    return gzip.compress(data, mtime=0) if packed else data
