"""Reads exports of one run by each format's own library and compares every value with the source's Arrow files.

    python read_exports.py RUN EXPORTS [ONLY ...]

RUN is a weighted run of packed rows. EXPORTS holds its exports: hf, nanogpt, olmo, datatrove, megatron, parquet, and
`sequences` (parquet --rows sequence), `labels` (megatron --sidecar labels). ONLY: formats to read (all). Prints a table for docs/exports.md.
A library that is not there gives a line that says so, and a failed check ends the script.
"""

import glob
import os
import sys
import tempfile
from importlib.metadata import version

import numpy as np
import pyarrow as pa

run, exports, *only = sys.argv[1:]


def flat(columns):
    return np.concatenate([np.asarray(column.combine_chunks().flatten()) for column in columns])


def source():
    """Rows as they are, and the stream in which each token stands once: rows but the first begin with a known id."""
    rows, ids, weights, documents = [], [], [], []
    for path in sorted(glob.glob(f"{run}/weighted/*/*.arrow")):
        with pa.memory_map(path) as file:
            table = pa.ipc.open_file(file).read_all()
        for row in table.to_pylist():
            skip = 0 if row["sequence_id"] == 0 else 1
            rows.append(row)
            ids.append(row["input_ids"][skip:])
            weights.append(row["weight"][skip:])
            each = [s["document"] for s in row["segments"] for _ in range(s["token_count"])]
            documents.append([(path, document) for document in each[skip:]])
    join = lambda lists: [value for values in lists for value in values]
    return rows, np.array(join(ids)), np.array(join(weights), np.float32), join(documents)


rows, ids, weights, documents = source()
lengths = [1]
for before, after in zip(documents, documents[1:]):
    if before == after:
        lengths[-1] += 1
    else:
        lengths.append(1)
row_ids = np.concatenate([row["input_ids"] for row in rows])
row_weights = np.concatenate([np.array(row["weight"], np.float32) for row in rows])
row_losses = np.concatenate([np.array(row["reference_loss"], np.float32) for row in rows])
files = lambda pattern: sorted(glob.glob(f"{exports}/{pattern}"))


def same(found, expected, what):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: {found.shape} and {expected.shape}"
    assert np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"), what


def check_hf():
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        for name, read in (
            ("load_dataset", datasets.load_dataset(f"{exports}/hf", cache_dir=cache)),
            ("load_from_disk", datasets.load_from_disk(f"{exports}/hf")),
        ):
            train = read["train"].with_format("arrow")[:]
            assert train.num_rows == len(rows), name
            same(flat([train["input_ids"]]), row_ids, f"{name} ids")
            same(flat([train["labels"]]), np.where(row_weights > 0, row_ids, -100), f"{name} labels")
            same(flat([train["loss_weights"]]), row_weights, f"{name} weights")
            same(flat([train["reference_loss"]]), row_losses, f"{name} losses")


def check_nanogpt():
    read = lambda pattern, dtype: np.concatenate([np.memmap(path, dtype=dtype, mode="r") for path in files(pattern)])
    several = files("nanogpt/train_?????.bin")
    same(read("nanogpt/train_?????.bin" if several else "nanogpt/train.bin", np.uint16), ids, "ids")
    same(read("nanogpt/train*.weights.bin", np.float32), weights, "weights")


