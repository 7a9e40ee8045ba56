//! Fields of a dataset: where its text is, how it becomes tokens, in which shares, in which order, and what of it is learnt from.
//!
//! One `source` (or one for each component) with globs stands for what others spread over lists of paths; a mix is a table, since its
//! columns belong together. Resets, masks and the token at a document's end keep the names of Megatron and GPT-NeoX. What a
//! line of a file holds is `records`, so that the fields of instructions exist only where there are instructions. How fast
//! files are read (workers, prefetching) changes no sample and is no part of a spec. All but `source`, `tokenizer` and `mix` stay out
//! of the experiment's hash while they have their defaults.

use super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// What a line of the files holds.
const RECORDS: &[&Section] = &[&DOCUMENTS, &INSTRUCTIONS];

/// In which order samples come.
const ORDERS: &[&str] = &["counter", "gpt_neox", "megatron", "sequential"];

/// How documents become samples.
const PACKS: &[&str] = &["stream", "documents", "none"];

/// What a line that cannot be read does.
const BAD_LINES: &[&str] = &["stop", "skip"];

/// Which tokens of an instruction are learnt.
const LEARNT: &[&str] = &["answers", "all"];

/// A dataset: a source, a tokenizer and a mix.
pub static DATASET: Section = Section {
    name: "dataset",
    doc: "Text, how it becomes tokens, and in which shares.",
    fields: &[
        Field::new(
            "about",
            Type::Text,
            Need::Optional,
            "What the data is; it changes nothing.",
        ),
        Field::new(
            "source",
            Type::Text,
            Need::Required,
            "Where it comes from: `cargo:dependencies`, `hf:ORGANISATION/NAME`, or `file:PATH` below the spec's folder (text, JSONL, \
             also compressed, Parquet, or token files as Megatron and GPT-NeoX write them).",
        ),
        Field::new(
            "tokenizer",
            Type::Text,
            Need::Required,
            "`bytes`, `characters`, `hf:ORGANISATION/NAME`, or `file:PATH/tokenizer.json`.",
        ),
        Field::new(
            "mix",
            Type::Table(&MIX),
            Need::Optional,
            "The components and their shares.",
        ),
        Field::new(
            "tokens",
            Type::Whole(Dimension::TOKENS),
            Need::Optional,
            "How many tokens one pass has, where the mix does not say it; nothing follows from it but a warning when a run asks for more.",
        ),
        Field::new(
            "repeat",
            Type::Number(Dimension::NONE),
            Need::Default("1"),
            "How often the data may be passed over before it is worth a warning.",
        ),
        Field::new(
            "split",
            Type::Numbers,
            Need::Optional,
            "Shares of the documents for training, validation and test.",
        ),
        Field::new(
            "records",
            Type::Variant(RECORDS),
            Need::Default("documents"),
            "What a line of a file holds.",
        )
        .quiet(),
        Field::new(
            "bad_lines",
            Type::Words(BAD_LINES),
            Need::Default("stop"),
            "What a line that cannot be read does: stop, or be skipped and counted.",
        )
        .quiet(),
        Field::new(
            "append_eod",
            Type::Truth,
            Need::Default("tokenizer != \"bytes\""),
            "Whether the tokenizer's end-of-document token follows each document; bytes have none.",
        )
        .quiet(),
        Field::new(
            "eod_mask_loss",
            Type::Truth,
            Need::Default("false"),
            "Whether predicting the end of a document is left out of the loss.",
        )
        .quiet(),
        Field::new(
            "pack",
            Type::Words(PACKS),
            Need::Default("stream"),
            "How documents become samples: one stream cut at every `context` tokens, whole documents as long as another fits, \
             or `none`: one document a sample.",
        )
        .quiet(),
        Field::new(
            "reset_attention_mask",
            Type::Truth,
            Need::Default("false"),
            "Whether attention ends where a document does.",
        )
        .quiet(),
        Field::new(
            "reset_position_ids",
            Type::Truth,
            Need::Default("false"),
            "Whether positions begin anew with every document.",
        )
        .quiet(),
        Field::new(
            "order",
            Type::Words(ORDERS),
            Need::Default("counter"),
            "In which order samples come: a permutation counted from the seed, the shuffled indices of GPT-NeoX or of Megatron, or as the files have them.",
        )
        .quiet(),
        Field::new(
            "order_seed",
            Type::Count(0),
            Need::Default("seed"),
            "Seed of the order alone, so that runs can differ in their data but not in their initial weights.",
        )
        .quiet(),
    ],
    later: &["filter"],
};

static DOCUMENTS: Section = Section {
    name: "documents",
    doc: "A document a line.",
    fields: &[Field::new(
        "text",
        Type::Text,
        Need::Default("\"text\""),
        "Key of the text in JSONL, or its column in Parquet.",
    )
    .quiet()],
    later: &[],
};

static INSTRUCTIONS: Section = Section {
    name: "instructions",
    doc: "A prompt and its answer a line.",
    fields: &[
        Field::new(
            "prompt",
            Type::Text,
            Need::Default("\"prompt\""),
            "Key of the prompt.",
        ),
        Field::new(
            "answer",
            Type::Text,
            Need::Default("\"answer\""),
            "Key of the answer.",
        ),
        Field::new(
            "loss",
            Type::Words(LEARNT),
            Need::Default("answers"),
            "Which tokens count in the loss: those of answers, or all.",
        ),
    ],
    later: &[],
};

/// The columns of a mix.
pub static MIX: Section = Section {
    name: "mix",
    doc: "One component a row. Its share is its `weight`; else `tokens`, `size` or `documents` (the first that every row has) times `epochs`, over the total.",
    fields: &[
        Field::new("name", Type::Text, Need::Required, "The component."),
        Field::new(
            "source",
            Type::Text,
            Need::Optional,
            "Where it comes from, if not from the dataset's source.",
        ),
        Field::new(
            "files",
            Type::Texts,
            Need::Optional,
            "Globs over the source's files.",
        ),
        Field::new(
            "weight",
            Type::Fraction,
            Need::Optional,
            "Its share of the tokens.",
        ),
        Field::new(
            "tokens",
            Type::Whole(Dimension::TOKENS),
            Need::Optional,
            "How many tokens it has.",
        ),
        Field::new(
            "size",
            Type::Number(Dimension::BYTES),
            Need::Optional,
            "Its size.",
        ),
        Field::new(
            "documents",
            Type::Count(1),
            Need::Optional,
            "How many documents it has.",
        ),
        Field::new(
            "epochs",
            Type::Number(Dimension::NONE),
            Need::Optional,
            "How often it is passed over while the whole mix is passed once.",
        ),
        Field::new(
            "repeat",
            Type::Number(Dimension::NONE),
            Need::Optional,
            "How often it may be passed over, if not as often as the dataset's `repeat` times its `epochs`.",
        ),
    ],
    later: &[],
};
