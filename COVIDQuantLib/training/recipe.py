"""Training recipes: JSON files with network, data and training settings; those of the papers ship as resources."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.models.metadata import valid_name
from COVIDQuantLib.networks.registry import ARCHITECTURES, checked_settings
from COVIDQuantLib.resources import resource_path
from COVIDQuantLib.system import settings_schema as s
from COVIDQuantLib.training.augment import AUGMENTATIONS
from COVIDQuantLib.training.losses import LOSSES
from COVIDQuantLib.training.settings import OPTIMIZERS, PRECISIONS, SCHEDULES, FitSettings

FORMAT = 1
SITE, LABEL_FREE = "site", "label-free"
TASKS = ("lesions", "lungs")
PARTS = ("train", "tune", "validate")
AUTO = "auto"
# All 2D networks but lungmask's, which is trained elsewhere and whose package is optional.
_SLICE_NETWORKS = tuple(
    name for name, record in ARCHITECTURES.items() if record.spatial_dims == 2 and name != "lungmask-unet"
)


def _is_window(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(s.is_number, value)) and -3024 <= value[0] < value[1]


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(s.is_count, value))


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and re.compile(value).groups == 1
    except re.error:
        return False


def _are_lists(value: Any) -> bool:
    known = isinstance(value, dict) and set(value) <= set(PARTS) and bool(value.get("train"))
    return known and all(isinstance(v, list) and all(isinstance(name, str) for name in v) for v in value.values())


# Keys of every recipe.
HEAD: s.Schema = {
    "format": s.Setting(s.REQUIRED, f"the number {FORMAT}", lambda value: value == FORMAT, "format of the recipe"),
    "kind": s.choice(SITE, "whose data it trains on", SITE, LABEL_FREE),
    "name": s.Setting(
        s.REQUIRED,
        "lower-case letters, digits, '.', '_', '-'",
        lambda value: isinstance(value, str) and valid_name(value),
        "name of the bundle that is made",
    ),
    "description": s.text(s.REQUIRED, "a sentence or two for the bundle"),
    "source": s.text("", "the paper it follows"),
    "notes": s.texts([], "what the paper leaves open and what was chosen"),
    "licence": s.text("that of the training data; ask whoever trained it", "licence of the weights"),
}
SCHEMA: s.Schema = {
    **HEAD,
    "task": s.choice(s.REQUIRED, "what is segmented", *TASKS),
    "network": {
        "architecture": s.choice(s.REQUIRED, "the network", *_SLICE_NETWORKS),
        "settings": s.Setting({}, "an object", lambda value: isinstance(value, dict), "settings of the network"),
    },
    "input": {
        "pixel_mm": s.or_null(s.above_zero(None, "pixels are resampled to this size; null keeps the CT's own")),
        "least_section_mm": s.or_null(
            s.above_zero(None, "thinner sections are averaged to this distance; null keeps the CT's own")
        ),
        "crop": s.choice("lungs", "what of each slice is shown", "none", "lungs"),
        "margin_mm": s.number(6.0, "margin around the lungs' box", 0, 200),
        "size": s.or_null(
            s.Setting(
                None, "two whole numbers from 1", _is_size, "rows and columns of a slice, at least; null for the box"
            )
        ),
        "window_hu": s.Setting([-1350, 150], "two numbers, rising, from -3024", _is_window, "HU that become 0 and 1"),
        "neighbour_mm": s.or_null(
            s.above_zero(None, "distance of the slices in neighbouring channels; null for adjacent slices")
        ),
    },
    "data": {
        "folder": s.or_null(s.text(None, "the cases; relative to the recipe; --data goes first")),
        "shares": {
            "train": s.number(0.8, "share of the cases (of the groups) to train on", 0, 1),
            "tune": s.number(0.1, "share that picks the best epoch", 0, 1),
            "validate": s.number(0.1, "share that is only measured, at the end", 0, 1),
        },
        "lists": s.or_null(
            s.Setting(None, "lists of cases under train, tune, validate", _are_lists, "the split, instead of shares")
        ),
        "group": s.or_null(
            s.Setting(
                None,
                "a regular expression with one group",
                _is_pattern,
                "regular expression for the patient in a case's name: all cases of a patient stay in one part",
            )
        ),
        "slices": s.choice("with-lungs", "which slices are used", "with-lungs", "all"),
        "negatives_per_positive": s.or_null(
            s.number(None, "slices without target drawn anew each epoch per slice with target; null for all", 0)
        ),
    },
    "augment": s.Setting(
        [],
        "a list of objects with a name",
        lambda value: isinstance(value, list),
        "what is done to a slice at random, in this order",
    ),
    "training": {
        "loss": s.choice("bce", "the loss", *LOSSES),
        "optimizer": s.choice("adam", "the optimiser", *OPTIMIZERS),
        "learning_rate": s.above_zero(1e-3, "the highest rate of the schedule"),
        "momentum": s.number(0.9, "momentum of SGD, first beta of Adam", 0, 0.9999),
        "weight_decay": s.number(0.0, "L2 penalty", 0),
        "schedule": s.choice("constant", "of the learning rate", *SCHEDULES),
        "schedule_over": s.choice("iterations", "what the schedule runs over", "iterations", "time"),
        "batch_size": s.count(8, "slices in a batch"),
        "epochs": s.count(100, "most epochs"),
        "iterations_per_epoch": s.or_null(s.count(None, "null for as many as the slices make")),
        "max_seconds": s.or_null(s.above_zero(None, "stop cleanly after this time")),
        "precision": s.choice(AUTO, "auto: float16 on CUDA, float32 elsewhere", AUTO, *PRECISIONS),
        "channels_last": s.truth(True, "order of tensors in memory; the quicker one for convolutions"),
        "clip_norm": s.or_null(s.above_zero(None, "largest norm of the gradient")),
        "keep": s.choice("best", "the weights that make the bundle", "best", "last"),
        "patience": s.or_null(s.count(None, "stop after so many tunings without a better Dice")),
        "validate_every": s.count(1, "epochs from one tuning to the next"),
        "workers": s.Setting(
            0, "a whole number from 0", lambda value: value == 0 or s.is_count(value), "processes that prepare slices"
        ),
        "threshold": s.number(0.5, "probability above which a pixel counts", 0.001, 0.999),
        "seed": s.Setting(0, "a whole number from 0", lambda value: value == 0 or s.is_count(value), "of every draw"),
    },
}


@dataclass(frozen=True)
class CheckedRecipe:
    """A recipe of either kind, checked.

    Attributes:
        values: all keys of its schema.
        where: the file, for messages.
    """

    values: Mapping[str, Any]
    where: str

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


class Recipe(CheckedRecipe):
    """A recipe for training on drawn masks, with the keys of ``SCHEMA``."""

    @property
    def network_settings(self) -> dict[str, Any]:
        """All settings of the network."""
        return checked_settings(self["network"]["architecture"], self["network"]["settings"])

    @property
    def channels(self) -> int:
        """Number of slices given as channels."""
        return int(self.network_settings["in_channels"])

    @property
    def masked(self) -> bool:
        """Whether everything outside the lungs is set to −3024 HU, as in inference."""
        return bool(self["task"] == "lesions")

    def network_input(self) -> dict[str, Any]:
        """The ``input`` record of the network in a bundle."""
        return {**self["input"], "channels": self.channels, "cut": self["training"]["threshold"]}

    def fit_settings(self, device: str, *, tuned: bool) -> FitSettings:
        """The settings of the training loop.

        Args:
            device: as torch names it.
            tuned: whether there are cases that pick the best epoch.
        """
        plan = dict(self["training"])
        if plan["precision"] == AUTO:
            plan["precision"] = "float16" if device.startswith("cuda") else "float32"
        for name in ("batch_size", "keep", "workers", "threshold"):
            del plan[name]
        if not tuned:
            plan["patience"] = None
        plan["loss"] = LOSSES[plan["loss"]]()
        return FitSettings(**plan, device=device, best_by="dice" if tuned else "")


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with COVIDQuant, by name."""
    return {path.stem: path for path in sorted(resource_path("Training").glob("*.json"))}


