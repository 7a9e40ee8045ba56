//! What `cargo xtask bench` times of this crate, in a process of its own.
//!
//!     measure read TOKENS.bin SEQUENCE SAMPLES   reads the first samples of a shuffled run
//!     measure sparse FOLDER COMPONENTS TOKENS    makes prepared data of so many tokens in all, in files without content
//!     measure open FOLDER SEQUENCE               opens such data as a worker does: files, order, its hash, the first sample
//!
//! In come a folder and figures, out comes a line of JSON with seconds.

use std::error::Error;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

use pleach_data::order::{Draw, Order, Part, Parts, Section};
use pleach_data::prepare::{Prepared, PreparedComponent};
use pleach_data::tokens::TokenFile;
use pleach_plan::{Component, DataPlan, Ordering, Packing, Reading};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Tokens of a document of a sparse file.
const DOCUMENT: u64 = 1000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = match words.as_slice() {
        ["read", file, sequence, samples] => {
            read(Path::new(file), sequence.parse()?, samples.parse()?)?
        }
        ["sparse", folder, components, tokens] => {
            sparse(Path::new(folder), components.parse()?, tokens.parse()?)?
        }
        ["open", folder, sequence] => open(Path::new(folder), sequence.parse()?)?,
        _ => return Err("see the beginning of examples/measure.rs".into()),
    };
    println!("{answer}");
    Ok(())
}

fn draw(sequence: u64, total: u64) -> Draw {
    Draw {
        ordering: Ordering::Counter,
        seed: 1234,
        sequence,
        total,
    }
}

/// Reads samples in the run's own order, over as many epochs as it takes.
fn read(file: &Path, sequence: u64, samples: u64) -> Outcome<serde_json::Value> {
    let tokens = TokenFile::open(file)?;
    let part = Part {
        name: "text".into(),
        weight: [1, 1],
        fingerprint: String::new(),
        begins: 0,
        parts: Parts::of(&tokens, &[], 1)?,
        section: Section::Training,
        bins: None,
        answers_only: false,
        tokens,
    };
    let order = Order::new(draw(sequence, samples), vec![part])?;
    let mut tokens = vec![0; sequence as usize + 1];
    let mut sum = 0i64;
    let begin = Instant::now();
    for sample in 0..samples {
        order.sample(sample, &mut tokens)?;
        sum = sum.wrapping_add(tokens[0]);
    }
    let seconds = begin.elapsed().as_secs_f64();
    Ok(json!({"seconds": seconds, "samples": samples, "sum": sum}))
}

/// Prepared data whose token files have their sizes, headers and ends, and no content on the disk.
fn sparse(folder: &Path, components: u64, tokens: u64) -> Outcome<serde_json::Value> {
    fs::create_dir_all(folder)?;
    let mut described = Vec::new();
    for number in 0..components {
        // The later, the larger.
        let shares = components * (components + 1) / 2;
        let documents = tokens.div_ceil(DOCUMENT * shares) * (number + 1);
        let path = folder.join(format!("{number}-part_{number}.bin"));
        File::create(&path)?.set_len(documents * DOCUMENT * 2)?;
        index(&path.with_extension("idx"), documents)?;
        described.push(json!({"name": format!("part {number}"), "files": [], "documents": documents,
            "tokens": documents * DOCUMENT, "skipped_not_text": 0, "skipped_repeated": 0, "skipped_nul_bytes": 0,
            "fingerprint": format!("{number:064x}"), "largest_id": 50_000}));
    }
    let description = json!({"schema": 2, "source": "file:parts", "components": described});
    fs::write(folder.join("data.json"), description.to_string())?;
    Ok(json!({"components": components}))
}

/// The index of documents of equal length, of which only both ends are written.
fn index(path: &Path, documents: u64) -> Outcome<()> {
    let mut file = File::create(path)?;
    file.write_all(b"MMIDIDX\0\0\x01\0\0\0\0\0\0\0\x08")?;
    file.write_all(&documents.to_le_bytes())?;
    file.write_all(&(documents + 1).to_le_bytes())?;
    let lengths = file.stream_position()?;
    file.seek(SeekFrom::Start(lengths + 4 * (documents - 1)))?;
    file.write_all(&(DOCUMENT as i32).to_le_bytes())?;
    file.seek(SeekFrom::Start(lengths + 12 * documents - 8))?;
    file.write_all(&((documents - 1) * DOCUMENT * 2).to_le_bytes())?;
    file.set_len(lengths + 12 * documents + 8 * (documents + 1))?;
    Ok(())
}

/// The plan of a run over all of it, each component by its size.
fn plan(prepared: &Prepared, whole: u64) -> DataPlan {
    let component = |found: &PreparedComponent| Component {
        name: found.name.clone(),
        files: Vec::new(),
        source: None,
        weight: [found.tokens, whole],
        repeat: 1.0,
        fingerprint: Some(found.fingerprint.clone()),
    };
    DataPlan {
        name: "parts".into(),
        source: "file:parts".into(),
        tokenizer: "bytes".into(),
        vocab: 50_304,
        mix: prepared.components.iter().map(component).collect(),
        reading: Reading::default(),
        ordering: Ordering::Counter,
        order_seed: None,
        packing: Packing::default(),
        split: Vec::new(),
        order: None,
        unread: Vec::new(),
    }
}

fn open(folder: &Path, sequence: u64) -> Outcome<serde_json::Value> {
    let begin = Instant::now();
    let prepared = Prepared::open(folder)?;
    let tokens: u64 = prepared.components.iter().map(|part| part.tokens).sum();
    let run = draw(sequence, tokens / sequence);
    let order = Order::of(&plan(&prepared, tokens), run, &prepared)?;
    let opened = begin.elapsed().as_secs_f64();
    let hash = order.hash(order.samples())?;
    order.sample(0, &mut vec![0; sequence as usize + 1])?;
    let seconds = begin.elapsed().as_secs_f64();
    Ok(
        json!({"seconds": seconds, "opened": opened, "tokens": tokens, "hash": hash,
        "components": prepared.components.len(), "peak_bytes": peak()}),
    )
}

/// The largest resident size of this process so far.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
