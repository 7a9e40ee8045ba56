//! How a token is stored, and which program's numbering of types an index follows.
//!
//! In comes the type code of an index and, where two programs number differently, the bytes that one token takes; out comes a [`Kind`]. GPT-NeoX
//! calls 6 a 32-bit and 7 a 64-bit float, Megatron-LM the other way round; all other codes mean the same in both.

use std::fmt;

/// How a token is stored, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One byte.
    U8,
    /// One byte, signed.
    I8,
    /// Two bytes, signed.
    I16,
    /// Two bytes.
    U16,
    /// Four bytes, signed.
    I32,
    /// Eight bytes, signed.
    I64,
    /// A float of four bytes: rewards and the like, no tokens.
    F32,
    /// A float of eight bytes.
    F64,
}

/// Whose numbering a type code follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// The code means the same to all.
    Common,
    /// GPT-NeoX: 6 is 32 bits, 7 is 64.
    GptNeox,
    /// Megatron-LM: 6 is 64 bits, 7 is 32.
    Megatron,
}

impl Kind {
    /// The type of a code. `stored` is the bytes that a token takes by the index's own offsets, where there is one.
    pub(super) fn of_code(code: u8, stored: Option<u64>) -> Result<(Kind, Convention), String> {
        let common = |kind| Ok((kind, Convention::Common));
        match (code, stored) {
            (1, _) => common(Kind::U8),
            (2, _) => common(Kind::I8),
            (3, _) => common(Kind::I16),
            (4, _) => common(Kind::I32),
            (5, _) => common(Kind::I64),
            (8, _) => common(Kind::U16),
            (6, Some(4)) => Ok((Kind::F32, Convention::GptNeox)),
            (7, Some(8)) => Ok((Kind::F64, Convention::GptNeox)),
            (6, Some(8)) => Ok((Kind::F64, Convention::Megatron)),
            (7, Some(4)) => Ok((Kind::F32, Convention::Megatron)),
            (6 | 7, None) => Err(format!(
                "type code {code} is a 32-bit float to one program and a 64-bit one to another, and there is no value to tell by"
            )),
            (6 | 7, Some(bytes)) => Err(format!(
                "type code {code} is a float of 4 or 8 bytes, but values take {bytes}"
            )),
            _ => Err(format!("type code {code} is none of 1 to 8")),
        }
    }

    /// The code of a type that all programs number alike.
    pub(super) fn code(self) -> Option<u8> {
        match self {
            Kind::U8 => Some(1),
            Kind::I8 => Some(2),
            Kind::I16 => Some(3),
            Kind::I32 => Some(4),
            Kind::I64 => Some(5),
            Kind::U16 => Some(8),
            Kind::F32 | Kind::F64 => None,
        }
    }

    /// The type that GPT-NeoX and Megatron-LM write for a vocabulary: two bytes below 65,500 ids, else four.
    pub fn of_vocabulary(ids: u64) -> Kind {
        if ids < 65_500 { Kind::U16 } else { Kind::I32 }
    }

    /// Bytes of one token.
    pub fn bytes(self) -> u64 {
        match self {
            Kind::U8 | Kind::I8 => 1,
            Kind::I16 | Kind::U16 => 2,
            Kind::I32 | Kind::F32 => 4,
            Kind::I64 | Kind::F64 => 8,
        }
    }

    /// Whether values are whole numbers, as ids are.
    pub fn is_whole(self) -> bool {
        !matches!(self, Kind::F32 | Kind::F64)
    }

    /// Decodes ids. False, and nothing written, for floats.
    pub(super) fn decode(self, bytes: &[u8], out: &mut [i64]) -> bool {
        match self {
            Kind::U8 => fill(bytes, out, |[byte]| i64::from(byte)),
            Kind::I8 => fill(bytes, out, |byte| i64::from(i8::from_le_bytes(byte))),
            Kind::I16 => fill(bytes, out, |pair| i64::from(i16::from_le_bytes(pair))),
            Kind::U16 => fill(bytes, out, |pair| i64::from(u16::from_le_bytes(pair))),
            Kind::I32 => fill(bytes, out, |four| i64::from(i32::from_le_bytes(four))),
            Kind::I64 => fill(bytes, out, i64::from_le_bytes),
            Kind::F32 | Kind::F64 => return false,
        }
        true
    }

    /// Decodes values of any type.
    pub(super) fn values(self, bytes: &[u8], out: &mut [f64]) {
        match self {
            Kind::U8 => fill(bytes, out, |[byte]| f64::from(byte)),
            Kind::I8 => fill(bytes, out, |byte| f64::from(i8::from_le_bytes(byte))),
            Kind::I16 => fill(bytes, out, |pair| f64::from(i16::from_le_bytes(pair))),
            Kind::U16 => fill(bytes, out, |pair| f64::from(u16::from_le_bytes(pair))),
            Kind::I32 => fill(bytes, out, |four| f64::from(i32::from_le_bytes(four))),
            Kind::I64 => fill(bytes, out, |eight| i64::from_le_bytes(eight) as f64),
            Kind::F32 => fill(bytes, out, |four| f64::from(f32::from_le_bytes(four))),
            Kind::F64 => fill(bytes, out, f64::from_le_bytes),
        }
    }

    /// Appends an id as it is stored. False, and nothing appended, where it does not fit.
    #[must_use]
    pub fn encode(self, id: u32, out: &mut Vec<u8>) -> bool {
        let bytes = self.bytes() as usize;
        let largest = match self {
            Kind::U8 => u32::from(u8::MAX),
            Kind::I8 => i8::MAX as u32,
            Kind::I16 => i16::MAX as u32,
            Kind::U16 => u32::from(u16::MAX),
            Kind::I32 => i32::MAX as u32,
            Kind::I64 => u32::MAX,
            Kind::F32 | Kind::F64 => return false,
        };
        if id <= largest {
            out.extend(&u64::from(id).to_le_bytes()[..bytes]);
        }
        id <= largest
    }
}

fn fill<T, const N: usize>(bytes: &[u8], out: &mut [T], of: impl Fn([u8; N]) -> T) {
    let (chunks, _) = bytes.as_chunks::<N>();
    for (out, &chunk) in out.iter_mut().zip(chunks) {
        *out = of(chunk);
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Kind::U8 => "u8",
            Kind::I8 => "i8",
            Kind::I16 => "i16",
            Kind::U16 => "u16",
            Kind::I32 => "i32",
            Kind::I64 => "i64",
            Kind::F32 => "f32",
            Kind::F64 => "f64",
        })
    }
}
