"""Damaged DICOM of every kind is read or refused in one line, in time and within memory, and never ends otherwise.

A short run belongs to every test run. ``COVIDQUANT_FUZZ_SECONDS=1800 pytest -m slow
Testing/ct/dicom/test_ct_dicom_fuzz.py`` goes on for half an hour; a seed that fails is named, and
COVIDQUANT_FUZZ_SEED starts there.
"""

import os
import re
import shutil
import time
import warnings

import numpy as np
import pytest
from dicom_maker import big_endian, chest, compress, enhanced, jpeg, slice_datasets, write
from hypothesis import given, settings
from hypothesis import strategies as st
from peak_memory import peak_memory
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage

from COVIDQuantLib.ct.dicom.file_search import find_images
from COVIDQuantLib.ct.dicom.header_claims import check_claims
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.progress import silent

HU = chest((6, 40, 48))
SECONDS_PER_MB = 10.0
TIMES = 4
# What headers and buffers may take, whatever the claim: what Python holds, and the process with ITK and its allocator.
OWN_BYTES, OWN_GROWTH = 24 << 20, 96 << 20
# Explicit elements of short length, nested ones too.
ELEMENT = re.compile(rb"(?s)[\x02\x08\x10\x18\x20\x28]\x00..(CS|DS|IS|LO|SH|UI|US|SS|TM|DA|DT|UL|FD)(..)", re.DOTALL)
VALUES = (
    b"", b" ", b"nan", b"NaN\\NaN\\NaN", b"inf", b"-1", b"0", b"1e400", b"1e-320", b"9" * 5000, b"\\" * 7, b"x" * 300,
    b"\xff\xff", b"\xff" * 8, b"\0", b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2",
    b"1.2.840.10008.1.2.5", b"1\\0\\0\\0\\1\\0", b"LOCALIZER", b"CT", b"ISO_IR 192", b"\x1b$)C", b"Z_EFF", b"0\\0",
)  # fmt: skip


def with_syntax(datasets, syntax):
    for ds in datasets:
        ds.file_meta.TransferSyntaxUID = syntax
    return datasets


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Folders of sound series of many codings; each file is a victim."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "packed").mkdir()
    series = {
        "plain": slice_datasets(HU),
        "implicit": with_syntax(slice_datasets(HU), ImplicitVRLittleEndian),
        "deflated": with_syntax(slice_datasets(HU), DeflatedExplicitVRLittleEndian),
        "big endian": [big_endian(ds) for ds in slice_datasets(HU)],
        "rle": [compress(ds) for ds in slice_datasets(HU)],
        "jpeg": [jpeg(ds, "JPEG", folder / "packed") for ds in slice_datasets(HU)],
        "jpeg 2000": [jpeg(ds, "JPEG2000", folder / "packed") for ds in slice_datasets(HU)],
        "multi-frame": [enhanced(HU, np.ones(len(HU)))],
        "multi-frame rle": [compress(enhanced(HU, np.ones(len(HU))))],
        "capture": [compress(ds) for ds in slice_datasets(HU, SOPClassUID=SecondaryCaptureImageStorage)],
        "padding": slice_datasets(HU, PixelPaddingValue=-2000, AcquisitionNumber=None),
    }
    shutil.rmtree(folder / "packed")
    return [write(datasets, folder / name) for name, datasets in series.items()]


def mutated(data, rng):
    """The bytes with one to four faults: an element's value, bytes, a piece lost, doubled or filled, an end cut off."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(max(1, min(len(data), [400, 1500, len(data)][int(rng.integers(3))]))))
        size = int(rng.integers(1, 40))
        match int(rng.integers(8)):
            case 0:
                data[place : place + 1] = rng.bytes(1)
            case 1:
                data[place : place + size] = rng.bytes(size)
            case 2:
                del data[place : place + size]
            case 3:
                data[place:place] = data[place : place + size]
            case 4:
                data[place : place + size] = (b"\0" if size % 2 else b"\xff") * size
            case 5:
                del data[int(rng.integers(len(data) + 1)) :]
            case _:
                change_element(data, rng)
    return bytes(data)


def change_element(data, rng):
    found = list(ELEMENT.finditer(bytes(data)))
    if not found:
        return
    hit = found[int(rng.integers(len(found)))]
    value = VALUES[int(rng.integers(len(VALUES)))]
    length = int.from_bytes(hit.group(2), "little")
    start, claimed = hit.end(), len(value) if rng.integers(4) else int(rng.integers(1 << 16))
    data[start - 2 : start + length] = claimed.to_bytes(2, "little") + value


def attack(corpus, seed):
    """Damage one file, or all files alike, of one series and read it."""
    rng = np.random.default_rng(seed)
    folder = corpus[int(rng.integers(len(corpus)))]
    files = sorted(folder.iterdir())
    victims = files if rng.integers(3) == 0 else [files[int(rng.integers(len(files)))]]
    whole = {file: file.read_bytes() for file in victims}
    again = int(rng.integers(2**32))
    for file, data in whole.items():
        file.write_bytes(mutated(data, np.random.default_rng(again)))
    try:
        with peak_memory() as peak:
            began = time.monotonic()
            read(folder if len(files) > 1 or rng.integers(2) else files[0])
            seconds = time.monotonic() - began
        size, claim = sum(file.stat().st_size for file in files), claim_of(folder)
    finally:
        for file, data in whole.items():
            file.write_bytes(data)
    assert seconds < SECONDS_PER_MB * max(1.0, size / 1e6, claim / 1e6), f"seed {seed} took too long"
    assert peak.traced < OWN_BYTES + TIMES * max(size, claim), f"seed {seed} took {peak} for {claim} bytes"
    assert peak.grown < OWN_GROWTH + TIMES * max(size, claim), f"seed {seed} took {peak} for {claim} bytes"


def read(path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ct = read_ct(path)
        assert ct.hu.shape == ct.geometry.shape
        assert np.isfinite(ct.geometry.index_to_lps).all()
    except COVIDQuantError as error:
        line = str(error)
        assert "\n" not in line
        assert len(line) < 1500, line
        assert line.encode()


def claim_of(folder):
    """Bytes of all pictures of a folder as their headers claim, those left out that their files cannot hold."""
    claim = 0
    for file in find_images(folder, silent).images:
        try:
            check_claims([file])
        except COVIDQuantError:
            continue
        rows, columns = file.matrix
        samples, bits = int(file.number("SamplesPerPixel") or 1), int(file.number("BitsAllocated") or 16)
        claim += rows * columns * max(file.frames, 1) * samples * bits // 8
    return claim


# Each run draws others, and the test below goes on as long as one likes.
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_damage_is_read_or_refused(corpus, seed):
    attack(corpus, seed)


@pytest.mark.slow
@pytest.mark.skipif("COVIDQUANT_FUZZ_SECONDS" not in os.environ, reason="COVIDQUANT_FUZZ_SECONDS says how long")
def test_damage_for_a_long_time(corpus):
    end = time.monotonic() + float(os.environ["COVIDQUANT_FUZZ_SECONDS"])
    first = seed = int(os.environ.get("COVIDQUANT_FUZZ_SEED", time.time_ns() % 2**40))
    while time.monotonic() < end:
        try:
            attack(corpus, seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        seed += 1
    print(f"{seed - first} damaged series from seed {first}")
