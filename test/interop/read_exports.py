"""Reads exports of one run by each format's own library and compares every value with the source's Arrow files.

    python read_exports.py RUN EXPORTS SHARDS [ONLY ...]

RUN is a run of packed rows with weights beside its scored files. EXPORTS holds its exports, as make_exports.sh makes them. SHARDS is the folder of the
parquet shards that were scored. ONLY: formats, libraries or both (`parquet/polars`) to read (all). Prints a table for docs/exports.md.
A library that is not there gives a line that says so, and a failed check ends the script with 1.
"""

import glob
import json
import os
import sys
import tempfile
from importlib.metadata import version

import numpy as np
import pyarrow as pa

run, exports, shards, *only = sys.argv[1:]


def flat(columns):
    return np.concatenate([np.asarray(column.combine_chunks().flatten()) for column in columns])


def source():
    """Rows as they are, and the stream in which each token stands once: rows but the first begin with a known id."""
    rows, ids, weights, documents, places = [], [], [], [], []
    for path in sorted(glob.glob(f"{run}/weighted/*/*.arrow")):
        with pa.memory_map(path) as file:
            table = pa.ipc.open_file(file).read_all()
        shard, part = path.split("/")[-2], int(os.path.basename(path).split(".")[0])
        for row in table.to_pylist():
            skip = 0 if row["sequence_id"] == 0 else 1
            rows.append(row)
            places.extend((shard, part, row["sequence_id"], i) for i in range(skip, len(row["input_ids"])))
            ids.append(row["input_ids"][skip:])
            weights.append(row["weight"][skip:])
            each = [s["document"] for s in row["segments"] for _ in range(s["token_count"])]
            documents.append([(path, document) for document in each[skip:]])
    join = lambda lists: [value for values in lists for value in values]
    return rows, np.array(join(ids)), np.array(join(weights), np.float32), join(documents), places


rows, ids, weights, documents, places = source()
lengths = [1]
for before, after in zip(documents, documents[1:]):
    if before == after:
        lengths[-1] += 1
    else:
        lengths.append(1)
stream_losses = np.concatenate(
    [np.array(row["reference_loss"][0 if row["sequence_id"] == 0 else 1 :], np.float32) for row in rows]
)
row_ids = np.concatenate([row["input_ids"] for row in rows])
row_weights = np.concatenate([np.array(row["weight"], np.float32) for row in rows])
row_losses = np.concatenate([np.array(row["reference_loss"], np.float32) for row in rows])
files = lambda pattern: sorted(glob.glob(f"{exports}/{pattern}"))
fractions = int(((weights > 0) & (weights < 1)).sum())


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
    if fractions == 0:  # labels have no room for them
        same(indexed("labels", "labels"), np.where(weights > 0, ids, -100), "labels")


def places_of(column):
    """Part, sequence and position of every token, and shards by name."""
    for i, name in enumerate(("shard", "part", "sequence", "position")):
        found = np.asarray(column(name))
        expected = [place[i] for place in places]
        if name == "shard":
            assert list(found) == expected, name
        else:
            same(found.astype(np.int64), expected, name)
    same(column("document"), [document for _, document in documents], "documents")


def check_duckdb(kind):
    import duckdb

    tokens, sequences = (f"'{exports}/{name}/data/*.parquet'" for name in kind)
    order = "order by shard, part, sequence, position"
    table = duckdb.sql(f"select * from {tokens} {order}").fetchnumpy()
    same(table["token"], ids, "ids")
    same(table["weight"], weights, "weights")
    places_of(lambda name: table[name])
    mean = duckdb.sql(f"select avg(reference_loss) from {tokens}").fetchall()[0][0]
    assert abs(mean - np.nanmean(row_losses.astype(np.float64))) < 1e-9, "mean loss"
    # Filters go down to the pages, dictionaries included.
    shard, _, sequence, _ = places[-1]
    where = f"shard = '{shard}' and sequence >= {sequence // 2} and reference_loss > 2"
    one = lambda columns: duckdb.sql(f"select {columns} from {tokens} where {where}").fetchall()[0]
    wanted = [
        (token, weight)
        for token, weight, loss, (s, _, q, _) in zip(ids, weights, stream_losses, places)
        if s == shard and q >= sequence // 2 and loss > 2
    ]
    count, total, kept = one("count(*), sum(token), sum(weight)")
    assert len(wanted) > 0 and (count, total) == (len(wanted), sum(int(token) for token, _ in wanted)), "filtered"
    assert abs(kept - sum(float(weight) for _, weight in wanted)) < 1e-6 * len(wanted), "filtered weights"
    order = "order by shard, part, sequence"
    rows_read = duckdb.sql(f"select input_ids, weight, reference_loss from {sequences} {order}").fetchall()
    same([len(row[0]) for row in rows_read], [len(row["input_ids"]) for row in rows], "rows")
    same([value for row in rows_read for value in row[0]], row_ids, "row ids")
    same(np.array([value for row in rows_read for value in row[1]], np.float32), row_weights, "row weights")
    losses = [np.nan if value is None else value for row in rows_read for value in row[2]]
    same(np.array(losses, np.float32), row_losses, "row losses")


