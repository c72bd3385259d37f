"""Ways in which lungs, lobes and lesions go wrong, made on purpose, to measure whether the checks see them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from Testing.evaluation.damage import displaced, lesion_mistakes, less_lung, lobe_mistakes, more_lung
from Testing.evaluation.damage.right_masks import Masks, Right

Damage = Callable[[Right, np.random.Generator], Masks]
DAMAGES: tuple[Damage, ...] = (
    more_lung.leak_to_table,
    more_lung.table_added,
    more_lung.blanket_added,
    more_lung.wall_lump,
    more_lung.wall_lump_sick,
    more_lung.shoulder_added,
    more_lung.heart_added,
    more_lung.heart_sick,
    more_lung.aorta_added,
    more_lung.aorta_sick,
    more_lung.liver_added,
    more_lung.spleen_sick,
    more_lung.airways_added,
    more_lung.stomach_added,
    more_lung.dilated_2mm,
    more_lung.dilated_5mm,
    less_lung.lobe_missing,
    less_lung.lung_missing,
    less_lung.half_lung,
    less_lung.apices_lost,
    less_lung.bases_lost,
    less_lung.slices_missing,
    less_lung.eroded_1mm,
    less_lung.eroded_4mm,
    less_lung.holes_cut,
    less_lung.dense_left_out,
    less_lung.sick_lung_left_out,
    displaced.shifted_side,
    displaced.shifted_back,
    displaced.shifted_up,
    displaced.mirrored,
    displaced.front_to_back,
    displaced.upside_down,
    lobe_mistakes.upper_and_lower_swapped,
    lobe_mistakes.sides_swapped,
    lobe_mistakes.lobe_swallowed,
    lobe_mistakes.lobe_in_pieces,
    lobe_mistakes.blade_of_a_lobe,
    lesion_mistakes.all_lung_sick,
    lesion_mistakes.a_lobe_sick,
    lesion_mistakes.no_lesion,
    lesion_mistakes.half_the_lesions,
    lesion_mistakes.dense_not_sick,
    lesion_mistakes.lesions_elsewhere,
    lesion_mistakes.lesions_mirrored,
    lesion_mistakes.lesions_grown,
    lesion_mistakes.lesions_out_of_lung,
    more_lung.continued_into_liver,
)
