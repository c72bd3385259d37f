"""NRRD and MetaImage headers: everything the formats allow is read, everything that cannot be is refused by name."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from file_maker import ORIGIN, SHAPE, SPACING, VALUES, meta, nrrd
from test_ct_nifti import refused

from COVIDQuantLib.ct.files.volume_files import read_header, read_volume_file
from COVIDQuantLib.errors import UnfitInputError

NUMBERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def written(path, data):
    path.write_bytes(data)
    return path


def read_right(path):
    """It holds the values and lies where it should; returns it."""
    volume = read_volume_file(path)
    assert np.array_equal(volume.values, VALUES)
    geometry = volume.geometry
    assert (geometry.shape, geometry.spacing, geometry.origin) == (SHAPE, SPACING, ORIGIN)
    np.testing.assert_allclose(geometry.direction, np.eye(3).ravel())
    return volume


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.nii.gz"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_itk_writes_is_read_as_itk_reads_it(tmp_path, dtype, name, packed):
    image = sitk.GetImageFromArray((VALUES % 100).astype(dtype))
    image.SetSpacing((0.7, 1.3, 2.9))
    image.SetOrigin((-12.5, 3.25, 100.125))
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    image.SetDirection(turn.ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / name), useCompression=packed)
    ours, theirs = read_volume_file(tmp_path / name).image(), sitk.ReadImage(str(tmp_path / name))
    assert ours.GetPixelID() == theirs.GetPixelID()
    assert np.array_equal(sitk.GetArrayViewFromImage(ours), sitk.GetArrayViewFromImage(theirs))
    for ask in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(ours, ask)(), getattr(theirs, ask)(), atol=1e-5)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "gz", "bzip2", "bz2", "text", "ascii", "txt", "hex"])
def test_every_encoding_of_nrrd(tmp_path, encoding):
    full = {"gz": "gzip", "bz2": "bzip2"}.get(encoding, encoding)
    if full in {"text", "ascii", "txt"}:
        data = nrrd(VALUES[:0], encoding=encoding) + " ".join(map(str, VALUES.ravel())).encode()
    elif full == "hex":
        data = nrrd(VALUES[:0], encoding=encoding) + VALUES.tobytes().hex().encode()
    else:
        data = nrrd(encoding=full).replace(f"encoding: {full}".encode(), f"encoding: {encoding}".encode())
    read_right(written(tmp_path / "a.nrrd", data))


def test_byte_order(tmp_path):
    read_right(written(tmp_path / "a.nrrd", nrrd(VALUES.astype(">i2"), endian="big")))
    read_right(written(tmp_path / "a.mha", meta(VALUES.astype(">i2"), BinaryDataByteOrderMSB="True")))
    refused(written(tmp_path / "b.nrrd", nrrd(endian=None)), "bad-header", "endian")


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)), ("LPS", (1, 1, 1)), ("RAS", (-1, -1, 1)),
        ("right-anterior-superior", (-1, -1, 1)), ("left-anterior-superior", (1, -1, 1)), ("scanner-xyz", (1, 1, 1)),
        ("3D-right-handed", (1, 1, 1)),
    ],
)  # fmt: skip
def test_spaces_of_nrrd(tmp_path, space, signs):
    x, y, z = (o * s for o, s in zip(ORIGIN, signs, strict=True))
    a, b, c = (d * s for d, s in zip(SPACING, signs, strict=True))
    read_right(
        written(
            tmp_path / "a.nrrd",
            nrrd(space=space, space_origin=f"({x},{y},{z})", space_directions=f"({a},0,0) (0,{b},0) (0,0,{c})"),
        )
    )


def test_a_space_without_anatomy_is_told(tmp_path):
    for space, told in (("RAS", True), ("LPS", True), ("scanner-xyz", False), ("3D-right-handed", False)):
        assert read_header(written(tmp_path / "a.nrrd", nrrd(space=space))).tells_direction == told
    assert not read_header(written(tmp_path / "b.nrrd", nrrd(space=None, space_dimension="3"))).tells_direction


def test_what_a_header_says_is_shown_printable(tmp_path):
    for data in (nrrd(type="\x1b[31m\a red " + "x" * 500), meta(ElementType="\x1b]0;title\a" + "x" * 500)):
        with pytest.raises(UnfitInputError) as caught:
            read_volume_file(written(tmp_path / "a", data))
        line = str(caught.value)
        assert line.isprintable()
        assert len(line) < 200


def test_units_of_length(tmp_path):
    centimetres = {"space_directions": "(.2,0,0) (0,.3,0) (0,0,.4)", "space_origin": "(-1,2,3)"}
    volume = read_volume_file(written(tmp_path / "a.nrrd", nrrd(**centimetres, space_units='"cm" "cm" "cm"')))
    np.testing.assert_allclose(volume.geometry.spacing, SPACING)
    np.testing.assert_allclose(volume.geometry.origin, ORIGIN)
    volume = read_volume_file(
        written(tmp_path / "a.mha", meta(ElementSpacing=".2 .3 .4", Offset="-1 2 3", DistanceUnits="cm"))
    )
    np.testing.assert_allclose(volume.geometry.spacing, SPACING)


def test_windows_line_ends(tmp_path):
    head, data = nrrd().split(b"\n\n", 1)
    read_right(written(tmp_path / "a.nrrd", head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + data))
    head, data = meta().split(b"LOCAL\n", 1)
    read_right(written(tmp_path / "a.mha", head.replace(b"\n", b"\r\n") + b"LOCAL\r\n" + data))


def test_voxels_in_files_of_their_own(tmp_path):
    (tmp_path / "all.raw").write_bytes(bytes(16) + VALUES.tobytes())
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "all.raw.gz").write_bytes(gzip.compress(bytes(16) + VALUES.tobytes()))
    for k, plane in enumerate(VALUES):
        (tmp_path / f"s{k:03d}.raw").write_bytes(plane.tobytes())
        (tmp_path / f"p {k}.raw").write_bytes(plane.tobytes())
    listed = "LIST\n" + "\n".join(f"s{k:03d}.raw" for k in range(12)) + "\n"
    for changes in (
        {"data_file": "all.raw", "byte_skip": "16"}, {"data_file": "./all.raw", "byte_skip": "-1"},
        {"encoding": "gzip", "data_file": "sub/all.raw.gz", "byte_skip": "16"}, {"data_file": "s%03d.raw 0 11 1"},
        {"data_file": listed},
    ):  # fmt: skip
        read_right(written(tmp_path / "a.nhdr", nrrd(**changes)))
    for changes in (
        {"ElementDataFile": "all.raw", "HeaderSize": "16"}, {"ElementDataFile": "all.raw", "HeaderSize": "-1"},
        {"ElementDataFile": "s%03d.raw 0 11 1"}, {"ElementDataFile": listed},
        {"ElementDataFile": listed.replace("LIST", "LIST 2D").replace("s00", "p ").replace("s0", "p ")},
    ):  # fmt: skip
        read_right(written(tmp_path / "a.mhd", meta(**changes)))


def test_lines_before_the_voxels(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"first\nsecond\n" + VALUES.tobytes())
    read_right(written(tmp_path / "a.nhdr", nrrd(data_file="a.raw", line_skip="2")))


def test_key_value_pairs_are_the_images_metadata(tmp_path):
    more = "# remark\nSegment0_ID:=one\nSegment0_Name:=lung: left\\nand \\\\ right\nÜber:=\xe9\n"
    volume = read_volume_file(written(tmp_path / "a.seg.nrrd", nrrd(more=more)))
    image = volume.image()
    assert volume.header.kind == "NRRD"
    assert image.GetMetaData("Segment0_ID") == "one"
    assert image.GetMetaData("Segment0_Name") == "lung: left\nand \\ right"
    assert image.GetMetaData("Über") == "é"


LAYERS = np.stack([VALUES, VALUES + 1, VALUES + 2], -1)


@pytest.mark.parametrize(
    ("values", "sizes", "kinds", "directions"),
    [
        (LAYERS, "3 14 10 12", "list domain domain domain", "none (2,0,0) (0,3,0) (0,0,4)"),
        (LAYERS, "3 14 10 12", "vector domain domain domain", "(nan,nan,nan) (2,0,0) (0,3,0) (0,0,4)"),
        (np.moveaxis(LAYERS, -1, 0), "14 10 12 3", "domain domain domain list", "(2,0,0) (0,3,0) (0,0,4) none"),
    ],
)
def test_layers_of_a_segmentation(tmp_path, values, sizes, kinds, directions):
    changes = {"dimension": "4", "sizes": sizes, "kinds": kinds, "space_directions": directions}
    path = written(tmp_path / "a.seg.nrrd", nrrd(np.ascontiguousarray(values), **changes))
    volume = read_volume_file(path, layers=True)
    assert np.array_equal(volume.values, LAYERS)
    assert volume.image().GetNumberOfComponentsPerPixel() == 3
    refused(path, "several-values", "3 values")


def test_layers_of_a_metaimage(tmp_path):
    path = written(tmp_path / "a.mha", meta(LAYERS, ElementNumberOfChannels="3"))
    assert np.array_equal(read_volume_file(path, layers=True).values, LAYERS)


def test_a_fourth_axis_of_one_time(tmp_path):
    axes = {"dimension": "4", "sizes": "14 10 12 1", "kinds": "domain domain domain domain"}
    axes["space_directions"] = "(2,0,0,0) (0,3,0,0) (0,0,4,0) (0,0,0,1)"
    read_right(written(tmp_path / "a.nrrd", nrrd(**axes, space="left-posterior-superior-time")))
    axes |= {"sizes": "14 10 6 2"}
    refused(written(tmp_path / "b.nrrd", nrrd(**axes)), "not-three-dimensional", "2 time points")
    matrix = " ".join(map(str, np.eye(4, dtype=int).ravel()))
    more = {"TransformMatrix": matrix, "Offset": "-10 20 30 0", "ElementSpacing": "2 3 4 1"}
    read_right(written(tmp_path / "a.mha", meta(NDims="4", DimSize="14 10 12 1", **more)))
    refused(written(tmp_path / "b.mha", meta(NDims="4", DimSize="14 10 6 2", **more)), "not-three-dimensional")


CANNOT_BE = {
    "type": [("block", "unknown-type"), ("%s%n", "unknown-type"), ("", "unknown-type"), (None, "damaged-file")],
    "dimension": [("99", "bad-header"), ("-3", "bad-header"), ("x", "bad-header"), ("2", "bad-header"),
                  ("4", "bad-header"), ("3.5", "bad-header"), ("nan", "bad-header"), ("9" * 400, "bad-header")],
    "sizes": [("14 10", "bad-header"), ("-14 10 12", "bad-size"), ("0 10 12", "bad-size"), ("14 10 13", "damaged-file"),
              ("14 10 11", "damaged-file"), ("1400 1400 1000", "too-large"), ("1e15 1e15 1", "too-large"),
              ("1_4 10 12", "bad-header")],
    "encoding": [("zrl", "unknown-encoding"), ("lzma", "unknown-encoding")],
    "endian": [("middle", "bad-header")],
    "kinds": [("domain domain", "bad-header")],
    "space": [("moon", "bad-header")],
    "space_directions": [("(0,0,0) (0,3,0) (0,0,4)", "bad-voxel-size"),
                         ("(inf,0,0) (0,3,0) (0,0,4)", "bad-orientation"),
                         ("(2,0,0) (2,0,0) (0,0,4)", "sheared-axes"),
                         ("(1e-30,0,0) (0,3,0) (0,0,4)", "bad-voxel-size"),
                         ("(2,0,0) (1,3,0) (0,0,4)", "sheared-axes"), ("(2,0,0) (0,3,0)", "bad-header"),
                         ("(2,0) (0,3) (0,0)", "bad-header"), ("none (0,3,0) (0,0,4)", "not-three-dimensional"),
                         ("2 0 0 0 3 0 0 0 4", "bad-header"), ("(1e308,1e308,0) (0,3,0) (0,0,4)", "bad-voxel-size")],
    "space_origin": [("(nan,0,0)", "bad-orientation"), ("(1e300,0,0)", "bad-orientation"), ("1 2", "bad-header")],
    "byte_skip": [("-2", "bad-header"), ("1e12", "bad-header"), ("7", "damaged-file")],
    "line_skip": [("-1", "bad-header"), ("100000", "damaged-file")],
}  # fmt: skip


@pytest.mark.parametrize(("field", "value", "code"), [(f, *case) for f, cases in CANNOT_BE.items() for case in cases])
def test_nrrd_fields_that_cannot_be(tmp_path, field, value, code):
    refused(written(tmp_path / "a.nrrd", nrrd(**{field: value})), code, "a.nrrd")


def test_a_field_given_twice(tmp_path):
    refused(written(tmp_path / "a.nrrd", nrrd(more="sizes: 14 10 12\n")), "bad-header", "twice")
    refused(written(tmp_path / "a.mha", b"NDims = 3\n" + meta()), "bad-header", "twice")


META_CANNOT_BE = {
    "NDims": [("99", "bad-header"), ("-3", "bad-header"), ("2147483647", "bad-header"), ("4", "bad-header"),
              ("2", "not-three-dimensional"), ("nan", "bad-header"), (None, "damaged-file")],
    "DimSize": [("14 10 13", "damaged-file"), ("14 10 11", "damaged-file"), ("-14 10 12", "bad-size"),
                ("14 10", "bad-header"), ("1400 1400 1000", "too-large"), (None, "damaged-file")],
    "ElementType": [("MET_STRING", "unknown-type"), ("MET_OTHER", "unknown-type"), ("%n", "unknown-type")],
    "ElementSpacing": [("0 3 4", "bad-voxel-size"), ("nan 3 4", "bad-voxel-size"), ("-2 3 4", "bad-voxel-size"),
                       ("1e-30 3 4", "bad-voxel-size"), ("inf 3 4", "bad-voxel-size"), ("2 3", "bad-header")],
    "TransformMatrix": [("nan 0 0 0 1 0 0 0 1", "bad-orientation"), ("0 0 0 0 0 0 0 0 0", "bad-orientation"),
                        ("1 0 0 1 0 0 0 0 1", "sheared-axes"), ("2 0 0 0 1 0 0 0 1", "bad-orientation"),
                        ("1 0 0", "bad-header")],
    "Offset": [("nan 0 0", "bad-orientation"), ("1e30 0 0", "bad-orientation"), ("1 2", "bad-header")],
    "ElementNumberOfChannels": [("0", "bad-size"), ("-1", "bad-size"), ("1000000000", "too-large"),
                                ("2", "several-values")],
    "ObjectType": [("Scene", "bad-header"), ("%s%n", "bad-header")],
    "HeaderSize": [("-2", "bad-header"), ("1e300", "bad-header")],
    "ElementToIntensityFunctionSlope": [("2", "bad-header")],
    "ElementDataFile": [("%s%s%n 1 30 1", "bad-header"), ("AAAA%s%s%s%n 1 3 1", "bad-header"), ("%n", "bad-data-file"),
                        ("%d%d.raw 1 12 1", "bad-header"), ("%99999999d.raw 1 12 1", "bad-header"),
                        ("s%d.raw 1 99999999 1", "bad-header"), ("s%d.raw 5 1 1", "bad-header"),
                        ("s%d.raw 1 12 0", "bad-header"), ("", "bad-data-file"), (None, "damaged-file"),
                        ("x" * 5000, "bad-data-file"), ("nothing.raw", "bad-data-file"), (".", "bad-data-file")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "code"), [(f, *case) for f, cases in META_CANNOT_BE.items() for case in cases]
)
def test_meta_fields_that_cannot_be(tmp_path, field, value, code):
    refused(written(tmp_path / "a.mha", meta(**{field: value})), code, "a.mha")


def test_a_list_without_files(tmp_path):
    refused(written(tmp_path / "a.mhd", meta(ElementDataFile="LIST\n")), "bad-header", "0 data files")
    (tmp_path / "s.raw").write_bytes(VALUES[:5].tobytes())
    refused(written(tmp_path / "a.mhd", meta(ElementDataFile="LIST\n" + "s.raw\n" * 5)), "damaged-file")


def test_text_that_is_no_numbers(tmp_path):
    for words in (b"7 " * 1679, b"7 " * 1681, b"7 " * 1679 + b"x ", b"7 " * 1679 + b"1.5", b"7 " * 1679 + b"99999"):
        refused(written(tmp_path / "a.nrrd", nrrd(VALUES[:0], encoding="text") + words), "damaged-file")
        refused(written(tmp_path / "a.mha", meta(VALUES[:0], BinaryData="False") + words), "damaged-file")
    refused(written(tmp_path / "b.nrrd", nrrd(VALUES[:0], encoding="hex") + b"zz" * 3360), "damaged-file")


def test_a_header_without_an_end(tmp_path):
    refused(written(tmp_path / "a.nrrd", nrrd().split(b"\n\n")[0]), "damaged-file", "no end")
    refused(written(tmp_path / "b.nrrd", nrrd(more="a:=b\n" * 300_000)), "damaged-file", "no end")
    refused(written(tmp_path / "a.mha", meta().split(b"ElementDataFile")[0]), "damaged-file", "no end")


def test_headers_alone_are_read(tmp_path):
    assert read_header(written(tmp_path / "a.nrrd", nrrd()[:-100])).geometry.shape == SHAPE
    assert read_header(written(tmp_path / "a.mha", meta()[:-100])).geometry.shape == SHAPE
