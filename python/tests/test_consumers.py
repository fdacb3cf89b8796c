"""Who else consumes a data set: trainers that count epochs, know labels alone, or drop columns; live selection of narrowed labels."""

from __future__ import annotations

import pickle
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
    # Of documents that do not see each other the positions stay, though the trainer knows of no such column.
    within = [
        {name: value for name, value in row.items() if name != "document_ids"}
        for row in SelectiveDataset(FIXTURES / "scored", rows=None)
    ]
    assert "position_ids" in within[0]
    for kind in (Mine, SelectiveTrainer):
        trainer = kind(
            model=own_loop.tiny_llama(), args=arguments(tmp_path, max_steps=1), train_dataset=within, selection="frozen"
        )
        trainer.train()
        found[kind] = trainer.state.log_history[0]["loss"]
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


def test_an_error_crosses_processes():
    error = pickle.loads(pickle.dumps(TokensieveError("bad-row", "row 3: …")))
    assert (error.code, str(error)) == ("bad-row", "row 3: …")


def test_says_what_it_is():
    text = repr(dataset())
    assert "\n" not in text
    assert "15 rows" in text
    assert "labels kept" in text


def test_a_loader_whose_collator_drops_what_rows_are_trained_by_is_refused(tmp_path):
    """Positions, weights and labels, in a loader of its own and in a worker, whoever drops them."""

    def loader(folder, collate, workers=0, **options):
        data = SelectiveDataset(FIXTURES / folder, rows=None, **options)
        return torch.utils.data.DataLoader(
            data,
            batch_size=2,
            collate_fn=collate,
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,
        )

    def only(*names):
        return lambda rows: {name: value for name, value in pad_rows(rows).items() if name in names}

    def flattened(rows):
        return {name: torch.cat([row[name] for row in rows])[None] for name in ("input_ids", "labels", "position_ids")}

    def next_id(rows):
        found = pad_rows(rows)
        return {
            "input_ids": found["input_ids"][:, :-1],
            "labels": found["labels"][:, 1:].where(found["labels"][:, 1:] >= 0, -1),
        }

    def own_labels(rows):
        found = pad_rows(rows)
        return {"input_ids": found["input_ids"], "labels": found["input_ids"].clone()}

    def of_lengths(rows):
        """TRL's and transformers' for padding-free training: each row is taken for one document."""
        return {
            **flattened(rows),
            "position_ids": torch.cat([torch.arange(len(row["input_ids"])) for row in rows])[None],
        }

    within, across = open_run(FIXTURES / "scored"), open_run(FIXTURES / "weighted")
    assert (within.attention, across.attention, across.has_fractions) == ("within", "across", True)
    for refused, folder, collate, options in (
        ("drops position_ids", "scored", only("input_ids", "labels", "attention_mask"), {}),
        ("drops position_ids", "scored", of_lengths, {}),
        ("labels of its own", "weighted", own_labels, {}),
        ("drops loss_weights", "weighted", only("input_ids", "labels"), {"labels": "eligible"}),
    ):
        for workers in (0, 1) if collate is of_lengths else (0,):
            with pytest.raises(TokensieveError, match=refused):
                next(iter(loader(folder, collate, workers, **options)))
    for collate in (only("input_ids", "labels"), next_id):
        with pytest.warns(UserWarning, match="which are fractions"):
            next(iter(loader("weighted", collate)))
    for taken, collate, options in (
        ("scored", pad_rows, {}),
        ("scored", flattened, {}),
        ("scored", only("input_ids", "document_ids"), {}),
        ("scored", lambda rows: sum(len(row["input_ids"]) for row in rows), {}),
        ("weighted", only("input_ids", "labels", "loss_weights"), {}),
        ("weighted", only("input_ids", "labels", "reference_loss"), {"labels": "eligible"}),
    ):
        next(iter(loader(taken, collate, **options)))
    # Batches of the data set's, batched once more.
    with pytest.raises(TokensieveError, match="batches the data set's batches again"):
        next(iter(torch.utils.data.DataLoader(dataset())))
    next(iter(torch.utils.data.DataLoader(dataset(), collate_fn=lambda batches: batches[0])))
    # transformers' own, which leaves out what the model does not take; a model that takes positions gets them.
    plain = {"model": own_loop.tiny_llama(), "args": arguments(tmp_path, max_steps=1), "data_collator": pad_rows}
    transformers.Trainer(**plain, train_dataset=SelectiveDataset(FIXTURES / "scored", rows=None)).train()
    with pytest.raises(TokensieveError, match="drops loss_weights"):
        transformers.Trainer(**plain, train_dataset=dataset(rows=None, labels="eligible")).train()


def test_a_selective_trainer_misses_positions_and_refuses_rows_made_anew(tmp_path):
    within = [
        {name: value for name, value in row.items() if name != "document_ids"}
        for row in SelectiveDataset(FIXTURES / "scored", rows=None)
    ]
    trainer = SelectiveTrainer(
        model=own_loop.tiny_llama(),
        args=arguments(tmp_path, max_steps=1),
        train_dataset=within,
        selection="frozen",
        data_collator=lambda rows: {
            name: value for name, value in pad_rows(rows).items() if name in ("input_ids", "labels", "loss_weights")
        },
    )
    with pytest.raises(TokensieveError, match="no column position_ids"):
        trainer.train()
    args = arguments(tmp_path)
    args.packing = True
    with pytest.raises(TokensieveError, match="packing=True"):
        SelectiveTrainer(model=own_loop.tiny_llama(), args=args, train_dataset=dataset())
