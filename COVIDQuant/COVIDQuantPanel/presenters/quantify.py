"""Whether a CT can be quantified, how long that takes, and how far it is."""

from dataclasses import dataclass

from COVIDQuantLib.scene.volume_fitness import Fitness
from COVIDQuantLib.worker.run_times import RunTimes, rounded_seconds
from COVIDQuantPanel.presenters.controls import Control
from COVIDQuantPanel.presenters.words import _

NETWORK = "network"
_STAGE_TEXT = {
    "waiting": lambda: _("starting"),
    "lungs": lambda: _("finding the lungs"),
    "lobes": lambda: _("finding the lobes"),
    "lesions": lambda: _("finding the pneumonia"),
    "figures": lambda: _("counting"),
}


@dataclass(frozen=True)
class QuantifyState:
    """What the section goes by.

    Attributes:
        has_ct: whether a CT is chosen.
        fitness: of that CT.
        method: how it shall be quantified; None while there are no choices.
        device: where the networks shall run.
        running: whether a quantification is under way.
        missing: packages that the networks lack.
        warm: whether the networks are loaded already.
    """

    has_ct: bool
    fitness: Fitness
    method: str | None
    device: str
    running: bool
    missing: tuple[str, ...] = ()
    warm: bool = False

    @property
    def wants_networks(self):
        """Whether networks are chosen."""
        return self.method == NETWORK

    @property
    def may_choose_device(self):
        """Whether it matters where it runs, and can still be chosen."""
        return self.wants_networks and not self.running

    @property
    def offers_packages(self):
        """Whether the networks need packages that can be installed."""
        return self.wants_networks and bool(self.missing)

    def quantify_control(self):
        """The button that begins, or stops what was begun."""
        if self.running:
            return Control(tip=_("Stop; nothing is changed"), text=_("Cancel"))
        tip = _("Find lobes and pneumonia; earlier results are not changed")
        return Control(self._reason_not(), tip, _("Quantify"))

    def time_text(self, times: RunTimes):
        """About how long it takes; empty where nothing can be quantified."""
        if self.method is None or self.fitness.megavoxels is None or self.fitness.refused:
            return ""
        device = self.device if self.wants_networks else "cpu"
        first = not self.warm
        seconds = times.seconds(self.method, device, self.fitness.megavoxels, first=first)
        text = _("About {n} s on this computer")
        if seconds is None:
            seconds = times.seconds(self.method, "cpu", self.fitness.megavoxels, first=first)
            text = _("About {n} s on the processor, less on a GPU")
        told = text.format(n=rounded_seconds(seconds))
        if not (first and self.wants_networks):
            return told
        after = times.seconds(self.method, device, self.fitness.megavoxels)
        loads = _("the first run loads the networks")
        later = "" if after is None else _(", later ones take about {n} s").format(n=rounded_seconds(after))
        return f"{told}: {loads}{later}"

    def _reason_not(self):
        if not self.has_ct:
            return _("Choose a CT first")
        if self.fitness.refused:
            return self.fitness.text
        if self.offers_packages:
            return _("Install the packages for networks, or choose the model-free method")
        return ""


@dataclass(frozen=True)
class ModelChoice:
    """A list of models: which entry is chosen, and whether another can be."""

    place: int
    enabled: bool


def model_choice(names, chosen, *, method, given):
    """The list of models for a task.

    Args:
        names: of the models, the default one first.
        chosen: the name of the chosen one; the default one is shown for a model that is not there.
        method: how CTs are quantified.
        given: whether what the model would find is given, so that none is used.
    """
    place = names.index(chosen) if chosen in names else 0
    return ModelChoice(place, enabled=method == NETWORK and len(names) > 1 and not given)


def progress_text(name, state):
    """How far a CT's quantification is."""
    left = "" if state.seconds_left is None else _(", about {n} s left").format(n=rounded_seconds(state.seconds_left))
    stage = _STAGE_TEXT[state.stage]() if state.stage in _STAGE_TEXT else state.stage
    return f"{name}: {stage}{left}"


def end_text(name, outcome):
    """What came of a quantification."""
    if outcome.error is not None:
        return outcome.error.line()
    if outcome.cancelled:
        return _("Stopped. Nothing was changed.")
    return _("{ct}: done in {n} s.").format(ct=name, n=rounded_seconds(outcome.seconds))


def method_texts():
    """Words for the methods, in the order of the parameter node."""
    return (_("networks"), _("density and shape, model-free"))


def device_texts():
    """Words for the devices, in the order of the parameter node."""
    return (_("automatic"), _("processor (CPU)"), _("NVIDIA GPU (CUDA)"), _("Apple GPU"))
