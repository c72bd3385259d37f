"""``covidquant rate`` end to end: blinded, atomic, in every file; excluded exams in compare and evaluate."""

import csv
import json
import threading

import numpy as np
import pytest
from followup_world import lungs, write_result

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import OutputError, UnfitInputError
from COVIDQuantLib.export import rated_result
from COVIDQuantLib.export.reader_records import GATE_CODE
from COVIDQuantLib.export.segmentation_file import read_segmentation, write_segmentation
from COVIDQuantLib.export.table_file import CSV_FILE, JSON_FILE, metrics_record, read_metrics, write_csv, write_json
from COVIDQuantLib.followup.lesions.records import COLUMNS
from COVIDQuantLib.followup.lesions.table import lesion_rows
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.readers.rating import Rating
from COVIDQuantLib.readers.scale import Verdict
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

SEGMENTATION = "segmentation.seg.nrrd"
GRID = Geometry((6, 8, 10), (0.7, 0.8, 2.5))


def made(folder, seed=1):
    """A whole result folder of a few voxels."""
    rng = np.random.default_rng(seed)
    lobes = np.zeros(GRID.shape, np.uint8)
    lobes[1:5, 1:7, 1:9] = rng.integers(1, 6, (4, 6, 8))
    lesions = (rng.random(GRID.shape) < 0.3) & (lobes > 0)
    ct = CTVolume(rng.integers(-900, 100, GRID.shape).astype(np.int16), GRID)
    segmentation = Segmentation(lobes, lesions, {"lesions": {"method": "given"}})
    histogram = JointHistogram.of(ct.hu, lobes, lesions, GRID.voxel_volume_ml)
    metrics = compute_metrics(histogram)
    folder.mkdir()
    write_json(folder / JSON_FILE, metrics_record(ct, segmentation, histogram, metrics))
    write_csv(folder / CSV_FILE, metrics)
    write_segmentation(folder / SEGMENTATION, segmentation, GRID)
    return folder


@pytest.fixture
def result(tmp_path):
    return made(tmp_path / "exam")


def rate(folder, *options, quiet=True):
    return main(["rate", str(folder), *(["--quiet"] if quiet else []), *map(str, options)])


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """A result that both have rated; not to be changed."""
    folder = made(tmp_path_factory.mktemp("rated") / "exam")
    both(folder)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def both(folder, one=2, other=3):
    assert rate(folder, "--reader", "AB", "--score", one) == 0
    assert rate(folder, "--reader", "CD", "--score", other) == 0


def test_two_readers_rate_blindly_and_every_file_says_what_came_of_it(result, capsys):
    assert rate(result, "--reader", "ab", "--score", 2, "--comment", 'too "much" | at \\n the heart', quiet=False) == 0
    shown = capsys.readouterr().out
    assert "waiting" in shown
    assert "heart" not in shown
    assert "heart" not in (result / JSON_FILE).read_text(encoding="utf-8")
    assert b"heart" not in (result / SEGMENTATION).read_bytes()
    assert rate(result, quiet=False) == 0
    assert "waiting" in capsys.readouterr().out
    assert rate(result, "--reader", "CD", "--score", 3, quiet=False) == 0
    captured = capsys.readouterr()
    assert "AB 2" in captured.out
    assert "heart" in captured.out
    assert GATE_CODE in captured.err
    read = read_metrics(result)
    assert read.readers.rating.verdict is Verdict.EXCLUDED
    assert read.record["rating"]["mean"] == 2.5
    assert [one["code"] for one in read.record["warnings"]] == [GATE_CODE]
    assert read_segmentation(result / SEGMENTATION).readers().rating == read.readers.rating
    with (result / CSV_FILE).open(encoding="utf-8", newline="") as file:
        assert {row["quality_gate"] for row in csv.DictReader(file)} == {"excluded from quantification"}


def test_a_better_score_lifts_the_exclusion_everywhere(result):
    both(result)
    assert rate(result, "--reader", "CD", "--score", 5, "--change") == 0
    read = read_metrics(result)
    assert read.readers.rating.mean == 3.5
    assert read.record["warnings"] == []
    assert "adequate" in (result / CSV_FILE).read_text(encoding="utf-8")