def read_document(name_or_path: str) -> tuple[Any, str]:
    """The parsed JSON of a shipped recipe (by name) or a recipe file, and the file's path.

    Raises:
        UnfitInputError: it does not exist, or is not JSON.
    """
    shipped = shipped_recipes()
    path = shipped.get(name_or_path, Path(name_or_path))
    try:
        return json.loads(path.read_text(encoding="utf-8")), str(path)
    except FileNotFoundError as error:
        raise UnfitInputError(
            "there is no such recipe", name_or_path, f"Give a JSON file, or one of {', '.join(shipped)}."
        ) from error
    except OSError as error:
        raise UnfitInputError(f"cannot be read ({error.strerror or error})", name_or_path) from error
    except (ValueError, RecursionError) as error:
        raise UnfitInputError(
            f"not JSON ({error})", name_or_path, "Fix the JSON at the reported position.", code="json-damaged"
        ) from error


def kind_of(document: Any) -> str:
    """Whether a parsed recipe trains on a site's cases or without labels."""
    return LABEL_FREE if isinstance(document, dict) and document.get("kind") == LABEL_FREE else SITE


def read_recipe(name_or_path: str) -> Recipe:
    """A recipe for a site's cases, by the name of a shipped one or from a file.

    Raises:
        UnfitInputError: it does not exist, or is not JSON.
        UsageError: a key is unknown, missing, or has a value that does not fit; names its path.
    """
    return check_recipe(*read_document(name_or_path))


