"""
A batch that crosses from a loader's worker to its consumer as one array.

Tensors cross as a file each, opened and mapped, which costs more than making a small batch. Here all tensors of a batch
are views of one buffer, and the buffer's bytes are what is sent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

#: (name, type, shape) of each tensor, in the buffer's order.
Layout = tuple[tuple[str, torch.dtype, tuple[int, ...]], ...]


class Parcel(dict[str, Tensor]):
    """A dict of tensors. `origin` says which batch of which data set it is, to be told where it arrives."""

    buffer: Tensor | None = None
    views: tuple[Tensor, ...] = ()
    layout: Layout = ()
    origin: tuple[Any, ...] | None = None

    @classmethod
    def of(cls, layout: Layout, buffer: Tensor | None = None) -> Parcel:
        """Room for the tensors of a layout, not yet filled where no `buffer` [bytes] is given."""
        sizes = [_bytes_of(kind, shape) for _, kind, shape in layout]
        if buffer is None:
            buffer = torch.empty(sum(sizes), dtype=torch.uint8)
        views, at = [], 0
        for (_, kind, shape), size in zip(layout, sizes):
            # Each begins at a multiple of eight: the widest type's.
            views.append(buffer[at : at + _length(shape) * kind.itemsize].view(kind).view(shape))
            at += size
        found = cls({name: view for (name, _, _), view in zip(layout, views)})
        found.buffer, found.views, found.layout = buffer, tuple(views), layout
        return found

    def __copy__(self) -> Parcel:
        # Loaders copy a mapping and put its tensors in again.
        found = type(self)(self)
        found.buffer, found.views, found.layout, found.origin = self.buffer, self.views, self.layout, self.origin
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        own = len(self) == len(self.views) and all(
            self.get(name) is view for (name, _, _), view in zip(self.layout, self.views)
        )
        if self.buffer is None or not own:
            # Somebody put other tensors in.
            return _plain, (dict(self), self.origin)
        return _arrived, (self.buffer.numpy(), self.layout, self.origin)


def _length(shape: tuple[int, ...]) -> int:
    length = 1
    for size in shape:
        length *= size
    return length


def _bytes_of(kind: torch.dtype, shape: tuple[int, ...]) -> int:
    return -(-_length(shape) * kind.itemsize // 8) * 8


#: By the data set's token: who is told of a batch that a loader's iterator takes in, and of that iterator.
LISTENERS: dict[str, Callable[[tuple[Any, ...], Any], None]] = {}


def _plain(values: Mapping[str, Tensor], origin: tuple[Any, ...] | None) -> Parcel:
    found = Parcel(values)
    found.origin = origin
    _tell(origin)
    return found


def _arrived(data: Any, layout: Layout, origin: tuple[Any, ...] | None) -> Parcel:
    found = Parcel.of(layout, torch.from_numpy(data))
    found.origin = origin
    _tell(origin)
    return found


def _tell(origin: tuple[Any, ...] | None) -> None:
    listener = None if origin is None else LISTENERS.get(origin[0])
    if listener is None or origin is None:
        return
    # Who takes it in is in the stack only: a loader has no other sign of it for a data set.
    frame = sys._getframe(1)
    for _ in range(12):
        above = frame.f_back
        if above is None:
            return
        frame = above
        name = frame.f_code.co_name
        if name == "_reset":
            # What was read ahead for an iteration that was broken off is thrown away.
            return
        if name == "_next_data":
            listener(origin, frame.f_locals["self"])
            return
