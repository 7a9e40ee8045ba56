//! The families of `transformers` that a decoder can be: what each has, its `config.json`, its tensors.
//!
//! In comes a [`Decoder`]; out comes the first family that has all of it, or the nearest one with what it lacks. One small file holds one family, or
//! relatives that differ in a field or two.

mod bloom;
mod falcon;
mod gpt2;
mod gpt_neox;
mod llama;
mod needs;
mod opt;

use pleach_plan::Activation;
use serde_json::{Value, json};

use super::tensors::Theirs;
use super::{Decoder, ExportError};
use needs::Needs;

/// A family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// GPT-NeoX and Pythia.
    GptNeox,
    /// GPT-2.
    Gpt2,
    /// OPT.
    Opt,
    /// BLOOM.
    Bloom,
    /// LLaMA.
    Llama,
    /// Mistral.
    Mistral,
    /// Qwen2.
    Qwen2,
    /// Falcon.
    Falcon,
}

impl Family {
    /// All, the one that is rather meant first.
    pub const ALL: [Family; 8] = [
        Family::GptNeox,
        Family::Gpt2,
        Family::Opt,
        Family::Bloom,
        Family::Llama,
        Family::Mistral,
        Family::Qwen2,
        Family::Falcon,
    ];

    /// The family of a model. GPT-2 can have a ReLU too, but what has one is called OPT.
    ///
    /// # Errors
    /// No family has all of the model; the nearest is named with what it lacks.
    pub fn of(model: &Decoder) -> Result<Family, ExportError> {
        let mut all = Family::ALL;
        if model.activation == Activation::Relu {
            all.swap(1, 2);
        }
        let lacking = all.map(|family| (family, family.lacks(model)));
        let nearest = lacking.iter().min_by_key(|(_, lacks)| lacks.len());
        match nearest {
            Some((family, lacks)) if lacks.is_empty() => Ok(*family),
            Some((family, lacks)) => Err(ExportError::Inexpressible {
                what: format!(
                    "the nearest is {}, but {}",
                    family.name(),
                    lacks.join(", and ")
                ),
            }),
            None => unreachable!("there are families"),
        }
    }

    /// The family that a `config.json` calls so.
    pub fn called(model_type: &str) -> Option<Family> {
        let called = |family: &Family| family.model_type() == model_type;
        Family::ALL.into_iter().find(called)
    }

    /// `model_type` in its `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Family::GptNeox => "gpt_neox",
            Family::Gpt2 => "gpt2",
            Family::Opt => "opt",
            Family::Bloom => "bloom",
            Family::Llama => "llama",
            Family::Mistral => "mistral",
            Family::Qwen2 => "qwen2",
            Family::Falcon => "falcon",
        }
    }

    /// How it is called.
    pub fn name(self) -> &'static str {
        match self {
            Family::GptNeox => "GPT-NeoX",
            Family::Gpt2 => "GPT-2",
            Family::Opt => "OPT",
            Family::Bloom => "BLOOM",
            Family::Llama => "LLaMA",
            Family::Mistral => "Mistral",
            Family::Qwen2 => "Qwen2",
            Family::Falcon => "Falcon",
        }
    }

    /// Its class with a head.
    fn architecture(self) -> &'static str {
        match self {
            Family::GptNeox => "GPTNeoXForCausalLM",
            Family::Gpt2 => "GPT2LMHeadModel",
            Family::Opt => "OPTForCausalLM",
            Family::Bloom => "BloomForCausalLM",
            Family::Llama => "LlamaForCausalLM",
            Family::Mistral => "MistralForCausalLM",
            Family::Qwen2 => "Qwen2ForCausalLM",
            Family::Falcon => "FalconForCausalLM",
        }
    }

    /// What of a model this family does not have, in clauses; nothing where it has all.
    pub fn lacks(self, model: &Decoder) -> Vec<String> {
        let mut needs = Needs::of(model);
        match self {
            Family::GptNeox => gpt_neox::lacks(&mut needs),
            Family::Gpt2 => gpt2::lacks(&mut needs),
            Family::Opt => opt::lacks(&mut needs),
            Family::Bloom => bloom::lacks(&mut needs),
            Family::Llama | Family::Mistral | Family::Qwen2 => llama::lacks(self, &mut needs),
            Family::Falcon => falcon::lacks(&mut needs),
        }
        needs.lacking
    }

    /// The model's `config.json`, but for the type of its weights.
    pub fn config(self, model: &Decoder) -> Value {
        let mut config = match self {
            Family::GptNeox => gpt_neox::config(model),
            Family::Gpt2 => gpt2::config(model),
            Family::Opt => opt::config(model),
            Family::Bloom => bloom::config(model),
            Family::Llama | Family::Mistral | Family::Qwen2 => llama::config(self, model),
            Family::Falcon => falcon::config(model),
        };
        config["architectures"] = json!([self.architecture()]);
        config["model_type"] = json!(self.model_type());
        config["vocab_size"] = json!(model.vocab);
        config["tie_word_embeddings"] = json!(model.tied);
        config["use_cache"] = json!(true);
        let end = end_of_text(model);
        config["bos_token_id"] = end.clone();
        config["eos_token_id"] = end;
        config["pad_token_id"] = Value::Null;
        config
    }

    /// All tensors of the model.
    pub fn tensors(self, model: &Decoder) -> Vec<Theirs> {
        match self {
            Family::GptNeox => gpt_neox::tensors(model),
            Family::Gpt2 => gpt2::tensors(model),
            Family::Opt => opt::tensors(model),
            Family::Bloom => bloom::tensors(model),
            Family::Llama | Family::Mistral | Family::Qwen2 => llama::tensors(model),
            Family::Falcon => falcon::tensors(model),
        }
    }
}

/// The token that ends a text, where it is known: the first of bytes.
pub(super) fn end_of_text(model: &Decoder) -> Value {
    match model.vocab {
        256 => json!(0),
        _ => Value::Null,
    }
}

/// The name that `transformers` has for what stands between two matrices, or in the gate.
fn activation(kind: Activation) -> &'static str {
    match kind {
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_new",
        Activation::Relu => "relu",
        Activation::Silu => "silu",
    }
}

/// Rotated positions, under the keys of today and, where they suffice, of yesterday.
fn rope(config: &mut Value, base: f64, scale: f64, part: Option<f64>) {
    let mut rope = match scale {
        1.0 => json!({"rope_type": "default", "rope_theta": base}),
        scale => json!({"rope_type": "linear", "rope_theta": base, "factor": scale}),
    };
    if let Some(part) = part {
        rope["partial_rotary_factor"] = json!(part);
    }
    config["rope_theta"] = json!(base);
    if scale != 1.0 {
        config["rope_scaling"] = rope.clone();
    }
    config["rope_parameters"] = rope;
}

/// The head's matrix, where it is not the embedding.
fn head(model: &Decoder, theirs: &str) -> Option<Theirs> {
    let dims = [model.vocab, model.hidden];
    (!model.tied).then(|| Theirs::same(theirs, "head.weight", &dims))
}
