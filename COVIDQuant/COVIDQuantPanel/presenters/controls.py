"""What a button or another control shows."""

from dataclasses import dataclass

from COVIDQuantPanel.presenters.words import _


@dataclass(frozen=True)
class Control:
    """How a control looks.

    Attributes:
        reason_not: why it cannot be used; empty if it can.
        tip: what it does.
        text: what is written on it; None leaves what the form says.
    """

    reason_not: str = ""
    tip: str = ""
    text: str | None = None

    @property
    def enabled(self):
        """Whether it can be used."""
        return not self.reason_not

    @property
    def tooltip(self):
        """Why it cannot be used, or else what it does."""
        return self.reason_not or self.tip


def needs_result(is_there):
    """Why something cannot be done without a result that is followed."""
    return "" if is_there else _("Quantify a CT, or choose a result")