def test_nothing_else_in_the_files_changes(result):
    before, record = read_segmentation(result / SEGMENTATION), json.loads((result / JSON_FILE).read_text("utf-8"))
    both(result, 4, 4)
    after = read_segmentation(result / SEGMENTATION)
    assert np.array_equal(after.segmentation.lobes, before.segmentation.lobes)
    assert np.array_equal(after.segmentation.lesions, before.segmentation.lesions)
    assert after.segments == before.segments
    now = json.loads((result / JSON_FILE).read_text("utf-8"))
    assert list(now)[-2:] == ["rating", "histogram"]
    assert {key: value for key, value in now.items() if key != "rating"} == record


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (("--reader", "AB", "--score", "4"), 3, "already-rated"),
        (("--reader", "ab", "--score", "4"), 3, "already-rated"),
        (("--reader", "EF", "--score", "4"), 3, "third-reader"),
        (("--reader", "AB", "--score", "6"), 2, "score-range"),
        (("--reader", "AB", "--score", "2.5"), 2, "score-range"),
        (("--reader", "A?", "--score", "2"), 2, "reader-initials"),
        (("--reader", "AB"), 2, "rating-incomplete"),
        (("--score", "2"), 2, "rating-incomplete"),
        (("--comment", "fine"), 2, "rating-incomplete"),
        (("--reader", "AB", "--score", "2", "--comment", "x" * 501), 2, "comment-too-long"),
    ],
)
def test_what_is_no_rating_is_one_line_and_changes_nothing(rated, options, status, code, capsys):
    result = rated
    before = contents(result)
    assert rate(result, *options) == status
    said = capsys.readouterr().err
    assert f"[{code}]" in said
    assert said.count("\n") == 1
    assert contents(result) == before


