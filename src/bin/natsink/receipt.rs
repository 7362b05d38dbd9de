//! The receipt of a run: what became of every event that was read, for people on stderr and as JSON in a file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use natsink::sink::{Counts, Histogram};
use serde::Serialize;

use super::exit::{Failure, Finish};

/// What every receipt begins with.
const BEGINNING: &[u8] = br#"{"read":"#;

/// Counts of one run. When it is over, `read` = `stored` + `duplicate` + `dead` + `pending` + `skipped`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Receipt {
    /// Lines read.
    pub(crate) read: u64,
    /// Events that the stream newly holds.
    pub(crate) stored: u64,
    /// Events that the stream held already.
    pub(crate) duplicate: u64,
    /// Of the duplicates, those that could not be compared with what the stream holds.
    pub(crate) unverified: u64,
    /// Events that went to the dead-letter file.
    pub(crate) dead: u64,
    /// Events without an outcome: the next run reads them again. Counted when the receipt is closed.
    pending: u64,
    /// Blank lines.
    pub(crate) skipped: u64,
    /// Messages sent again.
    pub(crate) replayed: u64,
    /// Events whose sequence is lower than that of an event before them in the input.
    pub(crate) inversions: u64,
    /// Connections after the first.
    pub(crate) reconnects: u64,
    /// Bytes of the input.
    pub(crate) bytes: u64,
    /// The stream.
    pub(crate) stream: Option<String>,
    /// The lowest sequence of this run's events.
    pub(crate) first_seq: Option<u64>,
    /// The highest sequence of this run's events.
    pub(crate) last_seq: Option<u64>,
    /// Where the next run starts, bytes from the start of the input.
    pub(crate) position: u64,
    /// From the start of the run to its end.
    pub(crate) elapsed_ms: u64,
    ack_us: AckMicros,
    exit: Exit,
    /// Each sink by itself, where there are several. What stands above is then the view of the commit policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sinks: Vec<SinkReceipt>,
}

/// The counts of one sink. `read` = `stored` + `duplicate` + `dead` + `gap` + `pending` + `skipped`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct SinkReceipt {
    id: String,
    read: u64,
    stored: u64,
    duplicate: u64,
    unverified: u64,
    dead: u64,
    /// Events that it did not get: gap records tell of them.
    gap: u64,
    pending: u64,
    skipped: u64,
    pub(crate) replayed: u64,
    pub(crate) inversions: u64,
    pub(crate) reconnects: u64,
    bytes: u64,
    pub(crate) stream: Option<String>,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    position: u64,
    ack_us: AckMicros,
}

/// How long acks took, microseconds; null where there were none.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct AckMicros {
    p50: Option<u64>,
    p99: Option<u64>,
    p999: Option<u64>,
    max: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Exit {
    code: u8,
    kind: &'static str,
    message: String,
}

impl AckMicros {
    fn of(latency: &Histogram) -> Self {
        let quantile = |share| latency.quantile(share).map(micros_of);
        Self { p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999), max: latency.max().map(micros_of) }
    }
}

impl SinkReceipt {
    pub(crate) fn new(id: &str, counts: &Counts, latency: &Histogram, position: u64) -> Self {
        let seq = |seq: u64| (seq > 0).then_some(seq);
        Self {
            id: id.into(),
            read: counts.read,
            stored: counts.stored,
            duplicate: counts.duplicate,
            unverified: counts.unverified,
            dead: counts.dead,
            gap: counts.gap,
            pending: counts.pending,
            skipped: counts.skipped,
            inversions: counts.inversions,
            bytes: counts.bytes,
            first_seq: seq(counts.first_seq),
            last_seq: seq(counts.last_seq),
            position,
            ack_us: AckMicros::of(latency),
            ..Self::default()
        }
    }
}

impl Receipt {
    /// Takes the counts over.
    pub(crate) fn count(&mut self, counts: &Counts) {
        (self.read, self.stored, self.duplicate) = (counts.read, counts.stored, counts.duplicate);
        (self.unverified, self.dead, self.skipped) = (counts.unverified, counts.dead, counts.skipped);
        (self.inversions, self.bytes) = (counts.inversions, counts.bytes);
        for seq in [counts.first_seq, counts.last_seq] {
            if seq > 0 {
                self.saw_seq(seq);
            }
        }
    }

    /// Takes note of an event's sequence in the stream.
    pub(crate) fn saw_seq(&mut self, seq: u64) {
        self.first_seq = Some(self.first_seq.map_or(seq, |first| first.min(seq)));
        self.last_seq = Some(self.last_seq.map_or(seq, |last| last.max(seq)));
    }

