"""
Models of transformers by OpenVINO on a CPU; in bf16 where it has the instructions for it (AMX).

Two graphs a model, traced from transformers' own code: the body, ids to last states, and the head, states and targets to
losses. They are compared with PyTorch in float32 when a model is opened, on rows that tracing did not see: a graph that froze
something which follows from its input (a mixture's choice of experts, a window) is refused instead of being wrong.
"""

from __future__ import annotations

import dataclasses
import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import openvino as ov
import torch
import transformers
from torch import nn

from .batching import Piece, batches_of, pieces_of
from .head import LossHead
from .job import EngineError, Floats, Job, Model, Rows, check_options, check_outputs
from .torch_engine import PAD, by_row, load_network, rope_kinds

HEAD_ROWS = 512
"""Tokens a call of the head."""
TILE = 4096
"""Entries of the vocabulary whose logits are made at once: 512 times 4096 values stay in a core's cache."""
BATCH_TOKENS = 4096
AGREES = 2e-3
"""Nats by which the graph may differ from PyTorch in float32."""
PROBE_ROWS = ((3, 37), (2, 9))


def probe() -> dict[str, Any]:
    return {
        "engine": "openvino",
        "libraries": _libraries(),
        "devices": [one.lower() for one in ov.Core().available_devices],
    }


def open_engine(job: Job) -> OpenvinoEngine:
    bf16 = job.precision == "bf16"
    # Logits in bf16 tie: which is the largest is not known.
    check_outputs(job, ("loss", "entropy") if bf16 else ("loss", "entropy", "greedy"))
    check_options(job, ())
    if job.precision == "fp16":
        raise EngineError("no-precision", "precision fp16 is not this engine's; it computes fp32 (auto) and bf16")
    if job.device not in ("auto", "cpu"):
        raise EngineError("no-device", f"device {job.device!r} is not this engine's; it runs on cpu")
    if bf16 and "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EngineError(
            "no-precision", "this processor computes no bf16 (OpenVINO finds neither AMX nor AVX512_BF16)"
        )
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if job.threads > 0:
        torch.set_num_threads(job.threads)
    return OpenvinoEngine(job, {model.name: CompiledModel(model, job) for model in job.models})


