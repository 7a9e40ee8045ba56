//! A Hugging Face `config.json` in, the model as text of the language out.
//!
//! Defaults are those of transformers' own configuration classes. What a spec cannot say is refused; keys that nobody reads
//! are handed back, so that nothing which might change the shape is left out in silence.

mod keys;

use std::fmt::Write as _;

use serde_json::{Map, Value};

use keys::{Keys, Wrong};

/// A model as text.
#[derive(Debug)]
pub struct Written {
    /// A name for the experiment: `llama`.
    pub name: String,
    /// `transformer { … }` without its length of sequences.
    pub fields: String,
    /// The most positions it was made for.
    pub positions: u64,
    /// Whether positions are a table, which has a row for each of them.
    pub is_table: bool,
    /// What the configuration says and the text cannot, so that it is another model of the same shape.
    pub unsaid: Vec<String>,
    /// Keys that nobody read.
    pub unread: Vec<String>,
    /// Keys that change nothing that a spec says.
    pub ignored: Vec<String>,
    /// Keys that are not there, for which the architecture's default counts.
    pub defaulted: Vec<String>,
}

/// The architectures that are read, by `model_type`.
pub const KNOWN: [&str; 9] = [
    "bloom", "falcon", "gpt2", "gpt_neox", "llama", "mistral", "mixtral", "opt", "qwen2",
];

/// The fields of `transformer`, one a line.
#[derive(Default)]
struct Fields {
    text: String,
    unsaid: Vec<String>,
}

impl Fields {
    fn set(&mut self, field: &str, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "    {field} = {value}");
    }
}

/// Reads a configuration.
///
/// # Errors
/// What it says that no spec can say, or what is missing, in a sentence.
pub fn read(config: &Value) -> Result<Written, Wrong> {
    let object = config.as_object();
    let values = object.ok_or_else(|| Wrong("it is no JSON object".to_owned()))?;
    let keys = Keys::of(values);
    let kind = architecture(&keys)?;
    let mut fields = Fields::default();
    fields.set(
        "layers",
        keys.needed(&["num_hidden_layers", "n_layer", "num_layers"])?,
    );
    fields.set("hidden", hidden(&keys)?);
    fields.set("heads", keys.needed(&["num_attention_heads", "n_head"])?);
    fields.set("vocab", keys.needed(&["vocab_size"])?);
    let mut positions = keys.count(&["max_position_embeddings", "n_positions", "seq_length"])?;
    keys.has("n_ctx");
    match kind {
        "gpt_neox" => gpt_neox(&keys, &mut fields)?,
        "gpt2" => gpt2(&keys, &mut fields, positions.get_or_insert(1024))?,
        "falcon" => falcon(&keys, &mut fields)?,
        "bloom" => bloom(&keys, &mut fields)?,
        "opt" => opt(&keys, &mut fields, positions.get_or_insert(2048))?,
        _ => llama(&keys, &mut fields, kind)?,
    }
    Ok(Written {
        name: kind.to_owned(),
        fields: fields.text,
        positions: positions.unwrap_or(2048),
        is_table: matches!(kind, "gpt2" | "opt"),
        unsaid: fields.unsaid,
        unread: keys.unread(),
        ignored: keys.ignored(),
        defaulted: keys.defaulted(),
    })
}

fn hidden(keys: &Keys<'_>) -> Result<u64, Wrong> {
    keys.needed(&["hidden_size", "n_embd", "n_embed"])
}

/// The `model_type`; where it is missing, as the first of `architectures` begins.
fn architecture<'v>(keys: &Keys<'v>) -> Result<&'v str, Wrong> {
    let said = keys.word("model_type", "")?;
    let said = match said {
        "RefinedWeb" | "RefinedWebModel" => "falcon",
        other => other,
    };
    if KNOWN.contains(&said) {
        return Ok(said);
    }
    let known = KNOWN.join(", ");
    Err(Wrong(if said.is_empty() {
        format!("it says no `model_type`; known are {known}")
    } else {
        format!("its architecture `{said}` is not known; known are {known}")
    }))
}

