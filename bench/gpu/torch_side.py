"""The PyTorch side of bench/gpu: losses and speed of the same checkpoint on the same ids.

Run:  python bench/gpu/torch_side.py FOLDER IDS --length T --batch B --device cuda|cpu --losses OUT
IDS is raw little-endian int32; OUT gets raw float32 losses [rows, T - 1], computed in fp32 (TF32 off). Speed is that of
the fastest of eager fp32 and, on CUDA, eager bf16, with SDPA attention and a chunked loss. Prints one JSON object.
"""

import argparse
import json
import time

import numpy as np
import torch
import transformers
from torch.nn.functional import cross_entropy

CHUNK_BYTES = 64 * 2**20


def losses(model, ids):
    states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
    output, targets = model.get_output_embeddings(), ids[:, 1:].flatten()
    rows = max(1, CHUNK_BYTES // (4 * output.weight.shape[0]))
    parts = zip(states.split(rows), targets.split(rows))
    return torch.cat([cross_entropy(output(s).float(), t, reduction="none") for s, t in parts]).view(len(ids), -1)


def rate(model, ids, device, seconds=5.0):
    def call():
        losses(model, ids).sum().item()

    call()
    calls, started = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - started < seconds:
        call()
        calls += 1
    return calls * ids.numel() / (time.perf_counter() - started)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("ids")
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--losses", required=True)
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    ids = torch.from_numpy(np.fromfile(args.ids, dtype="<i4").astype(np.int64)).view(-1, args.length).to(args.device)
    load = lambda dtype: transformers.AutoModelForCausalLM.from_pretrained(  # noqa: E731
        args.folder, dtype=dtype, attn_implementation="sdpa"
    ).eval().to(args.device)
    with torch.inference_mode():
        model = load(torch.float32)
        torch.cat([losses(model, part) for part in ids.split(args.batch)]).cpu().numpy().tofile(args.losses)
        rates = {"fp32": rate(model, ids[: args.batch], args.device)}
        if args.device == "cuda":
            del model
            rates["bf16"] = rate(load(torch.bfloat16), ids[: args.batch], args.device)
    print(json.dumps({
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "tokens_per_s": rates,
        "peak_device_bytes": torch.cuda.max_memory_allocated() if args.device == "cuda" else None,
    }))


main()
