"""Rows of a request to rows that a model reads: by document where they must not see each other, and by length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .job import Ids, Rows


@dataclass(frozen=True)
class Piece:
    """Tokens [start, start + len(ids)) of a row, read by themselves."""

    row: int
    start: int
    ids: Ids
    targets: Ids
    """The token after each; at the row's end any."""


def pieces_of(rows: Rows) -> list[Piece]:
    """With documents each run of one document is a piece: what a model of any kind makes of it is then that document's alone."""
    pieces = []
    for row, ids in enumerate(rows.ids):
        targets = np.append(ids[1:], ids[-1:])
        cuts = [0]
        if rows.documents is not None:
            documents = rows.documents[row]
            cuts += (np.flatnonzero(documents[1:] != documents[:-1]) + 1).tolist()
        ends = [*cuts[1:], len(ids)]
        for start, end in zip(cuts, ends, strict=True):
            if end > start:
                pieces.append(Piece(row, start, ids[start:end], targets[start:end]))
    return pieces


PADDING = 1.25
"""How much longer than its shortest row a batch may be."""


def batches_of(lengths: list[int], rope: dict[str, int]) -> list[list[int]]:
    """
    Indices of rows of like length, together. Follows from the lengths alone.

    `rope`: where the model's rotary scaling looks at the longest row of a batch, rows that it would treat otherwise by
    themselves stay apart.
    """
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    batches: list[list[int]] = []
    first = -1
    for index in order:
        length = lengths[index]
        apart = "dynamic" in rope and length > rope["dynamic"] and length != first
        if "longrope" in rope and first >= 0:
            apart = apart or (first <= rope["longrope"]) != (length <= rope["longrope"])
        if "dynamic" in rope and first >= 0 and (first <= rope["dynamic"]) != (length <= rope["dynamic"]):
            apart = True
        if first < 0 or apart or length > max(first * PADDING, first + 8):
            batches.append([])
            first = length
        batches[-1].append(index)
    return batches
