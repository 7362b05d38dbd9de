//! The input as the run loop sees it: lines ahead of need, within bounds, from files and pipes.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use natsink::io::{Line, Look, SavedInput, Segment, Source, SourceError, SourceOptions, Trail, open};
use natsink::sink::PrefixHash;

fn options() -> SourceOptions {
    SourceOptions::new(Instant::now())
}

async fn lines(mut source: Source) -> (Vec<(u64, u64, Vec<u8>)>, Option<SourceError>) {
    let mut lines = Vec::new();
    loop {
        match source.fill().await {
            Ok(false) => return (lines, None),
            Err(error) => return (lines, Some(error)),
            Ok(true) => {}
        }
        while let Some(line) = source.line() {
            match line {
                Line::Record(record) => lines.push((record.number, record.position, record.line.to_vec())),
                Line::Oversize(line) => lines.push((line.number, line.position, format!("{}!", line.len).into())),
            }
        }
    }
}

fn segment(path: &Path, saved: Option<&SavedInput>) -> Segment {
    let Look::Segment(segment) = Trail::new(path, None, saved, false).look().unwrap() else { panic!("a file") };
    segment
}

fn prefix(bytes: &[u8]) -> natsink::sink::Fingerprint {
    let mut prefix = PrefixHash::default();
    prefix.update(bytes);
    prefix.finish()
}

#[tokio::test]
async fn a_file_is_read_from_a_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    std::fs::write(&path, "one\ntwo\r\n\nlonger\nlast").unwrap();
    let mut options = options();
    options.line_len_max = 5;
    let saved = segment(&path, None).saved(4, 1).unwrap().unwrap();
    let source = Source::start_segment(&segment(&path, Some(&saved)), None, options).unwrap();
    let (lines, error) = lines(source).await;
    assert!(error.is_none());
    let expected: [(u64, u64, &[u8]); 4] = [(2, 4, b"two\r"), (3, 9, b""), (4, 10, b"6!"), (5, 17, b"last")];
    assert_eq!(lines, expected.map(|(number, position, line)| (number, position, line.to_vec())));
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_read_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    // More than is read ahead.
    std::fs::write(&path, "one line\n".repeat(2 << 20)).unwrap();
    for text in ["", "another\n"] {
        let mut source = Source::start_segment(&segment(&path, None), None, options()).unwrap();
        assert!(source.fill().await.unwrap());
        std::fs::write(&path, text).unwrap();
        let (lines, error) = lines(source).await;
        assert!(matches!(error, Some(SourceError::Cut)), "{error:?}");
        assert!(lines.iter().all(|(_, _, line)| line == b"one line"));
        std::fs::write(&path, "one line\n".repeat(2 << 20)).unwrap();
    }
}

#[tokio::test]
async fn an_input_that_does_not_block_is_waited_for() {
    let (mut writer, reader) = UnixStream::pair().unwrap();
    reader.set_nonblocking(true).unwrap();
    let mut options = options();
    (options.position, options.skip) = (4, Some(prefix(b"one\n")));
    let mut source = Source::start(reader, options).unwrap();
    // Nothing is there when it is first read, nor between the lines.
    for (text, position) in [("one\ntw", None), ("o\nth", Some(4)), ("ree\n", Some(8))] {
        let waited = tokio::time::timeout(Duration::from_millis(20), source.fill()).await;
        assert!(waited.is_err(), "{waited:?}");
        writer.write_all(text.as_bytes()).unwrap();
        let Some(position) = position else { continue };
        assert!(source.fill().await.unwrap());
        assert!(matches!(source.line(), Some(Line::Record(record)) if record.position == position));
    }
    drop(writer);
    assert!(!source.fill().await.unwrap());
}

#[test]
fn what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(open(folder.path()), Err(SourceError::Directory(_))));
    let missing = open(&folder.path().join("none")).unwrap_err();
    assert!(matches!(&missing, SourceError::Open { error, .. } if error.kind() == io::ErrorKind::NotFound));
    assert!(missing.to_string().contains("none"), "{missing}");
}

#[tokio::test]
async fn a_pipe_that_brings_the_same_again_goes_on_where_it_was() {
    let all = b"one\ntwo\nthree\nfour";
    // The end of a line, the end of what was there, and the middle of a line whose end was not there yet.
    for position in [0, 4, 8, 14, 10, 18] {
        let mut options = options();
        options.position = position as u64;
        options.skip = Some(prefix(&all[..position]));
        let (lines, error) = lines(Source::start(&all[..], options).unwrap()).await;
        assert!(error.is_none());
        let sent: Vec<u8> = lines.iter().map(|(_, _, line)| &line[..]).collect::<Vec<_>>().join(&b'\n');
        assert_eq!(sent, &all[position..]);
        assert!(lines.first().is_none_or(|(_, at, _)| *at == position as u64));
    }
}

