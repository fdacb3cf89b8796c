"""Which part of the stream a process is given: its rank's, or all of it where accelerate takes its part itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from .errors import TokensieveError


@dataclass(frozen=True)
class Share:
    """Of the stream's items those of number rank modulo ranks."""

    rank: int
    ranks: int
    #: Each loader worker gives a multiple of so many, the last ones without a target: whoever cuts the stream up again
    #: fills what does not go round with rows that were seen already.
    multiple: int = 1


def share_of_process() -> Share:
    """
    The process's rank of torch.distributed; all of the stream for a loader that `accelerator.prepare` made.

    Raises TokensieveError `prepared-batches` where accelerate would cut up batches that it does not know to be batches.
    """
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return Share(0, 1)
    ranks = dist.get_world_size()
    prepared = _prepared_by_accelerate() if ranks > 1 else None
    return Share(dist.get_rank(), ranks) if prepared is None else Share(0, 1, ranks * prepared)


def _prepared_by_accelerate() -> int | None:
    """Items that a batch of the prepared loader takes that is asking; None where none is."""
    module = sys.modules.get("accelerate.data_loader")
    if module is None:
        return None
    # A prepared loader asks through torch's own; the stack alone tells that it does (forked workers have it too).
    frame = sys._getframe(1)
    for _ in range(64):
        above = frame.f_back
        if above is None:
            return None
        frame = above
        asking = frame.f_locals.get("self")
        if isinstance(asking, module.DataLoaderDispatcher):
            return int(asking.batch_size or 1)
        if isinstance(asking, module.IterableDatasetShard):
            if asking.batch_size is None:
                raise TokensieveError(
                    "prepared-batches",
                    "accelerator.prepare with dispatch_batches=False cannot share batches made by the data set: use the "
                    "DataLoader without prepare (the data set shares its rows among ranks itself), or "
                    "SelectiveDataset(rows=None) with DataLoader(batch_size=…, collate_fn=tokensieve.pad_rows)",
                )
            return int(asking.batch_size)
    return None
