"""The whole job on nodes: a CT node in, a segmentation node out, at once or beside the application."""

from __future__ import annotations

import json
from typing import Any

from COVIDQuantLib.ct.checks.run import HeaderFacts, check_ct
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.pipeline import GivenMasks, Plan, plan_for_here, quantify_ct
from COVIDQuantLib.progress import ProgressState, StagedProgress
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.scene.given_lobes import given_lobes
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of
from COVIDQuantLib.scene.nodes.result_links import VOLUME_ROLE, link
from COVIDQuantLib.scene.nodes.segmentations import PROVENANCE_ATTRIBUTE, create_segmentation_node
from COVIDQuantLib.scene.nodes.volumes import ct_of_node
from COVIDQuantLib.scene.review.ai_result import keep_original
from COVIDQuantLib.scene.review.result_checks import keep_checks
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.worker.worker import Worker


def quantify_volume(
    volume: Any,
    name: str,
    progress: StagedProgress | None = None,
    plan: Plan | None = None,
    lobes_from: Any = None,
) -> Any:
    """Find lobes and pneumonia on a CT node and return them as a new segmentation node of its scene.

    An earlier segmentation is left as it is. Nothing is added to the scene unless all of it succeeds.

    Args:
        volume: vtkMRMLScalarVolumeNode in HU.
        name: wished for the new node; numbered if the scene has it already.
        progress: told of the stages of the plan; may raise ``Cancelled``.
        plan: how lungs, lobes and lesions are found; None for networks where they are installed.
        lobes_from: a vtkMRMLSegmentationNode whose lobes are used instead of finding them (TotalSegmentator's, say).

    Raises:
        UnfitInputError: the CT cannot be quantified, or a lobe is missing among the given; says why.
    """
    ct, given = _checked_ct(volume, lobes_from)
    plan = _settled(plan, ct)
    return _add_segmentation(volume, name, ct, quantify_ct(ct, given, progress=progress, plan=plan).segmentation)


class VolumeJob:
    """:func:`quantify_volume` in a worker's process, while the application goes on.

    Ask :meth:`poll` from a timer; cancel when the scene closes. The scene is touched only by the poll that finds the
    job done.

    Args:
        volume: vtkMRMLScalarVolumeNode in HU; its voxels are copied.
        name: wished for the new node; numbered if the scene has it already.
        worker: does the job; it may serve many.
        plan: how lungs, lobes and lesions are found; None for networks where they are installed.
        lobes_from: as for :func:`quantify_volume`; copied.

    Raises:
        UnfitInputError: the CT cannot be quantified; says why.
        WorkerError: the process cannot be started.
    """

    def __init__(
        self, volume: Any, name: str, worker: Worker, plan: Plan | None = None, lobes_from: Any = None
    ) -> None:
        self._volume = volume
        self._scene = volume.GetScene()
        self._name = name
        self._ct, given = _checked_ct(volume, lobes_from)
        self._job = worker.submit(self._ct, given, _settled(plan, self._ct))
        self._node: Any = None

    def poll(self) -> tuple[ProgressState | None, Any]:
        """How far it is and no node, or no progress and the new segmentation node; never waits for the worker.

        Raises:
            UnfitInputError: the CT cannot be quantified, or has gone or moved since; says why.
            Cancelled: it was.
            WorkerError: the process ended or failed.
        """
        if self._node is None:
            state = self._job.poll()
            if not isinstance(state, Segmentation):
                return state, None
            self._refuse_if_changed()
            self._node = _add_segmentation(self._volume, self._name, self._ct, state)
        return None, self._node

    def cancel(self) -> None:
        """End it; nothing is added to the scene. A job that is over stays as it is."""
        self._job.cancel()

    def _refuse_if_changed(self) -> None:
        remedy = "Quantify again."
        if not self._scene.IsNodePresent(self._volume):
            raise UnfitInputError("the CT was removed while it was quantified", self._volume.GetName(), remedy)
        if not geometry_of(self._volume).same_grid(self._ct.geometry):
            raise UnfitInputError("the CT was moved while it was quantified", self._volume.GetName(), remedy)


def _checked_ct(volume: Any, lobes_from: Any) -> tuple[CTVolume, GivenMasks]:
    ct = ct_of_node(volume)
    ct.warnings += check_ct(ct, HeaderFacts(volume.GetName()))
    if lobes_from is None:
        return ct, GivenMasks()
    given, warnings = given_lobes(lobes_from, volume)
    ct.warnings += warnings
    return ct, given


def _settled(plan: Plan | None, ct: CTVolume) -> Plan:
    """The caller's plan, or the best that can run here; what is missing is noted on the CT."""
    if plan is not None:
        return plan
    plan, notices = plan_for_here()
    ct.warnings += notices
    return plan


def _add_segmentation(volume: Any, name: str, ct: CTVolume, segmentation: Segmentation) -> Any:
    # The node keeps what was noticed on the CT too: figures made from it later need it.
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
    """What was noticed on the CT and its segmentation when a segmentation node was made; survives the scene file."""
    record = json.loads(segmentation.GetAttribute(PROVENANCE_ATTRIBUTE) or "{}")
    return [CTWarning(warning["code"], warning["message"]) for warning in record.get("warnings", [])]
