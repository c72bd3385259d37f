"""Fit the fissure model to the landmarks of the Chest Imaging Platform's lobe atlas.

Run ``python -m COVIDQuantLib.segmentation.atlas.fit FOLDER`` with the folder that holds ``LungLobeAtlasData``; the
numbers go to ``Resources/Atlas/fissure_atlas.json``. The landmarks themselves are not part of this project.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.anatomy import FISSURE, FISSURES, SIDES
from COVIDQuantLib.segmentation.atlas.lobe_shares import weights_for_shares
from COVIDQuantLib.segmentation.atlas.lung_frame import FloatArray, LungFrame
from COVIDQuantLib.segmentation.atlas.model import (
    TERMS,
    FissureModel,
    sheet_coordinates,
    sheet_terms,
)
from COVIDQuantLib.segmentation.atlas.partial_lung import lung_profile

REFERENCE = "10002K_INSP_STD_BWH_COPD_leftLungRightLung.nrrd"
REFERENCE_LABELS = {"right": 2, "left": 3}
MODES = 6
MIN_LANDMARKS = 8
_STRIDE = 4
_MARGIN_MM = 25.0
_FAR = 1.7
_REACH_PERCENT = 0.5
_ROUNDS = 60
_RIDGE = 1e-4

Observations = tuple[FloatArray, FloatArray]
"""Of one subject: the terms ``(n, TERMS)`` and the coordinate across the sheet ``(n,)`` of its landmarks."""


def reference_lungs(folder: Path) -> dict[str, FloatArray]:
    """Points of the reference lungs by side, ``(n, 3)`` LPS millimetres, every fourth voxel along each axis."""
    image = sitk.ReadImage(str(folder / REFERENCE))
    labels = sitk.GetArrayFromImage(image)[::_STRIDE, ::_STRIDE, ::_STRIDE]
    spacing = np.array(image.GetSpacing()) * _STRIDE
    return {
        side: np.argwhere(labels == label)[:, ::-1] * spacing + np.array(image.GetOrigin())
        for side, label in REFERENCE_LABELS.items()
    }


def subject_transform(points_file: Path) -> sitk.Transform:
    """The transform from the reference lungs to the subject's, as stored beside its landmarks."""
    subject = points_file.name.removesuffix("_regionAndTypePoints.csv")
    return sitk.ReadTransform(str(next(points_file.parent.glob(f"{subject}_TO_*_transform.tfm"))))


def subject_landmarks(points_file: Path) -> dict[str, FloatArray]:
    """Landmarks of one subject by fissure, carried to the reference lungs by the inverse of its transform."""
    to_reference = subject_transform(points_file).GetInverse()
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in FISSURE}
    with points_file.open(newline="", encoding="utf-8") as stream:
        for row in list(csv.reader(stream))[1:]:
            name = _fissure_name(row[0].upper(), row[1].upper())
            if name:
                found[name].append(to_reference.TransformPoint([float(v) for v in row[2:5]]))
    return {name: np.reshape(np.array(points, float), (-1, 3)) for name, points in found.items()}


def _fissure_name(region: str, kind: str) -> str | None:
    """The fissure of a landmark by its region and type; None where the atlas leaves it undefined."""
    # The horizontal one is marked without its side.
    sides = [side for side in SIDES if kind == "HORIZONTALFISSURE" or region.startswith(side.upper())]
    fitting = (f for f in FISSURES if f.side in sides and kind == f"{f.kind.upper()}FISSURE")
    return next((fissure.name for fissure in fitting), None)


def on_sheet(fissure: str, landmarks: FloatArray, frame: LungFrame) -> FloatArray | None:
    """Sheet coordinates ``(n, 3)`` of the landmarks at the reference lung; None if they are too few."""
    near = ((landmarks > frame.low - _MARGIN_MM) & (landmarks < frame.high + _MARGIN_MM)).all(axis=1)
    unit = frame.to_unit(landmarks[near])
    unit = unit[(np.abs(unit) < _FAR).all(axis=1)]
    return np.stack(sheet_coordinates(fissure, unit), axis=1) if len(unit) >= MIN_LANDMARKS else None


def observations(sheets: Sequence[FloatArray], reach: FloatArray) -> list[Observations]:
    """Each subject's observations of the coefficients."""
    return [(sheet_terms(sheet[:, 0], sheet[:, 1], reach), sheet[:, 2]) for sheet in sheets]


