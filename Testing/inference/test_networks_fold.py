"""Folded networks give what they gave before."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from COVIDQuantLib.networks.fold import fold_batch_norms  # noqa: E402
from COVIDQuantLib.networks.registry import ARCHITECTURES, build_network  # noqa: E402


def settled(name, **settings):
    """A network whose batch norms have seen images, so that they are far from identity; and a new image."""
    torch.manual_seed(3)
    slim = {"width": 4} if ARCHITECTURES[name].spatial_dims == 2 else {"features": (4, 8, 8)}
    network = build_network(name, **slim, **settings)
    shape = (12, 32, 40)[3 - network.dims :]
    channels = ARCHITECTURES[name].defaults["in_channels"]
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
    for _ in range(6):
        loss = network(torch.randn(2, channels, *shape) * 2 + 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network, torch.randn(2, channels, *shape)


def norms(network):
    return sum(isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)) for module in network.modules())


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "lungmask-unet"])
def test_the_outputs_agree(name):
    network, x = settled(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_batch_norms(network)
    assert norms(folded) == 0
    assert norms(network) > 0
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    with torch.inference_mode():
        assert torch.allclose(folded(x), network.eval()(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_other_norms_stay(norm):
    network, x = settled("lobes-unet-3d", norm=norm)
    folded = fold_batch_norms(network)
    with torch.inference_mode():
        assert torch.equal(folded(x), network.eval()(x))


def test_a_norm_after_an_activation_stays():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.BatchNorm2d(3))
    network(torch.randn(4, 1, 9, 9))
    folded = fold_batch_norms(network)
    assert norms(folded) == 1
    x = torch.randn(1, 1, 8, 8)
    assert torch.equal(folded(x), network.eval()(x))


def test_a_transposed_convolution_is_folded():
    up = torch.nn.ConvTranspose2d(3, 2, 2, stride=2)
    network = torch.nn.Sequential(up, torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.ReLU()))
    for _ in range(3):
        network(torch.randn(4, 3, 9, 9) * 3 + 1)
    folded = fold_batch_norms(network)
    x = torch.randn(1, 3, 8, 8)
    assert norms(folded) == 0
    assert torch.allclose(folded(x), network.eval()(x), atol=1e-4)
