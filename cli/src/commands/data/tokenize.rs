//! `pleach data tokenize` and `pleach data tokenizer train`.

use std::path::{Path, PathBuf};

use pleach_data::text::{Input, inputs};
use pleach_data::tokenize::{self, Done, Job, SYNC_EVERY};
use pleach_data::tokenizer::{self, Tokenizer, Training};
use pleach_storage::files::replace;
use serde_json::json;

use super::rate;
use crate::arguments::data::{TokenizeArguments, TrainArguments};
use crate::data::data_failure;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::screen::{Screen, figures};
use crate::tokenizing::{Shown, warn_of_skipped};

/// Tokenizes, or goes on with it.
pub fn tokenize(screen: &Screen, arguments: &TokenizeArguments) -> Outcome<Exit> {
    let here = Path::new("");
    let tokenizer = Tokenizer::open(&arguments.tokenizer, here, !arguments.no_eod)
        .map_err(|error| data_failure(&error))?;
    let threads = match arguments.threads {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, |count| count.get()),
    };
    let job = Job {
        inputs: inputs(&arguments.text.inputs).map_err(|error| data_failure(&error))?,
        out: bare(&arguments.out),
        tokenizer,
        tokenizer_name: arguments.tokenizer.clone(),
        fields: arguments.text.fields(),
        skip_bad_lines: arguments.text.skips(),
        threads,
        sync_every: SYNC_EVERY,
        replace: arguments.force,
    };
    let mut shown = Shown::new(screen, "");
    let done = tokenize::run(&job, &mut |progress| shown.hear(progress));
    let seconds = shown.finish();
    let done = done.map_err(|error| data_failure(&error))?;
    tell(screen, &job.inputs, &done, seconds);
    Ok(Exit::Fine)
}

/// The name without the ending of one of the files that it stands for.
fn bare(out: &Path) -> PathBuf {
    match out.extension().and_then(|ending| ending.to_str()) {
        Some("bin" | "idx" | "json") => out.with_extension(""),
        _ => out.to_path_buf(),
    }
}

fn tell(screen: &Screen, inputs: &[Input], done: &Done, seconds: f64) {
    let Done {
        description,
        was_there,
        resumed,
    } = done;
    warn_of_skipped(screen, description);
    if screen.json {
        let mut value = json!(description);
        value["was_there"] = json!(was_there);
        value["resumed_documents"] = json!(resumed);
        screen.data_json(&value);
        return;
    }
    let bytes: u64 = inputs.iter().map(|input| input.bytes).sum();
    let [tokens, documents, files] = [
        description.tokens,
        description.documents,
        description.sources.len() as u64,
    ]
    .map(figures::count);
    let mut lines = vec![format!(
        "{tokens} tokens in {documents} documents of {files} files, {}",
        figures::bytes(bytes)
    )];
    if *was_there {
        lines.push("it was there already, made from the same files in the same way".to_owned());
    } else {
        let speed = figures::bytes(rate(bytes as f64, seconds) as u64);
        lines.push(format!("in {}, {speed}/s", figures::seconds(seconds)));
    }
    if *resumed > 0 {
        let before = figures::count(*resumed);
        lines.push(format!(
            "{before} of the documents had been written before it was ended"
        ));
    }
    lines.push(format!("blake3 {}", description.fingerprint));
    screen.data(&lines.join("\n"));
}

/// Trains a tokenizer.
pub fn train(screen: &Screen, arguments: &TrainArguments) -> Outcome<Exit> {
    if arguments.out.exists() && !arguments.force {
        let path = arguments.out.display();
        return Err(
            Failure::wish("pleach::data::exists", format!("{path} is there already"))
                .help("choose another output, or replace it: `--force`"),
        );
    }
    let training = Training {
        from: arguments.text.inputs.clone(),
        fields: arguments.text.fields(),
        size: arguments.vocab,
        skip_bad_lines: arguments.text.skips(),
    };
    let (content, ids) = tokenizer::train(&training).map_err(|error| data_failure(&error))?;
    replace(&arguments.out, content.as_bytes())
        .map_err(|error| Failure::machine("pleach::data::file", error.to_string()))?;
    let hash = blake3::hash(content.as_bytes()).to_hex().to_string();
    if screen.json {
        screen.data_json(&json!({"file": arguments.out, "ids": ids, "blake3": hash}));
    } else {
        let short = if ids < arguments.vocab {
            "; the text has no more to tell apart"
        } else {
            ""
        };
        let path = arguments.out.display();
        screen.data(&format!(
            "{path}: {} ids{short}\nblake3 {hash}",
            figures::count(ids)
        ));
    }
    Ok(Exit::Fine)
}
