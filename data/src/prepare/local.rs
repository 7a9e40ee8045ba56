//! Data of files: those below the spec's folder or of a dataset of the Hub, tokenized once, and token files as they are.
//!
//! In come the components with `file:` and `hf:` sources; out comes a prepared folder. Its name is a hash of what each component is made from (paths, sizes and times of
//! change, or the tokenizer's content) and how, so what was changed is made again. A preparation that was ended goes on where it was.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pleach_plan::{Component, DataPlan};
use pleach_storage::files::{At, remove_folder, sync_folder, sync_parent};
use pleach_storage::lockfile::Content;

use super::{Prepared, PreparedComponent, prepared};
use crate::text::{Fields, Input, inputs, snapshot};
use crate::tokenize::{self, Description, Job, Progress, SYNC_EVERY};
use crate::tokenizer::Tokenizer;
use crate::tokens::TokenFile;
use crate::{DataError, hub};

/// What begins the source of files of one's own.
pub(super) const PREFIX: &str = "file:";
/// Counts the changes of what is made of files; another number makes another folder.
const RULES: u64 = 1;
/// Tokens that are looked at at once.
const PART: usize = 1 << 16;

/// What a component is made from.
enum Origin {
    /// Text, to be tokenized.
    Text(Vec<Input>),
    /// A token file as it is.
    Tokens(PathBuf),
}

/// The source of a component.
pub(super) fn source<'p>(data: &'p DataPlan, component: &'p Component) -> &'p str {
    component.source.as_deref().unwrap_or(&data.source)
}

/// Whether all components are files of one's own.
pub(super) fn is_local(data: &DataPlan) -> bool {
    let mut sources = data.mix.iter().map(|component| source(data, component));
    sources.all(|source| source.starts_with(PREFIX) || source.starts_with(hub::PREFIX))
}

/// Prepares the components, or finds them prepared.
pub(super) fn build(
    data: &DataPlan,
    from: &Path,
    cache: &Path,
    tell: &mut dyn FnMut(&str, &Progress),
) -> Result<Prepared, DataError> {
    let tokenizer = Tokenizer::open(&data.tokenizer, from, data.reading.append_eod)?;
    let origins = data
        .mix
        .iter()
        .map(|component| origin(data, component, from));
    let origins: Vec<Origin> = origins.collect::<Result<_, _>>()?;
    let key = key(data, &tokenizer, &origins)?;
    super::once(cache, &key, |folder| {
        fill(data, &tokenizer, origins, folder, tell)
    })
}

/// The key of files of one's own that all lie on this machine.
pub(super) fn known_key(data: &DataPlan, from: &Path) -> Option<String> {
    let mut sources = data.mix.iter().map(|component| source(data, component));
    let fetched = sources.any(|source| source.starts_with(hub::PREFIX));
    if fetched || data.tokenizer.starts_with(hub::PREFIX) {
        return None;
    }
    let tokenizer = Tokenizer::open(&data.tokenizer, from, data.reading.append_eod).ok()?;
    let origins = data
        .mix
        .iter()
        .map(|component| origin(data, component, from));
    let origins: Vec<Origin> = origins.collect::<Result<_, _>>().ok()?;
    key(data, &tokenizer, &origins).ok()
}

/// Makes all components aside, and gives the folder its name last; what is made already is gone on with.
fn fill(
    data: &DataPlan,
    tokenizer: &Tokenizer,
    origins: Vec<Origin>,
    folder: &Path,
    tell: &mut dyn FnMut(&str, &Progress),
) -> Result<(), DataError> {
    let partial = folder.with_extension("partial");
    fs::create_dir_all(&partial).at("create", &partial)?;
    let mut components = Vec::new();
    for (number, (component, origin)) in data.mix.iter().zip(origins).enumerate() {
        components.push(match origin {
            Origin::Tokens(path) => {
                described(data, tokenizer, &path)?;
                as_it_is(component, &path)?
            }
            Origin::Text(inputs) => {
                let name = &component.name;
                let mut tell = |progress: &Progress| tell(name, progress);
                made(data, number, inputs, tokenizer, &partial, &mut tell)?
            }
        });
    }
    prepared::write(&partial, &data.source, components)?;
    sync_folder(&partial)?;
    remove_folder(folder)?;
    fs::rename(&partial, folder).at("rename", &partial)?;
    Ok(sync_parent(folder)?)
}

