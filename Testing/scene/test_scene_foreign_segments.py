"""Segments that other extensions made, on real MRML nodes: known by terminology, taken as given lobes."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
from scene_world import World, oblique, slab_lobes

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.pipeline import MODEL_FREE, Plan
from COVIDQuantLib.scene.given_lobes import given_lobes
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.segmentations import segmentation_of_node
from COVIDQuantLib.scene.nodes.segments import roles_of
from COVIDQuantLib.scene.nodes.volumes import node_of_ct
from COVIDQuantLib.scene.quantification_job import quantify_volume
from COVIDQuantLib.segment_roles import LESION_ROLE

# Rows of totalsegmentator_snomed_mapping.csv of the Slicer extension: name, codes of type, modifier, region; and what
# the segment is to us. The middle lobe has no side there.
ANATOMICAL, ALTERED = "SCT^123037004^Anatomical Structure", "SCT^49755003^Morphologically Altered Structure"
ROWS = (
    ("spleen", ANATOMICAL, "SCT^78961009^Spleen", "^^", "^^", 0),
    ("lung_upper_lobe_left", ANATOMICAL, "SCT^45653009^Upper lobe of lung", "SCT^7771000^Left", "^^", 4),
    ("lung_lower_lobe_left", ANATOMICAL, "SCT^90572001^Lower lobe of lung", "SCT^7771000^Left", "^^", 5),
    ("lung_upper_lobe_right", ANATOMICAL, "SCT^45653009^Upper lobe of lung", "SCT^24028007^Right", "^^", 1),
    ("lung_middle_lobe_right", ANATOMICAL, "SCT^72481006^Middle lobe of right lung", "^^", "^^", 2),
    ("lung_lower_lobe_right", ANATOMICAL, "SCT^90572001^Lower lobe of lung", "SCT^24028007^Right", "^^", 3),
    ("lung_left", ANATOMICAL, "SCT^39607008^Lung", "SCT^7771000^Left", "^^", 0),
    ("lung_right", ANATOMICAL, "SCT^39607008^Lung", "SCT^24028007^Right", "^^", 0),
    ("lung_vessels", ANATOMICAL, "SCT^59820001^Blood vessel", "^^", "SCT^39607008^Lung", 0),
)
INFILTRATE = (
    "lung_covid_infiltrate", ALTERED, "SCT^47351003^Infiltrate", "SCT^840539006^COVID-19", "SCT^39607008^Lung",
    LESION_ROLE,
)  # fmt: skip


def entry(row, context="Segmentation category and type - DICOM master list"):
    """A terminology entry as the extension writes it, which ends in a bar."""
    _, category, kind, modifier, region, _ = row
    return f"{context}~{category}~{kind}~{modifier}~Anatomic codes - DICOM master list~{region}~^^|"


def foreign_node(world, labels, rows=ROWS):
    """A segmentation node as another extension makes it: a layer for each segment, IDs and order of its own."""
    node = world.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "CT segmentation")
    node.SetReferenceImageGeometryParameterFromVolumeNode(world.volume)
    world.node = node
    for number, row in enumerate(rows):
        mask = labels == row[-1] if row[-1] else labels != 0
        world.add(f"Segment_{number + 1}", world.labelmap(mask.astype(np.uint8)), entry(row), row[0])
    return node


@pytest.fixture
def world():
    return World(31)


def test_every_segment_is_what_its_codes_say(world):
    node = foreign_node(world, slab_lobes(), (*ROWS, INFILTRATE))
    roles = roles_of(node.GetSegmentation())
    names = {node.GetSegmentation().GetSegment(segment_id).GetName(): role for segment_id, role in roles.items()}
    assert names == {row[0]: row[-1] for row in (*ROWS, INFILTRATE) if row[-1]}


def test_slicer_reads_the_entries_as_we_do(world):
    """Slicer's own parser is the judge of what the text says."""
    for row in (*ROWS, INFILTRATE):
        parsed = slicer.vtkSlicerTerminologyEntry()
        logic = slicer.vtkSlicerTerminologiesModuleLogic()
        assert logic.DeserializeTerminologyEntry(entry(row).rstrip("|"), parsed)
        kind = row[2].split("^")
        assert [parsed.GetTypeObject().GetCodingSchemeDesignator(), parsed.GetTypeObject().GetCodeValue()] == kind[:2]