fn layernorm(keys: &Keys<'_>, fields: &mut Fields, key: &'static str) -> Result<(), Wrong> {
    let eps = keys.number(key, 1e-5)?;
    fields.set("norm", format_args!("layernorm {{ eps = {eps:e} }}"));
    Ok(())
}

/// `gelu`, `relu` or a gated half, by the name that transformers has for what is between the matrices.
fn plain_mlp(fields: &mut Fields, activation: &str, width: u64) -> Result<(), Wrong> {
    let mlp = match activation {
        "gelu" => format!("gelu {{ width = {width} }}"),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => {
            format!("gelu {{ width = {width}, form = tanh }}")
        }
        "relu" => format!("relu {{ width = {width} }}"),
        other => {
            return Err(Wrong(format!(
                "the activation `{other}` cannot be said in a spec"
            )));
        }
    };
    fields.set("mlp", mlp);
    Ok(())
}

fn percent(share: f64) -> String {
    format!("{}%", (share * 1e6).round() / 1e4)
}

fn gpt_neox(keys: &Keys<'_>, fields: &mut Fields) -> Result<(), Wrong> {
    let rope = rope(keys, fields, 10_000.0)?;
    let fraction = match rope.part {
        Some(part) => part,
        None => keys.number("rotary_pct", 0.25)?,
    };
    let (fraction, base) = (percent(fraction), rope.base);
    fields.set(
        "positions",
        format_args!(
            "rotary {{ fraction = {fraction}, base = {base}{} }}",
            rope.scale
        ),
    );
    if keys.truth("use_parallel_residual", true)? {
        fields.set("residual", "parallel { norms = separate }");
    }
    layernorm(keys, fields, "layer_norm_eps")?;
    let width = keys
        .count(&["intermediate_size"])?
        .unwrap_or(4 * hidden(keys)?);
    plain_mlp(fields, keys.word("hidden_act", "gelu")?, width)?;
    keys.must_be("attention_bias", true)?;
    fields.set("tied", keys.truth("tie_word_embeddings", false)?);
    Ok(())
}

fn gpt2(keys: &Keys<'_>, fields: &mut Fields, positions: &mut u64) -> Result<(), Wrong> {
    fields.set(
        "positions",
        format_args!("learned {{ rows = {positions} tokens }}"),
    );
    layernorm(keys, fields, "layer_norm_epsilon")?;
    let width = keys.count(&["n_inner"])?.unwrap_or(4 * hidden(keys)?);
    plain_mlp(fields, keys.word("activation_function", "gelu_new")?, width)?;
    keys.must_be("scale_attn_by_inverse_layer_idx", false)?;
    keys.must_be("add_cross_attention", false)?;
    keys.must_be("scale_attn_weights", true)?;
    keys.truth("reorder_and_upcast_attn", false)?;
    fields.set("tied", keys.truth("tie_word_embeddings", true)?);
    Ok(())
}

fn bloom(keys: &Keys<'_>, fields: &mut Fields) -> Result<(), Wrong> {
    fields.set("positions", "alibi");
    fields.text.push_str("    embedding { norm = layernorm }\n");
    layernorm(keys, fields, "layer_norm_epsilon")?;
    keys.must_be("apply_residual_connection_post_layernorm", false)?;
    plain_mlp(fields, "gelu_new", 4 * hidden(keys)?)?;
    fields.set("tied", keys.truth("tie_word_embeddings", true)?);
    Ok(())
}

