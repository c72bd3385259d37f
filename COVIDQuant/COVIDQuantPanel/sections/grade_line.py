"""The line above the figures: whether the result can be right, with a link to each place at fault."""

from html import escape

import slicer
from slicer.i18n import tr as _

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.grades import Grade, findings_of
from COVIDQuantLib.scene.navigation import look_at
from COVIDQuantLib.scene.review.result_checks import point_of, segment_of
from COVIDQuantPanel import views
from COVIDQuantPanel.sections.section import say, timer

_POLL_MS = 100
# More would push the figures out of sight; the worst come first.
_SHOWN = 4
_CHECK = "check"
_COLOUR = {Grade.SOUND: "#2e7d32", Grade.LOOK: "#b36b00", Grade.UNUSABLE: "#c62828"}


class GradeLine:
    """Grade and findings of the result that is followed.

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
        """Take up another result, or none."""
        self.stop()
        self._mark.put_back()
        self.show()

    def stop(self):
        """End a check that is under way."""
        self._timer.stop()
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    def unmark(self):
        """Give the crosshair back."""
        self._mark.put_back()

    def show(self):
        """Say the grade, and where to look."""
        reading = self._panel.reading
        if reading is None or reading.live.metrics is None:
            self._findings = []
            say(self._label, "")
            return
        kept = reading.checks
        self._findings = findings_of(kept.checks)
        parts = [_grade_html(kept.grade)] if kept.grade else []
        parts += [f'<a href="{n}">{escape(one.message)}</a>' for n, one in enumerate(self._findings[:_SHOWN])]
        if len(self._findings) > _SHOWN:
            parts.append(_("and {n} more").format(n=len(self._findings) - _SHOWN))
        say(self._label, " · ".join([*parts, *self._about_now(reading, kept)]))

    def begin(self):
        """Check the segments as they are, unless that was done."""
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
        """Look at a place and select the segment at fault, or check again."""
        reading = self._panel.reading
        if reading is None:
            return
        if link == _CHECK:
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

    def _about_now(self, reading, kept):
        """Whether this is said of the segments as they are, and what can be done if not."""
        if self._job is not None:
            return [_("checking …")]
        if kept.stands(reading.live.histogram):
            return []
        if not kept.checks:
            return [_("Not checked yet") + f' · <a href="{_CHECK}">' + _("Check now") + "</a>"]
        return [_("before the last edits") + f' · <a href="{_CHECK}">' + _("Check again") + "</a>"]

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


def _grade_html(grade):
    texts = {Grade.SOUND: _("Result sound"), Grade.LOOK: _("Look at this"), Grade.UNUSABLE: _("Result not usable")}
    return f'<b style="color:{_COLOUR[grade]}">{texts[grade]}</b>'
