"""The whole job on nodes: a CT node in, a segmentation node out."""

from __future__ import annotations

import json
from typing import Any

from COVIDQuantLib.ct.checks import HeaderFacts, check_ct
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.pipeline import quantify_ct
from COVIDQuantLib.progress import StagedProgress
from COVIDQuantLib.scene.segmentations import PROVENANCE_ATTRIBUTE, create_segmentation_node
from COVIDQuantLib.scene.volumes import ct_of_node


def quantify_volume(volume: Any, name: str, progress: StagedProgress | None = None) -> Any:
    """Find lobes and pneumonia on a CT node and return them as a new segmentation node of its scene.

    An earlier segmentation is left as it is. Nothing is added to the scene unless all of it succeeds.

    Args:
        volume: vtkMRMLScalarVolumeNode in HU.
        name: wished for the new node; numbered if the scene has it already.
        progress: told of the stages of ``pipeline.STAGES``; may raise ``Cancelled``.

    Raises:
        UnfitInputError: the CT cannot be quantified; says why.
    """
    ct = ct_of_node(volume)
    ct.warnings += check_ct(ct, HeaderFacts(volume.GetName()))
    exam = quantify_ct(ct, progress=progress)
    # The node keeps what was noticed on the CT too: figures made from it later need it.
    exam.segmentation.warnings = exam.warnings
    scene = volume.GetScene()
    return create_segmentation_node(scene, volume, exam.segmentation, scene.GenerateUniqueName(name))


def warnings_of_node(segmentation: Any) -> list[CTWarning]:
    """What was noticed on the CT and its segmentation when a segmentation node was made; survives the scene file."""
    record = json.loads(segmentation.GetAttribute(PROVENANCE_ATTRIBUTE) or "{}")
    return [CTWarning(warning["code"], warning["message"]) for warning in record.get("warnings", [])]
