"""A site's folder of small chests with masks, made in a moment: what the tests of training work on."""

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.voxels.geometry import Geometry

SHAPE = (16, 48, 48)
SPACING = (6.0, 6.0, 8.0)  # i, j, k


def chest(seed, lesions=3):
    """CT numbers, lungs (1 right, 2 left) and lesions of a made chest, [k, j, i]."""
    rng = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    body = ((j - 24) / 17) ** 2 + ((i - 24) / 22) ** 2 < 1
    lungs = np.zeros(SHAPE, np.uint8)
    for value, middle in ((1, 14.5 + rng.uniform(-1, 1)), (2, 33.5 + rng.uniform(-1, 1))):
        lungs[((k - 8) / 6.5) ** 2 + ((j - 24) / 12) ** 2 + ((i - middle) / 7) ** 2 < 1] = value
    ill = np.zeros(SHAPE, bool)
    inside = np.argwhere(lungs)
    for _ in range(lesions):
        a, b, c = inside[rng.integers(len(inside))]
        ill |= (((k - a) * 8) ** 2 + ((j - b) * 6) ** 2 + ((i - c) * 6) ** 2 < rng.uniform(14, 26) ** 2) & (lungs > 0)
    hu = np.where(body, 40.0, -1000.0)
    hu[lungs > 0] = -850
    hu[ill] = -450
    return np.rint(hu + rng.normal(0, 20, SHAPE)).astype(np.int16), lungs, ill


def write(path, array, origin=(0.0, 0.0, 0.0)):
    sitk.WriteImage(Geometry(SHAPE, SPACING, origin).to_image(array), str(path), useCompression=True)


def make_case(folder, seed, lesions=3, lungs=True, ending=".nrrd"):
    hu, lung_mask, ill = chest(seed, lesions)
    folder.mkdir(parents=True)
    write(folder / f"ct{ending}", hu)
    write(folder / f"lesions{ending}", ill.astype(np.uint8))
    if lungs:
        write(folder / f"lungs{ending}", lung_mask)
    return folder


def make_site(folder, cases=5):
    for number in range(cases):
        make_case(folder / f"p{number}_scan", seed=number, lesions=0 if number == 1 else 3)
    return folder


def recipe(**changes):
    """A recipe for such a site; changes by path: training__epochs=3."""
    document = {
        "format": 1,
        "name": "tiny",
        "description": "A tiny network for tests.",
        "task": "lesions",
        "network": {"architecture": "yoo-unet-2d", "settings": {"width": 2}},
        "input": {"pixel_mm": 8.0},
        "data": {"shares": {"train": 0.6, "tune": 0.2, "validate": 0.2}, "negatives_per_positive": 1},
        "training": {"loss": "dice-bce", "learning_rate": 0.02, "batch_size": 6, "epochs": 2, "seed": 3},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = document
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return document
