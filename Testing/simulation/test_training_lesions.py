"""Synthetic lesions: inside the lungs, as large as asked, as dense as the disease, nothing else touched."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from COVIDQuantLib.simulation.fields.tiled_fields import Fields, cell_tile, lerp, noise_tile
from COVIDQuantLib.simulation.lesions.training_density import AERATED_HU, FLUID_HU, KINDS, draw_density, fill_share
from COVIDQuantLib.simulation.lesions.training_lesions import insert_lesions
from COVIDQuantLib.simulation.lesions.training_shapes import SHAPES, Place, draw_shape, signed_depth
from COVIDQuantLib.simulation.lesions.training_spread import STYLES, Lungs, draw_lesions, side_table

THIN, THICK, COARSE = (2.0, 2.0, 2.0), (5.0, 2.0, 2.0), (3.0, 3.0, 3.0)


def lungs(spacing=THIN, *, lobes=True, seed=0):
    """Two ellipsoid lungs 100 mm high with two lobes each, vessels and noise; CT numbers and labels."""
    counts = [round(mm / s) for mm, s in zip((120, 110, 170), spacing, strict=True)]
    z, y, x = (
        (np.arange(n) - n / 2)[:, None, None].swapaxes(0, axis) * s
        for axis, (n, s) in enumerate(zip(counts, spacing, strict=True))
    )
    labels = np.zeros(counts, np.uint8)
    for middle, upper, lower in ((-42, 1, 3), (42, 4, 5)):
        inside = (z / 55) ** 2 + (y / 48) ** 2 + ((x - middle) / 36) ** 2 < 1
        labels[inside & (z >= 0.4 * y)] = upper
        labels[inside & (z < 0.4 * y)] = lower
    hu = np.where(labels > 0, AERATED_HU, 40.0) + 0 * x
    rng = np.random.default_rng(seed)
    vessels = ndimage.gaussian_filter(rng.standard_normal(counts), 2 / np.array(spacing)) > 0.19
    hu[vessels & (labels > 0)] = 20
    hu = hu + rng.normal(0, 15, counts)
    if not lobes:
        labels = np.where(labels > 3, 2, labels > 0).astype(np.uint8)
    return hu.astype(np.int16), labels


@pytest.mark.parametrize("spacing", [THIN, THICK, (2.0, 1.5, 2.5)])
@pytest.mark.parametrize("extent", [5, 15, 40])
def test_extent_is_what_was_asked(spacing, extent):
    hu, labels = lungs(spacing)
    _, lesion = insert_lesions(hu, labels, spacing, np.random.default_rng(extent), extent)
    assert 100 * lesion.sum() / (labels > 0).sum() == pytest.approx(extent, rel=0.25)


@pytest.mark.parametrize("seed", range(4))
def test_lesions_stay_in_the_lungs_and_healthy_tissue_as_it_was(seed):
    hu, labels = lungs(seed=seed)
    out, lesion = insert_lesions(hu, labels, THIN, np.random.default_rng(seed), 12)
    assert out.dtype == np.float32
    assert lesion.dtype == bool
    assert not lesion[labels == 0].any()
    assert out.min() >= -1024
    assert out.max() <= 3071
    # The widest edge reaches 3 mm beyond the contour, the blur a little farther.
    away = ndimage.distance_transform_edt(~lesion, sampling=THIN)
    changed = np.abs(out - hu)
    assert (changed[(away > 7) & (labels > 0)] > 10).mean() < 0.005
    assert changed[away > 20].max() == 0
    # Chest wall and mediastinum: only voxels shared with lung may become denser.
    beyond = ndimage.distance_transform_edt(labels == 0, sampling=THIN) > 4
    assert np.array_equal(out[beyond], hu[beyond].astype(np.float32))
    raised = (out - hu)[lesion & (hu < -700)]
    assert np.median(raised) > 60
    assert (raised > 15).mean() > 0.9


def test_vessels_stay_visible_and_belong_to_the_lesion():
    hu, labels = lungs()
    out, lesion = insert_lesions(hu, labels, THIN, np.random.default_rng(4), 30)
    vessel = (hu > -30) & (labels > 0)
    inner = ndimage.binary_erosion(lesion, iterations=2)
    assert (vessel & inner).any()
    assert np.abs(np.median(out[vessel & inner]) - 20) < 40
    # The mask has no holes where vessels run: its share of vessels is that of the lung.
    assert vessel[lesion].mean() == pytest.approx(vessel[labels > 0].mean(), rel=0.3)


def test_open_bronchi_stay_dark():
    hu, labels = lungs()
    tubes = np.zeros(hu.shape, bool)
    tubes[:, ::8, ::8] = True
    air = ndimage.binary_dilation(tubes, iterations=1) & (labels > 0)
    hu[air] = -990
    out, lesion = insert_lesions(hu, labels, THIN, np.random.default_rng(2), 40)
    centre = tubes & lesion
    beside = lesion & ~ndimage.binary_dilation(air, iterations=2) & (hu < -700)
    assert np.median(out[centre]) < np.median(out[beside]) - 75


def test_same_seed_same_lesions_and_another_seed_others():
    hu, labels = lungs()
    first = insert_lesions(hu, labels, THIN, np.random.default_rng(7), 10)
    again = insert_lesions(hu, labels, THIN, np.random.default_rng(7), 10)
    other = insert_lesions(hu, labels, THIN, np.random.default_rng(8), 10)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    both = (first[1] & other[1]).sum() * 2 / (first[1].sum() + other[1].sum())
    assert both < 0.6


def test_the_ct_given_is_not_changed():
    hu, labels = lungs()
    before = hu.copy(), labels.copy()
    insert_lesions(hu, labels, THIN, np.random.default_rng(1), 20)
    assert np.array_equal(hu, before[0])
    assert np.array_equal(labels, before[1])


def test_nothing_asked_nothing_done():
    hu, labels = lungs()
    for extent, where in ((0, labels), (20, np.zeros_like(labels))):
        out, lesion = insert_lesions(hu, where, THIN, np.random.default_rng(0), extent)
        assert not lesion.any()
        assert np.array_equal(out, hu)


@pytest.mark.parametrize("shape", [(1, 40, 60), (3, 5, 4), (2, 2, 2)])
def test_tiny_lungs(shape):
    labels = np.ones(shape, np.uint8)
    hu = np.full(shape, -850, np.int16)
    out, lesion = insert_lesions(hu, labels, (5.0, 1.5, 1.5), np.random.default_rng(0), 20)
    assert out.shape == lesion.shape == shape
    assert np.isfinite(out).all()


def test_almost_all_of_the_lungs():
    hu, labels = lungs()
    out, lesion = insert_lesions(hu, labels, THIN, np.random.default_rng(3), 90)
    assert lesion.sum() / (labels > 0).sum() > 0.7
    assert np.isfinite(out).all()


def test_no_lesion_crosses_from_one_lung_to_the_other():
    """Where the lungs touch, each keeps its own: with one lung ill, the other stays whole."""
    labels = np.ones((34, 34, 54), np.uint8)
    labels[:, :, 27:] = 2
    hu = np.full(labels.shape, -860, np.int16)
    ill = [insert_lesions(hu, labels, COARSE, np.random.default_rng(seed), 3)[1].any(axis=(0, 1)) for seed in range(12)]
    # Somewhere a lesion ends exactly at the border instead of running over it.
    assert any(row[26] != row[27] for row in ill)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_the_ct_numbers_it_states(kind):
    """Middle of a ball of each kind, in lung of −860 HU."""
    rng = np.random.default_rng(11)
    fields = Fields(rng)
    axes = (np.arange(0, 60, 2, dtype=np.float32),) * 3
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    depth = (26 - np.sqrt((z - 30) ** 2 + (y - 30) ** 2 + (x - 30) ** 2)).astype(np.float32)
    place = Place(axes, np.full(depth.shape, 20, np.float32), fields)
    ground, solid = [], []
    for number in range(12):
        density = draw_density(rng, kind, np.full(3, 30, np.float32), 26.0, float(number))
        fill = fill_share(density, place, depth)
        hu = AERATED_HU + fill * (FLUID_HU - AERATED_HU)
        assert fill.min() >= 0
        (solid if density.core < 13 else ground).append(float(np.median(hu[depth > 8])))
    if ground and not kind.broken[1]:
        low, high = kind.hu
        assert low - 80 <= np.median(ground) <= high + 100
    if solid and kind.name == "consolidation":
        assert -150 <= np.median(solid) <= 60
    if kind.core[0] < 1 and kind.core[1] < 1:
        assert solid


def test_pooled_ct_numbers_are_those_of_covid_lungs():
    """Over many draws all three dense classes of the published mixture occur, ground glass most."""
    hu, labels = lungs(COARSE)
    draws = [insert_lesions(hu, labels, COARSE, np.random.default_rng(seed), 20) for seed in range(14)]
    values = np.concatenate([out[lesion & (hu < -700)] for out, lesion in draws])
    shares = [((values >= low) & (values < high)).mean() for low, high in ((-830, -500), (-500, -175), (-175, 150))]
    assert 0.45 < shares[0] < 0.9
    assert shares[1] > 0.08
    assert shares[2] > 0.02
    assert -720 < np.median(values) < -450


def test_disease_prefers_the_back_and_the_base():
    _, labels = lungs(COARSE)
    sick = Lungs(labels, np.array(COARSE, np.float32))
    centres = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        lesions, _ = draw_lesions(sick, side_table(labels), Fields(rng), rng, 0.3)
        centres += [np.array(lesion.shape.centre) / COARSE for lesion in lesions]
    assert len(centres) > 30
    k, j, _ = np.nonzero(labels)
    assert np.mean([c[0] for c in centres]) < k.mean() - 1
    assert np.mean([c[1] for c in centres]) > j.mean() + 1


def test_thick_sections_average_the_shape():
    """A voxel that a lesion half fills is half as dense: more values between, and no section too many."""
    thin, thin_labels = lungs((1.25, 2, 2), lobes=False)
    thick, thick_labels = lungs((5, 2, 2), lobes=False)
    for hu, labels, spacing in ((thin, thin_labels, (1.25, 2, 2)), (thick, thick_labels, (5, 2, 2))):
        out, lesion = insert_lesions(hu, labels, spacing, np.random.default_rng(5), 12)
        rim = ndimage.binary_dilation(lesion, iterations=1) & ~lesion & (labels > 0) & (hu < -700)
        assert (out - hu)[rim].mean() < (out - hu)[lesion & (hu < -700)].mean()


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_shapes_stay_within_their_reach(name):
    rng = np.random.default_rng(3)
    fields = Fields(rng)
    axes = (np.arange(-160, 160, 5, dtype=np.float32),) * 3
    for _ in range(6):
        shape = draw_shape(rng, name, np.zeros(3, np.float32), float(rng.uniform(10, 30)))
        place = Place(axes, np.full((64,) * 3, 3.0, np.float32), fields)
        inside = signed_depth(shape, place) > 0
        for index, half in zip(np.nonzero(inside), shape.reach, strict=True):
            assert not len(index) or np.abs(axes[0][index]).max() <= half


def test_tables_are_whole():
    assert {shape for kind in KINDS for shape in kind.shapes} == set(SHAPES)
    assert sum(kind.share for kind in KINDS) == pytest.approx(1, abs=0.05)
    assert sum(style.share for style in STYLES) == pytest.approx(1, abs=0.05)
    assert len({record.name for record in (*KINDS, *STYLES)}) == len(KINDS) + len(STYLES)
    assert all(dataclasses.is_dataclass(kind) for kind in KINDS)


def test_tiles_repeat_and_are_normed():
    rng = np.random.default_rng(0)
    for slope in (0.0, 2.2):
        tile = noise_tile(rng, slope)
        axes = (np.arange(0, 400, 3, dtype=np.float32),) * 3
        values = tile.at(axes, 16.0, 0.3)
        assert abs(values.mean()) < 0.15
        assert 0.5 < values.std() < 1.1
    walls = cell_tile(rng).at((np.arange(0, 100, 2, dtype=np.float32),) * 3, 10.0, 0.0)
    assert walls.min() >= 0
    assert walls.min() < 0.05


def test_lerp_agrees_with_scipy():
    rng = np.random.default_rng(0)
    field = rng.standard_normal((5, 6, 7)).astype(np.float32)
    axes = [np.sort(rng.uniform(-1, n, 9)).astype(np.float32) for n in field.shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    assert np.allclose(lerp(field, axes), ndimage.map_coordinates(field, grid, order=1, mode="nearest"), atol=1e-5)
    wrapped = ndimage.map_coordinates(field, grid, order=1, mode="grid-wrap")
    assert np.allclose(lerp(field, axes, wrap=True), wrapped, atol=1e-5)
