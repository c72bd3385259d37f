"""Hostile and damaged DICOM: one line, at once, within bounded memory."""

import os
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from dicom_maker import chest, compress, enhanced, slice_datasets, write
from peak_memory import peak_memory
from pydicom.uid import DeflatedExplicitVRLittleEndian

from COVIDQuantLib.ct.read import list_series, read_ct
from COVIDQuantLib.errors import UnfitInputError

HU = chest()
SECONDS = 20.0


def refused(path, *codes):
    began = time.monotonic()
    with pytest.raises(UnfitInputError) as caught:
        read_ct(path)
    assert time.monotonic() - began < SECONDS
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 700
    assert caught.value.code in codes, line
    line.encode()
    return line


def patched(path, tag, value):
    """Overwrite the value of an explicit element of short length, in place."""
    data = bytearray(path.read_bytes())
    at = data.index(tag) + 8
    length = int.from_bytes(data[at - 2 : at], "little")
    data[at : at + length] = value.ljust(length)[:length]
    path.write_bytes(data)


ROWS, COLUMNS = b"\x28\x00\x10\x00US", b"\x28\x00\x11\x00US"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "rle"])
@pytest.mark.parametrize("side", [2000, 65535])
def test_rows_and_columns_that_the_file_cannot_hold(tmp_path, packed, side):
    write([compress(ds) for ds in slice_datasets(HU)] if packed else slice_datasets(HU), tmp_path)
    for path in tmp_path.iterdir():
        patched(path, ROWS, side.to_bytes(2, "little"))
        patched(path, COLUMNS, side.to_bytes(2, "little"))
    line = refused(tmp_path, "damaged-file")
    assert side == 2000 or "claims 65535×65535 pixels" in line


def test_the_claim_costs_no_memory(tmp_path):
    """Read in a process that may have little more than the libraries take."""
    write([compress(ds) for ds in slice_datasets(HU)], tmp_path)
    for path in tmp_path.iterdir():
        patched(path, ROWS, b"\xff\x0f")
        patched(path, COLUMNS, b"\xff\x0f")
    code = (
        "import resource, sys; from COVIDQuantLib.ct.read import read_ct\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_ct(sys.argv[1])\n"
        "except Exception as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code, str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    )
    line, grown = done.stdout.strip().splitlines()
    assert "claims 4095×4095" in line
    assert int(grown) < 100_000


@pytest.mark.parametrize("claim", [b"nan", b"inf", b"-1", b"0", b"1e9", b"9" * 12, b"1.5", b"x"])
def test_numbers_of_frames_that_are_none(tmp_path, claim):
    ds = enhanced(HU, np.ones(len(HU)))
    ds.NumberOfFrames = 100000000000
    write([ds], tmp_path, name="multi.dcm")
    patched(tmp_path / "multi.dcm", b"\x28\x00\x08\x00IS", claim)
    refused(tmp_path, "damaged-file", "no-image", "no-fit-series")
    refused(tmp_path / "multi.dcm", "damaged-file", "no-image", "no-fit-series")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "-1e30", "1e-320", "0", "", "x"])
@pytest.mark.parametrize(
    "keyword",
    ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept",
     "SliceThickness"],
)  # fmt: skip
def test_numbers_that_no_scanner_writes(tmp_path, keyword, value):
    datasets = slice_datasets(HU)
    write(datasets, tmp_path)
    counts = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    text = "\\".join([value] * counts.get(keyword, 1)).encode()
    tags = {
        "ImagePositionPatient": b"\x20\x00\x32\x00DS", "ImageOrientationPatient": b"\x20\x00\x37\x00DS",
        "PixelSpacing": b"\x28\x00\x30\x00DS", "RescaleSlope": b"\x28\x00\x53\x10DS",
        "RescaleIntercept": b"\x28\x00\x52\x10DS", "SliceThickness": b"\x18\x00\x50\x00DS",
    }  # fmt: skip
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        at = data.index(tags[keyword])
        length = int.from_bytes(data[at + 6 : at + 8], "little")
        padded = text + b" " * (len(text) % 2)
        path.write_bytes(data[: at + 6] + len(padded).to_bytes(2, "little") + padded + data[at + 8 + length :])
    if keyword == "SliceThickness" or (keyword == "RescaleIntercept" and value in {"1e-320", "0"}):
        # No figure hangs on the thickness, and an intercept of nothing is judged by the values.
        try:
            ct = read_ct(tmp_path)
        except UnfitInputError as error:
            assert error.code == "not-hounsfield"  # noqa: PT017
        else:
            assert np.array_equal(ct.hu, HU)
        return
    refused(tmp_path, "slice-positions", "orientation", "pixel-size", "no-fit-series", "not-hounsfield", "extent",
            "nothing-measured", "damaged-file")  # fmt: skip


