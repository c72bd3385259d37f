"""The picture's size stands in every packed codestream too; it is read from there and held against the header."""

import struct

import numpy as np
import pytest
from dicom_maker import chest, jpeg, slice_datasets, write
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames

from COVIDQuantLib.ct.dicom.codestreams import announced_size, fragments
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UnfitInputError

HU = chest((6, 40, 48))
LARGE = 60000


def packed(kind, folder):
    return [jpeg(dataset, kind, folder) for dataset in slice_datasets(HU)]


@pytest.mark.parametrize("kind", ["JPEG2000", "JPEG"])
def test_codestreams_announce_the_picture_they_hold(kind, tmp_path):
    for dataset in packed(kind, tmp_path):
        (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
        assert announced_size(stream) == HU.shape[1:]


def enlarged(stream):
    """The codestream with a height of its own invention."""
    if stream.startswith(b"\xff\x4f"):
        return stream[:12] + struct.pack(">I", LARGE) + stream[16:]
    frame = next(at for marker in (0xC0, 0xC1, 0xC3) if (at := stream.find(bytes((0xFF, marker)))) > 0)
    return stream[: frame + 5] + struct.pack(">H", LARGE) + stream[frame + 7 :]


@pytest.mark.parametrize("kind", ["JPEG2000", "JPEG"])
def test_a_codestream_that_announces_more_than_the_header_is_refused(kind, tmp_path):
    datasets = packed(kind, tmp_path)
    (stream,) = generate_frames(datasets[2].PixelData, number_of_frames=1)
    large = enlarged(stream)
    datasets[2].PixelData = datasets[2].PixelData.replace(stream, large)
    assert announced_size(large) == (LARGE, HU.shape[2])
    with pytest.raises(UnfitInputError, match=f"its packed picture has {HU.shape[2]}×{LARGE} pixels") as refused:
        read_ct(write(datasets, tmp_path / "series"))
    assert refused.value.code == "damaged-file"


def test_packed_slices_are_rescaled_as_plain_ones(tmp_path):
    plain = slice_datasets(HU, RescaleSlope=1.01, RescaleIntercept=-1024.3)
    whole = read_ct(write(plain, tmp_path / "plain")).hu
    read = read_ct(write([jpeg(ds, "JPEG2000", tmp_path) for ds in plain], tmp_path / "packed")).hu
    assert np.array_equal(read, whole)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\xff\x4f\xff\x51"]))
def test_any_bytes_are_walked_through(data, head):
    size = announced_size(head + data)
    assert size is None or len(size) == 2
    assert all(isinstance(part, bytes) for part in fragments(b"\xfe\xff\x00\xe0\0\0\0\0" + data))
