"""Slices that the lesion networks are trained on: small lesions are seen as often as large ones, and weigh more."""

import numpy as np
import pytest
import torch

from COVIDQuantLib.inference.lesions import PLANES
from COVIDQuantLib.training.label_free.batches.lesion_slices import SHAPES, Lesions, SliceBatches
from COVIDQuantLib.training.label_free.loss import LesionsLoss
from COVIDQuantLib.training.label_free.subjects import FALSE, MISSED, UNSEEN

SPACING = np.full(3, 2.0, np.float32)
LARGE, SMALL = slice(4, 36), slice(44, 47)


def chest():
    """A block of lung with a lesion of 33 mL in slices 4 to 35, one of 0.2 mL in 44 to 46, and a crumb in 50."""
    lesions = np.zeros((56, 60, 60), bool)
    lesions[LARGE, 10:22, 10:21] = True
    lesions[SMALL, 40:43, 40:43] = True
    lesions[50, 30, 30] = True
    lobes = np.zeros(lesions.shape, np.uint8)
    lobes[2:54, 4:56, 4:56] = 1
    hu = np.where(lesions, -500, np.where(lobes > 0, -850, 40)).astype(np.int16)
    return {"hu": hu, "lobes": lobes, "lesions": lesions, "spacing": SPACING}


def test_each_lesion_is_as_likely_whatever_its_size():
    lesions = Lesions.of(chest()["lesions"], SPACING)
    assert sorted(lesions.spans) == [(4, 36), (44, 47)], "a crumb is not looked for"
    rng = np.random.default_rng(0)
    drawn = np.array([lesions.draw_slice(rng) for _ in range(400)])
    small = (drawn >= SMALL.start) & (drawn < SMALL.stop)
    assert small.mean() == pytest.approx(0.5, abs=0.1)
    assert ((drawn >= LARGE.start) & (drawn < LARGE.stop))[~small].all()


def test_weights_grow_as_lesions_get_smaller():
    lesions = Lesions.of(chest()["lesions"], SPACING)
    weights = {k: lesions.mask_and_weights(k) for k in (0, 20, 45, 50)}
    assert not weights[0][:2].any()
    for k, expected in ((20, 1.0), (45, 4.0), (50, 1.0)):
        mask, weight, rest = weights[k]
        assert set(np.unique(mask)) == {0, 1}
        np.testing.assert_allclose(weight[mask > 0], expected)
        assert (rest == 1).all()
    (one_ml,) = np.unique(Lesions.of(np.ones((5, 5, 5), bool), SPACING).weight)
    assert one_ml / 32 == pytest.approx(np.sqrt(5), abs=0.05)


def test_lesions_too_faint_to_see_are_left_out_and_missed_ones_are_looked_for_more():
    view = chest()
    hard = np.zeros(view["lesions"].shape, np.uint8)
    hard[LARGE][view["lesions"][LARGE]] = UNSEEN
    hard[SMALL][view["lesions"][SMALL]] = MISSED
    hard[10:14, 30:40, 30:40] = FALSE
    lesions = Lesions.of(view["lesions"], SPACING, hard)
    assert lesions.spans == ((44, 47),)
    assert lesions.false_spans == ((10, 14),)
    mask, _, rest = lesions.mask_and_weights(20)
    assert not mask.any()
    assert (rest[view["lesions"][20]] == 0).all()
    assert lesions.mask_and_weights(45)[1].max() == pytest.approx(7.5, abs=0.05), "twice as much, up to a limit"
    assert set(np.unique(lesions.mask_and_weights(12)[2])) == {0, 1, 3}
    assert 10 <= lesions.draw_false_slice(np.random.default_rng(0)) < 14


def test_missed_lesions_are_drawn_four_times_as_often():
    view = chest()
    hard = np.where(view["lesions"], MISSED, 0).astype(np.uint8)
    hard[LARGE] = 0
    lesions = Lesions.of(view["lesions"], SPACING, hard)
    rng = np.random.default_rng(1)
    small = [SMALL.start <= lesions.draw_slice(rng) < SMALL.stop for _ in range(400)]
    assert np.mean(small) == pytest.approx(0.8, abs=0.07)


def test_what_cannot_be_seen_has_no_part_in_the_loss():
    view = chest()
    hard = np.where(view["lesions"], UNSEEN, 0).astype(np.uint8)
    batches = SliceBatches([view | {"hard": hard}], channels=1, size=8, count=4, seed=4)
    targets = torch.cat([target for _, target in batches(1)])
    assert not targets[:, 0].any()
    assert float((targets[:, 1] == 0).float().mean()) > 0.001
    assert targets[:, 1].max() == 1


@pytest.mark.parametrize("plane", PLANES)
def test_batches_show_lesions_where_they_are(plane):
    batches = SliceBatches([chest()], channels=3, plane=plane, size=4, count=6, seed=3)
    images, targets = (torch.cat(parts) for parts in zip(*batches(1), strict=True))
    assert images.shape == (24, 3, *SHAPES[plane])
    assert targets.shape == (24, 2, *SHAPES[plane])
    assert 0 <= images.min() <= images.max() <= 1
    lesion, weight = targets[:, 0] > 0, targets[:, 1]
    assert set(targets[:, 0].unique().tolist()) == {0.0, 1.0}
    assert (weight[~lesion] == 1).all()
    assert weight.max() == pytest.approx(4, abs=0.2)
    assert lesion.flatten(1).any(dim=1).float().mean() > 0.4
    # −500 against −850 HU in a window of 1500: brighter by 0.23, but for noise, posture and blur.
    shown = images[:, 1]
    lung = (shown > 0.1) & (shown < 0.6) & ~lesion
    assert shown[lesion].median() > shown[lung].median() + 0.1


def test_batches_are_drawn_anew_each_epoch_and_the_same_again():
    batches = SliceBatches([chest()], size=2, count=1, seed=5)
    (first, _), (again, _), (other, _) = (next(batches(epoch)) for epoch in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_chest_without_lesions_has_batches_too():
    healthy = {**chest(), "lesions": np.zeros((56, 60, 60), bool)}
    (_, target), *_ = SliceBatches([healthy], size=3, count=1)(1)
    assert not target[:, 0].any()
    assert (target[:, 1] == 1).all()


def test_the_loss_counts_what_weighs_more():
    lesion = torch.zeros(2, 1, 8, 8)
    lesion[0, 0, 2, 2] = lesion[1, 0, 4:8, :] = 1
    weight = torch.ones_like(lesion)
    weight[0, 0, 2, 2] = 4
    right = (2 * lesion - 1) * 8

    def loss(missed):
        logits = right.clone()
        logits[missed] = -8
        return float(LesionsLoss()(logits, torch.cat([lesion, weight], dim=1)))

    nothing, small, as_much_of_the_large = loss([]), loss((0, 0, 2, 2)), loss((1, 0, 5, 2))
    assert nothing < 0.01
    assert small > 2.5 * as_much_of_the_large > nothing
