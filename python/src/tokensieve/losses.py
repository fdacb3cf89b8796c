"""
Losses of selective training in PyTorch.

Alignment, everywhere: entry [b, i] of labels, weights and reference losses is of token i of row b, as a target that
follows tokens 0 … i − 1. `logits[b, i − 1]` predict it; `logits[b, i]` and `hidden[b, i]` are aligned with input id i, as
models return them, and are shifted here. Nothing is to be shifted by the caller. Entry [b, 0] has no context: it is
never a target.

A token is a target (eligible) where its label is not -100. Of the targets, those of weight 0 are not learnt.

    loss = Σ w·L / Σ w      over the targets of the whole step: all ranks, all micro-batches
                            (normaliser "eligible": over their number, for the weights of `dft`)

Only tokens whose weight is not 0 are computed for the loss, and `chunk` of them at a time (by default as many as 64 MiB
take, 16 to 1024): beside the logits (and their gradient) there are never more than `chunk` · V numbers in fp32. Compiled
(torch.compile, fullgraph=True too), all tokens are computed at once, and the compiler decides what exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy

from .errors import TokensieveError
from .selection import PPM, Normaliser, Rounding, Scope, ppm_of

IGNORE = -100
#: Numbers of a chunk of logits in fp32 where no `chunk` is given (64 MiB), and the tokens that it has at least and at most.
_CHUNK_NUMBERS, _CHUNK_LEAST, _CHUNK_MOST = 1 << 24, 16, 1024
#: A process group, "world" for the default one, or None: this process alone.
Group = Any


def token_losses(logits: Tensor, labels: Tensor, *, chunk: int | None = None) -> Tensor:
    """
    −ln p of every target in nats: [B, T] float32 (float64 of float64 logits), NaN where a token is no target.

    `logits` [B, T, V] of any floating type; `labels` [B, T].
    """
    targets = _targets(logits, labels, logits.shape[:2])
    losses = _logits_losses(logits, targets, targets != IGNORE, chunk)
    losses = losses.masked_fill(targets == IGNORE, float("nan"))
    return _unshift(losses.view(labels.shape), float("nan"))


def token_losses_from_hidden(
    hidden: Tensor, weight: Tensor, labels: Tensor, *, bias: Tensor | None = None, chunk: int | None = None
) -> Tensor:
    """The same from final hidden states [B, T, H] and the output embedding [V, H]: logits never exist whole."""
    targets = _targets(hidden, labels, hidden.shape[:2])
    losses = _hidden_losses(hidden, weight, bias, targets, targets != IGNORE, chunk)
    losses = losses.masked_fill(targets == IGNORE, float("nan"))
    return _unshift(losses.view(labels.shape), float("nan"))


def selective_loss(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    normaliser: Normaliser = "weights",
    divisor: Tensor | float | None = None,
    group: Group = None,
    chunk: int | None = None,
) -> Tensor:
    """
    Σ w·L / Σ w, a scalar in fp32, to call `backward` on.

    `logits` [B, T, V]; `labels` [B, T], -100 where no target; `weights` [B, T], at least 0.

    `divisor`: that of the whole step, where it has several micro-batches (`step_divisor`); their losses then add up to
    the step's. Without it, that of this batch, summed over `group`.

    `group`: the result is multiplied by the number of its ranks, since DistributedDataParallel takes the mean of their
    gradients: after it, gradients are those of one process with all rows. The mean of the ranks' results is the step's loss.

    Where the divisor is 0, nothing is to be learnt: the loss and its gradient are 0.
    """
    targets, weight = _frozen(logits, labels, weights)
    losses = _logits_losses(logits, targets, weight != 0, chunk)
    return _reduce(losses, weight, targets, normaliser, divisor, group)


def selective_loss_from_hidden(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    bias: Tensor | None = None,
    normaliser: Normaliser = "weights",
    divisor: Tensor | float | None = None,
    group: Group = None,
    chunk: int | None = None,
) -> Tensor:
    """
    `selective_loss` from final hidden states [B, T, H] and the output embedding `weight` [V, H], without the logits.

    The product is computed in `hidden`'s type (autocast is not looked at) and raised to fp32 a chunk at a time; the
    gradient of `weight` is summed in fp32.
    """
    targets, own = _frozen(hidden, labels, weights)
    losses = _hidden_losses(hidden, weight, bias, targets, own != 0, chunk)
    return _reduce(losses, own, targets, normaliser, divisor, group)


def live_selective_loss(
    logits: Tensor,
    labels: Tensor,
    reference_loss: Tensor,
    keep: float = 0.6,
    scope: Scope = "step",
    *,
    rounding: Rounding = "floor",
    divisor: Tensor | float | None = None,
    group: Group = None,
    chunk: int | None = None,
) -> Tensor:
    """
    The published method: the `max(1, floor(keep · n))` targets of highest own loss − reference loss, of n in the
    scope, have weight 1, the others 0.

    `reference_loss` [B, T] nats; a token whose reference loss is NaN is no target.

    Scopes: "sequence" ranks the targets of a row; "microbatch" those of this call on this rank; "step" those of this call
    on all ranks of `group`. With gradient accumulation a step is several calls: rank it beforehand with `live_weights`
    over all its micro-batches, and give the weights to `selective_loss` with `step_divisor`.
    """
    labels = labels.masked_fill(torch.isnan(reference_loss), IGNORE)
    targets = _targets(logits, labels, logits.shape[:2])
    losses = _logits_losses(logits, targets, targets != IGNORE, chunk)
    aligned = _unshift(losses.detach().view(labels.shape), 0.0)
    chosen = live_weights(aligned, reference_loss, labels, keep, scope, rounding=rounding, group=group)
    weight = _shift(chosen, 0.0).reshape(-1)
    return _reduce(losses, weight, targets, "weights", divisor, group)


def live_selective_loss_from_hidden(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    reference_loss: Tensor,
    keep: float = 0.6,
    scope: Scope = "step",
    *,
    bias: Tensor | None = None,
    rounding: Rounding = "floor",
    divisor: Tensor | float | None = None,
    group: Group = None,
    chunk: int | None = None,
) -> Tensor:
    """`live_selective_loss` from final hidden states and the output embedding: logits never exist whole."""
    labels = labels.masked_fill(torch.isnan(reference_loss), IGNORE)
    targets = _targets(hidden, labels, hidden.shape[:2])
    losses = _hidden_losses(hidden, weight, bias, targets, targets != IGNORE, chunk)
    aligned = _unshift(losses.detach().view(labels.shape), 0.0)
    chosen = live_weights(aligned, reference_loss, labels, keep, scope, rounding=rounding, group=group)
    return _reduce(losses, _shift(chosen, 0.0).reshape(-1), targets, "weights", divisor, group)


def step_divisor(
    weights: Sequence[Tensor], labels: Sequence[Tensor], *, normaliser: Normaliser = "weights", group: Group = None
) -> Tensor:
    """What the losses of a step's micro-batches are divided by: Σ w over its targets (or their number), over all ranks."""
    total: Tensor | None = None
    for weight, label in zip(weights, labels):
        own = _weight_sum(weight[:, 1:], label[:, 1:] != IGNORE, normaliser)
        total = own if total is None else total + own
    if total is None:
        raise TokensieveError("no-microbatch", "a step has no micro-batch; expected one at least")
    return _all_sum(total, group)


