"""A loop in nanochat's manner with a live selection: `model(x, y, loss_reduction="none")`, gradient accumulation, nothing hidden.

    PYTHONPATH=python/src python python/recipes/nanochat_loop.py RUN/scored

nanochat's `GPT.forward(idx, targets, loss_reduction=…)` gives a loss a token with "none", target i being the id after input i: that is loss_weights[:, 1:]
here, because entry i of our lists is of token i as the target. Its own loop means over each micro-batch; here the whole step has one divisor.
The model is a small one with that signature, so that this runs on a CPU; with nanochat's GPT the loop is the same.
"""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve import SelectiveDataset, live_weights

STEPS, ROWS, ACCUMULATE, RATE, KEEP = 20, 2, 2, 5e-3, 0.6


class GPT(torch.nn.Module):
    def __init__(self, vocabulary: int, width: int = 48, heads: int = 4, layers: int = 2, length: int = 4096):
        super().__init__()
        self.wte = torch.nn.Embedding(vocabulary, width)
        self.wpe = torch.nn.Embedding(length, width)
        self.blocks = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, norm_first=True, batch_first=True)
            for _ in range(layers)
        )
        self.lm_head = torch.nn.Linear(width, vocabulary, bias=False)

    def forward(self, idx: Tensor, targets: Tensor, loss_reduction: str = "mean") -> Tensor:
        x: Tensor = self.wte(idx) + self.wpe(torch.arange(idx.shape[1], device=idx.device))
        mask = torch.nn.Transformer.generate_square_subsequent_mask(idx.shape[1])
        for block in self.blocks:
            x = block(x, src_mask=mask, is_causal=True)
        logits = self.lm_head(x).float()
        return F.cross_entropy(
            logits.view(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=-1, reduction=loss_reduction
        )


torch.manual_seed(1)
torch.set_num_threads(1)
dataset = SelectiveDataset(sys.argv[1], rows=ROWS, seed=1, epochs=None)
batches = iter(dataset)
model = GPT(vocabulary=1 + max(int(row.input_ids.max()) for row in dataset.run))
optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)


def losses(batch: dict[str, Tensor]) -> Tensor:
    """[rows, tokens] A loss for every target, NaN elsewhere: nanochat's -1 are our -100."""
    x, y = batch["input_ids"][:, :-1], batch["labels"][:, 1:]
    found = model(x, y.where(y != -100, -1), loss_reduction="none").view(y.shape)
    return F.pad(found.where(y != -100, torch.nan), (1, 0), value=torch.nan)


curve: list[float] = []
for step in range(STEPS):
    micro = [next(batches) for _ in range(ACCUMULATE)]
    labels = [batch["labels"] for batch in micro]
    references = [batch["reference_loss"] for batch in micro]
    with torch.no_grad():
        weights = live_weights([losses(batch) for batch in micro], references, labels, keep=KEEP, scope="step")
    divisor = sum(w.sum() for w in weights)
    total = torch.zeros(())
    for batch, weight in zip(micro, weights):
        loss = (losses(batch).nan_to_num() * weight).sum() / divisor
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    optimizer.step()
    model.zero_grad(set_to_none=True)
    targets = sum(int((own != -100).sum()) for own in labels)
    curve.append(float(total))
    if step in (0, 1, 2, STEPS - 1):
        print(f"step {step:2d}: loss {float(total):.4f} over {int(divisor)} of {targets} targets")
assert curve[-1] < curve[0], "it did not learn"
