"""Our segmentation as Slicer opens it: dcmqi's volumes and JSON, and what the QuantitativeReporting plugin takes.

The plugin has segments made of the labels that a volume holds, in rising order, and gives the first of them the first
entry of that volume's JSON, and so on: an entry whose label has no voxel would shift all that follow.
"""

import json
import shutil
import subprocess

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_results import exam_of, objects_of, phantom_exam
from pydicom import dcmread

from COVIDQuantLib.anatomy import LESION, LOBES
from COVIDQuantLib.ct.masks.label_maps import place_labels
from COVIDQuantLib.dicom.objects.segmentation import SEGMENTS
from COVIDQuantLib.segment_roles import LESION_ROLE, role_of
from COVIDQuantLib.terminology_text import parse
from COVIDQuantLib.voxels.geometry import Geometry

MIDDLE = LOBES[1].name
# Whole, after the right middle lobe was taken out, a healthy patient, and both.
EMPTY = [(), (MIDDLE,), (LESION.name,), (MIDDLE, LESION.name)]


@pytest.fixture(scope="module")
def whole(once, tmp_path_factory):
    return phantom_exam(once, tmp_path_factory.mktemp("ct"))


def without(exam, names):
    """The exam without pneumonia or without the middle lobe, whose voxels are the upper lobe's."""
    lobes, lesions = exam.segmentation.lobes.copy(), exam.segmentation.lesions.copy()
    lobes[(lobes == 2) & (MIDDLE in names)] = 1
    lesions &= LESION.name not in names
    return exam_of(exam.ct, lobes, lesions)


def mask_of(exam, name):
    label = {lobe.name: lobe.label for lobe in LOBES}.get(name)
    return exam.segmentation.lesions if label is None else exam.segmentation.lobes == label


@pytest.mark.parametrize("empty", EMPTY)
def test_empty_segments_come_last_and_the_report_refers_to_the_right_ones(whole, tmp_path, empty):
    exam = without(whole, empty)
    segmentation, report = map(dcmread, objects_of(exam, tmp_path))
    names = [item.SegmentLabel for item in segmentation.SegmentSequence]
    there = [kind.name for kind in SEGMENTS if kind.name not in empty]
    assert names == [*there, *(kind.name for kind in SEGMENTS if kind.name in empty)]
    frames = [
        item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for item in segmentation.PerFrameFunctionalGroupsSequence
    ]
    assert set(frames) == set(range(1, 7)), "an empty segment has a frame, too"
    referred = dict(referred_segments(report))
    assert {name: names[number - 1] for name, number in referred.items()} == {name: name for name in names}


def referred_segments(report):
    """Of each measurement group with a segment its tracking identifier and the segment's number."""
    (measured,) = [item for item in report.ContentSequence if said(item) == "Imaging Measurements"]
    for group in measured.ContentSequence:
        tracked = next(item.TextValue for item in group.ContentSequence if said(item) == "Tracking Identifier")
        for item in group.ContentSequence:
            if said(item) == "Referenced Segment":
                yield tracked, item.ReferencedSOPSequence[0].ReferencedSegmentNumber


def said(item):
    return item.ConceptNameCodeSequence[0].CodeMeaning


def test_each_segment_says_how_it_came_to_be(whole, tmp_path):
    exam = without(whole, ())
    exam.segmentation.provenance["review"] = {"figures": "edited by reader", "edited": [LESION.segment_id]}
    segmentation = dcmread(objects_of(exam, tmp_path)[0])
    told = {item.SegmentLabel: item.SegmentDescription for item in segmentation.SegmentSequence}
    assert told[MIDDLE].startswith("COVIDQuant model-free lobes ")
    assert [name for name, text in told.items() if text.endswith(", edited by a reader")] == [LESION.name]
    assert segmentation.ContentCreatorName == ""


@pytest.mark.skipif(shutil.which("segimage2itkimage") is None, reason="dcmqi is not installed")
@pytest.mark.parametrize("empty", EMPTY)
def test_slicer_gives_every_segment_its_own_name_colour_and_codes(whole, tmp_path, empty):
    exam = without(whole, empty)
    shown = opened_as_slicer_does(objects_of(exam, tmp_path)[0], tmp_path, exam)
    assert set(shown) == {kind.name for kind in SEGMENTS if kind.name not in empty}
    for kind in SEGMENTS:
        if kind.name in shown:
            entry, mask = shown[kind.name]
            np.testing.assert_array_equal(mask, mask_of(exam, kind.name), err_msg=kind.name)
            np.testing.assert_allclose(entry["recommendedDisplayRGBValue"], 255 * np.array(kind.colour), atol=1)
            assert role_of("Segment_1", parse(terminology_tag(entry))) == getattr(kind, "label", LESION_ROLE)
            assert entry["SegmentDescription"]
            assert (entry["SegmentAlgorithmType"], bool(entry["SegmentAlgorithmName"])) == ("AUTOMATIC", True)


def opened_as_slicer_does(path, folder, exam):
    """For each segment's name its entry in the JSON and its mask, joined as the plugin joins them."""
    options = ["--inputDICOM", path, "--outputDirectory", folder, "--mergeSegments"]
    subprocess.run(["segimage2itkimage", *map(str, options)], check=True, capture_output=True)
    groups = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["segmentAttributes"]
    assert len(groups) == len(list(folder.glob("*.nrrd"))), "or the plugin refuses to load it"
    shown = {}
    for number, entries in enumerate(groups, start=1):
        image = sitk.ReadImage(str(folder / f"{number}.nrrd"))
        labels, _ = place_labels(sitk.GetArrayFromImage(image), Geometry.of_image(image), exam.ct.geometry, "SEG")
        for entry, label in zip(entries, np.unique(labels[labels != 0]), strict=False):
            shown[entry["SegmentLabel"]] = entry, labels == label
    return shown


def terminology_tag(entry):
    """The tag that the plugin writes of an entry, under the name of the series."""
    names = [
        "SegmentedPropertyCategoryCodeSequence",
        "SegmentedPropertyTypeCodeSequence",
        "SegmentedPropertyTypeModifierCodeSequence",
        "AnatomicRegionSequence",
        "AnatomicRegionModifierSequence",
    ]
    codes = [entry.get(name, {}) for name in names]
    texts = [
        "^".join(code.get(key, "") for key in ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")) for code in codes
    ]
    return "~".join(["series", *texts[:3], "series", *texts[3:]])