fn opt(keys: &Keys<'_>, fields: &mut Fields, positions: &mut u64) -> Result<(), Wrong> {
    let rows = *positions + 2;
    fields.set(
        "positions",
        format_args!("learned {{ rows = {rows} tokens }}"),
    );
    keys.must_be("do_layer_norm_before", true)?;
    keys.must_be("_remove_final_layer_norm", false)?;
    fields.set("biases", keys.truth("enable_bias", true)?);
    keys.must_be("layer_norm_elementwise_affine", true)?;
    let hidden = hidden(keys)?;
    let embedded = keys.count(&["word_embed_proj_dim"])?.unwrap_or(hidden);
    if embedded != hidden {
        let text = format!(
            "`word_embed_proj_dim` is {embedded} and `hidden_size` {hidden}, which a spec cannot say"
        );
        return Err(Wrong(text));
    }
    plain_mlp(
        fields,
        keys.word("activation_function", "relu")?,
        keys.needed(&["ffn_dim"])?,
    )?;
    fields.set("tied", keys.truth("tie_word_embeddings", true)?);
    Ok(())
}

fn falcon(keys: &Keys<'_>, fields: &mut Fields) -> Result<(), Wrong> {
    let heads = keys.needed(&["num_attention_heads", "n_head"])?;
    let is_new = keys.truth("new_decoder_architecture", false)?;
    let shared = keys.count(&["num_kv_heads", "n_head_kv"])?;
    let kv_heads = match (is_new, keys.truth("multi_query", true)?) {
        (true, _) => shared.unwrap_or(heads),
        (false, true) => 1,
        (false, false) => heads,
    };
    fields.set("kv_heads", kv_heads);
    if keys.truth("alibi", false)? {
        fields.set("positions", "alibi");
        let what = "Falcon's slopes of `alibi` are divided by the root of a head's width";
        fields.unsaid.push(what.to_owned());
        keys.group("rope_parameters");
    } else {
        let Rope { base, scale, .. } = rope(keys, fields, 10_000.0)?;
        fields.set(
            "positions",
            format_args!("rotary {{ base = {base}{scale} }}"),
        );
    }
    let norms = keys
        .count(&["num_ln_in_parallel_attn"])?
        .unwrap_or(if is_new { 2 } else { 1 });
    let is_parallel = keys.truth("parallel_attn", true)?;
    if is_new || is_parallel {
        let norms = if is_new && norms == 2 {
            "separate"
        } else {
            "shared"
        };
        fields.set("residual", format_args!("parallel {{ norms = {norms} }}"));
    }
    layernorm(keys, fields, "layer_norm_epsilon")?;
    fields.set("biases", keys.truth("bias", false)?);
    let width = keys
        .count(&["ffn_hidden_size"])?
        .unwrap_or(4 * hidden(keys)?);
    plain_mlp(fields, keys.word("activation", "gelu")?, width)?;
    fields.set("tied", keys.truth("tie_word_embeddings", true)?);
    Ok(())
}

/// LLaMA and its relatives: Mistral, Qwen2, Mixtral.
fn llama(keys: &Keys<'_>, fields: &mut Fields, kind: &str) -> Result<(), Wrong> {
    if let Some(kv_heads) = keys.count(&["num_key_value_heads"])? {
        fields.set("kv_heads", kv_heads);
    }
    if let Some(head_dim) = keys.count(&["head_dim"])? {
        fields.set("head_dim", head_dim);
    }
    let usual = if kind == "mixtral" { 1e6 } else { 1e4 };
    let Rope { base, scale, .. } = rope(keys, fields, usual)?;
    fields.set(
        "positions",
        format_args!("rotary {{ base = {base}{scale} }}"),
    );
    window(keys, fields, kind)?;
    let eps = keys.number("rms_norm_eps", if kind == "mixtral" { 1e-5 } else { 1e-6 })?;
    fields.set("norm", format_args!("rmsnorm {{ eps = {eps:e} }}"));
    let gated = match keys.word("hidden_act", "silu")? {
        "silu" | "swish" => "swiglu",
        "gelu" => "geglu",
        other => {
            return Err(Wrong(format!(
                "the activation `{other}` cannot be said in a spec"
            )));
        }
    };
    let bias = if keys.truth("mlp_bias", false)? {
        ", bias = true"
    } else {
        ""
    };
    let width = keys.needed(&["intermediate_size"])?;
    let half = format!("{gated} {{ width = {width}{bias} }}");
    if kind == "mixtral" {
        let experts = keys.needed(&["num_local_experts"])?;
        let active = keys.count(&["num_experts_per_tok"])?.unwrap_or(2);
        let balance = keys.number("router_aux_loss_coef", 0.001)?;
        let moe = format!(
            "moe {{ experts = {experts}, active = {active}, expert = {half}, balance_loss = {balance:e} }}"
        );
        fields.set("mlp", moe);
    } else {
        fields.set("mlp", half);
    }
    let biased = keys.truth("attention_bias", false)?;
    let attention = match (kind, biased) {
        ("qwen2", _) => Some("attention { bias = true, output_bias = false }"),
        (_, true) => Some("attention { bias = true }"),
        (_, false) => None,
    };
    if let Some(attention) = attention {
        fields.set("stack", format_args!("layers * [layer({attention}, mlp)]"));
    }
    fields.set("tied", keys.truth("tie_word_embeddings", false)?);
    Ok(())
}

