"""Hard examples: lesions that cannot be seen, that networks miss, and what they take for lesions."""

import numpy as np
import pytest
import torch
from torch import nn

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.inference.device import choose_device
from COVIDQuantLib.inference.lesions import LesionsNetwork
from COVIDQuantLib.training.label_free.hard_examples import mark_hard_examples
from COVIDQuantLib.training.label_free.recipe import check_label_free
from COVIDQuantLib.training.label_free.subjects import FALSE, MISSED, UNSEEN, Chest, slices_view

FAINT, CLEAR, BRIGHT, VESSEL = (slice(10, 20), slice(30, 40), slice(50, 60), slice(70, 80))


class Bright(nn.Module):
    """Takes for a lesion what is denser than −400 HU."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits, of a window from −1,350 to 150 HU."""
        return torch.where(image[:, 1:2] > 950 / 1500, 8.0, -8.0)


def chest() -> Chest:
    """Lung with a lesion of 30 HU, one of 250 and one of 550, and something of 650 that is none."""
    lobes = np.zeros((90, 60, 60), np.uint8)
    lobes[4:86, 4:56, 4:56] = 1
    hu = np.where(lobes > 0, -850, 40).astype(np.int16)
    lesions = np.zeros(lobes.shape, bool)
    for rows, more in ((FAINT, 30), (CLEAR, 250), (BRIGHT, 550), (VESSEL, 650)):
        hu[rows, 20:30, 20:30] += more
        lesions[rows, 20:30, 20:30] = rows != VESSEL
    return Chest(hu, (1.5, 1.5, 1.5), lobes, lesions)


def test_lesions_that_cannot_be_seen_are_marked_without_a_network():
    made = chest()
    mark_hard_examples(made, {}, choose_device("cpu"))
    assert made.hard is not None
    assert set(np.unique(made.hard)) == {0, UNSEEN}
    np.testing.assert_array_equal(np.unique(np.nonzero(made.hard)[0]), np.arange(10, 20))


def test_what_a_network_misses_and_what_it_takes_for_a_lesion():
    made = chest()
    mark_hard_examples(made, {"slices": LesionsNetwork(Bright(), channels=3)}, choose_device("cpu"))
    middle = made.hard[:, 25, 25]
    for rows, mark in ((FAINT, UNSEEN), (CLEAR, MISSED), (BRIGHT, 0), (VESSEL, FALSE)):
        assert (middle[rows][2:-2] == mark).all()
    assert set(np.unique(slices_view(made)["hard"])) == {0, UNSEEN, MISSED, FALSE}


def test_a_recipe_that_asks_for_them_needs_a_bundle_to_start_from():
    networks = {
        plane: {"architecture": "covid-lesion-net", "settings": {"in_channels": 3}, "max_seconds": 1}
        for plane in ("slices", "coronal", "sagittal")
    }
    recipe = {
        "format": 1,
        "kind": "label-free",
        "name": "x",
        "description": "A test.",
        "task": "lesions",
        "networks": networks,
    }
    with pytest.raises(UsageError, match="hard_examples without start"):
        check_label_free(recipe | {"hard_examples": True}, "recipe")
    assert check_label_free(recipe | {"hard_examples": True, "start": "lesions-default"}, "recipe").hard_examples
    assert not check_label_free(recipe, "recipe").hard_examples
