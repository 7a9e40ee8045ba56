//! `pleach import hf DIR|CONFIG`: a spec from another program's model, to go on from. The spec goes to stdout; what it leaves out and what it assumes is
//! told beside it, key by key.

use std::path::{Path, PathBuf};

use pleach_data::hub;
use pleach_storage::hf::{self, CONFIG};
use serde_json::{Value, json};

use crate::arguments::{ExportTarget, ImportArguments};
use crate::data::data_failure;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::fit::Machines;
use crate::hugging_face::{self, Written};
use crate::screen::Screen;
use crate::weights::FOLDER;

/// The longest sequence that is assumed.
const CONTEXT: u64 = 4096;

/// Writes the spec.
pub fn import(screen: &Screen, arguments: &ImportArguments) -> Outcome<Exit> {
    let ExportTarget::Hf = arguments.from;
    let machines = Machines::parse(&arguments.cluster)
        .map_err(|told| Failure::wish("pleach::import::machines", told))?;
    let found = Found::of(&arguments.model)?;
    let shown = found.config.display();
    let text = std::fs::read_to_string(&found.config)
        .map_err(|error| Failure::reading(&found.config, &error))?;
    let unreadable = |told: String| {
        Failure::wish(
            "pleach::import::config",
            format!("`{shown}` cannot be read as a model: {told}"),
        )
        .help(format!(
            "it takes the {CONFIG} of a decoder-only model of transformers: {}",
            hugging_face::KNOWN.join(", ")
        ))
    };
    let config: Value =
        serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    let written = hugging_face::read(&config).map_err(|wrong| unreadable(wrong.0))?;
    for what in written.unsaid.iter() {
        screen.warn(
            "pleach::import::unsaid",
            &format!("a spec cannot say it, so this is another model: {what}"),
        );
    }
    tell_keys(screen, &written);
    let spec = spec(&written, &found, &machines);
    if screen.json {
        screen.data_json(&json!({
            "spec": spec, "weights": found.weights, "unsaid": written.unsaid, "unread": written.unread,
            "ignored": written.ignored, "defaulted": written.defaulted,
        }));
    } else {
        screen.data(spec.trim_end());
    }
    Ok(Exit::Fine)
}

/// Says which keys were left out, and which are assumed.
fn tell_keys(screen: &Screen, written: &Written) {
    let listed = |keys: &[String]| format!("`{}`", keys.join("`, `"));
    if !written.unread.is_empty() {
        let text = format!("not known here and left out: {}", listed(&written.unread));
        screen.warn("pleach::import::unread", &text);
    }
    if !written.ignored.is_empty() {
        let ignored = listed(&written.ignored);
        screen.note(&format!("changes no weight, left out: {ignored}"));
    }
    if !written.defaulted.is_empty() {
        let defaulted = listed(&written.defaulted);
        screen.note(&format!(
            "not there, as {} has it by default: {defaulted}",
            written.name
        ));
    }
}

/// What was found of a model.
struct Found {
    /// Its configuration.
    config: PathBuf,
    /// What `weights` says, where there are any.
    weights: Option<String>,
    /// What `tokenizer` says, where there is one.
    tokenizer: Option<String>,
    /// The folder, where it is not below the one that the spec is written in.
    away: Option<PathBuf>,
}

impl Found {
    fn of(model: &str) -> Outcome<Found> {
        if model.starts_with(hub::PREFIX) {
            let config = hub::file(model, CONFIG).map_err(|error| data_failure(&error))?;
            return Ok(Found {
                config,
                weights: Some(model.to_owned()),
                tokenizer: Some(model.to_owned()),
                away: None,
            });
        }
        let path = Path::new(model);
        let config = match path.is_dir() {
            true => path.join(CONFIG),
            false => path.to_owned(),
        };
        let folder = config.parent().unwrap_or(Path::new(""));
        let holds = hf::files(folder).is_ok();
        let inside = folder
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)))
            && folder.components().next().is_some();
        let name = match inside {
            true => folder.to_string_lossy().into_owned(),
            false => folder.file_name().map_or_else(
                || "weights".to_owned(),
                |name| name.to_string_lossy().into_owned(),
            ),
        };
        let has_tokenizer = folder.join("tokenizer.json").is_file();
        Ok(Found {
            weights: holds.then(|| format!("{FOLDER}{name}")),
            tokenizer: has_tokenizer.then(|| format!("{FOLDER}{name}/tokenizer.json")),
            away: (holds && !inside).then(|| folder.to_owned()),
            config,
        })
    }
}

/// The text of the spec.
fn spec(written: &Written, found: &Found, machines: &Machines) -> String {
    let Machines {
        nodes,
        gpus_per_node,
        name: cluster,
    } = machines;
    let name = &written.name;
    let context = written.positions.min(CONTEXT);
    let precision = match cluster.as_str() {
        "this_machine" => "fp32",
        cluster if cluster.starts_with("v100") => "fp16",
        _ => "bf16",
    };
    let fields = written.fields.replace("\n    ", "\n  ");
    let fields = fields.trim_start();
    let away = found.away.as_ref().map_or_else(String::new, |folder| {
        format!(
            "  # A folder below the spec's: link it there, `ln -s {} .`\n",
            folder.display()
        )
    });
    let weights = found.weights.as_ref().map_or_else(String::new, |weights| {
        format!("  weights = \"{weights}\"\n")
    });
    let tokenizer = found.tokenizer.as_deref().unwrap_or("hf:unknown");
    let nodes = match cluster.as_str() {
        "this_machine" => String::new(),
        _ => format!("nodes = {nodes}, "),
    };
    let batch = machines.gpus().max(8).next_multiple_of(machines.gpus());
    format!(
        "import \"presets/clusters.pleach\"\nimport \"presets/cards.pleach\"\n\n\
         model {name} extends transformer {{\n  {fields}  context = {context} tokens\n{away}{weights}}}\n\n\
         # Text of your own: files below this folder, or `hf:ORGANISATION/NAME`.\n\
         dataset text {{\n  source = \"file:text\"\n  tokenizer = \"{tokenizer}\"\n}}\n\n\
         experiment train_{name} {{\n  model = {name}\n  data = text\n  train {{\n    steps = 1000 steps\n    \
         global_batch = {batch} sequences\n    lr = cosine {{ peak = 2e-5 }}\n    precision = {precision}\n  }}\n  \
         checkpoints {{ every = 100 steps }}\n  cluster = {cluster} {{ {nodes}gpus_per_node = {gpus_per_node} }}\n}}\n"
    )
}
