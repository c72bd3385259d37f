"""Manifests as people write them: every separator and encoding, and bad rows that do not spoil the others."""

from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from COVIDQuantLib.cohort.columns import Status
from COVIDQuantLib.cohort.exams.folder import exam_folder, folder_name
from COVIDQuantLib.cohort.manifest.rows import read_manifest
from COVIDQuantLib.cohort.manifest.table import read_table
from COVIDQuantLib.cohort.manifest.values import day_of, text_of, typed
from COVIDQuantLib.errors import UnfitInputError

PLAIN = "patient,exam,path,age\nP1,E1,a.nrrd,61\nP2,E1,b.nrrd,\n"


def manifest(tmp_path, text, encoding="utf-8", name="m.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_manifest(path)


def refused(tmp_path, text, code, *words):
    with pytest.raises(UnfitInputError) as error:
        manifest(tmp_path, text)
    assert error.value.code == code
    assert error.value.remedy
    for word in words:
        assert word in error.value.line()


def reasons(found):
    return [(row.status, row.code) for row in found.rows]


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_separator_encoding_and_line_end_is_read(tmp_path, sign, encoding, end):
    found = manifest(tmp_path, PLAIN.replace(",", sign).replace("\n", end), encoding)
    assert [(row.patient, row.exam, row.path) for row in found.rows] == [
        ("P1", "E1", tmp_path / "a.nrrd"),
        ("P2", "E1", tmp_path / "b.nrrd"),
    ]
    assert found.columns == {"age": [61, None]}
    assert found.warnings == []


def test_text_of_windows_is_read_with_a_warning(tmp_path):
    found = manifest(tmp_path, "patient,exam,path,clinic\nP1,E1,a.nrrd,Zürich\n", "cp1252")
    assert found.columns["clinic"] == ["Zürich"]
    assert [warning.code for warning in found.warnings] == ["manifest-encoding"]


def test_quotes_hold_separators_lines_and_quotes(tmp_path):
    found = manifest(tmp_path, 'patient,exam,path,note\nP1,E1,"a, b.nrrd","said ""no""\nand left"\nP2,E1,c,x\n')
    assert found.rows[0].path == tmp_path / "a, b.nrrd"
    assert found.columns["note"] == ['said "no" and left', "x"]
    assert found.rows[1].place == "line 4"


def test_names_of_our_columns_in_any_case_and_order_others_as_they_are(tmp_path):
    found = manifest(tmp_path, " PATH ,Sex,Exam,Patient\na.nrrd,f,E1,P1\n")
    assert (found.rows[0].patient, found.rows[0].exam) == ("P1", "E1")
    assert found.columns == {"Sex": ["f"]}


def test_blank_lines_and_trailing_separators_are_left_out(tmp_path):
    found = manifest(tmp_path, "\npatient,exam,path,,\n\nP1,E1,a.nrrd,,\n,,,,\n\nP2,E1,b.nrrd,,\n")
    assert [row.place for row in found.rows] == ["line 4", "line 7"]
    assert found.columns == {}


def test_decimal_commas_where_semicolons_part_the_columns(tmp_path):
    found = manifest(tmp_path, "patient;exam;path;crp\nP1;E1;a;1,5\nP2;E1;b;20\n")
    assert found.columns["crp"] == [1.5, 20.0]


def test_bad_rows_say_why_and_leave_the_others(tmp_path):
    rows = [
        "P1,E1,a.nrrd,2020-02-01",
        "P2,E1,b.nrrd",  # too few
        "P3,E1,c.nrrd,2020-02-01,more",  # too many
        ",E1,d.nrrd,2020-02-01",
        "nan,E1,d.nrrd,2020-02-01",
        "P4,,,2020-02-01",
        "P5,E1,e.nrrd,03/04/2020",
        'P6,"E1"x,f.nrrd,2020-02-01',
        "P7,E1,g\0.nrrd,2020-02-01",
        "P8,E1,h.nrrd,",
    ]
    found = manifest(tmp_path, "patient,exam,path,date\n" + "\n".join(rows) + "\n")
    unfit = (Status.UNREADABLE, "row-unreadable")
    assert reasons(found) == [(Status.PENDING, ""), *[unfit] * 8, (Status.PENDING, "")]
    told = [row.reason for row in found.rows]
    assert told[1] == "it has 3 fields, the header has 4"
    assert told[3] == told[4] == "it gives no patient"
    assert told[5] == "it gives no exam and no path"
    assert "03/04/2020" in told[6]
    assert "YYYY-MM-DD" in told[6]
    assert found.rows[7].place == "line 9"
    assert found.columns["date"][0] == date(2020, 2, 1)
    assert found.columns["date"][6] is None


def test_an_exam_or_its_images_twice(tmp_path):
    rows = ["P1,E1,a.nrrd", "P1,E1,b.nrrd", "p1,e1,c.nrrd", "P2,E1,a.nrrd", "P3,E1,./a.nrrd", "P1,E2,b.nrrd"]
    found = manifest(tmp_path, "patient,exam,path\n" + "\n".join(rows))
    assert reasons(found) == [
        (Status.PENDING, ""),
        (Status.UNREADABLE, "exam-twice"),
        (Status.UNREADABLE, "exam-twice"),
        (Status.DUPLICATE, "images-twice"),
        (Status.DUPLICATE, "images-twice"),
        (Status.PENDING, ""),
    ]
    assert "line 2 (P1 E1)" in found.rows[3].reason


def test_two_series_of_one_folder_are_two_exams(tmp_path):
    found = manifest(tmp_path, "patient,exam,path,series\nP1,E1,a,3\nP1,E2,a,4\nP1,E3,a,4\n")
    assert [code for _, code in reasons(found)] == ["", "", "images-twice"]
    assert [row.series for row in found.rows[:2]] == ["3", "4"]


def test_rows_that_are_not_to_be_used_or_not_to_count(tmp_path):
    text = "patient,exam,path,use,excluded\nP1,E1,a,no,\nP1,E2,b,yes,motion\nP1,E3,c,,no\nP1,E4,d,TRUE,yes\n"
    found = manifest(tmp_path, text)
    assert found.rows[0].status is Status.LEFT_OUT
    assert [row.excluded for row in found.rows[1:]] == ["motion", "", "yes"]
    assert found.columns == {}


def test_paths_are_relative_to_the_manifest_and_taken_literally(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a[1]*.nrrd").touch()
    text = f"patient,exam,path\nP1,E1,sub/a[1]*.nrrd\nP1,E2,sub\\a[1]*.nrrd\nP1,E3,{tmp_path / 'x y.nrrd'}\n"
    found = manifest(tmp_path, text)
    assert found.rows[0].path == tmp_path / "sub" / "a[1]*.nrrd"
    assert found.rows[1].code == "images-twice"  # a path as Windows writes it
    assert found.rows[2].path == tmp_path / "x y.nrrd"


def test_references_are_paths_by_what_they_show(tmp_path):
    found = manifest(tmp_path, "patient,exam,path,reference_lesions,Reference_Lobes\nP1,E1,a,l.nrrd,\n")
    assert dict(found.rows[0].references) == {"lesions": tmp_path / "l.nrrd"}
    assert found.columns == {}


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "empty-file", ()),
        ("\n\n", "manifest-columns", ("header",)),
        ("patient,exam,path\n", "manifest-empty", ("rows",)),
        ("patient_id,exam,path\nP1,E1,a\n", "manifest-columns", ("patient", "Rename patient_id?")),
        ("patient,exam,path,age,AGE\nP1,E1,a,1,2\n", "manifest-columns", ("age", "twice")),
        ("patient,exam,path,grade\nP1,E1,a,1\n", "manifest-columns", ("grade",)),
        ("patient,exam,path,Volume_ML\nP1,E1,a,1\n", "manifest-columns", ("Volume_ML",)),
        ('patient,exam,path\nP1,E1,a\nP2,"E1,b\nP3,E1,c\n', "manifest-damaged", ("line 3", "never closed")),
        (b"PK\x03\x04workbook", "manifest-kind", ("workbook", "CSV")),
        (b"\x89PNG\0\0\xff\xfe", "manifest-kind", ()),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(tmp_path, text, code, words):
    refused(tmp_path, text, code, *words)


def test_a_damaged_parquet_table_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    refused(tmp_path, b"PAR1" + bytes(40), "manifest-damaged", "Parquet")


def test_a_missing_manifest_is_refused(tmp_path):
    with pytest.raises(UnfitInputError, match="no-such-file"):
        read_manifest(tmp_path / "none.csv")


def test_parquet_with_typed_columns(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = arrow.table(
        {
            "patient": [1, 2, None],
            "exam": [1.0, 2.0, 3.0],
            "path": ["a", "b", "c"],
            "date": [date(2020, 2, 1), None, date(2020, 2, 3)],
            "age": [61.5, float("nan"), 40.0],
            "bad": [True, None, False],
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    found = read_manifest(tmp_path / "m.parquet")
    assert [(row.patient, row.exam) for row in found.rows] == [("1", "1"), ("2", "2"), ("", "3")]
    assert found.rows[2].place == "row 3"
    assert found.rows[2].code == "row-unreadable"
    assert found.columns == {
        "date": [date(2020, 2, 1), None, date(2020, 2, 3)],
        "age": [61.5, None, 40.0],
        "bad": [True, None, False],
    }


def test_onset_after_the_exam_is_told(tmp_path):
    found = manifest(tmp_path, "patient,exam,path,date,onset\nP1,E1,a,2020-02-01,2020-02-05\nP2,E1,b,2020-02-09,\n")
    assert [warning.code for warning in found.warnings] == ["onset-after-exam"]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "", "3"], [1, None, 3]),
        (["1", "2.5", "NA"], [1.0, 2.5, None]),
        (["007", "008"], ["007", "008"]),
        (["1", "x"], ["1", "x"]),
        (["1e3", "inf"], ["1e3", "inf"]),
        (["true", "False", "-"], [True, False, None]),
        (["2020-01-02", "20200103"], [date(2020, 1, 2), date(2020, 1, 3)]),
        (["", None, "n/a"], [None, None, None]),
        (["12345678901234567890"], ["12345678901234567890"]),
        (["1_000"], ["1_000"]),
        (["٣"], [3.0]),
    ],
)
def test_a_column_has_the_narrowest_type_that_fits(cells, values):
    assert typed(cells) == values


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32)), min_size=1))
def test_numbers_come_back(values):
    found = typed(["" if value is None else repr(value) for value in values])
    assert all((a is None) == (b is None) and (a is None or float(b) == a) for a, b in zip(values, found, strict=True))


