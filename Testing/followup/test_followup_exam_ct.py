"""Of a folder with several DICOM series, the one that was quantified is taken as an exam's CT, or none."""

import numpy as np
import pytest
from dicom_maker import chest, slice_datasets, write

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.anonymous import hashed
from COVIDQuantLib.followup.exam_ct import ExamCT
from COVIDQuantLib.followup.exam_result import ExamResult
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a sharp series 2, which quantify would not choose, and a standard series 3."""
    folder = tmp_path_factory.mktemp("study")
    sharp = {"SeriesNumber": 2, "ConvolutionKernel": "B80f", "SeriesDescription": "CHEST 1.0 B80f"}
    write(slice_datasets(chest(seed=1), **sharp), folder / "sharp")
    write(slice_datasets(chest(seed=2)), folder / "standard")
    return folder


def result_with(series):
    histogram = JointHistogram(0.04, np.zeros((6, 2, 4096), np.int64))
    return ExamResult(path=None, histogram=histogram, thresholds=DEFAULT_THRESHOLDS, series=series)


def recorded(folder, series=None):
    return hashed(read_ct(folder, series).source.facts["series_uid"])


def test_the_series_of_the_result_is_taken_though_another_is_better(study):
    assert read_ct(study).source.facts["series_number"] == "3"
    found = ExamCT(study).read(result_with(recorded(study, "2")))
    assert found.source.facts["series_number"] == "2"
    assert np.array_equal(found.hu, read_ct(study / "sharp").hu)


def test_a_named_series_that_is_the_results_own_is_taken(study):
    assert ExamCT(study, "2").read(result_with(recorded(study, "2"))).source.facts["series_number"] == "2"
    # A result that records none believes its user; the numbers are compared later.
    assert ExamCT(study, "2").read(result_with("")).source.facts["series_number"] == "2"


@pytest.mark.parametrize(
    ("named", "own", "code", "says"),
    [
        ("3", True, "ct-other-series", "or name series 2"),
        (None, False, "ct-other-series", "Give the CT"),
        (None, None, "ct-several-series", "--series"),
    ],
)
def test_another_or_an_ambiguous_series_is_refused(study, named, own, code, says):
    series = {True: recorded(study, "2"), False: hashed("1.2.3.4.5.6"), None: ""}[own]
    with pytest.raises(UnfitInputError) as refused:
        ExamCT(study, named).read(result_with(series))
    assert refused.value.code == code
    assert says in refused.value.remedy


def test_one_series_under_another_uid_may_be_a_copy_without_names(study):
    found = ExamCT(study / "sharp").read(result_with(hashed("1.2.3.4.5.6")))
    assert found.source.facts["series_number"] == "2"


@pytest.mark.parametrize("options", [["--series", "2"], ["--ct", "a", "b", "--series", "1", "2", "3"]])
def test_series_without_cts_or_of_another_number_are_wrong_use(tmp_path, options, capsys):
    assert main(["compare", "a", "b", "--out", str(tmp_path / "out"), *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("[series-count]")
    assert not (tmp_path / "out").exists()
