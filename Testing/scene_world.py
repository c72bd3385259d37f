"""A small CT under edited segments, and a count of it that shares no code with COVIDQuantLib.scene."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from COVIDQuantLib.anatomy import LESION, LOBES
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.nodes.segmentations import create_segmentation_node
from COVIDQuantLib.scene.nodes.volumes import node_of_ct
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.terminology_text import serialize
from COVIDQuantLib.voxels.geometry import Geometry

SHAPE = (14, 18, 20)
LOBE_IDS = [lobe.segment_id for lobe in LOBES]
ALL_IDS = [*LOBE_IDS, LESION.segment_id]
LESION_ROLE = 6
ROLE_OF_TAG = {serialize(lobe.terminology): lobe.label for lobe in LOBES} | {serialize(LESION.terminology): LESION_ROLE}


def oblique(shape=SHAPE, spacing=(0.8, 0.7, 1.5)):
    """A grid turned about two axes."""
    a, b = 0.3, 0.2
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return Geometry(shape, spacing, (12.5, -40.0, 3.0), tuple((turn @ tilt).ravel()))


def random_ct(rng, geometry):
    """Noise over the whole range of CT numbers and beyond it."""
    hu = rng.integers(-1100, 500, geometry.shape).astype(np.int16)
    hu[rng.random(geometry.shape) < 0.02] = -2000
    hu[rng.random(geometry.shape) < 0.01] = 3500
    return hu


def slab_lobes(shape=SHAPE):
    """Five slabs along j."""
    lobes = np.zeros(shape, np.uint8)
    for n in range(5):
        lobes[1:-1, 2 + 3 * n : 5 + 3 * n, 2:-2] = n + 1
    return lobes


def role_map():
    """Segment ID → role, by the contract."""
    return {lobe.segment_id: lobe.label for lobe in LOBES} | {LESION.segment_id: LESION_ROLE}


def raw_node(scene, hu, geometry, name="CT"):
    """A volume node of values as they are, out of range or not."""
    volume = node_of_ct(scene, CTVolume(np.zeros(geometry.shape, np.int16), geometry), name)
    array_of(volume)[:] = hu
    volume.GetImageData().GetPointData().GetScalars().Modified()
    return volume


def array_of(volume):
    """View of a volume node's voxels."""
    image = volume.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


class World:
    """A scene with a CT, its segmentation node and what each segment is."""

    def __init__(self, seed=0, geometry=None):
        self.rng = np.random.default_rng(seed)
        self.session = HeadlessScene()
        self.scene = self.session.scene
        self.logic = self.session.segmentations
        self.geometry = geometry or oblique()
        self.volume = raw_node(self.scene, random_ct(self.rng, self.geometry), self.geometry)
        lobes = slab_lobes(self.geometry.shape)
        lesions = np.zeros(lobes.shape, bool)
        lesions[3:8, 4:12, 5:12] = True
        self.node = create_segmentation_node(self.scene, self.volume, Segmentation(lobes, lesions), "segmentation")
        self.roles = role_map()

    def role(self, segment_id):
        """What a segment is: by our ID, or by its tag, which undo also brings back."""
        tag = vtk.reference("")
        self.content.GetSegment(segment_id).GetTag("TerminologyEntry", tag)
        return self.roles.get(segment_id, ROLE_OF_TAG.get(str(tag)))

    @property
    def content(self):
        return self.node.GetSegmentation()

    @property
    def ids(self):
        return [self.content.GetNthSegmentID(n) for n in range(self.content.GetNumberOfSegments())]

    def labelmap(self, array, first=(0, 0, 0), spacing_scale=1.0, shift=(0, 0, 0)):
        """An oriented image of an array that begins at voxel ``first`` (k, j, i) of the CT's lattice."""
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(array.shape[::-1])
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        vtk_to_numpy(image.GetPointData().GetScalars())[:] = array.ravel()
        extent = []
        for axis in (2, 1, 0):
            extent += [first[axis], first[axis] + array.shape[axis] - 1]
        image.SetExtent(extent)
        matrix = vtk.vtkMatrix4x4()
        self.volume.GetIJKToRASMatrix(matrix)
        place = vtk.vtkMatrix4x4()
        for axis in range(3):
            place.SetElement(axis, axis, spacing_scale)
            place.SetElement(axis, 3, shift[axis])
        vtk.vtkMatrix4x4.Multiply4x4(matrix, place, matrix)
        image.SetGeometryFromImageToWorldMatrix(matrix)
        return image

    def ball(self, center, radius, value=1):
        """A ball of ``value`` in ``1 - value``."""
        line = np.arange(-radius, radius + 1)
        inside = line[:, None, None] ** 2 + line[None, :, None] ** 2 + line[None, None, :] ** 2 <= radius**2
        array = np.where(inside, value, 1 - value).astype(np.uint8)
        return self.labelmap(array, tuple(int(c) - radius for c in center))

    def paint(self, segment_id, image, mode, overwrite=()):
        return self.logic.SetBinaryLabelmapToSegment(
            image, self.node, segment_id, mode, image.GetExtent(), False, list(overwrite)
        )

    def add(self, segment_id, image, tag=None, name=None):
        """A segment of its own layer."""
        segment = slicer.vtkSegment()
        segment.SetName(name or segment_id)
        if tag:
            segment.SetTag("TerminologyEntry", tag)
        segment.AddRepresentation("Binary labelmap", image)
        self.content.AddSegment(segment, segment_id)

    def exported(self, segment_id):
        """A segment as Slicer resamples it to the CT, bool ``[k, j, i]``."""
        image = slicer.vtkOrientedImageData()
        self.node.GetBinaryLabelmapRepresentation(segment_id, image)
        if image.IsEmpty():
            return np.zeros(self.geometry.shape, bool)
        reference = slicer.vtkOrientedImageData()
        reference.SetExtent(self.volume.GetImageData().GetExtent())
        matrix = vtk.vtkMatrix4x4()
        self.volume.GetIJKToRASMatrix(matrix)
        reference.SetGeometryFromImageToWorldMatrix(matrix)
        transform = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
            self.node.GetParentTransformNode(), self.volume.GetParentTransformNode(), transform
        )
        out = slicer.vtkOrientedImageData()
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
            image, reference, out, False, False, transform
        )
        return vtk_to_numpy(out.GetPointData().GetScalars()).reshape(self.geometry.shape) != 0

    def recount(self):
        """Counts ``[6, 2, 4096]`` voxel by voxel, and voxels of more than one lobe."""
        lobes = np.zeros(self.geometry.shape, int)
        claims = np.zeros(self.geometry.shape, int)
        lesion = np.zeros(self.geometry.shape, bool)
        by_role = {}
        for segment_id in self.ids:
            role = self.role(segment_id)
            if role is not None:
                by_role[role] = by_role.get(role, False) | self.exported(segment_id)
        for role in sorted(by_role, reverse=True):
            if role == LESION_ROLE:
                lesion |= by_role[role]
            else:
                lobes[by_role[role]] = role
                claims += by_role[role]
        raw = array_of(self.volume).astype(float)
        counted = ((lobes > 0) | lesion) & (raw >= -1500)
        hu = np.clip(np.rint(raw), -1024, 3071).astype(int)
        counts = np.zeros((6, 2, 4096), np.int64)
        np.add.at(counts, (lobes[counted], lesion[counted].astype(int), hu[counted] + 1024), 1)
        return counts, int((claims > 1).sum())
