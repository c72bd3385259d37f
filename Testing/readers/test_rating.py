"""Two readers, blinded to each other until both have spoken: scores, gate, history, and what is refused."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.export.reader_records import packed, unpacked
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.readers.identity import SegmentationIdentity, digest_of_masks
from COVIDQuantLib.readers.rating import MAX_COMMENT, Rating, reader_pairs
from COVIDQuantLib.readers.rating_record import check_case, rating_from_record, rating_record
from COVIDQuantLib.readers.scale import Verdict
from COVIDQuantLib.readers.words import rating_lines

AI = SegmentationIdentity("a" * 64, "b" * 64)
EDITED = SegmentationIdentity("c" * 64, "d" * 64)
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def rated(*words, of=AI):
    """A rating with words like ``("AB", 3)`` in their order."""
    rating = Rating(AI)
    for minutes, (reader, score) in enumerate(words):
        rating = rating.rate(reader, score, of, time=NOON + timedelta(minutes=minutes))
    return rating


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [((3, 3), Verdict.ADEQUATE), ((2, 4), Verdict.ADEQUATE), ((2, 3), Verdict.EXCLUDED), ((0, 5), Verdict.EXCLUDED),
     ((1, 5), Verdict.ADEQUATE), ((0, 0), Verdict.EXCLUDED), ((5, 5), Verdict.ADEQUATE)],
)  # fmt: skip
def test_the_gate_is_a_mean_of_three(scores, verdict):
    rating = rated(("AB", scores[0]), ("CD", scores[1]))
    assert rating.mean == sum(scores) / 2
    assert rating.verdict is verdict
    assert rating.excludes == (verdict is Verdict.EXCLUDED)


def test_one_reader_decides_nothing():
    assert Rating(AI).verdict is Verdict.NOT_RATED
    rating = rated(("AB", 0))
    assert rating.verdict is Verdict.WAITING
    assert rating.mean is None
    assert not rating.excludes


@settings(max_examples=30, deadline=None)
@given(score=st.integers(0, 5), comment=st.text(max_size=60))
def test_nothing_of_a_lone_readers_words_can_be_read(score, comment):
    comment = "".join(c if c.isprintable() else " " for c in comment)
    rating = Rating(AI).rate("AB", score, AI, comment=f"secret {comment}"[:MAX_COMMENT], time=NOON)
    record = json.dumps(rating_record(rating))
    assert "secret" not in record
    assert '"score"' not in record
    assert "secret" not in " ".join(rating_lines(rating, AI))
    assert rating_from_record(json.loads(record), "") == rating
    both = json.dumps(rating_record(rating.rate("CD", 3, AI, time=NOON)))
    assert "secret" in both


def test_before_both_have_spoken_a_change_leaves_no_trace_and_afterwards_it_is_kept():
    rating = rated(("AB", 1)).rate("ab", 4, AI, change=True, time=NOON)
    assert [score.score for score in rating.current.by("AB").scores] == [4]
    rating = rating.rate("CD", 3, AI, time=NOON).rate("AB", 2, AI, change=True, comment="looked again", time=NOON)
    assert [score.score for score in rating.current.by("AB").scores] == [4, 2]
    assert rating.mean == 2.5
    assert any("AB 2" in line and "before: 4" in line and "looked again" in line for line in rating_lines(rating, AI))


@pytest.mark.parametrize(
    ("reader", "score", "code"),
    [("AB", 3, "already-rated"), ("EF", 3, "third-reader"), ("", 3, "reader-initials"), ("A B", 3, "reader-initials"),
     ("ABCDEFGHI", 3, "reader-initials"), ("1A", 3, "reader-initials"), ("A|", 3, "reader-initials"),
     ("AB", 6, "score-range"), ("AB", -1, "score-range"), ("AB", "2.5", "score-range"), ("AB", "", "score-range"),
     ("AB", "three", "score-range"), ("AB", True, "score-range"), ("AB", "３", "score-range")],
)  # fmt: skip
def test_what_is_no_rating_is_refused_by_its_code(reader, score, code):
    with pytest.raises((UsageError, UnfitInputError)) as refused:
        rated(("AB", 3), ("CD", 4)).rate(reader, score, AI)
    assert refused.value.code == code
    assert refused.value.remedy


def test_there_is_nothing_to_change_before_the_first_word():
    for rating in (Rating(AI), rated(("AB", 3))):
        with pytest.raises(UsageError) as refused:
            rating.rate("CD", 3, AI, change=True)
        assert refused.value.code == "not-rated-yet"
    with pytest.raises(UsageError) as refused:
        Rating(AI).rate("AB", 3, AI, comment="x" * (MAX_COMMENT + 1))
    assert refused.value.code == "comment-too-long"


def test_times_are_utc_wherever_they_were_said():
    tokyo = datetime(2026, 3, 1, 21, 0, 5, tzinfo=timezone(timedelta(hours=9)))
    rating = Rating(AI).rate("AB", 3, AI, time=tokyo)
    assert rating.current.by("AB").scores[0].time == "2026-03-01T12:00:05+00:00"


def test_edits_begin_a_new_round_and_the_verdict_stands_until_it_is_complete():
    rating = rated(("AB", 1), ("CD", 2)).rate("AB", 4, EDITED, time=NOON)
    assert rating.verdict is Verdict.EXCLUDED
    assert not rating.is_about(EDITED)
    assert rating.is_about(AI)
    assert any("CD 2" in line for line in rating_lines(rating, EDITED))
    rating = rating.rate("EF", 4, EDITED, time=NOON)
    assert rating.verdict is Verdict.ADEQUATE
    assert rating.is_about(EDITED)
    assert [one.mean for one in rating.rounds] == [1.5, 4.0]


def test_an_edit_that_was_undone_goes_on_with_its_round():
    rating = rated(("AB", 4)).rate("AB", 1, EDITED, time=NOON).rate("CD", 3, AI, time=NOON)
    assert rating.complete.of == AI
    assert rating.mean == 3.5
    assert len(rating.rounds) == 2


WORDS = st.tuples(
    st.sampled_from(["AB", "CD", "X", "Ä-1"]), st.integers(0, 5), st.sampled_from([AI, EDITED]), st.text()
)


@given(st.lists(WORDS, max_size=12))
def test_any_rating_comes_back_from_its_record_and_from_a_segments_tag(words):
    rating = Rating(AI)
    for reader, score, of, comment in words:
        for change in (False, True):
            try:
                rating = rating.rate(reader, score, of, comment=comment[:100], change=change, time=NOON)
                break
            except (UsageError, UnfitInputError):
                continue
    record = rating_record(rating)
    assert rating_from_record(json.loads(json.dumps(record)), "") == rating
    text = packed({"rating": record})
    assert "|" not in text
    assert "\\" not in text
    assert text.isascii()
    assert rating_from_record(unpacked(text, "")["rating"], "") == rating


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.update(format="covidquant-rating/9"),
        lambda r: r.update(verdict="adequate"),
        lambda r: r.update(mean=4.0),
        lambda r: r["rounds"][0].update(mean=None),
        lambda r: r["rounds"][0]["readers"][0]["scores"][0].update(score=6),
        lambda r: r["rounds"][0]["readers"][0]["scores"][0].update(score=2.0),
        lambda r: r["rounds"][0]["readers"][0]["scores"][0].update(time="yesterday"),
        lambda r: r["rounds"][0]["readers"][0]["scores"][0].update(time="2026-03-01T12:00:00+09:00"),
        lambda r: r["rounds"][0]["readers"][0].update(reader="CD"),
        lambda r: r["rounds"][0]["readers"][0].update(scores=[]),
        lambda r: r["rounds"][0]["readers"].append(r["rounds"][0]["readers"][0]),
        lambda r: r["rounds"].append(r["rounds"][0]),
        lambda r: r["rounds"][0].update(of={"counts_sha256": "", "masks_sha256": ""}),
        lambda r: r["rounds"][0].pop("of"),
        lambda r: r.update(case="x"),
        lambda r: r.update(rounds={}),
        lambda r: r.clear(),
    ],
)
def test_a_changed_record_is_refused(change):
    record = rating_record(rated(("AB", 1), ("CD", 2)))
    change(record)
    with pytest.raises(UnfitInputError) as refused:
        rating_from_record(record, "here")
    assert refused.value.code == "rating-damaged"
    assert refused.value.where == "here"


@pytest.mark.parametrize(
    "sealed", ["", "x", "[]", 3, base64.b64encode(b"[" * 9000).decode(), base64.b64encode(b"{}").decode()]
)
def test_a_broken_seal_is_refused(sealed):
    record = rating_record(rated(("AB", 1)))
    record["rounds"][0]["readers"][0]["sealed"] = sealed
    with pytest.raises(UnfitInputError) as refused:
        rating_from_record(record, "here")
    assert refused.value.code == "rating-damaged"


def test_a_record_of_another_exam_is_refused():
    rating = rated(("AB", 1), of=EDITED)
    for own in (AI, EDITED, SegmentationIdentity(AI.counts), SegmentationIdentity(masks=EDITED.masks)):
        check_case(rating, own, "")
    for other in (SegmentationIdentity("e" * 64), SegmentationIdentity(AI.counts, "e" * 64), SegmentationIdentity()):
        with pytest.raises(UnfitInputError) as refused:
            check_case(rating, other, "")
        assert refused.value.code == "rating-other-exam"


def test_pairs_of_scores_are_listed_for_their_agreement():
    ratings = [rated(("CD", 2), ("AB", 4)), rated(("AB", 3), ("CD", 3)), rated(("AB", 1)), rated(("XY", 5), ("AB", 0))]
    assert reader_pairs(ratings) == {("AB", "CD"): [(4, 2), (3, 3)], ("AB", "XY"): [(0, 5)]}


def test_identity_follows_the_voxels_and_not_the_extent_of_a_file():
    rng = np.random.default_rng(1)
    lobes = np.zeros((8, 9, 10), np.uint8)
    lobes[2:6, 3:7, 1:9] = rng.integers(0, 6, (4, 4, 8))
    lesions = rng.random(lobes.shape) < 0.3
    lesions &= lobes > 0
    whole = digest_of_masks(lobes, lesions)
    assert digest_of_masks(lobes[1:7, 2:8], lesions[1:7, 2:8]) == whole
    assert digest_of_masks(np.pad(lobes, 3), np.pad(lesions, 3)) == whole
    other = lesions.copy()
    other[tuple(np.argwhere(lobes > 0)[0])] ^= True
    assert digest_of_masks(lobes, other) != whole
    assert digest_of_masks(lobes * 0, lesions & False) != whole
    with pytest.raises(ValueError, match="shape"):
        digest_of_masks(lobes, lesions[1:])
    counts = JointHistogram.of(np.full(lobes.shape, -700, np.int16), lobes, lesions, 0.01)
    one, two = SegmentationIdentity.of(counts), SegmentationIdentity.of(labels=(lobes, lesions))
    both = SegmentationIdentity.of(counts, (lobes, lesions))
    assert one.with_more(two) == both
    assert both.is_surely(one)
    assert not one.is_surely(two)
    assert not one.differs_from(two)