def check_olmo():
    from olmo_core.data.numpy_dataset import NumpyFSLDataset
    from olmo_core.data.utils import get_labels

    length = 128
    dataset = NumpyFSLDataset(
        *files("olmo/tokens/*.npy"),
        sequence_length=length,
        pad_token_id=0,
        eos_token_id=2,
        vocab_size=65536,
        dtype=np.uint16,
        label_mask_paths=files("olmo/label_mask/*.npy"),
    )
    dataset.prepare()
    items = [dataset[i] for i in range(len(dataset))]
    # Whole instances are read; a file's tail that fills none is left out.
    sizes = [os.path.getsize(path) // 2 for path in files("olmo/tokens/*.npy")]
    assert len(items) == sum(size // length for size in sizes), "instances"
    starts = np.cumsum([0, *sizes])
    keep = np.concatenate([np.arange(s, s + n // length * length) for s, n in zip(starts, sizes)])
    same(np.concatenate([item["input_ids"].numpy() for item in items]), ids[keep], "ids")
    same(np.concatenate([item["label_mask"].numpy() for item in items]), weights[keep] == 1, "mask")
    batch = {name: items[0][name].unsqueeze(0) for name in ("input_ids", "label_mask")}
    expected = np.where(weights[1:length] == 1, ids[1:length], -100)
    same(get_labels(batch)[0, :-1].numpy(), expected, "labels")


def check_datatrove():
    from datatrove.tools.check_dataset import load_doc_ends
    from datatrove.utils.dataset import DatatroveFolderDataset

    length = 127
    dataset = DatatroveFolderDataset(f"{exports}/datatrove/data", length, filename_pattern="*.ds")
    paths = files("datatrove/data/*.ds")
    sizes = [os.path.getsize(path) // 2 for path in paths]
    starts = np.cumsum([0, *sizes])
    window = length + 1
    keep = np.concatenate([np.arange(s, s + n // window * window) for s, n in zip(starts, sizes)])
    same(np.concatenate([dataset[i]["input_ids"].numpy() for i in range(len(dataset))]), ids[keep], "ids")
    found = []
    for path, size in zip(paths, sizes):
        ends = load_doc_ends(open(f"{path}.index", "rb"))
        assert ends[-1] == size == os.path.getsize(f"{path}.loss"), "sizes"
        found.extend(np.diff([0, *ends]))
    same(found, lengths, "documents")
    # The library writes .loss files as struct's `?` and has no reader of them.
    same(np.concatenate([np.fromfile(f"{path}.loss", np.bool_) for path in paths]), weights == 1, "loss mask")


def indexed(name, what):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    out, found = [], []
    for path in files(f"{name}/data/*_{what}.bin"):
        dataset = IndexedDataset(path.removesuffix(".bin"))
        assert len(dataset.document_indices) == len(dataset) + 1
        for i in range(len(dataset)):
            # The library closes its map with the data set, whatever still looks at it.
            out.append(np.array(dataset[i]))
        found.extend(dataset.sequence_lengths)
    same(found, lengths, "documents")
    return np.concatenate(out)


def check_megatron():
    same(indexed("megatron", "document"), ids, "ids")
    same(indexed("megatron", "weights"), weights, "weights")
    same(indexed("labels", "labels"), np.where(weights > 0, ids, -100), "labels")


def check_duckdb():
    import duckdb

    order = "order by shard, part, sequence, position"
    table = duckdb.sql(f"select * from '{exports}/parquet/data/*.parquet' {order}").fetchnumpy()
    same(table["token"], ids, "ids")
    same(table["weight"], weights, "weights")
    same(table["document"], [document for _, document in documents], "documents")
    mean = duckdb.sql(f"select avg(reference_loss) from '{exports}/parquet/data/*.parquet'").fetchall()[0][0]
    assert abs(mean - np.nanmean(row_losses.astype(np.float64))) < 1e-9, "mean loss"


def check_pandas():
    import pandas as pd

    frame = pd.read_parquet(f"{exports}/parquet/data")
    same(frame["token"], ids, "ids")
    same(frame["weight"], weights, "weights")
    frame = pd.read_parquet(f"{exports}/sequences/data")
    same(np.concatenate(frame["input_ids"].to_list()), row_ids, "row ids")
    same(np.concatenate(frame["weight"].to_list()).astype(np.float32), row_weights, "row weights")


def check_polars():
    import polars as pl

    frame = pl.read_parquet(f"{exports}/parquet/data/*.parquet")
    same(frame["token"].to_numpy(), ids, "ids")
    same(frame["weight"].to_numpy(), weights, "weights")
    frame = pl.read_parquet(f"{exports}/sequences/data/*.parquet").explode("input_ids", "weight", "reference_loss")
    same(frame["input_ids"].to_numpy(), row_ids, "row ids")
    same(frame["weight"].to_numpy(), row_weights, "row weights")
    same(frame["reference_loss"].to_numpy(), row_losses, "row losses")


CHECKS = [
    ("hf", "datasets", check_hf, "`load_dataset` and `load_from_disk`: ids, labels, weights, losses, rows"),
    ("nanogpt", "numpy", check_nanogpt, "`np.memmap`: ids, weights, counts"),
    ("olmo", "ai2-olmo-core", check_olmo, "`NumpyFSLDataset`: ids, label mask, instances; labels by `get_labels` (first instance)"),
    ("datatrove", "datatrove", check_datatrove, "`DatatroveFolderDataset`: ids; document ends by its own reader; `.loss` as its writer's type, by numpy"),
    ("megatron", "megatron-core", check_megatron, "`IndexedDataset`: ids, documents, weights; gpt-neox labels as an indexed data set"),
    ("parquet", "duckdb", check_duckdb, "a row a token: ids, weights, documents, counts, mean loss"),
    ("parquet", "pandas", check_pandas, "both kinds of rows: ids, weights, counts"),
    ("parquet", "polars", check_polars, "both kinds of rows: ids, weights, losses, counts"),
]

print(f"Source: {len(rows)} rows, {len(row_ids)} ids in rows, {len(ids)} in the stream, {len(lengths)} documents.\n")
print("| `--to` | read by | what was compared | result |\n|---|---|---|---|")
failed = False
for name, package, check, what in CHECKS:
    if only and name not in only and package not in only:
        continue
    try:
        check()
        result = "all equal"
    except ModuleNotFoundError as error:
        result = f"not run: {error.name} is missing"
    except Exception as error:  # noqa: BLE001 every format gets its line
        result, failed = f"FAILED: {type(error).__name__}: {error}", True
    try:
        found = version(package)
    except Exception:  # noqa: BLE001
        found = "absent"
    print(f"| `{name}` | {package} {found} | {what} | {result} |", flush=True)
sys.exit(1 if failed else 0)
