"""Whatever bytes a volume file holds, it is read or refused in one line: no traceback, no hang, no memory on demand.

A short run by default. ``COVIDQUANT_FUZZ_MINUTES=30`` goes on for that long with new seeds.
"""

import os
import random
import re
import struct
import time
import warnings
from functools import partial

import numpy as np
from file_maker import META, NIFTI, NRRD, meta, nifti, nrrd
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from peak_memory import peak_memory

from COVIDQuantLib.ct.dicom.headers import is_dicom
from COVIDQuantLib.ct.files.volume_files import read_header, read_volume_file
from COVIDQuantLib.ct.masks.label_maps import read_label_map
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.voxels.geometry import Geometry

MINUTES = float(os.environ.get("COVIDQUANT_FUZZ_MINUTES", "0"))
SECONDS_PER_MB = 10.0
# What a header and the reader's own buffers may take, whatever the claim.
OWN_BYTES = 24 << 20
# The same for the whole process, with ITK and its allocator.
OWN_GROWTH = 96 << 20
LABELS = np.zeros((12, 10, 14), "u1")
LABELS[3:9, 2:8, 2:12] = 1
GRID = Geometry((12, 10, 14), (2.0, 3.0, 4.0), (-10.0, 20.0, 30.0))

# Layers of a segmentation as Slicer writes them.
SEGMENTS = (
    "Segment0_ID:=Segment_1\nSegment0_Name:=left lung\nSegment0_Layer:=0\nSegment0_LabelValue:=1\n"
    "Segment0_Tags:=TerminologyEntry:a~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~A~^^~^^|\n"
)
LAYERED = {
    "type": "unsigned char", "dimension": "4", "sizes": "2 14 10 12", "kinds": "list domain domain domain",
    "space_directions": "none (2,0,0) (0,3,0) (0,0,4)",
}  # fmt: skip
CORPUS = {
    "ct.nrrd": nrrd(),
    "gzip.nrrd": nrrd(encoding="gzip"),
    "bzip2.nrrd": nrrd(encoding="bzip2"),
    "bare.nrrd": nrrd(space=None, space_directions=None, space_origin=None, spacings="2 3 4", axis_mins="1 2 3"),
    "text.nrrd": nrrd(LABELS[:0], encoding="text") + b"7 " * LABELS.size,
    "hex.nrrd": nrrd(LABELS[:0], type="uchar", encoding="hex") + LABELS.tobytes().hex().encode(),
    "mask.seg.nrrd": nrrd(LABELS, type="uchar", encoding="gzip", more=SEGMENTS),
    "layers.seg.nrrd": nrrd(np.stack([LABELS, LABELS], -1), more=SEGMENTS, encoding="gzip", **LAYERED),
    "ct.nhdr": nrrd(data_file="data.raw", byte_skip="-1"),
    "slices.nhdr": nrrd(data_file="s%02d.raw 1 12 1"),
    "list.nhdr": nrrd(data_file="LIST\ns01.raw\ns02.raw"),
    "ct.mha": meta(),
    "packed.mha": meta(CompressedData="True"),
    "text.mha": meta(LABELS[:0], BinaryData="False") + b"7 " * LABELS.size,
    "ct.mhd": meta(ElementDataFile="data.raw", HeaderSize="16"),
    "slices.mhd": meta(ElementDataFile="s%02d.raw 1 12 1"),
    "list.mhd": meta(ElementDataFile="LIST\ns01.raw\ns02.raw"),
    "ct.nii": nifti(),
    "ct.nii.gz": nifti(packed=True),
    "big.nii": nifti(order=">"),
    "scaled.nii.gz": nifti(packed=True, scl_slope=0.5, scl_inter=3),
    "float.nii": nifti(np.linspace(-1000, 500, LABELS.size, dtype="f4").reshape(LABELS.shape), datatype=16, bitpix=32),
    "mask.nii.gz": nifti(LABELS, packed=True, datatype=2, bitpix=8),
}

WORDS = st.sampled_from(
    [
        "", "0", "-1", "1", "2", "3", "4", "99", "1e308", "1e-30", "nan", "inf", "-inf", "1_0", "٣", "%s%n", "%d",
        "LIST", "LOCAL", "none", "(nan,nan,nan)", "(0,0,0)", "()", "(1,2", "2147483648", "18446744073709551616",
        "9" * 400,
        "gzip", "raw", "text", "hex", "bzip2", "zrl", "big", "short", "float", "double", "block", "uchar", "list",
        "time", "True", "False", "MET_DOUBLE", "MET_UCHAR_ARRAY", "/etc/passwd", "../data.raw", "data.raw", "C:\\x",
        "\0", "é",
        "14 10 12", "14 10 12 1", "1 1 1", "65535 65535 65535", "1400 1400 1000", "0 0 0", "-14 10 12", "14 -10 -12",
        "1 0 0 0 1 0 0 0 0", "1 1 0 1 1 0 0 0 1", "pipe.raw", "nothing.raw", ".", "x" * 5000, "a\tb",
        "s%02d.raw 1 99999999 1",
    ]
)  # fmt: skip
VALUES = st.one_of(WORDS, st.lists(WORDS, max_size=4).map(" ".join), st.text(max_size=12))
TEXT_FIELDS = sorted(
    {*NRRD, *META, "data file", "byte skip", "line skip", "spacings", "axis mins", "space units", "centers"}
    | {"space dimension", "HeaderSize", "ElementNumberOfChannels", "DistanceUnits", "Segment0_Layer", "Segment0_Tags"}
)
NUMBERS = {
    letter: st.one_of(st.sampled_from(edges), rest)
    for letter, edges, rest in (
        ("h", [0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 64, 99, 128, 256, 512, 1792, 32767], st.integers(-(2**15), 2**15 - 1)),
        ("i", [0, 348, 540, -1, 2**31 - 1], st.integers(-(2**31), 2**31 - 1)),
        ("f", [0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), -0.0, 348.0, 352.5], st.floats(width=32)),
        ("B", [0, 1, 2, 3, 255], st.integers(0, 255)),
    )
}  # fmt: skip


