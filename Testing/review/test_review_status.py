"""The state of a review: what follows from it, and that it survives being saved with the scene."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.review.components import find_components
from COVIDQuantLib.review.status import Decisions, Figures, FindingStatus, SegmentStatus
from COVIDQuantLib.review.suspicion import Finding


def made_finding(place, *, suspected=True):
    """A finding of one voxel."""
    mask = np.zeros((9, 9, 9), bool)
    mask[place, place, place] = True
    (component,) = find_components(mask, mask, (5.0, 5.0, 5.0))
    return Finding(
        place, component.id, component.box, component.centroid_kji, component.volume_ml, -500.0, (), 0.5, suspected,
        {}, (), {}, component,
    )  # fmt: skip


ONE, TWO, THREE = (made_finding(place) for place in (1, 3, 5))
FINE = made_finding(7, suspected=False)


def test_decisions_are_kept_and_taken_back():
    state = Decisions()
    state.decide(ONE, FindingStatus.REMOVED)
    state.decide(TWO, FindingStatus.KEPT)
    assert state.by_id[ONE.id].status is FindingStatus.REMOVED
    assert state.by_id[ONE.id].box == ((1, 2), (1, 2), (1, 2))
    state.decide(ONE, FindingStatus.UNTOUCHED)
    assert list(state.by_id) == [TWO.id]


@given(st.lists(st.sampled_from(SegmentStatus), max_size=7), st.booleans())
def test_figures_are_accepted_only_when_every_segment_is(statuses, edited):
    found = Figures.of(statuses, edited=edited)
    if set(statuses) == {SegmentStatus.ACCEPTED}:
        assert found is Figures.ACCEPTED
    else:
        assert found is (Figures.EDITED if edited else Figures.AI)


@given(st.lists(st.tuples(st.sampled_from([ONE, TWO, THREE, FINE]), st.sampled_from(FindingStatus)), max_size=6))
def test_saved_and_loaded_is_the_same(decisions):
    state = Decisions()
    for finding, status in decisions:
        state.decide(finding, status)
    assert Decisions.from_json(state.to_json()) == state


def test_a_state_saved_by_an_earlier_version_is_read():
    text = (
        '{"format": "covidquant-review/1", "reader": "", "segments": {}, "decisions": [{"id": "1-1-1", "status": '
        '"removed", "volume_ml": 0.125, "score": 0.5, "box": [[1, 2], [1, 2], [1, 2]]}]}'
    )
    state = Decisions()
    state.decide(ONE, FindingStatus.REMOVED)
    assert Decisions.from_json(text) == state
    assert state.to_json() == text


def test_a_scene_without_a_review_begins_one():
    assert Decisions.from_json("") == Decisions()


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.update(format="other/2"),
        lambda record: record["decisions"][0].update(status="lost"),
        lambda record: record["decisions"][0].pop("box"),
        lambda record: record.update(decisions=None),
    ],
)
def test_damaged_states_are_refused(damage):
    state = Decisions()
    state.decide(ONE, FindingStatus.REMOVED)
    record = json.loads(state.to_json())
    damage(record)
    with pytest.raises(UnfitInputError, match="state of a review"):
        Decisions.from_json(json.dumps(record))
    with pytest.raises(UnfitInputError, match="state of a review"):
        Decisions.from_json("[1]")