def test_days_with_a_time_and_as_dates():
    assert day_of("2020-03-04T11:12:13") == day_of(datetime.fromisoformat("2020-03-04 05:06")) == date(2020, 3, 4)
    assert day_of(None) is None
    assert text_of(3.0) == "3"
    with pytest.raises(ValueError, match="YYYY-MM-DD"):
        day_of("4.3.2020")


_ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=12)


@given(st.lists(st.tuples(_ANY, _ANY), min_size=1, max_size=5, unique=True))
def test_whatever_is_quoted_comes_back(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("m") / "m.csv"
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in pair) for pair in [("a", "b"), *pairs]]
    path.write_bytes("\n".join(lines).encode())
    kept = [row.values for row in read_table(path).rows]
    assert kept == [{"a": a, "b": b} for a, b in pairs if a.strip() or b.strip()]


@given(_ANY, _ANY)
def test_folders_of_exams_stay_inside_and_apart(one, other):
    folder = exam_folder(one, other)
    assert len(folder.parts) == 3
    assert ".." not in folder.parts
    assert all(part == part.strip(". ") and part.isascii() and len(part) < 80 for part in folder.parts)
    if one != other:
        assert folder_name(one) != folder_name(other)


@pytest.mark.parametrize("name", ["CON", "nul.txt", "..", "a/b", "a\\b", "Müller", "x" * 300, " "])
def test_awkward_names_get_a_folder_of_their_own(name, tmp_path):
    made = tmp_path / Path(folder_name(name))
    assert made.parent == tmp_path
    made.mkdir()
    assert folder_name("P001-a_b.c") == "P001-a_b.c"