#[tokio::test]
async fn a_pipe_that_brings_other_bytes_brings_none() {
    let all = b"one\ntwo\nthree\n";
    let mut options = options();
    options.position = 8;
    options.skip = Some(prefix(&all[..8]));
    for other in [&b"one\ntwO\nthree\n"[..], b"one\ntwo three\n", b"\none\ntw\nthree\n"] {
        let (lines, error) = lines(Source::start(other, options).unwrap()).await;
        assert!(lines.is_empty());
        assert!(matches!(error, Some(SourceError::OtherBytes { position: 8 })), "{error:?}");
    }
    let (lines, error) = lines(Source::start(&b"one\n"[..], options).unwrap()).await;
    assert!(lines.is_empty());
    assert!(matches!(error, Some(SourceError::TooShort { position: 8, len: 4 })), "{error:?}");
}

#[tokio::test]
async fn what_was_read_before_a_failure_comes_first() {
    struct Fails(&'static [u8]);
    impl Read for Fails {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            match self.0.read(room)? {
                0 => Err(io::ErrorKind::BrokenPipe.into()),
                len => Ok(len),
            }
        }
    }
    let (lines, error) = lines(Source::start(Fails(b"one\ntwo\nthr"), options()).unwrap()).await;
    assert_eq!(lines.len(), 2);
    assert!(matches!(error, Some(SourceError::Read(error)) if error.kind() == io::ErrorKind::BrokenPipe));
}

/// Counts what is taken from it, and never ends.
struct Endless(Arc<AtomicU64>);

impl Read for Endless {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        room.fill(b'x');
        if let Some(last) = room.last_mut() {
            *last = b'\n';
        }
        self.0.fetch_add(room.len() as u64, Ordering::SeqCst);
        Ok(room.len())
    }
}

#[tokio::test]
async fn a_reader_that_panics_is_no_end() {
    struct Faulty(bool);
    impl Read for Faulty {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            assert!(!std::mem::replace(&mut self.0, true), "a bug");
            room[..4].copy_from_slice(b"one\n");
            Ok(4)
        }
    }
    let (lines, error) = lines(Source::start(Faulty(false), options()).unwrap()).await;
    assert_eq!(lines, [(1, 0, b"one".to_vec())]);
    assert!(error.unwrap().to_string().ends_with("what reads it has panicked"));
}

#[tokio::test]
async fn an_input_that_outruns_its_reader_waits() {
    let taken = Arc::new(AtomicU64::new(0));
    let mut source = Source::start(Endless(taken.clone()), options()).unwrap();
    // Every time the source gives a line, it has read a bounded distance ahead of it.
    for _ in 0..50 {
        assert!(source.fill().await.unwrap());
        let Some(Line::Record(record)) = source.line() else { panic!("a line was there") };
        let ahead = taken.load(Ordering::SeqCst) - record.position;
        assert!(ahead <= 16 * 256 * 1024, "{ahead}");
    }
}

#[tokio::test]
async fn a_dropped_source_stops_reading() {
    /// Tells when its thread is gone.
    struct Told(Endless, #[allow(dead_code, reason = "its drop is what counts")] tokio::sync::oneshot::Sender<()>);
    impl Read for Told {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.0.read(room)
        }
    }
    let (sender, gone) = tokio::sync::oneshot::channel();
    let mut source = Source::start(Told(Endless(Arc::default()), sender), options()).unwrap();
    assert!(source.fill().await.unwrap());
    drop(source);
    assert!(gone.await.is_err(), "the reader was dropped");
}

#[tokio::test]
async fn a_line_is_given_as_soon_as_it_is_there() {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut source = Source::start(reader, options()).unwrap();
    for (i, text) in ["first\nsec", "ond\n", "third"].into_iter().enumerate() {
        writer.write_all(text.as_bytes()).unwrap();
        if i < 2 {
            assert!(source.fill().await.unwrap());
            let Some(Line::Record(record)) = source.line() else { panic!("a line was there") };
            assert_eq!(record.number, i as u64 + 1);
            assert!(source.line().is_none());
        }
    }
    drop(writer);
    let (lines, error) = lines(source).await;
    assert_eq!((lines, error.is_none()), (vec![(3, 13, b"third".to_vec())], true));
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut source = Source::start(reader, options()).unwrap();
    for i in 0..100 {
        // Polled once, then given up.
        let mut fill = Box::pin(source.fill());
        let _ = std::future::poll_fn(|context| std::task::Poll::Ready(fill.as_mut().poll(context).is_ready())).await;
        drop(fill);
        writer.write_all(format!("{i}\n").as_bytes()).unwrap();
    }
    drop(writer);
    let (lines, _) = lines(source).await;
    let numbers: Vec<u64> = lines.iter().map(|(number, _, _)| *number).collect();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
}