@overload
def live_weights(
    losses: Tensor,
    reference_loss: Tensor,
    labels: Tensor,
    keep: float = ...,
    scope: Scope = ...,
    *,
    rounding: Rounding = ...,
    group: Group = ...,
) -> Tensor: ...
@overload
def live_weights(
    losses: Sequence[Tensor],
    reference_loss: Sequence[Tensor],
    labels: Sequence[Tensor],
    keep: float = ...,
    scope: Scope = ...,
    *,
    rounding: Rounding = ...,
    group: Group = ...,
) -> list[Tensor]: ...
def live_weights(
    losses: Tensor | Sequence[Tensor],
    reference_loss: Tensor | Sequence[Tensor],
    labels: Tensor | Sequence[Tensor],
    keep: float = 0.6,
    scope: Scope = "step",
    *,
    rounding: Rounding = "floor",
    group: Group = None,
) -> Tensor | list[Tensor]:
    """
    Weights [B, T] float32 by the model's own losses (`token_losses`, without a gradient); lists: of a step's micro-batches.

    Under scope "step" all micro-batches of all ranks of `group` are ranked together, the earlier token first among
    equals: by micro-batch, then rank, row, position, which is the order of one process that has the ranks' batches as
    micro-batches.
    """
    many = not isinstance(losses, Tensor)
    all_losses: list[Tensor] = list(losses) if many else [losses]  # type: ignore[list-item]
    references: list[Tensor] = list(reference_loss) if many else [reference_loss]  # type: ignore[list-item]
    all_labels: list[Tensor] = list(labels) if many else [labels]  # type: ignore[list-item]
    if not len(all_losses) == len(references) == len(all_labels):
        raise TokensieveError(
            "shapes-differ", "losses, reference losses and labels are of other numbers of micro-batches"
        )
    ppm = ppm_of(keep)
    scores = []
    for own, reference, label in zip(all_losses, references, all_labels):
        _same_shape("reference_loss", reference, label)
        _same_shape("losses", own, label)
        score = own.detach().float() - reference.float()
        eligible = (label != IGNORE) & ~torch.isnan(reference)
        eligible[:, 0] = False
        _refuse_narrowed(label, reference)
        # A loss that is no number ranks first, as a sort has it, and shows in the loss.
        scores.append((torch.nan_to_num(score, nan=float("inf")), eligible))
    if scope == "sequence":
        chosen = [_kept(score, eligible, ppm, rounding) for score, eligible in scores]
    elif scope == "microbatch":
        chosen = [_kept(s.reshape(1, -1), e.reshape(1, -1), ppm, rounding).view(s.shape) for s, e in scores]
    elif scope == "step":
        chosen = _kept_of_step(scores, ppm, rounding, group)
    else:
        raise TokensieveError("bad-scope", f"scope is {scope!r}; expected sequence, microbatch or step")
    return chosen if many else chosen[0]