@st.composite
def edits(draw):
    """One change of a file: to a field of its header, or to its bytes."""
    kind = draw(st.sampled_from(["text", "text", "text", "nifti", "nifti", "flip", "cut", "insert", "repeat"]))
    if kind == "text":
        return kind, draw(st.sampled_from(TEXT_FIELDS)), draw(VALUES)
    if kind == "nifti":
        letters, place = NIFTI[draw(st.sampled_from([name for name in NIFTI if name != "magic"]))]
        letter = letters[-1]
        nth = draw(st.integers(0, int(letters[:-1] or 1) - 1))
        return kind, place + nth * struct.calcsize(letter), struct.pack("<" + letter, draw(NUMBERS[letter]))
    where = draw(st.one_of(st.integers(0, 400), st.integers(0, 4000)))
    return (
        kind,
        where,
        draw(st.one_of(st.binary(min_size=1, max_size=3), st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\n\n"]))),
    )


def edited(data, changes):
    for kind, what, value in changes:
        if kind == "text":
            data = with_field(data, what, value)
        elif kind == "cut":
            data = data[:what]
        elif kind == "insert":
            data = data[:what] + value + data[what:]
        elif kind == "repeat":
            data = data + data[:what]
        else:
            data = data[:what] + value + data[what + len(value) :]
    return data


def with_field(data, name, value):
    """The file with a field of its text header set, put there if it has none."""
    separator = b" = " if data[:6] == b"Object" else b":=" if name.startswith("Segment") else b": "
    line = name.encode() + separator + value.encode("utf-8", errors="surrogatepass")
    found = re.search(rb"^" + re.escape(name.encode()) + rb"[ ]*[:=][^\n]*", data, re.MULTILINE)
    if found:
        return data[: found.start()] + line + data[found.end() :]
    first = data.find(b"\n") + 1
    return data[:first] + line + b"\n" + data[first:]


def claim_of(path):
    try:
        return read_header(path).voxel_bytes
    except COVIDQuantError:
        return 0


def read(path):
    """Read a file by every way there is; everything but the one kind of error is a fault."""
    ways = (partial(read_volume_file, layers=True), read_ct, partial(read_label_map, ct_geometry=GRID, content="lungs"))
    for way in ways:
        said = refusal(way, path)
        if said is not None:
            line = str(said)
            assert line.strip()
            assert line.isprintable()
            assert len(line) < 700
            assert said.remedy, line


def refusal(way, path):
    with warnings.catch_warnings():
        # numpy's would reach the terminal.
        warnings.simplefilter("error")
        try:
            way(path)
        except COVIDQuantError as error:
            return error
    return None


def check(path, data):
    path.write_bytes(data)
    if is_dicom(path):
        # Another reader's, with tests of its own.
        return
    with peak_memory() as peak:
        began = time.perf_counter()
        read(path)
        seconds = time.perf_counter() - began
    claim = claim_of(path)
    assert seconds < SECONDS_PER_MB * max(1.0, len(data) / 1e6, claim / 1e6)
    # A file that cannot hold its claim is refused before anything is allocated.
    honest = claim if claim <= 1040 * len(data) + 70_000 else 0
    assert peak.traced < OWN_BYTES + 4 * honest
    assert peak.grown < OWN_GROWTH + 4 * honest


def make_run(folder, examples):
    (folder / "data.raw").write_bytes(nrrd()[-3360:])
    for n in range(1, 13):
        (folder / f"s{n:02d}.raw").write_bytes(bytes(280))
    if hasattr(os, "mkfifo") and not (folder / "pipe.raw").exists():
        os.mkfifo(folder / "pipe.raw")

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(name=st.sampled_from(sorted(CORPUS)), changes=st.lists(edits(), min_size=1, max_size=4))
    def run(name, changes):
        check(folder / name, edited(CORPUS[name], changes))

    return run


def test_the_corpus_itself_is_read(tmp_path):
    make_run(tmp_path, 1)
    (tmp_path / "data.raw").write_bytes(bytes(16) + nrrd()[-3360:])
    for name, data in CORPUS.items():
        (tmp_path / name).write_bytes(data)
        if "list" not in name:
            assert read_volume_file(tmp_path / name, layers=True).image().GetSize() == (14, 10, 12), name


def test_no_bytes_do_harm(tmp_path):
    make_run(tmp_path, 250)()
    end = time.monotonic() + 60 * MINUTES
    while time.monotonic() < end:
        seed(random.randrange(2**32))(make_run(tmp_path, 1000))()


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=700), name=st.sampled_from(["x.nii", "x.nrrd", "x.mha", "x", "x.nii.gz"]))
def test_any_bytes_at_all(tmp_path_factory, data, name):
    check(tmp_path_factory.mktemp("any") / name, data)
