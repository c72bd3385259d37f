"""Weights in lungmask's own format, imported and run: label for label what lungmask itself makes of the same file."""

import dataclasses
import hashlib
import importlib.util
import shutil
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lungmask", reason="the optional package lungmask is not installed")

from lungmask import LMInferer, mask  # noqa: E402
from lungmask.mask import MODEL_URLS, get_model  # noqa: E402
from lungmask.resunet import UNet  # noqa: E402

from COVIDQuantLib.anatomy import LOBES  # noqa: E402
from COVIDQuantLib.ct.volume import CTVolume  # noqa: E402
from COVIDQuantLib.errors import Cancelled, UnfitInputError, UsageError  # noqa: E402
from COVIDQuantLib.inference.device import Device  # noqa: E402
from COVIDQuantLib.inference.lungmask_slices import lobes_by_lungmask  # noqa: E402
from COVIDQuantLib.models import catalogue, find_bundle  # noqa: E402
from COVIDQuantLib.models.import_lungmask import ARCHITECTURE, PUBLISHED, RELEASES, import_lungmask  # noqa: E402
from COVIDQuantLib.networks.fold import fold_batch_norms  # noqa: E402
from COVIDQuantLib.networks.lungmask_unet import lungmask_unet  # noqa: E402
from COVIDQuantLib.voxels.geometry import Geometry  # noqa: E402

CPU = Device("cpu")
# What lungmask's README says its labels are, in its order 1, 2 ...
THEIR_LOBES = ("left upper lobe", "left lower lobe", "right upper lobe", "right middle lobe", "right lower lobe")


BUILT_AS = {"padding": True, "depth": 5, "up_mode": "upsample", "batch_norm": True, "residual": False}
# in_channels, n_classes, depth, wf (channels at first, as a power of two), padding, batch_norm, up_mode, residual
DEFAULTS = UNet.__init__.__defaults__
NARROW = (*DEFAULTS[:3], 2, *DEFAULTS[4:])


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """lungmask's network with 4 channels at first instead of 64: same format, files of kilobytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UNet.__init__, "__defaults__", NARROW)
        yield


def lungmask_state(classes):
    """A state dict of the shapes that lungmask releases, every tensor another."""
    with torch.device("meta"):
        network = UNet(n_classes=classes, **BUILT_AS)
    state = {}
    for number, (name, tensor) in enumerate(network.state_dict().items()):
        values = torch.arange(tensor.numel()).add(number).remainder(97).reshape(tensor.shape)
        floats = values.div(97.0).sub(0.0 if name.endswith("running_var") else 0.5)
        state[name] = floats if tensor.is_floating_point() else values
    return state


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Files as ``torch.save`` writes them, by number of classes."""
    folder = tmp_path_factory.mktemp("released")
    for classes in (3, 6):
        torch.save(lungmask_state(classes), folder / f"{classes}.pth")
    return {classes: folder / f"{classes}.pth" for classes in (3, 6)}


