"""Quantification of a CT node to a new segmentation node, blocking or in the background."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from COVIDQuantLib.ct.checks.run import HeaderFacts, check_ct
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import Cancelled, UnfitInputError
from COVIDQuantLib.pipeline import GivenMasks, Plan, plan_for_here, quantify_ct
from COVIDQuantLib.progress import ProgressState, StagedProgress
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.scene.given_lobes import given_lobes
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of
from COVIDQuantLib.scene.nodes.result_links import VOLUME_ROLE, link
from COVIDQuantLib.scene.nodes.segmentations import (
    PROVENANCE_ATTRIBUTE,
    create_segmentation_node,
    labelmap_in_pieces,
    node_of_labelmaps,
    write_provenance,
)
from COVIDQuantLib.scene.nodes.volumes import ct_of_node, source_of_node, world_of_voxel
from COVIDQuantLib.scene.piecewise_copy import PIECE_SECONDS, EditedError, VoxelCopy
from COVIDQuantLib.scene.review.ai_result import keep_original, keep_original_text
from COVIDQuantLib.scene.review.result_checks import keep_checks
from COVIDQuantLib.scene.volume_fitness import refuse_unfit
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.jobs.segment import PlacedPart, SegmentedForScene
from COVIDQuantLib.worker.worker import ROOM_FOR_TEXT, Job, Worker


def quantify_volume(
    volume: Any,
    name: str,
    progress: StagedProgress | None = None,
    plan: Plan | None = None,
    lobes_from: Any = None,
) -> Any:
    """Find lobes and pneumonia on a CT node and return them as a new segmentation node of its scene.

    An earlier segmentation is not changed. Nothing is added to the scene unless everything succeeds.

    Args:
        volume: vtkMRMLScalarVolumeNode in HU.
        name: for the new node; made unique by a number if necessary.
        progress: reports the stages of the plan; may raise ``Cancelled``.
        plan: how lungs, lobes and lesions are found; None for networks if they are installed.
        lobes_from: a vtkMRMLSegmentationNode whose lobes are used instead of finding them (e.g. TotalSegmentator's).

    Raises:
        UnfitInputError: the CT cannot be quantified, or one of the given lobes is missing; says why.
    """
    ct, given = _checked_ct(volume, lobes_from)
    plan = _settled(plan, ct)
    return _add_segmentation(volume, name, ct, quantify_ct(ct, given, progress=progress, plan=plan).segmentation)


@dataclass(frozen=True)
class Taken:
    """A quantification's result in the scene.

    Attributes:
        segmentation: the new vtkMRMLSegmentationNode, hidden until whoever takes it up shows it.
        counts: its counts, by which its figures are known without a pass over the voxels; None if the CT was changed
            meanwhile.
        place: RAS position (mm) where most of the pneumonia is, else most of the lung; None without lungs.
    """

    segmentation: Any
    counts: np.ndarray | None
    place: tuple[float, float, float] | None


class VolumeJob:
    """:func:`quantify_volume` in a worker process, without blocking the application.

    Call :meth:`poll` from a timer; cancel when the scene closes. The CT is copied, and the result taken into the scene,
    in pieces of a few hundredths of a second, one per poll. The scene is modified only by polls that follow the job's
    end.

    Args:
        volume: vtkMRMLScalarVolumeNode in HU; its voxels are copied.
        name: for the new node; made unique by a number if necessary.
        worker: runs the job; may be shared.
        plan: how lungs, lobes and lesions are found; None for networks if they are installed.
        lobes_from: as for :func:`quantify_volume`; copied at once.

    Raises:
        UnfitInputError: the CT is none; says why. What takes a pass over its voxels is checked by the job.
        WorkerError: the process cannot be started.
    """

    def __init__(
        self, volume: Any, name: str, worker: Worker, plan: Plan | None = None, lobes_from: Any = None
    ) -> None:
        refuse_unfit(volume)
        self._volume = volume
        self._scene = volume.GetScene()
        self._name = name
        self._worker = worker
        self._notices: list[CTWarning] = []
        given = GivenMasks()
        if lobes_from is not None:
            given, self._notices = given_lobes(lobes_from, volume)
        if plan is None:
            plan, notices = plan_for_here()
            self._notices += notices
        self._copy = VoxelCopy(volume)
        self._arguments = {
            "geometry": self._copy.geometry,
            "source": source_of_node(volume),
            "name": volume.GetName(),
            "given": given,
            "plan": plan,
        }
        # It imports what it needs while the CT is copied.
        worker.start()
        self._shared: SharedArguments | None = None
        self._job: Job | None = None
        self._pieces: Iterator[Taken | None] | None = None
        self._taken: Taken | None = None
        self._cancelled = False

    def poll(self) -> tuple[ProgressState | None, Taken | None]:
        """The progress and None, or None and what was taken into the scene; holds the window for one piece.

        Raises:
            UnfitInputError: the CT cannot be quantified, or was removed or moved; says why.
            Cancelled: the job was cancelled.
            WorkerError: the process ended or failed.
        """
        if self._cancelled:
            raise Cancelled
        if self._taken is not None:
            return None, self._taken
        if self._job is None:
            self._copy_piece()
            return ProgressState("waiting", 0.0, None), None
        if self._pieces is None:
            state = self._job.poll()
            if isinstance(state, ProgressState):
                return state, None
            self._pieces = self._take(state)
        self._taken = next(self._pieces)
        return (None, self._taken) if self._taken is not None else (ProgressState("figures", 1.0, None), None)

    def cancel(self) -> None:
        """Cancel the job; nothing is added to the scene. A job that is over does not change."""
        if self._taken is not None:
            return
        self._cancelled = True
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.free()
        if self._job is None:
            self._worker.rest()
        else:
            self._job.cancel()

    def _copy_piece(self) -> None:
        if self._shared is None:
            blank = self._copy.blank()
            self._shared = SharedArguments(blank, self._arguments, room=ROOM_FOR_TEXT, at_once=False)
        if not self._shared.prepare(PIECE_SECONDS):
            return
        try:
            copied = self._copy.copy(self._shared)
        except EditedError:
            self._refuse_if_changed()
            raise
        if copied:
            shared, self._shared = self._shared, None
            self._job = self._worker.submit_copied(shared)

    def _take(self, found: SegmentedForScene) -> Iterator[Taken | None]:
        """Take the result into the scene, a piece at a time; None until everything is there."""
        self._refuse_if_changed()
        labelmaps: list[Any] = []
        for part in (found.lobes, found.lesions):
            for made in _labelmap_in_pieces(self._volume, part):
                if made is not None:
                    labelmaps.append(made)
                yield None
                self._refuse_if_changed()
        counts = JointHistogram(self._copy.geometry.voxel_volume_ml, found.counts)
        name = self._scene.GenerateUniqueName(self._name)
        node = node_of_labelmaps(self._scene, self._volume, labelmaps[0], labelmaps[1], name)
        # The node keeps the CT's warnings too, for figures computed from it later.
        write_provenance(node, found.provenance, [*self._notices, *found.warnings])
        link(node, VOLUME_ROLE, self._volume)
        keep_original_text(node, found.kept, counts)
        keep_checks(node, found.checks, counts)
        place = None if found.place is None else world_of_voxel(self._volume, found.place)
        yield Taken(node, found.counts if self._copy.stands else None, place)

    def _refuse_if_changed(self) -> None:
        remedy = "Quantify again."
        if not self._scene.IsNodePresent(self._volume):
            raise UnfitInputError("the CT was removed while it was quantified", self._volume.GetName(), remedy)
        if not geometry_of(self._volume).same_grid(self._copy.geometry):
            raise UnfitInputError("the CT was moved while it was quantified", self._volume.GetName(), remedy)


def _labelmap_in_pieces(volume: Any, part: PlacedPart | None) -> Iterator[Any]:
    if part is None:
        return labelmap_in_pieces(volume, None)
    return labelmap_in_pieces(volume, part.labels, part.start)


def _checked_ct(volume: Any, lobes_from: Any) -> tuple[CTVolume, GivenMasks]:
    ct = ct_of_node(volume)
    ct.warnings += check_ct(ct, HeaderFacts(volume.GetName()))
    if lobes_from is None:
        return ct, GivenMasks()
    given, warnings = given_lobes(lobes_from, volume)
    ct.warnings += warnings
    return ct, given


def _settled(plan: Plan | None, ct: CTVolume) -> Plan:
    """The caller's plan, or the best one that can run here; missing packages become a warning of the CT."""
    if plan is not None:
        return plan
    plan, notices = plan_for_here()
    ct.warnings += notices
    return plan


def _add_segmentation(volume: Any, name: str, ct: CTVolume, segmentation: Segmentation) -> Any:
    # The node keeps the CT's warnings too, for figures computed from it later.
    segmentation.warnings = [*ct.warnings, *segmentation.warnings]
    scene = volume.GetScene()
    node = create_segmentation_node(scene, volume, segmentation, scene.GenerateUniqueName(name))
    link(node, VOLUME_ROLE, volume)
    lobes, lesions = segmentation.lobes, segmentation.lesions
    counts = JointHistogram.of(ct.hu, lobes, lesions, ct.geometry.voxel_volume_ml, ct.padding)
    keep_original(node, lobes, lesions.astype(bool, copy=False), counts)
    keep_checks(node, segmentation.checks, counts)
    return node


def warnings_of_node(segmentation: Any) -> list[CTWarning]:
    """Warnings about the CT and its segmentation from when the segmentation node was created; saved with the scene."""
    record = json.loads(segmentation.GetAttribute(PROVENANCE_ATTRIBUTE) or "{}")
    return [CTWarning(warning["code"], warning["message"]) for warning in record.get("warnings", [])]
