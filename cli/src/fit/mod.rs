//! "Does it fit?" without a spec: a configuration and machines in, the text of a spec out, with all that was assumed.
//!
//! The text takes the way of every spec, so `fit` sees what `plan` sees; `--emit spec` prints it to go on from.

use std::path::Path;

use pleach_dsl::SHIPPED;
use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::hugging_face;
use crate::machine::OWN_TABLE;

/// The longest sequence that is assumed where nothing is said.
const CONTEXT: u64 = 4096;

/// Tokens of a batch that are assumed, before it is dealt evenly to all GPUs.
const BATCH: u64 = 1 << 20;

/// Machines: `2 x 8 h100_80g`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machines {
    /// Nodes.
    pub nodes: u64,
    /// GPUs of each.
    pub gpus_per_node: u64,
    /// The cluster's preset.
    pub name: String,
}

impl Machines {
    /// Reads `NODES x GPUS NAME`, `GPUS NAME` or `NAME`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` names no machines; write for example \"2 x 8 h100_80g\"");
        let words: Vec<&str> = text.split_whitespace().collect();
        let (name, sizes) = words.split_last().ok_or_else(wrong)?;
        if name.starts_with(OWN_TABLE) {
            return Err(format!(
                "`{name}` is a table, not machines; a spec names it, `cluster.device = \"{name}\"`, and `pleach fit SPEC` asks about that"
            ));
        }
        let sizes = sizes.join(" ").replace(['×', 'x', 'X'], " ");
        let sizes: Result<Vec<u64>, _> = sizes.split_whitespace().map(str::parse).collect();
        let (nodes, gpus_per_node) = match sizes.map_err(|_| wrong())?[..] {
            [] => (1, 8),
            [gpus] => (1, gpus),
            [nodes, gpus] => (nodes, gpus),
            _ => return Err(wrong()),
        };
        if nodes == 0 || gpus_per_node == 0 || !name.starts_with(char::is_alphabetic) {
            return Err(wrong());
        }
        Ok(Self {
            nodes,
            gpus_per_node,
            name: (*name).to_owned(),
        })
    }

    /// All GPUs.
    pub fn gpus(&self) -> u64 {
        self.nodes.saturating_mul(self.gpus_per_node)
    }
}

/// What was asked beside the model and the machines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// Tokens of a sequence.
    pub context: Option<u64>,
    /// Sequences of a step.
    pub batch: Option<u64>,
}

/// The text of a spec, and what it assumes.
#[derive(Debug)]
pub struct Question {
    /// The experiment's name.
    pub name: String,
    /// The text.
    pub text: String,
    /// What nobody said.
    pub assumptions: Vec<String>,
    /// Keys of a configuration that nobody read.
    pub unread: Vec<String>,
}

/// The question about a Hugging Face configuration.
pub fn of_config(path: &Path, text: &str, machines: &Machines, sizes: Sizes) -> Outcome<Question> {
    let shown = path.display();
    let config: Value = serde_json::from_str(text).map_err(|error| {
        Failure::wish(
            "pleach::fit::config",
            format!("`{shown}` is not JSON: {error}"),
        )
    })?;
    let written = hugging_face::read(&config).map_err(|wrong| {
        let told = format!("`{shown}` cannot be read as a model: {}", wrong.0);
        Failure::wish("pleach::fit::config", told).help(
            "it takes the config.json of a decoder-only model of transformers; `pleach fit` also takes a spec or a preset's name",
        )
    })?;
    let most = written.positions;
    let context = sizes.context.unwrap_or(most.min(CONTEXT));
    if written.is_table && context > most {
        let told = format!("sequences of {context} tokens exceed the model's {most} positions");
        return Err(Failure::wish("pleach::fit::config", told).help(format!("--context {most}")));
    }
    let mut question = question(&written.name, machines, (context, sizes));
    let model = format!(
        "transformer {{\n{}    context = {context} tokens\n  }}",
        written.fields
    );
    question.text = question.text.replace(MODEL, &model);
    question.assumptions.extend(written.unsaid);
    question.unread = written.unread;
    Ok(question)
}

/// The question about a model of the presets.
pub fn of_preset(name: &str, machines: &Machines, sizes: Sizes) -> Outcome<Question> {
    let known = models();
    if !known.iter().any(|model| model == name) {
        let nearest = known
            .iter()
            .min_by_key(|known| strsim::damerau_levenshtein(known, name))
            .map_or_else(String::new, |nearest| format!("did you mean `{nearest}`? "));
        let told = format!("`{name}` is no spec, no config.json and no preset");
        return Err(Failure::wish("pleach::fit::model", told).help(format!(
            "{nearest}presets/models.pleach has the names of all presets"
        )));
    }
    let said = sizes.context;
    let model = said.map_or_else(
        || name.to_owned(),
        |context| format!("{name} {{ context = {context} tokens }}"),
    );
    let mut question = question(name, machines, (said.unwrap_or(2048), sizes));
    if said.is_none() {
        question.assumptions.remove(0);
        let own = "sequences as long as the preset says (--context N)".to_owned();
        question.assumptions.insert(0, own);
    }
    question.text = question.text.replace(MODEL, &model);
    Ok(question)
}

/// The names of models in the presets.
fn models() -> Vec<String> {
    let texts = SHIPPED
        .iter()
        .filter(|(path, _)| *path == "presets/models.pleach");
    let lines = texts.flat_map(|(_, text)| text.lines());
    let names = lines.filter_map(|line| line.strip_prefix("model "));
    names
        .filter_map(|rest| rest.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Where the model stands in the text.
const MODEL: &str = "MODEL";

/// A spec with everything but the model, and what it assumes.
fn question(name: &str, machines: &Machines, (context, sizes): (u64, Sizes)) -> Question {
    let gpus = machines.gpus();
    let even = (BATCH / context.max(1))
        .max(1)
        .div_ceil(gpus)
        .saturating_mul(gpus);
    let batch = sizes.batch.unwrap_or(even);
    let precision = if machines.name.starts_with("v100") {
        "fp16"
    } else {
        "bf16"
    };
    let Machines {
        nodes,
        gpus_per_node,
        name: cluster,
    } = machines;
    let text = format!(
        "import \"presets/clusters.pleach\"\nimport \"presets/cards.pleach\"\nimport \"presets/models.pleach\"\n\n\
         # Any text does: it changes neither memory nor time.\n\
         dataset text {{\n  source = \"file:text\"\n  tokenizer = \"hf:unknown\"\n}}\n\n\
         experiment train_{name} {{\n  model = {MODEL}\n  data = text\n  train {{\n    steps = 1000 steps\n    \
         global_batch = {batch} sequences\n    lr = constant {{ peak = 1e-4 }}\n    precision = {precision}\n  }}\n  \
         cluster = {cluster} {{ nodes = {nodes}, gpus_per_node = {gpus_per_node} }}\n  \
         plan {{\n    micro_batch in [1, 2, 4, 8, 16, 32]\n  }}\n}}\n"
    );
    let mut assumptions = Vec::new();
    if sizes.context.is_none() {
        assumptions.push(format!("sequences of {context} tokens (--context N)"));
    }
    if sizes.batch.is_none() {
        assumptions.push(format!(
            "a batch of {batch} sequences, {} tokens (--batch N)",
            batch.saturating_mul(context)
        ));
    }
    assumptions.push(format!(
        "AdamW, {precision} with 32-bit master weights, engine pleach"
    ));
    Question {
        name: name.to_owned(),
        text,
        assumptions,
        unread: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
