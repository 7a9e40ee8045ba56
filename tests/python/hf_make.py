"""Writes small models with random weights as transformers does: `hf_make.py FOLDER`, one folder below it for each.

Every parameter is drawn, biases and norms too, in 64 bits, so that no two of them could be mistaken for each other.
"""

import sys
from pathlib import Path

import torch
import transformers as hf

SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 256, "pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0}
GATED = {**SIZES, "intermediate_size": 96, "max_position_embeddings": 32}
OLD = {"n_layer": 2, "n_head": 4, "vocab_size": 256, "bos_token_id": 0, "eos_token_id": 0}
NONE = {"attention_dropout": 0.0, "hidden_dropout": 0.0}

MODELS = {
    "gpt_neox": hf.GPTNeoXConfig(**GATED, **NONE, rope_parameters={"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.25}),
    "gpt_neox_sequential": hf.GPTNeoXConfig(**GATED, **NONE, use_parallel_residual=False, tie_word_embeddings=True, hidden_act="relu"),
    "gpt2": hf.GPT2Config(**OLD, n_embd=64, n_positions=32, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, layer_norm_epsilon=3e-5),
    "opt": hf.OPTConfig(**SIZES, ffn_dim=96, max_position_embeddings=32, word_embed_proj_dim=64, dropout=0.0),
    "bloom": hf.BloomConfig(**OLD, **NONE, hidden_size=64, seq_length=32),
    "llama": hf.LlamaConfig(**GATED, num_key_value_heads=2, rope_parameters={"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.0}),
    "mistral": hf.MistralConfig(**GATED, num_key_value_heads=2, head_dim=24, sliding_window=7),
    "qwen2": hf.Qwen2Config(**GATED, num_key_value_heads=2, tie_word_embeddings=True),
    "falcon_7b": hf.FalconConfig(**SIZES, **NONE, max_position_embeddings=32),
    "falcon_40b": hf.FalconConfig(**SIZES, **NONE, max_position_embeddings=32, new_decoder_architecture=True, num_kv_heads=2, tie_word_embeddings=False),
    "falcon_rw": hf.FalconConfig(**SIZES, **NONE, max_position_embeddings=32, multi_query=False, parallel_attn=False, bias=True, ffn_hidden_size=96),
}


def main():
    folder = Path(sys.argv[1])
    for seed, (name, config) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        model = hf.AutoModelForCausalLM.from_config(config).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0.0, 0.1)
            for module in model.modules():
                if "norm" in type(module).__name__.lower():
                    module.weight += 1.0
        model.save_pretrained(folder / name, max_shard_size="100KB" if seed % 2 else "5GB")


main()
