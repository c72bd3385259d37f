"""The comparison in the follow-up section: changes, lesions, both exams side by side, the time course."""

import slicer
import vtk

from COVIDQuantLib.scene.followup.change_views import hide_change_maps, show_change_map, shows_change_map
from COVIDQuantLib.scene.followup.kept import comparison_of
from COVIDQuantLib.scene.followup.side_by_side import point_of_lesion, release_views, show_outline, show_pair
from COVIDQuantLib.scene.navigation import look_at
from COVIDQuantPanel import views
from COVIDQuantPanel.presenters import followup_changes as presenter
from COVIDQuantPanel.sections.section import say, silently
from COVIDQuantPanel.sections.table_view import TableView
from COVIDQuantPanel.widgets.qt_calls import fill


class FollowupViews:
    """The comparison of the current result, if there is one.

    Args:
        section: the follow-up section, whose widgets it uses.
    """

    def __init__(self, section):
        self._section = section
        self._panel = section.panel
        self._ui = section.ui
        self._kept = None
        self._choices = []
        self._lesions = []
        self._mark = views.Mark()
        ui = self._ui
        self.changes = TableView(ui.changesTable)
        self.lesions = TableView(ui.lesionsTable, selected=self.on_lesion)
        ui.pairCombo.connect("currentIndexChanged(int)", self.on_pair)
        ui.regionCombo.connect("currentIndexChanged(int)", self.on_region)
        ui.sideBySideButton.connect("clicked(bool)", self.on_side_by_side)
        ui.outlineCheckBox.connect("toggled(bool)", self.on_outline)
        ui.changeMapCheckBox.connect("toggled(bool)", self.on_change_map)
        ui.courseButton.connect("clicked(bool)", self.on_course)
        fill(ui.courseCombo, list(presenter.course_names().values()))

    @property
    def choice(self):
        """The chosen pair of exams; None if there is no comparison."""
        place = self._ui.pairCombo.currentIndex
        return self._choices[place] if 0 <= place < len(self._choices) else None

    @property
    def lesion(self):
        """The selected lesion; None if there is none."""
        row = self.lesions.row
        return self._lesions[row] if row is not None and row < len(self._lesions) else None

    def on_reading(self):
        """Show the comparison of another result, or none."""
        reading = self._panel.reading
        kept = None if reading is None else comparison_of(reading.segmentation)
        if (kept and kept.node) is not (self._kept and self._kept.node):
            self.show(kept)
        elif kept is not None and views.shows_side_by_side():
            # The scene was loaded with this layout, or the reader came back to it.
            self._show_pair()
        self.on_change_map()

    def on_figures(self):
        """Say if the comparison is out of date."""
        if self._kept is not None:
            self._show_warnings()

    def on_exit(self):
        """Restore the crosshair."""
        self._mark.put_back()

    def on_close(self):
        """Release the nodes."""
        self._mark.put_back()
        self.show(None)

    def show(self, kept):
        """Show a comparison, or none."""
        if self._kept is not None and kept is None and views.shows_side_by_side():
            views.leave_side_by_side()
        self._kept = kept
        # A loaded scene may show a map.
        shown = kept is not None and shows_change_map(kept)
        silently(self._ui.changeMapCheckBox, checked=shown)
        self._choices = presenter.pair_choices(kept.record) if kept else []
        fill(self._ui.pairCombo, [choice.text for choice in self._choices])
        names, before = self._region_names(), max(0, self._ui.regionCombo.currentIndex)
        fill(self._ui.regionCombo, names, before if before < len(names) else 0)
        self._ui.comparisonWidget.visible = kept is not None
        self._show_warnings()
        self.on_pair()

    def on_pair(self, *_arguments):
        """Show the changes and lesions of two exams."""
        choice = self.choice
        say(self._ui.overviewLabel, presenter.overview(choice.pair) if choice else "")
        self.on_region()
        self._fill_lesions()
        self._show_controls()
        if choice is not None and views.shows_side_by_side():
            self._show_pair()
        self.on_change_map()

    def on_change_map(self, *_arguments):
        """Show or hide where disease persists, is new or has gone."""
        kept, choice = self._kept, self.choice
        if kept is not None and choice is not None and self._ui.changeMapCheckBox.checked:
            show_change_map(kept, choice.earlier, choice.later)
        else:
            hide_change_maps(slicer.mrmlScene)

    def on_region(self, *_arguments):
        """Show the changes of a region."""
        names, place = self._region_names(), self._ui.regionCombo.currentIndex
        region, choice = names[place] if 0 <= place < len(names) else "", self.choice
        self.changes.show(presenter.change_table(choice.pair if choice else None, region))

    def on_lesion(self):
        """Move the views of both exams to the selected lesion."""
        lesion = self.lesion
        if lesion is None:
            self._mark.put_back()
            return
        look_at(slicer.mrmlScene, point_of_lesion(lesion))
        self._mark.show()

    def on_side_by_side(self, *_arguments):
        """Show both exams side by side, or return to the layout before."""
        if views.shows_side_by_side():
            views.leave_side_by_side()
        else:
            views.arrange_side_by_side()
            self._show_pair()
            self.on_change_map()
            views.fit_side_by_side(self._kept, self.choice.earlier, self.on_lesion)
        self._show_controls()

    def on_next_pair(self):
        """Show the next two exams side by side; whether that is how exams are shown."""
        if self._kept is None or not views.shows_side_by_side():
            return False
        self._ui.pairCombo.currentIndex = presenter.next_pair(self._choices, self._ui.pairCombo.currentIndex)
        return True

    def on_outline(self, *_arguments):
        """Show or hide the outline of the earlier exam's pneumonia."""
        if self._kept is not None and self.choice is not None and views.shows_side_by_side():
            show_outline(self._kept, self.choice.earlier, visible=self._ui.outlineCheckBox.checked)

    def on_course(self):
        """Show the time course of the chosen measure."""
        views.show_course(self._course_chart(), beside_exams=views.shows_side_by_side())

    def _course_chart(self):
        names = list(presenter.course_names())
        place = max(0, self._ui.courseCombo.currentIndex)
        return self._kept.chart(names[place]) if self._kept else None

    def _show_pair(self):
        choice = self.choice
        if self._kept is None or choice is None or not choice.is_consecutive:
            return
        show_pair(self._kept, choice.earlier, outline=self._ui.outlineCheckBox.checked)
        self._watch()

    def _watch(self):
        observer, layout = self._panel.observer, slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        if not observer.hasObserver(layout, vtk.vtkCommand.ModifiedEvent, self.on_layout):
            observer.addObserver(layout, vtk.vtkCommand.ModifiedEvent, self.on_layout)

    def on_layout(self, _caller=None, _event=None):
        """The reader has chosen another layout: results are shown everywhere again."""
        if not views.shows_side_by_side():
            release_views(slicer.mrmlScene)
        self.on_change_map()
        self._show_controls()

    def _region_names(self):
        return presenter.region_names(self._choices[0].pair) if self._choices else []

    def _fill_lesions(self):
        followed = self.choice.followed if self.choice else None
        self._lesions = presenter.lesions_of(followed)
        say(self._ui.lesionsLabel, presenter.lesions_text(followed) if self.choice else "")
        self.lesions.show(presenter.lesion_table(self._lesions))
        self._mark.put_back()

    def _show_warnings(self):
        reading, kept = self._panel.reading, self._kept
        stale = bool(kept and reading and kept.changed_since(reading.segmentation, reading.live.histogram))
        say(self._ui.followupWarningsLabel, presenter.warnings_text(kept.record, stale=stale) if kept else "")

    def _show_controls(self):
        kept, choice = self._kept, self.choice
        can_be_shown = False
        if kept is not None and choice is not None and choice.is_consecutive:
            volumes = (kept.volume(choice.earlier), kept.volume(choice.earlier + 1))
            can_be_shown = kept.transform(choice.earlier) is not None and any(volume is not None for volume in volumes)
        side = presenter.side_by_side_control(choice, can_be_shown=can_be_shown)
        course = presenter.course_control(
            has_chart=self._course_chart() is not None, has_onset=bool(kept) and presenter.has_onset(kept.record)
        )
        has_map = kept is not None and choice is not None and kept.change_map(choice.earlier, choice.later) is not None
        changes = presenter.change_map_control(choice, has_map=has_map)
        self._section.show_controls({"sideBySideButton": side, "courseButton": course, "changeMapCheckBox": changes})
        say(self._ui.changeMapLabel, presenter.change_legend(choice.followed) if has_map else "")
        silently(self._ui.sideBySideButton, checked=views.shows_side_by_side())
