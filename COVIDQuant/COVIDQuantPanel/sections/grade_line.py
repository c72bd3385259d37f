"""The line above the figures: the grade of the result, with links to the problems."""

import slicer

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.grades import findings_of
from COVIDQuantLib.scene.navigation import look_at
from COVIDQuantLib.scene.review.result_checks import point_of, segment_of
from COVIDQuantPanel import views
from COVIDQuantPanel.presenters.grade import CHECK, grade_html
from COVIDQuantPanel.sections.section import say
from COVIDQuantPanel.widgets.qt_calls import timer

_POLL_MS = 100


class GradeLine:
    """Grade and findings of the current result.

    Args:
        section: the section of the figures, whose label it uses.
    """

    def __init__(self, section):
        self._panel = section.panel
        self._label = section.ui.gradeLabel
        self._job = None
        self._findings = []
        self._mark = views.Mark()
        self._timer = timer(_POLL_MS, self._poll)
        self._label.connect("linkActivated(QString)", self.on_link)

    def on_reading(self):
        """Show another result, or none."""
        self.stop()
        self._mark.put_back()
        self.show()

    def stop(self):
        """Cancel a running check."""
        self._timer.stop()
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    def unmark(self):
        """Restore the crosshair."""
        self._mark.put_back()

    def show(self):
        """Show the grade and links to the problems."""
        reading = self._panel.reading
        if reading is None or reading.live.metrics is None:
            self._findings = []
            say(self._label, "")
            return
        kept = reading.checks
        self._findings = findings_of(kept.checks)
        checking, stands = self._job is not None, kept.stands(reading.live.histogram)
        say(self._label, grade_html(kept.grade, self._findings, checking=checking, stands=stands))

    def begin(self):
        """Check the segments in their current state, unless that was done."""
        reading = self._panel.reading
        if reading is None or self._job is not None or reading.is_checked:
            return
        try:
            self._job = reading.check(slicer.util.startupEnvironment())
        except COVIDQuantError as error:
            self._panel.show_error(error)
            return
        self._timer.start()
        self.show()

    def on_link(self, link):
        """Go to a problem and select its segment, or check again."""
        reading = self._panel.reading
        if reading is None:
            return
        if link == CHECK:
            self.begin()
            return
        found = self._findings[int(link)]
        point = point_of(found)
        if point is not None:
            look_at(slicer.mrmlScene, point)
            self._mark.show()
        segment_id = segment_of(found, reading.segmentation)
        if segment_id:
            self._panel.select_segment(segment_id)

    def _poll(self):
        if self._job is None:
            self._timer.stop()
            return
        try:
            done = self._job.poll()
        except COVIDQuantError as error:
            self.stop()
            self._panel.show_error(error)
            self.show()
            return
        if done is not None:
            self.stop()
            self.show()
