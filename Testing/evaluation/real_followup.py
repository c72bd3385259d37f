"""The registration on two real CTs of one person, against points that people placed in both.

    python -m Testing.evaluation.real_followup ELASTIX ITKELASTIX

ELASTIX and ITKELASTIX are checkouts of github.com/SuperElastix/elastix and github.com/InsightSoftwareConsortium/
ITKElastix (both Apache-2.0); they are in no part of this project. Their tests hold the right half of a chest in two
deep breaths, with lung masks (``Testing/Data/3DCT_lung_*``) and 51 pairs of points in the lung
(``examples/data/CT_3D_lung_*_point_set_corrected.txt``). A checkout without large files lacks the two CTs: the baseline
is then the copy at half the resolution, and the follow-up is rebuilt from the one that lies over the baseline
(``Testing/Baselines/3DCT_lung.mha``), through the inverse of elastix's transform.

A line each for no registration, elastix's own, ours by the masks alone, and ours with the CTs: lung Dice, distances of
the points (mm), seconds. There are no lobes, so there is no distance of fissures; every lung voxel is one lobe.
"""

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.followup.registration import ExamImages, register
from COVIDQuantLib.voxels.geometry import Geometry

_AFFINE = "Testing/Data/transformparameters.3DCT_lung.affine.txt"
_BENT = "Testing/Baselines/TransformParameters_3DCT_lung.MI.bspline.ASGD.001.txt.in"
_AIR_HU, _LOBE = -1000.0, 3
# The inverse of a displacement: rounds, and millimetres left on average and at most.
_ROUNDS, _MEAN_MM, _MOST_MM = 40, 0.001, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("elastix", type=Path, metavar="ELASTIX")
    parser.add_argument("itkelastix", type=Path, metavar="ITKELASTIX")
    arguments = parser.parse_args()
    data = arguments.elastix / "Testing/Data"
    masks = [sitk.ReadImage(str(data / f"3DCT_lung_{exam}_mask.mha")) for exam in ("baseline", "followup")]
    points = [_points(arguments.itkelastix, exam) for exam in ("fixed", "moving")]
    affine, bent = _affine(arguments.elastix / _AFFINE), _bspline(arguments.elastix / _BENT)
    _say("not registered", lambda point: point, points)
    _say("elastix", sitk.CompositeTransform([bent, affine]).TransformPoint, points)
    cts = _cts(arguments.elastix, masks, affine, bent)
    for what, hu in (("ours, masks alone", (None, None)), ("ours", cts)):
        started = time.perf_counter()
        baseline, followup = (_exam(mask, ct) for mask, ct in zip(masks, hu, strict=True))
        found = register(baseline, followup)
        _say(what, found.to_followup.TransformPoint, points)
        q = found.quality
        print(f"    lung Dice {q.lung_dice:.3f} ({q.lung_dice_affine:.3f} affine)", end="")
        print(f", volumes {q.volume_ratio:.2f}, {q.word}, {time.perf_counter() - started:.0f} s")


def _say(what: str, move: Callable[[tuple[float, ...]], tuple[float, ...]], points: list[np.ndarray]) -> None:
    moved = np.array([move(tuple(float(v) for v in point)) for point in points[0]])
    apart = np.linalg.norm(moved - points[1], axis=1)
    print(f"{what}: points {apart.mean():.2f} mm apart, median {np.median(apart):.2f}", end="")
    print(f", 95 % within {np.percentile(apart, 95):.2f}, {len(apart)} of them")


def _points(checkout: Path, exam: str) -> np.ndarray:
    text = (checkout / f"examples/data/CT_3D_lung_{exam}_point_set_corrected.txt").read_text()
    return np.array([line.split() for line in text.splitlines() if len(line.split()) == 3], float)


def _exam(mask: sitk.Image, ct: sitk.Image | None) -> ExamImages:
    lobes = (sitk.GetArrayFromImage(mask) > 0).astype(np.uint8) * _LOBE
    hu = None if ct is None else sitk.GetArrayFromImage(ct).round().astype(np.int16)
    return ExamImages(lobes, np.zeros_like(lobes), Geometry.of_image(mask), hu)


def _cts(
    checkout: Path, masks: list[sitk.Image], affine: sitk.AffineTransform, bent: sitk.BSplineTransform
) -> tuple[sitk.Image, sitk.Image]:
    """Both CTs on the grids of their masks."""
    data, (one, other) = checkout / "Testing/Data", masks
    whole = [data / f"3DCT_lung_{exam}.mha" for exam in ("baseline", "followup")]
    if all(path.is_file() for path in whole):
        first, second = (sitk.ReadImage(str(path), sitk.sitkFloat32) for path in whole)
        return _on(first, one, sitk.Transform()), _on(second, other, sitk.Transform())
    print("The two CTs are not in the checkout: the baseline at half the resolution, the follow-up rebuilt.")
    first = sitk.ReadImage(str(data / "3DCT_lung_baseline_small.mha"), sitk.sitkFloat32)
    over = sitk.ReadImage(str(checkout / "Testing/Baselines/3DCT_lung.mha"), sitk.sitkFloat32)
    return _on(first, one, sitk.Transform()), _on(over, other, _inverse(affine, bent, other))


def _on(image: sitk.Image, grid: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    return sitk.Resample(image, grid, transform, sitk.sitkBSpline, _AIR_HU)


def _inverse(affine: sitk.AffineTransform, bent: sitk.BSplineTransform, grid: sitk.Image) -> sitk.Transform:
    """From points of the follow-up to points of the baseline; the spline acts after the affine map."""
    place = grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    shifts = sitk.TransformToDisplacementField(bent, sitk.sitkVectorFloat64, *place)
    back = sitk.InvertDisplacementField(shifts, _ROUNDS, _MOST_MM, _MEAN_MM, enforceBoundaryCondition=False)
    return sitk.CompositeTransform([affine.GetInverse(), sitk.DisplacementFieldTransform(back)])


def _parameters(path: Path) -> dict[str, list[str]]:
    """The entries of an elastix transform parameter file."""
    return {name: values.split() for name, values in re.findall(r"^\((\w+) (.*)\)", path.read_text(), re.MULTILINE)}


def _numbers(entries: dict[str, list[str]], name: str) -> list[float]:
    return [float(value) for value in entries[name]]


def _affine(path: Path) -> sitk.AffineTransform:
    entries = _parameters(path)
    values = _numbers(entries, "TransformParameters")
    return sitk.AffineTransform(values[:9], values[9:], _numbers(entries, "CenterOfRotationPoint"))


def _bspline(path: Path) -> sitk.BSplineTransform:
    entries = _parameters(path)
    size = [int(n) for n in _numbers(entries, "GridSize")]
    coefficients = np.array(_numbers(entries, "TransformParameters")).reshape(3, *reversed(size))
    images = [sitk.GetImageFromArray(one) for one in coefficients]
    for image in images:
        image.SetOrigin(_numbers(entries, "GridOrigin"))
        image.SetSpacing(_numbers(entries, "GridSpacing"))
    return sitk.BSplineTransform(images, 3)


if __name__ == "__main__":
    main()
