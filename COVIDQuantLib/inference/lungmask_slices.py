"""Run imported lungmask networks on a CT, with lungmask 0.2's own pre- and postprocessing."""

from __future__ import annotations

from collections.abc import MutableSequence

import numpy as np
import torch

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.inference.device import Device, autocast, with_less_memory
from COVIDQuantLib.models.metadata import NetworkRecord
from COVIDQuantLib.progress import Report, part, silent

# As in lungmask: HU are clipped at 600 and mapped to 0..1; 20 slices at a time.
_LOW_HU, _HIGH_HU = -1024, 600
_BATCH = 20
_PREPARED, _PREDICTED = 0.2, 0.8


def lobes_by_lungmask(
    network: torch.nn.Module,
    ct: CTVolume,
    record: NetworkRecord,
    device: Device,
    report: Report = silent,
    notices: MutableSequence[CTWarning] | None = None,
) -> np.ndarray:
    """Lobes or lungs of a CT as lungmask finds them, in our label values.

    lungmask expects axial slices with rows to the back and columns to the patient's left, which the canonical grid has.

    Args:
        network: of architecture ``lungmask-unet``, in eval mode.
        ct: on its canonical grid, ``[k, j, i]`` to head, back, left.
        record: the network's; ``input`` holds size and label map.
        device: where to compute.
        report: progress.
        notices: receives warnings about memory.

    Returns:
        uint8 ``[k, j, i]``: lobes 1..5 of the contract for a ``lobes`` bundle, 1 right and 2 left for ``lungs``.

    Raises:
        UnfitInputError: the package lungmask is missing, or the bundle does not describe its input.
    """
    try:
        from lungmask import utils
    except ImportError as error:
        raise UnfitInputError(
            "this model needs the package lungmask", remedy="Install it: pip install lungmask"
        ) from error
    size, table = _settings(record)
    slices, boxes = _prepare(ct.hu, size, part(report, 0.0, _PREPARED))

    def run(batch: int, here: Device) -> np.ndarray:
        return _predict(network, slices, batch, here, part(report, _PREPARED, _PREDICTED))

    predicted = with_less_memory(run, device, _BATCH, [] if notices is None else notices)
    joined = utils.postprocessing(predicted, disable_tqdm=True)
    report(0.95)
    labels = np.zeros(ct.hu.shape, np.uint8)
    for k, box in enumerate(boxes):
        labels[k] = table[utils.reshape_mask(joined[k], box, ct.hu.shape[1:]).astype(np.uint8)]
    report(1.0)
    return labels


def _settings(record: NetworkRecord) -> tuple[list[int], np.ndarray]:
    """Side lengths of the slices, and our label by theirs."""
    try:
        size = [int(side) for side in record.input["size"]]
        table = np.zeros(256, np.uint8)
        for theirs, ours in record.input["labels"].items():
            table[int(theirs)] = ours
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        what = "the bundle does not describe its network's input and labels"
        raise UnfitInputError(what, str(record.weights), "Import lungmask's weights again.") from error
    return size, table


def _prepare(hu: np.ndarray, size: list[int], report: Report) -> tuple[np.ndarray, list[np.ndarray]]:
    """Slices cropped to the body, ``[k, size, size]`` HU, and the boxes they were cropped to."""
    from lungmask import utils

    slices = np.empty((len(hu), *size), np.int16)
    boxes: list[np.ndarray] = []
    for k in range(len(hu)):
        report(k / len(hu))
        # Slice by slice, as lungmask does internally, so that the user can cancel.
        (slices[k],), box = utils.preprocess(hu[k : k + 1], resolution=size)
        boxes += box
    return slices, boxes


def _predict(network: torch.nn.Module, slices: np.ndarray, batch: int, device: Device, report: Report) -> np.ndarray:
    """uint8 labels of lungmask ``[k, size, size]``."""
    network = network.to(device.torch, memory_format=torch.channels_last)
    found = np.empty(slices.shape, np.uint8)
    with torch.inference_mode(), autocast(device):
        for first in range(0, len(slices), batch):
            report(first / len(slices))
            scaled = (slices[first : first + batch, None].astype(np.float64) - _LOW_HU) / (_HIGH_HU - _LOW_HU)
            given = torch.from_numpy(scaled.astype(np.float32)).to(device.torch, memory_format=torch.channels_last)
            answer = network(given)
            found[first : first + batch] = answer.argmax(1).to(torch.uint8).cpu().numpy()
    return found
