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
            answer: None,
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

/// What the library gives, without the short way.
fn slow(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let Means::File(library) = &tokenizer.means else {
        panic!("a tokenizer of a file")
    };
    let found = library.inner.encode_fast(text, false).unwrap();
    found.get_ids().to_vec()
}

/// Pieces of which texts are made: what words begin and end with, added tokens and halves of them, letters that compose.
const PIECES: [&str; 40] = [
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    "\u{b}",
    "\u{1c}",
    "\u{7f}",
    "\0",
    "'",
    "'s",
    "'ll",
    "'r",
    "'ve",
    "a",
    "let",
    "number",
    "I",
    "0",
    "12",
    ".",
    "();",
    "{",
    "\"",
    "_",
    "é",
    "e\u{301}",
    "\u{301}",
    "\u{a0}",
    "\u{2028}",
    "½",
    "😀",
    "ー",
    "<|endoftext|>",
    "<|endof",
    "|>",
    "x\ny",
    "x\n y",
];

#[test]
fn the_short_way_is_that_of_the_library() {
    let folder = tempfile::tempdir().unwrap();
    trained(folder.path(), 320);
    let tokenizer = Tokenizer::open("file:tokenizer.json", folder.path(), false).unwrap();
    let Means::File(library) = &tokenizer.means else {
        panic!("a tokenizer of a file")
    };
    assert!(library.words.is_some());
    let mut chance = 0x2545_f491_4f6c_dd1du64;
    for round in 0..20_000 {
        let mut text = String::new();
        for _ in 0..round % 23 {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            // Few pieces that are not ASCII in most texts, so that both ways meet.
            let among = if chance >> 60 == 0 { PIECES.len() } else { 27 };
            text.push_str(PIECES[(chance >> 8) as usize % among]);
        }
        assert_eq!(ids(&tokenizer, &text), slow(&tokenizer, &text), "{text:?}");
    }
    let code = include_str!("words.rs");
    assert_eq!(ids(&tokenizer, code), slow(&tokenizer, code));
}

#[test]
fn a_tokenizer_of_another_kind_goes_the_long_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = trained(folder.path(), 320);
    let text = fs::read_to_string(&path).unwrap();
    let other = text.replacen(
        "\"add_prefix_space\": false",
        "\"add_prefix_space\": true",
        1,
    );
    assert_ne!(other, text);
    fs::write(&path, other).unwrap();
    let tokenizer = Tokenizer::open("file:tokenizer.json", folder.path(), false).unwrap();
    assert_eq!(
        ids(&tokenizer, "let it\nbe"),
        slow(&tokenizer, "let it\nbe")
    );
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
            answer: None,
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
