//! Names nobody knows: what was probably meant, from this language's own names and from those of its neighbours.

use crate::names::nearest;
use crate::problem::Problem;
use crate::schema::{EXPERIMENT, Section, Type};
use crate::syntax::Place;

/// Names of neighbours: theirs, ours, and who they are.
const NEIGHBOURS: &[(&str, &str, &str)] = &[
    ("num_layers", "model.layers", "GPT-NeoX and Megatron"),
    ("n_layers", "model.layers", "torchtitan"),
    ("n_layer", "model.layers", "nanoGPT"),
    ("num_hidden_layers", "model.layers", "Hugging Face"),
    ("hidden_size", "model.hidden", "GPT-NeoX and Hugging Face"),
    ("dim", "model.hidden", "torchtitan"),
    ("d_model", "model.hidden", "many papers"),
    ("n_embd", "model.hidden", "nanoGPT"),
    (
        "num_attention_heads",
        "model.heads",
        "GPT-NeoX and Hugging Face",
    ),
    ("n_heads", "model.heads", "torchtitan"),
    ("n_head", "model.heads", "nanoGPT"),
    ("kv_channels", "model.head_dim", "Megatron"),
    ("seq_length", "model.context", "GPT-NeoX and Megatron"),
    ("seq_len", "model.context", "torchtitan"),
    ("block_size", "model.context", "nanoGPT"),
    (
        "max_position_embeddings",
        "model.context",
        "GPT-NeoX and Hugging Face",
    ),
    ("vocab_size", "model.vocab", "Hugging Face"),
    ("padded_vocab_size", "model.vocab", "Megatron"),
    ("pos_emb", "model.positions", "GPT-NeoX"),
    ("position_embedding_type", "model.positions", "Megatron"),
    ("rotary_pct", "model.positions.fraction", "GPT-NeoX"),
    ("rotary_percent", "model.positions.fraction", "Megatron"),
    ("rotary_emb_base", "model.positions.base", "GPT-NeoX"),
    (
        "rope_theta",
        "model.positions.base",
        "Hugging Face and torchtitan",
    ),
    ("gpt_j_residual", "model.residual", "GPT-NeoX"),
    ("use_parallel_residual", "model.residual", "Hugging Face"),
    ("normalization", "model.norm", "Megatron"),
    (
        "layernorm_epsilon",
        "model.norm.eps",
        "GPT-NeoX and Megatron",
    ),
    ("layer_norm_eps", "model.norm.eps", "Hugging Face"),
    (
        "intermediate_size",
        "model.mlp.width",
        "GPT-NeoX and Hugging Face",
    ),
    ("ffn_hidden_size", "model.mlp.width", "Megatron"),
    ("no_weight_tying", "model.tied", "GPT-NeoX"),
    ("tie_word_embeddings", "model.tied", "Hugging Face"),
    ("init_method", "model.init", "GPT-NeoX"),
    ("output_layer_init_method", "model.init.output", "GPT-NeoX"),
    ("init_method_std", "model.init.std", "GPT-NeoX and Megatron"),
    ("train_iters", "train.steps", "GPT-NeoX and Megatron"),
    ("max_steps", "train.steps", "Hugging Face"),
    ("max_iters", "train.steps", "nanoGPT"),
    ("iterations", "train.steps", "many programs"),
    (
        "train_batch_size",
        "train.global_batch",
        "GPT-NeoX and DeepSpeed",
    ),
    (
        "global_batch_size",
        "train.global_batch",
        "Megatron and torchtitan",
    ),
    ("batch_size", "train.global_batch", "many programs"),
    ("learning_rate", "train.lr", "Hugging Face and nanoGPT"),
    ("max_lr", "train.lr.peak", "many programs"),
    ("min_lr", "train.lr.end", "GPT-NeoX and Megatron"),
    ("lr_decay_style", "train.lr", "GPT-NeoX and Megatron"),
    ("lr_decay_iters", "train.steps", "GPT-NeoX and Megatron"),
    (
        "warmup_steps",
        "train.lr.warmup",
        "Hugging Face and torchtitan",
    ),
    ("warmup_iters", "train.lr.warmup", "nanoGPT"),
    ("lr_warmup_iters", "train.lr.warmup", "Megatron"),
    ("gradient_clipping", "train.clip", "GPT-NeoX and DeepSpeed"),
    ("clip_grad", "train.clip", "Megatron"),
    ("max_grad_norm", "train.clip", "Hugging Face"),
    ("max_norm", "train.clip", "torchtitan"),
    ("grad_clip", "train.clip", "nanoGPT"),
    ("dtype", "train.precision", "many programs"),
    ("tensor_parallel", "plan.tp", "many programs"),
    ("tensor_parallel_degree", "plan.tp", "torchtitan"),
    ("tensor_model_parallel_size", "plan.tp", "Megatron"),
    ("model_parallel_size", "plan.tp", "GPT-NeoX"),
    ("pipeline_parallel", "plan.pp", "many programs"),
    ("pipeline_parallel_degree", "plan.pp", "torchtitan"),
    ("pipeline_model_parallel_size", "plan.pp", "Megatron"),
    ("pipe_parallel_size", "plan.pp", "GPT-NeoX"),
    ("data_parallel", "plan.dp", "many programs"),
    ("data_parallel_replicate_degree", "plan.dp", "torchtitan"),
    ("zero_optimization", "plan.zero", "GPT-NeoX and DeepSpeed"),
    ("zero_stage", "plan.zero", "DeepSpeed"),
    ("micro_batch_size", "plan.micro_batch", "Megatron"),
    (
        "train_micro_batch_size_per_gpu",
        "plan.micro_batch",
        "GPT-NeoX and DeepSpeed",
    ),
    ("local_batch_size", "plan.micro_batch", "torchtitan"),
    ("checkpoint_activations", "plan.recompute", "GPT-NeoX"),
    ("recompute_granularity", "plan.recompute", "Megatron"),
    ("activation_checkpoint", "plan.recompute", "torchtitan"),
    ("checkpoint_factor", "checkpoints.every", "GPT-NeoX"),
    ("save_interval", "checkpoints.every", "Megatron"),
    ("save_steps", "checkpoints.every", "Hugging Face"),
    ("keep_last_n_checkpoints", "checkpoints.keep", "GPT-NeoX"),
    ("save_total_limit", "checkpoints.keep", "Hugging Face"),
    ("data_path", "data.source", "GPT-NeoX and Megatron"),
    ("dataset", "data", "many programs"),
    ("tokenizer_type", "data.tokenizer", "GPT-NeoX and Megatron"),
    ("num_nodes", "cluster.nodes", "many programs"),
    ("num_gpus", "cluster.gpus", "GPT-NeoX"),
    ("nproc_per_node", "cluster.gpus_per_node", "torchrun"),
];

