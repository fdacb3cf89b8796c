"""The engine `openvino` against a plain pass in float64, and what it refuses (docs/engines.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tokensieve.engine.job import EngineError, Rows

torch = pytest.importorskip("torch", reason="the engine openvino needs PyTorch")
pytest.importorskip("transformers", reason="the engine openvino needs transformers")
pytest.importorskip("openvino", reason="the engine openvino needs OpenVINO")

from test_engine_torch import checkpoint, job, plain, sample_rows

DENSE = (
    "Llama", "Mistral", "Qwen2", "Qwen3", "Olmo2", "Olmo3", "Gemma", "Gemma2", "Gemma3Text", "Phi3", "Granite", "Cohere",
    "Starcoder2", "StableLm", "GPTNeoX", "GPT2", "Falcon", "SmolLM3", "Glm4", "Mamba2", "Bamba",
)  # fmt: skip


@pytest.mark.parametrize("family", DENSE)
def test_losses_are_those_of_a_plain_pass_whoever_else_is_in_the_batch(family: str, tmp_path: Any) -> None:
    from tokensieve.engine.openvino_engine import open_engine

    folder = checkpoint(family, tmp_path)
    rows = sample_rows()
    engine = open_engine(job(folder))
    found = engine.score(Rows(rows, None))["model"]
    for row, ids in enumerate(rows):
        losses, entropies = plain(folder, ids)
        np.testing.assert_allclose(found["loss"][row], losses, atol=1e-5, rtol=0, err_msg=f"row {row}")
        np.testing.assert_allclose(found["entropy"][row], entropies, atol=1e-5, rtol=0, err_msg=f"row {row}")
    backwards = engine.score(Rows(rows[::-1], None))["model"]["loss"][::-1]
    for row, losses in enumerate(backwards):
        np.testing.assert_allclose(losses, found["loss"][row], atol=1e-5, rtol=0)


def test_documents_do_not_see_each_other(tmp_path: Any) -> None:
    from tokensieve.engine.openvino_engine import open_engine

    folder = checkpoint("Qwen3", tmp_path)
    rows = sample_rows()
    documents = [np.arange(len(ids), dtype=np.int32) // 13 for ids in rows]
    within = open_engine(job(folder, attention="within")).score(Rows(rows, documents))["model"]["loss"]
    for ids, losses in zip(rows, within, strict=True):
        for start in range(0, len(ids), 13):
            document = ids[start : start + 13]
            if len(document) > 1:
                own = losses[start : start + len(document) - 1]
                np.testing.assert_allclose(own, plain(folder, document)[0], atol=1e-5, rtol=0)


def test_bf16_stays_near_and_says_what_it_cannot(tmp_path: Any) -> None:
    import openvino

    from tokensieve.engine.openvino_engine import open_engine

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor computes no bf16")
    folder = checkpoint("Qwen3", tmp_path)
    rows = sample_rows()
    found = open_engine(job(folder, precision="bf16", outputs=("loss",))).score(Rows(rows, None))["model"]["loss"]
    for ids, losses in zip(rows, found, strict=True):
        np.testing.assert_allclose(losses, plain(folder, ids)[0], atol=0.1, rtol=0)
    with pytest.raises(EngineError, match="output 'greedy' is not offered"):
        open_engine(job(folder, precision="bf16"))
    with pytest.raises(EngineError, match="precision fp16 is not this engine's"):
        open_engine(job(folder, precision="fp16"))


@pytest.mark.parametrize("family", ["Mixtral", "FalconMamba"])
def test_what_no_graph_holds_is_refused_and_torch_is_named(family: str, tmp_path: Any) -> None:
    from tokensieve.engine.openvino_engine import open_engine

    with pytest.raises(EngineError, match="use torch"):
        open_engine(job(checkpoint(family, tmp_path)))