/// What a component is made from, found below the spec's folder.
fn origin(data: &DataPlan, component: &Component, from: &Path) -> Result<Origin, DataError> {
    let source = source(data, component);
    if source.starts_with(hub::PREFIX) {
        let files = hub::files(source, &component.name, &component.files)?;
        return snapshot(&files).map(Origin::Text);
    }
    let root = from.join(source.trim_start_matches(PREFIX));
    let names: Vec<PathBuf> = match component.files.as_slice() {
        [] => vec![root],
        globs => globs.iter().map(|glob| root.join(glob)).collect(),
    };
    let is_tokens = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("bin" | "idx"))
    };
    match names.as_slice() {
        [one] if is_tokens(one) => Ok(Origin::Tokens(one.with_extension("bin"))),
        all if all.iter().any(is_tokens) => Err(DataError::ManyTokenFiles {
            component: component.name.clone(),
        }),
        all => inputs(all).map(Origin::Text),
    }
}

/// What of a dataset of the Hub is on this machine now; none where nothing is.
pub(super) fn content_of_hub(source: &str) -> Result<Option<Content>, DataError> {
    let files = hub::kept_files(source)?;
    if files.is_empty() {
        return Ok(None);
    }
    let part = |path: PathBuf| Ok((hub::inside(&path), hash_of(&path)?));
    let parts: Result<Vec<_>, DataError> = files.into_iter().map(part).collect();
    Ok(Some(Content::of_parts("files", parts?)))
}

fn hash_of(path: &Path) -> Result<String, DataError> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).at("open", path)?;
    hasher.update_reader(&mut file).at("read", path)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// What stands behind a source now: the files with their hashes.
pub(super) fn content(source: &str, from: &Path) -> Result<Content, DataError> {
    let root = from.join(source.trim_start_matches(PREFIX));
    let mut names = vec![root.clone()];
    if root.extension().is_some_and(|ending| ending == "bin") {
        names.push(root.with_extension("idx"));
    }
    let mut parts = Vec::new();
    for input in inputs(&names)? {
        let inside = input.path.strip_prefix(from).unwrap_or(&input.path);
        let name = inside.to_string_lossy().into_owned();
        parts.push((name, hash_of(&input.path)?));
    }
    Ok(Content::of_parts("files", parts))
}

