//! The byte-level tokenizer as `tokenizer.json`: id and byte are the same number.
//!
//! Nothing comes in; out come two JSON files. A byte-pair tokenizer without merges over the printable stand-ins for bytes that GPT-2 introduced
//! gives one id per byte; id 0, which separates documents, is the end-of-text token.

use serde_json::{Map, Value, json};

/// What stands for id 0.
const END_OF_TEXT: &str = "<|endoftext|>";

/// `tokenizer.json` of the byte-level vocabulary.
pub(super) fn tokenizer() -> Value {
    let vocabulary: Map<String, Value> = stand_ins()
        .zip(0u32..)
        .map(|(letter, id)| {
            let name = if id == 0 {
                END_OF_TEXT.to_owned()
            } else {
                letter.to_string()
            };
            (name, json!(id))
        })
        .collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [{
            "id": 0, "content": END_OF_TEXT, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        }],
        "normalizer": null,
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false
        },
        "post_processor": null,
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false
        },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": []
        }
    })
}

/// `tokenizer_config.json` for a model of these many positions.
pub(super) fn configuration(positions: u64) -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "model_max_length": positions,
        "clean_up_tokenization_spaces": false
    })
}

/// The letter that stands for each byte: itself where it is printable in Latin-1, else the next one from U+0100 on.
fn stand_ins() -> impl Iterator<Item = char> {
    let mut next = 0x100u32;
    (0u32..256).map(move |byte| {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let code = if printable {
            byte
        } else {
            next += 1;
            next - 1
        };
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        let letters: Vec<char> = stand_ins().collect();
        assert_eq!(
            (letters[0], letters[32], letters[65], letters[255]),
            ('Ā', 'Ġ', 'A', 'ÿ')
        );
        let distinct: std::collections::BTreeSet<char> = letters.iter().copied().collect();
        assert_eq!((letters.len(), distinct.len()), (256, 256));
    }
}