def fit_sheet(subjects: Sequence[Observations]) -> tuple[FloatArray, FloatArray, float]:
    """Mean, covariance and landmark variance of a sheet's coefficients by expectation-maximisation.

    Every subject's coefficients are one draw of a normal distribution, observed only through its own scattered
    landmarks (a linear mixed model), so sparsely marked subjects count for what they show.
    """
    mean = _least_squares([(terms, across) for terms, across in subjects], 1e-3)
    covariance, noise = 0.01 * np.eye(TERMS), 0.01
    for _ in range(_ROUNDS):
        precision = np.linalg.inv(covariance)
        spread, squares, count, rest = np.zeros_like(covariance), 0.0, 0, []
        for terms, across in subjects:
            uncertainty = np.linalg.inv(precision + terms.T @ terms / noise)
            own = uncertainty @ (terms.T @ (across - terms @ mean)) / noise
            residual = across - terms @ (mean + own)
            spread += uncertainty + np.outer(own, own)
            squares += float(residual @ residual + np.sum((terms @ uncertainty) * terms))
            count += len(across)
            rest.append((terms, across - terms @ own))
        mean = _least_squares(rest, 1e-6)
        covariance = spread / len(subjects) + _RIDGE * np.eye(TERMS)
        noise = squares / count
    return mean, covariance, noise


def _least_squares(rows: Sequence[Observations], ridge: float) -> FloatArray:
    normal = sum(terms.T @ terms for terms, _ in rows) + ridge * np.eye(TERMS)
    return np.linalg.solve(normal, sum(terms.T @ across for terms, across in rows))


def principal_modes(covariance: FloatArray) -> FloatArray:
    """The largest modes, one per row, scaled to one standard deviation, with reproducible signs."""
    values, vectors = np.linalg.eigh(covariance)
    modes = (vectors[:, ::-1] * np.sqrt(values[::-1])).T[:MODES]
    largest = modes[np.arange(MODES), np.abs(modes).argmax(axis=1)]
    return modes * np.sign(largest)[:, None]


def fit_atlas(folder: Path) -> dict[str, Any]:
    """The atlas file's content.

    Args:
        folder: ``LungLobeAtlasData`` of the Chest Imaging Platform.
    """
    lungs = reference_lungs(folder)
    frames = {side: LungFrame.of(points) for side, points in lungs.items()}
    files = sorted(folder.glob("*_regionAndTypePoints.csv"))
    subjects = [subject_landmarks(path) for path in files]
    fissures: dict[str, dict[str, Any]] = {}
    for name in FISSURE:
        seen = [on_sheet(name, subject[name], frames[FISSURE[name].side]) for subject in subjects]
        used = [sheet for sheet in seen if sheet is not None]
        reach = np.percentile(np.concatenate(used)[:, :2], (_REACH_PERCENT, 100 - _REACH_PERCENT), axis=0).T
        mean, covariance, noise = fit_sheet(observations(used, reach))
        fissures[name] = {
            "subjects": len(used),
            "landmarks": sum(map(len, used)),
            "mean": _rounded(mean),
            "modes": _rounded(principal_modes(covariance)),
            "noise": _rounded(np.sqrt(noise)),
            "reach": _rounded(reach),
        }
    for side, frame in frames.items():
        own = [name for name in FISSURE if FISSURE[name].side == side]
        models = {name: FissureModel.of_record({**fissures[name], "usual": []}) for name in own}
        for name, weights in weights_for_shares(lungs[side], frame, models).items():
            fissures[name]["usual"] = _rounded(weights)
    return {
        "about": "Fissure model fitted by COVIDQuantLib.segmentation.atlas.fit to the landmarks of the Chest Imaging "
        "Platform's lung lobe atlas; a modified work, see License.txt beside it.",
        "fissures": fissures,
        "lungs": {side: _lung_record(points, files) for side, points in lungs.items()},
    }


def _lung_record(points: FloatArray, files: Sequence[Path]) -> dict[str, Any]:
    """The template of a whole lung: the reference lung, and its sizes when mapped to every subject."""
    frame = LungFrame.of(points)
    sizes = np.array([_log_half_size(points, subject_transform(path)) for path in files])
    return {
        "frame": {name: _rounded(values) for name, values in frame.as_record().items()},
        "profile": _rounded(lung_profile(points, frame)),
        "size_mean": _rounded(sizes.mean(axis=0)),
        "size_covariance": _rounded(np.cov(sizes.T)),
    }


def _log_half_size(points: FloatArray, to_subject: sitk.Transform) -> FloatArray:
    origin = np.array(to_subject.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.array(to_subject.TransformPoint(axis)) - origin for axis in np.eye(3).tolist()]
    return np.log(LungFrame.of(points[::20] @ np.array(columns)).half_size)


def _rounded(values: Any) -> Any:
    """Numbers as lists with six decimals: far below the landmarks' noise."""
    return np.round(np.asarray(values, float), 6).tolist()


def main() -> None:
    """Fit and write; the default output is the shipped file of the source tree."""
    shipped = Path(__file__).resolve().parents[3] / "Resources" / "Atlas" / "fissure_atlas.json"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder that holds LungLobeAtlasData")
    parser.add_argument("--out", type=Path, default=shipped)
    arguments = parser.parse_args()
    record = fit_atlas(arguments.folder / "LungLobeAtlasData")
    lines = json.dumps(record, indent=1)
    arguments.out.write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
