"""Passes over the data: what the next iteration begins with, however the one before ended, and who counts the passes."""

from __future__ import annotations

import copy
import multiprocessing
import pickle

import pytest

from conftest import FIXTURES

torch = pytest.importorskip("torch", reason="skipped: no torch")

from torch.utils.data import DataLoader

from tokensieve.data import SelectiveDataset, pad_rows

PASS = 8


def dataset(**options):
    return SelectiveDataset(FIXTURES / "weighted", **{"rows": 2, "seed": 5, "shuffle_tokens": 100, **options})


def key(batch):
    return tuple(batch["input_ids"].flatten().tolist())


@pytest.fixture(scope="module")
def stream():
    """Of each pass the batches, by the place in the stream alone."""
    passes = []
    for epoch in range(4):
        one = dataset()
        one.set_epoch(epoch)
        passes.append([key(batch) for batch in one])
    assert [len(one) for one in passes] == [PASS] * 4
    # 15 rows: each once a pass, in an order of its own.
    assert len({tuple(sorted(row for batch in one for row in [batch[:12], batch[12:]])) for one in passes}) == 1
    assert len(set(map(tuple, passes))) == 4
    return passes


def ways():
    """A data set and how it is iterated; loaders that live on and loaders made anew."""
    for workers in (0, 1, 2, 3):
        one = dataset()
        yield (
            f"{workers} workers",
            one,
            lambda one=one, workers=workers: DataLoader(one, batch_size=None, num_workers=workers),
        )
        kept = dataset()
        loader = DataLoader(kept, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
        yield f"{workers} that live on", kept, lambda loader=loader: loader
    alone = dataset()
    yield "no loader", alone, lambda alone=alone: alone


@pytest.mark.filterwarnings("ignore:.*worker process")
def test_each_iteration_goes_on_where_the_loop_was(stream):
    for name, data, loader in ways():
        assert len(data) == PASS

        # A look, two of them, and a whole pass; one that is broken off before its end is asked for.
        assert take_some(loader, 1) == stream[0][:1], name
        assert take_some(loader, 1) == stream[0][:1], name
        assert [key(batch) for batch in loader()] == stream[0], name
        assert take_some(loader, PASS) == stream[1], name
        # Broken off in the middle, twice, and gone on with; the state is the loop's, not the workers'.
        assert take_some(loader, 3) == stream[2][:3], name
        assert {**data.state_dict(), "worker": None} == data.state_after(2 * PASS + 3), name
        assert take_some(loader, 2) == stream[2][3:5], name
        assert [key(batch) for batch in loader()] == stream[2][5:], name
        assert len(data) == PASS
        assert take_some(loader, 1) == stream[3][:1], name
        data.set_epoch(1)
        assert [key(batch) for batch in loader()] == stream[1], name


def take_some(loader, count):
    found = []
    for batch in loader():
        found.append(key(batch))
        if len(found) == count:
            return found
    return found


def test_a_state_after_one_batch_is_no_look(stream):
    data = dataset()
    assert take_some(lambda: data, 1) == stream[0][:1]
    data.state_dict()
    assert take_some(lambda: data, 2) == stream[0][1:3]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_state_is_gone_on_with_over_passes(stream, workers):
    flat = [batch for one in stream for batch in one]
    for at in (0, 3, PASS, PASS + 1, 3 * PASS - 1):
        state = pickle.loads(pickle.dumps(dataset().state_after(at)))
        other = dataset()
        other.load_state_dict(state)
        # A trainer that counts from 0 does not lead away from it, then or later.
        other.set_epoch(0)
        rest = [key(batch) for batch in DataLoader(other, batch_size=None, num_workers=workers)]
        assert rest == flat[at : (at // PASS + 1) * PASS], at
        other.set_epoch(1)
        following = (at // PASS + 1) * PASS
        assert [key(batch) for batch in other] == flat[following : following + PASS], at
    # Of a version that knew no passes.
    old = dataset()
    old.load_state_dict({**{k: v for k, v in old.state_after(3).items() if k not in ("epoch", "epochs")}, "version": 1})
    assert [key(batch) for batch in old] == flat[3:PASS]


def test_several_passes_an_iteration(stream):
    data = dataset(epochs=2)
    assert len(data) == 15
    rows = [row for one in stream for batch in one for row in (batch[:12], batch[12:])]
    rows = [row for row in rows if any(row)]
    for first in (0, 30):
        found = [row for batch in data for row in (key(batch)[:12], key(batch)[12:])]
        assert found == rows[first : first + 30]
    endless = dataset(epochs=None)
    endless.set_epoch(3)
    assert take_some(lambda: endless, 20)[:8][:7] == stream[0][:7]
    assert {**endless.state_dict()} == endless.state_after(20)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_single_rows_that_a_loader_batches(workers, persistent):
    """Of workers' rows in batches of the loader no prefix is taken: a pass is complete or begins again."""
    if persistent and workers == 0:
        pytest.skip("no workers to live on")
    data = dataset(rows=None)
    loader = DataLoader(
        data,
        batch_size=4,
        collate_fn=pad_rows,
        num_workers=workers,
        persistent_workers=persistent,
        prefetch_factor=None if workers == 0 else 1,
    )
    expected = []
    for epoch in range(3):
        one = dataset(rows=None)
        one.set_epoch(epoch)
        expected.append(sorted(tuple(row["input_ids"].tolist()) for row in one))
    first = next(iter(loader))
    assert torch.equal(next(iter(loader))["input_ids"], first["input_ids"])
    orders = []
    for epoch in range(3):
        found = [tuple(ids) for batch in loader for ids in batch["input_ids"].tolist()]
        found = [short(expected[epoch]).get(row, row) for row in found]
        assert sorted(found) == expected[epoch], epoch
        orders.append(found)
    assert len(set(map(tuple, orders))) == 3


def short(rows):
    return {row + (0,) * (12 - len(row)): row for row in rows}


def test_copies_are_data_sets_of_their_own(stream):
    one = dataset()
    assert take_some(lambda: one, 3) == stream[0][:3]
    other = copy.deepcopy(one)
    assert take_some(lambda: DataLoader(other, batch_size=None, num_workers=1), 2) == stream[0][3:5]
    assert take_some(lambda: one, 2) == stream[0][3:5]


def test_spawned_workers(stream):
    data = dataset()
    context = multiprocessing.get_context("spawn")
    loader = DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context=context, persistent_workers=True)
    assert take_some(lambda: loader, 3) == stream[0][:3]
    assert [key(batch) for batch in loader] == stream[0][3:]
    assert [key(batch) for batch in loader] == stream[1]
