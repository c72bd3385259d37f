"""The statistical fissure model: mean surfaces and modes of variation in the coordinates of each lung."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import FISSURE, HORIZONTAL
from COVIDQuantLib.resources import resource_path
from COVIDQuantLib.segmentation.atlas.lung_frame import FloatArray, LungFrame
from COVIDQuantLib.segmentation.atlas.partial_lung import LungSizes, LungTemplate

_DEGREE_ACROSS, _DEGREE_ALONG = 3, 4
_POWERS = [
    (a, b) for a in range(_DEGREE_ACROSS + 1) for b in range(_DEGREE_ALONG + 1) if a + b <= max(3, _DEGREE_ALONG)
]
TERMS = len(_POWERS)
RELIEF_REACH = 1.45
_HALF = float(np.sqrt(0.5))
_ALONG = 1.2


def sheet_coordinates(fissure: str, unit: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Two coordinates along a fissure and the one across it, of points in a lung's frame.

    The oblique fissures run from low in front to high at the back, so their sheet is turned by 45 degrees; the
    coordinate across points to the head (and to the front) for all three.

    Args:
        fissure: name of one of :data:`COVIDQuantLib.anatomy.FISSURES`.
        unit: coordinates ``(…, 3)`` from :meth:`LungFrame.to_unit`.
    """
    x, y, z = unit[..., 0], unit[..., 1], unit[..., 2]
    if FISSURE[fissure].kind == HORIZONTAL:
        return x, y, z
    return x, (y + z) * _HALF / _ALONG, (z - y) * _HALF


def sheet_to_unit(fissure: str, first: FloatArray, second: FloatArray, across: FloatArray) -> FloatArray:
    """Frame coordinates ``(…, 3)`` of sheet coordinates: the inverse of :func:`sheet_coordinates`."""
    if FISSURE[fissure].kind == HORIZONTAL:
        return np.stack(np.broadcast_arrays(first, second, across), axis=-1)
    along = second * _ALONG
    return np.stack(np.broadcast_arrays(first, (along - across) * _HALF, (along + across) * _HALF), axis=-1)


def sheet_mm(fissure: str, frame: LungFrame) -> FloatArray:
    """Millimetres per unit along the sheet's two coordinates and perpendicular to it."""
    x, y, z = frame.unit_mm
    if FISSURE[fissure].kind == HORIZONTAL:
        return np.array([x, y, z])
    return np.array([x, _ALONG * _HALF * np.hypot(y, z), 1 / (_HALF * np.hypot(1 / y, 1 / z))])


def sheet_terms(first: FloatArray, second: FloatArray, reach: FloatArray) -> FloatArray:
    """Chebyshev products over the sheet, ``(…, TERMS)``.

    Args:
        first: coordinate along the sheet.
        second: the other one.
        reach: range of each that landmarks cover, ``(2, 2)``; beyond, the surface is continued at constant level, since
            polynomials diverge outside their interval.
    """
    across, along = _polynomials(first, second, reach)
    return np.stack([across[..., a] * along[..., b] for a, b in _POWERS], axis=-1)