@pytest.fixture(scope="module")
def imported(released, tmp_path_factory):
    """The bundles of both files, by number of classes."""
    folder = tmp_path_factory.mktemp("imported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(catalogue.ENVIRONMENT, str(folder))
        return {3: import_lungmask(released[3], "R231"), 6: import_lungmask(released[6])}


class Stripes(torch.nn.Module):
    """Quick stand-in for a trained network of ``classes``: dark tissue shared out in stripes across the image."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, x):
        across = torch.linspace(0, 1, x.shape[-1]).expand_as(x)
        down = torch.linspace(0, 1, x.shape[-2])[:, None].expand_as(x)
        place = across * 0.9 + 0.1 * torch.sin(9 * down)
        middles = (torch.arange(self.classes - 1) + 0.5) / (self.classes - 1)
        inside = ((x > 0.05) & (x < 0.4)).float()
        scores = inside * (1 - (place - middles[:, None, None]).abs()) + (1 - inside) * -1
        return torch.cat([0.0 * x, scores], dim=1)


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture(scope="module")
def chest():
    """Four slices of a body with two dark lungs, off centre, noisy, no square, on the canonical grid."""
    rng = np.random.default_rng(4)
    k, j, i = np.mgrid[0:4, 0:160, 0:150]
    hu = np.full(k.shape, -1000)
    hu[((j - 85) / 60) ** 2 + ((i - 70) / 62) ** 2 < 1] = 40
    for centre in (42, 98):
        hu[((j - 80) / 36) ** 2 + ((i - centre) / 20) ** 2 < 1] = -820
    hu = hu + rng.normal(0, 12, hu.shape) + 3 * k
    geometry = Geometry(k.shape, (2.0, 2.0, 5.0), (-150.0, -160.0, 0.0))
    return CTVolume.from_values(hu, geometry)


def test_the_table_of_releases_is_lungmasks_own():
    assert {model.name: (RELEASES + model.file, model.classes) for model in PUBLISHED} == MODEL_URLS


def test_the_label_maps_say_what_lungmask_says():
    by_task = {model.task: model.labels for model in PUBLISHED}
    names = {lobe.label: lobe.name for lobe in LOBES}
    assert [names[by_task["lobes"][str(n + 1)]] for n in range(5)] == list(THEIR_LOBES)
    assert by_task["lungs"] == {"1": 1, "2": 2}


@pytest.mark.parametrize(
    ("classes", "task", "installed"), [(3, "lungs", "lungmask-r231"), (6, "lobes", "lungmask-ltrclobes")]
)
def test_a_released_file_becomes_a_bundle(released, imported, classes, task, installed):
    bundle = imported[classes]
    assert (bundle.name, bundle.task, bundle.path.name) == (installed, task, installed)
    bundle.verify()
    training = bundle.metadata["covidquant"]["training"]
    assert training["imported"]["sha256"] == hashlib.sha256(released[classes].read_bytes()).hexdigest()
    assert training["is_the_released_file"] is False
    assert bundle.networks["slices"].architecture == ARCHITECTURE
    state = torch.load(released[classes], weights_only=True)
    loaded = bundle.load("slices").state_dict()
    assert set(state) == set(loaded)
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_torchs_older_files_are_read_and_models_of_one_shape_lie_side_by_side(own, tmp_path):
    """lungmask's releases of 2020 may be in either format of ``torch.save``."""
    torch.save(lungmask_state(3), tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    bundle = import_lungmask(tmp_path / "x.pth", "R231CovidWeb")
    assert bundle.path == own / "lungmask-r231covidweb"
    assert find_bundle("lungmask-r231covidweb", "lungs").record() == bundle.record()
    with pytest.raises(UsageError, match="a bundle exists here already"):
        import_lungmask(tmp_path / "x.pth", "R231CovidWeb")


def test_monai_builds_an_imported_network(imported):
    parser = pytest.importorskip("monai.bundle").ConfigParser()
    parser.read_config(str(imported[6].path / "configs/inference.json"))
    assert isinstance(parser.get_parsed_content("network_def"), UNet)


def test_the_full_size_is_lungmasks_own(monkeypatch):
    """The published files have 64 channels at first, the package's default."""
    monkeypatch.setattr(UNet.__init__, "__defaults__", DEFAULTS)
    with torch.device("meta"):
        ours, theirs = lungmask_unet(out_channels=6), UNet(n_classes=6, **BUILT_AS)
    shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert shapes[0]["last.weight"] == (6, 64, 1, 1)


def test_the_network_is_the_one_lungmask_builds(released, imported):
    ours, theirs = imported[6].load("slices"), get_model("", str(released[6]))
    x = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        answer = ours(x)
        assert torch.isfinite(answer).all()
        assert torch.equal(answer, theirs(x))
        assert torch.allclose(fold_batch_norms(ours)(x), answer, atol=1e-4), "as the job runs it"


def inferer(monkeypatch, network):
    """lungmask's own inference, with another network in it."""
    monkeypatch.setattr(mask, "get_model", lambda *_: network)
    return LMInferer(force_cpu=True, tqdm_disable=True)


def ours_for(theirs, record):
    table = np.zeros(256, np.uint8)
    for their, our in record.input["labels"].items():
        table[int(their)] = our
    return table[theirs]


@pytest.mark.parametrize("classes", [3, 6])
def test_labels_are_those_of_lungmask_itself(imported, chest, classes, monkeypatch):
    """Same preprocessing, scaling, postprocessing and way back, whatever the network answers."""
    record = imported[classes].networks["slices"]
    expected = inferer(monkeypatch, Stripes(classes)).apply(chest.hu)
    found = lobes_by_lungmask(Stripes(classes), chest, record, CPU)
    assert found.dtype == np.uint8
    assert found.shape == chest.hu.shape
    assert len(np.unique(expected)) == classes, "a test of labels needs them all"
    assert np.array_equal(found, ours_for(expected, record))


def test_labels_are_lungmasks_in_any_orientation_of_the_ct(imported, chest, monkeypatch):
    """A sagittal CT from the left, its rows to the head: our canonical grid is the one that lungmask turns it to."""
    stored = np.ascontiguousarray(np.moveaxis(chest.hu, 2, 0)[::-1, :, ::-1])
    axes = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    ct = CTVolume(stored, Geometry(stored.shape, (2.0, 5.0, 2.0), (0.0, 0.0, 0.0), tuple(axes.ravel())))
    canonical, turn = ct.canonical()
    found = turn.undo(lobes_by_lungmask(Stripes(3), canonical, imported[3].networks["slices"], CPU))
    assert np.array_equal(found, inferer(monkeypatch, Stripes(3)).apply(ct.geometry.to_image(ct.hu)))
    # The stripes' first half is the low columns, which are the patient's right in both.
    right, left = (np.argwhere(found == label) @ ct.geometry.index_to_lps[0, [2, 1, 0]] for label in (1, 2))
    assert right.mean() < left.mean()


@pytest.mark.slow
def test_the_whole_network_gives_lungmasks_labels(tmp_path, own, monkeypatch, chest):
    """Random weights at full size; slow on a processor."""
    monkeypatch.setattr(UNet.__init__, "__defaults__", DEFAULTS)
    torch.manual_seed(1)
    torch.save(UNet(n_classes=6, **BUILT_AS).state_dict(), tmp_path / "x.pth")
    bundle = import_lungmask(tmp_path / "x.pth")
    two = CTVolume(chest.hu[:2], Geometry((2, *chest.hu.shape[1:]), chest.geometry.spacing))
    expected = LMInferer(modelpath=str(tmp_path / "x.pth"), force_cpu=True, tqdm_disable=True).apply(two.hu)
    found = lobes_by_lungmask(bundle.load("slices"), two, bundle.networks["slices"], CPU)
    assert np.array_equal(found, ours_for(expected, bundle.networks["slices"]))
    # Each is 125 MB, and pytest keeps the folders of three runs.
    (tmp_path / "x.pth").unlink()
    shutil.rmtree(own)


def test_it_can_be_stopped_while_slices_are_prepared_and_predicted(imported, chest):
    for stage in (0.1, 0.5):
        seen = []

        def stop(fraction, stage=stage, seen=seen):
            seen.append(fraction)
            if fraction >= stage:
                raise Cancelled

        slices = CTVolume(np.repeat(chest.hu, 12, axis=0), Geometry((48, 160, 150), (2.0, 2.0, 5.0)))
        with pytest.raises(Cancelled):
            lobes_by_lungmask(Stripes(6), slices, imported[6].networks["slices"], CPU, stop)
        assert seen == sorted(seen)


def test_memory_that_runs_out_makes_the_batch_smaller(imported, chest):
    class Greedy(Stripes):
        def forward(self, x):
            if len(x) > 1:
                raise RuntimeError("out of memory")
            return super().forward(x)

    notices = []
    record = imported[6].networks["slices"]
    found = lobes_by_lungmask(Greedy(6), chest, record, CPU, notices=notices)
    assert [notice.code for notice in notices] == ["smaller-batch"]
    assert np.array_equal(found, lobes_by_lungmask(Stripes(6), chest, record, CPU))


@pytest.mark.parametrize(
    "entry", [{}, {"size": [256, 256]}, {"size": 3, "labels": {}}, {"size": [8, 8], "labels": {"x": 1}}]
)
def test_a_bundle_that_does_not_say_its_labels_is_refused(imported, chest, entry):
    record = dataclasses.replace(imported[6].networks["slices"], input=entry)
    with pytest.raises(UnfitInputError, match="describe its network"):
        lobes_by_lungmask(Stripes(6), chest, record, CPU)


@pytest.mark.parametrize(
    ("name", "digits", "found"),
    [
        ("x.pth", "d5d2fc3d", "R231"),
        ("x.pth", "0de78a7e", "R231CovidWeb"),
        ("unet_r231covid-0de78a7e.pth", "", "R231CovidWeb"),
    ],
)
def test_models_of_one_shape_are_told_apart(tmp_path, name, digits, found):
    from COVIDQuantLib.models.import_lungmask import _identify

    model = _identify(tmp_path / name, digits.ljust(64, "0"), 3, None)
    assert model.name == found
    if digits:
        other = {"R231", "R231CovidWeb"} - {found}
        with pytest.raises(UsageError, match=f"is {found}, not"):
            _identify(tmp_path / name, digits.ljust(64, "0"), 3, other.pop())


def test_a_name_that_contradicts_the_file_or_is_needed(released, own):
    with pytest.raises(UsageError, match="the file is LTRCLobes, not R231"):
        import_lungmask(released[6], "R231")
    with pytest.raises(UsageError, match="R231 or R231CovidWeb"):
        import_lungmask(released[3])
    assert not own.exists()


class Bomb:
    def __reduce__(self):
        return print, ("this must never run",)


def cut_short(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def cut_zip(path, state):
    torch.save(state, path)
    cut_short(path)


def cut_old_format(path, state):
    torch.save(state, path, _use_new_zipfile_serialization=False)
    cut_short(path)


def saved(value):
    return lambda path, _state: torch.save(value, path)


def saved_with(**values):
    """The state with tensors exchanged (dots of their names written ``__``), or left out for None."""
    changes = {name.replace("__", "."): value for name, value in values.items()}

    def save(path, state):
        state = {name: changes.get(name, tensor) for name, tensor in state.items()}
        torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, path)

    return save


SPOILT = {
    "code": (saved({"last.bias": Bomb()}), "could run code"),
    "a whole module": (saved(torch.nn.Linear(2, 2)), "could run code"),
    "truncated": (cut_zip, "damaged or truncated"),
    "old format truncated": (cut_old_format, "damaged or truncated"),
    "empty": (lambda path, _: path.write_bytes(b""), "damaged"),
    "text": (lambda path, _: path.write_text("hello"), ""),
    "zip": (lambda path, _: zipfile.ZipFile(path, "w").close(), ""),
    "list": (saved([1, 2]), "not the weights of a lungmask network"),
    "another network": (saved({"weight": torch.zeros(2)}), "not the weights of a lungmask network"),
    "four classes": (saved_with(last__bias=torch.zeros(4)), "has 4 classes"),
    "tensor missing": (saved_with(down_path__0__block__0__weight=None), "lack 'down_path.0.block.0.weight'"),
    "shape": (saved_with(last__weight=torch.zeros(3, 8, 1, 1)), "shape (3, 8, 1, 1)"),
    "not a number": (saved_with(last__bias=torch.tensor([0.0, float("nan"), 0.0])), "no numbers"),
}


@pytest.fixture(scope="module")
def state():
    return lungmask_state(3)


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_files_are_refused(own, tmp_path, state, case, capfd):
    spoil, said = SPOILT[case]
    spoil(tmp_path / "x.pth", state)
    with pytest.raises(UnfitInputError) as caught:
        import_lungmask(tmp_path / "x.pth", "R231")
    assert said in caught.value.line()
    assert not own.exists() or list(own.iterdir()) == []
    assert "never run" not in capfd.readouterr().out


def test_without_the_package_the_user_is_told_to_install_it(released, imported, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    for action in (lambda: import_lungmask(released[3], "R231"), lambda: imported[6].load("slices")):
        with pytest.raises(UnfitInputError, match="pip install lungmask"):
            action()