/// The identity of what will be prepared.
fn key(data: &DataPlan, tokenizer: &Tokenizer, origins: &[Origin]) -> Result<String, DataError> {
    let mut hasher = blake3::Hasher::new_derive_key("pleach 2026 prepared files");
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(&RULES.to_le_bytes());
    part(tokenizer.fingerprint().as_bytes());
    part(data.reading.text.as_bytes());
    if let Some(answer) = &data.reading.answer {
        part(answer.as_bytes());
    }
    part(&[
        u8::from(data.reading.skip_bad_lines),
        u8::from(data.reading.append_eod),
    ]);
    for (component, origin) in data.mix.iter().zip(origins) {
        part(component.name.as_bytes());
        let tokens;
        let (kind, files) = match origin {
            Origin::Text(files) => (0, files.as_slice()),
            Origin::Tokens(path) => {
                tokens = inputs(std::slice::from_ref(path))?;
                (1, tokens.as_slice())
            }
        };
        part(&[kind]);
        part(&(files.len() as u64).to_le_bytes());
        for file in files {
            let path = std::path::absolute(&file.path).at("find", &file.path)?;
            part(path.as_os_str().as_encoded_bytes());
            part(&file.bytes.to_le_bytes());
            part(&file.changed.to_le_bytes());
        }
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

/// Tokenizes a component into the folder.
fn made(
    data: &DataPlan,
    number: usize,
    inputs: Vec<Input>,
    tokenizer: &Tokenizer,
    folder: &Path,
    tell: &mut dyn FnMut(&Progress),
) -> Result<PreparedComponent, DataError> {
    let component = &data.mix[number];
    let name = Prepared::file_name(number, &component.name);
    let job = Job {
        inputs,
        out: folder.join(name).with_extension(""),
        tokenizer: tokenizer.clone(),
        tokenizer_name: data.tokenizer.clone(),
        fields: Fields {
            text: data.reading.text.clone(),
            answer: data.reading.answer.clone(),
        },
        skip_bad_lines: data.reading.skip_bad_lines,
        threads: std::thread::available_parallelism().map_or(1, |count| count.get()),
        sync_every: SYNC_EVERY,
        replace: true,
    };
    let description = tokenize::run(&job, tell)?.description;
    if description.documents == 0 {
        return Err(DataError::Empty {
            component: component.name.clone(),
            globs: component.files.join(" "),
        });
    }
    Ok(PreparedComponent {
        name: component.name.clone(),
        files: component.files.clone(),
        documents: description.documents,
        tokens: description.tokens,
        skipped_not_text: description.skipped_records(),
        skipped_repeated: 0,
        skipped_nul_bytes: description.skipped_nuls,
        fingerprint: description.fingerprint,
        largest_id: description.largest_id.map_or(0, u64::from),
        path: None,
    })
}

/// Refuses a token file whose description says that it was made otherwise than the spec reads it.
fn described(data: &DataPlan, tokenizer: &Tokenizer, path: &Path) -> Result<(), DataError> {
    let place = path.with_extension("json");
    let description = match Description::read(&place) {
        Ok(description) => description,
        Err(error) if is_torn(&place) => return Err(error),
        Err(_) => return Ok(()),
    };
    let pairs = |is: bool| match is {
        true => "prompts and answers",
        false => "documents",
    };
    let [made, wanted] = [
        description.answer_key.is_some(),
        data.reading.answer.is_some(),
    ];
    let note = &description.tokenizer;
    let (made, wanted) = if made != wanted {
        (pairs(made).to_owned(), pairs(wanted).to_owned())
    } else if note.fingerprint != tokenizer.fingerprint() {
        let named = |name: &str| format!("ids of the tokenizer `{name}`");
        (named(&note.name), named(&data.tokenizer))
    } else {
        return Ok(());
    };
    Err(DataError::OtherwiseMade {
        path: path.to_path_buf(),
        made,
        wanted,
    })
}

/// Whether a file is there and no JSON: what others put beside their token files is theirs, but a description that was cut is none.
fn is_torn(path: &Path) -> bool {
    let text = fs::read_to_string(path);
    text.is_ok_and(|text| serde_json::from_str::<serde_json::Value>(&text).is_err())
}

/// A token file that is read where it lies.
fn as_it_is(component: &Component, path: &Path) -> Result<PreparedComponent, DataError> {
    let file = TokenFile::open(path)?;
    file.check()?;
    Ok(PreparedComponent {
        name: component.name.clone(),
        files: component.files.clone(),
        documents: file.sequences() as u64,
        tokens: file.len(),
        skipped_not_text: 0,
        skipped_repeated: 0,
        skipped_nul_bytes: 0,
        fingerprint: file.fingerprint(),
        largest_id: largest_id(&file, &component.name)?,
        path: Some(std::path::absolute(path).at("find", path)?),
    })
}

/// The largest id of a token file.
fn largest_id(file: &TokenFile, component: &str) -> Result<u64, DataError> {
    let mut largest = 0;
    let mut part = vec![0; PART];
    let mut start = 0;
    while start < file.len() {
        let length = (file.len() - start).min(PART as u64) as usize;
        let part = &mut part[..length];
        let ids = file.read(start, part) && part.iter().all(|&id| u32::try_from(id).is_ok());
        if !ids {
            let problem = format!("the component `{component}` has values that are no ids");
            return Err(DataError::damaged(file.path(), problem));
        }
        largest = part.iter().copied().fold(largest, i64::max);
        start += length as u64;
    }
    Ok(largest as u64)
}
