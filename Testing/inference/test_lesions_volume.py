"""A network that sees the lungs as a volume, beside those for slices (COVIDQuantLib.inference.lesions)."""

import numpy as np
import pytest
import torch

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.inference import volumes
from COVIDQuantLib.inference.device import choose_device
from COVIDQuantLib.inference.lesions import VOLUME, LesionsNetwork, find_lesions_by_network
from COVIDQuantLib.inference.slice_input import usual_lung_hu, volume_input
from COVIDQuantLib.inference.volumes import run_volume
from COVIDQuantLib.networks.registry import build_network
from COVIDQuantLib.progress import silent
from COVIDQuantLib.voxels.geometry import Geometry

CPU = choose_device("cpu")
SHAPE = (72, 26, 32)


class Says(torch.nn.Module):
    """Log odds by a rule on what is seen; by default undecided."""

    def __init__(self, rule=torch.zeros_like):
        super().__init__()
        self.rule = rule

    def forward(self, seen):
        return self.rule(seen[:, :1])


def chest(spacing=(1.5, 1.5, 1.5)):
    hu = np.full(SHAPE, -850, np.int16)
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[2:-2, 2:-2, 2:-2] = 1
    return CTVolume(hu, Geometry(SHAPE, spacing[::-1])), lungs


def dense(seen):
    return 20 * (seen - 0.6)


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (4.0, 0.8, 0.8), (2.0, 2.0, 2.0)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_it_finds_what_it_sees_where_that_is(spacing, mirrored):
    ct, lungs = chest(spacing)
    ct.hu[30:50, 6:16, 4:14] = -100
    volume = LesionsNetwork(Says(dense), pixel_mm=2.0, mirrored=mirrored)
    found = find_lesions_by_network(ct, lungs, LesionsNetwork(Says()), CPU, [], beside={VOLUME: volume})
    assert found[32:48, 8:14, 6:12].all()
    found[29:51, 5:17, 3:15] = False
    assert not found.any()


def test_it_sees_lung_alone():
    ct, lungs = chest()
    ct.hu[:, :, :10] = 300
    lungs[:, :, :10] = 0
    seen_at = []

    class Sees(torch.nn.Module):
        def forward(self, seen):
            seen_at.append(seen.clone())
            return torch.zeros(len(seen), 1, *seen.shape[2:])

    volume = LesionsNetwork(Sees(), pixel_mm=1.5)
    find_lesions_by_network(ct, lungs, LesionsNetwork(Says()), CPU, [], beside={VOLUME: volume})
    (seen,) = seen_at
    assert seen.ndim == 5
    assert seen.shape[1] == 2
    inside = seen[:, 0][seen[:, 0] > 0]
    assert len(inside) == pytest.approx((lungs > 0).sum(), rel=0.15)
    assert inside.max() < 0.7, "the wall would be 1"


@pytest.mark.parametrize("change", [-60, 0, 90])
def test_the_second_channel_is_the_same_in_any_inspiration(change):
    rng = np.random.default_rng(3)
    hu, lungs = torch.from_numpy(rng.normal(-800, 60, SHAPE)).float(), torch.zeros(SHAPE)
    lungs[5:-5, 5:-5, 5:-5] = 1
    hu[20:30, 10:20, 10:20] = -300
    usual = usual_lung_hu(hu, lungs)
    assert usual == pytest.approx(-832, abs=8)
    assert usual_lung_hu(hu + change, lungs) == pytest.approx(usual + change, abs=0.1)
    plain, other = (
        volume_input(hu + more, (-1350.0, 150.0), lungs, usual_lung_hu(hu + more, lungs)) for more in (0, change)
    )
    torch.testing.assert_close(plain[1], other[1], atol=1e-3, rtol=0)
    assert not plain[:, lungs == 0].any()
    assert plain[1][lungs > 0].median() == pytest.approx(0.25, abs=0.1)


def test_a_patch_without_lung_has_input_too():
    nothing_there = torch.zeros(SHAPE)
    assert usual_lung_hu(torch.zeros(SHAPE), nothing_there) == -850
    assert not volume_input(torch.zeros(SHAPE), (-1350.0, 150.0), nothing_there, -850.0).any()


def test_it_counts_as_one_voice():
    ct, lungs = chest()
    axial = LesionsNetwork(Says(lambda seen: torch.full_like(seen, 2.0)))
    for said, expected in ((-1.9, True), (-2.1, False)):
        volume = LesionsNetwork(Says(lambda seen, said=said: torch.full_like(seen, said)), pixel_mm=2.0)
        found = find_lesions_by_network(ct, lungs, axial, CPU, [], beside={VOLUME: volume})
        assert np.array_equal(found, (lungs > 0) & expected)


def test_slabs_give_what_the_whole_gives(monkeypatch):
    torch.manual_seed(0)
    settings = {"in_channels": 1, "out_channels": 1, "features": [2, 2, 2], "upsampling": "linear"}
    network = build_network("lobes-unet-3d", **settings).eval()
    seen = torch.rand(1, 130, 20, 24)
    whole = run_volume(network, seen, CPU, [], silent)
    monkeypatch.setattr(volumes, "_SLABS", 1)
    assert whole.shape == (1, 130, 20, 24)
    torch.testing.assert_close(run_volume(network, seen, CPU, [], silent), whole, atol=0.02, rtol=0.02)
