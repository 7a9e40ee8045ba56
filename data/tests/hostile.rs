//! Damaged and hostile files: the checks of `data/fuzz`, on a fixed number of inputs.

use std::fs;
use std::path::Path;

use pleach_data::tokens::{Kind, TokenWriter};

#[path = "../fuzz/checks/index.rs"]
mod index;
#[path = "../fuzz/checks/lines.rs"]
mod lines;

/// Inputs of each kind.
const INPUTS: usize = 3000;

/// A stream of numbers that is the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % most.max(1)
    }
}

/// Some bytes changed, cut off or put in.
fn damage(chance: &mut Chance, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + chance.below(4) {
        let at = chance.below(bytes.len());
        match chance.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, chance.below(256) as u8),
            2 if !bytes.is_empty() => bytes[at] = 0xff,
            3 if !bytes.is_empty() => bytes[at] = 0,
            4 => bytes.extend_from_within(at..),
            _ if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
            _ => {}
        }
    }
    bytes
}

fn sample(folder: &Path, kind: Kind) -> (Vec<u8>, u64) {
    let path = folder.join("whole.bin");
    let mut writer = TokenWriter::create(&path, kind).expect("it can be created");
    for length in [3u32, 0, 7, 1] {
        let ids: Vec<u32> = (0..length).collect();
        writer.ids(&ids, &path).expect("it can be written");
    }
    writer.finish(1).expect("it can be finished");
    let size = fs::metadata(&path).expect("it is there").len();
    (
        fs::read(path.with_extension("idx")).expect("it is there"),
        size,
    )
}

#[test]
fn a_damaged_index_is_refused_or_stays_inside_of_its_tokens() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    for kind in [Kind::U8, Kind::U16, Kind::I32] {
        let (whole, size) = sample(folder.path(), kind);
        index::index(folder.path(), &whole, size);
        for _ in 0..INPUTS / 3 {
            let other = if chance.below(4) == 0 {
                chance.below(200) as u64
            } else {
                size
            };
            index::index(folder.path(), &damage(&mut chance, &whole), other);
        }
    }
}

#[test]
fn lines_are_read_whole_whatever_is_in_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let whole = "{\"text\": \"a\\u00e9\\n\", \"n\": [1, {\"b\": null}]}\n\n{\"body\": 1}\r\n{\"text\": \"naïve\"}\n[]\n{\"text\": 3}";
    lines::lines(folder.path(), whole.as_bytes());
    lines::lines(folder.path(), &whole.as_bytes().repeat(20_000));
    for _ in 0..INPUTS {
        lines::lines(folder.path(), &damage(&mut chance, whole.as_bytes()));
    }
}
