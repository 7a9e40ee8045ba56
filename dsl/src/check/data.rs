//! What a dataset says of its text can be found: sources and tokenizers have one of a few forms, as a model's weights have, and a split is the whole.

use num_rational::BigRational;

use super::Known;
use super::forms::{Form, form, is_hub_name, relative};
use crate::evaluate::Value;
use crate::names::nearest;
use crate::problem::Problem;
use crate::quantity::{show, whole};
use crate::resolve::Resolver;
use crate::syntax::Place;

/// The source that is neither on the Hub nor a file of one's own: the packages that the lock file names.
const DEPENDENCIES: &str = "cargo:dependencies";

/// Tokenizers that need no file.
const BUILT_IN: [&str; 2] = ["bytes", "characters"];

/// What others call these, or tokenizers that have a place on the Hub.
const KNOWN_AS: [(&str, &str); 10] = [
    ("byte", "bytes"),
    ("bytelevel", "bytes"),
    ("nulltokenizer", "bytes"),
    ("char", "characters"),
    ("chars", "characters"),
    ("character", "characters"),
    ("charleveltokenizer", "characters"),
    ("gpt2", "hf:openai-community/gpt2"),
    ("gpt2bpetokenizer", "hf:openai-community/gpt2"),
    ("gpt-neox-20b", "hf:EleutherAI/gpt-neox-20b"),
];

/// Every rule, for the data of the run, of its phases and of its evaluation.
pub fn check(resolver: &mut Resolver) {
    let rows = resolver.phases().unwrap_or_default();
    let phases = rows
        .into_iter()
        .map(|row| resolver.tree.node(row).path.clone());
    let mut paths: Vec<String> = phases.map(|phase| format!("{phase}.data")).collect();
    paths.extend(["data", "evaluate.data"].map(str::to_string));
    for path in paths {
        if resolver.tree.find(&path).is_some() {
            source_is_found(resolver, &path);
            tokenizer_is_found(resolver, &path);
            split_is_whole(resolver, &path);
        }
    }
    weights_are_found(resolver);
}

/// Weights to begin with are a name on the Hub, or a folder.
fn weights_are_found(resolver: &mut Resolver) -> Option<()> {
    let known = resolver.known("model.weights")?;
    let weights = known.text()?.to_string();
    let label = match form(&weights) {
        Form::Hub | Form::File => return None,
        Form::Wrong(label) => label,
        Form::Other => "no such place".to_string(),
    };
    let title = format!("`{weights}` is no place of weights");
    let problem = Problem::error("pleach::weights::form", title, known.place, label);
    resolver.report(problem.help(match relative(&weights) {
        Some(path) if is_hub_name(path) => format!(
            "write `weights = \"hf:{path}\"` for the Hugging Face Hub, or `weights = \"file:{path}\"` for a folder below the spec's"
        ),
        Some(path) => format!("write `weights = \"file:{path}\"`"),
        None => {
            "the forms are `hf:ORGANISATION/NAME` and `file:FOLDER` below the spec's folder"
                .to_string()
        }
    }));
    None
}

/// A source is a package list, a name on the Hub, or a path.
fn source_is_found(resolver: &mut Resolver, path: &str) {
    let whole = resolver.known(&format!("{path}.source"));
    let whole = whole.and_then(|known| Some((known.text()?.to_string(), known.place)));
    let rows = resolver.mix_of(path).unwrap_or_default();
    let rows = rows
        .into_iter()
        .filter_map(|row| Some((row.source?, row.place)));
    for (source, place) in whole.into_iter().chain(rows) {
        if let Some(problem) = wrong_source(&source, place) {
            resolver.report(problem);
        }
    }
}

