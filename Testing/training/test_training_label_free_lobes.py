"""The batches of the lobes networks (COVIDQuantLib.training.label_free.batches.lobes)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from COVIDQuantLib.anatomy import HORIZONTAL, OBLIQUE
from COVIDQuantLib.inference.lobes import FISSURE_CLASS
from COVIDQuantLib.simulation.fields.deformation import WarpRange, draw_warp
from COVIDQuantLib.training.label_free.batches import lobes as lobe_batches
from COVIDQuantLib.training.label_free.batches.fissures import FissureBatches, fissure_labels
from COVIDQuantLib.training.label_free.batches.lobes import CoarseBatches, FineBatches, blanked, doubtful, recoloured
from COVIDQuantLib.training.label_free.loss import LobesLoss
from COVIDQuantLib.training.label_free.subjects import UNKNOWN


def lungs():
    """Two lungs on a lattice of 2 mm: the right one of three lobes, the left one of two."""
    k, _, i = np.indices((48, 40, 64))
    labels = np.zeros(k.shape, np.uint8)
    right, left = (i >= 6) & (i < 28), (i >= 36) & (i < 58)
    labels[right] = np.where(k[right] >= 32, 1, np.where(k[right] >= 20, 2, 3))
    labels[left] = np.where(k[left] >= 24, 4, 5)
    return torch.from_numpy(labels)[None].float()


def test_a_doubtful_answer_is_a_distribution_that_knows_lungs_better_than_lobes():
    labels = lungs()
    lung_right, lobe_right = [], []
    for seed in range(30):
        answer = doubtful(labels, None, np.random.default_rng(seed))
        assert answer.shape == (6, *labels.shape[1:])
        torch.testing.assert_close(answer.sum(dim=0), torch.ones(labels.shape[1:]), rtol=0, atol=1e-4)
        best = answer.argmax(dim=0)
        inside = labels[0] > 0
        lung_right.append(float(((best > 0) == inside).float().mean()))
        lobe_right.append(float((best[inside] == labels[0][inside]).float().mean()))
    assert min(lung_right) > 0.75
    assert min(lobe_right) < 0.6 < np.median(lobe_right)


def test_lungs_of_unknown_lobes_get_each_lobe_alike():
    labels = lungs()
    unknown = torch.where(labels == 0, 0, torch.where(labels <= 3, 6, 7)).float()
    answer = doubtful(unknown, None, np.random.default_rng(3))
    for members, lung in (((1, 2, 3), 6), ((4, 5), 7)):
        inside = unknown[0] == lung
        shares = answer[list(members)][:, inside] / answer[list(members)][:, inside].sum(dim=0)
        torch.testing.assert_close(shares, torch.full_like(shares, 1 / len(members)), rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", ["disease", "fissure"])
def test_patches_lie_often_where_it_is_hard(kind, monkeypatch):
    monkeypatch.setattr(lobe_batches, "_SICKER", 0.0)
    monkeypatch.setattr(FineBatches, "_mirrored", 0.0)
    labels = np.zeros((96, 96, 96), np.uint8)
    labels[:, :48], labels[:, 48:] = 4, 5
    view = {"hu": np.full(labels.shape, -850, np.int16), "lobes": labels, "lesions": np.zeros(labels.shape, bool)}
    if kind == "disease":
        labels[:] = 5
        view["lesions"][6:12, 6:12, 6:12] = True
        view["hu"][view["lesions"]] = 30
    seen = 0
    for _, target in FineBatches([view], shape=(24, 24, 24), size=2, count=60, seed=1)(0):
        for one in target:
            seen += bool((one[1] > 1).any()) if kind == "disease" else bool({4, 5} <= set(one[0].unique().tolist()))
    # Laid anywhere, a patch of 24 would see the block one time in thirty and the fissure one in three.
    assert seen / 120 > (0.12 if kind == "disease" else 0.45)


def test_fissures_lie_between_lobes_of_a_lung():
    labels = lungs()[0]
    found = fissure_labels(labels)
    k = torch.arange(48)[:, None, None].expand(labels.shape)
    right, left = (labels > 0) & (labels <= 3), labels > 3
    assert torch.equal(found == FISSURE_CLASS[HORIZONTAL], right & ((k == 31) | (k == 32)))
    expected = (right & ((k == 19) | (k == 20))) | (left & ((k == 23) | (k == 24)))
    assert torch.equal(found == FISSURE_CLASS[OBLIQUE], expected)
    unknown = torch.where(labels == 0, 0, torch.where(labels <= 3, 6, 7))
    assert not fissure_labels(unknown).any()


def test_patches_of_fissures_show_both_kinds():
    labels = lungs()[0].numpy().astype(np.uint8)
    view = {"hu": np.where(labels > 0, -850, 40).astype(np.int16), "lobes": labels}
    seen = [0, 0]
    for image, target in FissureBatches([view], shape=(16, 16, 16), size=2, count=30, seed=1)(0):
        assert image.shape == target.shape == (2, 1, 16, 16, 16)
        for one in target:
            seen[0] += bool((one == FISSURE_CLASS[OBLIQUE]).any())
            seen[1] += bool((one == FISSURE_CLASS[HORIZONTAL]).any())
    assert min(seen) > 15


def test_what_is_unknown_costs_nothing():
    loss = LobesLoss()
    labels = torch.zeros((1, 1, 8, 8, 8), dtype=torch.long)
    labels[..., :4] = 5
    logits = torch.zeros((1, 6, 8, 8, 8))
    logits[:, 5, ..., :4], logits[:, 0, ..., 4:] = 9.0, 9.0
    wrong = logits.clone()
    wrong[..., 3:5] = 0.0
    wrong[:, 2, ..., 3:5] = 9.0
    unknown = labels.clone()
    unknown[..., 3:5] = UNKNOWN
    assert float(loss(wrong, labels)) > float(loss(logits, labels)) + 0.1
    torch.testing.assert_close(loss(wrong, unknown), loss(logits, unknown))


def test_surroundings_are_blanked_in_half_of_the_draws():
    hu = torch.full((1, 20, 20, 20), -300.0)
    body = np.zeros((20, 20, 20), bool)
    body[:, 4:16, 4:16] = True
    places = draw_warp((20, 20, 20), np.full(3, 9.5), WarpRange(0, 0, 0, 9), np.random.default_rng(0))
    blank = 0
    for seed in range(40):
        seen = blanked(hu, {"body": body}, places, np.random.default_rng(seed))
        assert float(seen[0, 10, 10, 10]) == -300.0
        blank += float(seen[0, 10, 0, 0]) == -1000.0
    assert 10 < blank < 30
    assert blanked(hu, {}, places, np.random.default_rng(1)) is hu


def test_coarse_patches_reach_the_ends_of_a_long_ct():
    labels = np.zeros((90, 30, 120), np.uint8)
    view = {"hu": np.full(labels.shape, -1024, np.int16), "lobes": labels}
    labels[:3], labels[:, :, -4:] = 3, 5
    seen = set()
    for _, target in CoarseBatches([view], shape=(24, 24, 32), count=60, seed=2)(0):
        seen |= set(target[:, 0].unique().tolist())
        assert target.shape[1] == 2
        assert bool((target[:, 1] == 1).all())
    # Mirrored, a lobe is a lung of unknown lobes on the other side.
    assert {0, 3, 5} <= seen <= {0, 3, 5, 6, 7}


def test_dense_disease_and_the_wall_beside_it_weigh_more_in_coarse_chests():
    labels = np.zeros((30, 30, 40), np.uint8)
    labels[:, 5:20, 8:32] = 3
    lesions = np.zeros(labels.shape, bool)
    lesions[:, 12:20, 8:32] = True
    hu = np.where(lesions, 20, np.where(labels > 0, -850, 30)).astype(np.int16)
    view = {"hu": hu, "lobes": labels, "lesions": lesions}
    of_lung, of_rest = set(), set()
    for _, target in CoarseBatches([view], shape=(24, 24, 32), count=8, seed=3)(0):
        of_lung |= set(target[:, 1][target[:, 0] > 0].unique().tolist())
        of_rest |= set(target[:, 1][target[:, 0] == 0].unique().tolist())
    assert of_lung == {1, 4}
    assert of_rest == {1, 3}


def test_a_dilated_aorta_weighs_more_in_coarse_chests():
    labels = np.zeros((30, 30, 40), np.uint8)
    labels[:, 5:20, 8:20] = 3
    aorta = np.zeros(labels.shape, bool)
    aorta[:, 5:20, 20:30] = True
    view = {"hu": np.where(labels > 0, -850, 40).astype(np.int16), "lobes": labels, "aorta": aorta}
    weights = set()
    for _, target in CoarseBatches([view], shape=(24, 24, 32), count=4, seed=3)(0):
        assert bool((target[:, 1][target[:, 0] > 0] == 1).all())
        weights |= set(target[:, 1].unique().tolist())
    assert weights == {1, 7}


def test_a_second_window_tells_soft_tissues_apart():
    labels = np.zeros((30, 30, 40), np.uint8)
    labels[:, :, 20:] = 3
    view = {"hu": np.where(labels == 3, -850, 40).astype(np.int16), "lobes": labels}
    batches = CoarseBatches([view], shape=(24, 24, 32), count=4, seed=3, channels=2)
    for (wide, _), (both, _) in zip(replace(batches, channels=1)(0), batches(0), strict=True):
        assert torch.equal(both[:, :1], wide)
        hu = 700 * wide - 300
        # Where the wide window does not clip, the second one shows the same CT numbers, 400 HU wide around 40.
        inside = (wide.abs() < 1.0) & (hu.abs() < 5000)
        expected = ((hu - 40) / 200).clamp(-1, 1)
        torch.testing.assert_close(both[:, 1:][inside], expected[inside], atol=1e-3, rtol=0)


def test_consolidation_takes_up_contrast_medium_too():
    labels = torch.zeros((1, 20, 20, 20))
    labels[..., 10:] = 3
    hu = torch.full(labels.shape, 40.0)
    means = [float(recoloured(hu, labels, np.random.default_rng(seed))[..., 12:].mean()) for seed in range(30)]
    assert max(means) > 75
    assert min(means) < 50


def test_mirrored_patches_know_the_lung_alone(monkeypatch):
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[:, :, :20], labels[:, :, 20:] = 1, 4
    view = {"hu": np.where(labels == 1, -850, -700).astype(np.int16), "lobes": labels}
    monkeypatch.setattr(lobe_batches, "_SICKER", 0.0)
    monkeypatch.setattr(FineBatches, "_mirrored", 1.0)
    for image, target in FineBatches([view], shape=(24, 24, 24), size=2, count=6, seed=1)(0):
        assert set(target[:, 0].unique().tolist()) <= {0, 6, 7}
        for seen, one in zip(image[:, 0], target[:, 0], strict=True):
            if {6, 7} <= set(one.unique().tolist()):
                assert seen[one == 7].mean() < seen[one == 6].mean()


def test_patches_get_disease_of_their_own(monkeypatch):
    labels = np.full((64, 64, 64), 5, np.uint8)
    labels[:, :16] = 0
    view = {"hu": np.where(labels, -850, 40).astype(np.int16), "lobes": labels}
    monkeypatch.setattr(lobe_batches, "_SICKER", 1.0)
    heavy = [float((target[:, 1] > 1).float().mean()) for _, target in FineBatches([view], count=6, seed=3)(0)]
    assert max(heavy) > 0.01
