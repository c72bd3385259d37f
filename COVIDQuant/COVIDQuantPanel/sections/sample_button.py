"""The panel's buttons that create sample CTs in the background."""

import slicer
from slicer.i18n import tr as _

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantPanel.widgets.qt_calls import timer

_POLL_MS = 100


class SampleButton:
    """Starts, shows the progress, and cancels at the next click.

    Args:
        button: the push button.
        panel: the panel, whose CT the sample becomes, the last one if there are several.
        begin: starts a ``BackgroundJob``.
        nodes_of: the volume nodes of its result.
    """

    def __init__(self, button, panel, begin, nodes_of):
        self._button = button
        self._panel = panel
        self._begin = begin
        self._nodes_of = nodes_of
        self._text = button.text
        self._job = None
        self._timer = timer(_POLL_MS, self._poll)
        button.connect("clicked(bool)", self.on_click)

    def on_click(self):
        """Start, or cancel."""
        if self._job is not None:
            self.stop()
            return
        try:
            self._job = self._begin()
        except COVIDQuantError as error:
            self._panel.show_error(error)
            return
        self._timer.start()
        self._poll()

    def stop(self):
        """Cancel; nothing is left behind."""
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
        self._button.text = _("Stop ({n} %)").format(n=round(100 * fraction))

    def _take(self, result):
        self.stop()
        volume = self._nodes_of(result)[-1]
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        # A reader who has left the module finds it in the list of CTs.
        if self._panel.parameters is not None:
            self._panel.parameters.inputVolume = volume
