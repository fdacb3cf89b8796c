"""SelectiveTrainer: every step's loss and the weights after training against a loop of its own, and stored figures; saving and resuming."""

from __future__ import annotations

import json
import sys

import pytest

from conftest import FIXTURES

torch = pytest.importorskip("torch", reason="skipped: no torch")
transformers = pytest.importorskip("transformers", reason="skipped: no transformers")
pytest.importorskip("accelerate", reason="skipped: no accelerate")

sys.path.insert(0, str(FIXTURES))

import curves
import fifty
import own_loop

from tokensieve import SelectiveTrainer, TokensieveError
from tokensieve.data import SelectiveDataset

GOLDEN = json.loads((FIXTURES / "trainer.json").read_text())


@pytest.fixture(autouse=True)
def _quiet():
    transformers.utils.logging.set_verbosity_error()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trainer(tmp_path, name, steps=own_loop.STEPS, model=None, train_dataset=None, make=own_loop.adamw, **changes):
    case = {key: value for key, value in own_loop.CASES[name].items() if key != "data"}
    model = model if model is not None else own_loop.tiny_llama()
    args = {
        "output_dir": str(tmp_path),
        "per_device_train_batch_size": own_loop.ROWS,
        "gradient_accumulation_steps": own_loop.MICROBATCHES,
        "max_steps": steps,
        "learning_rate": own_loop.RATE,
        "lr_scheduler_type": "constant",
        "adam_beta2": 0.95,
        "weight_decay": 0.1,
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
    }
    optimizer = make(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    return SelectiveTrainer(
        model=model,
        args=transformers.TrainingArguments(**{**args, **changes}),
        train_dataset=own_loop.dataset(own_loop.CASES[name]["data"]) if train_dataset is None else train_dataset,
        optimizers=(optimizer, schedule),
        **case,
    )


def steps_of(trained):
    return [entry for entry in trained.state.log_history if "loss" in entry]


def test_the_cases_differ():
    """A trainer that took another selection for the one asked for would not pass unseen."""
    curves = [GOLDEN[name]["losses"] for name in own_loop.CASES]
    assert all(abs(a[-1] - b[-1]) > 1e-3 for i, a in enumerate(curves) for b in curves[:i])


@pytest.mark.parametrize("name", own_loop.CASES)
def test_losses_are_those_of_the_stored_curves(name, tmp_path):
    trained = trainer(tmp_path, name)
    trained.train()
    entries = steps_of(trained)
    assert [entry["loss"] for entry in entries] == pytest.approx(GOLDEN[name]["losses"], abs=2e-5)
    assert [entry["kept"] for entry in entries] == GOLDEN[name]["kept"]


@pytest.mark.parametrize("selection", fifty.SELECTIONS)
def test_fifty_steps_are_those_of_tokensieve_train(selection):
    """test/train/fifty-steps.test.ts holds `tokensieve train` to the same curve."""
    golden = json.loads((FIXTURES / "fifty.json").read_text())[selection]
    found = fifty.curve(selection)
    assert len(found["losses"]) == curves.STEPS == 50
    assert found["losses"] == pytest.approx(golden["losses"], abs=2e-5)
    assert found["kept"] == golden["kept"]


@pytest.mark.parametrize("name", ["frozen", "live-step"])
def test_weights_are_those_of_an_own_loop(name, tmp_path):
    losses, kept, model = own_loop.train(name, torch.float32, steps=3, make=own_loop.sgd)
    trained = trainer(tmp_path, name, steps=3, make=own_loop.sgd)
    trained.train()
    entries = steps_of(trained)
    assert [entry["loss"] for entry in entries] == pytest.approx(losses, abs=1e-5)
    assert [entry["kept"] for entry in entries] == kept
    start = own_loop.tiny_llama().state_dict()
    for key, value in trained.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[key], rtol=0, atol=2e-5, msg=key)
        assert (value - start[key]).abs().max() > 1e-3, f"{key} was not trained"


@pytest.mark.parametrize("name", ["frozen", "live-step"])
def test_a_resumed_training_is_the_same_to_the_bit(name, tmp_path):
    whole = trainer(tmp_path / "whole", name)
    whole.train()
    first = trainer(tmp_path / "cut", name, save_strategy="steps", save_steps=2)
    # Stopped after the checkpoint of step 4, as a kill would: what it did in step 5 is lost.
    first.add_callback(StopAt(5))
    first.train()
    again = trainer(tmp_path / "cut", name, save_strategy="steps", save_steps=2)
    again.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-4"))
    assert again.state.global_step == own_loop.STEPS
    assert [entry["loss"] for entry in steps_of(again)] == [entry["loss"] for entry in steps_of(whole)]
    for key, value in again.model.state_dict().items():
        assert torch.equal(value, whole.model.state_dict()[key]), key


class StopAt(transformers.TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step
        control.should_save = control.should_save and state.global_step < self.step
        return control


def test_what_it_refuses(tmp_path):
    with pytest.raises(TokensieveError, match="selection is"):
        trainer(tmp_path, "clm", model=own_loop.tiny_llama()).__class__(
            model=own_loop.tiny_llama(), selection="alive", args=None
        )
    rows = SelectiveDataset(FIXTURES / "weighted", rows=4, seed=3, epochs=None)
    with pytest.raises(TokensieveError, match="make them equal"):
        trainer(tmp_path, "clm", train_dataset=rows).train()
    # Packed files have no reference loss to rank by.
    packed = SelectiveDataset(FIXTURES / "packed", rows=own_loop.ROWS, seed=3, epochs=None)
    with pytest.raises(TokensieveError, match="no column reference_loss"):
        trainer(tmp_path, "live-step", train_dataset=packed).train()