def check_recipe(document: Any, where: str) -> Recipe:
    """A checked recipe from parsed JSON; errors as in :func:`read_recipe`."""
    values = s.checked(document, SCHEMA, where)
    for number, entry in enumerate(values["augment"]):
        _check_augmentation(entry, where, f"augment[{number}]")
    try:
        settings = checked_settings(values["network"]["architecture"], values["network"]["settings"])
    except UsageError as error:
        raise UsageError(f"network.settings: {error.what}", where, error.remedy) from error
    _check_together(values, settings, where)
    return Recipe(values, where)


def _check_augmentation(entry: Any, where: str, path: str) -> None:
    if not isinstance(entry, dict) or entry.get("name") not in AUGMENTATIONS:
        raise UsageError(f"{path}.name is no augmentation", where, f"Known are {', '.join(AUGMENTATIONS)}.")
    rest = {name: value for name, value in entry.items() if name != "name"}
    s.checked(rest, AUGMENTATIONS[entry["name"]].schema, where, path)


def _check_together(values: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> None:
    """Refuse values that are valid alone but not together."""
    training, data = values["training"], values["data"]
    clashes = (
        (settings["in_channels"] % 2 == 0, "network.settings.in_channels is even", "Give an odd number of slices."),
        (settings["out_channels"] != 1, "network.settings.out_channels is not 1", "There is one target."),
        (
            training["schedule_over"] == "time" and training["max_seconds"] is None,
            "training.schedule_over is time without training.max_seconds",
            "Give max_seconds.",
        ),
        (
            values["task"] == "lungs" and values["input"]["crop"] == "lungs",
            "input.crop is lungs, which shows where the lungs to be found are",
            "Crop none.",
        ),
        (
            data["lists"] is None and not 0 < data["shares"]["train"] <= sum(data["shares"].values()) <= 1 + 1e-9,
            "data.shares sum to more than 1 or leave nothing to train on",
            "Give shares of the cases.",
        ),
    )
    for wrong, what, remedy in clashes:
        if wrong:
            raise UsageError(what, where, remedy)
