"""The training loop: it learns, stops, keeps the best, survives a crash and resumes bit for bit."""

import json
import math

import pytest
import torch
from monai.losses.dice import DiceCELoss
from safetensors.torch import load_file
from torch import nn

from COVIDQuantLib.errors import Cancelled, OutputError, UnfitInputError, UsageError
from COVIDQuantLib.training import checkpoint
from COVIDQuantLib.training.engine import TrainingError, fit
from COVIDQuantLib.training.settings import SCHEDULES, FitSettings


def network(dims=2, seed=1):
    torch.manual_seed(seed)
    conv, norm = ((nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d))[dims - 2]
    return nn.Sequential(conv(1, 3, 3, padding=1), norm(3), nn.ReLU(), nn.Dropout(0.1), conv(3, 1, 1))


def drawn(dims=2, count=3):
    """Batches drawn anew each epoch: find what is brighter than a half."""

    def batches(epoch):
        generator = torch.Generator().manual_seed(epoch)
        for _ in range(count):
            inputs = torch.rand((2, 1) + (8,) * dims, generator=generator)
            yield inputs, (inputs > 0.5).float()

    return batches


def settings(**changes):
    plan = {"epochs": 5, "learning_rate": 0.02, "schedule": "cosine", "best_by": "score"}
    return FitSettings(nn.BCEWithLogitsLoss(), **{**plan, **changes})


def measured(dims=2):
    inputs, targets = next(drawn(dims)(999))
    return lambda net: {"score": float(((net(inputs) > 0) == (targets > 0)).float().mean())}


def scripted(values):
    """A validation that gives one value after another."""
    left = iter(values)
    return lambda _net: {"score": next(left)}


def weights(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_loss_falls_on_one_batch(tmp_path, dims, precision):
    batch = list(drawn(dims, 1)(1))
    plan = settings(epochs=3, iterations_per_epoch=25, precision=precision, channels_last=True, schedule="constant")
    history = fit(network(dims), batch, measured(dims), plan, tmp_path)
    losses = [row["loss"] for row in history.rows]
    assert losses[-1] < 0.5 * losses[0]
    assert history.best_value > 0.8
    assert {"history.csv", "history.json", "curves.png", "last.pt", "best.safetensors"} <= {
        p.name for p in tmp_path.iterdir()
    }


def test_monai_losses_with_classes(tmp_path):
    net = nn.Conv2d(1, 3, 1)
    batch = [(torch.rand(2, 1, 8, 8), torch.randint(0, 3, (2, 1, 8, 8)))]
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    assert len(fit(net, batch, None, FitSettings(loss, epochs=2), tmp_path).rows) == 2


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, optimizer):
    plan = settings(optimizer=optimizer, patience=9, clip_norm=1.0, schedule="one-cycle")
    whole = network()
    history = fit(whole, drawn(), measured(), plan, tmp_path / "whole")

    calls = []

    def crash(fraction):
        calls.append(fraction)
        if len(calls) == 8:  # within the third epoch
            raise Cancelled

    with pytest.raises(Cancelled):
        fit(network(), drawn(), measured(), plan, tmp_path / "parts", crash)
    torch.rand(7)
    resumed = network(seed=5)
    again = fit(resumed, drawn(), measured(), plan, tmp_path / "parts", resume=True)
    assert same(weights(whole), weights(resumed))
    without_time = [[{**row, "seconds": 0} for row in h.rows] for h in (history, again)]
    assert without_time[0] == without_time[1]
    assert same(load_file(tmp_path / "whole" / "best.safetensors"), load_file(tmp_path / "parts" / "best.safetensors"))


def test_more_epochs_can_be_added(tmp_path):
    plan = settings(schedule="constant")
    whole, parts = network(), network()
    fit(whole, drawn(), None, settings(schedule="constant", epochs=4, best_by=""), tmp_path / "whole")
    fit(parts, drawn(), None, settings(schedule="constant", epochs=2, best_by=""), tmp_path / "parts")
    history = fit(
        parts, drawn(), None, settings(schedule="constant", epochs=4, best_by=""), tmp_path / "parts", resume=True
    )
    assert [row["epoch"] for row in history.rows] == [1, 2, 3, 4]
    assert same(weights(whole), weights(parts))
    assert plan.epochs == 5


def test_the_best_epoch_is_kept(tmp_path):
    seen = []

    def validation(net):
        seen.append(weights(net))
        return {"score": [0.1, 0.7, 0.3, math.nan, 0.6][len(seen) - 1]}

    net = network()
    history = fit(net, drawn(), validation, settings(), tmp_path)
    assert (history.best_epoch, history.best_value, history.stopped_by) == (2, 0.7, "epochs")
    assert same(load_file(tmp_path / "best.safetensors"), seen[1])
    assert same(weights(net), seen[4])
    assert json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))["best_epoch"] == 2


def test_the_lowest_can_be_best(tmp_path):
    history = fit(network(), drawn(), scripted([3, 1, 2, 1, 5]), settings(best_is="lowest"), tmp_path)
    assert history.best_epoch == 2


