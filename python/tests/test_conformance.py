"""conformance/: this package against the vectors that every implementation may test itself with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from conftest import ROOT
from tokensieve import excess, kept_weights, weighted_loss

SELECTION = sorted((ROOT / "conformance" / "vectors").glob("*.json"))
LOSSES = sorted((ROOT / "conformance" / "losses").glob("*.json"))


def floats(values):
    return np.array([np.nan if v is None else v for v in values], np.float32)


@pytest.mark.parametrize("path", SELECTION, ids=lambda path: path.stem)
def test_selection(path):
    """Losses of all weights; weights of `slm` in the scopes that a trainer has. Other methods are the pipeline's."""
    case = json.loads(path.read_text())
    expected = case["expected"]
    if "error" in expected or any("current_loss" not in row for part in case["parts"] for row in part["rows"]):
        pytest.skip("not computed here: a refusal, or no current loss")
    rows = [row for part in case["parts"] for row in part["rows"]]
    wanted = [weights for part in expected["weights"] for weights in part]
    losses = [floats(row["current_loss"]) for row in rows]
    settings = case["settings"]
    if settings["method"] == "slm" and settings.get("scope") in ("sequence", "dataset"):
        scores = [excess(loss, floats(row["reference_loss"])) for loss, row in zip(losses, rows)]
        how = (settings.get("keep", 0.6), settings.get("rounding", "floor"))
        if settings["scope"] == "sequence":
            found = [kept_weights(score, ~np.isnan(score), *how).tolist() for score in scores]
            assert found == wanted
        else:
            whole = np.concatenate(scores)
            assert kept_weights(whole, ~np.isnan(whole), *how).tolist() == [w for row in wanted for w in row]
    if expected["loss"] is not None:
        all_losses = np.concatenate(losses)
        found_loss = weighted_loss(
            np.concatenate([np.array(w, np.float64) for w in wanted]),
            all_losses,
            ~np.isnan(all_losses),
            expected["normaliser"],
        )
        assert found_loss == pytest.approx(expected["loss"], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("path", LOSSES, ids=lambda path: path.stem)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_losses(path, dtype):
    torch = pytest.importorskip("torch", reason="skipped: no torch")
    from tokensieve.losses import live_weights, selective_loss, step_divisor, token_losses

    case = json.loads(path.read_text())
    expected = case["expected"]
    batches = case["microbatches"]
    largest = max(abs(x) for b in batches for row in b["logits"] for token in row for x in token)
    if dtype == "bfloat16" and largest > 64:
        pytest.skip("not computed here: quarters beyond 64 are not exact in bf16")
    logits = [torch.tensor(b["logits"], dtype=getattr(torch, dtype)).requires_grad_() for b in batches]
    labels = [torch.tensor([[-100 if v is None else v for v in row] for row in b["labels"]]) for b in batches]
    losses = [token_losses(x.detach(), y) for x, y in zip(logits, labels)]
    for found, want in zip(losses, expected["token_loss"]):
        assert np.allclose(found.numpy(), np.array([floats(row) for row in want]), rtol=1e-6, atol=1e-6, equal_nan=True)
    if case["selection"] == "live":
        references = [torch.from_numpy(np.array([floats(row) for row in b["reference_loss"]])) for b in batches]
        weights = live_weights(losses, references, labels, case["keep"], case["scope"])
        assert [w.tolist() for w in weights] == expected["weights"]
    else:
        weights = [torch.tensor(b["weights"], dtype=torch.float32) for b in batches]
    divisor = step_divisor(weights, labels, normaliser=case["normaliser"])
    assert divisor.item() == expected["divisor"]
    parts = [selective_loss(x, y, w, divisor=divisor) for x, y, w in zip(logits, labels, weights)]
    assert sum(part.item() for part in parts) == pytest.approx(expected["loss"], rel=1e-6, abs=1e-6)
    sum(parts).backward()
    for x, want in zip(logits, expected["gradient"]):
        # Gradients come in the logits' type: eight bits of precision in bf16.
        assert np.allclose(x.grad.double().numpy(), np.array(want), rtol=0, atol=4e-3 if dtype == "bfloat16" else 1e-6)
