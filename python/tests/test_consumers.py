"""Who else consumes a data set: trainers that count epochs, know labels alone, or drop columns; live selection of narrowed labels."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from conftest import FIXTURES

torch = pytest.importorskip("torch", reason="skipped: no torch")
transformers = pytest.importorskip("transformers", reason="skipped: no transformers")
pytest.importorskip("accelerate", reason="skipped: no accelerate")

sys.path.insert(0, str(FIXTURES))

import own_loop

from tokensieve import SelectiveDataset, SelectiveLossMixin, SelectiveTrainer, TokensieveError, open_run, pad_rows
from tokensieve.losses import live_weights

ROWS = 5


def arguments(folder, **more):
    return transformers.TrainingArguments(
        output_dir=str(folder),
        **{
            "per_device_train_batch_size": ROWS,
            "learning_rate": 0.0,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "use_cpu": True,
            **more,
        },
    )


def dataset(**options):
    return SelectiveDataset(FIXTURES / "weighted", **{"rows": ROWS, "seed": 5, "shuffle_tokens": 100, **options})


class Watched(SelectiveTrainer):
    def compute_loss(self, model, inputs, *args, **kwargs):
        self.seen.append(tuple(inputs["input_ids"][:, 1].tolist()))
        return super().compute_loss(model, inputs, *args, **kwargs)


def train(folder, data, resume=None, stop=None, **more):
    trainer = Watched(
        model=own_loop.tiny_llama(), args=arguments(folder, **more), train_dataset=data, selection="frozen"
    )
    trainer.seen = []
    if stop is not None:
        trainer.add_callback(StopAt(stop))
    trainer.train(resume_from_checkpoint=resume)
    return trainer


class StopAt(transformers.TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step
        return control


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_are_the_trainers(tmp_path, workers):
    """15 rows: 3 batches a pass; accumulated in twos, a step of 2 and one of 1."""
    passes = []
    for epoch in range(3):
        one = dataset()
        one.set_epoch(epoch)
        passes += [tuple(batch["input_ids"][:, 1].tolist()) for batch in one]
    assert len(set(passes)) == 9
    data = dataset()
    next(iter(data))
    whole = train(tmp_path, data, num_train_epochs=3, dataloader_num_workers=workers)
    assert (whole.state.global_step, whole.seen) == (9, passes)
    assert train(tmp_path, dataset(), num_train_epochs=3, gradient_accumulation_steps=2).state.global_step == 6
    # In the middle of the second pass.
    train(tmp_path, dataset(), stop=5, num_train_epochs=3, save_strategy="steps", save_steps=4)
    again = train(
        tmp_path, dataset(), str(tmp_path / "checkpoint-4"), num_train_epochs=3, dataloader_num_workers=workers
    )
    assert (again.state.global_step, again.seen) == (9, passes[4:])


def test_two_counts_of_epochs_are_refused(tmp_path):
    with pytest.raises(TokensieveError, match="2 passes an iteration, and num_train_epochs is 3"):
        train(tmp_path, dataset(epochs=2))
    assert train(tmp_path, dataset(epochs=2), num_train_epochs=1).state.global_step == 6


def kept_of(data):
    return sum(int((batch["loss_weights"] > 0).sum()) for batch in data)


def test_a_trainer_that_knows_labels_alone_learns_what_was_selected(tmp_path):
    """A plain Trainer: its loss is that of the tokens of weight above 0; columns that it does not know are dropped."""

    class Plain(transformers.Trainer):
        counted = 0

        def compute_loss(self, model, inputs, **kwargs):
            assert "loss_weights" not in inputs
            Plain.counted += int((inputs["labels"] != -100).sum())
            return super().compute_loss(model, inputs, **kwargs)

    data = dataset(rows=None)
    run = open_run(FIXTURES / "weighted")
    kept = sum(int((row.weight[1:] > 0).sum()) for row in run)
    assert 0 < kept < run.targets
    Plain(
        model=own_loop.tiny_llama(),
        args=arguments(tmp_path, num_train_epochs=1),
        train_dataset=data,
        data_collator=pad_rows,
    ).train()
    assert Plain.counted == kept


def test_a_mixin_makes_any_trainer_selective(tmp_path):
    class Other(transformers.Trainer):
        """With a loss and columns of its own, as TRL's."""

        def _set_signature_columns_if_needed(self):
            self._signature_columns = ["input_ids", "labels"]

        def compute_loss(self, *args, **kwargs):
            raise AssertionError("the mixin's loss is to be taken")

    class Mine(SelectiveLossMixin, Other):
        pass

    found = {}
    for kind in (Mine, SelectiveTrainer):
        trainer = kind(
            model=own_loop.tiny_llama(),
            args=arguments(tmp_path, max_steps=2),
            train_dataset=dataset(),
            selection="live",
            keep=0.5,
        )
        trainer.train()
        found[kind] = [(entry["loss"], entry["kept"]) for entry in trainer.state.log_history if "loss" in entry]
    assert found[Mine] == found[SelectiveTrainer]
    # A collator that drops the weights ends it at the first step.
    trainer = Mine(
        model=own_loop.tiny_llama(),
        args=arguments(tmp_path, max_steps=2),
        train_dataset=list(dataset(rows=None)),
        selection="frozen",
        data_collator=lambda rows: {
            name: value for name, value in pad_rows(rows).items() if name in ("input_ids", "labels")
        },
    )
    with pytest.raises(TokensieveError, match="no column loss_weights"):
        trainer.train()


def test_live_selection_ranks_all_targets_or_refuses(tmp_path):
    """Labels that carry a stored selection would be a share of a share."""
    for batch in dataset():
        with pytest.raises(TokensieveError, match="have a reference loss and no label"):
            live_weights(torch.zeros(batch["labels"].shape), batch["reference_loss"], batch["labels"])
    for batch in dataset(labels="eligible"):
        live_weights(torch.zeros(batch["labels"].shape), batch["reference_loss"], batch["labels"])
    with pytest.raises(TokensieveError, match="selection='live' is over all targets"):
        SelectiveTrainer(
            model=own_loop.tiny_llama(),
            args=arguments(tmp_path),
            train_dataset=dataset(labels="kept"),
            selection="live",
        )
    # What an export of hf has without --labels eligible, from a loader of the Trainer's own.
    rows = [{name: value for name, value in row.items() if name != "document_ids"} for row in dataset(rows=None)]
    trainer = SelectiveTrainer(model=own_loop.tiny_llama(), args=arguments(tmp_path, max_steps=1), train_dataset=rows)
    with pytest.raises(TokensieveError, match="--labels eligible"):
        trainer.train()


@pytest.mark.parametrize("rows", [ROWS, None])
def test_evaluation_takes_a_data_set(tmp_path, rows):
    model = own_loop.tiny_llama()
    trainer = SelectiveTrainer(
        model=model,
        args=arguments(tmp_path, per_device_eval_batch_size=ROWS),
        train_dataset=dataset(),
        selection="live",
    )
    found = [trainer.evaluate(dataset(rows=rows))["eval_loss"] for _ in range(2)]
    losses = []
    model.eval()
    for batch in dataset(labels="eligible"):
        logits = model(batch["input_ids"]).logits.detach().double()
        own = -torch.log_softmax(logits[:, :-1], -1).gather(2, batch["input_ids"][:, 1:, None])[..., 0]
        losses.append(float(own[batch["labels"][:, 1:] != -100].mean()))
    assert found == pytest.approx([np.mean(losses)] * 2, abs=1e-5)


def test_says_what_it_is():
    text = repr(dataset())
    assert "\n" not in text
    assert "15 rows" in text
    assert "labels kept" in text
