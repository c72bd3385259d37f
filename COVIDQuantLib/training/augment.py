"""The augmentations a recipe can name: MONAI's transforms of a slice and its target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import radians
from typing import Any

from monai.transforms.croppad.dictionary import RandSpatialCropd
from monai.transforms.intensity.dictionary import (
    MaskIntensityd,
    RandAdjustContrastd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandShiftIntensityd,
)
from monai.transforms.spatial.dictionary import RandAffined, RandFlipd, RandRotate90d
from monai.transforms.transform import Transform

from COVIDQuantLib.system import settings_schema as s

IMAGE, TARGET, LUNGS = "image", "target", "lungs"
_EVERYTHING = (IMAGE, TARGET, LUNGS)
_MODES = ("bilinear", "nearest", "nearest")


@dataclass(frozen=True)
class Augmentation:
    """One augmentation.

    Attributes:
        schema: its arguments.
        build: makes the transform from them.
    """

    schema: s.Schema
    build: Callable[[Mapping[str, Any]], Transform]


def _probability(default: float = 0.5) -> s.Setting:
    return s.number(default, "how often", 0, 1)


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "flip": Augmentation(
        {"probability": _probability(), "axis": s.choice("left-right", "which way", "left-right", "front-back")},
        lambda a: RandFlipd(_EVERYTHING, a["probability"], spatial_axis=1 if a["axis"] == "left-right" else 0),
    ),
    "quarter-turns": Augmentation(
        {"probability": _probability()}, lambda a: RandRotate90d(_EVERYTHING, a["probability"])
    ),
    "affine": Augmentation(
        {
            "probability": _probability(),
            "degrees": s.number(10.0, "rotation, at most", 0, 180),
            "scale": s.number(0.1, "change of size, at most", 0, 0.9),
            "shift_pixels": s.number(10.0, "shift, at most", 0),
        },
        lambda a: RandAffined(
            _EVERYTHING,
            prob=a["probability"],
            rotate_range=radians(a["degrees"]),
            scale_range=(a["scale"], a["scale"]),
            translate_range=(a["shift_pixels"], a["shift_pixels"]),
            mode=_MODES,
            padding_mode="zeros",
        ),
    ),
    "crop": Augmentation(
        {"size": s.Setting(s.REQUIRED, "a whole number from 1", s.is_count, "rows and columns of a random piece")},
        lambda a: RandSpatialCropd(_EVERYTHING, (a["size"], a["size"]), random_size=False),
    ),
    "shift": Augmentation(
        {"probability": _probability(), "amount": s.number(0.05, "share of the window, at most", 0, 1)},
        lambda a: RandShiftIntensityd(IMAGE, a["amount"], prob=a["probability"]),
    ),
    "contrast": Augmentation(
        {"probability": _probability(), "gamma": s.number(1.3, "largest gamma; the smallest is 1/gamma", 1.01, 4)},
        lambda a: RandAdjustContrastd(IMAGE, a["probability"], (1 / a["gamma"], a["gamma"])),
    ),
    "noise": Augmentation(
        {"probability": _probability(), "amount": s.number(0.03, "standard deviation, share of the window", 0, 1)},
        lambda a: RandGaussianNoised(IMAGE, a["probability"], std=a["amount"]),
    ),
    "blur": Augmentation(
        {"probability": _probability(), "pixels": s.number(1.0, "largest sigma", 0.1, 10)},
        lambda a: RandGaussianSmoothd(IMAGE, (0.1, a["pixels"]), (0.1, a["pixels"]), prob=a["probability"]),
    ),
}


def build_augmentations(entries: Sequence[Mapping[str, Any]], *, masked: bool) -> list[Transform]:
    """The transforms of a recipe's ``augment`` list.

    Args:
        entries: as in the recipe, checked.
        masked: whether everything outside the lungs is kept at the bottom of the window.
    """
    made = []
    for entry in entries:
        record = AUGMENTATIONS[entry["name"]]
        given = {name: value for name, value in entry.items() if name != "name"}
        made.append(record.build(s.checked(given, record.schema, "augment")))
    if made and masked:
        made.append(MaskIntensityd(IMAGE, mask_key=LUNGS))
    return made
