"""Axial, coronal and sagittal slices, seen as they are and mirrored (COVIDQuantLib.inference.lesions)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.inference.device import choose_device
from COVIDQuantLib.inference.lesion_density import doubt_what_is_not_dense
from COVIDQuantLib.inference.lesion_pieces import PieceLimits, drop_doubtful_pieces
from COVIDQuantLib.inference.lesions import LesionsNetwork, find_lesions_by_network
from COVIDQuantLib.voxels.geometry import Geometry

CPU = choose_device("cpu")
# Tall enough for slices that are not axial.
SHAPE = (72, 26, 32)


class Says(torch.nn.Module):
    """Log odds that depend on the slice's rows and columns alone, or on what is seen."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def forward(self, seen):
        rows, columns = (torch.linspace(-1, 1, n) for n in seen.shape[2:])
        said = self.rule(seen, rows[:, None], columns[None, :])
        return torch.broadcast_to(said, (len(seen), 1, *seen.shape[2:])).clone()


def chest(spacing=(1.5, 1.5, 1.5)):
    hu = np.full(SHAPE, -850, np.int16)
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[2:-2, 2:-2, 2:-2] = 1
    return CTVolume(hu, Geometry(SHAPE, spacing[::-1])), lungs


def find(axial, spacing=(1.5, 1.5, 1.5), *, mirrored=False, **others):
    ct, lungs = chest(spacing)
    network = LesionsNetwork(Says(axial), mirrored=mirrored)
    beside = {role: LesionsNetwork(Says(rule), mirrored=mirrored) for role, rule in others.items()}
    return find_lesions_by_network(ct, lungs, network, CPU, [], beside=beside), lungs > 0


def nothing(seen, rows, columns):
    return torch.zeros(1)


def feet_to_head(seen, rows, columns):
    return 8 * rows


