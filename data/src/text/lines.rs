//! Lines of a stream, none longer than is wanted.
//!
//! In comes a reader; out come its lines without their ends. A line that is too long is passed over to its end without being kept, so that a
//! hostile file cannot take the memory.

use std::io::{self, BufRead};

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line of so many bytes of the stream, its end included.
    Whole(u64),
    /// One of so many bytes that is too long.
    TooLong(u64),
    /// The stream has ended.
    End,
}

/// Appends the next line to `out`.
pub(super) fn line(reader: &mut impl BufRead, out: &mut Vec<u8>, most: usize) -> io::Result<Line> {
    let start = out.len();
    let (mut length, mut long) = (0u64, false);
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            break;
        }
        let end = memchr::memchr(b'\n', buffer);
        let taken = end.map_or(buffer.len(), |end| end + 1);
        let kept = &buffer[..end.unwrap_or(taken)];
        long |= out.len() - start + kept.len() > most;
        if !long {
            out.extend_from_slice(kept);
        }
        reader.consume(taken);
        length += taken as u64;
        if end.is_some() {
            break;
        }
    }
    if length == 0 {
        return Ok(Line::End);
    }
    if long {
        out.truncate(start);
        return Ok(Line::TooLong(length));
    }
    if out.len() > start && out.last() == Some(&b'\r') {
        out.pop();
    }
    Ok(Line::Whole(length))
}

/// Appends all that is left to `out`; false, and nothing appended, where it is more than is wanted.
pub(super) fn rest(reader: &mut impl BufRead, out: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let start = out.len();
    let mut long = false;
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            break;
        }
        long |= out.len() - start + buffer.len() > most;
        if !long {
            out.extend_from_slice(buffer);
        }
        let taken = buffer.len();
        reader.consume(taken);
    }
    if long {
        out.truncate(start);
    }
    Ok(!long)
}
