"""The fissures as records: they part every lung into its lobes, and lobes follow from what lies above which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from COVIDQuantLib.anatomy import FISSURE, FISSURES, LOBES, SIDES, labels_of_side
from COVIDQuantLib.segmentation.lobes.between_fissures import fissures_of_side, labels_between, shares_between

# What radiologists know, written out once more.
PARTED = {"right oblique": ((1, 2), (3,)), "right horizontal": ((1,), (2,)), "left oblique": ((4,), (5,))}


def test_the_records_say_which_lobes_each_fissure_parts():
    assert {f.name: (f.above, f.below) for f in FISSURES} == PARTED
    assert FISSURE["right oblique"].pairs == ((1, 3), (2, 3))
    for fissure in FISSURES:
        assert fissure.name == f"{fissure.side} {fissure.kind}"
        assert set(fissure.above + fissure.below) <= set(labels_of_side(fissure.side))
        assert not fissure.ends_at or FISSURE[fissure.ends_at].side == fissure.side


def test_every_two_lobes_of_a_lung_are_parted_by_one_fissure():
    pairs = [pair for fissure in FISSURES for pair in fissure.pairs]
    assert len(set(pairs)) == len(pairs)
    of_lungs = {(a.label, b.label) for a in LOBES for b in LOBES if a.side == b.side and a.label < b.label}
    assert set(pairs) == of_lungs


def test_a_fissure_comes_after_the_one_it_ends_at():
    assert [f.name for f in fissures_of_side("right")] == ["right oblique", "right horizontal"]


@given(st.booleans(), st.booleans(), st.booleans())
def test_lobes_are_those_between_their_fissures(above_oblique, above_horizontal, above_left):
    right = labels_between(
        "right", {"right horizontal": np.array([above_horizontal]), "right oblique": np.array([above_oblique])}
    )
    left = labels_between("left", {"left oblique": np.array([above_left])})
    assert right.tolist() == [(1 if above_horizontal else 2) if above_oblique else 3]
    assert left.tolist() == [4 if above_left else 5]
    assert right.dtype == np.uint8


def test_lobes_without_any_fissure_are_refused():
    with pytest.raises(ValueError, match="no fissure of the left lung"):
        labels_between("left", {"right oblique": np.array([True])})


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_shares_make_up_the_whole_and_end_in_the_labels(chances):
    for side in SIDES:
        above = {f.name: np.array([chance]) for f, chance in zip(fissures_of_side(side), chances, strict=False)}
        shares = shares_between(side, above)
        assert set(shares) == set(labels_of_side(side))
        assert sum(shares.values()) == pytest.approx(1)
        sure = {name: chance > 0.5 for name, chance in above.items()}
        label = int(labels_between(side, sure)[0])
        assert shares_between(side, {n: s.astype(float) for n, s in sure.items()})[label] == 1
