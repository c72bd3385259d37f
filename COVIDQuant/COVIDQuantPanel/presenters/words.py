"""Slicer's translation; without Slicer the text as it is written."""

try:
    from slicer.i18n import tr as _
except ImportError:

    def _(text):
        return text


__all__ = ["_"]
