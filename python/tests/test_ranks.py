"""One process and two gloo ranks under DistributedDataParallel learn the same."""

from __future__ import annotations

import pytest

from conftest import FIXTURES
from ranks import two_ranks

torch = pytest.importorskip("torch", reason="skipped: no torch")

import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tokensieve.data import SelectiveDataset
from tokensieve.losses import (
    live_selective_loss,
    live_weights,
    selective_loss,
    selective_loss_from_hidden,
    step_divisor,
    token_losses,
)

MODES = (
    "frozen",
    "frozen-eligible",
    "frozen-hidden",
    "live-sequence",
    "live-microbatch",
    "live-step",
    "live-step-accumulated",
)


class Model(nn.Module):
    """A bigram and a little more; fp64, so that the order of sums shows in the last digits only."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(64, 8, dtype=torch.float64)
        self.mix = nn.Linear(8, 8, dtype=torch.float64)
        self.head = nn.Linear(8, 64, bias=False, dtype=torch.float64)

    def forward(self, ids, hidden=False):
        states = torch.tanh(self.mix(self.embed(ids)))
        return states if hidden else self.head(states)


def losses_of(model, inner, mode, batches, group):
    """The step's losses in turn, to be backpropagated one by one."""
    kind, _, scope = mode.partition("-")
    labels = [batch["labels"] for batch in batches]
    weights = [batch["loss_weights"] for batch in batches]
    references = [batch["reference_loss"] for batch in batches]
    if mode == "live-step-accumulated":
        with torch.no_grad():
            losses = [token_losses(inner(batch["input_ids"]), batch["labels"]) for batch in batches]
        weights = live_weights(losses, references, labels, 0.6, "step", group=group)
    if kind == "frozen" or mode == "live-step-accumulated":
        normaliser = "eligible" if scope == "eligible" else "weights"
        divisor = step_divisor(weights, labels, normaliser=normaliser, group=group)
        for batch, weight in zip(batches, weights):
            if scope == "hidden":
                states = model(batch["input_ids"], hidden=True)
                yield selective_loss_from_hidden(
                    states, inner.head.weight, batch["labels"], weight, divisor=divisor, group=group, chunk=5
                )
            else:
                yield selective_loss(
                    model(batch["input_ids"]), batch["labels"], weight, divisor=divisor, group=group, chunk=5
                )
        return
    (batch,) = batches
    yield live_selective_loss(
        model(batch["input_ids"]), batch["labels"], batch["reference_loss"], 0.6, scope, group=group
    )


def train(mode, rank, ranks):
    """Three steps of SGD. Four batches a step, whoever takes them; live scopes of one call: one batch a rank."""
    per_step = 4 if mode.startswith("frozen") or mode == "live-step-accumulated" else 2
    inner = Model()
    model = inner if ranks == 1 else DistributedDataParallel(inner)
    group = None if ranks == 1 else "world"
    optimizer = torch.optim.SGD(inner.parameters(), lr=0.5)
    batches = iter(
        SelectiveDataset(FIXTURES / "weighted", rows=2, seed=3, epochs=4, rank=rank, ranks=ranks, labels="eligible")
    )
    curve = []
    for _ in range(3):
        own = [next(batches) for _ in range(per_step // ranks)]
        if ranks == 1 and per_step == 2:
            # What two ranks rank together, one ranks in one batch; "microbatch" is a half of it each.
            if mode == "live-microbatch":
                weights = [
                    live_weights(
                        token_losses(inner(b["input_ids"]), b["labels"]),
                        b["reference_loss"],
                        b["labels"],
                        0.6,
                        "microbatch",
                    )
                    for b in own
                ]
                divisor = step_divisor(weights, [b["labels"] for b in own])
                found = [
                    selective_loss(inner(b["input_ids"]), b["labels"], w, divisor=divisor) for b, w in zip(own, weights)
                ]
            else:
                joined = {name: torch.cat([b[name] for b in own]) for name in own[0]}
                found = losses_of(model, inner, mode, [joined], group)
        else:
            found = losses_of(model, inner, mode, own, group)
        total = 0.0
        for loss in found:
            loss.backward()
            total += loss.item()
        if ranks > 1:
            both = torch.tensor(total, dtype=torch.float64)
            dist.all_reduce(both)
            total = both.item() / ranks
        optimizer.step()
        optimizer.zero_grad()
        curve.append(total)
    return curve, [p.detach().clone() for p in inner.parameters()]


def of_rank(rank):
    found = {mode: train(mode, rank, 2) for mode in MODES}
    # A selection over ranks with other numbers of micro-batches, of other sizes.
    pieces = [torch.arange(6.0).view(2, 3), torch.tensor([[0.0, 9.0]])][: 2 - rank]
    labels = [torch.ones(piece.shape, dtype=torch.int64) for piece in pieces]
    found["ragged"] = live_weights(pieces, [torch.zeros_like(p) for p in pieces], labels, 0.5, "step", group="world")
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return two_ranks(of_rank, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("mode", MODES)
def test_two_ranks_learn_what_one_does(both, mode):
    curve, parameters = train(mode, 0, 1)
    assert len(set(curve)) == 3
    for found_curve, found in (share[mode] for share in both):
        assert found_curve == pytest.approx(curve, rel=1e-9)
        for a, b in zip(found, parameters):
            assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_ranks_with_other_micro_batches_rank_together(both):
    # Targets: 1 2 | 4 5 (rank 0), 9 (rank 0, its second), 1 2 | 4 5 (rank 1): 9 of them, 4 kept.
    assert [w.tolist() for w in both[0]["ragged"]] == [[[0, 0, 0], [0, 1, 1]], [[0, 1]]]
    assert [w.tolist() for w in both[1]["ragged"]] == [[[0, 0, 0], [0, 0, 1]]]
