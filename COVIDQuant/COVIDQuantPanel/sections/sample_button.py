"""The panel's button that makes a sample CT beside the window."""

import slicer
from slicer.i18n import tr as _

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantPanel.sample import begin_sample, node_of_sample
from COVIDQuantPanel.sections.section import timer

_POLL_MS = 100


class SampleButton:
    """Begins, tells how far it is, and stops at the next click.

    Args:
        button: the push button.
        panel: the panel, whose CT the sample becomes.
    """

    def __init__(self, button, panel):
        self._button = button
        self._panel = panel
        self._text = button.text
        self._job = None
        self._timer = timer(_POLL_MS, self._poll)
        button.connect("clicked(bool)", self.on_click)

    def on_click(self):
        """Begin, or stop what was begun."""
        if self._job is not None:
            self.stop()
            return
        try:
            self._job = begin_sample()
        except COVIDQuantError as error:
            self._panel.show_error(error)
            return
        self._timer.start()
        self._poll()

    def stop(self):
        """End it; nothing is left of it."""
        self._timer.stop()
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
        self._button.text = self._text

    def _poll(self):
        if self._job is None:
            self._timer.stop()
            return
        try:
            fraction = self._job.poll()
        except COVIDQuantError as error:
            self.stop()
            self._panel.show_error(error)
            return
        if self._job.is_done:
            self._take(self._job.result)
            return
        self._button.text = _("Stop making it ({n} %)").format(n=round(100 * fraction))

    def _take(self, phantom):
        self.stop()
        volume = node_of_sample(phantom)
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        # Whoever has left the module finds it in the list of CTs.
        if self._panel.parameters is not None:
            self._panel.parameters.inputVolume = volume
