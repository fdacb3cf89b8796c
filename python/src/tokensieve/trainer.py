"""
A transformers Trainer that learns by token weights.

What it changes of `transformers.Trainer` (written for 5.24):
  get_batch_samples   sees all micro-batches of an optimiser step: weights of scope "step" and the step's divisor are
                      made here, over all ranks
  compute_loss        Σ w·L over that divisor
  get_train_dataloader   a SelectiveDataset shares itself among ranks and workers; accelerate must not do it again
Clipping, schedule, optimiser, checkpoints and logging are the Trainer's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import transformers
from accelerate.data_loader import DataLoaderShard
from torch import Tensor
from torch.utils.data import DataLoader

from .data import SelectiveDataset, pad_rows
from .errors import TokensieveError
from .losses import (
    IGNORE,
    live_weights,
    selective_loss,
    step_divisor,
    token_losses,
)
from .selection import Normaliser, Rounding, Scope, ppm_of

#: Columns that the model is not given.
OWN = ("labels", "loss_weights", "reference_loss", "document_ids")
_DIVISOR = "_tokensieve_divisor"


# A mixin of Trainers; for the types it is one.
if TYPE_CHECKING:
    _Trainer = transformers.Trainer
else:
    _Trainer = object


class SelectiveLossMixin(_Trainer):
    """
    Before a Trainer: `class Mine(SelectiveLossMixin, trl.SFTTrainer)` is an SFTTrainer whose loss is this one.

    What a trainer derived from transformers' does with a loss, a collator or columns of its own is overruled: batches come as
    SelectiveTrainer's do, and one that lacks its weights ends the training at the first step.

    `selection`:
      "frozen"  weights are the column `loss_weights`
      "live"    ranked by the model's own loss minus the column `reference_loss`, each step: `keep`, `scope`, `rounding`
      None      every target has weight 1

    Batches hold `input_ids` and `labels` (-100 where no target, not shifted) beside these columns: a SelectiveDataset
    gives them, and so does a data set of `tokensieve export --to hf` (rows are padded by `pad_rows` unless a collator is
    given).

    The loss of a step is Σ w·L / Σ w over all its micro-batches and ranks (`normaliser="eligible"`: over the number of
    targets, for weights of `dft`; by default what a SelectiveDataset's files say). Scope "step" ranks all micro-batches
    of all ranks together: with gradient accumulation it costs a forward pass without gradient beforehand.

    Logged beside `loss` at every logging step, of the last optimiser step, over all ranks: `kept` and `targets`. The loss
    that `evaluate` reports is the mean over all targets of each batch, whatever the selection.
    """

    def __init__(
        self,
        *args: Any,
        selection: Literal["frozen", "live"] | None = "live",
        keep: float = 0.6,
        scope: Scope = "step",
        rounding: Rounding = "floor",
        normaliser: Normaliser | None = None,
        chunk: int | None = None,
        **kwargs: Any,
    ) -> None:
        if selection not in ("frozen", "live", None):
            raise TokensieveError("bad-settings", f"selection is {selection!r}; expected frozen, live or None")
        if scope not in ("sequence", "microbatch", "step"):
            raise TokensieveError("bad-scope", f"scope is {scope!r}; expected sequence, microbatch or step")
        ppm_of(keep)
        if kwargs.get("compute_loss_func") is not None:
            raise TokensieveError("bad-settings", "compute_loss_func: the loss of a SelectiveTrainer is its own")
        if kwargs.get("data_collator") is None:
            # The tokenizer's collators drop the weights' columns, or make labels anew.
            kwargs["data_collator"] = _collate
        super().__init__(*args, **kwargs)
        if self.args.n_gpu > 1:
            raise TokensieveError(
                "data-parallel", f"{self.args.n_gpu} GPUs in one process: start one process a GPU (torchrun) instead"
            )
        for setting in ("packing", "padding_free"):
            if getattr(self.args, setting, False):
                raise TokensieveError(
                    "bad-settings",
                    f"{setting}=True: rows are made anew without their weights and places; leave it out (rows are packed already, "
                    "and padding has no weight)",
                )
        if self.args.label_smoothing_factor != 0:
            raise TokensieveError("bad-settings", "label_smoothing_factor is not 0: a selective loss has none")
        self.selection, self.keep, self.scope, self.rounding, self.chunk = selection, keep, scope, rounding, chunk
        dataset = self.train_dataset
        stored = dataset.run.normaliser if isinstance(dataset, SelectiveDataset) and selection == "frozen" else None
        self.normaliser: Normaliser = normaliser or stored or "weights"
        evaluated = self.eval_dataset
        for name, one in {"": dataset, **(evaluated if isinstance(evaluated, dict) else {" ": evaluated})}.items():
            if isinstance(one, SelectiveDataset):
                self._take_over(one, is_trained_on=name == "")
        # Ours is divided by the whole step's divisor: nothing is left for the Trainer to divide. Versions before
        # `loss_is_scaled_for_ga` infer that from the other.
        self.loss_is_scaled_for_ga = True
        self.model_accepts_loss_kwargs = True
        self._last_step: dict[str, float] = {}
        # Without them documents of a row would see each other.
        self._needed = tuple(name for name in ("position_ids",) if name in _columns_of(dataset))

    def _take_over(self, dataset: SelectiveDataset, *, is_trained_on: bool) -> None:
        if dataset.labels is None:
            # Weights are multiplied here, so that labels need not carry them.
            dataset.labels = "eligible"
        if dataset.labels != "eligible" and (self.selection != "frozen" or not is_trained_on):
            raise TokensieveError(
                "labels-narrowed",
                f'{dataset.run.folder}: labels="kept" has the tokens of a stored selection only, and '
                f'selection={self.selection!r} is over all targets; leave labels out, or say "eligible"',
            )
        if (
            is_trained_on
            and dataset.epochs not in (None, 1)
            and self.args.max_steps <= 0
            and self.args.num_train_epochs != 1
        ):
            raise TokensieveError(
                "two-epochs",
                f"the data set makes {dataset.epochs} passes an iteration, and num_train_epochs is {self.args.num_train_epochs:g}: "
                "leave epochs of the data set at 1, or set num_train_epochs to 1",
            )

    # --- data -------------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader[Any]:
        dataset = self.train_dataset
        if not isinstance(dataset, SelectiveDataset):
            loader: DataLoader[Any] = super().get_train_dataloader()
            return loader
        if dataset.rows != self.args.per_device_train_batch_size:
            raise TokensieveError(
                "bad-settings",
                f"the data set makes batches of {dataset.rows} rows, per_device_train_batch_size is "
                f"{self.args.per_device_train_batch_size}; make them equal",
            )
        return self._own_loader(dataset)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        found = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(found, str) and isinstance(self.eval_dataset, dict):
            found = self.eval_dataset[found]
        if not isinstance(found, SelectiveDataset):
            loader: DataLoader[Any] = super().get_eval_dataloader(eval_dataset)
            return loader
        self._take_over(found, is_trained_on=False)
        if found.epochs is None:
            raise TokensieveError(
                "bad-settings", f"{found.run.folder}: epochs=None has no end to evaluate to; set epochs=1"
            )
        if found.rows is None:
            found = found.with_rows(self.args.per_device_eval_batch_size)
        # The same rows each time.
        found.set_epoch(0)
        return self._own_loader(found)

    def _own_loader(self, dataset: SelectiveDataset) -> DataLoader[Any]:
        """Shares and batches are the data set's: accelerate's loader, which counts passes, but not its sharing."""
        workers = self.args.dataloader_num_workers
        loader: DataLoader[Any] = DataLoaderShard(
            dataset,
            device=self.args.device,
            batch_size=None,
            num_workers=workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
            persistent_workers=self.args.dataloader_persistent_workers and workers > 0,
            prefetch_factor=self.args.dataloader_prefetch_factor if workers > 0 else None,
        )
        return loader

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        columns: list[str] = list(self._signature_columns or [])
        # Trainers with columns of their own leave out what the model takes: documents would see each other.
        model: Any = self.model
        taken = inspect.signature(
            (model.get_base_model() if hasattr(model, "get_base_model") else model).forward
        ).parameters
        wanted = [*OWN, *(name for name in ("position_ids", "attention_mask") if name in taken)]
        self._signature_columns = columns + [name for name in wanted if name not in columns]  # type: ignore[assignment]

    # --- the step ---------------------------------------------------------------------------------------------

    @property
    def _group(self) -> str | None:
        return "world" if self.accelerator.num_processes > 1 else None

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], Tensor | None]:
        samples: list[dict[str, Any]] = []
        for _ in range(num_batches):
            batch = next(epoch_iterator, None)
            if batch is None:
                break
            samples.append(dict(batch))
        if not samples:
            return samples, None
        for name in self._needed:
            _column(samples[0], name)
        labels = [_column(batch, "labels").to(device) for batch in samples]
        if self.selection == "live":
            references = [_column(batch, "reference_loss").to(device) for batch in samples]
            labels = [own.masked_fill(torch.isnan(ref), IGNORE) for own, ref in zip(labels, references)]
            losses = [self._forward_losses(batch, own) for batch, own in zip(samples, labels)]
            weights = live_weights(
                losses, references, labels, self.keep, self.scope, rounding=self.rounding, group=self._group
            )
        elif self.selection == "frozen":
            weights = [_column(batch, "loss_weights").to(device).float() for batch in samples]
        else:
            weights = [(own != IGNORE).float() for own in labels]
        divisor = step_divisor(weights, labels, normaliser=self.normaliser, group=self._group)
        for batch, own, weight in zip(samples, labels, weights):
            batch["labels"], batch["loss_weights"], batch[_DIVISOR] = own, weight, divisor
        self._last_step = self._counts(labels, weights)
        return samples, divisor

    def _counts(self, labels: list[Tensor], weights: list[Tensor]) -> dict[str, float]:
        targets = torch.stack([(own[:, 1:] != IGNORE).sum() for own in labels]).sum()
        kept = torch.stack([((w > 0) & (own != IGNORE))[:, 1:].sum() for w, own in zip(weights, labels)]).sum()
        both = torch.stack([targets, kept])
        if self._group is not None:
            torch.distributed.all_reduce(both)
        return {"targets": float(both[0]), "kept": float(both[1])}

    def _forward_losses(self, batch: Mapping[str, Any], labels: Tensor) -> Tensor:
        """Losses of every target before the step, without a gradient; the model's mode is training's."""
        model = self.model_wrapped
        model.train()
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**_model_inputs(self._prepare_inputs(dict(batch))))
            return token_losses(_logits(outputs), labels, chunk=self.chunk)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        labels = _column(inputs, "labels")
        divisor = inputs.get(_DIVISOR)
        outputs = model(**_model_inputs(inputs))
        logits = _logits(outputs)
        if divisor is None:
            # Evaluation.
            loss = selective_loss(logits, labels, (labels != IGNORE).float(), chunk=self.chunk)
        else:
            loss = selective_loss(
                logits,
                labels,
                inputs["loss_weights"],
                divisor=divisor,
                group=self._group,
                chunk=self.chunk,
            )
        return (loss, outputs) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> None:
        return None

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            logs = {**logs, **self._last_step}
        super().log(logs, *args, **kwargs)


def _columns_of(dataset: Any) -> tuple[str, ...]:
    """Columns of a data set, as far as it says without being read."""
    if isinstance(dataset, SelectiveDataset):
        return dataset._columns()
    names = getattr(dataset, "column_names", None)
    if names is None and isinstance(dataset, Sequence) and dataset and isinstance(dataset[0], Mapping):
        names = list(dataset[0])
    return tuple(names) if isinstance(names, (list, tuple)) else ()


def _column(batch: Mapping[str, Any], name: str) -> Tensor:
    found = batch.get(name)
    if isinstance(found, Tensor):
        return found
    raise TokensieveError(
        "no-column",
        f"a batch has no column {name} (it has {', '.join(map(str, batch))}); use a SelectiveDataset, or a collator that keeps it",
    )


def _model_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name not in OWN and name != _DIVISOR}


def _logits(outputs: Any) -> Tensor:
    logits = outputs["logits"] if isinstance(outputs, Mapping) else getattr(outputs, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    raise TokensieveError("no-logits", "the model returned no logits (a fused loss may leave them out); turn it off")


def _collate(rows: list[Mapping[str, Any]]) -> dict[str, Tensor]:
    return pad_rows(rows)


class SelectiveTrainer(SelectiveLossMixin, transformers.Trainer):
    __doc__ = SelectiveLossMixin.__doc__
