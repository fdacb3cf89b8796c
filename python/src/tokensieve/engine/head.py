"""From a model's last states to losses, a chunk of tokens at a time: memory does not grow with tokens times vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPast

from .serve import log

CHUNK_BYTES = 1 << 27
"""Of float32 logits at once."""
PROBE = 7
"""Tokens that a model's own logits and those from its states are compared over, once."""


@dataclass
class _Output(BaseModelOutputWithPast):
    """A body's output with its states alone; what else a head passes on (router logits, caches) is not there."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class _GivenStates(nn.Module):
    """Stands where the model's body is, and gives the states that it was given. What else is asked of it, the body answers."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.states: torch.Tensor | None = None
        # In a tuple, that the body is no part of this module.
        self.replaced = (body,)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.replaced[0], name)

    def forward(self, *_: Any, **__: Any) -> Any:
        assert self.states is not None
        return _Output(last_hidden_state=self.states)


class LossHead:
    """
    The head of any causal model of transformers, softcapping, scaling and bias included.

    The body runs once over a batch and its last states are kept. What the model makes of states (its head, and whatever it
    does to logits) is then asked of its own forward pass, chunk by chunk, with a body that gives those states. Where that is
    not what the model says by itself (tried once, when it is opened), its own logits are taken, a few rows at a time.
    """

    def __init__(self, network: Any, outputs: tuple[str, ...], device: torch.device, compiled: bool = False) -> None:
        self.network, self.outputs, self.device = network, outputs, device
        self.prefix = getattr(network, "base_model_prefix", "")
        self.body = getattr(network, self.prefix, None) if self.prefix else None
        linear = network.get_output_embeddings()
        self.vocabulary = int(getattr(linear, "out_features", 0) or network.config.get_text_config().vocab_size)
        self.given = _GivenStates(self.body)
        self.promoted: nn.Linear | None = None
        self.run_body: Callable[..., Any] = torch.compile(self.body, dynamic=True) if compiled else self.body  # type: ignore[assignment]
        self.kind = "whole"
        if isinstance(self.body, nn.Module) and isinstance(linear, nn.Linear):
            self.kind = "chunked"
            self._promote(linear)
            if not self._agrees():
                self.kind = "whole"
        if self.kind == "whole":
            log("warning", f"{type(network).__name__}: logits are taken as the model gives them, all of a row at once")

    def _promote(self, linear: nn.Linear) -> None:
        """Logits in float32, from the weights as they are: rounded to 16 bits they would be off by a hundredth of a nat."""
        if linear.weight.dtype == torch.float32 or type(linear) is not nn.Linear:
            return
        promoted = nn.Linear(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        promoted.weight = nn.Parameter(linear.weight.detach().float(), requires_grad=False)
        if linear.bias is not None:
            promoted.bias = nn.Parameter(linear.bias.detach().float(), requires_grad=False)
        self.promoted = promoted
        self.linear = linear

    @torch.inference_mode()
    def _agrees(self) -> bool:
        ids = (torch.arange(PROBE, device=self.device) % max(1, self.vocabulary))[None]
        whole = self.network(input_ids=ids, use_cache=False).logits.float()
        try:
            split = self._logits(self._body_states(ids))
        except Exception as error:
            log("note", f"{type(self.network).__name__}: states alone do not give logits ({type(error).__name__})")
            return False
        if split.shape != whole.shape:
            return False
        bound = 1e-4 if self.network.dtype == torch.float32 else 0.05
        scale = max(1.0, float(whole.abs().max()))
        return bool((split - whole).abs().max() <= bound * scale)

    def states(self, ids: torch.Tensor) -> torch.Tensor:
        """Last states of a batch; of a model whose logits are taken whole, the ids."""
        return self._body_states(ids) if self.kind == "chunked" else ids

    def _body_states(self, ids: torch.Tensor) -> torch.Tensor:
        output = self.run_body(input_ids=ids, use_cache=False)
        state = getattr(output, "last_hidden_state", None)
        found: torch.Tensor = output[0] if state is None else state
        return found

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        network = self.network
        self.given.states = states
        setattr(network, self.prefix, self.given)
        if self.promoted is not None:
            self.given.states = states.float()
            network.set_output_embeddings(self.promoted)
        try:
            ids = torch.zeros(states.shape[:2], dtype=torch.int64, device=states.device)
            found: torch.Tensor = network(input_ids=ids, use_cache=False).logits.float()
            return found
        finally:
            setattr(network, self.prefix, self.body)
            if self.promoted is not None:
                network.set_output_embeddings(self.linear)
            self.given.states = None

    def losses(self, states: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """
        By output [rows, length], float32: of the target under what the state at its place predicts.
        """
        rows, length = targets.shape
        tables = {
            output: torch.empty((rows, length), dtype=torch.float32, device=targets.device) for output in self.outputs
        }
        step = max(1, CHUNK_BYTES // (4 * self.vocabulary))
        if self.kind == "chunked":
            flat, wanted = states.reshape(1, rows * length, -1), targets.reshape(-1)
            for start in range(0, rows * length, step):
                logits = self._logits(flat[:, start : start + step])[0]
                self._fill(tables, logits, wanted[start : start + step], start)
            return tables
        some = max(1, step // length)
        for row in range(0, rows, some):
            logits = self.network(input_ids=states[row : row + some], use_cache=False).logits.float()
            self._fill(
                tables, logits.reshape(-1, logits.shape[-1]), targets[row : row + some].reshape(-1), row * length
            )
        return tables

    def _fill(self, tables: dict[str, torch.Tensor], logits: torch.Tensor, targets: torch.Tensor, start: int) -> None:
        end = start + len(targets)
        total = torch.logsumexp(logits, -1)
        chosen = logits.gather(-1, targets[:, None])[:, 0]
        for output, table in tables.items():
            flat = table.view(-1)
            if output == "loss":
                flat[start:end] = total - chosen
            elif output == "greedy":
                flat[start:end] = (logits.argmax(-1) == targets).float()
            else:
                shifted = logits - total[:, None]
                flat[start:end] = -(shifted.exp() * torch.where(shifted.isinf(), 0.0, shifted)).sum(-1)
