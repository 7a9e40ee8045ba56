//! The built-in tokenizers, and one that is trained here.

use std::fs;
use std::path::Path;

use super::*;
use crate::text::Fields;

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    tokenizer.document(text, &mut ids).unwrap();
    ids
}

#[test]
fn bytes_and_characters_end_documents_with_zero() {
    let open = |name| Tokenizer::open(name, Path::new("."), false).unwrap();
    let (bytes, characters) = (open("bytes"), open("characters"));
    assert_eq!(ids(&bytes, "aé"), [97, 195, 169, 0]);
    assert_eq!(ids(&characters, "aé😀"), [97, 233, 128_512, 0]);
    assert!(ids(&bytes, "").is_empty());
    let mut out = Vec::new();
    assert_eq!(bytes.document("a\0\0b", &mut out), Ok(2));
    assert_eq!(characters.document("\0c", &mut out), Ok(1));
    assert_eq!(out, [97, 98, 0, 99, 0]);
    assert_eq!((bytes.kind(), characters.kind()), (Kind::U8, Kind::I32));
    assert_eq!(bytes.text(&[97, 195, 169]), "aé");
    assert_eq!(characters.text(&[97, 128_512]), "a😀");
}

/// A tokenizer of so many ids, trained on a little code.
fn trained(folder: &Path, size: u64) -> PathBuf {
    let text = "fn main() {\n        let number = 12;\n    println!(\"{number}\");\n}\n";
    fs::write(folder.join("a.txt"), text.repeat(50)).unwrap();
    fs::write(
        folder.join("b.jsonl"),
        "{\"text\": \"let it be\"}\n\n{\"text\": \"naïve\"}\n",
    )
    .unwrap();
    let training = Training {
        from: vec![folder.join("a.txt"), folder.join("b.jsonl")],
        fields: Fields {
            text: "text".into(),
        },
        size,
        skip_bad_lines: false,
    };
    let (content, count) = train(&training).unwrap();
    assert_eq!(count, size);
    assert_eq!(train(&training).unwrap().0, content, "twice the same");
    let path = folder.join("tokenizer.json");
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_trained_tokenizer_has_runs_of_spaces_and_gives_texts_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = trained(folder.path(), 320);
    let tokenizer = Tokenizer::open("file:tokenizer.json", folder.path(), true).unwrap();
    assert_eq!(tokenizer.ids(), 320);
    assert_eq!(tokenizer.kind(), Kind::U16);
    assert_eq!(
        tokenizer.fingerprint(),
        blake3::hash(&fs::read(path).unwrap()).to_hex().as_str()
    );
    // The runs stand at the end, the longest first: two spaces are the last id, eight the last but six.
    assert_eq!(ids(&tokenizer, "  ")[0], 319);
    assert_eq!(ids(&tokenizer, "        let")[0], 313);
    for text in ["let number = 12;", "naïve 😀\n\tx", " one", "        eight"] {
        let found = ids(&tokenizer, text);
        assert_eq!(found.last(), Some(&0));
        assert_eq!(tokenizer.text(&found[..found.len() - 1]), text);
    }
    assert!(ids(&tokenizer, "").is_empty());
}

#[test]
fn what_is_no_tokenizer_is_said() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let error = |name: &str| {
        Tokenizer::open(name, folder.path(), false)
            .unwrap_err()
            .to_string()
    };
    assert!(error("file:tokenizer.json").contains("tokenizer.json is no tokenizer"));
    assert!(error("file:other.json").starts_with("cannot read"));
    assert!(error("gpt2").contains("`gpt2`"));
    let training = Training {
        from: vec![folder.path().join("tokenizer.json")],
        fields: Fields {
            text: "text".into(),
        },
        size: 280,
        skip_bad_lines: false,
    };
    assert!(
        train(&training)
            .unwrap_err()
            .to_string()
            .contains("need 281")
    );
    let error = train(&Training {
        size: 300,
        ..training
    })
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("tokenizer.json:1: the key is missing"),
        "{error}"
    );
}
