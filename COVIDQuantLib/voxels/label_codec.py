"""Label arrays as short text: run lengths, compressed, in printable letters."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.box import Box, occupied_box

FORMAT = "covidquant-labels/1"
_ADVICE = "Quantify the CT again."


# One array holds both: three bits for the lobe, one for the pneumonia.
_LESION_BIT = 8


def joined_labels(lobes: np.ndarray, lesions: np.ndarray) -> np.ndarray:
    """Lobes (label values 0..7) and lesions (bool) in one array of bytes."""
    labels = lobes.astype(np.uint8)
    labels[lesions] += _LESION_BIT
    return labels


def parted_labels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lobes and lesions that :func:`joined_labels` has joined."""
    return labels % _LESION_BIT, labels >= _LESION_BIT


def encode_labels(labels: np.ndarray) -> str:
    """A label array as text.

    Args:
        labels: whole numbers 0..255 or bool ``[k, j, i]``.
    """
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    values = labels.view(np.uint8) if labels.dtype == bool else labels
    box = occupied_box(values, (0, 0, 0), Box.of_shape(shape))
    record: dict[str, Any] = {"format": FORMAT, "shape": list(shape), "box": None}
    if box is None:
        return json.dumps(record)
    flat = np.ascontiguousarray(values[box.slices], np.uint8).ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(np.concatenate((starts, [flat.size])))
    record["box"] = [list(box.start), list(box.stop)]
    record["values"] = _packed(flat[starts])
    record["lengths"] = _packed(lengths.astype("<u4"))
    return json.dumps(record)


def decode_labels(text: str) -> np.ndarray:
    """The uint8 array that :func:`encode_labels` wrote.

    Raises:
        UnfitInputError: the text is no such record, or is damaged.
    """
    try:
        labels = _labels_of(json.loads(text))
    except (KeyError, TypeError, ValueError, IndexError, zlib.error) as error:
        raise UnfitInputError(f"the stored segments are damaged ({error})", remedy=_ADVICE) from error
    return labels


def shape_of(text: str) -> tuple[int, int, int]:
    """The shape of the array that :func:`encode_labels` wrote, without decoding it.

    Raises:
        UnfitInputError: the text is no such record.
    """
    try:
        k, j, i = (int(n) for n in json.loads(text)["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnfitInputError(f"the stored segments are damaged ({error})", remedy=_ADVICE) from error
    return k, j, i


def _labels_of(record: dict[str, Any]) -> np.ndarray:
    if record["format"] != FORMAT:
        raise ValueError("another format")
    k, j, i = (int(n) for n in record["shape"])
    labels = np.zeros((k, j, i), np.uint8)
    if record["box"] is not None:
        start, stop = (tuple(int(n) for n in corner) for corner in record["box"])
        box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
        values = np.frombuffer(_unpacked(record["values"]), np.uint8)
        lengths = np.frombuffer(_unpacked(record["lengths"]), "<u4")
        labels[box.slices] = np.repeat(values, lengths).reshape(box.shape)
    return labels


def _packed(array: np.ndarray) -> str:
    # Level 1: most of what deflate can do with run lengths, in a fraction of the time.
    return base64.b85encode(zlib.compress(array.tobytes(), 1)).decode("ascii")


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))
