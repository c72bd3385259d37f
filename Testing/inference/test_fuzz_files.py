"""Damaged and hostile JSON, metadata and zips: an error in words, or a result; nothing else, quickly.

``COVIDQUANT_FUZZ`` says how many examples each test tries; few by default.
"""

import io
import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from COVIDQuantLib.errors import COVIDQuantError, UnfitInputError
from COVIDQuantLib.evaluation.scan_files import scan_in_folder
from COVIDQuantLib.export.table_file import metrics_record, read_metrics
from COVIDQuantLib.models.archive import opened
from COVIDQuantLib.models.metadata import check_metadata, network_records
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.reference import NormalReference
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.system.json_file import parse_json

EXAMPLES = int(os.environ.get("COVIDQUANT_FUZZ", "60"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NUMBERS = st.sampled_from([0, -1, 1, 5, 6, 4096, 1 << 31, 1 << 62, -(1 << 63), 10**18, 0.5, -0.0, 1e308, -1e308])
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.just("[/red]"), st.just("\ud800"))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


def metrics():
    """What ``metrics.json`` of a small exam holds."""
    from COVIDQuantLib.ct.volume import CTVolume
    from COVIDQuantLib.segmentation.result import Segmentation
    from COVIDQuantLib.voxels.geometry import Geometry

    rng = np.random.default_rng(0)
    lobes = rng.integers(0, 6, (6, 8, 8), np.uint8)
    lesions = rng.random(lobes.shape) < 0.2
    hu = rng.integers(-1000, 100, lobes.shape, np.int16)
    histogram = JointHistogram.of(hu, lobes, lesions, 0.001)
    segmentation = Segmentation(lobes, lesions)
    return metrics_record(
        CTVolume(hu, Geometry(lobes.shape, (1.0, 1.0, 1.0))), segmentation, histogram, compute_metrics(histogram)
    )


def metadata():
    network = {"architecture": "lobes-unet-3d", "settings": {"features": [2, 3]}, "weights": "models/w.safetensors"}
    network |= {"sha256": "0" * 64, "input": {"spacing_mm": 1.0}}
    ours = {"format": 1, "name": "toy", "task": "lobes", "networks": {"coarse": network, "fine": dict(network)}}
    ours |= {"training": {}, "measured": [], "licence": "x", "not_a_medical_device": True}
    fields = ("version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors")
    record = dict.fromkeys((*fields, "copyright", "data_source", "data_type"), "x")
    return {**record, "required_packages_version": {}, "network_data_format": {}, "covidquant": ours}


def places(value, way=()):
    """Every place in nested lists and dicts; of long lists the first few."""
    yield way
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*way, key))
    elif isinstance(value, list):
        for number, item in enumerate(value[:3]):
            yield from places(item, (*way, number))


def spoilt(record, way, value):
    """A copy with another value in one place."""
    record = json.loads(json.dumps(record))
    if not way:
        return value
    inner = record
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = value
    return record


def refused_in_words(kind, do):
    """What is returned, or None where it was refused by a line."""
    try:
        return do()
    except kind as error:
        line = error.line()
    assert "\n" not in line
    return None


METRICS, METADATA = json.loads(json.dumps(metrics())), metadata()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@FUZZ
@given(st.sampled_from(list(places(METRICS))), VALUES)
def test_metrics_with_one_value_changed(folder, way, value):
    (folder / "metrics.json").write_text(json.dumps(spoilt(METRICS, way, value)))
    read = refused_in_words(UnfitInputError, lambda: read_metrics(folder))
    assert read is None or read.metrics.rows


@FUZZ
@given(st.data())
def test_metrics_with_bytes_changed(folder, data):
    text = bytearray(json.dumps(METRICS).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    del text[data.draw(st.integers(1, len(text))) :]
    (folder / "metrics.json").write_bytes(text)
    refused_in_words(UnfitInputError, lambda: read_metrics(folder))
    refused_in_words(UnfitInputError, lambda: NormalReference.read(folder / "metrics.json"))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"a":' * 100_000,
        "[" * 900 + "]" * 900,
        "1" * 100_000,
        "-" + "1" * 5000,
        '{"format": "covidquant-metrics/1", "histogram": {"voxel_volume_ml": 1' + "0" * 400 + "}}",
        "1e999",
        "-Infinity",
        "NaN",
        "",
        "\x00",
        '"' + "a" * 100,
        "{" + ",".join(f'"{n}": {n}' for n in range(50_000)),
    ],
    ids=lambda text: text[:12],
)
def test_hostile_json_is_refused_in_words(folder, text):
    (folder / "metrics.json").write_text(text)
    with pytest.raises(UnfitInputError) as caught:
        read_metrics(folder)
    assert len(caught.value.what) < 300
    assert caught.value.code


def test_a_pipe_is_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("Windows has no such pipes")
    os.mkfifo(tmp_path / "metrics.json")
    with pytest.raises(UnfitInputError, match="not a regular file"):
        read_metrics(tmp_path)
    assert not scan_in_folder(tmp_path)


@FUZZ
@given(VALUES)
def test_what_is_parsed_is_what_json_says(value):
    assert parse_json(json.dumps(value)) == value


@FUZZ
@given(st.sampled_from(list(places(METADATA))), VALUES)
def test_metadata_with_one_value_changed(tmp_path_factory, way, value):
    record = spoilt(METADATA, way, value)
    root = tmp_path_factory.getbasetemp()
    refused_in_words(UnfitInputError, lambda: check_metadata(record, "somewhere") or network_records(record, root))


def small_zip():
    buffer = io.BytesIO()
    for name, method in (("s", 0), ("d", zipfile.ZIP_DEFLATED), ("l", zipfile.ZIP_LZMA), ("b", zipfile.ZIP_BZIP2)):
        with zipfile.ZipFile(buffer, "a", method) as archive:
            archive.writestr(f"toy/{name}ż", json.dumps(METADATA))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("toy/configs/metadata.json", json.dumps(METADATA))
    return buffer.getvalue()


ZIP = small_zip()


@FUZZ
@given(st.data())
def test_zips_with_bytes_changed(folder, data):
    packed = bytearray(ZIP)
    # Headers and lists more often than what is packed.
    marks = [n for n in range(len(ZIP) - 4) if ZIP[n : n + 2] == b"PK"]
    near = st.builds(lambda mark, offset: min(mark + offset, len(ZIP) - 1), st.sampled_from(marks), st.integers(0, 45))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.one_of(near, st.integers(0, len(packed) - 1)))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del packed[data.draw(st.integers(1, len(packed))) :]
    path = folder / "toy.zip"
    path.write_bytes(packed)

    def look():
        with opened(path) as found:
            assert found.is_dir()

    refused_in_words(COVIDQuantError, look)
