"""Keys that work anywhere in the window while the module is open.

Qt asks a text field first, so what is typed there stays a text. Slicer's segment editor uses the digits for its
effects; where both want a key it would reach neither, so the editor's is switched off while ours is there.
"""

import slicer

from COVIDQuantPanel.widgets.qt_calls import add_key, remove_key, shortcuts_in


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
        for shortcut, _, effect in shortcuts_in(window):
            if str(effect) in self._commands:
                shortcut.enabled = False
        self._shortcuts = [add_key(key, window, command) for key, command in self._commands.items()]

    def remove(self):
        """Give the keys back."""
        shortcuts, self._shortcuts = self._shortcuts, []
        for shortcut in shortcuts:
            remove_key(shortcut)
