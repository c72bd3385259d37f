"""Looking at components: parting them where need be, and asking every cue, in an orientation that a mirror keeps."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.review.components import Component
from COVIDQuantLib.review.cues import CUES, NOT_SEEN, Seen
from COVIDQuantLib.review.evidence import Chest, Evidence
from COVIDQuantLib.review.rim_splitting import find_pieces
from COVIDQuantLib.voxels.geometry import Triple


class CueScorer:
    """Looks at the components of one CT.

    Args:
        ct_hu: integer HU ``[k, j, i]`` in canonical orientation (k to the head, j to the back, i to the left).
        lobes: lobe labels 0..5, same shape; a bool array where only the lungs are known.
        spacing_kji: millimetres between voxels along ``k, j, i``.
    """

    def __init__(self, ct_hu: np.ndarray, lobes: np.ndarray, spacing_kji: Triple) -> None:
        self._lobes = lobes
        lungs = lobes if lobes.dtype == bool else lobes != 0
        self._mirrored = _is_mirrored(lungs)
        self._hu = ct_hu[:, :, ::-1] if self._mirrored else ct_hu
        self._chest = Chest.of(self._hu, lungs[:, :, ::-1] if self._mirrored else lungs, spacing_kji)

    def look(self, component: Component) -> dict[str, Seen]:
        """What every cue says of a component; nothing is seen outside the lungs' surroundings."""
        return _asked(self._evidence(component))

    def looks(self, component: Component) -> list[tuple[Component, dict[str, Seen]]]:
        """The same of a component's layers along moving walls and the pieces they hang on, or of the whole.

        See :mod:`COVIDQuantLib.review.rim_splitting`.
        """
        e = self._evidence(component)
        pieces = None if e is None else find_pieces(e)
        if pieces is None or self._chest is None:
            return [(component, _asked(e))]
        labels = self._chest.in_voxels(pieces, self._turned(component))
        parts = component.cut(labels[:, :, ::-1] if self._mirrored else labels, self._lobes)
        return [(part, self.look(part)) for part in parts]

    def _turned(self, component: Component) -> Component:
        return component.mirrored(self._hu.shape[2]) if self._mirrored else component

    def _evidence(self, component: Component) -> Evidence | None:
        if self._chest is None:
            return None
        e = self._chest.evidence(self._hu, self._turned(component))
        return e if e.total else None


def _asked(e: Evidence | None) -> dict[str, Seen]:
    return {cue.name: NOT_SEEN if e is None else cue.look(e) for cue in CUES}


def _is_mirrored(lungs: np.ndarray) -> bool:
    """Whether the CT is looked at in a mirror, so that a chest and its mirror image are judged alike to the last digit.

    The blocks begin at one side; it is always the side with more lung.
    """
    # A sample of the rows tells as well, and is quicker.
    counts = lungs[::3, ::3].sum(axis=(0, 1), dtype=np.int64)
    columns = np.flatnonzero(counts)
    if not columns.size:
        return False
    middle = int(columns[0] + columns[-1] + 1)
    return int(counts[: middle // 2].sum()) < int(counts[-(-middle // 2) :].sum())
