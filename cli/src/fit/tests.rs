//! Configurations as they are published, held against the counts of the presets.

use std::collections::BTreeMap;

use pleach_planner::graph::weights;
use serde_json::json;

use super::*;
use crate::hugging_face::KNOWN;

const MACHINES: &str = "2 x 8 h100_80g";

fn machines() -> Machines {
    Machines::parse(MACHINES).unwrap()
}

fn asked(config: &Value) -> Outcome<Question> {
    of_config(
        Path::new("config.json"),
        &config.to_string(),
        &machines(),
        Sizes::default(),
    )
}

/// Parameters of the model that a configuration becomes.
fn parameters(config: &Value) -> u64 {
    let question = asked(config).unwrap_or_else(|failure| panic!("{}", failure.title()));
    assert_eq!(question.unread, Vec::<String>::new());
    let files = BTreeMap::from([("one.pleach".to_owned(), question.text.clone())]);
    let loaded = pleach_dsl::load("one.pleach", &files, &[], None);
    let told = loaded.problems.render(false);
    let experiment = loaded
        .experiment
        .unwrap_or_else(|| panic!("{told}\n{}", question.text));
    weights::parameters(&experiment.model)
}

#[test]
fn published_configurations_have_their_published_parameters() {
    let llama = json!({"architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "hidden_act": "silu", "hidden_size": 4096,
        "intermediate_size": 11008, "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "pretraining_tp": 1, "rms_norm_eps": 1e-06, "rope_scaling": null,
        "tie_word_embeddings": false, "torch_dtype": "float16", "use_cache": true, "vocab_size": 32000});
    let neox = json!({"model_type": "gpt_neox", "hidden_act": "gelu_fast", "hidden_size": 6144, "intermediate_size": 24576,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "num_attention_heads": 64, "num_hidden_layers": 44,
        "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": false, "vocab_size": 50432});
    let gpt2 = json!({"model_type": "gpt2", "activation_function": "gelu_new", "n_ctx": 1024, "n_embd": 768, "n_head": 12,
        "n_layer": 12, "n_positions": 1024, "vocab_size": 50257, "summary_type": "cls_index", "layer_norm_epsilon": 1e-05});
    let mistral = json!({"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_key_value_heads": 8, "num_hidden_layers": 32, "max_position_embeddings": 32768, "sliding_window": 4096,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "vocab_size": 32000, "hidden_act": "silu"});
    let qwen2 = json!({"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28,
        "num_key_value_heads": 4, "num_hidden_layers": 28, "max_position_embeddings": 131072, "max_window_layers": 28,
        "sliding_window": 131072, "use_sliding_window": false, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "vocab_size": 152064, "tie_word_embeddings": false, "hidden_act": "silu"});
    let falcon = json!({"model_type": "falcon", "alibi": false, "bias": false, "hidden_size": 8192, "layer_norm_epsilon": 1e-05,
        "new_decoder_architecture": true, "num_attention_heads": 128, "num_kv_heads": 8, "num_hidden_layers": 60,
        "parallel_attn": true, "vocab_size": 65024, "tie_word_embeddings": false});
    let bloom = json!({"model_type": "bloom", "n_embed": 14336, "n_layer": 70, "num_attention_heads": 112, "vocab_size": 250880,
        "layer_norm_epsilon": 1e-05, "seq_length": 2048, "apply_residual_connection_post_layernorm": false});
    let opt = json!({"model_type": "opt", "hidden_size": 4096, "ffn_dim": 16384, "num_attention_heads": 32,
        "num_hidden_layers": 32, "max_position_embeddings": 2048, "vocab_size": 50272, "word_embed_proj_dim": 4096,
        "do_layer_norm_before": true, "activation_function": "relu"});
    let mixtral = json!({"model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_key_value_heads": 8, "num_hidden_layers": 32, "max_position_embeddings": 32768, "num_local_experts": 8,
        "num_experts_per_tok": 2, "router_aux_loss_coef": 0.02, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
        "sliding_window": null, "vocab_size": 32000, "hidden_act": "silu"});
    // The presets' published counts; those of GPT-2, Mistral 7B and Qwen2 7B are of their model cards.
    let counts = [
        (llama, 6_738_415_616),
        (neox, 20_554_567_680),
        (gpt2, 124_439_808),
        (mistral, 7_241_732_096),
        (qwen2, 7_615_616_512),
        (falcon, 41_835_970_560),
        (bloom, 176_247_271_424),
        (opt, 6_658_473_984),
        (mixtral, 46_702_792_704),
    ];
    for (config, count) in counts {
        assert_eq!(parameters(&config), count, "{config}");
    }
}

#[test]
fn what_is_not_understood_is_never_left_out_in_silence() {
    let llama = json!({"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
        "num_hidden_layers": 2, "vocab_size": 256, "max_position_embeddings": 128});
    let with = |key: &str, value: Value| {
        let mut config = llama.clone();
        config[key] = value;
        asked(&config)
    };
    assert_eq!(
        with("num_mtp_modules", json!(2)).unwrap().unread,
        ["num_mtp_modules"]
    );
    let told = |key: &str, value: Value| with(key, value).unwrap_err().title();
    assert!(told("hidden_act", json!("xielu")).contains("`xielu`"));
    assert!(told("num_hidden_layers", json!(0)).contains("not a whole number"));
    let unknown = told("model_type", json!("mpt"));
    assert!(KNOWN.iter().all(|kind| unknown.contains(kind)) && unknown.contains("`mpt`"));
    assert!(told("hidden_size", Value::Null).contains("missing"));
    let yarn = with("rope_scaling", json!({"type": "yarn", "factor": 4.0})).unwrap();
    assert!(yarn.assumptions.iter().any(|note| note.contains("yarn")));
}

#[test]
fn machines_are_named_in_three_ways() {
    let of = |text: &str| Machines::parse(text).map(|one| (one.nodes, one.gpus_per_node, one.name));
    let expected = |nodes, gpus| Ok((nodes, gpus, "h100_80g".to_owned()));
    assert_eq!(of("2 x 8 h100_80g"), expected(2, 8));
    assert_eq!(of("2x8 h100_80g"), expected(2, 8));
    assert_eq!(of("4 h100_80g"), expected(1, 4));
    assert_eq!(of("h100_80g"), expected(1, 8));
    for wrong in [
        "",
        "2 x 8",
        "0 x 8 h100_80g",
        "2 x 8 x 3 h100_80g",
        "many h100_80g",
    ] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
    let table = of("2 file:ours.toml").unwrap_err();
    assert!(table.contains("`pleach fit SPEC`"), "{table}");
}
