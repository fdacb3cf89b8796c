"""The data set: batches of the trainer, shares of workers and ranks, resuming, padding."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest

from conftest import FIXTURES

torch = pytest.importorskip("torch", reason="skipped: no torch")

from torch.utils.data import DataLoader

from tokensieve import TokensieveError, open_run
from tokensieve.data import SelectiveDataset, pad_rows


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(torch.nan_to_num(a[name], nan=-1), torch.nan_to_num(b[name], nan=-1)), name


def same_all(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b):
        same(one, other)


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("labels", ["eligible", None])
def test_batches_are_the_trainers(golden, index, labels):
    order = golden["orders"][index]
    dataset = SelectiveDataset(
        FIXTURES / order["kind"],
        rows=2,
        seed=order["seed"],
        shuffle_tokens=order["shuffle_tokens"],
        epochs=None,
        labels=labels,
    )
    # By default labels carry a selection, for trainers that know labels alone.
    narrowed = labels is None and order["kind"] == "weighted"
    wanted = order["rows"]
    for at, batch in zip(range(0, len(wanted) - 1, 2), dataset):
        for row, want in enumerate(wanted[at : at + 2]):
            eligible = np.array(want["eligible"]) == 1
            ids = np.array(want["ids"])
            assert batch["input_ids"][row].tolist() == want["ids"]
            targets = eligible & (np.array(want["weight"]) > 0) if narrowed else eligible
            assert batch["labels"][row].tolist() == np.where(targets, ids, -100).tolist()
            assert batch["loss_weights"][row].tolist() == want.get("weight", want["eligible"])
            if "reference_loss" in want:
                expected = np.array([np.nan if v is None else v for v in want["reference_loss"]], np.float32)
                assert np.array_equal(batch["reference_loss"][row].numpy(), expected, equal_nan=True)
            if "positions" in want:
                assert batch["position_ids"][row].tolist() == want["positions"]
                assert batch["document_ids"][row].tolist() == want["documents"]


def loaded(dataset, workers):
    return list(DataLoader(dataset, batch_size=None, num_workers=workers))


def test_workers_change_nothing():
    def dataset():
        return SelectiveDataset(FIXTURES / "weighted", rows=2, seed=5, shuffle_tokens=100, epochs=3)

    alone = loaded(dataset(), 0)
    assert len(alone) == len(dataset()) == 23
    same_all(alone, loaded(dataset(), 2))
    same_all(alone, loaded(dataset(), 3))


def rows_of(batches):
    return Counter(
        tuple(ids)
        for batch in batches
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist())
        if any(label != -100 for label in labels)
    )


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_ranks_take_disjoint_and_complete_shares(ranks, rows):
    shares = [
        loaded(SelectiveDataset(FIXTURES / "weighted", rows=rows, seed=2, rank=rank, ranks=ranks), 0)
        for rank in range(ranks)
    ]
    assert len({len(share) for share in shares}) == 1
    whole = loaded(SelectiveDataset(FIXTURES / "weighted", rows=rows, seed=2), 0)
    assert sum(map(rows_of, shares), Counter()) == rows_of(whole)
    # At each step the ranks hold what one process holds in as many batches.
    together = [batch for step in zip(*shares) for batch in step]
    same_all(together[: len(whole)], whole)
    for filler in together[len(whole) :]:
        assert not filler["loss_weights"].any()
        assert (filler["labels"] == -100).all()


@pytest.mark.parametrize("rows", [None, 2])
def test_resumes_at_every_batch(rows):
    def dataset():
        return SelectiveDataset(FIXTURES / "weighted", rows=rows, seed=1, shuffle_tokens=90, epochs=2, rank=1, ranks=2)

    whole = list(dataset())
    for taken in range(len(whole)):
        one = dataset()
        reader = iter(one)
        for _ in range(taken):
            next(reader)
        state = pickle.loads(pickle.dumps(one.state_dict()))
        assert {**state, "worker": None} == {**one.state_after(taken), "worker": None}
        for workers in (0, 2):
            other = dataset()
            other.load_state_dict(state)
            same_all(loaded(other, workers) if workers else list(other), whole[taken:])


def test_a_loader_workers_own_state():
    """What torchdata's StatefulDataLoader does: asks each worker's copy, and gives it back to the same worker."""
    from torch.utils.data import _utils

    def run(worker, workers, state, count):
        dataset = SelectiveDataset(FIXTURES / "weighted", rows=2, seed=1, epochs=2)
        _utils.worker._worker_info = _utils.worker.WorkerInfo(id=worker, num_workers=workers, seed=0, dataset=dataset)
        try:
            if state is not None:
                dataset.load_state_dict(state)
            reader = iter(dataset)
            return [next(reader) for _ in range(count)], dataset.state_dict()
        finally:
            _utils.worker._worker_info = None

    whole = list(SelectiveDataset(FIXTURES / "weighted", rows=2, seed=1, epochs=2))
    for worker in (0, 1):
        first, state = run(worker, 2, None, 2)
        rest, _ = run(worker, 2, state, 3)
        same_all([*first, *rest], whole[worker::2][:5])
        with pytest.raises(TokensieveError, match="as many workers"):
            run(worker, 3, state, 1)


def test_states_of_other_data_or_settings_are_refused():
    state = SelectiveDataset(FIXTURES / "weighted", rows=2, seed=1).state_after(3)
    for other in (
        SelectiveDataset(FIXTURES / "weighted", rows=2, seed=2),
        SelectiveDataset(FIXTURES / "weighted", rows=3, seed=1),
        SelectiveDataset(FIXTURES / "packed", rows=2, seed=1),
        SelectiveDataset(FIXTURES / "weighted", rows=2, seed=1, rank=0, ranks=2),
    ):
        with pytest.raises(TokensieveError, match="state of"):
            other.load_state_dict(state)
    with pytest.raises(TokensieveError, match="a number of batches"):
        SelectiveDataset(FIXTURES / "weighted", rows=2, seed=1).load_state_dict({**state, "next": -1})


def test_rows_without_padding_and_a_loader_that_batches():
    rows = SelectiveDataset(FIXTURES / "scored", rows=None, seed=4)
    again = SelectiveDataset(FIXTURES / "scored", rows=None, seed=4)
    batched = SelectiveDataset(FIXTURES / "scored", rows=3, seed=4, pad_to="longest")
    assert {len(row["input_ids"]) for row in rows} == {12, 5, 3, 2}
    same_all(list(DataLoader(again, batch_size=3, collate_fn=pad_rows)), list(batched))


def test_padding_is_no_target():
    (batch,) = SelectiveDataset(FIXTURES / "weighted", rows=15, pad_to=16)
    assert batch["input_ids"].shape == (15, 16)
    assert not batch["loss_weights"][:, 12:].any()
    assert (batch["labels"][:, 12:] == -100).all()
    assert torch.isnan(batch["reference_loss"][:, 12:]).all()
    with pytest.raises(TokensieveError, match="a row has 12 ids; pad_to is 8"):
        next(iter(SelectiveDataset(FIXTURES / "weighted", rows=15, pad_to=8)))


def test_bad_settings_are_refused():
    for more in (
        {"rows": 0},
        {"seed": -1},
        {"epochs": 0},
        {"rank": 2, "ranks": 2},
        {"rank": 0},
        {"rows": "8"},
        {"labels": "all"},
    ):
        with pytest.raises(TokensieveError):
            SelectiveDataset(FIXTURES / "weighted", **more)
    with pytest.raises(TypeError):
        len(SelectiveDataset(open_run(FIXTURES / "weighted"), epochs=None))