def _refuse_narrowed(labels: Tensor, reference: Tensor) -> None:
    """Ranking what a stored selection left would keep a share of a share."""
    if _is_compiling():
        return
    left_out = ((labels == IGNORE) & ~torch.isnan(reference))[:, 1:]
    if bool(left_out.any()):
        raise TokensieveError(
            "labels-narrowed",
            f"{int(left_out.sum())} tokens have a reference loss and no label: labels carry a stored selection, and live "
            'selection would rank what it kept; use SelectiveDataset(labels="eligible") or export --labels eligible (tokens '
            "that are no targets for another reason: set their reference loss to NaN)",
        )


# --- ranking ------------------------------------------------------------------------------------------------


def _kept(score: Tensor, eligible: Tensor, ppm: int, rounding: Rounding) -> Tensor:
    """[groups, n] → weight 1 for the kept of each group."""
    ranked = score.masked_fill(~eligible, float("-inf"))
    # Eligible scores of −∞ would tie with tokens that are no targets: targets first, stably.
    order = torch.sort(ranked, dim=1, descending=True, stable=True).indices
    by_target = torch.gather(eligible, 1, order)
    order = torch.gather(order, 1, torch.sort(by_target.to(torch.int8), dim=1, descending=True, stable=True).indices)
    count = eligible.sum(dim=1, dtype=torch.int64)
    extra = PPM - 1 if rounding == "ceil" else 0
    kept = torch.div(count * ppm + extra, PPM, rounding_mode="floor").clamp(min=1).minimum(count)
    within = torch.arange(score.shape[1], device=score.device) < kept[:, None]
    return torch.zeros_like(score).scatter_(1, order, within.to(score.dtype))


