//! Who follows a log, as a run does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use natsink::io::{FollowOptions, Line, Look, Notice, SavedInput, Segment, Source, SourceOptions, Trail};

use super::writer::Writer;

/// Longer than any wait of these tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn options() -> FollowOptions {
    let mut options = FollowOptions::default();
    (options.look, options.grace) = (Duration::from_millis(2), Duration::from_millis(40));
    options
}

/// Who follows the log, as a run does.
pub(crate) struct Follower {
    pub(crate) log: PathBuf,
    pub(crate) options: FollowOptions,
    pub(crate) trail: Trail,
    pub(crate) reading: Option<(Segment, Source)>,
    pub(crate) position: u64,
    pub(crate) lines: u64,
    /// What was read, each with its id.
    pub(crate) read: Vec<(String, String)>,
    pub(crate) notices: Vec<Notice>,
    /// What the checkpoint says.
    pub(crate) saved: Option<SavedInput>,
}

impl Follower {
    pub(crate) fn new(log: &Path, saved: Option<&SavedInput>) -> Self {
        let trail = Trail::new(log, Some(options()), saved, false);
        let log = log.into();
        let options = options();
        Self {
            log,
            options,
            trail,
            reading: None,
            position: 0,
            lines: 0,
            read: Vec::new(),
            notices: Vec::new(),
            saved: saved.cloned(),
        }
    }

    /// One turn; whether anything happened.
    pub(crate) async fn turn(&mut self) -> bool {
        let Some((segment, source)) = &mut self.reading else {
            let look = self.trail.look().unwrap();
            self.notices.extend(std::iter::from_fn(|| self.trail.poll_notice()));
            let Look::Segment(segment) = look else { return false };
            (self.position, self.lines) = (segment.position, segment.lines);
            let follow = Some((&*self.log, self.options));
            let source = Source::start_segment(&segment, follow, SourceOptions::new(Instant::now())).unwrap();
            self.reading = Some((segment, source));
            // As a run does, before anything is sent.
            self.saved = self.saved();
            return true;
        };
        if let Some(line) = source.line() {
            let Line::Record(record) = line else { panic!("{line:?}") };
            assert_eq!((record.position, record.number), (self.position, self.lines + 1));
            let line = String::from_utf8(record.line.to_vec()).unwrap();
            self.read.push((format!("{}:{}", segment.input, record.position), line));
            (self.position, self.lines) = (record.end, record.number);
            return true;
        }
        match tokio::time::timeout(Duration::from_millis(1), source.fill()).await {
            Ok(Ok(true)) => true,
            Ok(Ok(false)) => {
                self.trail.handle_end(self.position, self.lines);
                self.reading = None;
                true
            }
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => false,
        }
    }

    /// Goes on until so many lines were read.
    #[track_caller]
    pub(crate) fn reads(&mut self, count: usize) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let began = Instant::now();
            while self.read.len() < count {
                let went_on = self.turn().await;
                assert!(began.elapsed() < DEADLINE, "{at}: only {:?}, {:?}", self.read, self.notices);
                if !went_on {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }

    /// Goes on for a while, and says that nothing more is read.
    pub(crate) async fn reads_no_more(&mut self) {
        let before = self.read.len();
        self.goes_on_for(4 * options().grace).await;
        assert_eq!(self.read[before..], []);
    }

    pub(crate) async fn goes_on_for(&mut self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.turn().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn texts(&self) -> Vec<&str> {
        self.read.iter().map(|(_, line)| &**line).collect()
    }

    pub(crate) fn saved(&self) -> Option<SavedInput> {
        let (segment, _) = self.reading.as_ref()?;
        segment.saved(self.position, self.lines).unwrap()
    }

    /// Every line once, and no id twice.
    #[track_caller]
    pub(crate) fn has_read_all_of(&self, writer: &Writer) {
        assert_eq!(self.texts(), writer.written, "{:?}", self.notices);
        let ids: BTreeMap<&str, &str> = self.read.iter().map(|(id, line)| (&**id, &**line)).collect();
        assert_eq!(ids.len(), self.read.len());
    }
}