    /// Takes the figures of the acks over.
    pub(crate) fn set_latency(&mut self, latency: &Histogram) {
        self.ack_us = AckMicros::of(latency);
    }

    /// Ends the account: what has no outcome is pending.
    pub(crate) fn close(&mut self, result: &Result<Finish, Failure>) {
        let settled = self.stored + self.duplicate + self.dead + self.skipped;
        debug_assert!(settled <= self.read, "more outcomes than events");
        self.pending = self.read.saturating_sub(settled);
        self.exit = match result {
            Ok(finish) => Exit { code: 0, kind: finish.kind(), message: finish.message().into() },
            Err(failure) => Exit { code: failure.code.number(), kind: failure.kind, message: failure.to_string() },
        };
    }

    /// Writes the receipt to `path` as one line of JSON. Whoever reads there finds the old file or the new one, whole;
    /// what is no file, such as a pipe or a device, is written to as it is. A file that is there and is no receipt stays
    /// as it is: after a mistake in the flags it may be the input.
    ///
    /// # Errors
    /// When another file is there, or the file beside it cannot be made, written or renamed.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut json = serde_json::to_vec(self).expect("numbers and strings are JSON");
        json.push(b'\n');
        let Some(new) = beside(path)? else { return OpenOptions::new().write(true).open(path)?.write_all(&json) };
        let written = write_new(&new, &json).and_then(|()| fs::rename(&new, path));
        if written.is_err() {
            // What is left of it is of no use; the error that counts is the one above.
            let _ = fs::remove_file(&new);
        }
        written?;
        File::open(folder_of(path))?.sync_all()
    }

    /// Whether a receipt could be written to `path` now. Nothing there is changed.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub(crate) fn check_place(path: &Path) -> io::Result<()> {
        let Some(new) = beside(path)? else { return Ok(()) };
        write_new(&new, b"")?;
        fs::remove_file(&new)
    }
}

/// The file that becomes the receipt at `path`; `None` where there is something that is written to as it is.
fn beside(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => return Ok(None),
        Ok(found) if found.len() > 0 && !is_receipt(path)? => {
            return Err(io::Error::other("that file is no receipt, and is not written over"));
        }
        _ => {}
    }
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut new_name = name.to_os_string();
    new_name.push(format!(".{}.new", std::process::id()));
    Ok(Some(folder_of(path).join(new_name)))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether that file begins as every receipt does.
fn is_receipt(path: &Path) -> io::Result<bool> {
    let mut found = Vec::new();
    File::open(path)?.take(BEGINNING.len() as u64).read_to_end(&mut found)?;
    Ok(found == BEGINNING)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, stored, duplicate, dead, pending, skipped, .. } = self;
        writeln!(
            f,
            "{read} read = {stored} stored + {duplicate} duplicate + {dead} dead + {pending} pending + {skipped} skipped"
        )?;
        if let (Some(first), Some(last), Some(stream)) = (self.first_seq, self.last_seq, &self.stream) {
            writeln!(f, "stream {stream}, sequences {first} to {last}")?;
        }
        for sink in &self.sinks {
            writeln!(f, "{sink}")?;
        }
        if self.unverified > 0 {
            writeln!(f, "{} of the duplicates could not be compared with what the stream holds", self.unverified)?;
        }
        let Self { inversions, replayed, reconnects, .. } = self;
        writeln!(f, "{inversions} inversions, {replayed} replayed, {reconnects} reconnects")?;
        let rate = (stored + duplicate) * 1000 / self.elapsed_ms.max(1);
        write!(f, "{} in {}, {rate} events/s", bytes(self.bytes), millis(self.elapsed_ms))?;
        if let AckMicros { p50: Some(p50), p99: Some(p99), max: Some(max), .. } = self.ack_us {
            write!(f, "; acks p50 {}, p99 {}, max {}", micros(p50), micros(p99), micros(max))?;
        }
        write!(f, "\nsettled up to byte {} of the input", self.position)
    }
}

impl fmt::Display for SinkReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, stored, duplicate, dead, gap, pending, skipped, .. } = self;
        write!(f, "sink {id}: {stored} stored + {duplicate} duplicate + {dead} dead + {gap} gap")?;
        write!(f, " + {pending} pending + {skipped} skipped")?;
        if let (Some(first), Some(last), Some(stream)) = (self.first_seq, self.last_seq, &self.stream) {
            write!(f, "; stream {stream}, sequences {first} to {last}")?;
        }
        Ok(())
    }
}

