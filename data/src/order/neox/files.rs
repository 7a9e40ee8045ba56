//! The index files of GPT-NeoX, which it keeps beside the data: `…_doc_idx.npy`, `…_sample_idx.npy`, `…_shuffle_idx.npy`.
//!
//! In come the indices of one component and the prefix that GPT-NeoX would give them; out come its three files, or the first place where
//! files that are there say something else. Their names hold the number of samples, the length and the seed, but not the data, so a
//! file of the right name may belong to other data: comparing is how that is found.

use std::path::PathBuf;

use super::npy::{self, Number, Numbers};
use super::{Indices, Start};
use crate::DataError;

/// What the names of a component's files hold.
#[derive(Clone, Debug)]
pub struct Named {
    /// The token file without its ending, or wherever they shall be.
    pub prefix: PathBuf,
    /// What GPT-NeoX calls it: `train`, or `train_0` where there are weights.
    pub name: String,
    /// Samples that are asked of it.
    pub samples: u64,
    /// Tokens of a sample.
    pub sequence: u64,
    /// The seed.
    pub seed: u32,
}

impl Named {
    /// The files: documents, samples, shuffle.
    pub fn paths(&self) -> [PathBuf; 3] {
        let Named {
            name,
            samples,
            sequence,
            seed,
            ..
        } = self;
        ["doc", "sample", "shuffle"].map(|which| {
            let mut file = self.prefix.file_name().unwrap_or_default().to_os_string();
            file.push(format!(
                "_{name}_indexmap_{samples}ns_{sequence}sl_{seed}s_packedpi_ac_{which}_idx.npy"
            ));
            self.prefix.with_file_name(file)
        })
    }
}

/// The numbers of a file, as numpy stores them.
struct Stored<'i> {
    number: Number,
    shape: Vec<usize>,
    values: Box<dyn Iterator<Item = u32> + 'i>,
}

impl Indices {
    /// Writes the three files; `first` is the document that the component begins with, 0 unless it is a part of a split.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, named: &Named, first: u32) -> Result<(), DataError> {
        for (path, stored) in named.paths().iter().zip(self.stored(first)) {
            npy::write(path, stored.number, &stored.shape, stored.values)?;
        }
        Ok(())
    }

    /// Where the three files say something else than these indices: the first such place.
    ///
    /// # Errors
    /// A file that is missing or no array.
    pub fn difference(&self, named: &Named, first: u32) -> Result<Option<String>, DataError> {
        for (path, stored) in named.paths().iter().zip(self.stored(first)) {
            let found = difference(&Numbers::open(path)?, stored);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn stored(&self, first: u32) -> [Stored<'_>; 3] {
        let starts = self.starts.len();
        let wide = 2 * starts as u64 >= i32::MAX as u64;
        let pair = |start: &Start| [start.place, start.offset];
        [
            Stored {
                number: Number::I32,
                shape: vec![self.documents.len()],
                values: Box::new(self.documents.iter().map(move |number| number + first)),
            },
            Stored {
                number: if wide { Number::I64 } else { Number::I32 },
                shape: vec![starts, 2],
                values: Box::new(self.starts.iter().flat_map(pair)),
            },
            Stored {
                number: Number::U32,
                shape: vec![self.shuffle.len()],
                values: Box::new(self.shuffle.iter().copied()),
            },
        ]
    }
}

fn difference(found: &Numbers, wanted: Stored<'_>) -> Option<String> {
    let path = found.path().display();
    let columns = wanted.shape.get(1).copied().unwrap_or(1);
    let mut values = wanted.values.enumerate();
    let other =
        values.find(|&(place, value)| place >= found.len() || found.at(place) != i64::from(value));
    let fits = found.shape == wanted.shape;
    match other {
        Some((place, value))
            if place < found.len() && found.shape.get(1) == wanted.shape.get(1) =>
        {
            let there = found.at(place);
            let at = match columns {
                1 => format!("entry {place}"),
                _ => format!("row {}, column {}", place / columns, place % columns),
            };
            let sizes = if fits {
                String::new()
            } else {
                format!("; {} rows, expected {}", found.shape[0], wanted.shape[0])
            };
            Some(format!("{path}: {at} is {there}, expected {value}{sizes}"))
        }
        _ if fits => None,
        _ => Some(format!(
            "{path}: its shape is {:?}, expected {:?}",
            found.shape, wanted.shape
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn named(folder: &Path) -> Named {
        Named {
            prefix: folder.join("web.text_document"),
            name: "train_0".into(),
            samples: 30,
            sequence: 16,
            seed: 7,
        }
    }

    #[test]
    fn what_is_written_is_the_same_and_what_is_not_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let named = named(folder.path());
        let lengths: Vec<u32> = (0..40).map(|number| 3 + number * 5 % 17).collect();
        let indices = Indices::new(&lengths, 16, 30, 7).unwrap();
        indices.write(&named, 0).unwrap();
        let [documents, samples, _] = named.paths();
        assert!(
            documents.ends_with(
                "web.text_document_train_0_indexmap_30ns_16sl_7s_packedpi_ac_doc_idx.npy"
            )
        );
        assert_eq!(indices.difference(&named, 0).unwrap(), None);
        let told = indices.difference(&named, 5).unwrap().unwrap();
        let first = indices.documents[0];
        assert!(
            told.contains(&format!(
                "doc_idx.npy: entry 0 is {first}, expected {}",
                first + 5
            )),
            "{told}"
        );
        let mut bytes = std::fs::read(&samples).unwrap();
        bytes[128 + 3 * 8 + 4] ^= 1;
        std::fs::write(&samples, &bytes).unwrap();
        let told = indices.difference(&named, 0).unwrap().unwrap();
        assert!(
            told.contains("sample_idx.npy: row 3, column 1 is"),
            "{told}"
        );
        let longer = Indices::new(&lengths, 16, 100, 7).unwrap();
        let told = longer.difference(&named, 0).unwrap().unwrap();
        assert!(
            told.contains("doc_idx.npy: ") && told.contains("expected 160"),
            "{told}"
        );
        std::fs::remove_file(&samples).unwrap();
        let error = indices.difference(&named, 0).unwrap_err().to_string();
        assert!(error.contains("sample_idx.npy"), "{error}");
    }
}
