//! What a run keeps on disk: the checkpoint and the dead letters, always the letters first.

use std::time::SystemTime;

use natsink::io::{self, Checkpoint, CheckpointFile, DeadLetterFile, SavedInput, SavedLater, SinkPosition};
use natsink::sink::{DeadLetter, FanOutCommit, Gap};

use super::exit::{Code, Failure};
use super::places::Place;
use super::verdict;

/// The files of a run. A commit takes them to a thread that may wait for the disk, and brings them back.
pub(crate) struct Store {
    pub(crate) checkpoint: Option<Kept>,
    pub(crate) dead_letter: Option<DeadLetterFile>,
    pub(crate) place: Place,
}

/// A checkpoint in use, and what stays the same in it.
pub(crate) struct Kept {
    pub(crate) file: CheckpointFile,
    pub(crate) pipeline: String,
    /// The sinks, in their order. Where they stand is in each commit.
    pub(crate) sinks: Vec<SinkPosition>,
    /// What the file said until a run that starts over.
    pub(crate) before: Option<SavedInput>,
    /// Whether the file holds the position of this run, or of the one that this one goes on from.
    pub(crate) holds: bool,
}

impl Store {
    /// Whether a commit has anything to do here.
    pub(crate) fn is_lasting(&self) -> bool {
        self.checkpoint.is_some() || self.dead_letter.is_some()
    }

    /// Goes on with another place: another input, or the rest of this one, which has moved. `run` is a number that no other
    /// run has.
    pub(crate) fn begin_place(&mut self, place: Place, run: u64) {
        let is_other = place.input(run) != self.place.input(run);
        self.place = place;
        if let Some(file) = self.dead_letter.as_mut().filter(|_| is_other) {
            file.handle_next_input();
        }
    }

    /// Appends a dead letter of this sink, which is named where there are several.
    pub(crate) fn write(&mut self, letter: &DeadLetter, sink: Option<&str>) -> Result<(), Failure> {
        if let Some(file) = &mut self.dead_letter {
            file.write(letter, sink, SystemTime::now()).map_err(|error| verdict::of_dead_letter(&error))?;
        }
        Ok(())
    }

    /// Appends the record of what this sink did not get.
    pub(crate) fn write_gap(&mut self, gap: &Gap, sink: &str) -> Result<(), Failure> {
        if let Some(file) = &mut self.dead_letter {
            let gap = io::Gap { sink: sink.into(), from: gap.from, to: gap.to, count: gap.count };
            file.write_gap(&gap, SystemTime::now()).map_err(|error| verdict::of_dead_letter(&error))?;
        }
        Ok(())
    }

    /// Makes all dead letters and gap records durable, then the commit.
    pub(crate) fn save(&mut self, commit: &FanOutCommit) -> Result<(), Failure> {
        if let Some(file) = &mut self.dead_letter {
            file.sync().map_err(|error| verdict::of_dead_letter(&error))?;
        }
        let Some(kept) = &mut self.checkpoint else { return Ok(()) };
        let input = self.place.saved(commit).map_err(|error| {
            Failure::new(Code::NoInput, "input", format!("cannot read the input again for the checkpoint: {error}"))
        })?;
        // Of a file that was cut the old position holds until the next place begins.
        let Some(input) = input else { return Ok(()) };
        for (sink, commit) in kept.sinks.iter_mut().zip(&commit.sinks) {
            (sink.position, sink.lines, sink.read_from) = (commit.position, commit.lines, commit.read_from);
            sink.later = commit.later.map(|later| SavedLater { records: later.records, seq: later.seq });
        }
        let checkpoint = Checkpoint { pipeline: kept.pipeline.clone(), input, sinks: kept.sinks.clone() };
        kept.file.save(&checkpoint).map_err(|error| verdict::of_checkpoint(&error))?;
        kept.holds = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use natsink::sink::{
        Format, Input, Mapper, MapperOptions, Pipeline, PipelineOptions, Record, Start, Template, TemplateKind,
    };
    use natsink::time::Instant;

    use super::*;

    fn letter() -> DeadLetter {
        let subject = Template::new("s", TemplateKind::Subject).expect("a subject");
        let options = MapperOptions::new("p", Input::named("a"), Format::Json, subject);
        let mut dead = PipelineOptions::default();
        dead.dead_letters = true;
        let mut pipeline = Pipeline::new(Mapper::new(options).expect("a mapper"), dead, Start::default());
        pipeline.handle_record(Record { line: "none".into(), position: 0, end: 5, number: 1, read_at: Instant::ZERO });
        assert!(pipeline.poll_message().is_none());
        pipeline.poll_dead_letter().expect("it is no JSON")
    }

    #[test]
    fn letters_of_a_crashed_run_are_known_as_long_as_its_input_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dead");
        let place = |name: &str| Place::Pipe(Some(name.into()));
        let open = || {
            let file = DeadLetterFile::open(&path, Some(0)).expect("a file");
            Store { checkpoint: None, dead_letter: Some(file), place: place("a") }
        };
        let letters = || std::fs::read_to_string(&path).expect("a file").lines().count();
        open().write(&letter(), None).expect("written");
        let mut store = open();
        for (next, count) in [("a", 1), ("b", 2)] {
            store.begin_place(place(next), 7);
            store.write(&letter(), None).expect("written");
            assert_eq!(letters(), count, "{next}");
        }
    }
}
