"""Bundles of toy networks for tests, written, changed and signed as a forger would."""

import hashlib
import json
import os
import pickle

import pytest

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from COVIDQuantLib.errors import UnfitInputError  # noqa: E402
from COVIDQuantLib.models import (  # noqa: E402
    TrainedNetwork,
    write_bundle,
)
from COVIDQuantLib.networks.registry import build_network  # noqa: E402

ARCHITECTURE = "lobes-unet-3d"
COARSE, FINE = {"features": [2, 4]}, {"in_channels": 7, "features": [2, 4]}
MEASURED = [{"data": "phantoms 1..3", "measure": "Dice", "value": 0.5, "n": 3, "machine": "a laptop"}]
FACTS = {
    "version": "1.2.0",
    "task": "lobes",
    "description": "A network of no use.",
    "licence": "Apache-2.0",
    "data_source": "noise",
    "training": {"seed": 7},
    "measured": MEASURED,
}


def network(settings=COARSE, seed=0, half=False):
    torch.manual_seed(seed)
    module = build_network(ARCHITECTURE, **settings)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
    return TrainedNetwork(ARCHITECTURE, settings, module, {"spacing_mm": [4.0, 4.0, 4.0]}, half)


def write(folder, seed=0, half=False, **changes):
    networks = {"coarse": network(COARSE, seed, half), "fine": network(FINE, seed, half)}
    return write_bundle(folder, **{"networks": networks, "name": folder.name, **FACTS, **changes})


def metadata_of(folder):
    return json.loads((folder / "configs/metadata.json").read_text(encoding="utf-8"))


def change(folder, edit):
    metadata = metadata_of(folder)
    edit(metadata)
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))


def coarse_record(metadata):
    return metadata["covidquant"]["networks"]["coarse"]


def put_weights(folder, data):
    """Weights that a forger has signed."""
    (folder / "models/coarse.safetensors").write_bytes(data)
    change(folder, lambda m: coarse_record(m).update(sha256=hashlib.sha256(data).hexdigest()))


def tensors_of(folder):
    return safetensors_torch.load((folder / "models/coarse.safetensors").read_bytes())


def refusal(action, *, kind=UnfitInputError):
    with pytest.raises(kind) as caught:
        action()
    assert caught.value.what
    assert "\n" not in caught.value.line()
    return caught.value.line()


def altered(folder):
    path = folder / "models/coarse.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def cut(folder, keep=0.5):
    path = folder / "models/coarse.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def other_tensors(edit):
    def spoil(folder):
        tensors = tensors_of(folder)
        edit(tensors)
        put_weights(folder, safetensors_torch.save(tensors))

    return spoil


def lose(tensors):
    del tensors["final.weight"]


def widen(tensors):
    tensors["final.weight"] = torch.zeros(6, 3, 1, 1, 1)


def add(tensors):
    tensors["more"] = torch.zeros(1)


def break_value(tensors):
    tensors["final.weight"].view(-1)[0] = float("nan")


def whole_numbers(tensors):
    tensors["final.weight"] = torch.zeros_like(tensors["final.weight"], dtype=torch.int32)


def torch_file(folder):
    tensors = tensors_of(folder)
    torch.save(tensors, folder / "x")
    put_weights(folder, (folder / "x").read_bytes())


class Bomb:
    def __reduce__(self):
        return os.system, ("echo this must never run",)


SPOILT_WEIGHTS = {
    "altered": (altered, "SHA-256 differs"),
    "half": (cut, "truncated"),
    "header": (lambda folder: cut(folder, 0.01), "truncated"),
    "empty": (lambda folder: cut(folder, 0), "SHA-256 differs"),
    "missing": (lambda folder: (folder / "models/coarse.safetensors").unlink(), "missing"),
    "folder": (
        lambda folder: [
            (folder / "models/coarse.safetensors").unlink(),
            (folder / "models/coarse.safetensors").mkdir(),
        ],
        "missing",
    ),
    "tensor missing": (other_tensors(lose), "lack 'final.weight'"),
    "tensor added": (other_tensors(add), "unknown 'more'"),
    "shape": (other_tensors(widen), "shape (6, 3, 1, 1, 1) instead of (6, 2, 1, 1, 1)"),
    "kind": (other_tensors(whole_numbers), "final.weight"),
    "not a number": (other_tensors(break_value), "not finite numbers"),
    "rubbish": (lambda folder: put_weights(folder, b"rubbish" * 100), "not a safetensors"),
    "pickle": (lambda folder: put_weights(folder, pickle.dumps(Bomb())), "pickle"),
    "torch file": (torch_file, "pickle"),
}


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
