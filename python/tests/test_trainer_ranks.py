"""SelectiveTrainer on two gloo processes against one with all rows: rows, passes, the step's divisor, resuming, and sharded by FSDP."""

from __future__ import annotations

import sys

import pytest

from conftest import FIXTURES
from ranks import two_ranks

torch = pytest.importorskip("torch", reason="skipped: no torch")
transformers = pytest.importorskip("transformers", reason="skipped: no transformers")
pytest.importorskip("accelerate", reason="skipped: no accelerate")

sys.path.insert(0, str(FIXTURES))

import functools
import operator

import own_loop

from tokensieve import SelectiveDataset, SelectiveTrainer

#: 15 rows: of 4 a step 4 steps a pass, the last one short; two passes.
STEPS, STOP = 8, 5
CASES = {
    "frozen": {"selection": "frozen"},
    "frozen-eligible": {"selection": "frozen", "normaliser": "eligible"},
    "live-step": {"selection": "live", "keep": 0.5, "scope": "step"},
    "all": {"selection": None},
}
FSDP = {"fsdp": "full_shard", "fsdp_config": {"version": 2, "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}}


class StopAt(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= STOP
        return control


class Watched(SelectiveTrainer):
    def get_batch_samples(self, *args, **kwargs):
        samples, divisor = super().get_batch_samples(*args, **kwargs)
        self.seen.append(
            [
                tuple(ids[:6].tolist())
                for batch in samples
                for ids, own in zip(batch["input_ids"], batch["labels"])
                if (own != -100).any()
            ]
        )
        return samples, divisor


def train(folder, case, rows, resume=None, stop=False, **more):
    """(loss, kept, targets) of each step, rows seen in each, by this process."""
    torch.set_num_threads(1)
    trainer = Watched(
        model=own_loop.tiny_llama(),
        args=transformers.TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=rows,
            num_train_epochs=2,
            learning_rate=5e-3,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="steps" if stop else "no",
            save_steps=STOP,
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            **more,
        ),
        train_dataset=SelectiveDataset(FIXTURES / "weighted", rows=rows, seed=5, shuffle_tokens=100),
        **CASES[case],
    )
    trainer.seen = []
    if stop:
        trainer.add_callback(StopAt())
    trainer.train(resume_from_checkpoint=resume)
    log = [(entry["loss"], entry["kept"], entry["targets"]) for entry in trainer.state.log_history if "loss" in entry]
    return log, trainer.seen


def of_rank(rank, folder):
    transformers.utils.logging.set_verbosity_error()
    found = {name: train(f"{folder}/{name}", name, 2) for name in CASES}
    train(f"{folder}/stopped", "live-step", 2, stop=True)
    found["resumed"] = train(f"{folder}/stopped", "live-step", 2, resume=f"{folder}/stopped/checkpoint-{STOP}")
    for name in ("frozen", "live-step"):
        found[f"fsdp-{name}"] = train(f"{folder}/fsdp-{name}", name, 2, **FSDP)
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    out = tmp_path_factory.mktemp("trainer")
    return two_ranks(of_rank, out, str(out))


@pytest.mark.parametrize("name", [*CASES, "resumed", "fsdp-frozen", "fsdp-live-step"])
def test_two_processes_train_as_one_does(both, tmp_path, name):
    case = {"resumed": "live-step"}.get(name, name.removeprefix("fsdp-"))
    log, seen = train(tmp_path, case, 4)
    assert len(log) == STEPS
    shares = [share[name] for share in both]
    for own, _ in shares:
        assert [entry[1:] for entry in own] == [entry[1:] for entry in log]
        assert [entry[0] for entry in own] == pytest.approx([entry[0] for entry in log], abs=2e-5)
    # A step's rows are the one process's, and each row is seen once in a pass.
    together = [sorted(a + b) for a, b in zip(*(steps for _, steps in shares), strict=True)]
    wanted = [sorted(step) for step in seen]
    assert together == (wanted[STOP:] if name == "resumed" else wanted)
    if name != "resumed":
        passes = [sorted(functools.reduce(operator.iadd, together[at : at + STEPS // 2], [])) for at in (0, STEPS // 2)]
        assert passes[0] == passes[1]
        assert len(passes[0]) == 15
