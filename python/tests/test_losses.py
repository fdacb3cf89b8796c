"""The losses against a slow, obvious fp64 version: values, gradients, scopes, types."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="skipped: no torch")

from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.errors import TokensieveError
from tokensieve.losses import (
    live_selective_loss,
    live_selective_loss_from_hidden,
    live_weights,
    selective_loss,
    selective_loss_from_hidden,
    step_divisor,
    token_losses,
    token_losses_from_hidden,
)
from tokensieve.selection import kept_weights


def naive_losses(logits, labels):
    """[B][T] by the definition: logits[i − 1] predict token i. NaN where there is no target."""
    rows = []
    for row, label in zip(logits.double().tolist(), labels.tolist()):
        losses = [math.nan]
        for i in range(1, len(label)):
            if label[i] == -100:
                losses.append(math.nan)
                continue
            top = max(row[i - 1])
            losses.append(top + math.log(sum(math.exp(x - top) for x in row[i - 1])) - row[i - 1][label[i]])
        rows.append(losses)
    return np.array(rows)


def naive_gradient(logits, labels, weights, divisor):
    """d (Σ w·L / divisor) / d logits = w_i / divisor · (softmax − one-hot), at position i − 1."""
    found = np.zeros(tuple(logits.shape))
    for b, row in enumerate(logits.double().tolist()):
        for i in range(1, len(row)):
            label, weight = int(labels[b, i]), float(weights[b, i])
            if label == -100 or weight == 0:
                continue
            top = max(row[i - 1])
            exps = [math.exp(x - top) for x in row[i - 1]]
            softmax = np.array(exps) / sum(exps)
            softmax[label] -= 1
            found[b, i - 1] = weight / divisor * softmax
    return found


def case(seed=0, rows=3, tokens=7, vocabulary=11, width=5, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(vocabulary, (rows, tokens), generator=g)
    labels[torch.rand(rows, tokens, generator=g) < 0.25] = -100
    return {
        "hidden": torch.randn(rows, tokens, width, generator=g, dtype=torch.float64).to(dtype),
        "matrix": torch.randn(vocabulary, width, generator=g, dtype=torch.float64).to(dtype),
        "labels": labels,
        "weights": torch.where(
            torch.rand(rows, tokens, generator=g) < 0.3, torch.zeros(()), 2 * torch.rand(rows, tokens, generator=g)
        ),
        "reference": torch.where(labels == -100, torch.tensor(float("nan")), 3 * torch.rand(rows, tokens, generator=g)),
    }


def divisor_of(weights, labels):
    return float(weights[:, 1:][labels[:, 1:] != -100].double().sum())


@pytest.mark.parametrize("chunk", [1, 4, 1024])
@pytest.mark.parametrize("normaliser", ["weights", "eligible"])
def test_value_and_gradient_are_the_definitions(chunk, normaliser):
    c = case()
    logits = (c["hidden"] @ c["matrix"].t()).requires_grad_()
    losses = naive_losses(logits, c["labels"])
    assert np.allclose(
        token_losses(logits, c["labels"], chunk=chunk).detach().numpy(), losses, equal_nan=True, atol=1e-12
    )

    eligible = ~np.isnan(losses)
    divisor = divisor_of(c["weights"], c["labels"]) if normaliser == "weights" else eligible.sum()
    expected = np.nansum(c["weights"].double().numpy() * losses) / divisor
    loss = selective_loss(logits, c["labels"], c["weights"], normaliser=normaliser, chunk=chunk)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    gradient = naive_gradient(logits.detach(), c["labels"], c["weights"], divisor)
    assert np.abs(logits.grad.numpy() - gradient).max() < 1e-12
    # The last position predicts nothing, and nothing is learnt where the weight is 0.
    assert not logits.grad[:, -1].any()


@pytest.mark.parametrize("chunk", [1, 3, 1024])
@pytest.mark.parametrize("with_bias", [False, True])
def test_hidden_states_and_matrix_give_the_gradients_of_whole_logits(chunk, with_bias):
    c = case(seed=1)
    bias = torch.randn(11, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) if with_bias else None
    found, expected = [], []
    for into, whole in ((found, False), (expected, True)):
        hidden, matrix = c["hidden"].clone().requires_grad_(), c["matrix"].clone().requires_grad_()
        own = None if bias is None else bias.clone().requires_grad_()
        if whole:
            logits = hidden @ matrix.t() + (0 if own is None else own)
            loss = selective_loss(logits, c["labels"], c["weights"])
        else:
            loss = selective_loss_from_hidden(hidden, matrix, c["labels"], c["weights"], bias=own, chunk=chunk)
        loss.backward()
        into += [loss.detach(), hidden.grad, matrix.grad, *([] if own is None else [own.grad])]
    for a, b in zip(found, expected):
        assert torch.allclose(a, b, atol=1e-12, rtol=1e-10)


def test_gradcheck():
    c = case(seed=3, rows=2, tokens=4, vocabulary=5, width=3)
    hidden, matrix = c["hidden"].requires_grad_(), c["matrix"].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda h, m: selective_loss_from_hidden(h, m, c["labels"], c["weights"], chunk=2), (hidden, matrix)
    )
    assert torch.autograd.gradcheck(
        lambda x: selective_loss(x, c["labels"], c["weights"], chunk=2),
        ((hidden @ matrix.t()).detach().requires_grad_(),),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_logits_are_raised_to_fp32(dtype):
    c = case(seed=4, dtype=torch.float32)
    logits = (3 * (c["hidden"] @ c["matrix"].t())).to(dtype).requires_grad_()
    loss = selective_loss(logits, c["labels"], c["weights"])
    assert loss.dtype == torch.float32
    losses = naive_losses(logits, c["labels"])
    divisor = divisor_of(c["weights"], c["labels"])
    # fp32 accuracy on the rounded logits, not the accuracy of the logits' type.
    assert loss.item() == pytest.approx(np.nansum(c["weights"].numpy() * losses) / divisor, rel=2e-6)
    loss.backward()
    assert logits.grad.dtype == dtype
    gradient = naive_gradient(logits.detach(), c["labels"], c["weights"], divisor)
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4}[dtype]
    assert np.abs(logits.grad.float().numpy() - gradient).max() < tolerance


def test_logits_are_not_written_to():
    c = case(seed=5, dtype=torch.float32)
    logits = (c["hidden"] @ c["matrix"].t()).requires_grad_()
    before = logits.detach().clone()
    selective_loss(logits, c["labels"], c["weights"]).backward()
    assert torch.equal(logits.detach(), before)


def test_large_logits_and_vanished_targets():
    logits = torch.tensor([[[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]]], requires_grad=True)
    loss = selective_loss(logits, torch.tensor([[0, 1]]), torch.ones(1, 2))
    assert loss.item() == 2e4
    loss.backward()
    assert logits.grad[0, 0].tolist() == [1.0, -1.0, 0.0]


def test_nothing_to_learn_is_zero_and_no_nan():
    c = case(seed=6, dtype=torch.float32)
    logits = (c["hidden"] @ c["matrix"].t()).requires_grad_()
    for labels, weights in (
        (torch.full_like(c["labels"], -100), c["weights"]),
        (c["labels"], torch.zeros_like(c["weights"])),
    ):
        loss = selective_loss(logits, labels, weights)
        loss.backward()
        assert loss.item() == 0
        assert not logits.grad.any()


def test_a_weight_of_zero_leaves_an_infinite_loss_out():
    logits = torch.tensor([[[0.0, float("-inf")], [0.0, 0.0], [0.0, 0.0]]], requires_grad=True)
    loss = selective_loss(logits, torch.tensor([[0, 1, 1]]), torch.tensor([[0.0, 0.0, 1.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("scope", ["sequence", "microbatch", "step"])
@pytest.mark.parametrize("keep", [0.000001, 0.35, 0.6, 1.0])
def test_live_is_a_ranking_and_the_frozen_loss(scope, keep):
    c = case(seed=7)
    logits = (c["hidden"] @ c["matrix"].t()).requires_grad_()
    losses = naive_losses(logits, c["labels"])
    reference = c["reference"].numpy()
    eligible = ~np.isnan(losses)
    score = losses.astype(np.float32) - reference.astype(np.float32)
    if scope == "sequence":
        weights = kept_weights(score, eligible, keep)
    else:
        weights = kept_weights(score.reshape(-1), eligible.reshape(-1), keep).reshape(score.shape)
    expected = selective_loss(logits, c["labels"], torch.from_numpy(weights))
    for loss in (
        live_selective_loss(logits, c["labels"], c["reference"], keep, scope),
        live_selective_loss_from_hidden(c["hidden"], c["matrix"], c["labels"], c["reference"], keep, scope, chunk=4),
    ):
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    (gradient,) = torch.autograd.grad(live_selective_loss(logits, c["labels"], c["reference"], keep, scope), logits)
    (of_frozen,) = torch.autograd.grad(expected, logits)
    assert torch.equal(gradient, of_frozen)


def test_a_steps_micro_batches_rank_together_and_add_up():
    c = case(seed=8, rows=4)
    logits = (c["hidden"] @ c["matrix"].t()).detach()
    whole = logits.clone().requires_grad_()
    expected = live_selective_loss(whole, c["labels"], c["reference"], 0.6, "step")
    expected.backward()

    cuts = [slice(0, 1), slice(1, 4)]
    parts = [logits[cut].clone().requires_grad_() for cut in cuts]
    labels, references = ([c[name][cut] for cut in cuts] for name in ("labels", "reference"))
    with torch.no_grad():
        losses = [token_losses(part, label) for part, label in zip(parts, labels)]
    weights = live_weights(losses, references, labels, 0.6, "step")
    divisor = step_divisor(weights, labels)
    total = 0.0
    for part, label, weight in zip(parts, labels, weights):
        loss = selective_loss(part, label, weight, divisor=divisor)
        loss.backward()
        total += loss.item()
    assert total == pytest.approx(expected.item(), rel=1e-12)
    assert torch.allclose(torch.cat([part.grad for part in parts]), whole.grad, atol=1e-15)
    # Ranked within each micro-batch it would be another selection.
    assert not torch.equal(torch.cat(weights), torch.cat(live_weights(losses, references, labels, 0.6, "microbatch")))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(2, 9),
    st.integers(1, 1_000_000),
    st.sampled_from(["floor", "ceil"]),
    st.integers(0, 2**32 - 1),
)
def test_rankings_are_those_of_numpy_ties_included(rows, tokens, ppm, rounding, seed):
    rng = np.random.default_rng(seed)
    # Few values: ties everywhere. Infinite scores of both signs too.
    score = rng.choice(np.array([-1, 0, 0.5, 0.5, 2, np.inf, -np.inf], np.float32), (rows, tokens))
    eligible = rng.random((rows, tokens)) < 0.7
    eligible[:, 0] = False
    labels = torch.from_numpy(np.where(eligible, 3, -100))
    reference = torch.from_numpy(np.where(eligible, np.float32(0), np.float32("nan")))
    for scope in ("sequence", "microbatch", "step"):
        found = live_weights(torch.from_numpy(score), reference, labels, ppm / 1e6, scope, rounding=rounding).numpy()
        groups = (rows, tokens) if scope == "sequence" else (1, rows * tokens)
        expected = kept_weights(score.reshape(groups), eligible.reshape(groups), ppm / 1e6, rounding)
        assert np.array_equal(found, expected.reshape(rows, tokens))


def test_memory_of_the_chunked_loss_is_bounded():
    """Nothing as large as the logits is allocated in fp32 by the states-and-matrix form, forward or backward."""
    rows, tokens, vocabulary, width = 2, 256, 8192, 8
    largest = 0

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    hidden = torch.randn(rows, tokens, width, requires_grad=True)
    matrix = torch.randn(vocabulary, width, requires_grad=True)
    labels = torch.randint(vocabulary, (rows, tokens))
    with Watch():
        selective_loss_from_hidden(hidden, matrix, labels, torch.ones(rows, tokens), chunk=64).backward()
    assert vocabulary * width <= largest <= 64 * vocabulary


def test_wrong_shapes_are_refused_by_name():
    c = case()
    logits = c["hidden"] @ c["matrix"].t()
    with pytest.raises(TokensieveError, match="not shifted") as refused:
        selective_loss(logits[:, :-1], c["labels"], c["weights"])
    assert refused.value.code == "shapes-differ"
    with pytest.raises(TokensieveError, match="weights is"):
        selective_loss(logits, c["labels"], c["weights"][:, 1:])
    with pytest.raises(TokensieveError, match="six decimals"):
        live_selective_loss(logits, c["labels"], c["reference"], 0.12345678)
    with pytest.raises(TokensieveError, match="scope is"):
        live_selective_loss(logits, c["labels"], c["reference"], 0.5, "batch")  # type: ignore[arg-type]


def test_losses_of_hidden_states_are_those_of_logits():
    c = case(seed=9)
    a = token_losses_from_hidden(c["hidden"], c["matrix"], c["labels"], chunk=3)
    b = token_losses(c["hidden"] @ c["matrix"].t(), c["labels"])
    assert torch.allclose(a, b, equal_nan=True)
