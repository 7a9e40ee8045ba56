//! What must hold of lines, whatever their bytes are: the fuzz target brings a fuzzer's, the suite damaged ones.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use pleach_data::text::{Fields, Place, Records, inputs};

/// Lines are records in their order, each text or a fault; reading from the place behind any batch gives the rest.
pub fn lines(folder: &Path, bytes: &[u8]) {
    let path = folder.join("lines.jsonl");
    fs::write(&path, bytes).expect("it can be written");
    let files = Arc::new(inputs(&[path]).expect("it is there"));
    let fields = Fields {
        text: "text".into(),
        answer: None,
    };
    let read = |from: Place| {
        let mut records = Vec::new();
        let mut places = Vec::new();
        for batch in Records::new(Arc::clone(&files), from) {
            let batch = batch.expect("a plain file can be read");
            for raw in &batch.records {
                let range = raw.bytes.clone().expect("no line is too long");
                let text = fields.text(files[0].form, &batch.bytes[range]);
                records.push((
                    raw.line,
                    text.map(|text| text.map(|text| text.into_owned())),
                ));
            }
            places.push((records.len(), batch.end));
        }
        (records, places)
    };
    let (records, places) = read(Place::default());
    let ends = bytes.iter().filter(|&&byte| byte == b'\n').count();
    let open = bytes.last().is_some_and(|&byte| byte != b'\n');
    assert_eq!(records.len(), ends + usize::from(open));
    for ((line, _), wanted) in records.iter().zip(1..) {
        assert_eq!(*line, Some(wanted));
    }
    for (before, place) in places {
        assert_eq!(read(place).0, records[before..]);
    }
}