/// Names whose meaning needs arithmetic, so that no single field takes them.
const COMPUTED: &[(&str, &str)] = &[
    (
        "gas",
        "write the product instead: `train { global_batch = … sequences }` is micro_batch × dp × gas",
    ),
    (
        "gradient_accumulation_steps",
        "write the product instead: `train { global_batch = … sequences }` is micro_batch × dp × gradient_accumulation_steps",
    ),
];

/// The problem of a field that a section does not have. `path` is the section's dotted path, empty for the experiment.
pub fn unknown_field(section: &'static Section, path: &str, name: &str, place: Place) -> Problem {
    unknown_and_meant(section, path, name, place).0
}

/// The same, with the field of this section that was probably meant.
pub fn unknown_and_meant(
    section: &'static Section,
    path: &str,
    name: &str,
    place: Place,
) -> (Problem, Option<&'static str>) {
    if section.later.contains(&name) {
        let help = format!(
            "leave it out; the fields of `{}` are {}",
            section.name,
            list(section)
        );
        return (not_yet(&format!("`{name}`"), place).help(help), None);
    }
    let title = format!("`{}` has no field `{name}`", section.name);
    let problem = Problem::error("pleach::field::unknown", title, place, "no such field");
    match suggestion(section, path, name) {
        Some((help, meant)) => (problem.help(help), meant),
        None if section.fields.len() <= 8 => (
            problem.help(format!(
                "the fields of `{}` are {}",
                section.name,
                list(section)
            )),
            None,
        ),
        None => (problem, None),
    }
}

/// Something the language knows and this version does not build.
pub fn not_yet(what: &str, place: Place) -> Problem {
    Problem::error(
        "pleach::not_yet",
        format!("{what} is part of the language but not built yet"),
        place,
        "not built yet",
    )
}

