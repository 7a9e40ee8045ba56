//! Parquet as text: each row as a line of JSON with its columns of strings.
//!
//! In comes a file, out come lines in the order of rows, a few hundred rows at a time, so that memory is some pages of each column whatever the size of a row group. Columns
//! of other types are left out; asking for one is a missing key. It needs the feature `parquet`; without it each such file is an error that says so.

use std::fs::File;
#[cfg(feature = "parquet")]
use std::io::BufReader;
use std::io::{self, BufRead};
use std::sync::Arc;

use super::Input;
use super::source::Tally;

/// Opens the lines of a file.
#[cfg(not(feature = "parquet"))]
pub(super) fn open(_: &Input, _: File, _: &Arc<Tally>) -> io::Result<Box<dyn BufRead + Send>> {
    let help = "this build of pleach reads no Parquet; `cargo install --path cli --features parquet` makes one that does";
    Err(io::Error::other(help))
}

/// Opens the lines of a file.
#[cfg(feature = "parquet")]
pub(super) fn open(
    input: &Input,
    file: File,
    count: &Arc<Tally>,
) -> io::Result<Box<dyn BufRead + Send>> {
    let rows = rows::Rows::open(input, file, count)?;
    Ok(Box::new(BufReader::with_capacity(1 << 18, rows)))
}

#[cfg(feature = "parquet")]
mod rows {
    use std::io::{Read, Write};

    use parquet::basic::Type;
    use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    /// Rows that are decoded at once.
    const AT_ONCE: usize = 256;

    /// Lines of JSON, to be read.
    pub struct Rows {
        reader: SerializedFileReader<File>,
        count: Arc<Tally>,
        /// Place among the leaves, name, and the level at which there is a value.
        columns: Vec<(usize, String, i16)>,
        group: usize,
        /// The columns of the group at hand, and how many rows of it are left.
        open: Vec<ColumnReaderImpl<ByteArrayType>>,
        left: usize,
        lines: Vec<u8>,
        given: usize,
    }

    impl Rows {
        pub fn open(input: &Input, mut file: File, count: &Arc<Tally>) -> io::Result<Rows> {
            count.hash_all(&mut file)?;
            let reader = SerializedFileReader::new(File::open(&input.path)?).map_err(failed)?;
            let schema = reader.metadata().file_metadata().schema_descr_ptr();
            let leaves = schema.columns().iter().enumerate();
            let strings = leaves.filter(|(_, leaf)| {
                let flat = leaf.path().parts().len() == 1 && leaf.max_rep_level() == 0;
                flat && leaf.physical_type() == Type::BYTE_ARRAY
            });
            let named = |(place, leaf): (usize, &parquet::schema::types::ColumnDescPtr)| {
                (place, leaf.name().to_owned(), leaf.max_def_level())
            };
            Ok(Rows {
                columns: strings.map(named).collect(),
                reader,
                count: Arc::clone(count),
                group: 0,
                open: Vec::new(),
                left: 0,
                lines: Vec::new(),
                given: 0,
            })
        }

        /// Begins the next group of rows; false at the end.
        fn begin(&mut self) -> io::Result<bool> {
            if self.group == self.reader.num_row_groups() {
                return Ok(false);
            }
            let group = self.reader.get_row_group(self.group).map_err(failed)?;
            self.open.clear();
            for (place, name, _) in &self.columns {
                match group.get_column_reader(*place).map_err(failed)? {
                    ColumnReader::ByteArrayColumnReader(column) => self.open.push(column),
                    _ => return Err(io::Error::other(format!("`{name}` changes its type"))),
                }
            }
            let rows = usize::try_from(group.metadata().num_rows());
            self.left = rows.map_err(|_| io::Error::other("a group of less than no rows"))?;
            self.count
                .read(group.metadata().compressed_size().max(0) as u64);
            self.group += 1;
            Ok(true)
        }

        /// Writes the next rows as lines.
        fn fill(&mut self) -> io::Result<()> {
            self.lines.clear();
            self.given = 0;
            while self.left == 0 {
                if !self.begin()? {
                    return Ok(());
                }
            }
            let rows = self.left.min(AT_ONCE);
            let mut cells: Vec<std::vec::IntoIter<Option<ByteArray>>> = Vec::new();
            for (column, (_, name, level)) in self.open.iter_mut().zip(&self.columns) {
                cells.push(read(column, name, *level, rows)?.into_iter());
            }
            for _ in 0..rows {
                self.lines.push(b'{');
                for (number, ((_, name, _), cells)) in
                    self.columns.iter().zip(&mut cells).enumerate()
                {
                    if number > 0 {
                        self.lines.push(b',');
                    }
                    serde_json::to_writer(&mut self.lines, name)?;
                    self.lines.push(b':');
                    write(&mut self.lines, cells.next().flatten().as_ref())?;
                }
                self.lines.extend(b"}\n");
            }
            self.left -= rows;
            Ok(())
        }
    }