/// The window of attention, where the architecture uses one. In Qwen2 only layers from a certain one on have it.
fn window(keys: &Keys<'_>, fields: &mut Fields, kind: &str) -> Result<(), Wrong> {
    if kind == "llama" {
        return Ok(());
    }
    let usual = (kind == "mistral" && !keys.has("sliding_window")).then_some(4096);
    let window = keys.count(&["sliding_window"])?.or(usual);
    let first = match kind {
        "qwen2" => keys.any_count("max_window_layers", 28)?,
        _ => 0,
    };
    let layers = keys.needed(&["num_hidden_layers", "n_layer", "num_layers"])?;
    keys.has("layer_types");
    let is_used = match kind {
        "mistral" | "mixtral" => true,
        "qwen2" => keys.truth("use_sliding_window", false)? && first < layers,
        _ => false,
    };
    let Some(window) = window.filter(|_| is_used) else {
        return Ok(());
    };
    fields.set("window", format_args!("{window} tokens"));
    if kind == "qwen2" && first > 0 {
        let what = format!("the first {first} of {layers} layers see all positions");
        fields.unsaid.push(what);
    }
    Ok(())
}

/// What a configuration says of rotation.
struct Rope {
    base: f64,
    /// `, scale = 2`, or nothing.
    scale: String,
    /// The rotated part of a head.
    part: Option<f64>,
}

/// Rotation as one group of keys, as newer configurations have it, or as keys of their own. The linear kind of scaling is a field; another changes
/// neither memory nor time, but the model.
fn rope(keys: &Keys<'_>, fields: &mut Fields, usual: f64) -> Result<Rope, Wrong> {
    let (new, old) = (keys.group("rope_parameters"), keys.group("rope_scaling"));
    let number = |key: &str| {
        let found = [new, old].into_iter().flatten();
        found.filter_map(|group| group.get(key)?.as_f64()).next()
    };
    let base = match number("rope_theta") {
        Some(base) => base,
        None => keys.number("rotary_emb_base", keys.number("rope_theta", usual)?)?,
    };
    let word = |group: &Map<String, Value>| {
        let found = ["rope_type", "type"].iter();
        found
            .filter_map(|key| group.get(*key)?.as_str())
            .map(str::to_owned)
            .next()
    };
    let kind = new.and_then(word).or_else(|| old.and_then(word));
    let usual = if number("factor").is_some() {
        "linear"
    } else {
        "default"
    };
    for key in ["rope_theta", "rotary_emb_base", "rotary_pct"] {
        keys.has(key);
    }
    let scale = match (kind.as_deref().unwrap_or(usual), number("factor")) {
        ("linear", Some(factor)) if factor > 0.0 => format!(", scale = {factor}"),
        ("default", _) => String::new(),
        (other, _) => {
            let what =
                format!("positions are scaled by `{other}`, which changes neither memory nor time");
            fields.unsaid.push(what);
            String::new()
        }
    };
    Ok(Rope {
        base,
        scale,
        part: number("partial_rotary_factor"),
    })
}