def check_pandas(kind):
    import pandas as pd

    tokens, sequences = (f"{exports}/{name}/data" for name in kind)
    frame = pd.read_parquet(tokens)
    same(frame["token"], ids, "ids")
    same(frame["weight"], weights, "weights")
    same(frame["reference_loss"].to_numpy(np.float32), stream_losses, "losses")
    places_of(lambda name: frame[name].to_numpy())
    frame = pd.read_parquet(sequences)
    same(np.concatenate(frame["input_ids"].to_list()), row_ids, "row ids")
    same(np.concatenate(frame["weight"].to_list()).astype(np.float32), row_weights, "row weights")
    same(np.concatenate(frame["reference_loss"].to_list()).astype(np.float32), row_losses, "row losses")


def check_polars(kind):
    import polars as pl

    tokens, sequences = (f"{exports}/{name}/data/*.parquet" for name in kind)
    frame = pl.read_parquet(tokens)
    same(frame["token"].to_numpy(), ids, "ids")
    same(frame["weight"].to_numpy(), weights, "weights")
    same(frame["reference_loss"].to_numpy(), stream_losses, "losses")
    places_of(lambda name: frame[name].to_numpy())
    shard, _, sequence, _ = places[-1]
    lazy = pl.scan_parquet(tokens).filter((pl.col("shard") == shard) & (pl.col("sequence") == sequence))
    wanted = [token for token, (s, _, q, _) in zip(ids, places) if s == shard and q == sequence]
    same(lazy.collect()["token"].to_numpy(), wanted, "filtered")
    frame = pl.read_parquet(sequences).explode("input_ids", "weight", "reference_loss")
    same(frame["input_ids"].to_numpy(), row_ids, "row ids")
    same(frame["weight"].to_numpy(), row_weights, "row weights")
    same(frame["reference_loss"].to_numpy(), row_losses, "row losses")


def check_jsonl():
    import pyarrow.parquet as pq

    lines = []
    for path in files("jsonl/data/*.jsonl"):
        with open(path, encoding="utf-8") as file:
            lines.extend(json.loads(line) for line in file)
    same([line["tokens"] for line in lines], lengths, "documents")
    texts, start = {}, 0
    for line, length in zip(lines, lengths):
        name = line["shard"]
        if name not in texts:
            texts[name] = pq.read_table(f"{shards}/{name}", columns=["text"])["text"]
        text = texts[name][line["row"]].as_py()
        assert line["text"] == text == "".join(span["text"] for span in line["spans"]), f"text of row {line['row']}"
        assert all(span["text"] == text[span["start"] : span["end"]] for span in line["spans"]), "places"
        # A document's BOS and EOS stand in no text.
        inner = slice(start + 1, start + length - 1)
        per_token = [span["weight"] for span in line["spans"] for _ in range(span["tokens"])]
        same(np.array(per_token, np.float32), weights[inner], "weights")
        at = inner.start
        for span in line["spans"]:
            losses = stream_losses[at : at + span["tokens"]].astype(np.float64)
            at += span["tokens"]
            losses = losses[~np.isnan(losses)]
            if len(losses) > 0:
                assert abs(span["reference_loss"] - losses.mean()) < 1e-5 * max(1, losses.mean()), "mean losses"
        start += length


PLAIN, ZSTD = ("parquet", "sequences"), ("zstd", "zstd-sequences")
CHECKS = [
    ("hf", "datasets", check_hf, "`load_dataset` and `load_from_disk`: ids, labels, weights, losses, rows"),
    ("nanogpt", "numpy", check_nanogpt, "`np.memmap`: ids, weights, counts"),
    ("olmo", "ai2-olmo-core", check_olmo, "`NumpyFSLDataset`: ids, label mask, instances; labels by `get_labels` (first instance)"),
    ("datatrove", "datatrove", check_datatrove, "`DatatroveFolderDataset`: ids; document ends by its own reader; `.loss` as its writer's type, by numpy"),
    ("megatron", "megatron-core", check_megatron, "`IndexedDataset`: ids, documents, weights; of bits gpt-neox labels as an indexed data set"),
    ("parquet", "duckdb", lambda: check_duckdb(PLAIN), "both kinds of rows: ids, weights, losses, places, documents; filters"),
    ("parquet", "pandas", lambda: check_pandas(PLAIN), "both kinds of rows: ids, weights, losses, places, documents"),
    ("parquet", "polars", lambda: check_polars(PLAIN), "both kinds of rows: ids, weights, losses, places, documents; filters"),
    ("parquet zstd", "duckdb", lambda: check_duckdb(ZSTD), "as above"),
    ("parquet zstd", "pandas", lambda: check_pandas(ZSTD), "as above"),
    ("parquet zstd", "polars", lambda: check_polars(ZSTD), "as above"),
    ("jsonl", "pyarrow", check_jsonl, "Python's `json`: texts against the shards, spans, weights, mean losses"),
]

parts = len({place[:2] for place in places})
print(f"Python {sys.version.split()[0]}. Source: {parts} parts, {len(rows)} rows, {len(row_ids)} ids in rows, {len(ids)} in the stream,")
print(f"{len(lengths)} documents, {int((weights > 0).sum())} tokens of weight above 0, {fractions} of them fractions.\n")
print("| `--to` | read by | what was compared | result |\n|---|---|---|---|")
failed = False
for name, package, check, what in CHECKS:
    if only and not {name, package, f"{name}/{package}"} & set(only):
        continue
    if fractions > 0 and name in ("olmo", "datatrove"):
        continue  # bits only: the export is refused
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