def _polynomials(first: FloatArray, second: FloatArray, reach: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Chebyshev polynomials of both coordinates of a sheet, the degrees last; see :func:`sheet_terms`."""
    scaled = [
        np.clip(2 * (along - low) / (high - low) - 1, -1.0, 1.0)
        for along, (low, high) in zip((first, second), reach, strict=True)
    ]
    across = np.polynomial.chebyshev.chebvander(scaled[0], _DEGREE_ACROSS)
    along = np.polynomial.chebyshev.chebvander(scaled[1], _DEGREE_ALONG)
    return across, along


@dataclass(frozen=True)
class FissureModel:
    """A fissure in the population: its coefficients are ``mean + modes @ weights``, weights of unit variance.

    Attributes:
        mean: ``(TERMS,)``.
        modes: ``(TERMS, n)``, largest variance first.
        noise: standard deviation of a landmark about its subject's surface, frame units.
        reach: least and greatest value of both sheet coordinates among the landmarks, ``(2, 2)``.
        usual: mode weights that give the lobes of the reference lung their usual shares.
    """

    mean: FloatArray
    modes: FloatArray
    noise: float
    reach: FloatArray
    usual: FloatArray

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> FissureModel:
        """The model of the numbers in the atlas's file, where each mode is a row."""
        mean, modes, reach, usual = (np.asarray(record[key], float) for key in ("mean", "modes", "reach", "usual"))
        return cls(mean, modes.T, float(record["noise"]), reach, usual)

    def terms(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """The terms of :func:`sheet_terms` with this fissure's reach."""
        return sheet_terms(first, second, self.reach)

    def level(self, weights: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
        """The surface's height as a function of its two coordinates, for these weights of the modes."""
        products = np.zeros((_DEGREE_ACROSS + 1, _DEGREE_ALONG + 1))
        products[tuple(np.transpose(_POWERS))] = self.mean + self.modes @ weights
        across, along = _polynomials(first, second, self.reach)
        return np.einsum("...b,...b->...", across @ products, along)


@dataclass(frozen=True)
class FissureAtlas:
    """The model of every fissure, with the templates of whole lungs.

    Attributes:
        fissures: by name.
        lungs: template of a whole lung by side, for cut lungs.
    """

    fissures: dict[str, FissureModel]
    lungs: dict[str, LungTemplate]

    def of_side(self, side: str) -> dict[str, FissureModel]:
        """The fissures of the ``right`` or ``left`` lung."""
        return {name: model for name, model in self.fissures.items() if FISSURE[name].side == side}

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> FissureAtlas:
        """The atlas of the numbers in its file."""
        fissures = {name: FissureModel.of_record(fissure) for name, fissure in record["fissures"].items()}
        return cls(fissures, {side: _template(lung) for side, lung in record["lungs"].items()})


def _template(record: dict[str, Any]) -> LungTemplate:
    sizes = LungSizes(np.asarray(record["size_mean"], float), np.asarray(record["size_covariance"], float))
    return LungTemplate(LungFrame.of_record(record["frame"]), np.asarray(record["profile"], float), sizes)


def atlas_path() -> Path:
    """The shipped model."""
    return resource_path("Atlas", "fissure_atlas.json")


@cache
def load_atlas() -> FissureAtlas:
    """The shipped model, read once.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    return FissureAtlas.of_record(json.loads(atlas_path().read_text(encoding="utf-8")))


@dataclass(frozen=True)
class FissureSheet:
    """One fissure of one patient.

    Attributes:
        fissure: its name.
        frame: the lung's.
        model: the population's.
        expected: mode weights predicted from the lungs alone.
        weights: mode weights of this sheet.
        relief: correction of the smooth sheet from the image, frame units, on a lattice over ``RELIEF_REACH`` of both
            sheet coordinates; None if nothing.
        loose: whether the lung is cut, so that the sheet may be far off.
    """

    fissure: str
    frame: LungFrame
    model: FissureModel
    expected: FloatArray
    weights: FloatArray
    relief: FloatArray | None = None
    loose: bool = False

    def raised(self, height_mm: float) -> FissureSheet:
        """The sheet with its lung's frame moved to the head."""
        return replace(self, frame=self.frame.moved(np.array([0.0, 0.0, height_mm])))

    def smooth_level(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """The level without the relief."""
        return self.model.level(self.weights, first, second)

    def level(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """The sheet's height as a function of its two coordinates."""
        smooth = self.smooth_level(first, second)
        if self.relief is None:
            return smooth
        places = [
            np.clip((along / RELIEF_REACH + 1) * 0.5 * (count - 1), 0, count - 1)
            for along, count in zip((first, second), self.relief.shape, strict=True)
        ]
        return smooth + ndimage.map_coordinates(self.relief, np.stack(np.broadcast_arrays(*places)), order=1)

    def height(self, points: FloatArray) -> FloatArray:
        """How far points ``(…, 3)`` in millimetres lie above the fissure, in frame units."""
        first, second, across = sheet_coordinates(self.fissure, self.frame.to_unit(points))
        return across - self.level(first, second)
