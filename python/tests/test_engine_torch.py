"""The engine `torch` against a plain pass in float64, over families of checkpoints that transformers makes (docs/engines.md)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from tokensieve.engine.job import EngineError, Job, Model, Rows

VOCABULARY = 97
BASE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
MLA = {
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
    "num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2,
    "moe_intermediate_size": 24, "first_k_dense_replace": 1,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": {"sliding_window": 16},
    "Qwen2": {},
    "Qwen3": {},
    "Qwen3Moe": MOE,
    "Qwen2Moe": {**MOE, "shared_expert_intermediate_size": 24},
    "Mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "Olmo2": {},
    "Olmo3": {"sliding_window": 16},
    "Olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "Gemma": {},
    "Gemma2": {"sliding_window": 16, "query_pre_attn_scalar": 8},
    "Gemma3Text": {"sliding_window": 16, "query_pre_attn_scalar": 8},
    "Phi3": {"rope_scaling": None},
    "Granite": {"logits_scaling": 3.0, "residual_multiplier": 0.5},
    "Cohere": {"logit_scale": 0.25},
    "Starcoder2": {"sliding_window": 16},
    "StableLm": {},
    "GPTNeoX": {},
    "GPT2": {"n_positions": 128, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "Falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "GptOss": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16},
    "DeepseekV3": MLA,
    "SmolLM3": {},
    "Glm4": {},
    "Mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "chunk_size": 16, "expand": 2},
    "FalconMamba": {"state_size": 8},
    "Bamba": {
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_chunk_size": 16,
        "attn_layer_indices": [1],
    },
}

torch = pytest.importorskip("torch", reason="the engine torch needs PyTorch")
transformers = pytest.importorskip("transformers", reason="the engine torch needs transformers")


def checkpoint(family: str, folder: Any) -> Any:
    config_class = getattr(transformers, f"{family}Config", None)
    if config_class is None:
        pytest.skip(f"transformers {transformers.__version__} has no {family}Config")
    base = {key: value for key, value in BASE.items() if family != "Falcon" or key != "head_dim"}
    config = config_class(**{**base, **FAMILIES[family]})
    torch.manual_seed(5)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    model.save_pretrained(folder)
    return folder


def job(folder: Any, **more: Any) -> Job:
    fields: dict[str, Any] = {
        "models": (Model("model", str(folder), None, None),), "device": "cpu", "card": 0, "precision": "fp32",
        "threads": 0, "longest_row": 64, "attention": "across", "outputs": ("loss", "entropy", "greedy"), "options": {},
    }  # fmt: skip
    return Job(**{**fields, **more})


def sample_rows() -> list[Any]:
    generator = np.random.default_rng(3)
    return [generator.integers(0, VOCABULARY, n).astype(np.int32) for n in (2, 64, 3, 17, 41, 1, 64, 33, 5, 18)]


@lru_cache(maxsize=2)
def _in_float64(folder: str) -> Any:
    # The grouped product of experts knows no float64: one expert after the other, as the paper has it.
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, experts_implementation="eager"
    )
    return model.eval()


def plain(folder: Any, ids: Any) -> tuple[Any, Any]:
    """Losses and entropies of one row, by itself, in float64."""
    model = _in_float64(str(folder))
    with torch.inference_mode():
        logits = model(torch.from_numpy(ids.astype(np.int64))[None], use_cache=False).logits[0, :-1].double()
    log = torch.log_softmax(logits, -1)
    wanted = torch.from_numpy(ids[1:].astype(np.int64))
    return (-log.gather(-1, wanted[:, None])[:, 0]).numpy(), (-(log.exp() * log).sum(-1)).numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_those_of_a_plain_pass_whoever_else_is_in_the_batch(family: str, tmp_path: Any) -> None:
    from tokensieve.engine.torch_engine import open_engine

    folder = checkpoint(family, tmp_path)
    rows = sample_rows()
    engine = open_engine(job(folder))
    found = engine.score(Rows(rows, None))["model"]
    truth = [plain(folder, ids) for ids in rows]
    assert engine.profile()["models"]["model"]["head"] == "chunked"
    for row, (losses, entropies) in enumerate(truth):
        np.testing.assert_allclose(found["loss"][row], losses, atol=1e-5, rtol=0, err_msg=f"row {row}")
        np.testing.assert_allclose(found["entropy"][row], entropies, atol=1e-5, rtol=0, err_msg=f"row {row}")
    backwards = engine.score(Rows(rows[::-1], None))["model"]["loss"][::-1]
    for row, losses in enumerate(backwards):
        np.testing.assert_allclose(losses, found["loss"][row], atol=1e-5, rtol=0)

    documents = [np.arange(len(ids), dtype=np.int32) // 13 for ids in rows]
    within = open_engine(job(folder, attention="within")).score(Rows(rows, documents))["model"]["loss"]
    for ids, losses in zip(rows, within, strict=True):
        for start in range(0, len(ids), 13):
            document = ids[start : start + 13]
            if len(document) > 1:
                np.testing.assert_allclose(
                    losses[start : start + len(document) - 1], plain(folder, document)[0], atol=1e-5, rtol=0
                )


def test_logits_are_not_held_whole(tmp_path: Any) -> None:
    from tokensieve.engine.torch_engine import open_engine

    engine = open_engine(job(checkpoint("Gemma2", tmp_path)))
    assert engine.profile()["models"]["model"]["head"] == "chunked"


def test_weights_that_are_missing_are_told(tmp_path: Any) -> None:
    from safetensors.torch import load_file, save_file

    from tokensieve.engine.torch_engine import open_engine

    folder = checkpoint("Llama", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(EngineError, match=r"drawn at random: model\.layers\.1\.mlp\.up_proj\.weight"):
        open_engine(job(folder))


def test_an_adapter_is_its_base_with_it(tmp_path: Any) -> None:
    peft = pytest.importorskip("peft")
    from tokensieve.engine.torch_engine import open_engine

    base = checkpoint("Llama", tmp_path / "base")
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    lora = peft.get_peft_model(
        model, peft.LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    )
    lora.save_pretrained(tmp_path / "adapter")
    merged = lora.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    rows = sample_rows()
    found = open_engine(job(tmp_path / "adapter")).score(Rows(rows, None))["model"]["loss"]
    for ids, losses in zip(rows, found, strict=True):
        np.testing.assert_allclose(losses, plain(tmp_path / "merged", ids)[0], atol=2e-5, rtol=0)


def test_bf16_stays_near(tmp_path: Any) -> None:
    from tokensieve.engine.torch_engine import open_engine

    folder = checkpoint("Qwen3", tmp_path)
    rows = sample_rows()
    found = open_engine(job(folder, precision="bf16")).score(Rows(rows, None))["model"]["loss"]
    for ids, losses in zip(rows, found, strict=True):
        np.testing.assert_allclose(losses, plain(folder, ids)[0], atol=0.1, rtol=0)
