"""
The order of rows in training: a pure function of seed, source and row counts, the same as `tokensieve train`'s
(docs/training.md, "Order of rows"). Any row is found without those before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UInt32 = npt.NDArray[np.uint32]
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox_key(seed: int, name: str) -> tuple[int, int]:
    """First 8 bytes of SHA-256 of "tokensieve\\n<seed>\\n<name>", as two little-endian words."""
    digest = hashlib.sha256(f"tokensieve\n{seed}\n{name}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def philox_words(blocks: int, a: int, b: int, c: int, key: tuple[int, int]) -> UInt32:
    """[4 · blocks] output words of Philox4x32-10 (Salmon et al. 2011) for counters [0 … blocks − 1, a, b, c]."""
    c0 = np.arange(blocks, dtype=np.uint64)
    c1, c2, c3 = (np.full(blocks, word, np.uint64) for word in (a, b, c))
    k0, k1 = key
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c0
        p1 = np.uint64(0xCD9E8D57) * c2
        c0, c1 = (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0), p1 & _LOW
        c2, c3 = (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32).reshape(-1)


def permutation(n: int, key: tuple[int, int], a: int, b: int, c: int) -> UInt32:
    """[n] Fisher–Yates from the end; place i is exchanged with place ⌊word i · (i + 1) / 2³²⌋."""
    words = philox_words((n + 3) // 4, a, b, c, key)[:n].astype(np.uint64)
    partners = ((words * np.arange(1, n + 1, dtype=np.uint64)) >> _SHIFT).tolist()
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = partners[i]
        order[i], order[j] = order[j], order[i]
    return np.array(order, dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class Window:
    """Parts whose rows are shuffled together; rows [first, first + rows) of the epoch."""

    epoch: int
    index: int
    parts: tuple[int, ...]
    first: int
    rows: int


@dataclass(frozen=True, slots=True)
class OrderRules:
    seed: int
    #: Tokens a window; 0 keeps the files' order, a window being one part.
    window_tokens: int
    #: Index of the source, in a mix of several.
    source: int = 0

    @property
    def key(self) -> tuple[int, int]:
        return philox_key(self.seed, f"order of rows\n{self.source}")


def windows_of_epoch(parts: Sequence[tuple[int, int]], rules: OrderRules, epoch: int) -> list[Window]:
    """`parts`: (rows, tokens) of each. Parts without rows are in none; a part beyond the bound is one of its own."""
    in_file_order = rules.window_tokens == 0
    order = range(len(parts)) if in_file_order else permutation(len(parts), rules.key, epoch, 0, 0).tolist()
    windows: list[Window] = []
    opened: list[int] = []
    first = rows = tokens = 0

    def close() -> None:
        nonlocal opened, first, rows, tokens
        if opened:
            windows.append(Window(epoch, len(windows), tuple(opened), first, rows))
        first += rows
        opened, rows, tokens = [], 0, 0

    for index in order:
        part_rows, part_tokens = parts[index]
        if part_rows == 0:
            continue
        if in_file_order or tokens + part_tokens > rules.window_tokens:
            close()
        opened.append(index)
        rows += part_rows
        tokens += part_tokens
    close()
    return windows


def rows_of_window(window: Window, rules: OrderRules) -> UInt32:
    """Place i of the window is row `result[i]`, counted over its parts in their order."""
    if rules.window_tokens == 0:
        return np.arange(window.rows, dtype=np.uint32)
    return permutation(window.rows, rules.key, window.epoch, window.index, 1)


def windows_from(parts: Sequence[tuple[int, int]], rules: OrderRules, drawn: int) -> Iterator[tuple[Window, int]]:
    """Windows from row `drawn` of the endless stream on, with the rows of each that come before it."""
    per_epoch = sum(rows for rows, _ in parts)
    if per_epoch == 0:
        return
    epoch, at = divmod(drawn, per_epoch)
    while True:
        for window in windows_of_epoch(parts, rules, epoch):
            if window.first + window.rows > at:
                yield window, max(0, at - window.first)
        at = 0
        epoch += 1