def along_columns(seen, rows, columns):
    return 8 * columns


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (5.0, 1.5, 1.5), (1.6, 0.8, 0.8)])
@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
def test_rows_go_from_the_feet_to_the_head(plane, spacing):
    found, _ = find(nothing, spacing, **{plane: feet_to_head})
    assert not found[: SHAPE[0] // 2 - 1].any()
    upper = found[SHAPE[0] // 2 + 1 : -6, 6:-6, 6:-6]
    assert upper.size
    assert upper.all()


@pytest.mark.parametrize(("plane", "axis"), [("coronal", 2), ("sagittal", 1)])
def test_columns_go_to_the_left_or_to_the_back(plane, axis):
    found, lungs = find(nothing, **{plane: along_columns})
    found, lungs = np.moveaxis(found, axis, 0), np.moveaxis(lungs, axis, 0)
    middle = len(found) // 2
    assert not found[: middle - 1].any()
    assert np.array_equal(found[middle + 1 :], lungs[middle + 1 :])


@pytest.mark.parametrize(
    ("said", "expected"), [((3, -2, 0), True), ((2, -3, 0), False), ((-2, 3, -0.5), True), ((4, -2, -3), False)]
)
def test_the_log_odds_of_all_are_averaged(said, expected):
    rules = [lambda *_, value=value: torch.tensor([float(value)]) for value in said]
    found, lungs = find(rules[0], coronal=rules[1], sagittal=rules[2])
    assert np.array_equal(found, lungs & expected)


def test_a_stack_that_is_cut_short_is_seen_in_axial_slices_alone():
    def yes(seen, rows, columns):
        return torch.tensor([1.0])

    def no(seen, rows, columns):
        return torch.tensor([-9.0])

    ct, lungs = chest()
    networks = LesionsNetwork(Says(yes)), {"coronal": LesionsNetwork(Says(no))}
    assert not find_lesions_by_network(ct, lungs, networks[0], CPU, [], beside=networks[1]).any()
    lungs[20:] = 0
    assert find_lesions_by_network(ct, lungs, networks[0], CPU, [], beside=networks[1]).any()


def test_large_pieces_that_are_doubtful_as_a_whole_are_dropped():
    def two_columns(seen, rows, columns):
        return torch.where(columns < -0.3, 2.0, torch.where(columns > 0.3, 0.4, -5.0))

    ct, lungs = chest()
    middle = SHAPE[2] // 2
    for piece_cut, expected in ((None, True), (0.55, True), (0.7, False)):
        network = LesionsNetwork(Says(two_columns), cut=0.3, piece_cut=piece_cut)
        found = find_lesions_by_network(ct, lungs, network, CPU, [])
        assert found[:, :, :middle].any()
        assert found[:, :, middle:].any() == expected


FAINT_HU = torch.full((5, 9, 9), -600)


def test_a_piece_keeps_its_doubtful_rim_if_its_core_is_sure_or_it_is_small():
    logits = torch.full((5, 9, 9), -5.0)
    logits[1:4, 2:7, 2:7], logits[2, 3:6, 3:6] = 0.2, 9.0
    logits[0, 8, 7:] = 0.2
    lung = torch.ones(logits.shape, dtype=torch.bool)
    for large_points, expected in ((3, 0), (2, 2)):
        found = logits.clone()
        drop_doubtful_pieces(found, FAINT_HU, lung, PieceLimits(0.0, 1.0), large_points)
        assert ((logits > 0) & (found <= 0)).sum() == expected
        assert torch.equal(found[1:4], logits[1:4])


def test_small_pieces_have_a_cut_of_their_own():
    logits = torch.full((5, 9, 9), -5.0)
    logits[1, 1, 1:3], logits[3, 5, 5:7] = 0.2, 0.8
    lung = torch.ones(logits.shape, dtype=torch.bool)
    for small_mean, kept in ((-np.inf, 4), (0.5, 2), (1.0, 0)):
        found = logits.clone()
        drop_doubtful_pieces(found, FAINT_HU, lung, PieceLimits(0.0, 3.0, small_mean), 10)
        assert (found > 0).sum() == kept


def test_a_wide_rim_makes_no_piece_more_doubtful():
    logits = torch.full((5, 9, 9), -5.0)
    logits[1, 1:8, 1:8] = -1.5
    logits[1, 3:6, 3:6] = 2.0
    logits[3, 1:4, 1:4] = -1.5
    lung = torch.ones(logits.shape, dtype=torch.bool)
    for core, kept in ((-np.inf, 9), (-1.0, 49), (3.0, 0)):
        found = logits.clone()
        drop_doubtful_pieces(found, FAINT_HU, lung, PieceLimits(-2.0, 1.0, core=core), 10)
        assert (found > -2).sum() == kept


def test_the_core_of_a_piece_is_at_the_cut_unless_it_is_given():
    network = LesionsNetwork(Says(nothing), cut=0.1, piece_cut=0.7)
    assert network.piece_limits.core == network.level
    assert replace(network, core_cut=0.5).piece_limits.core == 0


def test_where_enough_is_certain_the_rest_needs_less():
    logits = torch.full((5, 9, 9), -5.0)
    logits[1, 1, 1:5], logits[3, 5, 5:7], logits[3, 1, 1:3] = 2.0, 0.8, 0.2
    lung = torch.ones(logits.shape, dtype=torch.bool)
    certain = 4 / lung.sum().item()
    above, below = 1.01 * certain, 0.99 * certain
    for diseased, kept in (
        ((), 4),
        (((above, 0.1, 0.1),), 4),
        (((below, 0.1, 0.5),), 6),
        (((below, 0.1, 0.5), (above, 0.1, 0.1)), 6),
        (((0.5 * certain, 0.1, 0.5), (below, 0.1, 0.1)), 8),
    ):
        found = logits.clone()
        drop_doubtful_pieces(found, FAINT_HU, lung, PieceLimits(0.0, 1.0, 1.0, 0.0, diseased), 3)
        assert (found > 0).sum() == kept
    nothing_certain = logits.clone()
    nothing_certain[1] = -5.0
    drop_doubtful_pieces(nothing_certain, FAINT_HU, lung, PieceLimits(0.0, 1.0, 1.0, 0.0, ((0.001, 0.1, 0.1),)), 3)
    assert not (nothing_certain > 0).any()


@pytest.mark.parametrize(("dense_points", "kept"), [(0, False), (5, False), (6, True), (15, True)])
def test_a_large_piece_that_is_dense_needs_less(dense_points, kept):
    logits, hu = torch.full((5, 9, 9), -5.0), FAINT_HU.clone()
    logits[1, 1:4, 1:6] = 0.8
    piece = logits > 0
    hu[piece] = torch.tensor([0] * dense_points + [-600] * (15 - dense_points))
    lung = torch.ones(logits.shape, dtype=torch.bool)
    drop_doubtful_pieces(logits, hu, lung, PieceLimits(0.0, 1.0, dense=0.5), 10)
    assert torch.equal(logits > 0, piece & kept)


def test_a_dense_piece_needs_no_more_than_another():
    logits, lung = torch.full((5, 9, 9), -5.0), torch.ones((5, 9, 9), dtype=torch.bool)
    logits[1, 1:4, 1:6] = 0.8
    drop_doubtful_pieces(logits, torch.zeros(logits.shape), lung, PieceLimits(0.0, 0.5, dense=1.0), 10)
    assert (logits > 0).sum() == 15


def test_cuts_are_read_as_log_odds():
    network = LesionsNetwork(Says(nothing), cut=0.1, piece_cut=0.5, core_cut=0.5, diseased=((0.01, 0.5, 0.5),))
    assert network.piece_limits == PieceLimits(network.level, 0.0, -np.inf, 0.0, ((0.01, 0.0, 0.0),))
    assert network.piece_limits.drop_any
    assert replace(network, dense_piece_cut=0.5).piece_limits.dense == 0
    assert not LesionsNetwork(Says(nothing), cut=0.1).piece_limits.drop_any
    record = {"window_hu": [-1350, 150], "cut": 0.1, "diseased": [[0.01, 0.5, 0.5]]}
    assert LesionsNetwork.of(Says(nothing), record).diseased == ((0.01, 0.5, 0.5),)


@pytest.mark.parametrize(("plane", "axis"), [("coronal", 1), ("sagittal", 2)])
def test_a_plane_is_smoothed_across_its_slices_alone(plane, axis):
    """What one slice says and its neighbours do not counts less; along the slices nothing changes."""

    class Alternates(torch.nn.Module):
        def forward(self, seen):
            signs = 1 - 2 * (torch.arange(len(seen)) % 2)
            return (9.0 * signs - 1.0)[:, None, None, None].expand(-1, 1, *seen.shape[2:]).clone()

    ct, lungs = chest()
    axial = LesionsNetwork(Says(lambda *_: torch.tensor([0.5])))
    found = {}
    for mm in (0.0, 4.0):
        beside = {plane: LesionsNetwork(Alternates(), across_mm=mm)}
        found[mm] = find_lesions_by_network(ct, lungs, axial, CPU, [], beside=beside)
        filled = np.moveaxis(found[mm], axis, 0).any(axis=(1, 2))
        whole = np.moveaxis(lungs, axis, 0).any(axis=(1, 2))
        assert 0 < filled.sum() < whole.sum() if mm == 0.0 else not filled[4:-4].any()


def test_what_is_mirrored_prefers_no_side():
    def to_the_left(seen, rows, columns):
        return 4 * columns + 0.5

    found, _ = find(to_the_left)
    assert not np.array_equal(found, found[:, :, ::-1])
    found, lungs = find(to_the_left, mirrored=True)
    assert np.array_equal(found, lungs)


@pytest.mark.parametrize(("plane", "axis"), [("coronal", 1), ("sagittal", 2)])
def test_neighbours_are_those_before_and_behind(plane, axis):
    ct, lungs = chest()
    np.moveaxis(ct.hu, axis, 0)[13:] = -100
    seen_at = []

    class Sees(torch.nn.Module):
        def forward(self, seen):
            seen_at.append(seen)
            return torch.zeros(len(seen), 1, *seen.shape[2:])

    beside = {plane: LesionsNetwork(Sees(), channels=3, neighbour_mm=1.5)}
    find_lesions_by_network(ct, lungs, LesionsNetwork(Says(nothing)), CPU, [], beside=beside)
    seen = torch.cat(seen_at).flatten(2).amax(dim=2)
    # The first channel is the slice before.
    first_dense = [int(torch.nonzero(seen[:, channel] > 0.5)[0]) for channel in range(3)]
    assert first_dense == [first_dense[1] + 1, first_dense[1], first_dense[1] - 1]


def test_a_mirrored_sagittal_slice_keeps_its_place_and_changes_its_neighbours():
    seen_at = []

    class Sees(torch.nn.Module):
        def forward(self, seen):
            seen_at.append(seen.clone())
            return torch.zeros(len(seen), 1, *seen.shape[2:])

    ct, lungs = chest()
    ct.hu[...] = np.linspace(-1000, -100, SHAPE[2]).astype(np.int16)
    beside = {"sagittal": LesionsNetwork(Sees(), channels=3, mirrored=True)}
    find_lesions_by_network(ct, lungs, LesionsNetwork(Says(nothing)), CPU, [], beside=beside)
    for plain, mirrored in zip(seen_at[::2], seen_at[1::2], strict=True):
        assert torch.equal(plain.flip(1), mirrored)
        assert not torch.equal(plain, mirrored)


def test_lung_that_is_no_denser_than_healthy_lung_is_doubted():
    hu = torch.full((6, 20, 20), -850.0)
    hu[:, 5:15, 5:15] = -400.0
    lung = torch.ones(hu.shape, dtype=torch.bool)
    lung[:, :, 18:] = False
    hu[~lung] = 50.0
    logits = torch.full(hu.shape, -9.0)
    logits[:, 3:17, 3:17] = 3.0
    found = logits.clone()
    doubt_what_is_not_dense(found, hu, lung, (1.5, 1.5, 1.5), 0.0, (100.0, 0.05))
    # The outline was two points too wide.
    assert (found[:, 5:15, 5:15] == 3.0).all()
    wide = logits > 0
    wide[:, 4:16, 4:16] = False
    assert (found[wide] < 0).all()
    assert torch.equal(found[~lung], logits[~lung])
    alone = logits.clone()
    doubt_what_is_not_dense(alone, hu, lung, (1.5, 1.5, 1.5), 0.0, (100.0, 0.0))
    assert torch.equal(alone, logits)


def test_without_healthy_lung_there_is_nothing_to_compare_with():
    hu, lung = torch.full((4, 9, 9), -500.0), torch.ones((4, 9, 9), dtype=torch.bool)
    logits = torch.full(hu.shape, 2.0)
    logits[0, 0] = -2.0
    found = logits.clone()
    doubt_what_is_not_dense(found, hu, lung, (1.5, 1.5, 1.5), 0.0, (100.0, 0.05))
    assert torch.equal(found, logits)
