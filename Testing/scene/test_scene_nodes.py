"""Volume, segmentation and table nodes: values, places, names, codes and display are what the contract says."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("slicer")

import slicer
import vtk
from scene_world import LOBE_IDS, SHAPE, World, array_of, oblique, raw_node, slab_lobes
from vtk.util.numpy_support import numpy_to_vtk

from COVIDQuantLib.anatomy import COVID_19, LEFT, LESION, LOBES, MIDDLE_LOBE, REGIONS, RIGHT, UPPER_LOBE, Terminology
from COVIDQuantLib.ct.hu_normalisation import HUBuffer
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.resources import resource_path
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of, parent_to_world
from COVIDQuantLib.scene.nodes.segmentations import create_segmentation_node, segmentation_of_node, show_3d
from COVIDQuantLib.scene.nodes.volumes import ct_of_node, node_of_ct, whole_hu
from COVIDQuantLib.segment_roles import LESION_ROLE, NO_ROLE, role_of
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.terminology import dictionary
from COVIDQuantLib.terminology_text import CATEGORY_CONTEXT, serialize
from COVIDQuantLib.voxels.geometry import Geometry


@pytest.fixture
def scene():
    session = HeadlessScene()
    yield session.scene
    session.scene.Clear()


def linear_transform(scene, matrix):
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    vtk_matrix = vtk.vtkMatrix4x4()
    vtk_matrix.DeepCopy(np.asarray(matrix, float).ravel())
    node.SetMatrixTransformToParent(vtk_matrix)
    return node


def test_ct_keeps_values_place_and_padding_through_a_node(scene):
    values = np.random.default_rng(1).integers(-1024, 3072, SHAPE).astype(np.int16)
    values[:2] = -3024
    ct = CTVolume.from_values(values, oblique())
    back = ct_of_node(node_of_ct(scene, ct, "CT"))
    assert np.array_equal(back.hu, ct.hu)
    assert np.array_equal(back.padding, ct.padding)
    assert back.geometry.same_grid(ct.geometry, 1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["float32", "float64", "int32"]))
def test_a_node_and_a_file_hold_the_same_hu(seed, kind):
    rng = np.random.default_rng(seed)
    values = rng.uniform(-2500, 5000, SHAPE)
    if kind != "int32":
        odd = rng.random(SHAPE)
        values[odd < 0.05], values[odd > 0.95], values[(odd > 0.9) & (odd < 0.95)] = np.nan, np.inf, -np.inf
    values = values.astype(kind)
    buffer = HUBuffer(SHAPE)
    for k, section in enumerate(values):
        buffer.put(k, section)
    whole = CTVolume.from_values(values, oblique())
    assert np.array_equal(whole.hu, buffer.hu)
    assert np.array_equal(whole.padding, buffer.padding)
    rounded, padding = whole_hu(values)
    assert np.array_equal(padding, buffer.padding)
    assert np.array_equal(np.where(padding, -1024, rounded.clip(-1024, 3071)), buffer.hu)


def test_int16_voxels_are_viewed_not_copied(scene):
    volume = node_of_ct(scene, CTVolume(np.zeros(SHAPE, np.int16), oblique()), "CT")
    assert np.shares_memory(ct_of_node(volume).hu, array_of(volume))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_any_number_type_gives_whole_hu(scene, dtype):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    values = (np.random.default_rng(2).random(SHAPE) * 200).astype(dtype)
    image = vtk.vtkImageData()
    image.SetDimensions(SHAPE[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
    volume.SetAndObserveImageData(image)
    ct = ct_of_node(volume)
    assert ct.hu.dtype == np.int16
    assert np.array_equal(ct.hu, np.rint(values))


def test_live_counts_of_float_ct_are_those_of_the_rounded_ct(scene):
    world = World(5)
    raw = array_of(world.volume).astype(np.float32) + np.float32(0.3)
    raw[3, 4, 5:9] = np.nan
    world.volume.GetImageData().GetPointData().SetScalars(numpy_to_vtk(raw.ravel(), deep=True))
    live = LiveQuantification(world.volume, world.node)
    ct = ct_of_node(world.volume)
    result = segmentation_of_node(world.node, world.volume)
    inside = ((result.lobes > 0) | result.lesions) & ~ct.padding
    assert live.histogram.counts.sum() == inside.sum()
    assert live.histogram.counts.sum(axis=(0, 1)).nonzero()[0].max() == ct.hu[inside].max() + 1024


def test_parent_transform_moves_the_ct(scene):
    ct = CTVolume(np.zeros(SHAPE, np.int16), oblique())
    volume = node_of_ct(scene, ct, "CT")
    # Half a turn about the z axis and a shift, in RAS.
    volume.SetAndObserveTransformNodeID(
        linear_transform(scene, [[-1, 0, 0, 5], [0, -1, 0, -7], [0, 0, 1, 2], [0, 0, 0, 1]]).GetID()
    )
    moved = geometry_of(volume)
    before = ct.geometry.index_to_lps @ [3, 4, 5, 1]
    after = moved.index_to_lps @ [3, 4, 5, 1]
    assert after[:3] == pytest.approx([-before[0] - 5, -before[1] + 7, before[2] + 2])
    assert moved.voxel_volume_ml == pytest.approx(ct.geometry.voxel_volume_ml)


def test_sheared_and_bent_grids_are_refused_with_a_remedy(scene):
    volume = node_of_ct(scene, CTVolume(np.zeros(SHAPE, np.int16), oblique()), "tilted CT")
    volume.SetAndObserveTransformNodeID(
        linear_transform(scene, [[1, 0.4, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).GetID()
    )
    with pytest.raises(UnfitInputError, match=r"tilted CT: .*sheared.*Harden"):
        ct_of_node(volume)
    bend = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    moved = vtk.vtkPoints()
    for n, (x, y, z) in enumerate([(0, 0, 0), (10, 0, 0), (0, 10, 0), (0, 0, 10), (9, 9, 9)]):
        points.InsertNextPoint(x, y, z)
        moved.InsertNextPoint(x, y, z + n * n)
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(moved)
    bend.SetAndObserveTransformToParent(spline)
    volume.SetAndObserveTransformNodeID(bend.GetID())
    with pytest.raises(UnfitInputError, match=r"bends space.*Harden"):
        parent_to_world(volume)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]],
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, float("nan"), 0], [0, 0, 0, 1]],
    ],
    ids=["an axis lost", "two axes the same", "no number"],
)
def test_a_transform_without_an_inverse_is_refused(scene, rows):
    volume = node_of_ct(scene, CTVolume(np.zeros(SHAPE, np.int16), oblique()), "flat CT")
    volume.SetAndObserveTransformNodeID(linear_transform(scene, rows).GetID())
    for look in (ct_of_node, parent_to_world):
        with pytest.raises(UnfitInputError, match=r"flat CT: .*no inverse.*\[singular-transform\]"):
            look(volume)


def test_a_small_scale_is_no_fault(scene):
    volume = node_of_ct(scene, CTVolume(np.zeros(SHAPE, np.int16), oblique()), "small CT")
    rows = (np.diag([1e-6, 1e-6, 1e-6, 1.0])).tolist()
    volume.SetAndObserveTransformNodeID(linear_transform(scene, rows).GetID())
    assert np.allclose(parent_to_world(volume)[:3, :3], np.eye(3) * 1e-6)


def test_empty_and_colour_volumes_are_refused(scene):
    with pytest.raises(UnfitInputError, match="no voxels"):
        ct_of_node(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    image = vtk.vtkImageData()
    image.SetDimensions(3, 3, 3)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colour.SetAndObserveImageData(image)
    with pytest.raises(UnfitInputError, match=r"photo: .*3 numbers per voxel"):
        ct_of_node(colour)


def test_segments_have_the_contracts_identity():
    world = World(6)
    assert world.ids == [*LOBE_IDS, LESION.segment_id]
    assert world.content.GetNumberOfLayers() == 2
    assert len({world.content.GetLayerIndex(segment_id) for segment_id in LOBE_IDS}) == 1
    for kind in (*LOBES, LESION):
        segment = world.content.GetSegment(kind.segment_id)
        assert segment.GetName() == kind.name
        assert segment.GetColor() == pytest.approx(kind.colour)
    assert world.node.GetNodeReference("referenceImageGeometryRef") is world.volume


def test_segmentation_comes_back_as_it_went_in():
    world = World(7)
    rng = np.random.default_rng(7)
    lobes, lesions = rng.integers(0, 6, SHAPE).astype(np.uint8), rng.random(SHAPE) < 0.3
    result = Segmentation(lobes, lesions, {"lobes": {"method": "model-free"}}, [CTWarning("x", "said")])
    node = create_segmentation_node(world.scene, world.volume, result, "again")
    back = segmentation_of_node(node, world.volume)
    assert np.array_equal(back.lobes, lobes)
    assert np.array_equal(back.lesions, lesions)
    assert back.provenance == result.provenance
    assert back.warnings == result.warnings


def test_segmentation_follows_a_transformed_ct():
    world = World(8)
    turn = linear_transform(world.scene, [[0, -1, 0, 5], [1, 0, 0, -7], [0, 0, 1, 2], [0, 0, 0, 1]])
    world.volume.SetAndObserveTransformNodeID(turn.GetID())
    result = Segmentation(slab_lobes(), slab_lobes() == 2)
    node = create_segmentation_node(world.scene, world.volume, result, "turned")
    live = LiveQuantification(world.volume, node)
    assert live.warnings() == []
    assert np.array_equal(segmentation_of_node(node, world.volume).lobes, result.lobes)


def test_wrong_shape_is_refused():
    world = World(9)
    small = Segmentation(np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 2), bool))
    with pytest.raises(UnfitInputError, match="shape"):
        create_segmentation_node(world.scene, world.volume, small, "small")


def test_empty_result_makes_segments_that_can_be_painted():
    world = World(10)
    nothing = Segmentation(np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool))
    world.node = create_segmentation_node(world.scene, world.volume, nothing, "nothing")
    live = LiveQuantification(world.volume, world.node)
    assert live.metrics.value("whole lung", "volume_ml") == 0
    world.paint("pneumonia", world.ball((5, 5, 5), 2), world.logic.MODE_MERGE_MAX)
    live.update()
    assert live.metrics.value("outside lobes", "lesion_volume_ml") > 0


def test_lesion_is_drawn_over_lobes_and_3d_is_on_request():
    world = World(11)
    display = world.node.GetDisplayNode()
    assert display.GetVisibility()
    assert not display.GetVisibility3D()
    assert not world.content.ContainsRepresentation("Closed surface")
    assert world.content.GetSegmentIndex(LESION.segment_id) == len(LOBES)
    fill = [display.GetSegmentOpacity2DFill(segment_id) for segment_id in world.ids]
    assert all(0 < lobe < fill[-1] for lobe in fill[:-1])
    show_3d(world.node, visible=True)
    surface = vtk.vtkPolyData()
    assert world.node.GetClosedSurfaceRepresentation("pneumonia", surface)
    assert surface.GetNumberOfPoints() > 0
    assert display.GetVisibility3D()
    show_3d(world.node, visible=False)
    assert not display.GetVisibility3D()


def test_surfaces_shown_do_not_disturb_the_figures():
    world = World(12)
    show_3d(world.node, visible=True)
    live = LiveQuantification(world.volume, world.node)
    world.paint("pneumonia", world.ball((5, 5, 5), 2), world.logic.MODE_MERGE_MAX)
    live.update()
    assert np.array_equal(live.histogram.counts, world.recount()[0])


@pytest.mark.parametrize(
    ("segment_id", "terminology", "role"),
    [
        *((lobe.segment_id, None, lobe.label) for lobe in LOBES),
        (LESION.segment_id, None, LESION_ROLE),
        *((f"x{lobe.label}", lobe.terminology, lobe.label) for lobe in LOBES),
        ("x", LESION.terminology, LESION_ROLE),
        # TotalSegmentator gives the middle lobe no side.
        ("lung_middle_lobe_right", Terminology(LOBES[0].terminology.category, MIDDLE_LOBE), 2),
        ("x", Terminology(LOBES[0].terminology.category, UPPER_LOBE, RIGHT), 1),
        ("x", Terminology(LOBES[0].terminology.category, UPPER_LOBE), NO_ROLE),
        ("x", Terminology(LOBES[0].terminology.category, MIDDLE_LOBE, LEFT), NO_ROLE),
        ("x", Terminology(LESION.terminology.category, LESION.terminology.type, None), LESION_ROLE),
        ("x", Terminology(LESION.terminology.category, LESION.terminology.type, COVID_19, UPPER_LOBE), NO_ROLE),
        ("right upper lobe", None, NO_ROLE),
    ],
)
def test_segments_are_known_by_id_or_codes(segment_id, terminology, role):
    assert role_of(segment_id, terminology) == role


TOTAL_SEGMENTATOR = (
    ("lung_upper_lobe_left", "SCT^45653009^Upper lobe of lung~SCT^7771000^Left"),
    ("lung_lower_lobe_left", "SCT^90572001^Lower lobe of lung~SCT^7771000^Left"),
    ("lung_upper_lobe_right", "SCT^45653009^Upper lobe of lung~SCT^24028007^Right"),
    ("lung_middle_lobe_right", "SCT^72481006^Middle lobe of right lung~^^"),
    ("lung_lower_lobe_right", "SCT^90572001^Lower lobe of lung~SCT^24028007^Right"),
    ("heart", "SCT^80891009^Heart~^^"),
)


def test_lobes_of_total_segmentator_are_counted():
    world = World(16)
    lobes = slab_lobes()
    own = LiveQuantification(world.volume, world.node)
    node = world.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "TotalSegmentator")
    context = "Segmentation category and type - Total Segmentator"
    world.node = node
    for (name, codes), label in zip(TOTAL_SEGMENTATOR, (4, 5, 1, 2, 3, 0), strict=True):
        tag = f"{context}~SCT^123037004^Anatomical Structure~{codes}~Anatomic codes - DICOM master list~^^~^^"
        world.add(f"Segment_{label + 10}", world.labelmap((lobes == label).astype(np.uint8)), tag, name)
    live = LiveQuantification(world.volume, node)
    for lobe in LOBES:
        assert live.metrics.value(lobe.name, "volume_ml") == own.metrics.value(lobe.name, "volume_ml")
    assert [warning.code for warning in live.warnings()] == ["segment-missing"]


def test_segments_without_label_map_are_refused_with_a_remedy():
    world = World(17)
    live = LiveQuantification(world.volume, world.node)
    assert world.node.SetSourceRepresentationToClosedSurface()
    world.node.RemoveBinaryLabelmapRepresentation()
    with pytest.raises(UnfitInputError, match="no binary label map"):
        live.update()


def test_table_is_the_contract_with_undefined_cells_empty():
    world = World(13)
    world.logic.ClearSegment(world.node, "pneumonia")
    live = LiveQuantification(world.volume, world.node)
    table = live.table
    rows = [table.GetCellText(row, 0) for row in range(table.GetNumberOfRows())]
    assert rows == [region.name for region in REGIONS]
    columns = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    assert columns == list(live.metrics.columns)
    cells = {(r, c): table.GetCellText(i, j) for i, r in enumerate(rows) for j, c in enumerate(columns)}
    assert cells["whole lung", "mean_lesion_hu"] == ""
    assert cells["outside lobes", "volume_ml"] == ""
    assert cells["outside lobes", "lesion_volume_ml"] == "0"
    for row in live.metrics.rows:
        for column in columns[1:]:
            if row[column] is not None:
                assert float(cells[row["region"], column]) == pytest.approx(row[column], rel=1e-6)
    assert json.loads(table.GetAttribute("COVIDQuant.metrics"))["ct_score_total"] == 0


def test_a_foreign_table_gets_the_contracts_columns():
    world = World(14)
    table = world.scene.AddNewNodeByClass("vtkMRMLTableNode")
    table.AddColumn(vtk.vtkIntArray())
    LiveQuantification(world.volume, world.node, table)
    assert table.GetColumnName(0) == "region"
    assert table.GetNumberOfRows() == len(REGIONS)


def test_table_is_updated_in_place_and_tells_once():
    world = World(15)
    live = LiveQuantification(world.volume, world.node)
    inner, told = live.table.GetTable(), []
    inner.AddObserver("ModifiedEvent", lambda *_: told.append(1))
    world.paint("pneumonia", world.ball((5, 5, 5), 3), world.logic.MODE_MERGE_MAX)
    live.update()
    assert live.table.GetTable() is inner
    assert len(told) == 1


def test_shipped_terminology_is_that_of_anatomy_and_slicer_reads_it(scene):
    path = resource_path("Terminologies", "COVIDQuant.term.json")
    assert json.loads(path.read_text(encoding="utf-8")) == dictionary()
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    assert logic.LoadTerminologyFromFile(str(path)) == CATEGORY_CONTEXT
    for kind in (*LOBES, LESION):
        entry = slicer.vtkSlicerTerminologyEntry()
        assert logic.DeserializeTerminologyEntry(serialize(kind.terminology), entry)
        assert entry.GetTypeObject().GetCodeValue() == kind.terminology.type.value
        assert entry.GetTypeModifierObject().GetCodeValue() == kind.terminology.modifier.value
        # The codes are found in the dictionary, and Slicer's text for the entry is ours.
        assert logic.UpdateEntryFromLoadedTerminologies(entry, [], [])
        assert entry.GetTerminologyContextName() == CATEGORY_CONTEXT
        assert logic.SerializeTerminologyEntry(entry) == serialize(kind.terminology)


def test_axes_of_any_orientation(scene):
    rng = np.random.default_rng(20)
    for direction in ([0, 0, 1, 1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, -1, 0, 0, 0, 1], [0, -1, 0, 0, 0, -1, 1, 0, 0]):
        geometry = Geometry(SHAPE, (0.7, 0.8, 2.0), (1.0, 2.0, 3.0), tuple(map(float, direction)))
        world = World(21, geometry)
        lobes = rng.integers(0, 6, SHAPE).astype(np.uint8)
        node = create_segmentation_node(world.scene, world.volume, Segmentation(lobes, lobes == 3), "any")
        assert np.array_equal(segmentation_of_node(node, world.volume).lobes, lobes)
        assert geometry_of(raw_node(world.scene, rng.integers(0, 9, SHAPE), geometry)).same_grid(geometry)