def test_it_stops_early_and_the_count_survives_a_resume(tmp_path):
    history = fit(network(), drawn(), scripted([0.2, 0.5, 0.4, 0.3, 0.2]), settings(patience=2), tmp_path / "a")
    assert (history.stopped_by, len(history.rows), history.best_epoch) == ("patience", 4, 2)
    fit(network(), drawn(), scripted([0.2, 0.5, 0.4]), settings(patience=2, epochs=3), tmp_path / "b")
    again = fit(network(), drawn(), scripted([0.3, 0.9]), settings(patience=2), tmp_path / "b", resume=True)
    assert (again.stopped_by, len(again.rows)) == ("patience", 4)


def test_it_stops_when_the_time_is_up(tmp_path):
    plan = settings(epochs=10**6, max_seconds=0.5, schedule_over="time")
    history = fit(network(), drawn(), measured(), plan, tmp_path)
    assert history.stopped_by == "time"
    assert "score" in history.rows[-1]
    assert history.rows[-1]["learning_rate"] < 0.02 * 0.05
    more = settings(epochs=10**6, max_seconds=history.rows[-1]["seconds"] + 0.3, schedule_over="time")
    again = fit(network(), drawn(), measured(), more, tmp_path, resume=True)
    assert again.rows[: len(history.rows)] == history.rows
    assert len(again.rows) > len(history.rows)


def test_nan_stops_with_the_iteration_and_keeps_the_checkpoint(tmp_path):
    def batches(epoch):
        for number, (inputs, targets) in enumerate(drawn()(epoch)):
            yield (inputs * math.nan if (epoch, number) == (2, 1) else inputs), targets

    with pytest.raises(TrainingError, match=r"nan at iteration 5 \(epoch 2\)"):
        fit(network(), batches, measured(), settings(), tmp_path)
    kept = checkpoint.load_checkpoint(tmp_path / "last.pt")
    assert kept["epoch"] == 1
    assert all(torch.isfinite(t).all() for t in kept["network"].values())


def test_an_interrupted_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    checkpoint.save_checkpoint(path, {"epoch": 1})
    whole = torch.save

    def half(state, target):
        whole(state, target)
        target.write_bytes(target.read_bytes()[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OutputError, match="the disk is full"):
        checkpoint.save_checkpoint(path, {"epoch": 2})
    assert checkpoint.load_checkpoint(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_checkpoint_that_torch_cannot_write_is_an_output_error(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OutputError, match="the checkpoint cannot be written") as caught:
        checkpoint.save_checkpoint(tmp_path / "last.pt", {})
    assert (caught.value.where, caught.value.code) == (str(tmp_path / "last.pt"), "cannot-write")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["missing", "cut", "code", "other network"])
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, damage):
    fit(network(), drawn(), None, settings(best_by="", epochs=1), tmp_path)
    path, net = tmp_path / "last.pt", network()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif damage == "code":
        torch.save({"format": 1, "network": nn.Conv2d(1, 1, 1)}, path)
    else:
        net = nn.Conv2d(1, 1, 3, padding=1)
    with pytest.raises(UnfitInputError, match=r"last\.pt"):
        fit(net, drawn(), None, settings(best_by="", epochs=2), tmp_path, resume=True)


def test_no_batches_and_no_such_figure_are_told(tmp_path):
    with pytest.raises(UsageError, match="nothing to train on"):
        fit(network(), lambda _epoch: [], None, settings(best_by="", iterations_per_epoch=2), tmp_path)
    with pytest.raises(UsageError, match="no figure 'score'"):
        fit(network(), drawn(), lambda _net: {"dice": 1.0}, settings(), tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "lion"},
        {"schedule": "step"},
        {"learning_rate": 0},
        {"epochs": 0},
        {"schedule_over": "time"},
        {"precision": "float16"},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError):
        settings(**wrong)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_stay_within_the_rate(schedule):
    plan = settings(schedule=schedule)
    factors = [plan.rate_factor(done / 50) for done in range(51)]
    assert max(factors) == pytest.approx(1.0, abs=1e-3)
    assert min(factors) >= 0
    assert schedule == "constant" or factors[-1] == pytest.approx(0, abs=1e-9)


def test_fresh_batches_within_an_epoch_when_there_are_too_few(tmp_path):
    plan = settings(iterations_per_epoch=7, epochs=2, best_by="")
    history = fit(network(), drawn(count=3), None, plan, tmp_path)
    assert [row["iteration"] for row in history.rows] == [7, 14]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_float16_with_loss_scaling_on_cuda(tmp_path):
    batch = list(drawn(2, 1)(1))
    plan = settings(
        epochs=3, iterations_per_epoch=25, precision="float16", device="cuda", schedule="constant", best_by=""
    )
    losses = [row["loss"] for row in fit(network(), batch, None, plan, tmp_path).rows]
    assert losses[-1] < 0.5 * losses[0]
