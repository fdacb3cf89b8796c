"""What a compressed record batch says that it holds, read before anything is decompressed: memory has a bound."""

from __future__ import annotations

import struct
from typing import Any

#: What the buffers of one record batch may hold together, decompressed: that of `tokensieve`'s own reader.
MAX_BATCH_BYTES = 1 << 29
#: Room for millions of record batches.
_MAX_FOOTER_BYTES = 1 << 26


class _Table:
    """A FlatBuffers table. What points outside of the bytes raises struct.error, as any damage does."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, struct.unpack_from("<I", data, 0)[0])

    def _field(self, index: int) -> int | None:
        (size,) = struct.unpack_from("<H", self.data, self._fields)
        if 4 + 2 * index >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, self._fields + 4 + 2 * index)
        return self.at + offset if offset else None

    def table(self, index: int) -> _Table | None:
        at = self._field(index)
        return None if at is None else _Table(self.data, at + struct.unpack_from("<I", self.data, at)[0])

    def structs(self, index: int, form: str) -> list[tuple[int, ...]]:
        at = self._field(index)
        if at is None:
            return []
        start = at + struct.unpack_from("<I", self.data, at)[0]
        (count,) = struct.unpack_from("<I", self.data, start)
        size = struct.calcsize(form)
        return list(struct.iter_unpack(form, self.data[start + 4 : start + 4 + count * size]))


def record_batches(source: Any) -> list[tuple[int, int]]:
    """Of an open Arrow file: where each record batch lies and how long its description is, by the footer."""
    size = source.size()
    (length,) = struct.unpack("<i", source.read_at(4, size - 10))
    if not 0 < length <= min(_MAX_FOOTER_BYTES, size):
        raise ValueError(f"the footer claims {length} bytes")
    footer = _Table.root(source.read_at(length, size - 10 - length))
    return [(offset, described) for offset, described, _ in footer.structs(3, "<qi4xq")]


def claimed_bytes(source: Any, place: tuple[int, int]) -> int:
    """Bytes that a record batch claims to hold once it is decompressed; 0 where it is stored as it is."""
    offset, described = place
    if not 8 < described <= _MAX_FOOTER_BYTES:
        raise ValueError(f"a record batch's description claims {described} bytes")
    message = source.read_at(described, offset)
    # Files before Arrow 0.15 lack the mark before the length.
    batch = _Table.root(message[8 if message[:4] == b"\xff\xff\xff\xff" else 4 :]).table(2)
    if batch is None or batch.table(3) is None:
        return 0
    total = 0
    for start, length in batch.structs(2, "<qq"):
        if length < 8:
            continue
        (claim,) = struct.unpack("<q", source.read_at(8, offset + described + start))
        # A buffer that would not shrink is stored behind the mark -1.
        total += length - 8 if claim == -1 else claim
    return total
