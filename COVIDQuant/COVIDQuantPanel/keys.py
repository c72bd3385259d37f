"""Keys that work anywhere in the window while the module is open.

Qt asks a text field first, so what is typed there stays a text. Slicer's segment editor uses the digits for its
effects; where both want a key it would reach neither, so the editor's is switched off while ours is there.
"""

import qt
import slicer

# By this property, the number of an effect, Slicer's segment editor knows its own.
_OF_EDITOR = "effectIndex"


class Keys:
    """The module's keys.

    Args:
        commands: key → what is called.
    """

    def __init__(self, commands):
        self._commands = commands
        self._shortcuts = []

    @property
    def known(self):
        """The keys."""
        return tuple(self._commands)

    def install(self):
        """Have the keys work; after the segment editor has installed its own."""
        self.remove()
        window = slicer.util.mainWindow()
        if window is None:
            return
        for shortcut in window.findChildren("QShortcut"):
            if str(shortcut.property(_OF_EDITOR)) in self._commands:
                shortcut.enabled = False
        for key, command in self._commands.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), window)
            shortcut.connect("activated()", command)
            self._shortcuts.append(shortcut)

    def remove(self):
        """Give the keys back."""
        shortcuts, self._shortcuts = self._shortcuts, []
        for shortcut in shortcuts:
            shortcut.disconnect("activated()")
            shortcut.setParent(None)
