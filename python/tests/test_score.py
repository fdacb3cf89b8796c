"""Losses of a model for `tokensieve import`: against passes of one document in fp64, two processes against one, and the import itself."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import FIXTURES, ROOT
from ranks import two_ranks

torch = pytest.importorskip("torch", reason="skipped: no torch")
transformers = pytest.importorskip("transformers", reason="skipped: no transformers")

sys.path.insert(0, str(FIXTURES))

import own_loop

from tokensieve import TokensieveError, open_run, score


def by_hand(model, ids):
    logits = model(torch.tensor(ids, dtype=torch.int64)[None]).logits[0].double()
    found = -torch.log_softmax(logits, -1)[:-1].gather(1, torch.tensor(ids[1:], dtype=torch.int64)[:, None])[:, 0]
    return [math.nan, *found.tolist()]


def records(scores):
    for file in scores.files:
        yield from pq.read_table(file).to_pylist()


def values(losses):
    return np.array([math.nan if loss is None else loss for loss in losses])


@pytest.mark.parametrize("folder", ["scored", "weighted", "packed"])
def test_a_run_is_scored_as_it_was_packed(tmp_path, folder):
    """`scored` has documents that do not see each other, the others one context a row."""
    run, model = open_run(FIXTURES / folder), own_loop.tiny_llama()
    found = score(model.train(), None, run, tmp_path / "out", rows=3, file_records=4)
    assert model.training
    assert (found.per, found.records, len(found.files)) == ("row", run.rows, -(-run.rows // 4))
    means = []
    for row, record in zip(run, records(found), strict=True):
        assert record["input_ids"] == row.input_ids.tolist()
        counts = row.segments.token_count if run.attention == "within" else [len(row.input_ids)]
        ends = np.cumsum(counts)
        wanted = [loss for a, b in zip([0, *ends], ends) for loss in by_hand(model.eval(), record["input_ids"][a:b])]
        np.testing.assert_allclose(values(record["losses"]), wanted, atol=2e-5)
        means += [loss for loss in wanted if not math.isnan(loss)]
    assert found.mean == pytest.approx(np.mean(means), abs=1e-5)
    with pytest.raises(TokensieveError, match="holds files"):
        score(model, None, run, tmp_path / "out")


class Words:
    """A tokenizer of single letters with BOS 0 and EOS 1, as transformers' are called."""

    eos_token_id = 1

    def __call__(self, text):
        return {"input_ids": [0, *(3 + ord(letter) % 60 for letter in text)]}


class Strange(Words):
    def __call__(self, text):
        return {"input_ids": [999]}


def test_texts_are_documents_with_their_ends(tmp_path):
    model = own_loop.tiny_llama().eval()
    found = score(model, Words(), ["one", "", "three four"], tmp_path / "a")
    assert found.flags == f"--losses '{tmp_path / 'a'}/losses-*.parquet' --per document"
    for text, record in zip(["one", "", "three four"], records(found), strict=True):
        ids = [*Words()(text)["input_ids"], 1]
        assert record["input_ids"] == ids
        np.testing.assert_allclose(values(record["losses"]), by_hand(model, ids), atol=2e-5)
    without = list(records(score(model, Words(), ["one"], tmp_path / "b", eos=False)))
    assert without[0]["input_ids"] == Words()("one")["input_ids"]
    for code, source, tokenizer in (
        ("bad-settings", ["one"], None),
        ("row-too-long", ["x" * 300], Words()),
        ("id-too-large", ["one"], Strange()),
    ):
        with pytest.raises(TokensieveError) as error:
            score(model, tokenizer, source, tmp_path / code)
        assert error.value.code == code
        assert not list((tmp_path / code).glob("*"))


def test_worse_than_guessing_is_warned_of(tmp_path):
    model = own_loop.tiny_llama()
    with torch.no_grad():
        model.lm_head.weight.mul_(-400)
    with pytest.warns(UserWarning, match="worse than guessing"):
        score(model, None, FIXTURES / "packed", tmp_path / "out")


