"""How long a reader waits for figures: COVIDQuant beside Slicer's own per-segment statistics, in one run.

    python Testing/benchmarks/bench_edit.py [--size 512 512 400] [--strokes 20] [--repeats 3]

Both sides run on the same MRML nodes through slicer-core. The other side does, for each of the six segments, what
Slicer's Segment Statistics module does in its two default plugins: extract the segment, threshold, stencil,
vtkImageAccumulate (label map), and resample to the CT, threshold, stencil, vtkImageAccumulate and histogram
percentiles (scalar volume).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from COVIDQuantLib.anatomy import LESION, LOBES
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.segmentations import create_segmentation_node, segmentation_of_node
from COVIDQuantLib.scene.nodes.volumes import image_of_array, node_of_ct
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

# A chest of 360×360×300 mm whatever the number of voxels.
CHEST_MM = (300.0, 360.0, 360.0)
# Parts of the CT's k, j, i in which strokes are painted: the right lung, whose three lobes meet there.
STROKES_IN = ((0.3, 0.7), (0.35, 0.65), (0.15, 0.38))


def make_chest(shape: tuple[int, int, int], seed: int = 1) -> tuple[CTVolume, Segmentation]:
    """Two ellipsoid lungs of about five litres, five lobes parted by slanting planes, and round lesions."""
    rng = np.random.default_rng(seed)
    spacing = [extent / size for extent, size in zip(CHEST_MM, shape, strict=True)]
    axes = [np.arange(size) * step - (size - 1) * step / 2 for size, step in zip(shape, spacing, strict=True)]
    y, x = np.meshgrid(axes[1], axes[2], indexing="ij", sparse=True)
    spots = [(rng.uniform(-100, 100), rng.uniform(-80, 80), side * rng.uniform(50, 120)) for side in (-1, 1) * 12]
    hu = np.empty(shape, np.int16)
    lobes = np.zeros(shape, np.uint8)
    lesions = np.zeros(shape, bool)
    for k, z in enumerate(axes[0]):
        body = (x / 175) ** 2 + (y / 120) ** 2 < 1
        values = np.where(body, 40.0, -1000.0) + rng.normal(0, 30, body.shape)
        for side in (-1, 1):
            lung = ((x - side * 85) / 70) ** 2 + (y / 95) ** 2 + (z / 135) ** 2 < 1
            lower = lung & (z - 0.7 * y < 0)
            upper_label, lower_label = (4, 5) if side > 0 else (1, 3)
            lobes[k][lung] = upper_label
            lobes[k][lung & (side < 0) & (z < 10)] = 2
            lobes[k][lower] = lower_label
            values[lung] -= 890
        for a, b, c in spots:
            lesions[k] |= ((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 < 18**2) & (lobes[k] > 0)
        values[lesions[k]] += 400
        hu[k] = np.clip(np.rint(values), -1024, 3071)
    geometry = Geometry(shape, (spacing[2], spacing[1], spacing[0]))
    return CTVolume(hu, geometry), Segmentation(lobes, lesions)


def sphere(volume: object, center: tuple[int, int, int], radius: int) -> object:
    """A brush stroke: a ball of ones as a vtkOrientedImageData on the CT's voxels."""
    line = np.arange(-radius, radius + 1)
    ball = (line[:, None, None] ** 2 + line[None, :, None] ** 2 + line[None, None, :] ** 2 <= radius**2).astype(
        np.uint8
    )
    labelmap = image_of_array(ball, slicer.vtkOrientedImageData())
    first = [c - radius for c in center[::-1]]
    labelmap.SetExtent([first[n // 2] + (2 * radius if n % 2 else 0) for n in range(6)])
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    labelmap.SetGeometryFromImageToWorldMatrix(matrix)
    return labelmap


def binary_mask(labelmap: object) -> object:
    """A label map as 0 and 1 of unsigned char."""
    threshold = vtk.vtkImageThreshold()
    threshold.SetInputData(labelmap)
    threshold.ThresholdByLower(0)
    threshold.SetInValue(0)
    threshold.SetOutValue(1)
    threshold.SetOutputScalarType(vtk.VTK_UNSIGNED_CHAR)
    threshold.Update()
    return threshold.GetOutput()


def accumulate(image: object, mask: object) -> tuple[object, object]:
    """vtkImageAccumulate of an image under a mask, and the stencil made for it."""
    stencil = vtk.vtkImageToImageStencil()
    stencil.SetInputData(mask)
    stencil.ThresholdByUpper(1)
    stencil.Update()
    statistic = vtk.vtkImageAccumulate()
    statistic.SetInputData(image)
    statistic.SetStencilData(stencil.GetOutput())
    statistic.Update()
    return statistic, stencil


@dataclass
class SlicerStatistics:
    """Slicer's statistics of one segment.

    Attributes:
        voxels: voxel count under the CT.
        mean_hu: mean of the CT under the segment.
        accumulate_s: seconds of extraction, resampling, stencil and vtkImageAccumulate on the CT alone.
        total_s: seconds of both plugins.
    """

    voxels: int
    mean_hu: float
    accumulate_s: float
    total_s: float


def slicer_statistics(volume: object, segmentation: object, segment_id: str) -> SlicerStatistics:
    """Both default plugins of Segment Statistics for one segment."""
    begin = time.perf_counter()
    # Label map plugin.
    labelmap = slicer.vtkOrientedImageData()
    segmentation.GetBinaryLabelmapRepresentation(segment_id, labelmap)
    mask = binary_mask(labelmap)
    accumulate(mask, mask)
    # Scalar volume plugin.
    middle = time.perf_counter()
    reference = slicer.vtkOrientedImageData()
    reference.SetExtent(volume.GetImageData().GetExtent())
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    reference.SetGeometryFromImageToWorldMatrix(matrix)
    labelmap = slicer.vtkOrientedImageData()
    segmentation.GetBinaryLabelmapRepresentation(segment_id, labelmap)
    on_ct = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        labelmap, reference, on_ct, False, False, vtk.vtkGeneralTransform()
    )
    statistic, stencil = accumulate(volume.GetImageData(), binary_mask(on_ct))
    accumulated = time.perf_counter()
    percentiles = vtk.vtkImageHistogramStatistics()
    percentiles.SetInputData(volume.GetImageData())
    percentiles.SetStencilData(stencil.GetOutput())
    percentiles.SetAutoRangePercentiles(5, 95)
    percentiles.SetAutoRangeExpansionFactors(0, 0)
    percentiles.Update()
    end = time.perf_counter()
    return SlicerStatistics(int(statistic.GetVoxelCount()), statistic.GetMean()[0], accumulated - middle, end - begin)


def timed(function: object, repeats: int) -> list[float]:
    """Seconds of each of several calls."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return seconds


def stroke_times(
    session: HeadlessScene, live: LiveQuantification, strokes: int, segment_id: str
) -> dict[str, list[float]]:
    """Paint balls into a segment, each followed by an update."""
    rng = np.random.default_rng(7)
    shape = live.volume.GetImageData().GetDimensions()[::-1]
    radius = max(2, shape[1] // 50)
    others = [lobe.segment_id for lobe in LOBES]
    times: dict[str, list[float]] = {"edit": [], "update": []}
    for _ in range(strokes):
        center = [int(rng.uniform(*span) * size) for span, size in zip(STROKES_IN, shape, strict=True)]
        stroke = sphere(live.volume, center, radius)
        begin = time.perf_counter()
        session.segmentations.SetBinaryLabelmapToSegment(
            stroke,
            live.segmentation,
            segment_id,
            session.segmentations.MODE_MERGE_MASK,
            stroke.GetExtent(),
            False,
            others,
        )
        painted = time.perf_counter()
        live.update()
        times["edit"].append(painted - begin)
        times["update"].append(time.perf_counter() - painted)
    return times


def check_exact(live: LiveQuantification, ct: CTVolume) -> None:
    """The figures after all strokes are those of a full count of the exported arrays."""
    now = segmentation_of_node(live.segmentation, live.volume)
    full = JointHistogram.of(ct.hu, now.lobes, now.lesions, ct.geometry.voxel_volume_ml)
    if not np.array_equal(full.counts, live.histogram.counts):
        raise SystemExit("the live counts differ from a full count")


def run(shape: tuple[int, int, int], strokes: int, repeats: int) -> dict[str, float]:
    """All measurements; seconds (medians), ratios."""
    session = HeadlessScene()
    ct, result = make_chest(shape)
    volume = node_of_ct(session.scene, ct, "CT")
    segmentation = create_segmentation_node(session.scene, volume, result, "segmentation")
    segments = [lobe.segment_id for lobe in LOBES] + [LESION.segment_id]

    first = timed(lambda: LiveQuantification(volume, segmentation).close(), repeats)
    slicers = []
    for _ in range(repeats):
        each = [slicer_statistics(volume, segmentation, segment_id) for segment_id in segments]
        slicers.append((sum(s.total_s for s in each), sum(s.accumulate_s for s in each)))
    live = LiveQuantification(volume, segmentation)
    mean_hu = live.metrics.value("whole lung", "mean_lesion_hu")
    if abs(mean_hu - each[-1].mean_hu) > 1e-3:
        raise SystemExit(f"mean lesion HU {mean_hu} differs from Slicer's {each[-1].mean_hu}")
    lesion = stroke_times(session, live, strokes, LESION.segment_id)
    lobe = stroke_times(session, live, strokes, LOBES[0].segment_id)
    check_exact(live, ct)

    def switch() -> None:
        live.thresholds = DEFAULT_THRESHOLDS if live.thresholds != DEFAULT_THRESHOLDS else Thresholds(-700, -300)

    total, accumulated = (statistics.median(column) for column in zip(*slicers, strict=True))
    record = {
        "slicer_paints_lesion_s": statistics.median(lesion["edit"]),
        "slicer_paints_lobe_s": statistics.median(lobe["edit"]),
        "threshold_s": statistics.median(timed(switch, 10)),
        "figures_s": statistics.median(timed(lambda: compute_metrics(live.histogram), 10)),
        "slicer_statistics_s": total,
        "slicer_accumulate_s": accumulated,
    }
    for name, seconds in (("stroke_lesion", lesion["update"]), ("stroke_lobe", lobe["update"]), ("first_count", first)):
        record[f"{name}_s"] = statistics.median(seconds)
        record[f"{name}_best_s"] = min(seconds)
        record[f"{name}_worst_s"] = max(seconds)
        record[f"{name}_times_faster"] = total / record[f"{name}_s"]
        record[f"{name}_times_faster_than_accumulate"] = accumulated / record[f"{name}_s"]
    return record


ROWS = (
    ("lesion stroke → new table", "stroke_lesion"),
    ("lobe stroke → new table", "stroke_lobe"),
    ("first full count → table", "first_count"),
)


def show(record: dict[str, float], shape: tuple[int, int, int]) -> None:
    """Print the measurements as a table."""
    i, j, k = shape[2], shape[1], shape[0]
    print(f"{i}×{j}×{k} voxels, 6 segments; {platform.system()} {platform.machine()}, {os.cpu_count()} cores,")
    print(f"Python {platform.python_version()}, VTK {vtk.vtkVersion().GetVTKVersion()}, numpy {np.__version__}\n")
    print("Slicer's Segment Statistics (label map and scalar volume plugins, six segments)")
    both, alone = record["slicer_statistics_s"], record["slicer_accumulate_s"]
    print(f"  both plugins {both:.3f} s; of it vtkImageAccumulate on the CT with its stencil {alone:.3f} s\n")
    print(f"{'COVIDQuant':28}{'best':>12}{'median':>12}{'worst':>12}{'× faster':>12}{'× accumulate':>14}")
    for title, name in ROWS:
        seconds = [record[f"{name}{which}_s"] for which in ("_best", "", "_worst")]
        ratios = record[f"{name}_times_faster"], record[f"{name}_times_faster_than_accumulate"]
        print(
            f"{title:28}" + "".join(f"{1000 * s:>9.1f} ms" for s in seconds) + f"{ratios[0]:>12.0f}{ratios[1]:>14.0f}"
        )
    print(f"{'changed threshold → table':40}{1000 * record['threshold_s']:>9.1f} ms")
    print(f"{'figures from histogram':40}{1000 * record['figures_s']:>9.1f} ms")
    lesion, lobe = 1000 * record["slicer_paints_lesion_s"], 1000 * record["slicer_paints_lobe_s"]
    print(f"\nSlicer itself needs {lesion:.0f} ms to put the stroke into the pneumonia, {lobe:.0f} ms into a lobe.")
    print("Live counts equal a full recount; mean lesion HU equals Slicer's.")


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=3, default=(512, 512, 400), metavar=("I", "J", "K"))
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args(arguments)
    shape = (options.size[2], options.size[1], options.size[0])
    record = run(shape, options.strokes, options.repeats)
    show(record, shape)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


if __name__ == "__main__":
    main()
