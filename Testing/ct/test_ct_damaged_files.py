"""Damaged and hostile volume files: one line, soon, without the memory they ask for; nothing outside their folder."""

import bz2
import gzip
import os
import socket
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from file_maker import VALUES, meta, nifti, nrrd
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ct_nifti import refused
from test_ct_unfit import stops

from COVIDQuantLib.ct.files import size_limits
from COVIDQuantLib.ct.files.size_limits import MAX_VOXELS, check_size
from COVIDQuantLib.ct.files.volume_files import read_volume_file
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UnfitInputError

# Noise, so that a flipped byte seldom breaks the stream itself: only the checksum then knows.
NOISE = np.random.default_rng(0).integers(-1000, 1000, (12, 10, 14)).astype("<i2")
PACKED = {
    "gzip.nrrd": nrrd(NOISE, encoding="gzip"),
    "bzip2.nrrd": nrrd(NOISE, encoding="bzip2"),
    "zlib.mha": meta(NOISE, CompressedData="True"),
    "gzip.mha": meta(NOISE[:0], CompressedData="True")[:-8] + gzip.compress(NOISE.tobytes(), mtime=0),
    "ct.nii.gz": nifti(NOISE, packed=True),
}
unix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


def written(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", PACKED)
def test_whole_ones_are_read(tmp_path, name):
    assert np.array_equal(read_volume_file(written(tmp_path / name, PACKED[name])).values, NOISE)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(PACKED)), places=st.lists(st.integers(0, 10**6), min_size=1, max_size=3), data=st.data()
)
def test_flipped_bytes_never_change_a_voxel(tmp_path_factory, name, places, data):
    whole = PACKED[name]
    # Behind the header, which has no checksum of its own.
    start = {"nrrd": whole.find(b"\n\n") + 2, "mha": whole.find(b"LOCAL\n") + 6, "gz": 0}[name.split(".")[-1]]
    damaged = bytearray(whole)
    for place in places:
        damaged[start + place % (len(whole) - start)] ^= data.draw(st.integers(1, 255))
    path = written(tmp_path_factory.mktemp("flip") / name, bytes(damaged))
    try:
        volume = read_volume_file(path)
    except UnfitInputError:
        return
    # The flag, time and system bytes of gzip's own header mean nothing for the voxels.
    assert np.array_equal(volume.values, NOISE)


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("kind", ["cut", "checksum", "more", "rest"])
def test_streams_that_are_not_whole(tmp_path, name, kind):
    data = PACKED[name]
    if kind == "cut":
        data = data[:-3]
    elif kind == "checksum":
        data = (
            data[:-6] + bytes([data[-6] ^ 1]) + data[-5:]
            if "gz" in name
            else data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]
        )
    elif kind == "more":
        data = data.replace(b"12\nspace d", b"11\nspace d").replace(b"DimSize = 14 10 12", b"DimSize = 14 10 11")
        if data == PACKED[name]:
            data = nifti(np.concatenate([NOISE, NOISE[:1]]), packed=True)
    elif "bzip2" in name:
        pytest.skip("bzip2 files may be padded")
    else:
        data += b"something else"
    refused(written(tmp_path / name, data), "damaged-file", "truncated or damaged")


def test_members_one_after_another_are_one_stream(tmp_path):
    half = NOISE.nbytes // 2
    parts = [NOISE.tobytes()[:half], NOISE.tobytes()[half:]]
    for name, pack in (("gzip", gzip.compress), ("bzip2", bz2.compress)):
        data = nrrd(NOISE[:0], encoding="raw").replace(b"encoding: raw", f"encoding: {name}".encode())
        path = written(tmp_path / "a.nrrd", data + b"".join(map(pack, parts)))
        assert np.array_equal(read_volume_file(path).values, NOISE)