def test_slices_that_lean_out_of_the_picture(tmp_path):
    datasets = slice_datasets(HU, spacing=(0.01, 0.01, 5.0))
    for n, ds in enumerate(datasets):
        ds.ImagePositionPatient = [4.0 * n, 0, 5 * n]
    refused(write(datasets, tmp_path), "displaced-slices")


class TestWhatIsNoFile:
    def test_a_pipe_as_the_ct(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.dcm")
        refused(tmp_path / "pipe.dcm", "not-a-file")

    def test_a_device_as_the_ct(self):
        for device in ("/dev/zero", "/dev/null", "/dev/full"):
            if Path(device).exists():
                refused(device, "not-a-file")

    def test_pipes_sockets_and_devices_in_a_folder(self, tmp_path, monkeypatch):
        write(slice_datasets(HU), tmp_path)
        os.mkfifo(tmp_path / "IM9999")
        (tmp_path / "zero.dcm").symlink_to("/dev/zero")
        (tmp_path / "lost.dcm").symlink_to(tmp_path / "nowhere")
        (tmp_path / "me.dcm").symlink_to(tmp_path / "me.dcm")
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket.dcm")
            assert np.array_equal(read_ct(tmp_path).hu, HU)

    def test_a_link_to_itself_as_the_ct(self, tmp_path):
        (tmp_path / "me.dcm").symlink_to(tmp_path / "me.dcm")
        refused(tmp_path / "me.dcm", "no-such-file", "unreadable")

    def test_a_name_longer_than_the_system_takes(self, tmp_path):
        refused(tmp_path / ("x" * 5000), "no-such-file", "unreadable")

    def test_folders_within_folders_without_end(self, tmp_path):
        write(slice_datasets(HU), tmp_path / "series")
        (tmp_path / "series" / "loop").symlink_to(tmp_path)
        here = os.open(tmp_path, os.O_RDONLY)
        for _ in range(1100):
            os.mkdir("d", dir_fd=here)
            deeper = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        os.close(here)
        try:
            assert np.array_equal(read_ct(tmp_path).hu, HU)
        finally:
            subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "rle"])
class TestNamesThatAreNoText:
    def folder(self, tmp_path, packed):
        datasets = slice_datasets(HU)
        write([compress(ds) for ds in datasets] if packed else datasets, tmp_path / "plain")
        folder = tmp_path / os.fsdecode(b"caf\xe9")
        folder.mkdir()
        for path in (tmp_path / "plain").iterdir():
            path.rename(folder / (os.fsdecode(b"\xff") + path.name))
        return folder

    def test_they_are_read(self, tmp_path, packed):
        ct = read_ct(self.folder(tmp_path, packed))
        assert np.array_equal(ct.hu, HU)
        repr((ct.source, ct.warnings)).encode()
        assert ct.source["name"] == "caf�"

    def test_they_are_told(self, tmp_path, packed):
        folder = self.folder(tmp_path, packed)
        for path in folder.iterdir():
            os.truncate(path, 900)
        refused(folder, "damaged-file", "no-fit-series", "no-image")
        refused(f"{folder}x", "no-such-file")


def test_a_deflated_file_that_inflates_without_end(tmp_path):
    write(slice_datasets(HU), tmp_path)
    path = tmp_path / "IM0003"
    ds = slice_datasets(HU[:1])[0]
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    at = data.index(DeflatedExplicitVRLittleEndian.encode()) + len(DeflatedExplicitVRLittleEndian)
    meta = 144 + int.from_bytes(data[140:144], "little")
    assert at < meta
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(bytes(1 << 24)) for _ in range(6)) + packer.flush()
    path.write_bytes(data[:meta] + bomb)
    assert "inflates" in refused(tmp_path, "damaged-file")


def test_fields_of_any_length_are_told_shortly(tmp_path):
    write(slice_datasets(HU, SeriesDescription="[/red]\n" + "x" * 60000, SeriesNumber=3)[:4], tmp_path)
    refused(tmp_path, "no-fit-series")
    assert len(list_series(tmp_path)) == 1


@pytest.mark.parametrize("syntax", ["explicit", "meta"])
def test_an_element_that_claims_gigabytes_asks_for_no_memory(tmp_path, syntax):
    """Python allocates what it is asked to read before it meets the end of the file."""
    write(slice_datasets(HU), tmp_path)
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        tag = b"\x02\x00\x01\x00OB\0\0" if syntax == "meta" else b"\xe0\x7f\x10\x00OW\0\0"
        at = data.index(tag) + len(tag)
        path.write_bytes(data[:at] + b"\x00\x00\x00\xe0" + data[at + 4 :])
    with peak_memory() as peak:
        if syntax == "meta":
            refused(tmp_path, "damaged-file", "no-image", "no-fit-series")
        else:
            # The pixels are all there, whatever their length is said to be.
            assert np.array_equal(read_ct(tmp_path).hu, HU)
    assert peak.traced < 24 << 20
