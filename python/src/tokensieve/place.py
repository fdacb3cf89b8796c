"""Where the consumer of a data set is, kept in the consumer's process; loader workers are told where to begin."""

from __future__ import annotations

import multiprocessing
import os
import weakref
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from .parcel import LISTENERS

#: In memory that workers share: where workers that live on begin anew, how many there are, and what each came to the end of.
_EPOCH, _NEXT, _IS_TOLD, _WORKERS, _ENDED = 0, 1, 2, 3, 4
_MOST_WORKERS = 512

Start = tuple[int, int]


class Place:
    """
    A pass over the data and the number of batches taken of it, by this rank.

    A batch that a worker made counts when the loop takes it, not when it is read ahead. An iterator of which one batch was
    taken was a look: the next one begins where it began. One that was broken off goes on. One that came to its end is
    followed by the next pass.
    """

    def __init__(self, length: Callable[[], int | None]) -> None:
        """`length`: batches of a pass; None of one without an end."""
        self._length = length
        self.epoch = self.next = 0
        self._began: Start = (0, 0)
        self._is_look = False
        #: Whether workers' batches were seen to be taken one by one.
        self._heard = False
        #: Since a state was loaded: our pass, less the one that others count.
        self._offset = 0
        self._loaded = False
        self._iterator: Any = None
        #: Of a worker: what it begins at, unless it lives on from an earlier iteration.
        self._first: Start | None = None
        self._settle_here()

    def _settle_here(self) -> None:
        """The consumer is this process: workers of its own, and batches of its own."""
        self._process = os.getpid()
        self._shared: Tensor = torch.zeros(_ENDED + _MOST_WORKERS, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self.token = uuid4().hex
        me = weakref.ref(self)

        def listener(origin: tuple[Any, ...], iterator: Any) -> None:
            place = me()
            if place is not None:
                place._arrival(origin, iterator)

        LISTENERS[self.token] = listener
        weakref.finalize(self, LISTENERS.pop, self.token, None)
        PLACES.add(self)

    # --- of the consumer's process ----------------------------------------------------------------------------

    def load(self, epoch: int, taken: int) -> None:
        self.epoch, self.next, self._began = epoch, taken, (epoch, taken)
        self._is_look, self._heard, self._loaded, self._iterator = False, False, True, None
        self._shared[_WORKERS:] = 0
        self._tell((epoch, taken))

    def _tell(self, start: Start) -> None:
        self._shared[_EPOCH], self._shared[_NEXT] = start

    def set_epoch(self, epoch: int) -> None:
        """To the start of a pass. But a state that was loaded is where we are, whatever number another has for it."""
        if self._loaded:
            self._offset = self.epoch - epoch
        else:
            self.load(epoch + self._offset, 0)
            self._loaded = False

    def start(self) -> Start:
        """Where an iteration that begins now begins."""
        if self._process != os.getpid():
            self._settle_here()
        workers = int(self._shared[_WORKERS])
        ended = int(self._shared[_ENDED : _ENDED + workers].min()) if workers else 0
        length = self._length()
        if not self._heard and ended > self.epoch:
            # Batches of a collate function of the caller's own, or pinned by a thread: all that is known is the end.
            return ended, 0
        if length is not None and self.next >= length:
            return self.epoch + 1, 0
        return self._began if self._is_look else (self.epoch, self.next)

    def begin(self) -> Start:
        """The start of an iteration in this process."""
        found = self.start()
        self.load(*found)
        self._loaded = False
        return found

    def take(self, epoch: int, taken: int, *, is_first: bool) -> None:
        """An iterator in this process gives a batch. `is_first`: the loop has taken none before."""
        self.epoch, self.next, self._is_look = epoch, taken, is_first

    def now(self) -> Start:
        """(pass, batches taken), for a state: what was taken of it is no look any more."""
        self._is_look = False
        return self.epoch, self.next

    def _arrival(self, origin: tuple[Any, ...], iterator: Any) -> None:
        """A worker's batch came in while the loop asked for one: that one, or another that is kept for later."""
        if self._iterator is not None and self._iterator() is iterator:
            return
        self._began, self._heard, self._loaded = (origin[1], origin[2]), True, False
        self._count(iterator._num_yielded + 1)
        owner = self._iterator = weakref.ref(iterator)

        # What is given was often taken in before, and then only the iterator knows of it: from here on it tells.
        def counted_next(*args: Any, **kwargs: Any) -> Any:
            own: Any = owner()
            found = type(own)._next_data(own, *args, **kwargs)
            self._count(own._num_yielded + 1)
            return found

        def settled_reset(*args: Any, **kwargs: Any) -> None:
            # Workers that live on are not forked again: they are told here, before they are told to begin.
            own: Any = owner()
            self._tell(self.start())
            self._shared[_IS_TOLD] = 1
            self._iterator = None
            type(own)._reset(own, *args, **kwargs)

        iterator._next_data, iterator._reset = counted_next, settled_reset

    def _count(self, yielded: int) -> None:
        self.epoch, self.next, self._is_look = self._began[0], self._began[1] + yielded, yielded == 1

    def tell_workers(self) -> None:
        """Before a worker is forked or spawned."""
        self._first = self.start()

    # --- of a worker ------------------------------------------------------------------------------------------

    def start_of_worker(self, workers: int) -> Start:
        self._shared[_WORKERS] = min(workers, _MOST_WORKERS)
        first, self._first = self._first, None
        if first is not None:
            return first
        ended = int(self._shared[_ENDED : _ENDED + int(self._shared[_WORKERS])].min())
        told = int(self._shared[_EPOCH]), int(self._shared[_NEXT])
        return told if self._shared[_IS_TOLD] else max(told, (ended, 0))

    def end_of_worker(self, worker: int, epoch: int) -> None:
        if worker < _MOST_WORKERS:
            self._shared[_ENDED + worker] = epoch + 1

    # --- copies -----------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        if multiprocessing.context.get_spawning_popen() is not None:
            self.tell_workers()
        return {**self.__dict__, "_iterator": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not getattr(multiprocessing.current_process(), "_inheriting", False):
            # A copy in the same process is of a data set of its own.
            self._settle_here()


#: Of this process.
PLACES: weakref.WeakSet[Place] = weakref.WeakSet()


def _tell_workers() -> None:
    if get_worker_info() is None:
        for place in list(PLACES):
            place.tell_workers()


# A loader forks its workers without a word to the data set.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_tell_workers)
