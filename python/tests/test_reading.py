"""Folders that the pipeline wrote, read by Arrow alone: values, order, memory, refusals."""

from __future__ import annotations

import json
import shutil

import fsspec
import numpy as np
import pyarrow as pa
import pytest

import tokensieve
from conftest import FIXTURES
from tokensieve import TokensieveError, open_run, verify

KINDS = ("weighted", "scored", "packed")


def sorted_parts(golden, kind):
    return sorted(golden["parts"][kind], key=lambda part: (part["shard"], part["part"]))


def numbers(values):
    return np.array([np.nan if v is None else v for v in values], np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_that_were_written(golden, kind):
    run = open_run(FIXTURES / kind)
    assert run.kind == kind
    expected = [row for part in sorted_parts(golden, kind) for row in part["rows"]]
    rows = list(run)
    assert len(rows) == len(expected) == run.rows
    for row, want in zip(rows, expected):
        assert row.sequence_id == want["id"]
        assert row.input_ids.tolist() == want["ids"]
        for name, values in want["columns"].items():
            found = row.weight if name == "weight" else row.losses[name]
            given = numbers(values)
            if found.dtype == np.float16:
                given = given.astype(np.float16)
            assert np.array_equal(found, given, equal_nan=True)
            assert not found.flags.owndata
        column = next(iter(want["columns"].values()))
        target = [v is not None and (kind != "packed" or v > 0) and i > 0 for i, v in enumerate(column)]
        assert row.eligible.tolist() == target
        s = row.segments
        found_segments = np.stack([s.document, s.token_start, s.token_count, s.byte_start, s.byte_end], axis=1)
        assert found_segments.tolist() == want["segments"]


def test_what_the_parts_agree_on():
    run = open_run(FIXTURES / "scored")
    assert (run.length, run.attention, run.normaliser) == (12, "within", "weights")
    assert run.columns == ("reference_loss", "current_loss")
    assert [(part.shard, part.part) for part in run.parts] == [
        ("b.jsonl", 0),
        ("web/a.parquet", 0),
        ("web/a.parquet", 1),
    ]
    assert run.tokens == sum(len(row.input_ids) for row in run)
    assert run.targets == sum(int(row.eligible.sum()) for row in run)


def test_through_fsspec(tmp_path):
    memory = fsspec.filesystem("memory")
    memory.put(str(FIXTURES / "weighted"), "/runs/one/weighted", recursive=True)
    try:
        run = open_run("memory://runs/one")
        local = open_run(FIXTURES / "weighted")
        assert run.fingerprint == local.fingerprint
        for a, b in zip(run, local, strict=True):
            assert a.input_ids.tolist() == b.input_ids.tolist()
        assert verify("memory://runs/one").findings == ()
    finally:
        memory.rm("/runs", recursive=True)


def test_a_record_batch_at_a_time(golden):
    run = open_run(FIXTURES / "weighted")
    before = pa.total_allocated_bytes()
    for _ in run:
        # Memory-mapped: nothing is copied.
        assert pa.total_allocated_bytes() - before < 4096


@pytest.mark.parametrize("kind", KINDS)
def test_sound_folders_verify(kind):
    report = verify(FIXTURES / kind)
    assert report.findings == ()
    assert (report.parts, report.files, report.sequences) == (3, 3, 15)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(FIXTURES / "weighted", tmp_path / "weighted")


def change(path, **fields):
    """As an early version could have written it: without a digest, so that the field itself is met."""
    manifest = json.loads(path.read_text())
    del manifest["digest"]
    for name, value in fields.items():
        at = manifest
        *parents, last = name.split("__")
        for key in parents:
            at = at[int(key) if key.isdigit() else key]
        at[last] = value
    path.write_text(json.dumps(manifest))


PART = "web/a.parquet/00000"


def test_every_flipped_byte_of_a_file_is_found(folder):
    path = folder / f"{PART}.arrow"
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 97):
        changed = bytearray(data)
        changed[at] ^= 0x40
        path.write_bytes(changed)
        assert any("sha256" in finding for finding in verify(folder).findings), at


def test_truncated_and_missing_files_are_refused(folder):
    path = folder / f"{PART}.arrow"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(TokensieveError, match=rf"has {len(data) - 1} bytes, its manifest says {len(data)}"):
        open_run(folder)
    assert len(verify(folder).findings) == 1
    path.unlink()
    with pytest.raises(TokensieveError, match="is not there"):
        open_run(folder)


