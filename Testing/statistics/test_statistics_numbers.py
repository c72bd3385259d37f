"""Numbers and p values as they are printed."""

import pytest

pytest.importorskip("pandas")
pytest.importorskip("statsmodels")

from COVIDQuantLib.statistics.report.numbers import number, p_text, p_words, ratio


@pytest.mark.parametrize(
    ("p", "text", "words"),
    [(0.0004, "< .001", "P < .001"), (0.0123, ".012", "P = .012"), (0.9999, "> .999", "P > .999"), (None, "–", "P –")],
)
def test_p_values_in_print(p, text, words):
    assert (p_text(p), p_words(p)) == (text, words)


def test_numbers_in_print():
    assert [number(v, 1) for v in (-0.04, -3.25, None)] == ["0.0", "−3.2", "–"]
    assert [ratio(v) for v in (2.5, 1e9, 1e-9)] == ["2.500", "> 9999", "< 0.0001"]
