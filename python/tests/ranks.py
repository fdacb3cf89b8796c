"""Two gloo processes on this machine, for tests of what ranks do together."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest


def two_ranks(work: Callable[..., Any], out: Any, *args: Any) -> list[Any]:
    """What `work(rank, *args)` gave on each of two ranks; `work` is a module's function, and what it gives goes through torch.save."""
    import torch.distributed as dist
    import torch.multiprocessing as mp

    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("skipped: this torch has no gloo")
    import torch

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(_rank, args=(port, str(out), work, args), nprocs=2)
    return [torch.load(f"{out}/{rank}.pt", weights_only=False) for rank in range(2)]


def _rank(rank: int, port: int, out: str, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        GLOO_SOCKET_IFNAME="lo",
        RANK=str(rank),
        WORLD_SIZE="2",
        LOCAL_RANK=str(rank),
        ACCELERATE_USE_CPU="true",
    )
    dist.init_process_group("gloo", rank=rank, world_size=2)
    try:
        torch.save(work(rank, *args), f"{out}/{rank}.pt")
    finally:
        dist.destroy_process_group()
