"""The table of checks: what is measured, and the limits of sound and usable values."""

from __future__ import annotations

from COVIDQuantLib.checks.measures import containment, density, doubt, lesion_base, lesions, picture, shape, size
from COVIDQuantLib.checks.record import Check, at_least, at_most

CHECKS: tuple[Check, ...] = (
    Check("outside-patient", "lung outside the patient", "%", at_most(0.15), containment.outside_patient, at_most(5)),
    Check("outside-chest", "lung outside the chest cavity", "%", at_most(0.6), containment.outside_chest, at_most(15)),
    Check("missed-air", "aerated lung left out", "%", at_most(0.9), containment.missed_air, at_most(25)),
    Check("dense-rim", "dense tissue in the lungs' outermost layer", "%", at_most(1.8), containment.dense_rim),
    Check("chest-gap", "dense tissue between lungs and chest wall", "%", at_most(0.8), containment.chest_gap),
    Check("lobe-pieces", "volume apart from a lobe's largest piece", "mL", at_most(8), shape.pieces),
    Check("lobe-blades", "volume of a lobe within another", "mL", at_most(9), shape.blades),
    Check("lung-holes", "holes in the lungs", "%", at_most(0.6), shape.holes, at_most(20)),
    Check("slice-jump", "jump of the lungs' area between slices", "%", at_most(15), shape.jumps),
    Check("lung-volume", "volume of the lungs", "mL", (1000, 9500), size.lung_volume, (300, 12000), whole=True),
    Check("left-share", "left lung's share of both", "%", (30, 59), size.left_share, (5, 90), whole=True),
    Check("heart-side", "heart on the left", "%", at_least(49.5), size.heart_side, whole=True),
    Check("lobe-share", "a lobe's share of its lung", "% off", at_most(0), size.lobe_share, whole=True),
    Check("lung-of-chest", "lungs' share of the chest cavity", "%", (22, 101), size.lung_of_chest, whole=True),
    Check("lobe-order", "lobes in anatomical order", "mm", at_least(3), size.lobe_order, at_least(-20), whole=True),
    Check(
        "lung-median", "median HU of the lungs outside lesions", "HU", (-940, -600), density.lung_median, (-990, -300)
    ),
    Check(
        "lung-dense", "soft tissue in the lungs that is not lesion", "%", at_most(3.0), density.lung_dense, at_most(35)
    ),
    Check("lung-lump", "dense lumps in the lungs that are not lesion", "mL", at_most(18), density.lung_lump),
    Check("lung-air", "plain air in the lungs", "%", at_most(20), density.lung_air, at_most(60)),
    Check("gas-lump", "gas of the trachea, gut or stomach in the lungs", "mL", at_most(12), density.gas_lump),
    Check("far-from-air", "dense lung far from aerated lung", "%", at_most(16), density.far_from_air),
    Check("far-in-middle", "the same in mediastinum or wall", "%", at_most(3.0), density.far_in_the_middle),
    Check("extent", "extent of the pneumonia", "%", at_most(75), lesions.extent, at_most(95)),
    Check("lesion-outside", "pneumonia outside every lobe", "%", at_most(0.5), lesions.outside_lobes),
    Check("lesion-empty", "healthy lung within the pneumonia", "%", at_most(0.8), lesions.empty_share),
    Check("lesion-median", "median HU of the pneumonia", "HU", (-800, 60), lesions.lesion_median),
    Check("lesion-bright", "bone or contrast within the pneumonia", "%", at_most(0.1), lesions.bright_share),
    Check("lesion-lump", "dense lumps of pneumonia in mediastinum or wall", "%", at_most(2.0), lesions.dense_lump),
    Check(
        "lesion-base",
        "dense pneumonia with no visible border to soft tissue below",
        "%",
        at_most(1.0),
        lesion_base.dense_base,
    ),
    Check("lesion-missed", "opaque lung not marked as pneumonia", "%", at_most(0.25), lesions.clouded_left_out),
    Check("lung-doubt", "the networks' uncertainty about the lungs", "%", at_most(9), doubt.lung_doubt),
    Check("lesion-doubt", "the networks' uncertainty about the pneumonia", "%", at_most(2), doubt.lesion_doubt),
    Check("unlike-air", "HU of the air around the patient", "HU", (-1024, -900), picture.air_hu, (-1024, -700)),
    Check("unlike-flesh", "HU of soft tissue and fat", "HU", (-115, 90), picture.flesh_hu, (-180, 160)),
    Check("unlike-body", "width of the patient", "mm", (180, 620), picture.body_width, (80, 900)),
    Check("unlike-spacing", "distance of the voxels", "mm", at_most(10), picture.spacing),
)