def test_foreign_lobes_are_given_lobes(world):
    lobes = slab_lobes()
    masks, warnings = given_lobes(foreign_node(world, lobes), world.volume)
    assert np.array_equal(masks.lobes, lobes)
    assert masks.sources == {"lobes": "CT segmentation"}
    assert warnings == []


def test_figures_are_those_of_our_own_segments(world):
    own_node = world.node
    node = foreign_node(world, slab_lobes())
    own = LiveQuantification(world.volume, own_node)
    live = LiveQuantification(world.volume, node)
    for lobe in LOBES:
        assert live.metrics.value(lobe.name, "volume_ml") > 0
        assert live.metrics.value(lobe.name, "volume_ml") == pytest.approx(own.metrics.value(lobe.name, "volume_ml"))


def test_a_foreign_infiltrate_is_the_pneumonia(world):
    labels = slab_lobes()
    labels[4:7, 6:9, 6:9] = LESION_ROLE
    node = foreign_node(world, labels, (*ROWS, INFILTRATE))
    assert np.array_equal(segmentation_of_node(node, world.volume).lesions, labels == LESION_ROLE)


@pytest.mark.parametrize("gone", [row for row in ROWS if row[-1]], ids=lambda row: row[0])
def test_a_missing_lobe_is_named(world, gone):
    node = foreign_node(world, slab_lobes(), [row for row in ROWS if row is not gone])
    lobe = next(lobe for lobe in LOBES if lobe.label == gone[-1])
    with pytest.raises(UnfitInputError, match=f"no segment is known as {lobe.name}"):
        given_lobes(node, world.volume)


def test_names_alone_make_no_lobe(world):
    node = foreign_node(world, slab_lobes())
    content = node.GetSegmentation()
    for index in range(content.GetNumberOfSegments()):
        content.GetNthSegment(index).SetTag("TerminologyEntry", "")
    with pytest.raises(UnfitInputError, match=LOBES[0].name):
        given_lobes(node, world.volume)


def test_lobes_on_a_coarser_grid_are_given_with_a_warning():
    """TotalSegmentator's fast mode works at 3 mm; a reader may bring its file along."""
    world = World(32, oblique(spacing=(1.0, 1.0, 1.0)))
    lobes = slab_lobes()
    node = world.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "fast")
    world.node = node
    coarse = lobes[::2, ::2, ::2]
    for number, row in enumerate(row for row in ROWS if row[-1]):
        image = world.labelmap((coarse == row[-1]).astype(np.uint8), spacing_scale=2.0)
        world.add(f"Segment_{number}", image, entry(row), row[0])
    masks, warnings = given_lobes(node, world.volume)
    assert "segment-off-grid" in [warning.code for warning in warnings]
    assert masks.lobes.shape == lobes.shape
    assert set(np.unique(masks.lobes)) == set(range(6))


def test_a_ct_is_quantified_in_foreign_lobes(once):
    world = World(33)
    phantom = once.phantom(seed=1, thickness_mm=10.0, matrix=64, extent_percent=10.0)
    world.volume = node_of_ct(world.scene, phantom.ct, "CT")
    foreign = foreign_node(world, phantom.lobes)
    node = quantify_volume(world.volume, "CT pneumonia", plan=Plan(MODEL_FREE), lobes_from=foreign)
    result = segmentation_of_node(node, world.volume)
    assert np.array_equal(result.lobes, phantom.lobes)
    assert result.lesions.any()
    assert result.provenance["lobes"] == {"method": "given", "source": "CT segmentation"}
    assert foreign.GetSegmentation().GetNumberOfSegments() == len(ROWS)
    nodes = world.scene.GetNumberOfNodes()
    foreign.GetSegmentation().RemoveSegment(foreign.GetSegmentation().GetNthSegmentID(1))
    with pytest.raises(UnfitInputError, match="left upper lobe"):
        quantify_volume(world.volume, "x", lobes_from=foreign)
    assert world.scene.GetNumberOfNodes() == nodes