class _Body(nn.Module):
    def __init__(self, network: Any, body: Any) -> None:
        super().__init__()
        self.network, self.body = network, body

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        # With a mask given, nothing looks for packed rows in the positions.
        output = self.body(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        state: torch.Tensor = output.last_hidden_state
        return state


class _Rows(nn.Module):
    """Stands where the output matrix is, and gives one logit a token: of its target."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.targets: torch.Tensor | None = None

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        assert self.targets is not None
        logits = (states * self.weight[self.targets]).sum(-1, keepdim=True)
        return logits if self.bias is None else logits + self.bias[self.targets][..., None]


class _Head(nn.Module):
    """
    States [tokens, width] and targets [tokens] to an output a column, each [tokens].

    The target's logit is the sum of products in float32 whatever the matrix product is in. What a product in bf16 is off by is
    then in the sum over the vocabulary alone, where it averages out: a fifth of the error of logits that are all in bf16.
    """

    def __init__(self, head: LossHead, linear: nn.Linear, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.head, self.outputs = head.network, head, outputs
        self.rows = _Rows(linear)
        self.tiles = nn.ModuleList()
        for start in range(0, linear.out_features, TILE):
            end = min(start + TILE, linear.out_features)
            tile = nn.Linear(linear.in_features, end - start, linear.bias is not None, device="meta")
            tile.weight = nn.Parameter(linear.weight[start:end].detach().clone(), requires_grad=False)
            if linear.bias is not None:
                tile.bias = nn.Parameter(linear.bias[start:end].detach().clone(), requires_grad=False)
            self.tiles.append(tile)

    def forward(self, states: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.rows.targets = targets
        chosen = self.head.logits_by(self.rows, states[None])[0, :, 0]
        totals, means, tops, places = [], [], [], []
        for number, tile in enumerate(self.tiles):
            logits = self.head.logits_by(tile, states[None])[0]
            totals.append(torch.logsumexp(logits, -1))
            if "entropy" in self.outputs:
                means.append((torch.softmax(logits, -1) * logits).sum(-1))
            if "greedy" in self.outputs:
                top, place = logits.max(-1)
                tops.append(top)
                places.append(place + number * TILE)
        tiles = torch.stack(totals, -1)
        total = torch.logsumexp(tiles, -1)
        found = {"loss": total - chosen}
        if means:
            found["entropy"] = total - (torch.softmax(tiles, -1) * torch.stack(means, -1)).sum(-1)
        if tops:
            best = torch.stack(tops, -1).max(-1)[1]
            place = torch.stack(places, -1).gather(-1, best[:, None])[:, 0]
            found["greedy"] = (place == targets).float()
        return tuple(found[output] for output in self.outputs)


class CompiledModel:
    def __init__(self, model: Model, job: Job) -> None:
        network = load_network(model, dataclasses.replace(job, precision="fp32"), torch.device("cpu"))
        network.eval()
        self.config = network.config.get_text_config()
        refused = ", ".join(rope_kinds(network.config))
        if refused:
            raise EngineError(
                "no-model",
                f"{model.folder}: rope scaling {refused} changes with a row's length, which a graph does not; use torch",
            )
        head = LossHead(network, job.outputs, torch.device("cpu"))
        linear = network.get_output_embeddings()
        if head.kind != "chunked" or type(linear) is not nn.Linear:
            raise EngineError(
                "no-model", f"{model.folder}: {type(network).__name__} has no head that can be taken apart; use torch"
            )
        self.name, self.outputs, self.longest_row = type(network).__name__, job.outputs, job.longest_row
        self.vocabulary, self.parameters = head.vocabulary, sum(one.numel() for one in network.parameters())
        longest = getattr(self.config, "max_position_embeddings", None)
        self.max_positions = int(longest) if isinstance(longest, int) and longest > 0 else None
        self.precision = "bf16" if job.precision == "bf16" else "f32"
        self.threads = job.threads
        self.core = ov.Core()
        try:
            with torch.inference_mode(False), torch.no_grad():
                self.body = ov.convert_model(
                    _Body(network, head.body), example_input=(torch.arange(34).reshape(2, 17) % 7,)
                )
                example = (torch.zeros(5, linear.in_features), torch.zeros(5, dtype=torch.int64))
                self.head = ov.convert_model(_Head(head, linear, job.outputs), example_input=example)
        except Exception as error:
            told = " ".join(str(error).split())[-600:]
            raise EngineError(
                "no-model", f"{model.folder}: OpenVINO does not take {self.name}: {told}; use torch"
            ) from error
        self.compiled: dict[tuple[str, tuple[int, int]], Any] = {}
        self._verify(model.folder, head)

    def _compile(self, graph: ov.Model, precision: str) -> Any:
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if self.threads > 0:
            settings["INFERENCE_NUM_THREADS"] = self.threads
        return self.core.compile_model(graph, "CPU", settings)

    def _graph(self, name: str, shape: tuple[int, int], precision: str) -> Any:
        """A graph for rows of one shape, which is faster; (0, 0): for any."""
        found = self.compiled.get((name + precision, shape))
        if found is None:
            graph = self.body if name == "body" else self.head
            if shape != (0, 0):
                graph = graph.clone()
                shapes = [[*shape]] if name == "body" else [[*shape], [shape[0]]]
                graph.reshape(dict(zip(graph.inputs, shapes, strict=True)))
            found = self.compiled[name + precision, shape] = self._compile(graph, precision)
        return found

    def _verify(self, folder: str, head: LossHead) -> None:
        generator = np.random.default_rng(11)
        for rows, length in ((1, self.longest_row), *PROBE_ROWS):
            ids = generator.integers(0, self.vocabulary, (rows, min(length, self.longest_row)))
            if ids.shape[1] < 2:
                continue
            given = torch.from_numpy(ids)
            with torch.inference_mode():
                wanted = head.losses(head.states(given[:, :-1]), given[:, 1:])
            try:
                found = self._run(ids[:, :-1], ids[:, 1:], "f32", (0, 0))
            except RuntimeError as error:
                told = " ".join(str(error).split())[-300:]
                raise EngineError(
                    "no-model",
                    f"{folder}: the OpenVINO graph of {self.name} takes no rows of other lengths: {told}; use torch",
                ) from error
            for output in self.outputs:
                if output == "greedy":
                    continue
                worst = float(np.abs(found[output] - wanted[output].numpy()).max())
                if not worst <= AGREES:
                    raise EngineError(
                        "no-model",
                        f"{folder}: as an OpenVINO graph {self.name} gives another {output} than PyTorch, by up to {worst:.2g} nats on rows of {ids.shape[1]} tokens; use torch",
                    )
        if self.precision != "f32":
            self.compiled.clear()

    def facts(self) -> dict[str, Any]:
        return {
            "architecture": self.name,
            "vocabulary": self.vocabulary,
            "max_positions": self.max_positions,
            "parameters": self.parameters,
            "dtype": "bfloat16" if self.precision == "bf16" else "float32",
            "head": "tiles",
        }

    def _run(self, ids: Any, targets: Any, precision: str, shape: tuple[int, int]) -> dict[str, Floats]:
        """By output [rows, length]."""
        states = self._graph("body", shape, precision)([ids])[0]
        width = states.shape[-1]
        flat, wanted = states.reshape(-1, width), targets.reshape(-1)
        found = {output: np.empty(len(flat), np.float32) for output in self.outputs}
        graph = self._graph("head", (HEAD_ROWS, width), precision)
        for start in range(0, len(flat), HEAD_ROWS):
            some, own = flat[start : start + HEAD_ROWS], wanted[start : start + HEAD_ROWS]
            count = len(some)
            if count < HEAD_ROWS:
                some = np.concatenate([some, np.zeros((HEAD_ROWS - count, width), np.float32)])
                own = np.concatenate([own, np.zeros(HEAD_ROWS - count, np.int64)])
            answer = graph([some, own])
            for index, output in enumerate(self.outputs):
                found[output][start : start + count] = answer[index][:count]
        return {output: values.reshape(ids.shape) for output, values in found.items()}

    def score(self, pieces: list[Piece]) -> list[dict[str, Floats]]:
        """By piece: an array of its length for each output; entry t is of the token that comes after t in the row."""
        found: list[dict[str, Floats]] = [{} for _ in pieces]
        # Which graph a row goes through follows from its length alone.
        whole = max(1, BATCH_TOKENS // self.longest_row)
        full = [index for index, piece in enumerate(pieces) if len(piece.ids) == self.longest_row]
        batches = [(full[start : start + whole], True) for start in range(0, len(full), whole)]
        others = [index for index, piece in enumerate(pieces) if len(piece.ids) != self.longest_row]
        for some in batches_of([len(pieces[index].ids) for index in others], {}):
            length = max(len(pieces[others[one]].ids) for one in some)
            step = max(1, BATCH_TOKENS // length)
            batches += [
                ([others[one] for one in some[start : start + step]], False) for start in range(0, len(some), step)
            ]
        for indices, static in batches:
            length = max(len(pieces[index].ids) for index in indices)
            rows = whole if static else len(indices)
            ids, targets = np.full((rows, length), PAD, np.int64), np.full((rows, length), PAD, np.int64)
            for row, index in enumerate(indices):
                ids[row, : len(pieces[index].ids)] = pieces[index].ids
                targets[row, : len(pieces[index].ids)] = pieces[index].targets
            self._check(ids)
            values = self._run(ids, targets, self.precision, (rows, length) if static else (0, 0))
            for row, index in enumerate(indices):
                for output in self.outputs:
                    found[index][output] = values[output][row, : len(pieces[index].ids)].copy()
        return found

    def _check(self, ids: Any) -> None:
        highest = int(ids.max(initial=0))
        if highest >= self.vocabulary or int(ids.min(initial=0)) < 0:
            raise EngineError("bad-request", f"a request has the id {highest}; the model has {self.vocabulary}")


class OpenvinoEngine:
    def __init__(self, job: Job, models: dict[str, CompiledModel]) -> None:
        self.job, self.models = job, models

    def profile(self) -> dict[str, Any]:
        bf16 = self.job.precision == "bf16"
        return {
            "engine": "openvino",
            "outputs": ["loss", "entropy"] if bf16 else ["loss", "entropy", "greedy"],
            "models": {name: model.facts() for name, model in self.models.items()},
            "profile": {
                "device": "cpu",
                "device_name": str(ov.Core().get_property("CPU", "FULL_DEVICE_NAME")).strip() or platform.machine(),
                "libraries": _libraries(),
            },
        }

    def score(self, rows: Rows) -> dict[str, dict[str, list[Floats]]]:
        pieces = pieces_of(rows)
        answer: dict[str, dict[str, list[Floats]]] = {}
        for name, model in self.models.items():
            values = model.score(pieces)
            answer[name] = {output: by_row(rows, pieces, values, output) for output in self.job.outputs}
        return answer


def _libraries() -> dict[str, str]:
    return {
        "openvino": ov.__version__.split("-")[0],
        "torch": version("torch"),
        "transformers": version("transformers"),
    }
