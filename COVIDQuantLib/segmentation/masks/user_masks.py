"""Read the user's own masks: one or several files per option, placed on the CT and joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from COVIDQuantLib.anatomy import SIDE_VALUE
from COVIDQuantLib.ct.masks.interpretation import CONTENTS
from COVIDQuantLib.ct.masks.label_maps import StoredLabels, labels_of_dicom, place_labels, read_labels
from COVIDQuantLib.ct.masks.label_positions import Places, by_place
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.segmentation.masks.placement import MaskFit, says_nothing
from COVIDQuantLib.segmentation.patient.bounds import find_chest
from COVIDQuantLib.structures import (
    LABEL_OF_LOBE,
    LEFT_LUNG,
    LOBE_NAMES,
    LUNGS,
    PNEUMONIA,
    RIGHT_LUNG,
    SIDE_OF,
    listed,
    plain,
    structure_named,
)
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

_ENDINGS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")
# The structures whose files are used from a folder, the best choice first.
_WANTED: dict[str, tuple[tuple[str, ...], ...]] = {
    "lobes": (LOBE_NAMES,),
    "lungs": ((RIGHT_LUNG, LEFT_LUNG), (LUNGS,), LOBE_NAMES),
    "lesions": ((PNEUMONIA,),),
}
# Placement by voxel index is accepted if this share of the mask fits, and exceeds the header's by this much.
_GOOD_LUNGS, _GOOD_LESIONS = 0.9, 0.6
# Grids closer than this are the same, up to conventions or rounding.
_APART_MM = 10.0
_BETTER_BY = {"lobes": 0.05, "lungs": 0.05, "lesions": 0.3}


def read_given_masks(
    paths: Mapping[str, Sequence[Path]], ct: CTVolume
) -> tuple[dict[str, np.ndarray], dict[str, str], list[CTWarning]]:
    """Read the user's masks for a CT.

    Args:
        paths: per content (``lobes``, ``lungs``, ``lesions``) one file, several files (one lobe or lung each, or parts
            of the pneumonia), or a folder of such files.
        ct: the CT they belong to, in any orientation.

    Returns:
        Per content the labels ``[k, j, i]`` on the CT's grid, the names of the files, and warnings.

    Raises:
        UnfitInputError: a file cannot be read, is something else, or is misplaced.
    """
    reader = _Reader(ct)
    masks: dict[str, np.ndarray] = {}
    sources: dict[str, str] = {}
    # The pneumonia last: known lungs show whether its position is correct.
    for content in sorted(paths, key=CONTENTS.index):
        files = _files(paths[content], content)
        masks[content] = reader.read(files, content, masks)
        sources[content] = listed((file.name for file in files), most=20)
    return masks, sources, reader.warnings


def _files(paths: Iterable[Path], content: str) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        inside = [file for file in sorted(path.iterdir()) if file.is_file() and _stem(file)] if path.is_dir() else []
        if not inside:
            # Anything but a folder of volumes is read, and refused with its own reason.
            files.append(path)
            continue
        named = {what: file for file in reversed(inside) if (what := structure_named(_stem(file)))}
        wanted = next((kind for kind in _WANTED[content] if set(kind) & set(named)), None)
        if wanted is None:
            raise UnfitInputError(
                f"no file in the folder is named as {content} ({listed(file.name for file in inside)})",
                str(path),
                f"Give the files of the {content} themselves.",
                code="mask-folder",
            )
        files += [named[what] for what in wanted if what in named]
    return files


def _stem(path: Path) -> str:
    """The file's name without extension; empty if it is not a volume."""
    ending = next((ending for ending in _ENDINGS if path.name.lower().endswith(ending)), "")
    return path.name[: -len(ending)] if ending and not path.name.startswith(".") else ""


def _apart_mm(one: Geometry, other: Geometry) -> float:
    """The largest distance between corresponding corners of two grids of the same shape."""
    corners = np.array([(*ijk, 1.0) for ijk in np.ndindex(2, 2, 2)]) * (*(n - 1 for n in one.shape[::-1]), 1.0)
    return float(np.linalg.norm((corners @ (one.index_to_lps - other.index_to_lps).T)[:, :3], axis=1).max())


