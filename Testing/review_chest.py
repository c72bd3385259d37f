"""A small chest for the tests of the review: two lungs, a heart between them, two domes, five lobes."""

import numpy as np

SPACING = (3.0, 3.0, 3.0)
SHAPE = (58, 54, 84)
LUNG_HU, TISSUE_HU, AIR_HU = -860, 40, -1000


def _bell(x, y, at_x, at_y, width):
    return np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * width**2))


class Chest:
    """Arrays ``[k, j, i]`` on voxels of ``spacing`` (k, j, i); x to the left, y to the back, z to the head, in mm.

    Attributes:
        x, y, z: position of every voxel.
        dome: height of the diaphragm ``[j, i]``.
        heart: signed distance (mm) to the heart's surface, negative inside.
        lobes: labels 0..5.
        hu: CT numbers without lesions.
    """

    def __init__(self, spacing=SPACING, shape=SHAPE, seed=3):
        self.spacing = spacing
        self.shape = shape
        lines = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing, strict=True)]
        self.z, self.y, self.x = np.meshgrid(*lines, indexing="ij", sparse=True)
        self.dome = (-55 + 34 * _bell(self.x, self.y, -62, 0, 34) + 28 * _bell(self.x, self.y, 66, 0, 32))[0]
        radius = np.sqrt(((self.x - 14) / 1.3) ** 2 + (self.y + 16) ** 2 + (self.z + 14) ** 2)
        self.heart = radius - 38.0
        right = ((self.x + 62) / 48) ** 2 + (self.y / 68) ** 2 + ((self.z + 20) / 96) ** 2 < 1
        left = ((self.x - 66) / 44) ** 2 + (self.y / 66) ** 2 + ((self.z + 20) / 94) ** 2 < 1
        inside = (self.z > self.dome) & (self.heart > 0)
        lower = self.z - 0.6 * self.y < -6
        self.lobes = np.zeros(shape, np.uint8)
        self.lobes[right & inside] = 1
        self.lobes[right & inside & (self.z < 10)] = 2
        self.lobes[right & inside & lower] = 3
        self.lobes[left & inside] = 4
        self.lobes[left & inside & lower] = 5
        body = (self.x / 124) ** 2 + (self.y / 79) ** 2 < 1
        noise = np.random.default_rng(seed).normal(0, 12, shape)
        hu = np.where(self.lobes > 0, LUNG_HU, np.where(body, TISSUE_HU, AIR_HU)) + noise
        self.hu = np.rint(hu).astype(np.int16)

    @property
    def lungs(self):
        return self.lobes > 0

    def ball(self, x, y, z, radius):
        """A ball of lung, bool."""
        return ((self.x - x) ** 2 + (self.y - y) ** 2 + (self.z - z) ** 2 < radius**2) & self.lungs

    def layer_on_diaphragm(self, thickness, side):
        """A layer of lung on one dome (``-1`` right, ``1`` left), bool."""
        above = self.z - self.dome
        return (above < thickness) & self.lungs & (side * self.x > 30) & (np.abs(self.y) < 36)

    def layer_at_heart(self, thickness):
        """A layer of the left lung along the heart, bool."""
        clear = self.z > np.maximum(self.dome + 14, -30)
        return (self.heart < thickness) & self.lungs & (self.x > 30) & clear & (self.z < 16)

    def painted(self, *masks_and_hu):
        """CT numbers with lesions: pairs of a mask and its mean HU."""
        hu = self.hu.astype(np.float32)
        for mask, value in masks_and_hu:
            hu += np.where(mask, value - LUNG_HU, 0)
        return np.rint(hu).astype(np.int16)
