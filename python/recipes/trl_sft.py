"""Three steps of TRL's SFTTrainer on an export, and a check that the weights reach its loss and its gradient.

    tokensieve export RUN --to hf --out exports/hf            weights of 0 and 1
    PYTHONPATH=python/src python python/recipes/trl_sft.py exports/hf MODEL

The recipe is `train` below: the column `labels` is taken as it is, and -100 (weight 0) is no target. The rest holds every step's loss and the
norm of its gradient against `selective_loss` over the same rows, and looks at the gradient of the last hidden states: it is 0 exactly where no
selected token follows. MODEL is a Llama-like folder with a tokenizer; a small one will do on a CPU.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import datasets
import torch
import transformers
import trl

from tokensieve import selective_loss, step_divisor

STEPS, ROWS, ACCUMULATE = 3, 2, 2


def sft_trainer(model: Any, tokenizer: Any, exported: str, out: str) -> trl.SFTTrainer:
    train = datasets.load_from_disk(exported)["train"]
    args = trl.SFTConfig(
        output_dir=out,
        max_length=None,  # rows are as long as they were scored
        dataset_kwargs={"skip_prepare_dataset": True},  # ids and labels are there
        per_device_train_batch_size=ROWS,
        gradient_accumulation_steps=ACCUMULATE,
        max_steps=STEPS,
        learning_rate=1e-3,
        max_grad_norm=1e9,  # for the check of the norm alone: clipping comes after it
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
    )
    return trl.SFTTrainer(model=model, args=args, train_dataset=train, processing_class=tokenizer)


def expected(model: Any, micro: list[dict[str, torch.Tensor]]) -> tuple[float, float, int]:
    """Loss of a step and the norm of its gradient by this package; how many targets are left out of how many ids."""
    weights = [(batch["labels"] != -100).float() for batch in micro]
    labels = [batch["input_ids"] for batch in micro]  # weights alone say what counts
    divisor = step_divisor(weights, labels)
    loss = torch.zeros(())
    for batch, own, weight in zip(micro, labels, weights):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = loss + selective_loss(logits, own, weight, divisor=divisor)
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters)
    norm = torch.stack([g.norm() for g in gradients]).norm()
    return float(loss.detach()), float(norm), int(divisor)


def check_hidden_gradient(trainer: Any, batch: dict[str, torch.Tensor]) -> tuple[int, int]:
    """The gradient of the hidden state before each token: 0 where the token has weight 0, and not where it has 1."""
    kept: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    hook = trainer.model.model.norm.register_forward_hook(keep)
    trainer.compute_loss(trainer.model, batch, num_items_in_batch=None).backward()
    hook.remove()
    trainer.model.zero_grad()
    (gradient,) = [hidden.grad for hidden in kept]
    assert gradient is not None
    moved = gradient.abs().sum(-1)[:, :-1] > 0
    wanted = batch["labels"][:, 1:] != -100
    assert torch.equal(moved, wanted), "a token of weight 0 moves the model, or one of weight 1 does not"
    assert not gradient[:, -1].any()
    return int((~wanted).sum()), wanted.numel()


def main(exported: str, folder: str) -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as out:
        trainer = sft_trainer(model, tokenizer, exported, out)
        wanted: list[tuple[float, float, int]] = []
        taken = trainer.get_batch_samples

        def watched(iterator: Any, count: int, device: Any) -> Any:
            micro, items = taken(iterator, count, device)
            wanted.append(expected(trainer.model, micro))
            return micro, items

        setattr(trainer, "get_batch_samples", watched)  # noqa: B010 a method, which mypy takes no assignment to
        dropped, of = check_hidden_gradient(trainer, next(iter(trainer.get_train_dataloader())))
        print(f"gradient 0 before {dropped} of {of} tokens of a batch: those of weight 0 and no other")
        trainer.train()
        logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == len(wanted) == STEPS
    for step, (entry, (loss, norm, kept)) in enumerate(zip(logged, wanted)):
        pairs = f"loss {entry['loss']:.6f}, here {loss:.6f}; gradient {entry['grad_norm']:.6f}, here {norm:.6f}"
        print(f"step {step}: {pairs}; {kept} tokens kept")
        assert abs(entry["loss"] - loss) < 1e-5 * loss
        assert abs(entry["grad_norm"] - norm) < 1e-4 * norm
    print(", ".join(f"{used.__name__} {used.__version__}" for used in (trl, transformers, torch, datasets)))


if __name__ == "__main__":
    main(*sys.argv[1:])
