"""What must stay negative, and other scanners: masks stay valid, CT numbers plausible, changes do what they say."""

import numpy as np
import pytest
from test_training_lesions import THICK, THIN, lungs

from COVIDQuantLib.simulation.lesions import training_mimics
from COVIDQuantLib.simulation.lesions.training_mimics import NEGATIVES, add_negatives
from COVIDQuantLib.simulation.scanner.domain_randomisation import CHANGES, randomise

NAMES = [negative.name for negative in NEGATIVES]
AERATED = -700


def one(name, spacing=THIN, seed=3, *, lobes=True):
    """A CT before and after one change, its aerated lung, and labels."""
    hu, labels = lungs(spacing, lobes=lobes)
    out, done = add_negatives(hu, labels, spacing, np.random.default_rng(seed), [name])
    assert done == [name]
    return hu.astype(np.float32), out, (labels > 0) & (hu < AERATED), labels


@pytest.mark.parametrize("spacing", [THIN, THICK])
@pytest.mark.parametrize("name", NAMES)
def test_each_change_is_whole_and_repeats(name, spacing):
    hu, out, _, labels = one(name, spacing)
    assert out.dtype == np.float32
    assert out.shape == labels.shape
    assert np.isfinite(out).all()
    assert out.min() >= -1024
    assert out.max() <= 3071
    assert not np.array_equal(out, hu)
    assert np.array_equal(out, one(name, spacing)[1])


@pytest.mark.parametrize("name", NAMES)
def test_single_section_and_no_lung(name):
    hu, labels = lungs()
    section = slice(30, 31)
    out, _ = add_negatives(hu[section], labels[section], THIN, np.random.default_rng(0), [name])
    assert np.isfinite(out).all()
    out, done = add_negatives(hu, np.zeros_like(labels), THIN, np.random.default_rng(0), [name])
    assert not done
    assert np.array_equal(out, hu)


def test_dependent_density_gathers_at_the_back():
    for seed in range(6):
        hu, out, lung, _ = one("dependent density", seed=seed)
        j = np.nonzero(lung)[1]
        raised = (out - hu)[lung]
        back = j > np.quantile(j, 0.9)
        assert raised.min() >= -1
        if raised[back].mean() < raised[~back].mean():
            # Prone: then it gathers in front.
            back = j < np.quantile(j, 0.1)
        assert raised[back].mean() > 1.5 * raised[~back].mean()
        assert raised.max() < 400


def largest_step(seed):
    """The largest step of what dependent density adds, between neighbouring sections, as a log ratio."""
    hu, out, lung, _ = one("dependent density", seed=seed)
    sections = np.where(lung, out - hu, 0.0).sum(axis=(1, 2)) / np.maximum(lung.sum(axis=(1, 2)), 1)
    middle = sections[len(sections) // 4 : -len(sections) // 4]
    return float(np.abs(np.diff(np.log(middle))).max())


def test_dependent_density_may_change_between_stacks_of_sections(monkeypatch):
    steps = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(training_mimics, "_DEEP", share)
        steps.append(np.median([largest_step(seed) for seed in range(6)]))
    assert steps[1] > 3 * steps[0]


def test_expiration_raises_all_of_the_lung():
    hu, out, lung, _ = one("expiration")
    raised = (out - hu)[lung]
    assert np.quantile(raised, 0.05) > 30
    assert np.median(out[lung]) < -640


def test_emphysema_only_lowers():
    hu, out, lung, _ = one("emphysema")
    assert (out - hu)[lung].max() <= 1e-3
    assert (out[lung] < -930).mean() > 0.005


def test_contrast_medium_is_in_vessels_alone():
    hu, out, lung, labels = one("contrast medium")
    vessel = (labels > 0) & (hu > -30)
    assert (out - hu)[vessel].mean() > 50
    assert np.abs((out - hu)[lung]).max() < 5


def test_fissures_lie_between_lobes_and_need_lobes():
    hu, out, _, labels = one("fissures")
    changed = out - hu > 20
    k, j, _ = np.nonzero(changed)
    assert len(k)
    z, y = (k - labels.shape[0] / 2) * THIN[0], (j - labels.shape[1] / 2) * THIN[1]
    assert np.abs(z - 0.4 * y).max() < 8
    hu, labels = lungs(lobes=False)
    out, _ = add_negatives(hu, labels, THIN, np.random.default_rng(3), ["fissures"])
    assert np.array_equal(out, hu)


def test_plates_are_thin():
    for seed in range(3):
        hu, out, lung, _ = one("plates", (1.0, 2.0, 2.0), seed)
        changed = lung & (out - hu > 60)
        # A plate under 3 mm holds no ball of 8 mm.
        thick = np.lib.stride_tricks.sliding_window_view(changed, (8, 4, 4)).mean(axis=(-3, -2, -1))
        assert thick.max(initial=0) < 0.95


def test_motion_spoils_the_base_more_than_the_apex():
    hu, out, _, labels = one("breathing")
    changed = np.abs(out - hu) * (labels > 0)
    sections = changed.sum(axis=(1, 2)) / np.maximum((labels > 0).sum(axis=(1, 2)), 1)
    filled = np.flatnonzero((labels > 0).any(axis=(1, 2)))
    third = len(filled) // 4
    assert sections[filled[:third]].mean() > 5 * sections[filled[-third:]].mean()


def test_default_draws_each_by_its_probability():
    hu, labels = lungs((6.0, 5.0, 5.0))
    rng = np.random.default_rng(0)
    names = [name for _ in range(30) for name in add_negatives(hu, labels, (6.0, 5.0, 5.0), rng)[1]]
    for negative in NEGATIVES:
        assert names.count(negative.name) / 30 == pytest.approx(negative.probability, abs=0.3)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_each_scanner_keeps_the_grid_and_the_lungs_in_view(change):
    hu, labels = lungs()
    hu = np.where(hu > 0, hu * 3, hu).astype(np.int16)
    lung = labels > 0
    results = [randomise(hu, THIN, np.random.default_rng(5), lung, [change.name]) for _ in range(2)]
    out, done = results[0]
    assert done == [change.name]
    assert out.shape == hu.shape
    assert out.dtype == np.float32
    assert out.min() >= -1024
    assert out.max() <= 3071
    assert np.array_equal(out, results[1][0])
    # Lung stays lung: its middle moves by no more than drift may move it.
    assert abs(np.median(out[lung]) - np.median(hu[lung])) < 40


def test_noise_has_no_bias_and_a_dose():
    hu, labels = lungs()
    levels = []
    for seed in range(5):
        out, _ = randomise(hu, THIN, np.random.default_rng(seed), names=["noise"])
        added = (out - hu)[(labels > 0) & (hu > -950)]
        assert abs(added.mean()) < 2
        levels.append(added.std())
    assert min(levels) > 3
    assert max(levels) < 100
    assert max(levels) > 1.5 * min(levels)


def test_field_of_view_hides_only_what_is_no_lung():
    hu, labels = lungs()
    wide = np.pad(hu, ((0, 0), (40, 40), (40, 40)), constant_values=40)
    lung = np.pad(labels > 0, ((0, 0), (40, 40), (40, 40)))
    out, _ = randomise(wide, THIN, np.random.default_rng(1), lung, ["field of view"])
    assert np.array_equal(out[lung], wide[lung])
    assert (out[:, 0, 0] == -1024).all()