def _kept_of_step(scores: list[tuple[Tensor, Tensor]], ppm: int, rounding: Rounding, group: Group) -> list[Tensor]:
    # Tokens that are no targets travel as NaN.
    flat = [score.masked_fill(~eligible, float("nan")).reshape(-1) for score, eligible in scores]
    sizes = [piece.numel() for piece in flat]
    mine = torch.cat(flat)
    if group is None:
        every, all_sizes, rank = [mine], [sizes], 0
    else:
        every, all_sizes, rank = _gather(mine, sizes, group)
    pieces = [torch.split(piece, own) for piece, own in zip(every, all_sizes)]
    order = [(a, r) for a in range(max(map(len, all_sizes))) for r in range(len(pieces)) if a < len(all_sizes[r])]
    together = torch.cat([pieces[r][a] for a, r in order])[None]
    eligible = ~torch.isnan(together)
    chosen = _kept(
        torch.nan_to_num(together, nan=0.0, posinf=float("inf"), neginf=float("-inf")), eligible, ppm, rounding
    )
    found = dict(zip(order, torch.split(chosen[0], [all_sizes[r][a] for a, r in order])))
    return [found[(a, rank)].view(score.shape) for a, (score, _) in enumerate(scores)]


def _gather(mine: Tensor, sizes: list[int], group: Group) -> tuple[list[Tensor], list[list[int]], int]:
    """Every rank's scores and the sizes of its micro-batches; ranks may have other numbers of them."""
    import torch.distributed as dist

    own = _process_group(group)
    world = dist.get_world_size(own)

    def gathered(x: Tensor) -> list[Tensor]:
        out = [torch.empty_like(x) for _ in range(world)]
        dist.all_gather(out, x, group=own)
        return out

    def padded(x: Tensor, length: int) -> Tensor:
        return torch.cat([x, x.new_zeros(length - len(x))])

    lengths = torch.tensor([len(sizes), len(mine)], device=mine.device)
    counts = [(int(a), int(b)) for a, b in (entry.tolist() for entry in gathered(lengths))]
    all_sizes = gathered(padded(torch.tensor(sizes, device=mine.device), max(a for a, _ in counts)))
    scores = gathered(padded(mine, max(b for _, b in counts)))
    return (
        [score[:b] for score, (_, b) in zip(scores, counts)],
        [[int(n) for n in entry[:a].tolist()] for entry, (a, _) in zip(all_sizes, counts)],
        dist.get_rank(own),
    )


# --- sums over a step ---------------------------------------------------------------------------------------


def _process_group(group: Group) -> Any:
    return None if group == "world" else group


def _world_size(group: Group) -> int:
    if group is None:
        return 1
    import torch.distributed as dist

    return int(dist.get_world_size(_process_group(group)))


def _all_sum(total: Tensor, group: Group) -> Tensor:
    if group is None:
        return total
    import torch.distributed as dist

    total = total.clone()
    dist.all_reduce(total, group=_process_group(group))
    return total


def _sum_type(x: Tensor) -> torch.dtype:
    # Apple's devices have no float64.
    return torch.float32 if x.device.type == "mps" else torch.float64


def _weight_sum(weight: Tensor, eligible: Tensor, normaliser: Normaliser) -> Tensor:
    if normaliser == "weights":
        return weight.masked_fill(~eligible, 0).sum(dtype=_sum_type(weight))
    if normaliser == "eligible":
        return eligible.sum(dtype=_sum_type(weight))
    raise TokensieveError("bad-normaliser", f"normaliser is {normaliser!r}; expected weights or eligible")


def _reduce(
    losses: Tensor,
    weight: Tensor,
    targets: Tensor,
    normaliser: Normaliser,
    divisor: Tensor | float | None,
    group: Group,
) -> Tensor:
    if divisor is None:
        divisor = _all_sum(_weight_sum(weight, targets != IGNORE, normaliser), group)
    by = torch.as_tensor(divisor, device=losses.device, dtype=losses.dtype)
    by = torch.where(by > 0, by, torch.ones_like(by))
    # A weight of 0 leaves a token out; 0 · ∞ would not.
    used = losses.masked_fill(weight == 0, 0)
    return (weight.to(losses.dtype) * used).sum() * _world_size(group) / by


# --- alignment ----------------------------------------------------------------------------------------------


def _same_shape(name: str, found: Tensor, labels: Tensor) -> None:
    if found.shape != labels.shape:
        raise TokensieveError(
            "shapes-differ",
            f"{name} is {tuple(found.shape)}, labels {tuple(labels.shape)}; expected both [rows, tokens]",
        )


