//! The data of an experiment.

/// A dataset: text, how it becomes tokens, and in which shares and order they are trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Where it comes from: `cargo:dependencies`, `hf:…`, `file:…`.
    pub source: String,
    /// `bytes`, `characters`, `hf:…` or `file:…`.
    pub tokenizer: String,
    /// The components, shares summing to exactly one.
    pub mix: Vec<Component>,
    /// Tokens of one pass, where the spec says it for the whole.
    pub tokens: Option<u64>,
    /// How often it may be passed over.
    pub repeat: f64,
    /// Shares of the documents for training, validation and test; none where all are trained on.
    pub split: Option<Vec<f64>>,
    /// What a line of its files holds.
    pub records: Records,
    /// Whether a line that cannot be read is skipped; else it stops the run.
    pub skip_bad_lines: bool,
    /// Whether an end-of-document token follows each document.
    pub append_eod: bool,
    /// Whether predicting the end of a document is left out of the loss.
    pub eod_mask_loss: bool,
    /// How documents become samples.
    pub pack: Pack,
    /// Whether attention ends where a document does.
    pub reset_attention_mask: bool,
    /// Whether positions begin anew with every document.
    pub reset_position_ids: bool,
    /// In which order samples come.
    pub order: Order,
    /// Seed of that order, where it is not the run's.
    pub order_seed: Option<u64>,
}

impl Dataset {
    /// The whole of a source, as it is read by default.
    pub fn plain(name: &str, source: &str, tokenizer: &str) -> Dataset {
        Dataset {
            name: name.to_string(),
            source: source.to_string(),
            tokenizer: tokenizer.to_string(),
            mix: vec![Component {
                name: name.to_string(),
                source: None,
                files: Vec::new(),
                weight: [1, 1],
                size: None,
                tokens: None,
                documents: None,
                repeat: None,
            }],
            tokens: None,
            repeat: 1.0,
            split: None,
            records: Records::Documents {
                text: "text".to_string(),
            },
            skip_bad_lines: false,
            append_eod: tokenizer != "bytes",
            eod_mask_loss: false,
            pack: Pack::Stream,
            reset_attention_mask: false,
            reset_position_ids: false,
            order: Order::Counter,
            order_seed: None,
        }
    }
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// A document.
    Documents {
        /// Key of its text.
        text: String,
    },
    /// A prompt and its answer.
    Instructions {
        /// Key of the prompt.
        prompt: String,
        /// Key of the answer.
        answer: String,
        /// Whether only answers count in the loss.
        answers_only: bool,
    },
}

/// How documents become samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pack {
    /// One stream, cut at every `context` tokens.
    Stream,
    /// Whole documents as long as another fits; the rest of the sample is filled up.
    Documents,
    /// One document a sample.
    Single,
}

/// In which order samples come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A permutation counted from the seed.
    Counter,
    /// GPT-NeoX's document, sample and shuffle index.
    GptNeox,
    /// Megatron-LM's, whose last epoch can be shuffled apart.
    Megatron,
    /// As the files have them.
    Sequential,
}

/// One component of a mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Where it comes from, if not from the dataset's source.
    pub source: Option<String>,
    /// Globs over the source's files; empty where the source knows the component by name.
    pub files: Vec<String>,
    /// Its share as an exact fraction: numerator and denominator.
    pub weight: [u64; 2],
    /// Its size in bytes, where the spec says it.
    pub size: Option<u64>,
    /// Its tokens, where the spec says it.
    pub tokens: Option<u64>,
    /// Its documents, where the spec says it.
    pub documents: Option<u64>,
    /// How often it may be passed over, where the spec says it of this component.
    pub repeat: Option<f64>,
}
