//! What can be written behind `pleach data`.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What is done with data.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Turn text into a token file that Megatron and GPT-NeoX read too; goes on where it was ended
    Tokenize(TokenizeArguments),
    /// Train a tokenizer
    #[command(subcommand)]
    Tokenizer(TokenizerCommand),
    /// Show what is in a token file: documents, tokens, lengths, decoded samples
    Inspect(InspectArguments),
    /// Read a token file whole: hashes, index, range of ids
    Verify(VerifyArguments),
    /// Write GPT-NeoX's index files of a token file, or check those that are there
    Index(IndexArguments),
    /// Show what a run really consumes of each component, against what was asked
    Mix(MixArguments),
}

/// What is done with tokenizers.
#[derive(Debug, Subcommand)]
pub enum TokenizerCommand {
    /// Train byte-level BPE as GPT-NeoX-20B's is, with a token for each run of spaces
    Train(TrainArguments),
}

/// What a line that cannot be read does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BadLines {
    /// It ends the reading.
    #[default]
    Stop,
    /// It is left out and counted.
    Skip,
}

/// How text is read.
#[derive(Args, Debug)]
pub struct TextArguments {
    /// Files, folders or globs: text (a document a file) or JSONL (a document a line), also .gz and .zst
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// Key of the text in a line of JSONL
    #[arg(long, value_name = "KEY", default_value = "text")]
    pub key: String,
    /// Key of the answer in a line of prompts and answers; --key is then that of the prompt
    #[arg(long, value_name = "KEY")]
    pub answer: Option<String>,
    /// What a line does that cannot be read
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub bad_lines: BadLines,
}

/// Arguments of `data tokenize`.
#[derive(Args, Debug)]
pub struct TokenizeArguments {
    /// What is read
    #[command(flatten)]
    pub text: TextArguments,
    /// The output without its ending: NAME.bin, NAME.idx and NAME.json are written
    #[arg(long, value_name = "NAME")]
    pub out: PathBuf,
    /// `bytes`, `characters`, or a tokenizer.json
    #[arg(long, value_name = "TOKENIZER")]
    pub tokenizer: String,
    /// Put no end-of-document token behind documents (bytes and characters always end with id 0)
    #[arg(long)]
    pub no_eod: bool,
    /// Threads that tokenize; all processors where nothing is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Replace an output that was made from something else
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `data tokenizer train`.
#[derive(Args, Debug)]
pub struct TrainArguments {
    /// What is read
    #[command(flatten)]
    pub text: TextArguments,
    /// Ids in all, special tokens and runs of spaces included
    #[arg(long, value_name = "IDS")]
    pub vocab: u64,
    /// Where the tokenizer is written
    #[arg(long, value_name = "FILE", default_value = "tokenizer.json")]
    pub out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `data inspect`.
#[derive(Args, Debug)]
pub struct InspectArguments {
    /// A token file: NAME, NAME.bin or NAME.idx
    #[arg(value_name = "TOKENS")]
    pub file: PathBuf,
    /// Show so many documents, evenly spread, decoded
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub samples: usize,
    /// What decodes them, where NAME.json does not say it
    #[arg(long, value_name = "TOKENIZER")]
    pub tokenizer: Option<String>,
    /// Show which documents `split` holds out: --split 99.5,0.4,0.1
    #[arg(long, value_name = "SHARES", value_delimiter = ',')]
    pub split: Vec<f64>,
}

/// Arguments of `data verify`.
#[derive(Args, Debug)]
pub struct VerifyArguments {
    /// Token files: NAME, NAME.bin or NAME.idx
    #[arg(required = true, value_name = "TOKENS")]
    pub files: Vec<PathBuf>,
    /// Ids must be below this; the tokenizer's count where NAME.json says it
    #[arg(long, value_name = "IDS")]
    pub vocab: Option<u64>,
}

/// Arguments of `data index`.
#[derive(Args, Debug)]
pub struct IndexArguments {
    /// A token file: NAME, NAME.bin or NAME.idx
    #[arg(value_name = "TOKENS")]
    pub file: PathBuf,
    /// Tokens of a sample (GPT-NeoX's seq_length)
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..))]
    pub sequence: u64,
    /// Samples that are asked of it (ns in the files' names)
    #[arg(long, value_name = "N")]
    pub samples: u64,
    /// Seed of the shuffles
    #[arg(long, value_name = "SEED", default_value_t = 1234)]
    pub seed: u32,
    /// What GPT-NeoX calls this part: train, or train_0 in a mix with weights
    #[arg(long, value_name = "NAME", default_value = "train")]
    pub name: String,
    /// Only these documents, as a split has them: --documents 0..9690; the last is left out
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    pub documents: Option<Range<u64>>,
    /// What the files' names begin with; NAME where nothing is said, as GPT-NeoX has it
    #[arg(long, value_name = "PREFIX")]
    pub out: Option<PathBuf>,
    /// Write nothing: hold the files that are there against the order, and name the first difference
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `data mix`.
#[derive(Args, Debug)]
pub struct MixArguments {
    /// The spec
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only these steps: --steps 100..200; the first is 0, the last is left out
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    pub steps: Option<Range<u64>>,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str, missing: u64| match text.trim() {
        "" => Ok(missing),
        text => text
            .replace('_', "")
            .parse()
            .map_err(|_| format!("`{text}` is no number")),
    };
    let (from, to) = text
        .split_once("..")
        .ok_or("two numbers, as in `100..200`")?;
    let steps = number(from, 0)?..number(to, u64::MAX)?;
    if steps.is_empty() {
        return Err("the second must lie behind the first".to_owned());
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_may_be_open() {
        assert_eq!(parse_range("100..200"), Ok(100..200));
        assert_eq!(parse_range("1_000.."), Ok(1000..u64::MAX));
        assert_eq!(parse_range("..5"), Ok(0..5));
        assert!(
            parse_range("5").is_err()
                && parse_range("5..5").is_err()
                && parse_range("a..b").is_err()
        );
    }
}