def test_arrow_damage_never_passes(folder):
    """Of the right size, so that reading meets it: an error of ours that names the file, or other values; no crash."""
    path = folder / f"{PART}.arrow"
    data = path.read_bytes()
    refused = 0
    for at in range(8, len(data), 41):
        path.write_bytes(data[:at] + bytes(b ^ 0xFF for b in data[at : at + 8]) + data[at + 8 :])
        try:
            for row in open_run(folder):
                assert len(row.input_ids) == len(row.weight)
        except TokensieveError as error:
            refused += 1
            assert str(path) in str(error)  # noqa: PT017
    assert refused > 20


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"version": 2}, "bad-manifest"),
        ({"kind": "other"}, "bad-manifest"),
        ({"part": -1}, "bad-manifest"),
        ({"fingerprint": "x"}, "bad-manifest"),
        ({"outputs__0__name": "../../../etc/passwd"}, "bad-manifest"),
        ({"counts__tokens": 1.5}, "bad-manifest"),
        ({"shard": "web/b.parquet"}, "misplaced-part"),
        ({"shard": "../weighted/web/a.parquet"}, "misplaced-part"),
        ({"recipe__scored__sequence__length": 24}, "mixed-recipes"),
        ({"input__size": 1001}, "mixed-inputs"),
        ({"outputs__0__bytes": 1}, "part-changed"),
    ],
)
def test_manifests_that_are_wrong(folder, fields, code):
    change(folder / f"{PART}.manifest.json", **fields)
    with pytest.raises(TokensieveError) as refused:
        list(open_run(folder))
    assert refused.value.code == code
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert verify(folder).findings


def test_a_file_of_another_fingerprint_is_refused(folder):
    change(folder / f"{PART}.manifest.json", fingerprint="0" * 64)
    with pytest.raises(TokensieveError) as refused:
        list(open_run(folder))
    assert refused.value.code == "part-changed"


@pytest.mark.parametrize("name", ["tokens", "eligible", "kept", "weight_sum", "sequences"])
def test_counts_are_checked(folder, name):
    path = folder / f"{PART}.manifest.json"
    change(path, **{f"counts__{name}": json.loads(path.read_text())["counts"][name] + 1})
    assert any(f"{name} is" in f or "rows, its manifest" in f for f in verify(folder).findings)


def test_garbage_manifests(folder):
    for text in ("", "[" * 100_000, "{}", "[]", '"x"', "\xff"):
        (folder / f"{PART}.manifest.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(TokensieveError) as refused:
            open_run(folder)
        assert refused.value.code == "bad-manifest"


def test_orphans_and_empty_folders(folder, tmp_path):
    (folder / f"{PART}.manifest.json").unlink()
    assert any("belongs to no manifest" in finding for finding in verify(folder).findings)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TokensieveError, match="no finished parts"):
        open_run(tmp_path / "empty")
    assert verify(tmp_path / "empty").findings
    with pytest.raises(TokensieveError, match="is no folder"):
        open_run(tmp_path / "absent")


def test_two_data_sets_are_not_mixed(tmp_path):
    for kind in ("weighted", "scored"):
        shutil.copytree(FIXTURES / kind, tmp_path / "several" / f"of {kind}")
    with pytest.raises(TokensieveError, match="holds 2 data sets"):
        open_run(tmp_path / "several")


def test_of_a_run_the_folder_is_meant_that_an_export_takes(tmp_path):
    for kind in ("packed", "scored", "weighted"):
        shutil.copytree(FIXTURES / kind, tmp_path / kind)
        assert open_run(tmp_path).kind == kind
        assert open_run(tmp_path).folder == open_run(tmp_path / kind).folder


def test_every_name_of_the_package_is_there_or_says_what_it_needs():
    for name in tokensieve.__all__:
        try:
            assert getattr(tokensieve, name) is not None
        except ImportError as error:
            assert error.name in ("torch", "transformers")  # noqa: PT017


def test_a_run_s_folder_is_its_newest_kind_and_what_it_lacks_is_told(tmp_path, recwarn):
    """Weighted, else scored, else packed, as the commands take it; a selection that was stopped is taken with a warning."""
    run = tmp_path / "run"
    for kind in ("packed", "scored", "weighted"):
        shutil.copytree(FIXTURES / kind, run / kind)
        assert open_run(run).kind == kind
    assert not [str(one.message) for one in recwarn]
    manifests = sorted((run / "weighted").rglob("*.manifest.json"))
    manifests[0].unlink()
    with pytest.warns(UserWarning, match="not finished") as told:
        found = open_run(run)
    assert len(found.parts) == len(manifests) - 1
    messages = [str(one.message) for one in told]
    assert "1 parts are not finished" in messages[0]
    assert "1 scored parts have no weights" in messages[1]
