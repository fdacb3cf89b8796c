"""
What somebody would write who scores with OpenVINO by hand: one graph of `openvino.convert_model`, ids to losses, all logits at
once, of fixed shape. The rival of the engine `openvino`.

`open_scorer(folder, rows, length, precision, threads)` gives a function of ids [rows, length] to losses [rows, length - 1], nats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openvino as ov
import torch
import transformers


def open_scorer(folder: str, rows: int, length: int, precision: str, threads: int) -> Callable[[Any], Any]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    class Losses(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            logits = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
            # OpenVINO has no rule for cross_entropy, and none for a gather from a cut tensor: the last column is cut at the end.
            targets = torch.cat([ids[:, 1:], ids[:, :1]], 1)
            return (torch.logsumexp(logits, -1) - logits.gather(-1, targets[..., None])[..., 0])[:, :-1]

    with torch.no_grad():
        graph = ov.convert_model(Losses(), example_input=(torch.arange(34).reshape(2, 17),))
    graph.reshape({graph.inputs[0]: [rows, length]})
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    compiled = ov.Core().compile_model(graph, "CPU", settings)
    return lambda ids: compiled([ids])[0]