def of_rank(rank, out):
    import accelerate
    from torch.distributed.fsdp import fully_shard

    prepared = accelerate.Accelerator(cpu=True).prepare(own_loop.tiny_llama())
    sharded = own_loop.tiny_llama()
    for layer in sharded.model.layers:
        fully_shard(layer, mesh=torch.distributed.init_device_mesh("cpu", (2,)))
    fully_shard(sharded, mesh=torch.distributed.init_device_mesh("cpu", (2,)))
    run = FIXTURES / "weighted"
    return [
        [type(model).__name__, score(model, None, run, f"{out}/{name}", rows=2, file_records=4).files]
        for name, model in (("prepared", prepared), ("sharded", sharded))
    ]


def test_two_processes_write_what_one_does(tmp_path):
    """Under accelerate (DistributedDataParallel) and FSDP2, with ranks that have other numbers of files."""
    pytest.importorskip("accelerate", reason="skipped: no accelerate")
    pytest.importorskip("torch.distributed.fsdp", reason="skipped: this torch has no FSDP2")
    one = list(records(score(own_loop.tiny_llama(), None, FIXTURES / "weighted", tmp_path / "one", rows=2)))
    first, second = two_ranks(of_rank, tmp_path, tmp_path)
    assert [name for name, _ in first] == ["DistributedDataParallel", "FSDPLlamaForCausalLM"]
    assert [files for _, files in first] == [files for _, files in second]
    for name, files in first:
        both = [record for file in files for record in pq.read_table(file).to_pylist()]
        assert [record["input_ids"] for record in both] == [record["input_ids"] for record in one], name
        for a, b in zip(both, one):
            np.testing.assert_allclose(values(a["losses"]), values(b["losses"]), atol=1e-6)


def tokensieve(*words):
    done = subprocess.run(
        ["node", str(ROOT / "dist/cli/main.js"), *map(str, words), "--log", "none"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr + done.stdout


@pytest.mark.skipif(
    shutil.which("node") is None or not (ROOT / "dist/cli/main.js").exists(),
    reason="skipped: tokensieve is not built here",
)
def test_what_is_written_is_imported_and_refused_where_it_is_shifted(tmp_path):
    texts = [f"{'many words ' * (n % 5)}and number {n} of them" for n in range(12)]
    shard, packed, start = tmp_path / "texts.jsonl", tmp_path / "packed", FIXTURES / "start"
    shard.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    code, said = tokensieve("pack", "--shards", shard, "--tokenizer", start, "--sequence-length", 32, "--out", packed)
    assert code == 0, said
    model = transformers.AutoModelForCausalLM.from_pretrained(start)
    found = score(model, None, packed, tmp_path / "losses", file_records=5)
    assert found.records == open_run(packed).rows > 5
    into = ("import", packed, "--model-name", "tiny", "--losses")
    code, said = tokensieve(*into, tmp_path / "losses" / "losses-*.parquet", "--out", tmp_path / "run")
    assert code == 0, said
    for row, record in zip(open_run(tmp_path / "run"), records(found), strict=True):
        assert row.input_ids.tolist() == record["input_ids"]
        own = row.losses["reference_loss"][row.eligible]
        assert own.tolist() == values(record["losses"]).astype(np.float32)[row.eligible].tolist()
        assert len(own)
    # The loss of what follows each token, as `cross_entropy` of shifted logits has it, filled up at its end.
    rows = list(records(found))
    early = [[*record["losses"][1:], None] for record in rows]
    zeros = [[*record["losses"][1:], 0.0] for record in rows]
    shifted = tmp_path / "shifted"
    shifted.mkdir()
    schema = pq.read_schema(found.files[0])
    for name, lists in (("none", early), ("zero", zeros)):
        table = pa.table({"input_ids": [r["input_ids"] for r in rows], "losses": lists}, schema=schema)
        pq.write_table(table, shifted / f"{name}.parquet")
    torch.save(zeros, shifted / "zero.pt")
    torch.save([[math.nan if x is None else x for x in own] for own in early], shifted / "none.pt")
    for name, flags in (
        ("none.parquet", ["--missing", "exclude"]),
        ("zero.parquet", []),
        ("zero.pt", ["--ids", "absent"]),
        ("none.pt", ["--ids", "absent", "--missing", "exclude"]),
    ):
        code, said = tokensieve(*into, shifted / name, "--out", tmp_path / f"of-{name}", *flags)
        assert code == 1, (name, said)
        assert "token before" in said or "shifted" in said or "its first token" in said, (name, said)
        assert not list((tmp_path / f"of-{name}").rglob("*.manifest.json"))
