"""The counts of an exam in its report: JSON in a private element, under its creator.

The structured report says every figure; the counts behind them have no place in any template. They hold no name: the
record is the one of ``metrics.json`` with hashes. An archive that drops private elements leaves a valid report.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

CREATOR = "COVIDQUANT"
_GROUP, _ELEMENT = 0x0099, 0x01
# The counts of a CT are some hundred kilobytes.
_MAX_CHARACTERS = 64 << 20


def put_payload(dataset: Dataset, text: str) -> None:
    """Add the record to a report."""
    block = dataset.private_block(_GROUP, CREATOR, create=True)
    block.add_new(_ELEMENT, "UT", text)


def payload_of(dataset: Dataset) -> str | None:
    """The record in a report; None if it has none.

    Raises:
        ValueError: it is larger than any that we write, or no text.
    """
    try:
        value = dataset.private_block(_GROUP, CREATOR)[_ELEMENT].value
    except KeyError:
        return None
    # An archive that does not know the element may give it back as bytes of unknown meaning (VR UN).
    text = value.decode("ascii").rstrip(" \0") if isinstance(value, bytes) else str(value)
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"its counts are larger than {_MAX_CHARACTERS >> 20} MiB")
    return text
