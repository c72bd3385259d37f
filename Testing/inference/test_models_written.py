"""Bundles: what is written is what is read, and a bundle is written whole or not at all."""

import hashlib
import json
import sys

import numpy as np
import pytest
from models_world import COARSE, FINE, MEASURED, files, network, refusal, tensors_of, write

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from COVIDQuantLib.errors import Cancelled, OutputError, UnfitInputError, UsageError  # noqa: E402
from COVIDQuantLib.models import (  # noqa: E402
    read_bundle,
)

# ------------------------------------------------------------------------------------------- written and read


def test_what_is_written_is_what_is_read(original):
    bundle = read_bundle(original, "lobes")
    assert (bundle.name, bundle.version, bundle.task) == ("toy", "1.2.0", "lobes")
    assert list(bundle.networks) == ["coarse", "fine"]
    assert bundle.networks["fine"].settings == FINE
    assert bundle.networks["fine"].input == {"spacing_mm": [4.0, 4.0, 4.0]}
    assert bundle.metadata["covidquant"]["measured"] == MEASURED
    assert bundle.metadata["covidquant"]["not_a_medical_device"] is True
    bundle.verify()


@pytest.mark.parametrize("role", ["coarse", "fine"])
def test_a_loaded_network_answers_as_the_trained_one(original, role):
    loaded = read_bundle(original).load(role)
    trained = network({"coarse": COARSE, "fine": FINE}[role]).module.eval()
    x = torch.randn(1, 1 if role == "coarse" else 7, 8, 8, 8)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with torch.no_grad():
        assert torch.equal(loaded(x), trained(x))


def test_half_weights_become_float_and_statistics_stay_exact(tmp_path):
    bundle = write(tmp_path / "toy", half=True)
    stored = tensors_of(bundle.path)
    trained = network().module
    statistics = {name for name, _ in trained.named_buffers()}
    for name, tensor in trained.state_dict().items():
        if name in statistics:
            assert torch.equal(stored[name], tensor), name
        else:
            assert stored[name].dtype == torch.float16
            assert torch.equal(stored[name], tensor.half()), name
    loaded = bundle.load("coarse")
    assert {t.dtype for t in loaded.parameters()} == {torch.float32}
    kept = bundle.load("coarse", half_to_float=False)
    assert {t.dtype for t in kept.parameters()} == {torch.float16}
    with torch.no_grad():
        x = torch.randn(1, 1, 8, 8, 8)
        assert torch.allclose(loaded(x), trained.eval()(x), atol=0.02)


def test_a_weight_too_large_for_half_keeps_its_tensor_whole(tmp_path):
    made = network(half=True)
    with torch.no_grad():
        next(made.module.parameters()).view(-1)[0] = 1e6
    bundle = write(tmp_path / "toy", networks={"coarse": made, "fine": network(FINE)})
    assert next(bundle.load("coarse").parameters()).view(-1)[0] == 1e6


def test_the_record_names_the_weights_by_their_sum(original):
    record = read_bundle(original).record()
    for role, sha256 in record["sha256"].items():
        assert hashlib.sha256((original / "models" / f"{role}.safetensors").read_bytes()).hexdigest() == sha256
    assert json.loads(json.dumps(record)) == record


def test_monai_reads_the_bundle(original):
    monai_bundle = pytest.importorskip("monai.bundle")
    parser = monai_bundle.ConfigParser()
    parser.read_config(str(original / "configs/inference.json"))
    parser.read_meta(str(original / "configs/metadata.json"))
    parser["bundle_root"] = str(original)
    bundle = read_bundle(original)
    for role, name in (("coarse", "networks_def::coarse"), ("fine", "network_def")):
        built = parser.get_parsed_content(name)
        built.load_state_dict(parser.get_parsed_content(f"weights::{role}"))
        x = torch.randn(1, bundle.networks[role].settings.get("in_channels", 1), 8, 8, 8)
        with torch.no_grad():
            assert torch.equal(built.eval()(x), bundle.load(role)(x))
    formats = parser.get_parsed_content("_meta_::network_data_format")
    assert formats["inputs"]["image"]["num_channels"] == 7
    assert formats["outputs"]["pred"]["num_channels"] == 6


