//! What several tests share: the repository's own files, and files held in memory.

use std::collections::BTreeMap;

use pleach_dsl::{Failure, Loaded, Loader, load};

/// Reads files below the repository's root.
pub struct Repository;

impl Loader for Repository {
    fn load(&self, path: &str) -> Result<String, Failure> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        std::fs::read_to_string(format!("{root}/{path}")).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::Missing,
            _ => Failure::Unreadable(error.to_string()),
        })
    }
}

/// Loads a text as the only file.
pub fn load_text(text: &str) -> Loaded {
    load(
        "main.pleach",
        &BTreeMap::from([("main.pleach".to_string(), text.to_string())]),
        &[],
        None,
    )
}

/// A small complete spec into which a test puts its own lines.
pub fn small(model: &str, rest: &str) -> String {
    format!(
        "import \"presets/clusters.pleach\"\n\
         dataset text {{ source = \"hf:a/b\", tokenizer = \"bytes\" }}\n\
         experiment small {{\n\
         model = transformer {{\n layers = 4\n hidden = 256\n heads = 8\n context = 256 tokens\n vocab = 256\n{model}\n}}\n\
         data = text\n\
         train {{ steps = 100 steps, global_batch = 16 sequences, lr = cosine {{ peak = 1e-3 }} }}\n\
         cluster = a100_80g {{ nodes = 1 }}\n\
         {rest}\n}}\n"
    )
}
