"""Damaged and hostile run folders: nothing of them is taken for what it is not, nothing waits, nothing takes memory without a bound."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pytest

from conftest import FIXTURES
from tokensieve import TokensieveError, open_run, verify
from tokensieve.claims import MAX_BATCH_BYTES, claimed_bytes, record_batches

PART = "web/a.parquet/00000"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(FIXTURES / "weighted", tmp_path / "weighted")


def flips(path, step):
    """Each of some bits, one at a time, put back afterwards."""
    sound = path.read_bytes()
    for bit in range(0, len(sound) * 8, step):
        changed = bytearray(sound)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        yield bit
    path.write_bytes(sound)


def read(folder, **options):
    return [row.input_ids.tolist() for row in open_run(folder, **options)]


@pytest.mark.parametrize(("name", "step"), [("arrow", 509), ("manifest.json", 199)])
def test_no_flipped_bit_is_read_or_called_sound(folder, name, step):
    for bit in flips(folder / f"{PART}.{name}", step):
        with pytest.raises(TokensieveError) as refused:
            read(folder)
        assert f"{PART}.{name.split('.')[0]}" in str(refused.value), bit
        assert verify(folder).findings, bit
    assert len(read(folder)) == 15
    assert not verify(folder).findings


def test_a_manifest_without_a_digest_is_an_early_ones(folder):
    path = folder / f"{PART}.manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["digest"]
    path.write_text(json.dumps(manifest))
    assert len(read(folder)) == 15


def test_a_part_is_checked_once_and_by_those_who_ask(folder):
    path = folder / f"{PART}.arrow"
    run, other, careless = open_run(folder), open_run(folder), open_run(folder, check=False)
    first = [row.weight.tolist() for row in run]
    data = bytearray(path.read_bytes())
    weight = next(row.weight.tobytes() for row in open_run(folder) if row.weight.any() and row.weight.tobytes() in data)
    data[:] = data.replace(weight, (np.frombuffer(weight, np.float32) / 2).tobytes())
    path.write_bytes(data)
    with pytest.raises(TokensieveError) as refused:
        list(other)
    assert refused.value.code == "part-changed"
    # One process that has checked it does not do so again, nor one that it was forked with; a new one does not know.
    assert [row.weight.tolist() for row in run] != first
    assert [row.weight.tolist() for row in careless] != first
    assert len(list(pickle.loads(pickle.dumps(run)))) == 15
    with pytest.raises(TokensieveError):
        list(pickle.loads(pickle.dumps(other)))


def sealed(manifest):
    """With digests that fit, as one who means harm would make them. Numbers here are whole or short."""
    content = {name: value for name, value in manifest.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    whole = json.dumps({**content, "digest": digest}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return whole + "\n"


def reseal(folder, **counts):
    """Makes the manifest of PART fit whatever its file is now."""
    path, data = folder / f"{PART}.manifest.json", (folder / f"{PART}.arrow").read_bytes()
    manifest = json.loads(path.read_text())
    manifest["histograms"] = {}
    manifest["outputs"][0] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest["counts"] |= counts
    path.write_text(sealed(manifest))


def test_what_is_no_file_is_not_waited_for(folder):
    """In a process of its own, which hangs where a pipe is opened."""
    code = """
        import os, sys, tokensieve
        folder = sys.argv[1]
        for name in sys.argv[2:]:
            os.rename(name, name + ".kept")
            os.mkfifo(name)
            for call in (lambda: list(tokensieve.open_run(folder)), lambda: print(*tokensieve.verify(folder).findings)):
                try: call()
                except tokensieve.TokensieveError as error: print(error)
            os.remove(name)
            os.rename(name + ".kept", name)
    """
    names = [str(folder / f"{PART}.{end}") for end in ("manifest.json", "arrow")]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(folder), *names],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=os.environ,
    )
    assert done.stdout.count("is no file") == 4, done


def test_links_lead_to_files_and_never_round_in_a_circle(folder, tmp_path):
    path = folder / f"{PART}.arrow"
    # The Hub's cache is made of such.
    path.rename(tmp_path / "blob")
    path.symlink_to(tmp_path / "blob")
    (folder / "web" / "again").symlink_to(folder)
    assert len(read(folder)) == 15
    for target in ("/dev/zero", path.name, "/etc/passwd", "/absent"):
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(TokensieveError, match=f"{PART}.arrow"):
            read(folder)
        manifest = folder / f"{PART}.manifest.json"
        kept = manifest.rename(tmp_path / "manifest")
        manifest.symlink_to(target)
        with pytest.raises(TokensieveError) as refused:
            read(folder)
        # Nothing of a file that somebody else chose is told.
        assert "root:" not in str(refused.value)
        manifest.unlink()
        kept.rename(manifest)


@pytest.mark.parametrize("shard", ["../x", "/etc", "web/../../x", "web//a.parquet", "web/./a.parquet", "", "web\0x"])
def test_names_do_not_lead_out(folder, shard):
    path = folder / f"{PART}.manifest.json"
    path.write_text(sealed({**json.loads(path.read_text()), "histograms": {}, "shard": shard}))
    with pytest.raises(TokensieveError) as refused:
        read(folder)
    assert refused.value.code in ("misplaced-part", "bad-manifest")


@pytest.mark.parametrize("name", ["../00000.arrow", "..", "a/b", "a\\b", "/etc/passwd"])
def test_outputs_do_not_lead_out(folder, name):
    path = folder / f"{PART}.manifest.json"
    manifest = json.loads(path.read_text())
    manifest["outputs"][0]["name"] = name
    path.write_text(sealed({**manifest, "histograms": {}}))
    with pytest.raises(TokensieveError, match="a file name without a folder"):
        read(folder)


@pytest.mark.parametrize(
    "counts", [{"sequences": 2**53 - 1}, {"tokens": 2**53 - 1}, {"sequences": 2**40, "tokens": 2**50}]
)
def test_counts_without_rows_take_no_memory(folder, counts):
    reseal(folder, **counts)
    if "sequences" in counts:
        with pytest.raises(TokensieveError, match="its manifest says"):
            read(folder)
    torch = pytest.importorskip("torch", reason="skipped: no torch")
    from tokensieve.data import SelectiveDataset

    try:
        for _, batch in zip(range(4), SelectiveDataset(folder, rows=4)):
            assert batch["input_ids"].dtype == torch.int64
    except TokensieveError as error:
        assert "its manifest says" in str(error)  # noqa: PT017


def test_a_record_batch_that_would_burst_is_not_decompressed(folder):
    """A sound file of zeros: 700 MiB in some ten thousands of bytes."""
    path = folder / f"{PART}.arrow"
    schema = pa.ipc.open_file(pa.memory_map(str(path))).schema
    rows, length = 1, 90 << 20
    lists = {"offsets": pa.array([0, length], pa.int32())}
    zeros = pa.array(np.zeros(length, np.float32))
    ids = pa.array(np.zeros(length, np.int32))
    columns = []
    for field in schema:
        if field.name == "sequence_id":
            columns.append(pa.array([0], pa.int64()))
        elif field.name == "segments":
            columns.append(pa.array([[]], field.type))
        else:
            columns.append(pa.ListArray.from_arrays(lists["offsets"], ids if field.name == "input_ids" else zeros))
    batch = pa.record_batch(
        columns, schema=pa.schema([pa.field(f.name, c.type) for f, c in zip(schema, columns)], schema.metadata)
    )
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer,
    ):
        writer.write_batch(batch)
    assert batch.nbytes > MAX_BATCH_BYTES
    assert path.stat().st_size < 1 << 20
    del batch, columns, zeros, ids
    reseal(folder, sequences=rows, tokens=length)
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(TokensieveError, match=rf"claims \d+ bytes; at most {MAX_BATCH_BYTES}"):
        read(folder)
    assert pa.default_memory_pool().max_memory() == before


def test_claims_are_what_pyarrow_decompresses(tmp_path):
    rows = pa.record_batch(
        {"ids": pa.array([list(range(1000))] * 20, pa.list_(pa.int32())), "few": pa.array(range(20), pa.int8())}
    )
    for codec in ("zstd", "lz4", None):
        path = tmp_path / f"{codec}.arrow"
        with (
            pa.OSFile(str(path), "wb") as file,
            pa.ipc.new_file(file, rows.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer,
        ):
            writer.write_batch(rows)
            writer.write_batch(rows)
        source = pa.memory_map(str(path))
        places = record_batches(source)
        assert len(places) == 2
        # Ids, their offsets, and the small column, which is stored as it is.
        expected = 0 if codec is None else 80_000 + 84 + 20
        assert [claimed_bytes(source, place) for place in places] == [expected, expected]


def test_declared_sizes_are_not_believed(tmp_path, folder):
    """Lengths written over everywhere in a compressed file: an error that names the file, no crash, no memory."""
    path = folder / f"{PART}.arrow"
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    with (
        pa.OSFile(str(tmp_path / "packed"), "wb") as file,
        pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer,
    ):
        writer.write_table(table)
    sound = (tmp_path / "packed").read_bytes()
    path.write_bytes(sound)
    reseal(folder)
    assert len(read(folder)) == 15
    refused = 0
    for at in range(8, len(sound) - 8, 56):
        for claim in (2**62, 2**40, -5):
            data = sound[:at] + struct.pack("<q", claim) + sound[at + 8 :]
            path.write_bytes(data)
            reseal(folder)
            try:
                read(folder)
            except TokensieveError as error:
                refused += 1
                assert PART in str(error)  # noqa: PT017
    assert refused > 50
    assert pa.default_memory_pool().max_memory() < 1 << 30