class _Reader:
    """Reads masks for one CT and collects warnings."""

    def __init__(self, ct: CTVolume) -> None:
        self._ct = ct
        self._turn = Reorientation.of(ct.geometry)
        self.warnings: list[CTWarning] = []

    @cached_property
    def _fit(self) -> MaskFit:
        upright, _ = self._ct.canonical()
        return MaskFit(upright, find_chest(upright))

    def read(self, files: Sequence[Path], content: str, known: Mapping[str, np.ndarray]) -> np.ndarray:
        """The labels of some files, placed and joined."""
        placed = []
        for file in files:
            dicom = labels_of_dicom(file, content, self._ct.geometry, self._ct.source.dicom)
            if dicom is not None:
                placed.append(dicom[0])
                self.warnings += dicom[1]
                continue
            stored = read_labels(file, content)
            self.warnings += stored.warnings
            placed.append(self._placed(stored, content, known))
        return placed[0] if len(placed) == 1 else self._joined(placed, files, content)

    def _placed(self, stored: StoredLabels, content: str, known: Mapping[str, np.ndarray]) -> np.ndarray:
        ct = self._ct.geometry
        try:
            labels, warnings = place_labels(stored.labels, stored.geometry, ct, stored.name)
        except UnfitInputError:
            if stored.labels.shape != ct.shape:
                raise
            labels, warnings = np.zeros_like(stored.labels), []
        if stored.labels.any() and (warnings or not labels.any()):
            by_voxel = self._by_voxel(stored, labels, content, known)
            if by_voxel is not None:
                return by_voxel
        self.warnings += warnings
        return labels

    def _by_voxel(
        self, stored: StoredLabels, by_header: np.ndarray, content: str, known: Mapping[str, np.ndarray]
    ) -> np.ndarray | None:
        """The mask placed by voxel index, if its header has no position and this fits; None to use the header.

        Raises:
            UnfitInputError: neither fits, or the header is wrong.
        """
        nothing = says_nothing(stored.geometry)
        name = plain(stored.name)
        if stored.labels.shape != self._ct.geometry.shape:
            return None
        if not nothing and _apart_mm(stored.geometry, self._ct.geometry) < _APART_MM:
            return None
        header, voxel = (self._fitness(labels, content, known) for labels in (by_header, stored.labels))
        good = voxel >= (_GOOD_LESIONS if content == "lesions" else _GOOD_LUNGS)
        if nothing and good:
            text = f"{name}: its header gives no position; it was placed voxel by voxel, which fits the CT."
            self.warnings.append(CTWarning("mask-voxel-by-voxel", text))
            return stored.labels
        if nothing or not by_header.any() or (good and voxel - header > _BETTER_BY[content]):
            raise UnfitInputError(
                f"by its header it is misplaced (it fits the CT by {100 * header:.0f} %, voxel by voxel by "
                f"{100 * voxel:.0f} %)",
                name,
                "Copy the CT's origin, spacing and directions into it, or export it again on the CT's grid.",
                code="mask-elsewhere",
            )
        return None

    def _fitness(self, labels: np.ndarray, content: str, known: Mapping[str, np.ndarray]) -> float:
        """How well a mask fits the CT, 0..1."""
        upright = self._turn.apply(labels)
        if not upright.any():
            return 0.0
        if content != "lesions":
            return self._fit.on_air(self._fit.share(upright))
        lungs = next((known[step] for step in ("lobes", "lungs") if step in known), None)
        return self._fit.diseased(upright, self._fit.near_lungs() if lungs is None else self._turn.apply(lungs) != 0)

    def _joined(self, placed: Sequence[np.ndarray], files: Sequence[Path], content: str) -> np.ndarray:
        """Join masks of several files; each voxel belongs to the first that contains it."""
        named = [structure_named(_stem(file)) for file in files]
        if content == "lobes":
            meaning = self._lobes_of(placed, named, files)
        elif content == "lungs":
            meaning = [SIDE_VALUE.get(SIDE_OF.get(what or "", ""), 0) for what in named]
            if not all(meaning):
                meaning = [1 + number for number in range(len(files))] if len(files) == 2 else [1] * len(files)
        else:
            meaning = [1] * len(files)
        joined = np.zeros(placed[0].shape, np.uint8)
        twice = 0
        for label, mask in sorted(zip(meaning, placed, strict=True), key=lambda pair: pair[0]):
            inside = mask != 0
            twice += int(np.count_nonzero(inside & (joined != 0) & (joined != label)))
            joined[inside & (joined == 0)] = label
        if twice:
            ml = twice * self._ct.geometry.voxel_volume_ml
            text = f"The files of the {content} overlap by {ml:.1f} mL; the first in our order keeps the voxel."
            self.warnings.append(CTWarning("masks-overlap", text))
        return joined

    def _lobes_of(self, placed: Sequence[np.ndarray], named: Sequence[str | None], files: Sequence[Path]) -> list[int]:
        """The lobe label of each file, by its name or otherwise by its position."""
        names = listed(file.name for file in files)
        for mask, file in zip(placed, files, strict=True):
            if len(np.unique(mask)) > 2:
                raise UnfitInputError(
                    "if several files are given for the lobes, each must hold one lobe; this one holds more",
                    plain(file.name),
                    "Give one file with all lobes, or one file for each.",
                    code="mask-joined",
                )
        if all(what in LABEL_OF_LOBE for what in named) and len(set(named)) == len(named):
            missing = [lobe for lobe in LOBE_NAMES if lobe not in named]
            if missing:
                self.warnings.append(CTWarning("lobes-missing", f"No file was given for: {', '.join(missing)}."))
            return [LABEL_OF_LOBE[what or ""] for what in named]
        numbered = np.zeros(placed[0].shape, np.uint8)
        for number, mask in enumerate(placed, start=1):
            numbered[(mask != 0) & (numbered == 0)] = number
        upright = self._turn.apply(numbered)
        meaning = None
        if len(files) == len(LOBE_NAMES):
            meaning = by_place(Places.of(upright, self._turn.canonical.spacing_kji), LOBE_NAMES)
        if meaning is None:
            raise UnfitInputError(
                f"neither names nor positions identify the lobe of each file ({names})",
                "",
                "Name them right_upper_lobe, right_middle_lobe, right_lower_lobe, left_upper_lobe, left_lower_lobe.",
                code="mask-joined",
            )
        lobes = ", ".join(f"{plain(file.name)} {meaning[n]}" for n, file in enumerate(files, start=1))
        self.warnings.append(
            CTWarning("mask-layout", f"The lobe of each file was identified by its position: {lobes}.")
        )
        return [LABEL_OF_LOBE[meaning[number]] for number in range(1, 1 + len(files))]