def _shift(x: Tensor, last: float) -> Tensor:
    """Of tokens → of the positions that predict them: entry t is that of token t + 1."""
    return torch.cat([x[:, 1:], x.new_full((x.shape[0], 1), last)], dim=1)


def _unshift(x: Tensor, first: float) -> Tensor:
    """The way back: entry i is that of position i − 1."""
    return torch.cat([x.new_full((x.shape[0], 1), first), x[:, :-1]], dim=1)


def _targets(states: Tensor, labels: Tensor, shape: torch.Size) -> Tensor:
    """[B · T] the id that each position is to predict, -100 for none."""
    if states.dim() != 3 or labels.shape != shape:
        raise TokensieveError(
            "shapes-differ",
            f"logits or states are {tuple(states.shape)}, labels {tuple(labels.shape)}; "
            "expected [rows, tokens, width] and [rows, tokens], not shifted",
        )
    return _shift(labels, IGNORE).reshape(-1)


def _frozen(states: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    targets = _targets(states, labels, states.shape[:2])
    _same_shape("weights", weights, labels)
    weight = _shift(weights.detach(), 0.0).reshape(-1)
    return targets, weight.masked_fill(targets == IGNORE, 0)


def _chunk_of(chunk: int | None, vocabulary: int) -> int:
    if chunk is not None:
        return chunk
    return max(_CHUNK_LEAST, min(_CHUNK_MOST, _CHUNK_NUMBERS // vocabulary))


def _is_compiling() -> bool:
    # From torch 2.1 on.
    return hasattr(torch, "compiler") and hasattr(torch.compiler, "is_compiling") and torch.compiler.is_compiling()


def _logits_losses(logits: Tensor, targets: Tensor, active: Tensor, chunk: int | None) -> Tensor:
    flat = logits.reshape(-1, logits.shape[-1])
    if _is_compiling():
        return _at_once(flat, targets, active)
    found: Tensor = _LogitsLoss.apply(flat, targets, active, _chunk_of(chunk, logits.shape[-1]))
    return found


def _at_once(logits: Tensor, targets: Tensor, active: Tensor) -> Tensor:
    """Of shapes that are known before: a number of tokens that depends on values would break the graph."""
    return cross_entropy(_raised(logits), targets.masked_fill(~active, IGNORE), ignore_index=IGNORE, reduction="none")


def _hidden_losses(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, active: Tensor, chunk: int | None
) -> Tensor:
    if hasattr(weight, "full_tensor") and not hasattr(hidden, "full_tensor"):
        raise TokensieveError(
            "sharded-weight",
            f"the output embedding {tuple(weight.shape)} is sharded (FSDP2): call the loss within the forward of the module that "
            "fully_shard wrapped, where weights are whole and their gradients are reduced",
        )
    flat = hidden.reshape(-1, hidden.shape[-1])
    if _is_compiling():
        return _at_once(_logits_of(flat, weight, bias), targets, active)
    found: Tensor = _HiddenLoss.apply(flat, weight, bias, targets, active, _chunk_of(chunk, weight.shape[0]))
    return found


# --- −ln p, a chunk of rows at a time -----------------------------------------------------------------------


def _raised(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _chunk_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """fp32 logits [n, V] → losses [n] and log-sum-exp [n]."""
    total = torch.logsumexp(logits, dim=1)
    return total - logits.gather(1, targets[:, None])[:, 0], total


def _chunk_gradient(logits: Tensor, targets: Tensor, total: Tensor, gradient: Tensor) -> Tensor:
    """d loss / d logits: gradient · (softmax − one-hot). Overwrites `logits`."""
    softmax = logits.sub_(total[:, None]).exp_()
    softmax.scatter_add_(1, targets[:, None], softmax.new_full((len(targets), 1), -1.0))
    return softmax.mul_(gradient[:, None])


def _learnt(rows: Tensor, totals: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Of the rows whose loss was computed those that are learnt: a live selection drops some."""
    learnt = gradient[rows] != 0
    return rows[learnt], totals[learnt]


class _LogitsLoss(torch.autograd.Function):
    """[n, V] logits → [n] losses of `active` rows, 0 elsewhere. Saves a log-sum-exp a row, no softmax."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, active: Tensor, chunk: int) -> Tensor:
        rows = torch.nonzero(active)[:, 0]
        kind = torch.float64 if logits.dtype == torch.float64 else torch.float32
        losses = torch.zeros(len(targets), dtype=kind, device=logits.device)
        totals = torch.empty(len(rows), dtype=kind, device=logits.device)
        for at in range(0, len(rows), chunk):
            own = rows[at : at + chunk]
            losses[own], totals[at : at + chunk] = _chunk_loss(_raised(logits[own]), targets[own])
        ctx.save_for_backward(logits, targets, rows, totals)
        ctx.chunk = chunk
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        logits, targets, rows, totals = ctx.saved_tensors
        rows, totals = _learnt(rows, totals, gradient)
        found = torch.zeros_like(logits)
        for at in range(0, len(rows), ctx.chunk):
            own = rows[at : at + ctx.chunk]
            # Indexing by rows copies: the caller's logits are not written to.
            raised = _raised(logits[own])
            part = _chunk_gradient(raised, targets[own], totals[at : at + ctx.chunk], gradient[own])
            found[own] = part.to(logits.dtype)
        return found, None, None, None


class _HiddenLoss(torch.autograd.Function):
    """[n, H] states, [V, H] matrix → [n] losses of `active` rows, 0 elsewhere. Logits of a chunk are made twice."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, active: Tensor, chunk: int
    ) -> Tensor:
        rows = torch.nonzero(active)[:, 0]
        kind = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        losses = torch.zeros(len(targets), dtype=kind, device=hidden.device)
        totals = torch.empty(len(rows), dtype=kind, device=hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            for at in range(0, len(rows), chunk):
                own = rows[at : at + chunk]
                logits = _logits_of(hidden[own], weight, bias)
                losses[own], totals[at : at + chunk] = _chunk_loss(logits, targets[own])
        ctx.save_for_backward(hidden, weight, bias, targets, rows, totals)
        ctx.chunk = chunk
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, rows, totals = ctx.saved_tensors
        rows, totals = _learnt(rows, totals, gradient)
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        d_hidden = torch.zeros_like(hidden) if need_hidden else None
        d_weight = torch.zeros_like(weight, dtype=totals.dtype) if need_weight else None
        d_bias = torch.zeros_like(bias, dtype=totals.dtype) if bias is not None and need_bias else None
        matrix = weight.to(hidden.dtype)
        with torch.autocast(hidden.device.type, enabled=False):
            for at in range(0, len(rows), ctx.chunk):
                own = rows[at : at + ctx.chunk]
                states = hidden[own]
                logits = _logits_of(states, weight, bias)
                part = _chunk_gradient(logits, targets[own], totals[at : at + ctx.chunk], gradient[own])
                lowered = part.to(hidden.dtype)
                if d_bias is not None:
                    d_bias += part.sum(dim=0)
                # A chunk in fp32 is as large as the gradient of a wide matrix: gone before the products are made.
                del logits, part
                if d_hidden is not None:
                    d_hidden[own] = lowered @ matrix
                if d_weight is not None:
                    _add_product(d_weight, lowered.t(), states)
        return (
            d_hidden,
            None if d_weight is None else d_weight.to(weight.dtype),
            None if d_bias is None or bias is None else d_bias.to(bias.dtype),
            None,
            None,
            None,
        )


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """`total` += `left` · `right`; of lower types without the product in the type of the sum."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)


def _logits_of(states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A copy in fp32 (fp64 of fp64 states) of `states` · `weight`ᵀ + `bias`."""
    logits = _raised(states @ weight.to(states.dtype).t())
    return logits if bias is None else logits + bias.to(logits.dtype)


__all__ = [
    "IGNORE",
    "live_selective_loss",
    "live_selective_loss_from_hidden",
    "live_weights",
    "selective_loss",
    "selective_loss_from_hidden",
    "step_divisor",
    "token_losses",
    "token_losses_from_hidden",
]
