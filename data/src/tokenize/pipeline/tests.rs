//! How far reading runs ahead of writing.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

const THREADS: usize = 8;

fn encoder() -> Encoder {
    Encoder {
        inputs: Arc::default(),
        tokenizer: Tokenizer::open("bytes", Path::new("."), false).unwrap(),
        fields: Fields {
            text: "text".into(),
            answer: None,
        },
        skip_bad_lines: false,
    }
}

/// So many batches of so many bytes; the most that were read and not yet written.
fn most_under_way(batches: usize, bytes: usize) -> usize {
    let read = AtomicUsize::new(0);
    let batches = (0..batches).map(|_| {
        read.fetch_add(1, Ordering::SeqCst);
        Ok(Batch {
            bytes: Vec::with_capacity(bytes),
            ..Batch::default()
        })
    });
    let (mut written, mut most) = (0, 0);
    let mut take = |_| {
        std::thread::sleep(Duration::from_millis(20));
        most = most.max(read.load(Ordering::SeqCst) - written);
        written += 1;
        Ok(())
    };
    all(&encoder(), THREADS, batches, &mut take).unwrap();
    assert_eq!(written, read.load(Ordering::SeqCst));
    most
}

#[test]
fn long_lines_wait_for_memory_and_short_ones_do_not() {
    // One more is read and waits for its share.
    assert!(most_under_way(20, UNDER_WAY / 4) <= 4 + 1);
    assert!(most_under_way(5, 2 * UNDER_WAY) <= 1 + 1);
    assert!(most_under_way(60, 1 << 18) > THREADS);
}

#[test]
fn reading_ends_where_writing_fails() {
    let batches = (0..20).map(|_| {
        Ok(Batch {
            bytes: Vec::with_capacity(UNDER_WAY),
            ..Batch::default()
        })
    });
    let ended = all(&encoder(), THREADS, batches, &mut |_| {
        Err(DataError::NoCache)
    });
    assert!(matches!(ended, Err(DataError::NoCache)));
}
