"""Patches that a lesion network for volumes is trained on (COVIDQuantLib.training.label_free.batches)."""

import numpy as np
import pytest
import torch

from COVIDQuantLib.training.label_free.batches.lesion_volumes import VolumeBatches
from COVIDQuantLib.training.label_free.subjects import UNSEEN, Chest, volume_view

SHAPE = (24, 32, 28)
LARGE = (slice(10, 40), slice(10, 40), slice(10, 30))
SMALL = (slice(46, 50), slice(44, 47), slice(40, 44))


def chest():
    """A block of lung at 2 mm with a lesion of 144 mL and one of 0.4 mL."""
    lesions = np.zeros((56, 60, 60), bool)
    lesions[LARGE] = lesions[SMALL] = True
    lobes = np.zeros(lesions.shape, np.uint8)
    lobes[2:54, 4:56, 4:56] = 1
    hu = np.where(lesions, -500, np.where(lobes > 0, -850, 40)).astype(np.int16)
    return {"hu": hu, "lobes": lobes, "lesions": lesions}


def drawn(view, count=20, seed=3):
    return [torch.cat(p) for p in zip(*VolumeBatches([view], SHAPE, 2, count, seed)(1), strict=True)]


def test_patches_show_lesions_where_they_are():
    images, targets = drawn(chest())
    assert images.shape == (40, 2, *SHAPE)
    assert targets.shape == (40, 2, *SHAPE)
    assert 0 <= images.min() <= images.max() <= 1
    lesion, weight = targets[:, 0] > 0, targets[:, 1]
    assert (weight[~lesion] == 1).all()
    assert lesion.flatten(1).any(dim=1).float().mean() > 0.5
    shown = images[:, 0]
    lung = (shown > 0.1) & (shown < 0.6) & ~lesion
    assert shown[lesion].median() > shown[lung].median() + 0.1


def test_small_lesions_are_shown_as_often_and_weigh_more():
    _, targets = drawn(chest(), 60)
    weights = targets[:, 1].flatten(1).amax(dim=1)
    assert weights.max() == pytest.approx(3.6, abs=0.4), "the root of 5 mL over 0.4 mL"
    assert (weights > 3).float().mean() > 0.2, "half of the three in five patches that are centred on a lesion"


def test_lesions_too_faint_to_see_are_left_out():
    view = chest()
    _, targets = drawn(view | {"hard": np.where(view["lesions"], UNSEEN, 0).astype(np.uint8)})
    assert not targets[:, 0].any()
    assert float((targets[:, 1] == 0).float().mean()) > 0.001


def test_batches_are_drawn_anew_each_epoch_and_the_same_again():
    batches = VolumeBatches([chest()], SHAPE, 1, 1, 5)
    (first, _), (again, _), (other, _) = (next(batches(epoch)) for epoch in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_chest_without_lesions_has_batches_too():
    view = chest()
    _, targets = drawn(view | {"lesions": np.zeros_like(view["lesions"])}, 3)
    assert not targets[:, 0].any()
    assert (targets[:, 1] == 1).all()


def test_a_view_is_the_lungs_box_at_2_mm():
    made = chest()
    view = volume_view(Chest(made["hu"], (1.0, 1.0, 1.0), made["lobes"], made["lesions"]))
    assert view["hu"].shape == (28, 30, 30)
    assert view["lesions"].sum() == pytest.approx(made["lesions"].sum() / 8, rel=0.15)