/// What is wrong with a source.
fn wrong_source(source: &str, place: Place) -> Option<Problem> {
    let label = match form(source) {
        Form::Hub | Form::File => return None,
        Form::Wrong(label) => label,
        Form::Other if source == DEPENDENCIES => return None,
        Form::Other => "no such source".to_string(),
    };
    let title = format!("`{source}` is not a source of text");
    let problem = Problem::error("pleach::source::form", title, place, label);
    Some(problem.help(match relative(source) {
        Some(path) if is_hub_name(path) => format!(
            "write `source = \"hf:{path}\"` for the Hugging Face Hub, or `source = \"file:{path}\"` for files below the spec's folder"
        ),
        Some(path) => format!("write `source = \"file:{path}\"`"),
        None => format!(
            "the forms are `{DEPENDENCIES}`, `hf:ORGANISATION/NAME`, and `file:PATH` below the spec's folder"
        ),
    }))
}

/// A tokenizer is built in, on the Hub, or a file.
fn tokenizer_is_found(resolver: &mut Resolver, path: &str) -> Option<()> {
    let known = resolver.known(&format!("{path}.tokenizer"))?;
    let tokenizer = known.text()?.to_string();
    let label = match form(&tokenizer) {
        Form::Hub => return None,
        Form::File if tokenizer.ends_with(".json") => return None,
        Form::File => "a tokenizer is a `tokenizer.json`".to_string(),
        Form::Wrong(label) => label,
        Form::Other if BUILT_IN.contains(&tokenizer.as_str()) => return None,
        Form::Other => "no such tokenizer".to_string(),
    };
    let title = format!("`{tokenizer}` is not a tokenizer");
    let problem = Problem::error("pleach::tokenizer::form", title, known.place, label);
    resolver.report(problem.help(match meant_tokenizer(&tokenizer) {
        Some(meant) => format!("write `tokenizer = \"{meant}\"`"),
        None => "the forms are `bytes`, `characters`, `hf:ORGANISATION/NAME`, and `file:PATH/tokenizer.json` below the spec's folder"
            .to_string(),
    }));
    None
}

/// The tokenizer that was probably meant.
fn meant_tokenizer(tokenizer: &str) -> Option<String> {
    let lower = tokenizer.to_lowercase();
    let other = KNOWN_AS.iter().find(|(theirs, _)| *theirs == lower);
    if let Some((_, ours)) = other {
        return Some((*ours).to_string());
    }
    if let Some(found) = nearest(&lower, BUILT_IN.iter().copied()) {
        return Some(found.to_string());
    }
    let path = relative(tokenizer.strip_prefix("file:").unwrap_or(tokenizer))?;
    match path {
        path if path.ends_with(".json") => Some(format!("file:{path}")),
        path if tokenizer.starts_with("file:") => Some(format!("file:{path}/tokenizer.json")),
        path if is_hub_name(path) && path.contains('/') => Some(format!("hf:{path}")),
        _ => None,
    }
}

/// The shares of a split are 100% together.
fn split_is_whole(resolver: &mut Resolver, path: &str) -> Option<()> {
    let split = resolver.known(&format!("{path}.split"))?;
    let shares = shares(&split)?;
    let total: BigRational = shares.iter().sum();
    if total == whole(1) && shares.len() <= 3 {
        return None;
    }
    let problem = if shares.len() > 3 {
        let title = format!("`split` has {} shares", shares.len());
        let label = "training, validation and test are three";
        Problem::error("pleach::split::sum", title, split.place, label)
    } else {
        let percent = show(&(total * whole(100)));
        let title = format!("the shares of `split` add up to {percent}%, not 100%");
        let label = format!("{percent}% together");
        Problem::error("pleach::split::sum", title, split.place, label)
    };
    resolver.report(problem.help("write for instance `split = [99%, 0.9%, 0.1%]`"));
    None
}

fn shares(split: &Known) -> Option<Vec<BigRational>> {
    let Value::List(items) = &split.value else {
        return None;
    };
    let number = |item: &Value| match item {
        Value::Number(number) => Some(number.value.clone()),
        _ => None,
    };
    items.iter().map(number).collect()
}