def test_a_ct_with_three_flipped_bytes_is_not_quantified(tmp_path):
    hu = np.random.default_rng(1).integers(-1000, 200, (34, 48, 64)).astype("<i2")
    for name, data in (
        ("ct.mha", meta(hu, CompressedData="True", DimSize="64 48 34")),
        ("ct.nrrd", nrrd(hu, encoding="gzip", sizes="64 48 34")),
    ):
        broken = bytearray(data)
        for place in (len(data) // 3, len(data) // 2, 2 * len(data) // 3):
            broken[place] ^= 0x55
        stops(written(tmp_path / name, bytes(broken)), name, "truncated or damaged", "Copy it again")


# ------------------------------------------------------------------------------------------------- claims and memory


def peak_of_refusal(path, code, *words):
    tracemalloc.start()
    began = time.perf_counter()
    try:
        refused(path, code, *words)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - began < 10
    return peak


@pytest.mark.parametrize("pack", ["raw", "gzip", "bzip2"])
def test_a_claim_is_held_against_the_file_before_memory_is_asked_for(tmp_path, pack):
    # Within the limit, but far more than so few bytes can hold: 1.9 GB.
    claim = nrrd(NOISE, encoding=pack, sizes="1000 1000 950")
    assert peak_of_refusal(written(tmp_path / "a.nrrd", claim), "damaged-file") < 8e6


def test_claims_of_the_other_formats(tmp_path):
    size = "1000 1000 950"
    for data in (meta(DimSize=size), meta(DimSize=size, CompressedData="True")):
        assert peak_of_refusal(written(tmp_path / "a.mha", data), "damaged-file", "1900000000") < 8e6
    for packed in (False, True):
        data = nifti(packed=packed, dim=(3, 1000, 1000, 950, 1, 1, 1, 1))
        assert peak_of_refusal(written(tmp_path / "a.nii", data), "damaged-file", "1900000000") < 8e6


def test_a_bomb_is_unpacked_no_further_than_the_claim(tmp_path):
    bomb = bytes(60_000_000)
    for name, data in (
        ("a.nii.gz", gzip.compress(nifti()[:352] + bomb, 1, mtime=0)),
        ("a.nrrd", nrrd(VALUES[:0], encoding="hex").replace(b"hex", b"gzip") + gzip.compress(bomb, 1, mtime=0)),
        ("a.mha", meta(CompressedData="True").split(b"LOCAL")[0] + b"LOCAL\n" + zlib.compress(bomb, 1)),
        ("b.nrrd", nrrd(VALUES[:0], encoding="hex").replace(b"hex", b"bzip2") + bz2.compress(bomb, 1)),
    ):
        assert peak_of_refusal(written(tmp_path / name, data), "damaged-file", "more than") < 16e6
    assert peak_of_refusal(written(tmp_path / "x.gz", gzip.compress(bomb, 1, mtime=0)), "unknown-kind") < 16e6


@pytest.mark.parametrize("data", [nrrd(sizes="1400 1400 1000"), meta(DimSize="1400 1400 1000")])
def test_the_limit_is_told(tmp_path, data):
    assert peak_of_refusal(written(tmp_path / "a", data), "too-large", "1400 × 1400 × 1000", "1074 million") < 8e6


@given(sizes=st.lists(st.integers(-5, 2**70), max_size=4), width=st.integers(1, 64))
def test_the_limit_in_any_numbers(sizes, width):
    fits = bool(sizes) and min(sizes) > 0
    voxels = np.prod([int(n) for n in sizes], dtype=object) if sizes else 0
    fits = fits and voxels <= MAX_VOXELS and voxels * width <= size_limits.MAX_BYTES
    if fits:
        assert check_size(sizes, width, "x") == voxels * width
        return
    with pytest.raises(UnfitInputError) as caught:
        check_size(sizes, width, "x")
    assert len(str(caught.value)) < 400


# ------------------------------------------------------------------------------------------------------ odd files


@unix
@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha", "ct.dcm", "ct"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    (tmp_path / f"link {name}").symlink_to(tmp_path / name)
    stops(tmp_path / name, "named pipe")
    stops(tmp_path / f"link {name}", "named pipe")


@unix
def test_devices_and_sockets():
    stops(Path("/dev/null"), "device")
    stops(Path("/dev/zero"), "device")


@unix
def test_a_socket(tmp_path, monkeypatch):
    # Sockets' paths must be short.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("ct.nii")
        stops(Path("ct.nii"), "socket")


@unix
def test_a_pipe_behind_a_header(tmp_path):
    os.mkfifo(tmp_path / "pipe.raw")
    for name, data in (("a.nhdr", nrrd(data_file="pipe.raw")), ("a.mhd", meta(ElementDataFile="pipe.raw"))):
        refused(written(tmp_path / name, data), "bad-data-file", "named pipe", "pipe.raw")
    refused(written(tmp_path / "b.nhdr", nrrd(data_file="/dev/zero")), "data-file-outside")


@pytest.mark.parametrize(
    "named", ["../secret.raw", "sub/../../secret.raw", "/etc/hostname", "..\\secret.raw", "C:\\secret.raw",
              "C:secret.raw", "\\\\server\\share\\x.raw", "//server/share/x.raw", "link.raw", "way/secret.raw"]
)  # fmt: skip
def test_data_stay_within_the_headers_folder(tmp_path, named):
    folder = tmp_path / "case"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.raw").write_bytes(VALUES.tobytes())
    if hasattr(os, "mkfifo"):
        (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
        (folder / "way").symlink_to(tmp_path)
    elif "/" in named or "link" in named:
        pytest.skip("links need rights on this system")
    for name, data in (("a.nhdr", nrrd(data_file=named)), ("a.mhd", meta(ElementDataFile=named))):
        refused(written(folder / name, data), "data-file-outside", "outside its own folder")


def test_links_within_the_folder_are_followed(tmp_path):
    (tmp_path / "data.raw").write_bytes(VALUES.tobytes())
    try:
        (tmp_path / "link.raw").symlink_to("data.raw")
    except OSError:
        pytest.skip("links need rights on this system")
    path = written(tmp_path / "a.mhd", meta(ElementDataFile="link.raw"))
    assert np.array_equal(read_volume_file(path).values, VALUES)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("ct.nii", b"", "empty"), ("ct.nrrd", b"", "empty"), ("ct.nrrd", b"PK\x03\x04" + bytes(90), "zip"),
        ("ct.nii.gz", b"PK\x03\x04" + bytes(90), "zip"), ("ct.mha", b"Dear colleague,\nattached\n", "text"),
        ("ct.nii", b"%PDF-1.4\n" + bytes(90), "PDF"), ("ct.nii", b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5"),
        ("ct.nii.gz", gzip.compress(b"hello", mtime=0), "text"),
        ("ct.nii.gz", gzip.compress(b"", mtime=0), "not supported"),
        ("ct.nrrd.gz", gzip.compress(nrrd(), mtime=0), "unpack"), ("ct.nii", b"\0" * 400, "not supported"),
        ("ct.nrrd", b"NRRD0004", "ends within"), ("ct.nii.gz", b"\x1f\x8b", "not supported"),
        ("x.nii", nifti()[:200], "header"),
        ("ct.nrrd", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS"),
    ],
)  # fmt: skip
def test_files_of_other_kinds(tmp_path, name, data, words):
    stops(written(tmp_path / name, data), words, name)


def test_folders_named_as_files(tmp_path):
    for name in ("ct.nii", "ct.nrrd"):
        (tmp_path / name).mkdir()
        stops(tmp_path / name, "no DICOM image", name)
        refused(tmp_path / name, "not-a-file", "folder")


@pytest.mark.parametrize("name", ["n" * 300 + ".nii", "a\0b.nii", "x/" * 3000, "gone.nii"])
def test_names_that_cannot_be(tmp_path, name):
    line = stops(tmp_path / name, "no such file|cannot be read")
    assert len(line) < 500


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes as a name")
def test_names_that_are_not_utf_8(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/ct \xff\xfe\xe9.nrrd"))
    path.write_bytes(nrrd()[:-1])
    assert r"ct \udcff\udcfe\udce9.nrrd" in stops(path, "truncated or damaged")
    data = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.raw"))
    data.write_bytes(VALUES.tobytes())
    header = meta(ElementDataFile="NAME").replace(b"NAME", b"\xe9.raw")
    assert np.array_equal(read_volume_file(written(tmp_path / "a.mhd", header)).values, VALUES)


def test_without_rights_to_read(tmp_path):
    path = written(tmp_path / "ct.nrrd", nrrd())
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        stops(path, "cannot be read", "permissions")
    else:
        pytest.skip("this user may read everything")


def test_nothing_but_the_line_reaches_the_terminal(tmp_path):
    for n, data in enumerate((meta(ElementDataFile="%s%n"), meta(NDims="99"), nifti()[:400], nrrd()[:-5])):
        written(tmp_path / f"a{n}.mha", data)
    code = (
        "import sys; from pathlib import Path\n"
        "from COVIDQuantLib.ct.read import read_ct\nfrom COVIDQuantLib.errors import UnfitInputError\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: read_ct(path)\n    except UnfitInputError as error: print(error)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code, str(tmp_path)],
        cwd=root,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 4


def test_itks_own_files_of_a_ct_are_not_doubted(tmp_path):
    """What ITK writes, packed and not, passes every check."""
    hu = np.random.default_rng(1).integers(-1000, 200, (34, 48, 64)).astype("<i2")
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((2.5, 4, 6))
    for name in ("ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha", "ct.mhd", "ct.nhdr"):
        for packed in (True, False):
            sitk.WriteImage(image, str(tmp_path / name), useCompression=packed)
            assert np.array_equal(read_ct(tmp_path / name).hu, hu)
