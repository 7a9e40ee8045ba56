//! Weights that a run begins with: found or fetched, held against the spec's model, and named in the plan by their content.
//!
//! In comes what the spec says (`hf:ORGANISATION/NAME`, `file:FOLDER`), out comes a folder that every worker reads its own slices from. That its
//! `config.json` says the same model is asked before anything is planned; that its tensors are all there, and no others, before anything runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pleach_data::hub;
use pleach_dsl::experiment::{Experiment, Layer, Mixer, Model};
use pleach_plan::Plan;
use pleach_storage::hf::{self, CONFIG, Family, ImportError, Weights};
use pleach_storage::lockfile::Content;
use serde_json::Value;

use crate::data::data_failure;
use crate::failure::{Failure, Outcome};
use crate::hugging_face::{self, Written};
use crate::screen::Screen;

/// What begins the name of a folder.
pub const FOLDER: &str = "file:";
/// Names the folder of weights in the folder of a run.
const LINK: &str = "weights";
/// Differences of models that are named.
const SHOWN: usize = 8;

/// The folder behind a name, fetched where it is not on this machine.
fn folder(screen: &Screen, source: &str, from: &Path) -> Outcome<PathBuf> {
    if let Some(path) = source.strip_prefix(FOLDER) {
        let path = from.join(path);
        return match path.is_dir() {
            true => Ok(path),
            false => Err(Failure::wish(
                "pleach::weights::missing",
                format!("there is no folder `{}`", path.display()),
            )
            .help("`weights` names a folder below the spec's, as transformers' `save_pretrained` writes it")),
        };
    }
    if let Some(kept) = kept(source, from) {
        return Ok(kept);
    }
    screen.note(&format!("fetching the weights of {source}"));
    let fetch = |file: &str| hub::file(source, file).map_err(|error| data_failure(&error));
    let config = fetch(CONFIG)?;
    let folder = config.parent().unwrap_or(Path::new(".")).to_owned();
    if fetch(hf::WHOLE).is_err() {
        fetch(hf::INDEX)?;
        for path in hf::files(&folder).map_err(|error| failure(&error))? {
            fetch(&path.file_name().unwrap_or_default().to_string_lossy())?;
        }
    }
    Ok(folder)
}

/// The same where it is on this machine already, whole.
fn kept(source: &str, from: &Path) -> Option<PathBuf> {
    let folder = match source.strip_prefix(FOLDER) {
        Some(path) => from.join(path),
        None => hub::kept_file(source, CONFIG)?.parent()?.to_owned(),
    };
    let files = hf::files(&folder).ok()?;
    files.iter().all(|file| file.is_file()).then_some(folder)
}

/// What stands behind a name, where it is on this machine.
pub fn kept_content(source: &str, from: &Path) -> Outcome<Option<Content>> {
    let content = kept(source, from).map(|folder| hf::content(&folder));
    content.transpose().map_err(|error| failure(&error))
}

/// Refuses an experiment whose weights are those of another model; says what it begins with.
pub fn agree(screen: &Screen, experiment: &Experiment, from: &Path) -> Outcome<()> {
    let Some(source) = &experiment.model.weights else {
        return Ok(());
    };
    let Some(folder) = kept(source, from) else {
        screen.note(&format!(
            "begins with the weights of {source}, which are not here yet; `pleach run` fetches them"
        ));
        return Ok(());
    };
    screen.note(&format!("begins with the weights of {source}"));
    let config = hf::config(&folder).map_err(|error| failure(&error))?;
    let shown = folder.join(CONFIG);
    let other = |told: String| Failure::wish("pleach::weights::model", told);
    let read = hugging_face::read(&config);
    let written = read.map_err(|wrong| other(format!("`{}`: {}", shown.display(), wrong.0)))?;
    if !written.unsaid.is_empty() {
        let told = written.unsaid.join("; ");
        return Err(other(format!(
            "`{source}` holds a model that no spec can say: {told}"
        )));
    }
    let theirs = model(&written).map_err(|told| other(format!("`{}`: {told}", shown.display())))?;
    let differences = differences(&theirs, &experiment.model);
    if differences.is_empty() {
        return Ok(());
    }
    let more = differences.len().saturating_sub(SHOWN);
    let mut lines: Vec<String> = differences.into_iter().take(SHOWN).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    Err(
        other(format!("`{source}` holds the weights of another model"))
            .detail(lines.join("\n"))
            .help(format!(
                "`pleach import hf {}` writes the model of these weights",
                folder.display()
            )),
    )
}

/// The folder of the weights that a plan begins with: held against its model, and their content written into the plan.
pub fn ready(screen: &Screen, plan: &mut Plan, from: &Path) -> Outcome<Option<PathBuf>> {
    let Some(named) = plan.training.weights.clone() else {
        return Ok(None);
    };
    let link = from.join(LINK);
    let folder = match link.is_symlink() {
        true => link,
        false => folder(screen, &named.source, from)?,
    };
    let folder = folder
        .canonicalize()
        .map_err(|error| Failure::reading(&folder, &error))?;
    Weights::open(&folder, plan).map_err(|error| failure(&error))?;
    let content = hf::content(&folder).map_err(|error| failure(&error))?;
    let found = content.hash;
    if let Some(wanted) = named.fingerprint.filter(|wanted| *wanted != found) {
        let told = format!(
            "`{}` are not the weights that the plan names",
            folder.display()
        );
        return Err(Failure::wish("pleach::weights::changed", told)
            .detail(format!("the plan's are {wanted}\nhere they are {found}"))
            .help("put them back, or plan again from the spec"));
    }
    screen.note(&format!(
        "beginning with the weights of {}, {found}",
        named.source
    ));
    if let Some(weights) = &mut plan.training.weights {
        weights.fingerprint = Some(found);
    }
    Ok(Some(folder))
}

