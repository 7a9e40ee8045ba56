//! What can be asked of data: planning needs one stream of documents that are all learnt from; running it, text that can be read here.

use pleach_dsl::experiment::{Dataset, Experiment, Order, Pack, Records};

use super::Unsupported;

/// The source that is read as bytes.
const DEPENDENCIES: &str = "cargo:dependencies";
/// What begins the name of a file of one's own.
const FILE: &str = "file:";
/// What begins a name on the Hugging Face Hub.
const HUB: &str = "hf:";
/// Tokenizers that need no file.
const BUILT_IN: [&str; 2] = ["bytes", "characters"];

/// Everything of `data` that would be another program: masks of attention and of the loss.
pub fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let data = &experiment.data;
    let refused = [
        (
            data.reset_attention_mask,
            "data.reset_attention_mask",
            "attention that ends with a document",
        ),
        (
            data.reset_position_ids,
            "data.reset_position_ids",
            "positions that begin with a document",
        ),
        (
            data.eod_mask_loss,
            "data.eod_mask_loss",
            "a loss without the ends of documents",
        ),
    ];
    let refused = refused.into_iter().filter(|(refused, ..)| *refused);
    found.extend(refused.map(|(_, path, what)| Unsupported { path, what }));
}

/// Whether some targets do not count in the loss.
pub fn is_weighted(data: &Dataset) -> bool {
    let answers = matches!(
        data.records,
        Records::Instructions {
            answers_only: true,
            ..
        }
    );
    // What fills a sample of whole documents up does not count either.
    answers || data.pack != Pack::Stream
}

/// What of the data a run would have to leave out, beside a source and a tokenizer that are not there.
pub fn unread(experiment: &Experiment) -> Vec<Unsupported> {
    let data = &experiment.data;
    let instructions = matches!(data.records, Records::Instructions { .. });
    let refused = [
        (
            data.mix.iter().any(|component| {
                let own = component.source.as_ref();
                own.is_some_and(|own| !is_text(own) || !is_text(&data.source))
            }),
            "data.mix",
            "a component with a source of its own beside others than files and names of the Hub",
        ),
        (
            instructions && data.order == Order::GptNeox,
            "data.order",
            "the order `gpt_neox` over prompts and answers, which are sequences of their own",
        ),
        (
            data.pack != Pack::Stream && data.order == Order::GptNeox,
            "data.order",
            "the order `gpt_neox` of whole documents",
        ),
        (
            instructions && !is_text(&data.source),
            "data.records",
            "instructions from another source than files and names of the Hub",
        ),
        (
            data.order == Order::Megatron,
            "data.order",
            "the order `megatron`",
        ),
    ];
    let refused = refused.into_iter().filter(|(refused, ..)| *refused);
    refused
        .map(|(_, path, what)| Unsupported { path, what })
        .collect()
}

/// Whether a run can read the data as the spec says.
pub fn is_read(experiment: &Experiment) -> bool {
    let Dataset {
        source, tokenizer, ..
    } = &experiment.data;
    let of_bytes = source == DEPENDENCIES && tokenizer == "bytes";
    let of_text = is_text(source) && (BUILT_IN.contains(&tokenizer.as_str()) || is_text(tokenizer));
    (of_bytes || of_text) && unread(experiment).is_empty()
}

/// Whether a name is that of files, here or on the Hub.
fn is_text(name: &str) -> bool {
    name.starts_with(FILE) || name.starts_with(HUB)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A small run with lines of its own in `data`.
    fn experiment(lines: &str) -> Experiment {
        let text = format!(
            "import \"presets/clusters.pleach\"\n\
             dataset text {{\n source = \"cargo:dependencies\"\n tokenizer = \"bytes\"\n{lines}\n}}\n\
             experiment small {{\n\
             model = transformer {{ layers = 4, hidden = 256, heads = 8, context = 256 tokens, vocab = 512 }}\n\
             data = text\n\
             train {{ steps = 100 steps, global_batch = 16 sequences, lr = cosine {{ peak = 1e-3 }} }}\n\
             cluster = this_machine {{ gpus_per_node = 1 }}\n}}\n"
        );
        let files = BTreeMap::from([("main.pleach".to_owned(), text)]);
        let loaded = pleach_dsl::load("main.pleach", &files, &[], None);
        let problems = loaded.problems.render(false);
        loaded.experiment.unwrap_or_else(|| panic!("{problems}"))
    }

    #[test]
    fn every_field_that_is_not_built_is_named() {
        let planned = [
            ("data.reset_attention_mask", "reset_attention_mask = true"),
            ("data.reset_position_ids", "reset_position_ids = true"),
            ("data.eod_mask_loss", "eod_mask_loss = true"),
        ];
        for (path, lines) in planned {
            let found = super::super::check(&experiment(lines));
            assert!(found.iter().any(|found| found.path == path), "{lines}");
        }
        let read = [
            ("data.records", "records = instructions"),
            (
                "data.order",
                "records = instructions { loss = all }, order = gpt_neox",
            ),
            ("data.order", "order = megatron"),
            ("data.order", "pack = documents, order = gpt_neox"),
            (
                "data.mix",
                "mix = table {\nname | source | weight\na | \"hf:a/b\" | 100%\n}",
            ),
        ];
        for (path, lines) in read {
            let experiment = experiment(lines);
            assert_eq!(super::super::check(&experiment), [], "{lines}");
            let found = unread(&experiment);
            assert!(found.iter().any(|found| found.path == path), "{lines}");
            assert!(!is_read(&experiment), "{lines}");
        }
        let whole = [
            "",
            "split = [100%]",
            "split = [99%, 1%]",
            "repeat = 3",
            "pack = documents",
            "pack = none",
            "order_seed = 7",
            "order = gpt_neox",
            "order = sequential",
            "bad_lines = skip",
            "append_eod = true",
            "records = documents { text = \"body\" }",
        ];
        for lines in whole {
            assert!(is_read(&experiment(lines)), "{lines}");
        }
        let read = |source: &str, tokenizer: &str| {
            let mut elsewhere = experiment("");
            elsewhere.data.source = source.to_owned();
            elsewhere.data.tokenizer = tokenizer.to_owned();
            is_read(&elsewhere)
        };
        assert!(read("hf:someone/text", "bytes") && read("file:text", "hf:gpt2"));
        assert!(!read("cargo:dependencies", "characters"));
        assert!(read("file:text", "characters") && read("file:text", "file:tokenizer.json"));
    }
}
