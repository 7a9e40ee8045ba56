//! Safetensors files piece by piece: the header first, then each tensor's bytes as they come.
//!
//! In come names, types and shapes; out comes the header that says where each tensor will lie. The crate's own writer wants all
//! tensors in memory at once; a checkpoint has one of them at a time.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use half::{bf16, f16};
use pleach_plan::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::files::{At, FileError, Stored};

/// Bytes before a header that say its length.
const LENGTH_BYTES: u64 = 8;

/// A tensor that a file will hold.
pub(crate) struct Planned {
    /// Its name in the file.
    pub name: String,
    /// Its type.
    pub dtype: Dtype,
    /// Its shape.
    pub dims: Vec<u64>,
}

impl Planned {
    /// Bytes of its data.
    pub fn bytes(&self) -> u64 {
        self.dims.iter().product::<u64>() * self.dtype.bytes()
    }
}

/// The length and text of a header for tensors that follow each other in this order, padded to eight bytes.
pub(crate) fn header(tensors: &[Planned], metadata: Option<(&str, &str)>) -> Vec<u8> {
    let mut end = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let begin = end;
        end += tensor.bytes() as usize;
        let shape = tensor.dims.iter().map(|&size| size as usize).collect();
        let dtype = format_dtype(tensor.dtype);
        infos.push((
            tensor.name.clone(),
            TensorInfo {
                dtype,
                shape,
                data_offsets: (begin, end),
            },
        ));
    }
    let pair = |(key, value): (&str, &str)| HashMap::from([(key.to_owned(), value.to_owned())]);
    let metadata = Metadata::new(metadata.map(pair), infos)
        .expect("tensors follow each other and fit their type");
    let mut text = serde_json::to_vec(&metadata).expect("a header is plain JSON");
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    header
}

/// The safetensors name of a type.
pub(crate) fn format_dtype(dtype: Dtype) -> safetensors::Dtype {
    match dtype {
        Dtype::F64 => safetensors::Dtype::F64,
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::Bf16 => safetensors::Dtype::BF16,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::I64 => safetensors::Dtype::I64,
    }
}

/// The header of a safetensors file, and where the data behind it begins; or what is wrong with it.
pub(crate) fn read_header(stored: &Stored) -> Result<Result<(u64, Metadata), String>, FileError> {
    let mut length = [0; LENGTH_BYTES as usize];
    if stored.bytes < LENGTH_BYTES {
        return Ok(Err("it ends before its header".to_owned()));
    }
    stored.read(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    if length > stored.bytes - LENGTH_BYTES {
        return Ok(Err("it ends inside its header".to_owned()));
    }
    let mut text = vec![0; length as usize];
    stored.read(LENGTH_BYTES, &mut text)?;
    Ok(serde_json::from_slice::<Metadata>(&text)
        .map_err(|error| format!("its header does not parse: {error}"))
        .and_then(|metadata| {
            let begin = LENGTH_BYTES + length;
            let (described, there) = (metadata.data_len() as u64, stored.bytes - begin);
            if described == there {
                Ok((begin, metadata))
            } else {
                Err(format!(
                    "its header describes {described} bytes, {there} are there"
                ))
            }
        }))
}

/// Our name of a stored type; none of those that no weights have.
pub(crate) fn known_dtype(dtype: safetensors::Dtype) -> Option<Dtype> {
    let known = [Dtype::F64, Dtype::F32, Dtype::Bf16, Dtype::F16];
    known
        .into_iter()
        .find(|known| format_dtype(*known) == dtype)
}

/// Numbers of any stored type as `f64`, exactly.
pub(crate) fn decode(dtype: Dtype, bytes: &[u8], out: &mut [f64]) {
    fn each<const N: usize>(bytes: &[u8], out: &mut [f64], value: impl Fn([u8; N]) -> f64) {
        for (out, chunk) in out.iter_mut().zip(bytes.chunks_exact(N)) {
            let mut array = [0; N];
            array.copy_from_slice(chunk);
            *out = value(array);
        }
    }
    match dtype {
        Dtype::F64 => each(bytes, out, f64::from_le_bytes),
        Dtype::F32 => each(bytes, out, |array| f64::from(f32::from_le_bytes(array))),
        Dtype::Bf16 => each(bytes, out, |array| bf16::from_le_bytes(array).to_f64()),
        Dtype::F16 => each(bytes, out, |array| f16::from_le_bytes(array).to_f64()),
        Dtype::I64 => each(bytes, out, |array| i64::from_le_bytes(array) as f64),
    }
}

/// Numbers as the bytes of a type, rounded to the nearest it has.
pub fn encode(dtype: Dtype, values: &[f64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * dtype.bytes() as usize);
    for &value in values {
        match dtype {
            Dtype::F64 => bytes.extend(value.to_le_bytes()),
            Dtype::F32 => bytes.extend((value as f32).to_le_bytes()),
            // Through f32 where training would go through it too: a master weight is one.
            Dtype::Bf16 => bytes.extend(bf16::from_f32(value as f32).to_le_bytes()),
            Dtype::F16 => bytes.extend(f16::from_f32(value as f32).to_le_bytes()),
            Dtype::I64 => bytes.extend((value as i64).to_le_bytes()),
        }
    }
    bytes
}

/// A file whose hash is made of what was meant to be written, not of what can be read back.
pub(crate) struct HashingWriter<'path> {
    path: &'path Path,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl HashingWriter<'_> {
    /// Begins the file.
    pub fn create(path: &Path) -> Result<HashingWriter<'_>, FileError> {
        let file = BufWriter::with_capacity(1 << 20, File::create(path).at("create", path)?);
        Ok(HashingWriter {
            path,
            file,
            hasher: blake3::Hasher::new(),
            bytes: 0,
        })
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).at("write", self.path)
    }

    /// Makes the file durable; says its size and hash.
    pub fn finish(self) -> Result<(u64, String), FileError> {
        let file = self.file.into_inner().map_err(|error| error.into_error());
        file.and_then(|file| file.sync_all())
            .at("sync", self.path)?;
        Ok((self.bytes, self.hasher.finalize().to_hex().to_string()))
    }
}
