"""Work that is done in turns of the event loop, so that the window reacts in between."""

from collections import deque

from COVIDQuantPanel.widgets.qt_calls import timer

# Slicer draws a view 1/60 s after a change. What one step changes is drawn before the next one, not along with it.
_GAP_MS = 25


class Turns:
    """Steps to come, each in a turn of the event loop of its own, in the order in which they were given."""

    def __init__(self):
        self._steps = deque()
        self._timer = timer(_GAP_MS, self._next, once=True)

    @property
    def are_waiting(self):
        """Whether there are steps to come."""
        return bool(self._steps)

    def then(self, *steps):
        """Have functions called, each in a turn of its own."""
        self._steps.extend(steps)
        self._timer.start()

    def leave_one(self):
        """Leave a turn to the window, in which sections and views get a new size."""
        self.then(lambda: None)

    def drop(self):
        """Forget the steps that were not done yet."""
        self._steps.clear()
        self._timer.stop()

    def _next(self):
        if not self._steps:
            return
        step = self._steps.popleft()
        if self._steps:
            # First, so that an error in one step does not lose the others.
            self._timer.start()
        step()
