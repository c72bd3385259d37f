"""The papers' networks against their descriptions, and the registry that builds them."""

import math
from collections import Counter
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from COVIDQuantLib.errors import UsageError  # noqa: E402
from COVIDQuantLib.networks.describe import describe  # noqa: E402
from COVIDQuantLib.networks.registry import ARCHITECTURES, architecture, build_network, checked_settings  # noqa: E402

# lungmask's network is its own package's.
NAMES = [name for name in ARCHITECTURES if name != "lungmask-unet"]
LESIONS = ["yoo-unet-2d", "covid-lesion-net", "changsha-resnet34-unet"]
SLIM = {2: {"width": 4}, 3: {"features": (2, 4, 6)}}

# What the papers say (convolutions, poolings, transposed convolutions, interpolations), final 1×1 counted.
# Yoo: initial + 4 encoders + 4 decoders of two each + 1; Pan: twelve segments + 1; ResNet-34: 1 + 2·(3+4+6+3) = 33
# convolutions and 3 projections, a decoder of 5·2, + 1.
AS_DESCRIBED = {
    "lobes-unet-3d": (15, 3, 3, 0),
    "yoo-unet-2d": (2 * 9 + 1, 4, 0, 4),
    "covid-lesion-net": (12 + 1, 3, 3, 0),
    "changsha-resnet34-unet": (33 + 3 + 10 + 1, 1, 0, 5),
    "changsha-unet-2d-lungs": (2 * 9 + 1, 4, 4, 0),
}


def slim(name, **settings):
    torch.manual_seed(7)
    return build_network(name, **{**SLIM[ARCHITECTURES[name].spatial_dims], **settings})


def image(name, shape, n=2):
    generator = torch.Generator().manual_seed(11)
    return torch.randn(n, ARCHITECTURES[name].defaults["in_channels"], *shape, generator=generator)


def convolution_parameters(pairs, dims=2):
    """Of 3-a-side convolutions without bias, each with a norm of two numbers a channel."""
    return sum(before * after * 3**dims + 2 * after for before, after in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_the_layers_are_those_of_the_description(name):
    found = describe(name)
    counted = (found.convolutions, found.poolings, found.transposed_convolutions, found.interpolations)
    assert counted == AS_DESCRIBED[name]
    # Every convolution but the final one is normalised.
    assert found.normalisations == found.convolutions - 1


def test_the_full_sizes_by_hand():
    w = [64, 128, 256, 512, 1024]
    down = [(1, 64), (64, 64), *((a, b) for x, y in pairwise(w) for a, b in ((x, y), (y, y)))]
    yoo_up = [pair for x, y in pairwise(w) for pair in ((x + y, x), (x, x))]
    assert describe("yoo-unet-2d").parameters == convolution_parameters(down + yoo_up) + 64 + 1
    lungs_up = [pair for x in w[:-1] for pair in ((2 * x, x), (x, x))]
    enlarging = sum(y * x * 4 + x for x, y in pairwise(w))
    expected = convolution_parameters(down + lungs_up) + enlarging + 64 + 1
    assert describe("changsha-unet-2d-lungs").parameters == expected
    # Pan: eight segments down to 512, four up, three 2×2 transposed convolutions.
    up = [(512, 256), (256, 128), (128, 64), (64, 64)]
    enlarging = sum(y * x * 4 + x for x, y in pairwise(w[:4]))
    assert describe("covid-lesion-net").parameters == convolution_parameters(down[:8] + up) + enlarging + 64 + 1
    # ResNet-34 without its classifier has 21 284 672 parameters for three input channels (He et al.).
    encoder = build_network("changsha-resnet34-unet").encoder
    assert sum(weights.numel() for weights in encoder.parameters()) == 21_284_672


def test_the_encoder_is_resnet_34():
    encoder = slim("changsha-resnet34-unet").encoder
    stages = [encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4]
    assert [len(stage) for stage in stages] == [3, 4, 6, 3]
    assert encoder.conv1.kernel_size == (7, 7)
    assert encoder.conv1.stride == (2, 2)


@pytest.mark.parametrize("name", LESIONS)
def test_every_convolution_but_the_final_is_followed_by_batch_norm_and_relu(name):
    """Recorded as it runs: after each 3×3 convolution its norm, and as many activations as the description has."""
    network = slim(name).eval()
    ran = []
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, *_: ran.append(module))
    network(image(name, (32, 32), n=1))
    for before, after in pairwise(ran):
        if isinstance(before, torch.nn.Conv2d):
            assert isinstance(after, torch.nn.BatchNorm2d)
    assert isinstance(ran[-1], torch.nn.Conv2d)
    assert ran[-1].kernel_size == (1, 1)
    kinds = Counter(type(module).__name__ for module in ran)
    projections = 3 if name == "changsha-resnet34-unet" else 0
    assert kinds["ReLU"] == kinds["Conv2d"] - 1 - projections
    others = [module.kernel_size for module in ran[:-1] if isinstance(module, torch.nn.Conv2d)]
    assert Counter(others)[(3, 3)] == len(others) - projections - (1 if projections else 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 33, 50), (16, 32, 32), (9, 17, 31)])
