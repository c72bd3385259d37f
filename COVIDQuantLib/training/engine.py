"""The training loop for all networks, built on MONAI's supervised trainer.

Time limit, schedule over iterations or time, mixed precision on CPU and CUDA, validation, best epoch, early stop,
checkpoints that survive a crash, and resumed runs that give the same result as uninterrupted ones.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from ignite.handlers import EarlyStopping
from monai.engines.trainer import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.handlers.lr_schedule_handler import LrScheduleHandler
from monai.utils.misc import set_determinism
from safetensors.torch import save
from torch import nn

from COVIDQuantLib.errors import COVIDQuantError, UnfitInputError, UsageError
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.system.atomic_files import make_folder, write_atomically
from COVIDQuantLib.training.checkpoint import (
    load_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)
from COVIDQuantLib.training.feed import Batches, EpochBatches, Precision, placed, prepared
from COVIDQuantLib.training.history import History, Row
from COVIDQuantLib.training.settings import FitSettings

Validation = Callable[[nn.Module], dict[str, float]]

LAST, BEST = "last.pt", "best.safetensors"
_FORMAT = 1


class TrainingError(COVIDQuantError):
    """Training failed, for example because the loss became NaN."""


def fit(
    network: nn.Module,
    batches: Batches,
    validation: Validation | None,
    settings: FitSettings,
    folder: Path,
    report: Report = silent,
    *,
    resume: bool = False,
) -> History:
    """Train a network and write the last state and the best epoch's weights to ``folder``.

    Afterwards the folder contains ``last.pt`` (everything to resume from), ``best.safetensors`` (float32 weights),
    ``history.csv``, ``history.json`` and ``curves.png``. The network itself is left with the last weights, in
    evaluation mode.

    Args:
        network: 2D or 3D; trained in place.
        batches: ``batches(epoch)`` gives the batches of an epoch, counted from 1, as ``(inputs, targets)``, drawn
            anew if an epoch asks for more than there are; or a loader that is the same for every epoch.
        validation: measures the network, which is in evaluation mode and without gradients; None for none.
        settings: how to train.
        folder: created if missing.
        report: called with the fraction done; may raise ``Cancelled``.
        resume: go on from ``last.pt``. With batches that depend on the epoch and the random generators only, and in
            float32 on the CPU, the result is bit for bit that of an uninterrupted run.

    Returns:
        The history of all epochs, including those before a resume.

    Raises:
        TrainingError: the loss is NaN; the previous epoch's checkpoint is kept.
        UnfitInputError: nothing to resume from, or it belongs to another network.
        UsageError: there are no batches, or ``best_by`` is not among the validation's figures.
        OutputError: the folder cannot be written.
    """
    run = _Run(network, batches, validation, settings, Path(folder), report)
    if resume:
        run.restore(load_checkpoint(run.folder / LAST))
    return run.run()


class _Run:
    """One training run and its state."""

    def __init__(
        self,
        network: nn.Module,
        batches: Batches,
        validation: Validation | None,
        settings: FitSettings,
        folder: Path,
        report: Report,
    ) -> None:
        set_determinism(settings.seed)
        self.folder, self._report, self._settings, self._validation = folder, report, settings, validation
        make_folder(folder)
        self._batches = EpochBatches(batches)
        self._network = placed(network, settings)
        self._optimizer = settings.make_optimizer(self._network)
        self._history = History()
        self._seconds_before, self._began = 0.0, time.monotonic()
        self._loss_sum, self._loss_count = 0.0, 0
        self._figures: Row = {}
        self._scaler_state: dict[str, Any] = {}
        self._random_state: dict[str, Any] | None = None
        self._trainer = self._make_trainer()
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda _step: settings.rate_factor(self._schedule_done())
        )
        self._patience = (
            EarlyStopping(settings.patience, lambda _engine: self._score(), self._trainer)
            if settings.patience
            else None
        )
        self._attach()

    def _make_trainer(self) -> SupervisedTrainer:
        settings = self._settings
        half = settings.precision == "float16"
        trainer = SupervisedTrainer(
            device=torch.device(settings.device),
            max_epochs=settings.epochs,
            train_data_loader=self._batches,
            network=self._network,
            optimizer=self._optimizer,
            loss_function=settings.loss,
            epoch_length=settings.iterations_per_epoch or self._batches.length(),
            non_blocking=True,
            prepare_batch=prepared(settings),
            inferer=Precision(settings),
            amp=half,
            amp_kwargs={"dtype": torch.float16} if half else {},
            decollate=False,
            optim_set_to_none=True,
        )
        # The caller reports errors; logging them here would report them twice.
        trainer.logger.setLevel(logging.CRITICAL)
        return trainer

    def _attach(self) -> None:
        trainer = self._trainer
        trainer.add_event_handler(Events.STARTED, self._on_started)
        trainer.add_event_handler(Events.EPOCH_STARTED, self._on_epoch_started)
        trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self._on_loss)
        if self._settings.clip_norm is not None:
            trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._on_backward)
        LrScheduleHandler(self._schedule, print_lr=False, epoch_level=False).attach(trainer)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._on_iteration)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._on_epoch)

    # ------------------------------------------------------------------------------------------------ clock

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began

    def _iterations_done(self) -> float:
        state = self._trainer.state
        return state.iteration / (state.epoch_length * state.max_epochs)

    def _time_done(self) -> float:
        return self._seconds() / self._settings.max_seconds if self._settings.max_seconds else 0.0

    def _schedule_done(self) -> float:
        return self._time_done() if self._settings.schedule_over == "time" else self._iterations_done()

    # --------------------------------------------------------------------------------------------- handlers

    def _on_started(self) -> None:
        if self._scaler_state and self._trainer.scaler is not None:
            self._trainer.scaler.load_state_dict(self._scaler_state)
        if self._random_state is not None:
            set_random_state(self._random_state)

    def _on_epoch_started(self) -> None:
        self._batches.epoch = self._trainer.state.epoch
        self._trainer.set_data(self._batches)
        self._loss_sum, self._loss_count = 0.0, 0

    def _on_loss(self) -> None:
        loss = float(self._trainer.state.output["loss"].detach())
        if not math.isfinite(loss):
            state = self._trainer.state
            raise TrainingError(
                f"the loss is {loss} at iteration {state.iteration} (epoch {state.epoch})",
                str(self.folder),
                "Lower the learning rate, clip the gradient, or train in float32.",
            )
        self._loss_sum += loss
        self._loss_count += 1

    def _on_backward(self) -> None:
        if self._trainer.scaler is not None:
            self._trainer.scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self._network.parameters(), self._settings.clip_norm)

    def _on_iteration(self) -> None:
        self._report(min(max(self._iterations_done(), self._time_done()), 1.0))
        if self._time_done() >= 1.0:
            # The epoch ends here, with its validation and checkpoint; then the run.
            self._trainer.terminate_epoch()

    def _on_epoch(self) -> None:
        trainer, settings = self._trainer, self._settings
        out_of_time = self._time_done() >= 1.0
        last = out_of_time or trainer.state.epoch == trainer.state.max_epochs
        self._figures = {}
        validated = last or trainer.state.epoch % settings.validate_every == 0
        if self._validation is not None and validated:
            self._figures = self._validate()
        self._add_row()
        if validated:
            self._keep_best()
            if self._patience is not None:
                self._patience(trainer)
        if trainer.should_terminate:
            self._history.stopped_by = "patience"
        elif last:
            self._history.stopped_by = "time" if out_of_time else "epochs"
            trainer.terminate()
        save_checkpoint(self.folder / LAST, self._state())
        self._history.write(self.folder)

    def _validate(self) -> Row:
        self._network.eval()
        with torch.no_grad():
            figures = self._validation(self._network) if self._validation else {}
        if self._settings.best_by and self._settings.best_by not in figures:
            known = ", ".join(figures) or "none"
            raise UsageError(f"no figure {self._settings.best_by!r} in the validation", remedy=f"There are: {known}.")
        return {name: float(value) for name, value in figures.items()}

    def _add_row(self) -> None:
        state = self._trainer.state
        self._history.rows.append(
            {
                "epoch": state.epoch,
                "iteration": state.iteration,
                "seconds": round(self._seconds(), 1),
                "learning_rate": self._optimizer.param_groups[0]["lr"],
                "loss": self._loss_sum / max(self._loss_count, 1),
                **self._figures,
            }
        )

    def _score(self) -> float:
        """The figure that picks the best epoch, the higher the better; NaN is worst."""
        name = self._settings.best_by or "loss"
        value = self._history.rows[-1][name]
        if math.isnan(value):
            return float("-inf")
        return -value if self._settings.lowest_is_best else value

    def _keep_best(self) -> None:
        score, history = self._score(), self._history
        best = history.best_value
        if best is None or score > (-best if self._settings.lowest_is_best else best):
            history.best_epoch = self._trainer.state.epoch
            history.best_value = history.rows[-1][self._settings.best_by or "loss"]
            weights = {k: v.detach().cpu().contiguous() for k, v in self._network.state_dict().items()}
            data = save(weights)
            write_atomically(self.folder / BEST, lambda path: path.write_bytes(data))

    # ------------------------------------------------------------------------------------------- checkpoint

    def _state(self) -> dict[str, Any]:
        scaler = self._trainer.scaler
        return {
            "format": _FORMAT,
            "epoch": self._trainer.state.epoch,
            "iteration": self._trainer.state.iteration,
            "seconds": self._seconds(),
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
            "patience": dict(self._patience.state_dict()) if self._patience else {},
            "random": random_state(),
            "rows": self._history.rows,
            "best": [self._history.best_epoch, self._history.best_value],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint.

        Raises:
            UnfitInputError: it belongs to another network or optimiser, or to another version.
        """
        where = str(self.folder / LAST)
        if state.get("format") != _FORMAT:
            raise UnfitInputError("not a checkpoint of this version", where, "Train again without --resume.")
        try:
            self._network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._schedule.load_state_dict(state["schedule"])
            if self._patience is not None and state["patience"]:
                self._patience.load_state_dict(state["patience"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise UnfitInputError(
                "the checkpoint belongs to another network or optimiser", where, "Train again without --resume."
            ) from error
        self._seconds_before = state["seconds"]
        self._scaler_state, self._random_state = state["scaler"], state["random"]
        self._history.rows = list(state["rows"])
        self._history.best_epoch, self._history.best_value = state["best"]
        self._trainer.state.epoch, self._trainer.state.iteration = state["epoch"], state["iteration"]

    def run(self) -> History:
        """Train to the end and draw the curves."""
        self._began = time.monotonic()
        impatient = self._patience is not None and self._patience.counter >= self._patience.patience
        if self._trainer.state.epoch < self._settings.epochs and self._time_done() < 1.0 and not impatient:
            self._trainer.run()
        self._network.eval()
        self._history.write(self.folder)
        self._history.draw(self.folder)
        self._report(1.0)
        return self._history
