"""Loaders that `accelerator.prepare` made, on two gloo processes: each row once a pass, whoever shares and whoever reads."""

from __future__ import annotations

from collections import Counter

import pytest

from conftest import FIXTURES
from ranks import two_ranks

torch = pytest.importorskip("torch", reason="skipped: no torch")
pytest.importorskip("accelerate", reason="skipped: no accelerate")

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


def of_rank(rank):
    return [run(*case) for case in CASES]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return two_ranks(of_rank, tmp_path_factory.mktemp("prepared"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_row_once_a_pass(both, case):
    rows, prepared, dispatched, _ = case
    found = [share[CASES.index(case)] for share in both]
    if rows and prepared and not dispatched:
        # Accelerate would cut up what it does not know to be batches.
        assert [code for code, _ in found] == ["prepared-batches"] * 2
        return
    whole = SelectiveDataset(FIXTURES / "weighted", rows=15, seed=5, labels="eligible")
    (batch,) = whole
    every = Counter(rows_of(batch))
    for epoch in range(2):
        lists = [passes[epoch] for _, passes in found]
        assert Counter(row for share in lists for batch in share for row in batch) == every
        # As many steps on each rank, or the ranks wait for each other for ever.
        assert len(lists[0]) == len(lists[1])
        if case[3] < 2:
            assert [length for length, _ in found] == [len(lists[0])] * 2
    orders = [list(found[0][1][epoch]) for epoch in range(2)]
    assert orders[0] != orders[1]
