"""The state of a review: what may be said of what, and that it survives being saved with the scene."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.review.components import find_components
from COVIDQuantLib.review.status import FINDING_STATUSES, SEGMENT_STATUSES, Origin, ReviewStatus, Status
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


def test_everything_begins_untouched():
    state = ReviewStatus()
    assert state.of_segment("pneumonia") is Status.UNTOUCHED
    assert state.of_finding(ONE.id) is Status.UNTOUCHED
    assert state.origin(["pneumonia"]) is Origin.AI


def test_decisions_are_kept_and_taken_back():
    state = ReviewStatus()
    state.decide(ONE, Status.REMOVED)
    state.decide(TWO, Status.KEPT)
    assert state.of_finding(ONE.id) is Status.REMOVED
    assert state.decisions[ONE.id].box == ((1, 2), (1, 2), (1, 2))
    assert state.origin(["pneumonia"]) is Origin.EDITED
    state.decide(ONE, Status.UNTOUCHED)
    assert state.of_finding(ONE.id) is Status.UNTOUCHED
    assert state.origin(["pneumonia"]) is Origin.AI


def test_an_edit_takes_an_acceptance_back():
    state = ReviewStatus()
    state.set_segment("a", Status.ACCEPTED)
    assert state.origin(["a"]) is Origin.ACCEPTED
    assert state.origin(["a", "b"]) is Origin.AI
    state.segment_edited("a")
    assert state.origin(["a", "b"]) is Origin.EDITED


def test_next_goes_round_the_suspected_without_a_decision():
    state = ReviewStatus()
    findings = [ONE, TWO, FINE, THREE]
    assert state.next_open(findings) is ONE
    assert state.next_open(findings, ONE.id) is TWO
    assert state.next_open(findings, TWO.id) is THREE
    assert state.next_open(findings, THREE.id) is ONE
    state.decide(ONE, Status.KEPT)
    assert state.next_open(findings, THREE.id) is TWO
    state.decide(TWO, Status.REMOVED)
    assert state.next_open(findings, THREE.id) is None
    assert state.next_open(findings) is THREE


@pytest.mark.parametrize("status", [Status.KEPT, Status.REMOVED])
def test_a_segment_is_not_kept_or_removed(status):
    with pytest.raises(ValueError, match="segment cannot be"):
        ReviewStatus().set_segment("a", status)


@pytest.mark.parametrize("status", [Status.ACCEPTED, Status.IN_PROGRESS])
def test_a_finding_is_not_accepted(status):
    with pytest.raises(ValueError, match="finding cannot be"):
        ReviewStatus().decide(ONE, status)


@given(
    st.dictionaries(st.text(max_size=5), st.sampled_from(SEGMENT_STATUSES), max_size=4),
    st.lists(st.tuples(st.sampled_from([ONE, TWO, THREE, FINE]), st.sampled_from(FINDING_STATUSES)), max_size=6),
    st.text(max_size=8),
)
def test_saved_and_loaded_is_the_same(segments, decisions, reader):
    state = ReviewStatus(reader=reader)
    for name, status in segments.items():
        state.set_segment(name, status)
    for finding, status in decisions:
        state.decide(finding, status)
    assert ReviewStatus.from_json(state.to_json()) == state


def test_a_scene_without_a_review_begins_one():
    assert ReviewStatus.from_json("") == ReviewStatus()


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.update(format="other/2"),
        lambda record: record.update(segments={"a": "removed"}),
        lambda record: record["decisions"][0].update(status="lost"),
        lambda record: record["decisions"][0].pop("box"),
        lambda record: record.update(decisions=None),
    ],
)
def test_damaged_states_are_refused(damage):
    state = ReviewStatus()
    state.decide(ONE, Status.REMOVED)
    record = json.loads(state.to_json())
    damage(record)
    with pytest.raises(UnfitInputError, match="state of a review"):
        ReviewStatus.from_json(json.dumps(record))
    with pytest.raises(UnfitInputError, match="state of a review"):
        ReviewStatus.from_json("[1]")