def test_any_input_shape_is_kept(name, shape):
    network = slim(name)
    shape = shape[3 - ARCHITECTURES[name].spatial_dims :]
    out = network(image(name, shape))
    assert out.shape == (2, ARCHITECTURES[name].defaults["out_channels"], *shape)
    assert out.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_padding_does_not_change_what_fits(name):
    """A picture whose border repeats inside itself gives the same middle, padded by hand or by the network."""
    network = slim(name).eval()
    factor, dims = network.factor, network.dims
    inner = image(name, (2 * factor - 1,) * dims, n=1)
    by_hand = torch.nn.functional.pad(inner, [0, 1] * dims, mode="replicate")
    with torch.inference_mode():
        ours, other = network(inner), network(by_hand)
    middle = (slice(None), slice(None), *[slice(0, 2 * factor - 1)] * dims)
    assert torch.equal(ours, other[middle])


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name):
    network = slim(name)
    shape = (16, 32, 32)[3 - network.dims :]
    network(image(name, shape)).square().mean().backward()
    for key, weights in network.named_parameters():
        assert weights.grad is not None, key
        assert weights.grad.isfinite().all(), key
        assert weights.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", NAMES)
def test_a_bright_block_is_learnt(name):
    network = slim(name)
    shape = (16, 32, 32)[3 - network.dims :]
    block = torch.zeros(2, 1, *shape)
    block[(slice(None), slice(None), *[slice(4, 12)] * network.dims)] = 1.0
    x = image(name, shape) * 0.1 + block
    wanted = block.expand(-1, ARCHITECTURES[name].defaults["out_channels"], *shape)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(x), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_weights(name):
    first, again = slim(name).state_dict(), slim(name).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    torch.manual_seed(8)
    other = build_network(name, **SLIM[ARCHITECTURES[name].spatial_dims]).state_dict()
    assert not torch.equal(first["final.weight"], other["final.weight"])


@pytest.mark.parametrize("name", NAMES)
def test_the_initialisation_is_hes(name):
    """Kaiming He: variance 2 / fan-in of the weights of every 3×3 convolution; seen on one with many weights."""
    network = build_network(name, **({"width": 32} if ARCHITECTURES[name].spatial_dims == 2 else {}))
    weights = [module.weight for module in network.modules() if isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d))]
    weight = max(weights, key=torch.numel)
    assert float(weight.detach().std()) == pytest.approx(math.sqrt(2 / weight[0].numel()), rel=0.05)


@pytest.mark.parametrize("name", [name for name in NAMES if ARCHITECTURES[name].spatial_dims == 2])
def test_width_slims(name):
    sizes = [describe(name, width=width).parameters for width in (8, 16, 32, 64)]
    for smaller, larger in pairwise(sizes):
        assert 3.5 < larger / smaller < 4.1  # parameters go with the square of the width


