"""The size of picture that a JPEG, JPEG-LS or JPEG 2000 codestream announces, read before a decoder believes it."""

from __future__ import annotations

from collections.abc import Iterator

_ITEM = b"\xfe\xff\x00\xe0"
_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
# Start of frame: C0 to CF without the tables C4 (Huffman), C8 (reserved), CC (arithmetic); F7 is JPEG-LS.
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
# Markers without a segment: restart, start and end of image, TEM.
_ALONE = {*range(0xD0, 0xDA), 0x01}


def fragments(items: bytes) -> Iterator[bytes]:
    """The fragments of encapsulated Pixel Data behind its offset table (DICOM PS3.5 A.4).

    Args:
        items: the items, without the delimiter at the end.
    """
    place = 0
    while items[place : place + 4] == _ITEM:
        length = int.from_bytes(items[place + 4 : place + 8], "little")
        if place:
            yield items[place + 8 : place + 8 + length]
        place += 8 + length


def announced_size(fragment: bytes) -> tuple[int, int] | None:
    """Rows and columns that a codestream announces; None if the fragment begins none (RLE, a later fragment)."""
    if fragment.startswith(_JPEG_2000):
        x, y, x_offset, y_offset = (int.from_bytes(fragment[at : at + 4], "big") for at in (8, 12, 16, 20))
        return y - y_offset, x - x_offset
    return _jpeg_size(fragment) if fragment.startswith(_JPEG) else None


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(stream):
        if stream[place] != 0xFF or stream[place + 1] == 0xFF:  # garbage or fill between segments
            place += 1
            continue
        marker = stream[place + 1]
        if marker in _START_OF_FRAME:
            rows, columns = (int.from_bytes(stream[place + at : place + at + 2], "big") for at in (5, 7))
            return rows, columns
        place += 2 if marker in _ALONE else 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
    return None