def test_a_folder_that_is_no_whole_result_is_refused(result, tmp_path, capsys):
    cases = {"no-such-file": tmp_path / "nowhere", "no-result": tmp_path / "empty", "result-incomplete": result}
    (tmp_path / "empty").mkdir()
    text = (result / JSON_FILE).read_bytes()
    (result / JSON_FILE).unlink()
    for code, folder in cases.items():
        assert rate(folder, "--reader", "AB", "--score", 3) == 3
        assert f"[{code}]" in capsys.readouterr().err
    (result / JSON_FILE).write_bytes(text[: len(text) // 2])
    assert rate(result, "--reader", "AB", "--score", 3) == 3
    assert "[json-damaged]" in capsys.readouterr().err


def test_the_segmentation_of_another_exam_cannot_be_rated(result, tmp_path, capsys):
    (result / SEGMENTATION).write_bytes((made(tmp_path / "other", 2) / SEGMENTATION).read_bytes())
    before = contents(result)
    assert rate(result, "--reader", "AB", "--score", 3) == 3
    assert "[segmentation-other-counts]" in capsys.readouterr().err
    assert contents(result) == before


def test_a_record_of_another_exam_is_refused_and_never_attached(result, tmp_path):
    other = made(tmp_path / "other", 2)
    both(other)
    record = json.loads((result / JSON_FILE).read_text("utf-8"))
    record["rating"] = json.loads((other / JSON_FILE).read_text("utf-8"))["rating"]
    write_json(result / JSON_FILE, record)
    with pytest.raises(UnfitInputError) as refused:
        read_metrics(result)
    assert refused.value.code == "rating-other-exam"
    told = read_segmentation(other / SEGMENTATION).told
    header, _, voxels = (result / SEGMENTATION).read_bytes().partition(b"\n\n")
    lines = header.decode().split("\n")
    place = next(n for n, line in enumerate(lines) if line.startswith("Segment5_Tags"))
    lines[place] += f"COVIDQuant.readers:{told}|"
    (result / SEGMENTATION).write_bytes("\n".join(lines).encode() + b"\n\n" + voxels)
    file = read_segmentation(result / SEGMENTATION)
    assert file.segmentation.lesions.any()
    with pytest.raises(UnfitInputError) as refused:
        file.readers()
    assert refused.value.code == "rating-other-exam"


def test_an_edited_verdict_is_found_out(result):
    both(result)
    record = json.loads((result / JSON_FILE).read_text("utf-8"))
    record["rating"]["verdict"] = "adequate"
    write_json(result / JSON_FILE, record)
    with pytest.raises(UnfitInputError) as refused:
        read_metrics(result)
    assert refused.value.code == "rating-damaged"


def test_a_rating_appears_in_all_files_or_in_none(result, monkeypatch):
    before = contents(result)

    def fail(*_arguments):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(rated_result, "_retag", fail)
    assert rate(result, "--reader", "AB", "--score", 3) == 3
    assert contents(result) == before


def test_while_one_reader_rates_no_other_can_lose_the_word(result):
    """The rating so far is read while the folder is held."""
    said, refused = threading.Event(), []

    def say(read):
        try:
            rated_result.rate_result(result, lambda _: pytest.fail("two at a time"))
        except OutputError as error:
            refused.append(error.code)
        said.set()
        return Rating(read.identity).rate("AB", 3, read.identity)

    rated_result.rate_result(result, say)
    assert said.is_set()
    assert refused == ["in-use"]
    assert read_metrics(result).readers.rating.current.by("AB") is not None


def test_without_a_segmentation_the_figures_are_rated(result):
    (result / SEGMENTATION).unlink()
    (result / CSV_FILE).unlink()
    both(result, 5, 5)
    assert [path.name for path in result.iterdir()] == [JSON_FILE]
    assert read_metrics(result).readers.rating.mean == 5


def test_slicers_own_header_is_tagged_too(result):
    """Slicer numbers segments as it likes, and has tags of its own."""
    path = result / SEGMENTATION
    header, _, voxels = path.read_bytes().partition(b"\n\n")
    moved = header.replace(b"Segment5_", b"Segment17_").replace(
        b"_Tags:=Term", b"_Tags:=Segmentation.Status:accepted|Term"
    )
    path.write_bytes(moved + b"\n\n" + voxels)
    both(result, 4, 4)
    assert b"Segment17_Tags:=Segmentation.Status:accepted|TerminologyEntry" in path.read_bytes()
    assert read_segmentation(path).readers().rating.mean == 4


def test_quantify_does_not_replace_what_readers_have_done(tmp_path, capsys):
    made_by = ["phantom", "--out", str(tmp_path / "ct"), "--matrix", "48", "--slices", "24", "--thickness", "10"]
    assert main([*made_by, "--seed", "7", "--quiet"]) == 0
    again = ["quantify", str(tmp_path / "ct" / "ct.nrrd"), "--lobes", str(tmp_path / "ct" / "lobes.nrrd"), "--lesions",
             str(tmp_path / "ct" / "lesions.nrrd"), "--out", str(tmp_path / "exam"), "--no-picture"]  # fmt: skip
    assert main([*again, "--reading-aids", "--days-since-onset", "9"]) == 0
    shown = capsys.readouterr().out
    assert "published cut-offs" in shown
    assert "not a diagnosis" in shown
    assert "corrected curve" in shown
    aids = json.loads((tmp_path / "exam" / JSON_FILE).read_text("utf-8"))["reading_aids"]
    assert aids["cut_offs"][0]["value"] == read_metrics(tmp_path / "exam").metrics.value("whole lung", "extent_percent")
    assert {row["days_since_onset"] for row in aids["time_courses"]} == {9}
    assert rate(tmp_path / "exam", "--reader", "AB", "--score", 4) == 0
    assert "reading_aids" in json.loads((tmp_path / "exam" / JSON_FILE).read_text("utf-8"))
    capsys.readouterr()
    assert main(again) == 3
    assert "[rated-result]" in capsys.readouterr().err
    assert main([*again, "--days-since-onset", "3"]) == 2
    assert "[onset-unused]" in capsys.readouterr().err
    assert main([*again, "--reading-aids", "--days-since-onset", "-3"]) == 2
    assert "[days-before-onset]" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ who reads it later


def excluded_by_figures(folder, n):
    """A small result without segmentation, excluded."""
    path = write_result(folder, lungs(ggo=n))
    (path / SEGMENTATION).unlink()
    both(path)
    return path


def test_compare_shows_an_excluded_exam_in_every_file(tmp_path, capsys):
    first = write_result(tmp_path / "a", lungs(ggo=1_000))
    second = excluded_by_figures(tmp_path / "b", 9_000)
    out = tmp_path / "out"
    options = ["--date", "2020-02-01", "2020-02-11", "--out", str(out), "--no-lesions"]
    assert main(["compare", str(first), str(second), *options, "--strict"]) == 4
    captured = capsys.readouterr()
    assert "excluded by" in " ".join(captured.out.split())
    assert "exam-excluded: Two readers excluded exam 2" in captured.err
    record = json.loads((out / "comparison.json").read_text("utf-8"))
    assert [exam["quality_gate"] for exam in record["exams"]] == ["not rated", "excluded from quantification"]
    assert [exam["rating_mean"] for exam in record["exams"]] == [None, 2.5]
    assert [point["excluded"] for point in record["time_course"]["trajectory"]] == [False, True]
    assert "exam-excluded" in {one["code"] for one in record["warnings"]}
    with (out / "changes.csv").open(encoding="utf-8", newline="") as file:
        assert {row["excluded_exams"] for row in csv.DictReader(file)} == {"2"}
    assert (out / "time_course.png").stat().st_size > 10_000


def test_the_table_of_lesions_names_excluded_exams():
    lesion = dict.fromkeys(COLUMNS, 1)
    pairs = [
        {"before": n, "after": n + 1, "compared": ["consecutive"], "interval_days": 5}
        | {"registration": {"quality": "good"}, "lesions": [lesion]}
        for n in (1, 2, 3)
    ]
    head, *rows = lesion_rows({"pairs": pairs}, {2})
    assert head[-1] == "excluded_exams"
    assert [row[-1] for row in rows] == ["2", "2", ""]
    assert all(len(row) == len(head) for row in rows)


def test_evaluate_names_an_excluded_scan(result, tmp_path, capsys):
    both(result)
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / SEGMENTATION).write_bytes((result / SEGMENTATION).read_bytes())
    out = tmp_path / "out"
    assert main(["evaluate", str(result), str(tmp_path / "truth"), "--out", str(out)]) == 0
    assert "Excluded from quantification" in capsys.readouterr().err
    with (out / "evaluation.csv").open(encoding="utf-8", newline="") as file:
        assert {row["excluded_by_readers"] for row in csv.DictReader(file)} == {"predicted"}
    record = json.loads((out / "summary.json").read_text("utf-8"))
    assert list(record["excluded_by_readers"].values()) == ["predicted"]
    assert any("Excluded from quantification" in warning for warning in record["warnings"])


def picture(path, seed=3):
    """A small image as the sheet is saved."""
    from matplotlib.image import imsave

    pixels = np.random.default_rng(seed).integers(0, 256, (40, 600, 4)).astype(np.uint8)
    pixels[..., 3] = 255
    imsave(path, pixels, format="png")
    return pixels


def pixels_of(path):
    from matplotlib.image import imread

    return np.round(imread(path) * 255).astype(np.uint8)


def test_the_image_says_it_too_and_loses_nothing(result):
    image = result / "overlay.png"
    before = picture(image)
    assert rate(result, "--reader", "AB", "--score", 1) == 0
    assert np.array_equal(pixels_of(image), before)
    assert rate(result, "--reader", "CD", "--score", 2) == 0
    excluded = pixels_of(image)
    height = len(excluded) - len(before)
    assert height > 20
    assert np.array_equal(excluded[height:], before)
    assert rate(result, "--reader", "CD", "--score", 5, "--change") == 0
    adequate = pixels_of(image)
    assert adequate.shape == excluded.shape
    assert np.array_equal(adequate[height:], before)
    assert not np.array_equal(adequate[:height], excluded[:height])


def test_an_image_that_cannot_be_read_stays_and_is_told(result, capsys):
    (result / "overlay.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    assert rate(result, "--reader", "AB", "--score", 1) == 0
    assert "picture-unmarked" in capsys.readouterr().err
    assert (result / "overlay.png").read_bytes() == b"\x89PNG\r\n\x1a\nno more"
    assert read_metrics(result).readers.rating is not None