/// Notes in a run's folder where its weights are, so that it can begin again.
pub fn remember(run: &Path, folder: Option<&PathBuf>) -> Outcome<()> {
    let Some(folder) = folder else { return Ok(()) };
    let link = run.join(LINK);
    std::os::unix::fs::symlink(folder, &link).map_err(|error| Failure::writing(&link, &error))
}

/// The family whose weights a run began with.
pub fn family(run: &Path) -> Option<Family> {
    let config = hf::config(&run.join(LINK)).ok()?;
    Family::called(config["model_type"].as_str()?)
}

/// The model that a configuration says.
fn model(written: &Written) -> Result<Model, String> {
    let name = "weights.pleach";
    let text = format!(
        "import \"presets/clusters.pleach\"\ndataset text {{ source = \"file:text\", tokenizer = \"hf:unknown\" }}\n\
         experiment weights {{\n  model = transformer {{\n{}    context = {} tokens\n  }}\n  data = text\n  \
         train {{ steps = 1 steps, global_batch = 1 sequences, lr = constant {{ peak = 1e-4 }}, precision = fp32 }}\n  \
         cluster = this_machine {{ gpus_per_node = 1 }}\n}}\n",
        written.fields, written.positions
    );
    let files = BTreeMap::from([(name.to_owned(), text)]);
    let loaded = pleach_dsl::load(name, &files, &[], None).into_result();
    let model = loaded.map(|(experiment, _)| experiment.model);
    model.map_err(|problems| {
        let titles: Vec<String> = problems.iter().map(|it| it.title.clone()).collect();
        titles.join("; ")
    })
}

/// What differs between the model of a folder and a spec's, but for what weights do not depend on.
fn differences(theirs: &Model, ours: &Model) -> Vec<String> {
    let context = theirs.context.min(ours.context);
    let bare = |model: &Model| {
        let plain = Model {
            context,
            dropout: 0.0,
            init: ours.init,
            weights: None,
            kinds: model
                .kinds
                .iter()
                .map(|kind| without_window(kind, context))
                .collect(),
            ..model.clone()
        };
        serde_json::to_value(plain).unwrap_or(Value::Null)
    };
    let mut found = Vec::new();
    compare("", &bare(theirs), &bare(ours), &mut found);
    found
}

/// A layer whose window is none where it is no shorter than the sequence.
fn without_window(layer: &Layer, context: u64) -> Layer {
    let mut layer = layer.clone();
    if let Mixer::Attention(attention) = &mut layer.mixer {
        attention.window = attention.window.filter(|window| *window < context);
    }
    layer
}

fn compare(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match (theirs, ours) {
        (Value::Object(left), Value::Object(right)) if left.keys().eq(right.keys()) => {
            for (key, value) in left {
                compare(&below(key), value, &right[key], found);
            }
        }
        (Value::Array(left), Value::Array(right)) if path == "kinds" && left.len() == 1 => {
            for value in right {
                compare("layer", &left[0], value, found);
            }
        }
        (Value::Array(left), Value::Array(right)) if path == "order" => {
            let (left, right) = (left.len(), right.len());
            let text = format!("layers: {left} there, {right} in the spec");
            found.extend((left != right).then_some(text));
        }
        _ if theirs != ours => found.push(format!("{path}: {theirs} there, {ours} in the spec")),
        _ => {}
    }
}

/// What is wrong with weights, as a failure.
fn failure(error: &ImportError) -> Failure {
    let message = error.to_string();
    match error {
        ImportError::File(_) => Failure::machine("pleach::weights::file", message),
        ImportError::NoWeights { .. } => Failure::wish("pleach::weights::none", message).help(
            "transformers writes them: `model.save_pretrained(FOLDER)`; pickled ones can be loaded and saved again where they are trusted",
        ),
        ImportError::Damaged { .. } => Failure::wish("pleach::weights::damaged", message)
            .help("fetch or write the file again"),
        ImportError::Model(_) | ImportError::OtherFamily { .. } => {
            Failure::wish("pleach::weights::family", message)
                .help("`pleach import hf FOLDER` writes the model of these weights")
        }
        ImportError::Tensors { .. } => Failure::wish("pleach::weights::tensors", message)
            .help("`pleach import hf FOLDER` writes the model of these weights"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(config: &Value) -> Model {
        let written = hugging_face::read(config).expect("a configuration");
        model(&written).expect("a model")
    }

    #[test]
    fn what_differs_is_named_by_its_place() {
        let llama = |eps: f64, layers: u64, window: Value| {
            of(
                &json!({"model_type": "mistral", "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4,
            "num_key_value_heads": 2, "num_hidden_layers": layers, "max_position_embeddings": 32, "vocab_size": 256,
            "rms_norm_eps": eps, "sliding_window": window}),
            )
        };
        let plain = llama(1e-5, 2, Value::Null);
        let same = llama(1e-5, 2, json!(32));
        assert_eq!(differences(&plain, &same), Vec::<String>::new());
        let other = llama(1e-6, 3, json!(8));
        let found = differences(&plain, &other);
        let places: Vec<&str> = found.iter().filter_map(|it| it.split(':').next()).collect();
        assert_eq!(
            places,
            [
                "head.norm.RmsNorm.eps",
                "layer.mixer.Attention.window",
                "layer.norm.RmsNorm.eps",
                "layers"
            ],
            "{found:?}"
        );
    }
}