    /// So many values of a column, none where a row has none.
    fn read(
        column: &mut ColumnReaderImpl<ByteArrayType>,
        name: &str,
        level: i16,
        rows: usize,
    ) -> io::Result<Vec<Option<ByteArray>>> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let mut found = 0;
        while found < rows {
            let (records, ..) = column
                .read_records(rows - found, Some(&mut levels), None, &mut values)
                .map_err(failed)?;
            if records == 0 {
                return Err(io::Error::other(format!("`{name}` has too few values")));
            }
            found += records;
        }
        let mut values = values.into_iter();
        if level == 0 {
            return Ok(values.map(Some).collect());
        }
        let value = |&found: &i16| (found == level).then(|| values.next()).flatten();
        Ok(levels.iter().map(value).collect())
    }

    /// A cell as JSON; bytes that are no text stay what they are, so that the line is found not to be UTF-8.
    fn write(lines: &mut Vec<u8>, cell: Option<&ByteArray>) -> io::Result<()> {
        let Some(cell) = cell else {
            return lines.write_all(b"null");
        };
        match std::str::from_utf8(cell.data()) {
            Ok(text) => Ok(serde_json::to_writer(lines, text)?),
            Err(_) => {
                lines.push(b'"');
                let plain = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | b'\n');
                lines.extend(cell.data().iter().filter(plain));
                lines.push(b'"');
                Ok(())
            }
        }
    }

    fn failed(error: parquet::errors::ParquetError) -> io::Error {
        io::Error::other(error)
    }

    impl Read for Rows {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.given == self.lines.len() {
                self.fill()?;
            }
            let length = out.len().min(self.lines.len() - self.given);
            out[..length].copy_from_slice(&self.lines[self.given..][..length]);
            self.given += length;
            Ok(length)
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "parquet")]
    use std::path::Path;

    #[cfg(feature = "parquet")]
    use super::super::{Fault, Fields};
    use super::super::{Place, Records, inputs};
    use super::*;

    /// Texts and faults, and how many there are before which place.
    #[cfg(feature = "parquet")]
    type Texts = (Vec<Result<String, Fault>>, Vec<(usize, Place)>);

    /// All texts and faults of a file, from a place on, with the places behind each batch.
    #[cfg(feature = "parquet")]
    fn texts(path: &Path, from: Place) -> Texts {
        let files = Arc::new(inputs(&[path.to_path_buf()]).unwrap());
        let fields = Fields {
            text: "text".into(),
            answer: None,
        };
        let (mut texts, mut places) = (Vec::new(), Vec::new());
        for batch in Records::new(Arc::clone(&files), from) {
            let batch = batch.unwrap();
            for raw in &batch.records {
                let range = raw.bytes.clone().unwrap();
                let text = fields.text(files[0].form, &batch.bytes[range]);
                texts.push(text.map(|text| text.unwrap().into_owned()));
            }
            places.push((texts.len(), batch.end));
            for (_, hash) in &batch.hashes {
                let whole = std::fs::read(path).unwrap();
                assert_eq!(*hash, blake3::hash(&whole).to_hex().to_string());
            }
        }
        (texts, places)
    }

    #[cfg(feature = "parquet")]
    fn write(path: &Path, rows: &[Option<Vec<u8>>]) {
        use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
        use parquet::file::writer::SerializedFileWriter;
        let schema = "message rows { required int64 id; optional binary text (UTF8); required binary url (UTF8); }";
        let schema = parquet::schema::parser::parse_message_type(schema).unwrap();
        let properties = parquet::file::properties::WriterProperties::builder()
            .set_compression(parquet::basic::Compression::SNAPPY)
            .build();
        let file = File::create(path).unwrap();
        let mut file =
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).unwrap();
        for rows in rows.chunks(3000) {
            let mut group = file.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let ids: Vec<i64> = (0..rows.len() as i64).collect();
            column
                .typed::<Int64Type>()
                .write_batch(&ids, None, None)
                .unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.is_some())).collect();
            let texts: Vec<ByteArray> = rows
                .iter()
                .flatten()
                .cloned()
                .map(ByteArray::from)
                .collect();
            column
                .typed::<ByteArrayType>()
                .write_batch(&texts, Some(&levels), None)
                .unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let urls = vec![ByteArray::from("there"); rows.len()];
            column
                .typed::<ByteArrayType>()
                .write_batch(&urls, None, None)
                .unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        file.close().unwrap();
    }

    #[cfg(feature = "parquet")]
    #[test]
    fn rows_are_read_in_order_and_from_any_place_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let row = |number: usize| match number % 1000 {
            7 => None,
            8 => Some(b"\xff\"".to_vec()),
            _ => Some(format!("\"{number}\"\n{}", "lorem ".repeat(number % 50)).into_bytes()),
        };
        let rows: Vec<Option<Vec<u8>>> = (0..7500).map(row).collect();
        write(&path, &rows);
        let (found, places) = texts(&path, Place::default());
        let wanted = rows.into_iter().map(|row| match row {
            None => Err(Fault::NoString),
            Some(text) => String::from_utf8(text).map_err(|_| Fault::NotUtf8),
        });
        assert_eq!(found, wanted.collect::<Vec<_>>());
        assert!(places.len() > 3);
        for (before, place) in &places[..places.len() - 1] {
            assert_eq!(texts(&path, *place).0, found[*before..]);
        }
        std::fs::write(&path, "PAR1 and nothing").unwrap();
        let files = Arc::new(inputs(&[path]).unwrap());
        let error = Records::new(files, Place::default())
            .next()
            .unwrap()
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("rows.parquet: it cannot be unpacked"),
            "{error}"
        );
    }

    #[cfg(not(feature = "parquet"))]
    #[test]
    fn a_build_without_it_says_which_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        std::fs::write(&path, "PAR1").unwrap();
        let files = Arc::new(inputs(&[path]).unwrap());
        let error = Records::new(files, Place::default())
            .next()
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().contains("--features parquet"), "{error}");
    }
}
