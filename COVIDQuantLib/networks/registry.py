"""The architectures by name, with their settings, as used in bundles and training recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.networks.blocks import NORMS
from COVIDQuantLib.networks.lesion_unets import COVIDLesionNet, LungsUNet2D, YooUNet2D
from COVIDQuantLib.networks.lobes_unet import UPSAMPLINGS, LobesUNet3D
from COVIDQuantLib.networks.lungmask_unet import lungmask_unet
from COVIDQuantLib.networks.resnet_unet import ResNet34UNet
from COVIDQuantLib.system import settings_schema as s

# Far above any network of the papers. A layer's size is the product of two of these, which must fit in 64 bits.
MAX_CHANNELS = 1 << 20


@dataclass(frozen=True)
class Architecture:
    """A network that can be built by name.

    Attributes:
        name: as written in bundles and configs.
        title: for the reader.
        builder: takes the settings as keywords.
        spatial_dims: 2 (slices) or 3 (volumes).
        source: paper and row of the project's list of papers.
        settings: its settings.
    """

    name: str
    title: str
    builder: Callable[..., nn.Module]
    spatial_dims: int
    source: str
    settings: Mapping[str, s.Setting]

    @property
    def defaults(self) -> dict[str, Any]:
        """The default settings: the paper's full size."""
        return {name: setting.default for name, setting in self.settings.items()}


def _are_features(value: Any) -> bool:
    fits = s.count(0, "", MAX_CHANNELS).fits
    return isinstance(value, list | tuple) and 2 <= len(value) <= 6 and all(map(fits, value))


def _channels(default: int, meaning: str) -> s.Setting:
    return s.count(default, meaning, MAX_CHANNELS)


def _slices(in_channels: int) -> dict[str, s.Setting]:
    return {
        "in_channels": _channels(in_channels, "neighbouring slices given as channels, the middle one being segmented"),
        "out_channels": _channels(1, "logits per pixel"),
        "width": _channels(64, "channels of the first level; the paper's full size by default"),
    }


_VOLUMES = {
    "in_channels": _channels(1, "CT, and further channels such as the coarse probabilities"),
    "out_channels": _channels(6, "logits per voxel: background and five lobes"),
    "features": s.Setting(
        (16, 32, 64, 128),
        f"two to six whole numbers from 1 to {MAX_CHANNELS}",
        _are_features,
        "channels of each level, finest first",
    ),
    "norm": s.choice("batch", "normalisation after each convolution", *NORMS),
    "dropout": s.Setting(
        0.0,
        "a number from 0 to below 1",
        lambda value: s.is_number(value) and 0 <= value < 1,
        "share of activations dropped in training",
    ),
    "upsampling": s.choice("transposed", "how the decoder enlarges", *UPSAMPLINGS),
}

_LUNGMASK = {"in_channels": _channels(1, "the slice"), "out_channels": _channels(3, "log-probabilities per pixel")}

ARCHITECTURES: Mapping[str, Architecture] = {
    record.name: record
    for record in (
        Architecture("lobes-unet-3d", "3D U-Net for lungs and lobes", LobesUNet3D, 3, "Huang, row H1", _VOLUMES),
        Architecture("yoo-unet-2d", "2D U-Net of Yoo", YooUNet2D, 2, "Yoo, row Y1", _slices(1)),
        Architecture("covid-lesion-net", "COVID-Lesion Net of Pan", COVIDLesionNet, 2, "Pan, row P1", _slices(1)),
        Architecture(
            "changsha-resnet34-unet",
            "2.5D U-Net with ResNet-34 encoder",
            ResNet34UNet,
            2,
            "Changsha, row C1",
            _slices(3),
        ),
        Architecture("changsha-unet-2d-lungs", "2D U-Net for lungs", LungsUNet2D, 2, "Changsha, row C1", _slices(1)),
        Architecture("lungmask-unet", "2D U-Net of lungmask", lungmask_unet, 2, "Hofmanninger 2020", _LUNGMASK),
    )
}


def architecture(name: str) -> Architecture:
    """The record of the architecture of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"there is no architecture '{name}'", remedy="Known are " + ", ".join(ARCHITECTURES) + ".")
    return ARCHITECTURES[name]


def checked_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of an architecture: those given, checked, and the defaults of the others.

    Raises:
        UsageError: unknown architecture, unknown setting, or a value it cannot be built with.
    """
    known = architecture(name).settings
    for key, value in settings.items():
        if key not in known:
            raise UsageError(f"it has no setting '{key:.60}'", name, "Known are " + ", ".join(known) + ".")
        if not known[key].fits(value):
            raise UsageError(f"the setting '{key}' cannot be {value!r:.60}", name, f"Give {known[key].wanted}.")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    return {**architecture(name).defaults, **given}


def build_network(name: str, **settings: Any) -> nn.Module:
    """A network of that name with random weights, in training mode, giving logits.

    Any input shape is accepted, [n, in_channels, *space]; the output [n, out_channels, *space] has its shape.

    Raises:
        UsageError: unknown architecture, unknown setting, or a value it cannot be built with.
    """
    values = checked_settings(name, settings)
    return architecture(name).builder(**values)
