"""Import weights published by the program lungmask as a bundle.

lungmask (Hofmanninger et al. 2020) releases each model as a file written by ``torch.save(state_dict)``; the number of
classes is that of the last layer. The names of the released files end in the first digits of their SHA-256, as usual
in torch.hub, which distinguishes the two models of the same shape.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.models.bundle import Bundle
from COVIDQuantLib.models.install import place_for
from COVIDQuantLib.models.weights import MAX_WEIGHT_BYTES, check_finite, check_shapes
from COVIDQuantLib.models.write import TrainedNetwork, write_bundle
from COVIDQuantLib.progress import Report, silent

if TYPE_CHECKING:
    import torch

ARCHITECTURE = "lungmask-unet"
ROLE = "slices"
RELEASES = "https://github.com/JoHof/lungmask/releases/download/v0.0/"
_LAST_BIAS = "last.bias"
# lungmask's label of each lobe by its abbreviation, and of each side (its README, semantics of output).
_THEIR_LOBES = {"LUL": 1, "LLL": 2, "RUL": 3, "RML": 4, "RLL": 5}
_LOBE_LABELS = {str(_THEIR_LOBES[lobe.short]): lobe.label for lobe in LOBES}
_LUNG_LABELS = {"1": 1, "2": 2}
_REFERENCE = (
    "Hofmanninger et al., Automatic lung segmentation in routine imaging is primarily a data diversity problem, "
    "not a methodology problem. European Radiology Experimental 4, 50 (2020). doi:10.1186/s41747-020-00173-2"
)


@dataclass(frozen=True)
class PublishedModel:
    """A model released by lungmask.

    Attributes:
        name: lungmask's name for it.
        file: file name in the release.
        classes: channels of its output, background included.
        task: of the bundle.
        labels: our label value by theirs, as text.
        data_source: its training data according to its authors.
    """

    name: str
    file: str
    classes: int
    task: str
    labels: dict[str, int]
    data_source: str

    @property
    def sha256_begins(self) -> str:
        """First digits of the released file's SHA-256, from its name."""
        return Path(self.file).stem.rsplit("-", 1)[1]


_ROUTINE = "lungmask's authors: routine chest CT of their hospital and public sets"
PUBLISHED = (
    PublishedModel("R231", "unet_r231-d5d2fc3d.pth", 3, "lungs", _LUNG_LABELS, _ROUTINE),
    PublishedModel("LTRCLobes", "unet_ltrclobes-3a07043d.pth", 6, "lobes", _LOBE_LABELS, "a subset of LTRC (NHLBI)"),
    PublishedModel(
        "R231CovidWeb",
        "unet_r231covid-0de78a7e.pth",
        3,
        "lungs",
        _LUNG_LABELS,
        f"{_ROUTINE}, with COVID-19 slices from the web",
    ),
)
KNOWN_NAMES = tuple(model.name for model in PUBLISHED)


def import_lungmask(
    file: str | Path, name: str | None = None, *, replace: bool = False, report: Report = silent
) -> Bundle:
    """Install weights in lungmask's format as one of the user's bundles.

    Args:
        file: as released by lungmask, or written by ``torch.save(model.state_dict())`` from its network.
        name: which lungmask model it is; by default recognised from the file.
        replace: replace the user's bundle of that model.
        report: progress.

    Raises:
        UnfitInputError: no such file; weights that could run code, are damaged or of another network; lungmask missing.
        UsageError: the name contradicts the file, or is needed to decide; or the bundle exists already.
        OutputError: it cannot be written.
    """
    import torch

    from COVIDQuantLib.networks.lungmask_unet import lungmask_unet

    path = Path(file)
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    state = _state(data, path)
    report(0.3)
    model = _identify(path, sha256, len(state[_LAST_BIAS]), name)
    # The file's tensors are used directly; the network is built without allocating its own.
    with torch.device("meta"):
        network = lungmask_unet(out_channels=model.classes)
    check_shapes(state, network.state_dict(), ARCHITECTURE, str(path))
    check_finite(state, str(path))
    network.load_state_dict(state, assign=True)
    report(0.6)
    bundle = _write(model, network, {"file": path.name, "sha256": sha256}, replace=replace)
    report(1.0)
    return bundle


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise UnfitInputError("there is no such file", str(path), "Give the file of weights.")
    if path.stat().st_size > MAX_WEIGHT_BYTES:
        raise UnfitInputError("the file is too large to be a network's weights", str(path))
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnfitInputError(f"cannot be read ({error.strerror or error})", str(path)) from error


def _state(data: bytes, path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file written by ``torch.save``, read without executing any code in it."""
    import torch

    try:
        state: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what = "the file holds more than weights, which could run code, or is not a file of weights; it was not opened"
        raise UnfitInputError(what, str(path), "Import the file as lungmask released it.") from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError) as error:
        raise UnfitInputError("the weights are damaged or truncated", str(path), "Download them again.") from error
    tensors = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    )
    if not tensors or _LAST_BIAS not in state or state[_LAST_BIAS].ndim != 1:
        raise UnfitInputError("these are not the weights of a lungmask network", str(path))
    return dict(state)


def _identify(path: Path, sha256: str, classes: int, name: str | None) -> PublishedModel:
    """Identify the published model: by SHA-256, by the user's choice, by file name, by number of classes."""
    fitting = [model for model in PUBLISHED if model.classes == classes]
    if not fitting:
        known = " or ".join(sorted({str(model.classes) for model in PUBLISHED}))
        raise UnfitInputError(f"the network has {classes} classes, lungmask's have {known}", str(path))
    certain = [model for model in fitting if sha256.startswith(model.sha256_begins)]
    if name is not None:
        chosen = [model for model in certain or fitting if model.name == name]
        if not chosen:
            fits = " or ".join(model.name for model in certain or fitting)
            raise UsageError(f"the file is {fits}, not {name}", str(path), "Leave out --name, or use that one.")
        return chosen[0]
    named = [model for model in fitting if path.name.startswith(Path(model.file).stem)]
    for found in (certain, named, fitting):
        if len(found) == 1:
            return found[0]
    both = " or ".join(model.name for model in fitting)
    raise UsageError(f"the file may be {both}, which have the same shape", str(path), "Specify it with --name.")


def _write(model: PublishedModel, network: torch.nn.Module, source: dict[str, str], *, replace: bool) -> Bundle:
    released = source["sha256"].startswith(model.sha256_begins)
    name = f"lungmask-{model.name.lower()}"
    entry = {
        "size": [256, 256],
        "window_hu": [-1024, 600],
        "slices": "axial, cropped to the body by lungmask's own preprocessing",
        "labels": model.labels,
    }
    return write_bundle(
        place_for(name),
        networks={ROLE: TrainedNetwork(ARCHITECTURE, {"out_channels": model.classes}, network, entry)},
        replace=replace,
        name=name,
        version="0.0",
        task=model.task,
        description=f"The weights {model.name} of the program lungmask, imported by the user.",
        authors="Johannes Hofmanninger and others (lungmask)",
        licence="As released by lungmask's authors (https://github.com/JoHof/lungmask); not part of COVIDQuant.",
        data_source=model.data_source,
        references=[_REFERENCE],
        training={"imported": source, "release": RELEASES + model.file, "is_the_released_file": released},
    )
