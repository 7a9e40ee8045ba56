//! The short way from text to ids for byte-level BPE as GPT-2 and GPT-NeoX have it: words that were met before are looked up.
//!
//! In comes text, out come the ids that the library gives for it, which the tests hold it to. Parts that are ASCII are cut into words here, as the expression of
//! these tokenizers cuts them; lines with other letters go to the library, and so does everything of a tokenizer of another kind. A text may be cut between a single
//! line feed and a visible character: no word and no added token reaches over it.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use aho_corasick::{AhoCorasick, MatchKind};
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{Model as _, Tokenizer};

/// Words that are remembered, and the longest of them.
const MOST_WORDS: usize = 1 << 18;
const LONGEST_WORD: usize = 64;

/// What is remembered of a tokenizer.
pub(super) struct Words {
    /// Added tokens: those that are looked for first, and the others, each with their ids.
    added: [Option<(AhoCorasick, Vec<u32>)>; 2],
    /// Where a word's ids are.
    known: HashMap<Box<[u8]>, (u32, u32), BuildHasherDefault<Mixer>>,
    ids: Vec<u32>,
}

/// Where a part of a text goes.
enum Part<'t> {
    Ascii(&'t str),
    Other(&'t str),
}

impl Words {
    /// The short way of a tokenizer; none where there is only the long one.
    pub fn new(inner: &Tokenizer) -> Option<Words> {
        let bytes = match inner.get_pre_tokenizer() {
            Some(PreTokenizerWrapper::ByteLevel(bytes)) => bytes,
            _ => return None,
        };
        let plain = matches!(
            inner.get_normalizer(),
            None | Some(NormalizerWrapper::NFC(_))
        );
        let certain = matches!(inner.get_model(), ModelWrapper::BPE(bpe) if bpe.dropout.is_none());
        if bytes.add_prefix_space || !bytes.use_regex || !plain || !certain {
            return None;
        }
        let added = inner.get_added_tokens_decoder();
        let simple = added.values().all(|token| {
            let stays = !token.lstrip && !token.rstrip && !token.single_word;
            stays && !token.content.is_empty() && !token.content.contains('\n')
        });
        if !simple || inner.get_encode_special_tokens() {
            return None;
        }
        let finder = |normalized: bool| {
            let wanted = added
                .iter()
                .filter(|(_, token)| token.normalized == normalized);
            let (ids, contents): (Vec<u32>, Vec<&str>) = wanted
                .map(|(&id, token)| (id, token.content.as_str()))
                .unzip();
            let mut builder = AhoCorasick::builder();
            let built = builder
                .match_kind(MatchKind::LeftmostLongest)
                .build(&contents);
            built
                .ok()
                .map(|finder| (!ids.is_empty()).then_some((finder, ids)))
        };
        Some(Words {
            added: [finder(false)?, finder(true)?],
            known: HashMap::default(),
            ids: Vec::new(),
        })
    }

    /// Appends the ids of a text.
    pub fn encode(
        &mut self,
        inner: &Tokenizer,
        text: &str,
        out: &mut Vec<u32>,
    ) -> tokenizers::Result<()> {
        let mut rest = text;
        while !rest.is_empty() {
            let (part, behind) = split(rest);
            match part {
                Part::Ascii(part) => self.added(inner, part.as_bytes(), 0, out)?,
                Part::Other(part) => {
                    out.extend_from_slice(inner.encode_fast(part, false)?.get_ids())
                }
            }
            rest = behind;
        }
        Ok(())
    }

    /// Cuts at the added tokens of one kind, then at those of the next.
    fn added(
        &mut self,
        inner: &Tokenizer,
        text: &[u8],
        kind: usize,
        out: &mut Vec<u32>,
    ) -> tokenizers::Result<()> {
        let Some(found) = self.added.get(kind) else {
            return self.words(inner, text, out);
        };
        let matches: Vec<(usize, usize, u32)> =
            found.as_ref().map_or_else(Vec::new, |(finder, ids)| {
                let all = finder.find_iter(text);
                all.map(|found| (found.start(), found.end(), ids[found.pattern().as_usize()]))
                    .collect()
            });
        let mut start = 0;
        for (from, to, id) in matches {
            self.added(inner, &text[start..from], kind + 1, out)?;
            out.push(id);
            start = to;
        }
        self.added(inner, &text[start..], kind + 1, out)
    }

    fn words(
        &mut self,
        inner: &Tokenizer,
        text: &[u8],
        out: &mut Vec<u32>,
    ) -> tokenizers::Result<()> {
        let mut start = 0;
        while start < text.len() {
            let end = start + word(&text[start..]);
            self.word(inner, &text[start..end], out)?;
            start = end;
        }
        Ok(())
    }

    fn word(
        &mut self,
        inner: &Tokenizer,
        word: &[u8],
        out: &mut Vec<u32>,
    ) -> tokenizers::Result<()> {
        if let Some(&(from, to)) = self.known.get(word) {
            out.extend_from_slice(&self.ids[from as usize..to as usize]);
            return Ok(());
        }
        let letters: String = word.iter().map(|&byte| letter(byte)).collect();
        let found = inner.get_model().tokenize(&letters)?;
        out.extend(found.iter().map(|token| token.id));
        if word.len() <= LONGEST_WORD {
            if self.known.len() >= MOST_WORDS {
                self.known.clear();
                self.ids.clear();
            }
            let from = self.ids.len() as u32;
            self.ids.extend(found.iter().map(|token| token.id));
            self.known
                .insert(word.into(), (from, self.ids.len() as u32));
        }
        Ok(())
    }
}

/// The stand-in of an ASCII byte.
fn letter(byte: u8) -> char {
    let above = match byte {
        b'!'..=b'~' => 0,
        // All bytes below `!` come first, then this one.
        0x7f => 0x100 + 0x21 - 0x7f,
        _ => 0x100,
    };
    char::from_u32(u32::from(byte) + above).unwrap_or('\u{fffd}')
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// Letters, digits, and everything else that is no space.
fn class(byte: u8) -> u8 {
    match byte {
        byte if is_space(byte) => 0,
        byte if byte.is_ascii_alphabetic() => 1,
        byte if byte.is_ascii_digit() => 2,
        _ => 3,
    }
}

/// How long the first word of an ASCII text is.
fn word(text: &[u8]) -> usize {
    let run = |from: usize, wanted: u8| {
        let others = text[from..].iter().position(|&byte| class(byte) != wanted);
        others.map_or(text.len(), |length| from + length)
    };
    match text {
        [b'\'', b's' | b't' | b'm' | b'd', ..] => 2,
        [b'\'', b'r' | b'v', b'e', ..] | [b'\'', b'l', b'l', ..] => 3,
        [b' ', next, ..] if !is_space(*next) => run(1, class(*next)),
        [first, ..] if !is_space(*first) => run(0, class(*first)),
        _ => match run(0, 0) {
            // The last of several spaces belongs to what follows.
            length if length < text.len() && length > 1 => length - 1,
            length => length,
        },
    }
}

/// Whether a text may be cut here.
fn cuts(text: &[u8], at: usize) -> bool {
    let visible = |at: usize| {
        text.get(at)
            .is_some_and(|&byte| byte.is_ascii() && !is_space(byte))
    };
    at >= 2 && text[at - 1] == b'\n' && visible(at - 2) && visible(at)
}

/// The first part of a text, and what is behind it.
fn split(text: &str) -> (Part<'_>, &str) {
    let bytes = text.as_bytes();
    let Some(other) = bytes.iter().position(|byte| !byte.is_ascii()) else {
        return (Part::Ascii(text), "");
    };
    let before = (1..=other).rev().find(|&at| cuts(bytes, at));
    if let Some(at) = before {
        return (Part::Ascii(&text[..at]), &text[at..]);
    }
    let behind = (other + 1..bytes.len()).find(|&at| cuts(bytes, at));
    let at = behind.unwrap_or(bytes.len());
    (Part::Other(&text[..at]), &text[at..])
}

/// A quick hash of short words, eight bytes at a time.
#[derive(Default)]
pub(super) struct Mixer(u64);

impl std::hash::Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            let mixed = (self.0 ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 = mixed.rotate_left(23);
        }
    }
}
