"""Whose lobes the networks may learn from: people of the lobe maps that are kept for evaluation or for tuning.

The maps are named as in TotalSegmentator's training set. The first 60 of ``random.Random(9).sample(sorted(names), 68)``
over the 145 names there are held out, the other 8 tune; the lists stand here so that a further map changes nothing.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = "ts_lobes"
_SUFFIX = "_lobes.nrrd"

HELD_OUT: frozenset[str] = frozenset(
    (
        "s0004", "s0011", "s0024", "s0029", "s0032", "s0037", "s0040", "s0050", "s0059", "s0070", "s0071", "s0080",
        "s0086", "s0114", "s0141", "s0146", "s0171", "s0196", "s0230", "s0231", "s0240", "s0303", "s0322", "s0344",
        "s0345", "s0349", "s0350", "s0357", "s0358", "s0362", "s0373", "s0375", "s0392", "s0413", "s0437", "s0438",
        "s0440", "s0447", "s0455", "s0461", "s0463", "s0467", "s0469", "s0472", "s0485", "s0488", "s0490", "s0499",
        "s0502", "s0510", "s0522", "s0531", "s0536", "s0543", "s0551", "s0571", "s0578", "s0583", "s0587", "s0589",
    )
)  # fmt: skip
TUNING_PEOPLE: frozenset[str] = frozenset(("s0076", "s0315", "s0412", "s0414", "s0429", "s0459", "s0462", "s0580"))


def training_people(data: Path) -> list[str]:
    """Names of the people under a data folder whose lobes may be trained on, sorted."""
    names = (path.name.removesuffix(_SUFFIX) for path in (data / FOLDER).glob(f"*{_SUFFIX}"))
    return sorted(name for name in names if name not in HELD_OUT | TUNING_PEOPLE)


def lobes_file(data: Path, name: str) -> Path:
    """The lobe map of a person under a data folder."""
    return data / FOLDER / f"{name}{_SUFFIX}"
