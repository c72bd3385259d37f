"""Segments of files that Slicer or another program wrote: what their names, codes and header fields say."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.anatomy import INFILTRATE, LEFT, LOBES, LUNG, UPPER_LOBE, Code, Terminology
from COVIDQuantLib.ct.masks.slicer_segments import labels_of_segments, segments_of
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.segment_roles import NO_ROLE, role_of
from COVIDQuantLib.structures import listed, plain, structure_named

LAYER = np.random.default_rng(0).integers(0, 7, (4, 5, 6)).astype(np.uint8)[..., np.newaxis]
ORDER = [3, 1, 2, 5, 4]  # the lobe that each label of the file is


def read(header, content, layers=LAYER):
    return labels_of_segments(layers, segments_of(header, "x.seg.nrrd"), content, "x.seg.nrrd")


def fields(names, first=0, **more):
    """Header fields of segments, numbered from ``first``, with label values from 1."""
    header = {}
    for n, name in enumerate(names):
        described = {"Name": name, "LabelValue": str(n + 1), **{key: value[n] for key, value in more.items()}}
        header |= {f"Segment{n + first}_{key}": value for key, value in described.items()}
    return header


def lobes_of(spelling):
    return [spelling(next(lobe for lobe in LOBES if lobe.label == label)) for label in ORDER]


SPELLINGS = {
    "ours": lambda lobe: lobe.name,
    "short": lambda lobe: lobe.short,
    "capitals": lambda lobe: lobe.name.title(),
    "total": lambda lobe: "lung_{1}_lobe_{0}".format(*lobe.name.split()),
    "camel": lambda lobe: "".join(word.title() for word in lobe.name.split()),
    "other words": lambda lobe: lobe.name.replace("upper", "superior").replace("lower", "inferior"),
    "letters": lambda lobe: f"{lobe.name[0].upper()}_{lobe.name.split()[1]}_lobe",
    "numbered": lambda lobe: f"{lobe.short}_1",
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("first", [0, 1, 7])
def test_names_alone_tell_the_lobes_with_a_warning(spelling, first):
    labels, warnings = read(fields(lobes_of(spelling), first), "lobes")
    assert np.array_equal(labels, np.array([0, *ORDER, 0], np.uint8)[LAYER[..., 0]])
    assert [warning.code for warning in warnings] == ["segments-by-name"]


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("Infiltrated", "pneumonia"),
        ("Collapsed", "pneumonia"),
        ("GGO 2", "pneumonia"),
        ("COVID-19 pneumonia", "pneumonia"),
        ("Inflated", "aerated lung"),
        ("Emphysema", "aerated lung"),
        ("lung_trachea_bronchia", "airways"),
        ("lung_vessels", "vessels"),
        ("lungs", "lungs"),
        ("Left Lung", "left lung"),
        ("non-infected lung", None),
        ("lung nodule", None),
        ("liver", None),
        ("heart left", None),
        ("left middle lobe", None),
        ("right upper and left lower lobe", None),
        ("RUL and RML", None),
        ("", None),
    ],
)
def test_names(name, structure):
    assert structure_named(name) == structure


@given(st.text())
def test_any_name_is_one_plain_short_line(name):
    structure_named(name)
    shown = plain(name)
    assert len(shown) <= 80
    assert shown.isprintable()
    assert "\n" not in listed([name] * 20)


def coded(lobe, scheme, type_value, side):
    text = f"Any~{scheme}^T-D000A^x~{scheme}^{type_value}^x~{scheme}^{side}^x~Any~^^~^^|"
    return f"TerminologyEntry:{text}"


def test_codes_of_snomed_rt_count_as_those_of_today():
    types = {"upper": "T-28820", "middle": "T-28300", "lower": "T-28830"}
    tags = [
        coded(lobe, "SRT", types[lobe.name.split()[1]], "G-A100" if lobe.side == "right" else "G-A101")
        for lobe in (next(lobe for lobe in LOBES if lobe.label == label) for label in ORDER)
    ]
    labels, warnings = read(fields(["a", "b", "c", "d", "e"], ID=["a", "b", "c", "d", "e"], Tags=tags), "lobes")
    assert np.array_equal(labels, np.array([0, *ORDER, 0], np.uint8)[LAYER[..., 0]])
    assert not warnings


def test_a_code_that_says_the_side_needs_no_modifier():
    category = LOBES[0].terminology.category
    for value, label in {"42400003": 1, "266005": 3, "44714003": 4, "41224006": 5}.items():
        assert role_of("x", Terminology(category, Code("SCT", value, ""))) == label
        assert role_of("x", Terminology(category, Code("99XX", value, ""))) == NO_ROLE
    left = LOBES[3].terminology.modifier
    assert role_of("x", Terminology(category, Code("SCT", "42400003", ""), left)) == NO_ROLE


SIX = ["right lung", "left lung", "Emphysema", "Inflated", "Infiltrated", "Collapsed"]


def test_of_another_extensions_six_segments_those_with_disease_are_the_lesions():
    labels, warnings = read(fields(SIX), "lesions")
    assert np.array_equal(labels != 0, np.isin(LAYER[..., 0], (5, 6)))
    assert [warning.code for warning in warnings] == ["segments-by-name"]


def test_airways_and_disease_are_no_lungs():
    labels, _ = read(fields(["right lung", "left lung", "airways", "Infiltrated"]), "lungs")
    assert np.array_equal(labels, np.where(LAYER[..., 0] < 3, LAYER[..., 0], 0))


def test_nothing_but_lungs_holds_no_lesions():
    with pytest.raises(UnfitInputError, match="no segment is suitable as lesions") as refusal:
        read(fields(["right lung", "left lung", "trachea"]), "lesions")
    assert refusal.value.code == "segments-unknown"


def test_a_code_is_believed_before_a_name():
    header = fields(["Collapsed", "left lower lobe"], ID=["pneumonia", "right_upper_lobe"])
    assert np.array_equal(read(header, "lesions")[0] != 0, LAYER[..., 0] == 1)
    assert np.array_equal(read(header, "lobes")[0], np.where(LAYER[..., 0] == 2, 1, 0))


def test_layers_and_values_may_be_left_out_where_there_is_but_one_way():
    two = np.concatenate([LAYER == 1, LAYER == 2], axis=-1).astype(np.uint8)
    header = {"Segment0_ID": "a", "Segment0_Name": "LLL", "Segment1_ID": "b", "Segment1_Name": "RUL"}
    labels, _ = read(header, "lobes", two)
    assert np.array_equal(labels, np.select([LAYER[..., 0] == 1, LAYER[..., 0] == 2], [5, 1]))


@pytest.mark.parametrize(
    ("header", "layers"),
    [
        ({"Segment0_Name": "RUL", "Segment1_Name": "RML"}, 1),
        (fields(["RUL", "RML"]), 2),
        (fields(["RUL", "RML"], Layer=["1", "2"]), 2),
        (fields(["RUL", "RML"], Layer=["-1", "-2"]), 2),
        ({**fields(["RUL", "RML"]), "Segment1_LabelValue": "one"}, 1),
        ({**fields(["RUL", "RML"]), "Segment1_LabelValue": "1"}, 1),
    ],
    ids=["no values", "no layers", "layers from 1", "negative layers", "no number", "the same value twice"],
)
def test_segments_whose_voxels_are_not_told_are_refused(header, layers):
    with pytest.raises(UnfitInputError) as refusal:
        read(header, "lobes", np.repeat(LAYER, layers, axis=-1))
    assert refusal.value.code == "segments-damaged"


def test_names_in_warnings_are_plain():
    names = ["[/red]patch\nA\x1b[31m", "x" * 500, *(f"s{n}" for n in range(30))]
    message = read(fields(names), "lesions")[1][0].message
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 900


NUMBERS = st.integers(-3, 9).map(str) | st.sampled_from(["", "x", "1.0", "9" * 40, "9" * 5000, "１"])
KEYS = st.tuples(st.integers(0, 12), st.sampled_from(["ID", "Name", "Tags", "Layer", "LabelValue", "Extent"]))


@settings(max_examples=200, deadline=None)
@given(
    header=st.dictionaries(KEYS, NUMBERS | st.text(max_size=20) | st.sampled_from([*SIX, "RUL", "LLL"]), max_size=20),
    content=st.sampled_from(["lobes", "lungs", "lesions", ""]),
    layers=st.integers(1, 3),
)
def test_any_header_is_read_or_refused(header, content, layers):
    fields_of = {f"Segment{number}_{key}": value for (number, key), value in header.items()}
    try:
        labels, warnings = read(fields_of, content, np.repeat(LAYER, layers, axis=-1))
    except UnfitInputError as error:
        told = [error.line()]
    else:
        assert labels.shape == LAYER.shape[:3]
        told = [warning.message for warning in warnings]
    assert all("\n" not in line for line in told)


def test_codes_are_those_of_pydicom_too():
    from pydicom.sr.codedict import codes

    assert UPPER_LOBE.as_dicom() == codes.SCT.UpperLobeOfLung
    assert LUNG.as_dicom() == codes.SCT.Lung
    assert LEFT.as_dicom() == codes.SCT.Left
    code = INFILTRATE.as_dicom()
    assert (code.value, code.scheme_designator, code.meaning) == ("47351003", "SCT", "Infiltrate")


def test_the_regions_are_imported_without_the_dictionaries_of_dicom():
    code = "import sys, COVIDQuantLib.terminology; sys.exit('pydicom' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
