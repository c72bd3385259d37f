"""Lobes and lesions in 3D, by our own ray casting: no GPU, no VTK, the same picture on every machine.

The lobes are a thin translucent shell, densest where it turns away from the viewer; the lesions lie in it as solid
bodies in the colours of their density. Rays are parallel, and the light comes from the viewer's upper left. Fields are
interpolated once onto a grid whose first axis runs along the rays; the view from behind is the same grid reversed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LESION, LOBES
from COVIDQuantLib.export.sheet.colours import lesion_rgb
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

_BLOCK_MM = 1.6
_PIXEL_MM, _DEPTH_MM = 1.5, 2.2
_BLUR_MM = 1.3
# Blocks of nothing around the lungs, so that no surface is cut off.
_ROOM = 3
# The view is turned by so much around the patient's long axis, and looks down by so much, so that depth is seen.
_TURN_DEGREES, _TILT_DEGREES = 18.0, 10.0
_LIGHT = np.array([-0.80, -0.45, -0.40]) / np.linalg.norm([0.80, 0.45, 0.40])
# Opacity of the shell seen face on and edge on, and of lesions, per millimetre.
_SHELL_FACE, _SHELL_EDGE, _LESION_OPACITY = 0.05, 0.42, 0.9
_ZOOM = 3
_FILLED = 0.02
_WHITE = 0.985


@dataclass(frozen=True)
class _Fields:
    """What the rays pass, float32: depth, rows down, columns to the right.

    Attributes:
        lung: share of lung, 0..1.
        lesion: share of lesion, 0..1.
        lobe_rgb: colour of the lobes times ``lung``, with three channels last.
        lesion_rgb: colour of the lesions times ``lesion``, likewise.
    """

    lung: np.ndarray
    lesion: np.ndarray
    lobe_rgb: np.ndarray
    lesion_rgb: np.ndarray

    def from_behind(self) -> _Fields:
        """The same seen from the other side."""
        arrays = (self.lung, self.lesion, self.lobe_rgb, self.lesion_rgb)
        return _Fields(*(array[::-1, :, ::-1] for array in arrays))


def volume_views(
    lobes: np.ndarray, lesions: np.ndarray, geometry: Geometry, hu: np.ndarray | None, thresholds: Thresholds
) -> tuple[np.ndarray, np.ndarray] | None:
    """The lungs from the front and from behind, as RGB 0..1 on white ``[rows, columns, 3]``; None without any lung.

    Args:
        lobes: label values ``[k, j, i]``, in any orientation.
        lesions: nonzero in lesion, same shape.
        geometry: the grid.
        hu: Hounsfield units of the same shape; None where the CT is not at hand: lesions then have one colour.
        thresholds: for the colours of density.
    """
    turn = Reorientation.of(geometry)
    upright = [turn.apply(array) for array in (lobes, lesions)]
    numbers = None if hu is None else turn.apply(hu)
    box = _box(upright[0], upright[1])
    if box is None:
        return None
    spacing = np.array(turn.canonical.spacing_kji)
    steps = np.maximum(1, (_BLOCK_MM / spacing + 1e-6).astype(int))
    parts = _blocks(upright[0][box], upright[1][box], None if numbers is None else numbers[box], steps, thresholds)
    fields = _cast_onto_view(parts, spacing * steps)
    return _composited(fields), _composited(fields.from_behind())


def _box(lobes: np.ndarray, lesions: np.ndarray) -> tuple[slice, slice, slice] | None:
    if not lobes.any():
        return None
    (first,) = ndimage.find_objects(((lobes != 0) | (lesions != 0)).view(np.uint8))
    return first


def _blocks(
    lobes: np.ndarray, lesions: np.ndarray, hu: np.ndarray | None, steps: np.ndarray, thresholds: Thresholds
) -> list[np.ndarray]:
    """Blocks of voxels: share of lung, share of lesion, colours of both times their share; eight arrays."""
    lung = _block_mean(lobes != 0, steps)
    lobe_rgb = np.zeros((3, *lung.shape), np.float32)
    for lobe in LOBES:
        share = _block_mean(lobes == lobe.label, steps)
        lobe_rgb += np.array(lobe.colour, np.float32)[:, np.newaxis, np.newaxis, np.newaxis] * share
    ill = lesions != 0
    lesion = _block_mean(ill, steps)
    if hu is None:
        rgb = np.broadcast_to(np.array(LESION.colour, np.float32), (*lesion.shape, 3))
    else:
        density = _block_mean(np.where(ill, hu, 0), steps) / np.maximum(lesion, 1e-6)
        rgb = lesion_rgb(density, thresholds).astype(np.float32)
    parts = [lung, lesion, *lobe_rgb, *(lesion * rgb[..., channel] for channel in range(3))]
    return [np.pad(part, _ROOM) for part in parts]


def _block_mean(array: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Means of blocks; the last block of an axis may be filled up with zeros."""
    mean = array.astype(np.float32)
    for axis, step in enumerate(steps):
        if step == 1:
            continue
        short = -mean.shape[axis] % step
        padded = np.pad(mean, [(0, short if each == axis else 0) for each in range(3)])
        shape = list(padded.shape)
        shape[axis : axis + 1] = [padded.shape[axis] // step, int(step)]
        mean = padded.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return mean


def _cast_onto_view(parts: list[np.ndarray], spacing: np.ndarray) -> _Fields:
    """Interpolate blocks ``[k, j, i]`` of a spacing in mm onto the grid of the rays."""
    axes = _view_axes()
    size = np.array(parts[0].shape) * spacing
    # Extent of the turned box along depth, rows and columns.
    extent = np.abs(axes) @ size
    pixel = np.array([_DEPTH_MM, _PIXEL_MM, _PIXEL_MM])
    shape = tuple(int(n) for n in np.ceil(extent / pixel))
    matrix = (axes.T * pixel) / spacing[:, np.newaxis]
    middle_in, middle_out = (np.array(parts[0].shape) - 1) / 2, (np.array(shape) - 1) / 2
    blur = np.maximum(_BLUR_MM, 0.55 * spacing) / spacing
    done = [
        ndimage.affine_transform(
            ndimage.gaussian_filter(part, blur, mode="constant"),
            matrix,
            middle_in - matrix @ middle_out,
            shape,
            order=1,
        )
        for part in parts
    ]
    lung, lesion = done[0], done[1]
    return _Fields(lung, lesion, np.stack(done[2:5], axis=-1), np.stack(done[5:8], axis=-1))


def _view_axes() -> np.ndarray:
    """Directions of depth, rows and columns, each as a unit vector in ``k, j, i``."""
    turn, tilt = np.radians(_TURN_DEGREES), np.radians(_TILT_DEGREES)
    columns = np.array([0.0, -np.sin(turn), np.cos(turn)])
    ahead = np.array([0.0, np.cos(turn), np.sin(turn)])
    up = np.array([1.0, 0.0, 0.0])
    depth = np.cos(tilt) * ahead - np.sin(tilt) * up
    rows = -(np.cos(tilt) * up + np.sin(tilt) * ahead)
    return np.stack([depth, rows, columns])


def _composited(fields: _Fields) -> np.ndarray:
    """Front-to-back compositing along the first axis, on white."""
    shape = fields.lung.shape[1:]
    colour, through = np.zeros((*shape, 3), np.float32), np.ones(shape, np.float32)
    for layer in _layers(fields):
        for alpha, rgb in layer:
            colour += (through * alpha)[..., np.newaxis] * np.clip(rgb, 0.0, 1.0)
            through *= 1.0 - alpha
    image = np.clip(colour + through[..., np.newaxis], 0.0, 1.0)
    return np.clip(ndimage.zoom(_cropped(image), (_ZOOM, _ZOOM, 1), order=3, mode="nearest"), 0.0, 1.0)


def _layers(fields: _Fields) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """Per depth the opacity and the shaded colour, first of the shell, then of the lesions."""
    lung, lesion = fields.lung, fields.lesion
    count = len(lung)
    for at in range(1, count - 1):
        if lung[at].max() < _FILLED and lesion[at].max() < _FILLED:
            continue
        shaded = []
        facing, light, steep = _normals(lung, at)
        # A shell is as opaque as it is steep; edge on, it is long for the ray too.
        per_mm = _SHELL_FACE + (_SHELL_EDGE - _SHELL_FACE) * (1.0 - facing) ** 3
        alpha = 1.0 - np.exp(-per_mm * steep * _DEPTH_MM * 2.2)
        base = fields.lobe_rgb[at] / np.maximum(lung[at], 1e-3)[..., np.newaxis]
        shaded.append((alpha, np.clip(base, 0, 1) * (0.66 + 0.34 * light)[..., np.newaxis]))
        facing, light, _ = _normals(lesion, at)
        solid = np.clip((lesion[at] - 0.25) * 2.5, 0.0, 1.0)
        alpha = 1.0 - np.exp(-_LESION_OPACITY * solid * _DEPTH_MM)
        base = fields.lesion_rgb[at] / np.maximum(lesion[at], 1e-3)[..., np.newaxis]
        far = 1.0 - 0.18 * at / count
        shaded.append((alpha, np.clip(base, 0, 1) * (far * (0.52 + 0.60 * light))[..., np.newaxis]))
        yield shaded


def _normals(field: np.ndarray, at: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the surfaces in one layer: how much they face the viewer, how bright they are, how steep the field is."""
    deep = (field[at + 1] - field[at - 1]) / (2 * _DEPTH_MM)
    down, right = (gradient / _PIXEL_MM for gradient in np.gradient(field[at]))
    steep = np.sqrt(deep**2 + down**2 + right**2)
    length = np.maximum(steep, 1e-4)
    # The gradient points inwards; `_LIGHT` points to where the light comes from.
    light = -(deep * _LIGHT[0] + down * _LIGHT[1] + right * _LIGHT[2]) / length
    return np.abs(deep) / length, np.clip(light, 0.0, 1.0), steep


def _cropped(image: np.ndarray) -> np.ndarray:
    """The picture without its white borders."""
    drawn = image.min(axis=2) < _WHITE
    if not drawn.any():
        return image
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return image[max(0, rows[0] - 2) : rows[-1] + 3, max(0, columns[0] - 2) : columns[-1] + 3]
