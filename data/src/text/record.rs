//! What a record holds: the text of a document, or why there is none.
//!
//! In come the raw bytes of a line or a file; out comes its text. Only the field that is asked for is kept of a line; all of it must be JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Form;

/// Why a record has no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Its bytes are not UTF-8.
    NotUtf8,
    /// A line is no JSON object.
    NotJson,
    /// The object has no such key.
    NoKey,
    /// What stands under the key is no string.
    NoString,
    /// It is longer than a document may be.
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Fault::NotUtf8 => "not UTF-8",
            Fault::NotJson => "no JSON object",
            Fault::NoKey => "the key is missing",
            Fault::NoString => "no string under the key",
            Fault::TooLong => "longer than a document may be (1 GiB)",
        })
    }
}

/// Where documents stand in records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The key of a line's text; with an answer that of its prompt.
    pub text: String,
    /// The key of a line's answer, where lines hold prompts and answers.
    pub answer: Option<String>,
}

impl Fields {
    /// The text of a record; none where the line is blank.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn text<'r>(&self, form: Form, raw: &'r [u8]) -> Result<Option<Cow<'r, str>>, Fault> {
        let whole = std::str::from_utf8(raw).map_err(|_| Fault::NotUtf8)?;
        match form {
            Form::Text => Ok(Some(Cow::Borrowed(whole))),
            Form::Lines if whole.trim().is_empty() => Ok(None),
            Form::Lines => of_line(&self.text, whole).map(Some),
        }
    }

    /// The answer of a record that has a text; none where records have none.
    ///
    /// # Errors
    /// What is wrong with it; a text that is no line has no answer.
    pub fn answer<'r>(&self, form: Form, raw: &'r [u8]) -> Result<Option<Cow<'r, str>>, Fault> {
        let Some(key) = &self.answer else {
            return Ok(None);
        };
        let whole = std::str::from_utf8(raw).map_err(|_| Fault::NotUtf8)?;
        match form {
            Form::Text => Err(Fault::NotJson),
            Form::Lines => of_line(key, whole).map(Some),
        }
    }

    /// Sequences of tokens that a record becomes: a document, or a prompt and its answer.
    pub fn sequences(&self) -> u64 {
        if self.answer.is_some() { 2 } else { 1 }
    }
}

fn of_line<'r>(key: &str, line: &'r str) -> Result<Cow<'r, str>, Fault> {
    let mut reader = serde_json::Deserializer::from_str(line);
    let found = Field(key).deserialize(&mut reader);
    let found = found.and_then(|found| reader.end().map(|()| found));
    match found.map_err(|_| Fault::NotJson)? {
        Found::Text(text) => Ok(text),
        Found::Other => Err(Fault::NoString),
        Found::Nothing => Err(Fault::NoKey),
    }
}

/// What stands under a key.
enum Found<'r> {
    Nothing,
    Other,
    Text(Cow<'r, str>),
}

/// Reads an object and keeps one field of it; of a key that stands there twice, the last.
struct Field<'k>(&'k str);

impl<'r> DeserializeSeed<'r> for Field<'_> {
    type Value = Found<'r>;

    fn deserialize<D: Deserializer<'r>>(self, reader: D) -> Result<Found<'r>, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'r> Visitor<'r> for Field<'_> {
    type Value = Found<'r>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'r>>(self, mut map: A) -> Result<Found<'r>, A::Error> {
        let mut found = Found::Nothing;
        while let Some(key) = map.next_key::<Key<'r>>()? {
            if key.0 == self.0 {
                found = match map.next_value::<Value<'r>>()? {
                    Value::Text(Key(text)) => Found::Text(text),
                    Value::Other(IgnoredAny) => Found::Other,
                };
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A string that is borrowed from the line where nothing in it is escaped.
#[derive(Deserialize)]
struct Key<'r>(#[serde(borrow)] Cow<'r, str>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Value<'r> {
    Text(#[serde(borrow)] Key<'r>),
    Other(IgnoredAny),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str) -> Result<Option<String>, Fault> {
        let fields = Fields {
            text: "text".into(),
            answer: None,
        };
        let found = fields.text(Form::Lines, line.as_bytes());
        found.map(|text| text.map(Cow::into_owned))
    }

    #[test]
    fn a_field_is_found_and_what_is_none_is_told_apart() {
        let good = |line: &str| text(line).unwrap().unwrap();
        assert_eq!(good(r#"{"text": "a\nb"}"#), "a\nb");
        assert_eq!(
            good(r#"{"meta": {"text": [1, {}]}, "text": "x", "n": 1e3}"#),
            "x"
        );
        assert_eq!(good(r#"{"te\u0078t": "\ud83d\ude00"}"#), "😀");
        assert_eq!(good(r#"{"text": "a", "text": "b"}"#), "b");
        assert_eq!(text("  \t"), Ok(None));
        for (line, fault) in [
            (r#"{"text": 1}"#, Fault::NoString),
            (r#"{"text": null}"#, Fault::NoString),
            (r#"{"body": "a"}"#, Fault::NoKey),
            (r#"{"text": "a"} x"#, Fault::NotJson),
            (r#"{"text": "a"#, Fault::NotJson),
            (r#"["text"]"#, Fault::NotJson),
            ("text", Fault::NotJson),
            (r#"{"text": "\ud83d"}"#, Fault::NotJson),
        ] {
            assert_eq!(text(line), Err(fault), "{line}");
        }
        let fields = Fields {
            text: "text".into(),
            answer: None,
        };
        assert_eq!(
            fields.text(Form::Lines, b"{\"text\": \"\xff\"}"),
            Err(Fault::NotUtf8)
        );
        assert_eq!(fields.text(Form::Text, b"\xff"), Err(Fault::NotUtf8));
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_the_end() {
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(text(&deep), Err(Fault::NoKey));
    }
}