/// A time in whole microseconds.
pub(crate) fn micros_of(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Bytes for people.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Microseconds for people.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

/// Milliseconds for people.
pub(crate) fn millis(millis: u64) -> String {
    match millis {
        0..60_000 => format!("{:.1} s", millis as f64 / 1e3),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis / 1000 % 60),
        _ => format!("{} h {} min", millis / 3_600_000, millis / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Code;

    fn full() -> Receipt {
        let mut receipt = Receipt {
            read: 20,
            stored: 10,
            duplicate: 3,
            unverified: 1,
            dead: 2,
            skipped: 1,
            replayed: 5,
            inversions: 6,
            reconnects: 7,
            bytes: 2_500,
            stream: Some("ORDERS".into()),
            position: 1234,
            elapsed_ms: 2_000,
            ..Receipt::default()
        };
        for seq in [7, 5, 9] {
            receipt.saw_seq(seq);
        }
        let mut latency = Histogram::new();
        (1..=10).for_each(|micros| latency.record(Duration::from_micros(micros)));
        latency.record(Duration::from_micros(1500));
        receipt.set_latency(&latency);
        receipt
    }

    #[test]
    fn is_one_object_with_the_fields_of_the_manual() {
        let mut receipt = full();
        receipt.close(&Err(Failure::new(Code::Unavailable, "unavailable", "no server for 5 s")));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("receipt.json");
        Receipt::default().write(&path).expect("an old receipt");
        receipt.write(&path).expect("a new receipt");
        let text = fs::read_to_string(&path).expect("the receipt");
        let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let expected = serde_json::json!({
            "read": 20, "stored": 10, "duplicate": 3, "unverified": 1, "dead": 2, "pending": 4, "skipped": 1,
            "replayed": 5, "inversions": 6, "reconnects": 7, "bytes": 2500, "stream": "ORDERS",
            "first_seq": 5, "last_seq": 9, "position": 1234, "elapsed_ms": 2000,
            "ack_us": { "p50": 6, "p99": 1500, "p999": 1500, "max": 1500 },
            "exit": { "code": 69, "kind": "unavailable", "message": "no server for 5 s" },
        });
        assert_eq!(found, expected);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "something is left beside the receipt");
    }

    #[test]
    fn of_nothing_says_so() {
        let mut receipt = Receipt::default();
        receipt.close(&Ok(Finish::Done));
        let found = serde_json::to_value(&receipt).expect("JSON");
        assert_eq!(found["first_seq"], serde_json::Value::Null);
        assert_eq!(found["ack_us"]["p50"], serde_json::Value::Null);
        assert_eq!(found["exit"], serde_json::json!({ "code": 0, "kind": "done", "message": "end of input" }));
    }

    #[test]
    fn keeps_the_old_one_where_the_new_one_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("receipt");
        fs::create_dir(&path).expect("a folder in the way");
        assert!(full().write(&path).is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "something is left beside the receipt");
        assert!(full().write(&folder.path().join("absent/receipt")).is_err());
    }

    #[test]
    fn no_other_file_is_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("input");
        fs::write(&path, "{\"id\":1}\n").expect("an input");
        assert!(full().write(&path).is_err());
        assert_eq!(fs::read_to_string(&path).expect("the input"), "{\"id\":1}\n");
        fs::write(&path, "").expect("an empty file");
        full().write(&path).expect("nothing is lost");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_stays_a_device() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("receipt");
        std::os::unix::fs::symlink("/dev/null", &path).expect("a link");
        full().write(&path).expect("written to nowhere");
        assert!(fs::symlink_metadata(&path).expect("the link").is_symlink());
    }

    #[test]
    fn reads_well() {
        let mut receipt = full();
        receipt.close(&Ok(Finish::Done));
        let text = "20 read = 10 stored + 3 duplicate + 2 dead + 4 pending + 1 skipped\n\
                    stream ORDERS, sequences 5 to 9\n\
                    1 of the duplicates could not be compared with what the stream holds\n\
                    6 inversions, 5 replayed, 7 reconnects\n\
                    2.5 kB in 2.0 s, 6 events/s; acks p50 6 µs, p99 1.5 ms, max 1.5 ms\n\
                    settled up to byte 1234 of the input";
        assert_eq!(receipt.to_string(), text);
    }

    #[test]
    fn units_are_for_people() {
        assert_eq!([bytes(999), bytes(1_500_000), bytes(2_000_000_000)], ["999 B", "1.5 MB", "2.0 GB"]);
        assert_eq!([micros(999), micros(1500), micros(2_500_000)], ["999 µs", "1.5 ms", "2.5 s"]);
        assert_eq!([millis(59_900), millis(61_000), millis(3_660_000)], ["59.9 s", "1 min 1 s", "1 h 1 min"]);
    }
}