@pytest.mark.parametrize("features", [(4, 8, 16), (4, 8, 12, 20), [2, 2, 4, 4, 8]])
@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_the_depth_of_the_lobes_network_is_the_number_of_features(features, norm):
    found = describe("lobes-unet-3d", features=features, norm=norm)
    levels = len(features)
    assert (found.factor, found.poolings, found.convolutions) == (2 ** (levels - 1), levels - 1, 4 * levels - 1)


@pytest.mark.parametrize("upsampling", ["transposed", "linear", "nearest"])
def test_the_lobes_network_takes_coarse_probabilities_too(upsampling):
    network = slim("lobes-unet-3d", in_channels=7, dropout=0.1, upsampling=upsampling)
    assert network(torch.randn(1, 7, 5, 9, 11)).shape == (1, 6, 5, 9, 11)


def test_memory_formats_give_the_same():
    for name in NAMES:
        network = slim(name).eval()
        x = image(name, (9, 33, 40)[3 - network.dims :])
        layout = torch.channels_last if network.dims == 2 else torch.channels_last_3d
        with torch.inference_mode():
            plain = network(x)
            other = network.to(memory_format=layout)(x.contiguous(memory_format=layout))
        assert torch.allclose(plain, other, atol=1e-4)


def test_lungmasks_network_is_described_too():
    pytest.importorskip("lungmask")
    assert architecture("lungmask-unet").defaults == {"in_channels": 1, "out_channels": 3}
    found = describe("lungmask-unet")
    # Five levels of two convolutions down, four up with a 1×1 each, the final one; its poolings are averages.
    assert (found.convolutions, found.poolings, found.interpolations) == (10 + 4 * 3 + 1, 4, 4)
    assert (found.transposed_convolutions, found.factor) == (0, 16)


def test_unknown_architecture():
    with pytest.raises(UsageError, match=r"no architecture 'unet'.*yoo-unet-2d"):
        build_network("unet")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("yoo-unet-2d", {"depth": 4}, "yoo-unet-2d: it has no setting 'depth'.*width"),
        ("yoo-unet-2d", {"width": 0}, "'width' cannot be 0.*whole number from 1"),
        ("yoo-unet-2d", {"width": True}, "'width' cannot be True"),
        ("covid-lesion-net", {"in_channels": "3"}, "'in_channels' cannot be '3'"),
        ("lobes-unet-3d", {"features": [16]}, "'features' cannot be"),
        ("lobes-unet-3d", {"features": [16, -1]}, "'features' cannot be"),
        ("lobes-unet-3d", {"features": 16}, "'features' cannot be"),
        ("lobes-unet-3d", {"norm": "layer"}, "'norm' cannot be 'layer'.*batch, instance, group"),
        ("lobes-unet-3d", {"norm": ["batch"]}, "'norm' cannot be"),
        ("lobes-unet-3d", {"dropout": 1.0}, "'dropout' cannot be 1.0"),
        ("lobes-unet-3d", {"upsampling": None}, "'upsampling' cannot be None"),
    ],
)
def test_settings_that_cannot_be(name, settings, message):
    with pytest.raises(UsageError, match=message):
        build_network(name, **settings)
    with pytest.raises(UsageError, match=message):
        describe(name, **settings)


def test_settings_from_json_are_completed():
    settings = checked_settings("lobes-unet-3d", {"features": [4, 8], "in_channels": 7})
    assert settings["features"] == (4, 8)
    assert settings["out_channels"] == 6
    assert settings == {**architecture("lobes-unet-3d").defaults, "features": (4, 8), "in_channels": 7}


@pytest.mark.parametrize("name", NAMES)
def test_the_records_are_whole(name):
    record = ARCHITECTURES[name]
    assert record.name == name
    assert record.title
    assert record.source
    for key, setting in record.settings.items():
        assert setting.fits(setting.default), key
        assert setting.meaning
        assert setting.wanted
    assert describe(name, **SLIM[record.spatial_dims]).factor == slim(name).factor
