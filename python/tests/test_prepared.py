"""Loaders that `accelerator.prepare` made, on two gloo processes: each row once a pass, whoever shares and whoever reads."""

from __future__ import annotations

import os
import socket
from collections import Counter

import pytest

from conftest import FIXTURES

torch = pytest.importorskip("torch", reason="skipped: no torch")
pytest.importorskip("accelerate", reason="skipped: no accelerate")

import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.data import DataLoader

from tokensieve import TokensieveError
from tokensieve.data import SelectiveDataset, pad_rows

CASES = [
    (rows, prepared, dispatched, workers)
    for rows in (2, None)
    for prepared, dispatched in ((True, True), (True, False), (False, False))
    for workers in (0, 2)
]


def rows_of(batch):
    return [
        tuple(ids[:3])
        for ids, own in zip(batch["input_ids"].tolist(), batch["labels"].tolist())
        if any(x != -100 for x in own)
    ]


def _collate(rows):
    return pad_rows(rows, length=12)


def run(rows, prepared, dispatched, workers):
    from accelerate import Accelerator, DataLoaderConfiguration

    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=dispatched))
    data = SelectiveDataset(FIXTURES / "weighted", rows=rows, seed=5, shuffle_tokens=100, labels="eligible")
    more = {"batch_size": None} if rows else {"batch_size": 2, "collate_fn": _collate}
    # Forked: a process that was spawned would spawn its workers, which takes seconds each.
    loader = DataLoader(data, num_workers=workers, multiprocessing_context="fork" if workers else None, **more)
    if prepared:
        loader = accelerator.prepare(loader)
    try:
        # A look, two passes, and a third that is broken off and begun again.
        next(iter(loader))
        passes = [[rows_of(batch) for batch in loader] for _ in range(2)]
        return len(loader), passes
    except TokensieveError as error:
        return error.code, []


def worker(rank, port, out):
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
        torch.save([run(*case) for case in CASES], f"{out}/{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("skipped: this torch has no gloo")
    out = tmp_path_factory.mktemp("prepared")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(worker, args=(port, str(out)), nprocs=2)
    return [torch.load(out / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_row_once_a_pass(two_ranks, case):
    rows, prepared, dispatched, _ = case
    both = [share[CASES.index(case)] for share in two_ranks]
    if rows and prepared and not dispatched:
        # Accelerate would cut up what it does not know to be batches.
        assert [found for found, _ in both] == ["prepared-batches"] * 2
        return
    whole = SelectiveDataset(FIXTURES / "weighted", rows=15, seed=5, labels="eligible")
    (batch,) = whole
    every = Counter(rows_of(batch))
    for epoch in range(2):
        lists = [passes[epoch] for _, passes in both]
        assert Counter(row for share in lists for batch in share for row in batch) == every
        # As many steps on each rank, or the ranks wait for each other for ever.
        assert len(lists[0]) == len(lists[1])
        if case[3] < 2:
            assert [length for length, _ in both] == [len(lists[0])] * 2
    orders = [list(both[0][1][epoch]) for epoch in range(2)]
    assert orders[0] != orders[1]
