"""Any model that transformers loads, by PyTorch."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from .batching import Piece, batches_of, pieces_of
from .head import LossHead
from .job import OUTPUTS, EngineError, Floats, Job, Model, Rows, check_options, check_outputs
from .serve import log

OPTIONS = ("compile", "device_map", "trust_remote_code")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
PAD = 0
"""Filler at the end of a row. Causal attention keeps it out, whatever it is."""


def probe() -> dict[str, Any]:
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices.insert(0, "cuda")
    if torch.backends.mps.is_available():
        devices.insert(0, "mps")
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        devices.insert(0, "xpu")
    return {"engine": "torch", "libraries": _libraries(), "devices": devices}


def open_engine(job: Job) -> TorchEngine:
    check_outputs(job, OUTPUTS)
    check_options(job, OPTIONS)
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if job.threads > 0:
        torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    device = _device(job)
    loaded = {model.name: LoadedModel(model, job, device) for model in job.models}
    return TorchEngine(job, device, loaded)


class LoadedModel:
    """One model on its device."""

    def __init__(self, model: Model, job: Job, device: torch.device) -> None:
        self.device = device
        self.network = load_network(model, job, device)
        self.network.eval()
        self.config = self.network.config.get_text_config()
        longest = getattr(self.config, "max_position_embeddings", None)
        self.max_positions = int(longest) if isinstance(longest, int) and longest > 0 else None
        self.rope = rope_kinds(self.network.config)
        self.head = LossHead(self.network, job.outputs, device, bool(job.options.get("compile")))

    def facts(self) -> dict[str, Any]:
        quantised = getattr(self.network.config, "quantization_config", None)
        method = (
            getattr(quantised, "quant_method", None) or (quantised or {}).get("quant_method") if quantised else None
        )
        return {
            "architecture": type(self.network).__name__,
            "vocabulary": int(self.head.vocabulary),
            "max_positions": self.max_positions,
            "parameters": sum(one.numel() for one in self.network.parameters()),
            "dtype": _name(self.network.dtype),
            "attention": getattr(self.config, "_attn_implementation", None) or "model's own",
            "quantisation": None if method is None else str(getattr(method, "value", method)),
            "head": self.head.kind,
        }

    @torch.inference_mode()
    def score(self, pieces: list[Piece], outputs: tuple[str, ...], longest_row: int) -> list[dict[str, Floats]]:
        """By piece: an array of its length for each output; entry t is of the token that comes after t in the row."""
        found: list[dict[str, Floats]] = [{} for _ in pieces]
        for indices in batches_of([len(piece.ids) for piece in pieces], self.rope):
            length = max(len(pieces[index].ids) for index in indices)
            ids = np.full((len(indices), length), PAD, np.int64)
            targets = np.full((len(indices), length), PAD, np.int64)
            for row, index in enumerate(indices):
                piece = pieces[index]
                ids[row, : len(piece.ids)] = piece.ids
                targets[row, : len(piece.ids)] = piece.targets
            self._check(ids)
            given = torch.from_numpy(ids).to(self.device)
            hidden = self.head.states(given)
            values = self.head.losses(hidden, torch.from_numpy(targets).to(self.device))
            for output in outputs:
                table = values[output].float().cpu().numpy()
                for row, index in enumerate(indices):
                    found[index][output] = table[row, : len(pieces[index].ids)].copy()
        return found

    def _check(self, ids: np.ndarray[Any, Any]) -> None:
        # An embedding's row that is not there ends a process on a card without a word of which.
        highest = int(ids.max(initial=0))
        if highest >= self.head.vocabulary or int(ids.min(initial=0)) < 0:
            raise EngineError("bad-request", f"a request has the id {highest}; the model has {self.head.vocabulary}")


class TorchEngine:
    def __init__(self, job: Job, device: torch.device, models: dict[str, LoadedModel]) -> None:
        self.job, self.device, self.models = job, device, models

    def profile(self) -> dict[str, Any]:
        device = self.device
        name = (
            torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
        )
        return {
            "engine": "torch",
            "outputs": list(OUTPUTS),
            "models": {name: model.facts() for name, model in self.models.items()},
            "profile": {
                "device": device.type,
                "device_name": name,
                "capability": torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else None,
                "libraries": _libraries(),
                "compiled": bool(self.job.options.get("compile")),
            },
        }

    def score(self, rows: Rows) -> dict[str, dict[str, list[Floats]]]:
        pieces = pieces_of(rows)
        answer: dict[str, dict[str, list[Floats]]] = {}
        for name, model in self.models.items():
            values = model.score(pieces, self.job.outputs, self.job.longest_row)
            answer[name] = {output: by_row(rows, pieces, values, output) for output in self.job.outputs}
        return answer


def by_row(rows: Rows, pieces: list[Piece], values: list[dict[str, Floats]], output: str) -> list[Floats]:
    table = [np.zeros(len(ids), np.float32) for ids in rows.ids]
    for piece, value in zip(pieces, values, strict=True):
        table[piece.row][piece.start : piece.start + len(piece.ids)] = value[output]
    return [row[:-1] for row in table]


def _device(job: Job) -> torch.device:
    name = job.device
    if name == "auto":
        name = probe()["devices"][0]
    try:
        device = torch.device(name if name in ("cpu", "mps") else f"{name}:{job.card}")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        found = ", ".join(probe()["devices"])
        raise EngineError(
            "no-device", f"device {job.device!r} does not answer ({error}); PyTorch finds {found}"
        ) from error
    return device


def load_network(model: Model, job: Job, device: torch.device) -> Any:
    folder = Path(model.folder)
    if not folder.is_dir():
        raise EngineError("no-model", f"{model.folder}: no such folder; expected one with config.json and weights")
    adapter = folder / "adapter_config.json"
    common: dict[str, Any] = {
        "local_files_only": True,
        "trust_remote_code": bool(job.options.get("trust_remote_code")),
        "dtype": "auto" if job.precision == "auto" else DTYPES[job.precision],
    }
    if job.options.get("device_map"):
        common["device_map"] = job.options["device_map"]
    alone = adapter.exists() and not (folder / "config.json").exists()
    source = _base_of(folder, adapter) if alone else str(folder)
    try:
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(source, output_loading_info=True, **common)
        network, info = loaded
    except ImportError as error:
        raise EngineError("no-package", f"{model.folder}: {' '.join(str(error).split())[:500]}") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        told = " ".join(str(error).split())[:1000]
        raise EngineError("no-model", f"{model.folder}: transformers cannot load it: {told}") from error
    _refuse_gaps(model.folder, info)
    if alone:
        network = _with_adapter(network, folder)
    if network.config.is_encoder_decoder:
        raise EngineError(
            "no-model", f"{model.folder}: is an encoder with a decoder, which predicts no token of its own text"
        )
    return network if "device_map" in common else network.to(device)


def _refuse_gaps(folder: str, info: dict[str, Any]) -> None:
    """Weights that transformers draws at random where the file has none are another model, in silence."""
    for key, what in (("missing_keys", "are missing"), ("mismatched_keys", "have other shapes")):
        names = sorted(str(name) for name in info.get(key) or [])
        if names:
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            raise EngineError(
                "no-model",
                f"{folder}: weights {what} in the files, and would be drawn at random: {shown}; fetch it again",
            )
    unexpected = sorted(str(name) for name in info.get("unexpected_keys") or [])
    if unexpected:
        more = f" and {len(unexpected) - 4} more" if len(unexpected) > 4 else ""
        log("warning", f"{folder}: tensors of the files that the model does not use: {', '.join(unexpected[:4])}{more}")


def _base_of(folder: Path, adapter: Path) -> str:
    try:
        base = json.loads(adapter.read_text("utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise EngineError("no-model", f"{adapter}: cannot be read ({error})") from error
    if not isinstance(base, str) or base == "":
        raise EngineError("no-model", f"{adapter}: names no base_model_name_or_path; the adapter's base is not known")
    beside = (folder / base).resolve()
    return str(beside) if beside.is_dir() else base


def _with_adapter(network: Any, folder: Path) -> Any:
    try:
        import peft
    except ImportError as error:
        raise EngineError("no-package", f"{folder}: is an adapter, which needs the Python package 'peft'") from error
    try:
        return peft.PeftModel.from_pretrained(network, str(folder)).merge_and_unload()
    except (AttributeError, NotImplementedError, ValueError, RuntimeError) as error:
        raise EngineError(
            "no-model", f"{folder}: peft cannot merge the adapter: {' '.join(str(error).split())[:500]}"
        ) from error


def rope_kinds(config: Any) -> dict[str, int]:
    """Kinds of rotary scaling by which a row's numbers hang on the longest row of its batch, and from which length on."""
    found: dict[str, int] = {}

    def look(value: Any, own: dict[str, Any]) -> None:
        if not isinstance(value, dict):
            return
        kind = value.get("rope_type", value.get("type"))
        if kind in ("dynamic", "longrope"):
            length = value.get("original_max_position_embeddings") or own.get("original_max_position_embeddings")
            found[kind] = int(length or own.get("max_position_embeddings") or 0)
        for one in value.values():
            look(one, own)

    own = config.to_dict()
    look(own, own.get("text_config") or own)
    return found


def _libraries() -> dict[str, str]:
    names = ["torch", "transformers", "peft", "accelerate", "flash_attn", "bitsandbytes"]
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
