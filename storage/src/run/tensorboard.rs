//! Events that TensorBoard reads: one file for each attempt of a run, in `tensorboard/`.
//!
//! In come figures by name and step; out come records as TensorFlow frames them (length, its checksum, the message, its checksum), each message an `Event`
//! of its protocol buffers with scalars. The names are those of `metrics.jsonl`. An attempt that goes on from a checkpoint begins
//! with a session mark, at which readers drop what an earlier attempt wrote of later steps.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::RunError;
use crate::files::At;

/// Added to a checksum after it was rotated, so that checksums of checksums differ.
const MASK: u32 = 0xa282_ead8;
/// What the first event says of the file.
const VERSION: &str = "brain.Event:2";
/// A session that begins.
const START: i32 = 1;

/// An event: TensorFlow's `Event`, of which only these fields are written.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session: Option<Session>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    scalar: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct Session {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Appends events to a file of its own.
#[derive(Debug)]
pub struct EventsWriter {
    path: PathBuf,
    file: File,
}

impl EventsWriter {
    /// Begins a file for a run that goes on after `step` steps (0 for one that begins).
    ///
    /// # Errors
    /// The system's.
    pub fn begin(folder: &Path, step: u64) -> Result<EventsWriter, RunError> {
        fs::create_dir_all(folder).at("create", folder)?;
        let seconds = now();
        let name = format!(
            "events.out.tfevents.{:010}.pleach.{}.{step}",
            seconds as u64,
            std::process::id()
        );
        let path = folder.join(name);
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        let mut writer = EventsWriter {
            file: file.at("create", &path)?,
            path,
        };
        writer.write(&Event {
            wall_time: seconds,
            file_version: Some(VERSION.to_owned()),
            ..Event::default()
        })?;
        if step > 0 {
            writer.write(&Event {
                wall_time: seconds,
                step: signed(step + 1),
                session: Some(Session { status: START }),
                ..Event::default()
            })?;
        }
        Ok(writer)
    }

    /// Appends figures of a step.
    ///
    /// # Errors
    /// The system's.
    pub fn append<'n>(
        &mut self,
        step: u64,
        figures: impl IntoIterator<Item = (&'n str, f64)>,
    ) -> Result<(), RunError> {
        let value = |(tag, figure): (&str, f64)| Value {
            tag: tag.to_owned(),
            scalar: Some(figure as f32),
        };
        let values = figures.into_iter().map(value).collect();
        self.write(&Event {
            wall_time: now(),
            step: signed(step),
            summary: Some(Summary { values }),
            ..Event::default()
        })
    }

    fn write(&mut self, event: &Event) -> Result<(), RunError> {
        let record = framed(&event.encode_to_vec());
        Ok(self.file.write_all(&record).at("write", &self.path)?)
    }
}

/// A message with its length and both checksums.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend(length);
    record.extend(masked(&length).to_le_bytes());
    record.extend(message);
    record.extend(masked(message).to_le_bytes());
    record
}

fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

fn signed(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
