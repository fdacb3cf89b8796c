"""PyTorch + transformers beside bench/model.mjs: per-token losses of one checkpoint on CPU, best batch.

Run: node bench/model.mjs --folder DIR first (it writes DIR/135m or DIR/25m), then
     python bench/model_torch.py DIR/135m [--length 512] [--batches 1,2,4,8] [--threads 2]
Versions are printed with the figures. fp32, scaled-dot-product attention, inference mode; the loss is
cross_entropy(reduction='none') over the shifted logits, as a user would write it, and over the rows in
chunks, as a careful one would: the faster counts.
"""
import argparse
import json
import resource
import time

import torch
import transformers
from transformers import AutoModelForCausalLM


def whole(model, ids):
    logits = model(ids, use_cache=False).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none"
    )


def chunked(model, ids, rows=1024):
    hidden = model.model(ids, use_cache=False).last_hidden_state[:, :-1].reshape(-1, model.config.hidden_size)
    targets = ids[:, 1:].reshape(-1)
    return torch.cat(
        [
            torch.nn.functional.cross_entropy(model.lm_head(h), t, reduction="none")
            for h, t in zip(hidden.split(rows), targets.split(rows))
        ]
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--batches", default="1,2,4,8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32, attn_implementation="sdpa").eval()
    results = []
    for batch in map(int, args.batches.split(",")):
        ids = torch.randint(0, model.config.vocab_size, (batch, args.length), generator=torch.Generator().manual_seed(1))
        for name, loss in (("whole", whole), ("chunked", chunked)):
            with torch.inference_mode():
                loss(model, ids)
                seconds = []
                for _ in range(args.runs):
                    start = time.perf_counter()
                    loss(model, ids)
                    seconds.append(time.perf_counter() - start)
            rate = batch * args.length / sorted(seconds)[len(seconds) // 2]
            results.append({"batch": batch, "loss": name, "tokensPerSecond": round(rate)})
    a = torch.randn(2048, 2048)
    b = torch.randn(2048, 2048)
    a @ b
    start = time.perf_counter()
    for _ in range(5):
        a @ b
    gflops = 5 * 2 * 2048**3 / (time.perf_counter() - start) / 1e9
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "threads": args.threads,
                "length": args.length,
                "best": max(results, key=lambda r: r["tokensPerSecond"]),
                "all": results,
                "torchMatmulGflops": round(gflops),
                "peakRssMb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
    )


main()
