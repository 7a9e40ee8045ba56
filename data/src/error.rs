//! What can be wrong with data: each message says which file, what was expected there, and what to do.

use std::path::{Path, PathBuf};

use pleach_storage::files::FileError;

use crate::text::{At, Fault};
use crate::tokens::Kind;

/// Why data could not be prepared or read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A source that this program cannot read.
    #[error(
        "the source `{source_name}` cannot be prepared here; this version reads `file:PATH` and `hf:NAME`, and `cargo:dependencies` as bytes"
    )]
    Source {
        /// As the spec says it.
        source_name: String,
    },
    /// Ids that this program cannot make.
    #[error(
        "the tokenizer `{tokenizer}` is not available here; this version has `bytes` and `characters`, and reads a `tokenizer.json` or that of `hf:NAME`"
    )]
    Tokenizer {
        /// As the spec says it.
        tokenizer: String,
    },
    /// A name of the Hub that is not in its cache.
    #[error(
        "`{name}` is not on this machine: {file} of it is missing, and cannot be fetched: {reason}\n\
         put it at {}, or let the Hub's own tool do so where there is a network: `{command}`",
        path.display()
    )]
    NotInCache {
        /// As the spec says it.
        name: String,
        /// What was looked for.
        file: String,
        /// Why it did not come from the Hub.
        reason: String,
        /// Where it belongs.
        path: PathBuf,
        /// What brings it there.
        command: String,
    },
    /// A token file that holds something else than the spec says.
    #[error(
        "{} holds {made}, as the description beside it says, and the spec reads {wanted}",
        path.display()
    )]
    OtherwiseMade {
        /// The `.bin`.
        path: PathBuf,
        /// What it holds.
        made: String,
        /// What the spec takes it for.
        wanted: String,
    },
    /// No lock file at or above a folder.
    #[error(
        "there is no Cargo.lock in {} or above it; `cargo:dependencies` reads the sources that a Cargo.lock pins, \
         so keep the spec inside a Cargo workspace (`cargo generate-lockfile` writes a missing lock)",
        from.display()
    )]
    NoLock {
        /// Where the search began.
        from: PathBuf,
    },
    /// Cargo could not list the packages.
    #[error(
        "the dependencies of {} cannot be listed: {reason}\nthe first preparation needs the network once, or \
         `cargo fetch --locked` done before",
        manifest.display()
    )]
    Cargo {
        /// The workspace's manifest.
        manifest: PathBuf,
        /// What Cargo said.
        reason: String,
    },
    /// A glob that does not parse.
    #[error("`{glob}`, a file pattern of the component `{component}`, does not parse: {reason}")]
    Glob {
        /// The component.
        component: String,
        /// The pattern.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No patterns, and no component that the source knows by that name.
    #[error(
        "the component `{component}` says no files, and `cargo:dependencies` knows only `code`, `prose` and `licences` \
         by name; give it patterns, such as `**/*.rs`"
    )]
    UnknownComponent {
        /// The component.
        component: String,
    },
    /// Nothing matched.
    #[error(
        "no file of the source belongs to the component `{component}` ({globs}); a file belongs to the first component \
         of the mix that matches it"
    )]
    Empty {
        /// The component.
        component: String,
        /// Its patterns.
        globs: String,
    },
    /// A document beyond what an `.idx` file can say.
    #[error("{} has {tokens} tokens; a token file holds documents of at most 2147483647", path.display())]
    DocumentTooLong {
        /// The document.
        path: PathBuf,
        /// Its length.
        tokens: u64,
    },
    /// An id beyond what the token file's type holds.
    #[error("{}: the id {id} does not fit into {kind}", path.display())]
    IdTooLarge {
        /// Where it stands.
        path: PathBuf,
        /// The id.
        id: u32,
        /// The type.
        kind: Kind,
    },
    /// A name that means no file.
    #[error("`{name}` means no file of text")]
    NoInput {
        /// A path, a folder or a glob.
        name: String,
    },
    /// A file that cannot be read on.
    #[error("{at}: {reason}")]
    Read {
        /// Where it ended.
        at: At,
        /// What the system or the unpacking says.
        reason: String,
    },
    /// A line or file without a document.
    #[error("{at}: {fault}")]
    BadRecord {
        /// Where it is.
        at: At,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A file that is no tokenizer.
    #[error("{} is no tokenizer that can be used: {reason}", path.display())]
    NoTokenizer {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A text that the tokenizer cannot turn into ids.
    #[error("{at}: the tokenizer cannot read it: {reason}")]
    Encode {
        /// Where the text is.
        at: At,
        /// What the tokenizer says.
        reason: String,
    },
    /// A tokenizer that cannot be trained.
    #[error("no tokenizer can be trained: {reason}")]
    Training {
        /// Why.
        reason: String,
    },
    /// Somebody else writes the same output.
    #[error("another process is writing {}", path.display())]
    Busy {
        /// The output.
        path: PathBuf,
    },
    /// An output that is there and was made from something else.
    #[error("{} is there already, made from other text or in another way", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// A component of several token files.
    #[error(
        "the component `{component}` has several token files, or token files among text; make each token file a component of its own"
    )]
    ManyTokenFiles {
        /// The component.
        component: String,
    },
    /// Ids that the model has no rows for.
    #[error(
        "the component `{component}` has the id {largest}, the model's vocabulary has {vocab} rows: ids 0 to {}", vocab.saturating_sub(1)
    )]
    Vocabulary {
        /// The component.
        component: String,
        /// Its largest id.
        largest: u64,
        /// Rows of the vocabulary.
        vocab: u64,
    },
    /// A token file that is not what it should be.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what is there.
        problem: String,
    },
    /// The data is not that which the plan was made for.
    #[error(
        "component `{component}` of {origin} is not what the plan was made with: {} has the fingerprint {found} instead of {wanted}",
        file.display()
    )]
    Mismatch {
        /// The component.
        component: String,
        /// Where it comes from, as the spec says it.
        origin: String,
        /// Its tokens, or the folder where there are none.
        file: PathBuf,
        /// What is there.
        found: Box<str>,
        /// What the plan names.
        wanted: Box<str>,
    },
    /// The system has no cache folder for this user.
    #[error("this user has no cache folder; set HOME or XDG_CACHE_HOME")]
    NoCache,
}

impl DataError {
    /// A file that cannot be believed.
    pub(crate) fn damaged(path: &Path, problem: impl std::fmt::Display) -> DataError {
        DataError::Damaged {
            path: path.to_path_buf(),
            problem: problem.to_string(),
        }
    }
}