/// The fields of a section, for a help.
fn list(section: &'static Section) -> String {
    section
        .fields
        .iter()
        .map(|field| format!("`{}`", field.name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What was probably meant by a field's name: a help, and the field where it is one of this section.
fn suggestion(
    section: &'static Section,
    path: &str,
    name: &str,
) -> Option<(String, Option<&'static str>)> {
    let own = || section.fields.iter().map(|field| field.name);
    let lower = name.to_lowercase().replace('-', "_");
    if let Some(found) = own().find(|own| own.to_lowercase() == lower) {
        return Some((format!("did you mean `{found}`?"), Some(found)));
    }
    if let Some((_, advice)) = COMPUTED.iter().find(|(theirs, _)| *theirs == lower) {
        return Some(((*advice).to_string(), None));
    }
    if let Some((_, ours, whose)) = NEIGHBOURS.iter().find(|(theirs, ..)| *theirs == lower) {
        let (owner, field) = ours.rsplit_once('.').unwrap_or(("", ours));
        let help = neighbour(path, name, (owner, field), whose);
        return Some((help, (owner == path).then_some(field)));
    }
    if let Some(found) = nearest(name, own()) {
        return Some((format!("did you mean `{found}`?"), Some(found)));
    }
    let owner = owner_of(&EXPERIMENT, "", name)?;
    Some((
        format!("it belongs to `{owner}`: `{}`", moved(&owner, name)),
        None,
    ))
}

/// The help for a neighbour's name: the field if it is in this section, else where it belongs.
fn neighbour(path: &str, name: &str, (owner, field): (&str, &str), whose: &str) -> String {
    if owner == path {
        return format!("did you mean `{field}`? (`{name}` is its name in {whose})");
    }
    if let Some(inner) = owner
        .strip_prefix(path)
        .map(|rest| rest.trim_start_matches('.'))
        .filter(|rest| !rest.is_empty() && !path.is_empty())
    {
        return format!("did you mean `{field}` of `{inner}`? (`{name}` is its name in {whose})");
    }
    let place = if owner.is_empty() {
        "the experiment"
    } else {
        owner
    };
    format!(
        "it belongs to `{place}` and is called `{field}` (`{name}` in {whose}): `{}`",
        moved(owner, field)
    )
}

/// How a field is set from the experiment's block.
fn moved(owner: &str, field: &str) -> String {
    match owner.split_once('.') {
        Some((first, rest)) => format!("{first} {{ {rest}.{field} = … }}"),
        None if owner.is_empty() => format!("{field} = …"),
        None => format!("{owner} {{ {field} = … }}"),
    }
}

/// The section of the experiment that has a field of this name.
fn owner_of(section: &'static Section, path: &str, name: &str) -> Option<String> {
    section.fields.iter().find_map(|field| {
        let (Type::Section(inner) | Type::Declared(_, inner)) = field.holds else {
            return None;
        };
        let path = if path.is_empty() {
            field.name.to_string()
        } else {
            format!("{path}.{}", field.name)
        };
        if inner.field(name).is_some() && name != "about" {
            Some(path)
        } else {
            owner_of(inner, &path, name)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TRANSFORMER;

    #[test]
    fn every_neighbour_names_a_field_that_exists() {
        for (theirs, ours, _) in NEIGHBOURS {
            let mut sections: Vec<&'static Section> = vec![&EXPERIMENT];
            for part in ours.split('.') {
                let fields: Vec<_> = sections
                    .iter()
                    .filter_map(|section| section.field(part))
                    .collect();
                assert!(!fields.is_empty(), "{theirs} → {ours}: no `{part}`");
                let inner = fields.iter().flat_map(|field| match field.holds {
                    Type::Section(inner) | Type::Declared(_, inner) => vec![inner],
                    Type::Variant(kinds) => kinds.to_vec(),
                    _ => Vec::new(),
                });
                sections = inner.collect();
            }
        }
    }

    #[test]
    fn neighbours_come_before_edit_distance() {
        let place = Place {
            file: 0,
            start: 0,
            end: 1,
        };
        let help = |path, name| unknown_field(&TRANSFORMER, path, name, place).help.unwrap();
        assert_eq!(
            help("model", "hidden_size"),
            "did you mean `hidden`? (`hidden_size` is its name in GPT-NeoX and Hugging Face)"
        );
        assert_eq!(help("model", "Layers"), "did you mean `layers`?");
        assert_eq!(
            help("model", "tp"),
            "it belongs to `plan`: `plan { tp = … }`"
        );
    }
}