def test_the_same_networks_give_the_same_files(tmp_path, original):
    again = write(tmp_path / "toy")
    for path in sorted(p for p in original.rglob("*") if p.is_file()):
        assert (again.path / path.relative_to(original)).read_bytes() == path.read_bytes(), path.name


def test_statistics_of_random_networks_survive_the_file(tmp_path):
    """Any network of the registry, whatever its size: same tensors before and after."""
    rng = np.random.default_rng(3)
    for seed in range(3):
        features = [int(n) for n in rng.integers(1, 6, rng.integers(2, 4))]
        made = network({"features": features, "norm": str(rng.choice(["batch", "instance", "group"]))}, seed)
        loaded = (
            write(tmp_path / f"toy{seed}", networks={"coarse": made, "fine": network(FINE)}).load("coarse").state_dict()
        )
        assert all(torch.equal(loaded[name], tensor) for name, tensor in made.module.state_dict().items())


# ------------------------------------------------------------------------------------------- written whole or not


def test_a_bundle_is_not_overwritten_unless_asked(tmp_path):
    first = write(tmp_path / "toy")
    before = files(first.path)
    refusal(lambda: write(tmp_path / "toy", seed=1), kind=UsageError)
    assert files(first.path) == before
    second = write(tmp_path / "toy", seed=1, replace=True)
    assert second.record()["sha256"] != first.record()["sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "thesis.txt").write_text("x")
    refusal(lambda: write(tmp_path / "toy", replace=True), kind=UsageError)
    assert files(tmp_path) == {"toy/thesis.txt": b"x"}


WRITE_FAULTS = {
    "disk full": OSError(28, "No space left on device"),
    "stopped": Cancelled(),
    "Ctrl-C": KeyboardInterrupt(),
}


@pytest.mark.parametrize("fault", WRITE_FAULTS)
@pytest.mark.parametrize("where", ["second file", "rename"])
def test_a_fault_while_replacing_leaves_the_old_bundle(tmp_path, monkeypatch, fault, where):
    first = write(tmp_path / "toy")
    before = files(tmp_path)
    error = WRITE_FAULTS[fault]
    calls = []

    def fail(*_):
        calls.append(1)
        # Of the two renames the first moves the old bundle away, the second the new one into its place.
        if len(calls) == 2:
            raise error
        return original_call(*_)

    if where == "second file":
        target = sys.modules["COVIDQuantLib.models.write"]
        original_call = target._write_bytes
        monkeypatch.setattr(target, "_write_bytes", fail)
    else:
        original_call = type(tmp_path).rename
        monkeypatch.setattr(type(tmp_path), "rename", fail)
    with pytest.raises(OutputError if fault == "disk full" else type(error)):
        write(tmp_path / "toy", seed=1, replace=True)
    monkeypatch.undo()
    assert files(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
    first.verify()


@pytest.mark.parametrize(
    "changes",
    [{"name": "A bundle"}, {"task": "brains"}, {"measured": [{"value": 1}]}, {"version": 1}, {"networks": {}}],
    ids=str,
)
def test_unfit_facts_are_not_written(tmp_path, changes):
    refusal(lambda: write(tmp_path / "toy", **changes), kind=UsageError if "networks" in changes else UnfitInputError)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_numbers_are_not_written(tmp_path):
    made = network()
    with torch.no_grad():
        next(made.module.parameters()).fill_(float("inf"))
    assert "not finite numbers" in refusal(
        lambda: write(tmp_path / "toy", networks={"coarse": made, "fine": network(FINE)})
    )
    refusal(lambda: write(tmp_path / "toy", training={"loss": float("nan")}), kind=UsageError)
    assert list(tmp_path.iterdir()) == []
