"""PyTorch and transformers doing the same work on the same checkpoints: the rival of bench/gpu.

Run:  python bench/gpu/rival.py --device cuda|cpu
Prints a line with its versions, then answers each line on standard input, a JSON object, with one:
  {"do": "losses", folder, ids, length, rows, out}  losses in fp32, TF32 off, of raw int32 ids -> raw float32 [rows, T - 1]
  {"do": "rate", folder, length, rows, run, dtype, seconds}  tokens/s of scoring
  {"do": "train", folder, length, rows, accumulate, objective, run, dtype, steps}  seconds of optimiser steps
  run    eager | layers | compile   torch.compile of nothing, of each decoder layer, of the whole with its loss
  dtype  fp32 | bf16                for training: fp32 master weights always, bf16 by autocast; fp32 may use TF32
SDPA attention; the loss in chunks of 256 MB of logits, computed again in the backward pass; AdamW fused.
A failure answers {"error": ...} and the next question is taken. Made with: torch 2.15.0, transformers 5.23.0.
"""

import argparse
import gc
import json
import sys
import time

import numpy as np
import torch
import transformers
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

CHUNK_BYTES = 256 * 2**20
KEEP_PPM = 600_000
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Rival:
    def __init__(self, device: str):
        self.device = device
        self.key = None
        self.model = None

    def sync(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def free(self):
        self.key = self.model = None
        torch._dynamo.reset()
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def load(self, folder: str, dtype: str, run: str):
        """One model at a time is kept; each way of compiling starts from a fresh one."""
        if self.key != (folder, dtype, run):
            self.free()
            model = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=DTYPES[dtype], attn_implementation="sdpa"
            )
            self.model = model.eval().to(self.device)
            if run == "layers":
                for layer in self.model.base_model.layers:
                    layer.compile(dynamic=False)
            self.key = (folder, dtype, run)
        return self.model

    def peak(self):
        return torch.cuda.max_memory_allocated() if self.device == "cuda" else None

    # -- scoring

    def losses(self, model, ids):
        states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
        targets = ids[:, 1:].flatten()
        output = model.get_output_embeddings()
        size = max(1, CHUNK_BYTES // (4 * output.weight.shape[0]))
        parts = zip(states.split(size), targets.split(size))
        return torch.cat([cross_entropy(output(s).float(), t, reduction="none") for s, t in parts]).view(len(ids), -1)

    def do_losses(self, q):
        torch.backends.cuda.matmul.allow_tf32 = False
        model = self.load(q["folder"], "fp32", "eager")
        ids = torch.from_numpy(np.fromfile(q["ids"], dtype="<i4").astype(np.int64)).view(-1, q["length"])
        with torch.inference_mode():
            parts = [self.losses(model, part.to(self.device)).cpu() for part in ids.split(q["rows"])]
        torch.cat(parts).numpy().tofile(q["out"])
        return {"tokens": int(ids.numel())}

    def do_rate(self, q):
        torch.backends.cuda.matmul.allow_tf32 = True
        model = self.load(q["folder"], q["dtype"], q["run"])
        call = lambda ids: self.losses(model, ids)  # noqa: E731
        if q["run"] == "compile":
            call = torch.compile(call, dynamic=False)
        ids = torch.randint(model.config.vocab_size, (q["rows"], q["length"]), device=self.device)
        with torch.inference_mode():
            began = time.perf_counter()
            call(ids).sum().item()
            first = time.perf_counter() - began
            call(ids).sum().item()
            calls, began = 0, time.perf_counter()
            while calls == 0 or time.perf_counter() - began < q["seconds"]:
                call(ids).cpu()  # losses reach the host, as they do on the other side
                calls += 1
            seconds = time.perf_counter() - began
        return {
            "tokens_per_s": calls * ids.numel() / seconds,
            "first_call_s": first,
            "peak_device_bytes": self.peak(),
        }

    # -- training

    def do_train(self, q):
        torch.backends.cuda.matmul.allow_tf32 = True
        self.free()
        model = self.load(q["folder"], "fp32", q["run"])
        autocast = torch.autocast(self.device, dtype=torch.bfloat16, enabled=q["dtype"] == "bf16")
        groups = [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=1e-5, betas=(0.9, 0.95), eps=1e-8, fused=True)
        output = model.get_output_embeddings()
        size = max(1, CHUNK_BYTES // (4 * output.weight.shape[0]))
        piece = lambda s, t: cross_entropy(output(s).float(), t, reduction="none")  # noqa: E731

        def every(ids, grad):
            states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
            parts = list(zip(states.split(size), ids[:, 1:].flatten().split(size)))
            if not grad:
                return torch.cat([piece(s, t) for s, t in parts])
            return torch.cat([checkpoint(piece, s, t, use_reentrant=False) for s, t in parts])

        shape = (q["accumulate"], q["rows"], q["length"])
        ids = torch.randint(model.config.vocab_size, shape, device=self.device)
        targets = q["accumulate"] * q["rows"] * (q["length"] - 1)
        reference = torch.rand(targets, device=self.device) * 8
        live = q["objective"] == "live"
        kept = max(1, KEEP_PPM * targets // 1_000_000) if live else targets

        def step():
            optimizer.zero_grad()
            weight = torch.ones(targets, device=self.device)
            if live:
                # Ranked over the whole step by the weights as they are: a forward pass of its own.
                with torch.no_grad(), autocast:
                    score = torch.cat([every(part, False) for part in ids]) - reference
                weight = torch.zeros(targets, device=self.device)
                weight[score.topk(kept).indices] = 1
            for part, own in zip(ids, weight.view(q["accumulate"], -1)):
                with autocast:
                    loss = (every(part, True) * own).sum() / kept
                loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            return loss.item()

        began = time.perf_counter()
        loss = step()
        first = time.perf_counter() - began
        times = []
        for _ in range(q["steps"]):
            self.sync()
            began = time.perf_counter()
            loss = step()
            self.sync()
            times.append(time.perf_counter() - began)
        return {
            "step_s": times,
            "first_step_s": first,
            "last_loss": loss,
            "tokens_a_step": ids.numel(),
            "parameters": sum(p.numel() for p in model.parameters()),
            "peak_device_bytes": self.peak(),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    # Compiling layer by layer meets each length, and should a layer differ from the next, each layer, anew.
    torch._dynamo.config.recompile_limit = 128
    rival = Rival(args.device)
    on = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "on": on}
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = getattr(rival, "do_" + question["do"])(question)
        except Exception as error:  # noqa: BLE001 a configuration that cannot run is a result
            first = str(error).splitlines()[0] if str(error) else ""
            answer = {"error": f"{type(error).__name__}: {first}"}
            rival.free()
        print(json.dumps(answer), flush=True)


main()
