//! Arrays of whole numbers as numpy keeps them in `.npy` files.
//!
//! In come numbers with a shape; out comes the file that `numpy.save` would write, byte for byte as far as its header's padding has not changed over the years. Reading takes
//! any header of versions 1 to 3, and checks it against the size of the file before a number is believed.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use pleach_storage::files::{At, map, sync_parent};

use crate::DataError;

/// The first bytes.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The header fills up to a multiple of this.
const ALIGNED: usize = 64;
/// Numpy leaves room for the first dimension to grow to so many digits.
const DIGITS: usize = 21;
/// No header of an array of numbers is longer.
const LONGEST_HEADER: usize = 1 << 16;

/// How a number is stored, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    I32,
    U32,
    I64,
}

impl Number {
    /// As numpy writes it.
    fn name(self) -> &'static str {
        match self {
            Number::I32 => "<i4",
            Number::U32 => "<u4",
            Number::I64 => "<i8",
        }
    }

    fn of_name(name: &str) -> Option<Number> {
        let all = [Number::I32, Number::U32, Number::I64];
        all.into_iter().find(|number| number.name() == name)
    }

    fn bytes(self) -> usize {
        match self {
            Number::I32 | Number::U32 => 4,
            Number::I64 => 8,
        }
    }
}

/// Writes an array, whole or not at all.
pub(super) fn write(
    path: &Path,
    number: Number,
    shape: &[usize],
    values: impl Iterator<Item = u32>,
) -> Result<(), DataError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.partial", std::process::id()));
    let aside = path.with_file_name(name);
    let file = File::create(&aside).at("create", &aside)?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let fill = || {
        file.write_all(&header(number, shape))?;
        for value in values {
            match number {
                Number::I32 | Number::U32 => file.write_all(&value.to_le_bytes())?,
                Number::I64 => file.write_all(&u64::from(value).to_le_bytes())?,
            }
        }
        file.flush()?;
        file.get_ref().sync_all()
    };
    let filled = fill().at("write", &aside);
    let named = filled.and_then(|()| fs::rename(&aside, path).at("rename", &aside));
    named.inspect_err(|_| drop(fs::remove_file(&aside)))?;
    Ok(sync_parent(path)?)
}

fn header(number: Number, shape: &[usize]) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut text = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        number.name(),
        sizes.join(", ")
    );
    let grows = DIGITS.saturating_sub(sizes.first().map_or(DIGITS, String::len));
    text.push_str(&" ".repeat(grows));
    let fixed = MAGIC.len() + 4;
    let whole = (fixed + text.len() + 1).next_multiple_of(ALIGNED);
    text.push_str(&" ".repeat(whole - fixed - text.len() - 1));
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// An open array.
#[derive(Debug)]
pub(super) struct Numbers {
    path: PathBuf,
    bytes: Mmap,
    first: usize,
    number: Number,
    /// Its dimensions.
    pub shape: Vec<usize>,
}

impl Numbers {
    /// Opens a file and checks that it has the numbers that its header says.
    pub fn open(path: &Path) -> Result<Numbers, DataError> {
        let bytes = map(path)?;
        let wrong = |problem: &str| DataError::damaged(path, problem);
        let (text, first) = split(&bytes).ok_or_else(|| wrong("this is no array of numpy's"))?;
        let (number, shape) = parse(text).ok_or_else(|| {
            let text = text.trim();
            wrong(&format!(
                "{text}; expected whole numbers of 32 or 64 bits in rows"
            ))
        })?;
        let count = shape
            .iter()
            .try_fold(1usize, |all, &size| all.checked_mul(size));
        let needed = count.and_then(|count| count.checked_mul(number.bytes()));
        if needed != Some(bytes.len() - first) {
            let found = bytes.len() - first;
            return Err(wrong(&format!(
                "{found} bytes of numbers, the shape is {shape:?}"
            )));
        }
        let path = path.to_path_buf();
        Ok(Numbers {
            path,
            bytes,
            first,
            number,
            shape,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        (self.bytes.len() - self.first) / self.number.bytes()
    }

    /// One of them, row by row.
    pub fn at(&self, number: usize) -> i64 {
        let width = self.number.bytes();
        let stored = &self.bytes[self.first + number * width..][..width];
        let low = |stored: &[u8]| [stored[0], stored[1], stored[2], stored[3]];
        match self.number {
            Number::I32 => i64::from(i32::from_le_bytes(low(stored))),
            Number::U32 => i64::from(u32::from_le_bytes(low(stored))),
            Number::I64 => {
                let high = i64::from(i32::from_le_bytes(low(&stored[4..])));
                high << 32 | i64::from(u32::from_le_bytes(low(stored)))
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The header's text, and where the numbers begin.
fn split(bytes: &[u8]) -> Option<(&str, usize)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, fixed) = match rest.first()? {
        1 => (
            usize::from(u16::from_le_bytes([*rest.get(2)?, *rest.get(3)?])),
            10,
        ),
        2 | 3 => {
            let four = [*rest.get(2)?, *rest.get(3)?, *rest.get(4)?, *rest.get(5)?];
            (u32::from_le_bytes(four) as usize, 12)
        }
        _ => return None,
    };
    let end = fixed + length;
    let text = bytes.get(fixed..end).filter(|_| length <= LONGEST_HEADER)?;
    Some((std::str::from_utf8(text).ok()?, end))
}

/// Type and shape of a header; none of another kind, such as columns first.
fn parse(text: &str) -> Option<(Number, Vec<usize>)> {
    let after = |key: &str| {
        let (_, rest) = text.split_once(key)?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    };
    let number = Number::of_name(after("'descr'")?.strip_prefix('\'')?.split('\'').next()?)?;
    let sizes = after("'shape'")?.strip_prefix('(')?.split(')').next()?;
    let sizes = sizes
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty());
    let shape: Option<Vec<usize>> = sizes.map(|size| size.parse().ok()).collect();
    let rows = after("'fortran_order'")?.starts_with("False");
    Some((number, shape?)).filter(|_| rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_that_of_numpy() {
        let head =
            b"\x93NUMPY\x01\x00v\x00{'descr': '<i4', 'fortran_order': False, 'shape': (7, 2), }";
        let found = header(Number::I32, &[7, 2]);
        assert!(found.starts_with(head) && found.ends_with(b" \n"));
        assert_eq!(found.len(), 128);
        let one = header(Number::U32, &[100_000]);
        assert_eq!(one.len(), 128);
        assert!(String::from_utf8_lossy(&one).contains("'shape': (100000,), }"));
    }

    #[test]
    fn what_is_no_array_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        write(&path, Number::I64, &[3, 2], 0..6).unwrap();
        let whole = fs::read(&path).unwrap();
        let found = Numbers::open(&path).unwrap();
        assert_eq!(
            (found.shape.as_slice(), found.len(), found.at(5)),
            (&[3, 2][..], 6, 5)
        );
        let error = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Numbers::open(&path).unwrap_err().to_string()
        };
        assert!(error(&whole[..whole.len() - 1]).contains("the shape is [3, 2]"));
        assert!(error(&whole[..9]).contains("no array"));
        assert!(error(b"").contains("no array"));
        let floats = String::from_utf8_lossy(&whole[10..]).replace("<i8", "<f8");
        assert!(
            error(&[&whole[..10], floats.as_bytes()].concat()).contains("expected whole numbers")
        );
        let huge =
            String::from_utf8_lossy(&whole[10..128]).replace("(3, 2)", "(9999999999999999999, 9)");
        assert!(error(&[&whole[..10], &huge.as_bytes()[..118]].concat()).contains("the shape is"));
    }
}
