//! Searches a file for an event by its id: where ids name no position in the input, nothing else tells whether it was sent.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use natsink::config::{Input as InputPlan, Plan};
use natsink::sink::{Input, Mapper, Record};
use natsink::time::Instant;

use super::stream_sink::StreamSink;
use super::{log, opening};

/// Bytes read at a time.
const BLOCK_LEN: usize = 1024 * 1024;
/// Lines between two looks whether anybody still wants to know.
const LOOK: u64 = 4096;

/// Whether an input has an event.
pub(crate) enum Search {
    /// It has, at this position.
    Found(u64),
    /// It has not.
    Absent,
    /// It cannot be read twice, or not be read.
    Unknown,
}

/// Searches the input for the event to which this sink gives this id. Dropped, it stops.
pub(crate) async fn search(plan: &Plan, sink: StreamSink<'_>, input: &Input, id: &str) -> Search {
    let InputPlan::File { path, .. } = &plan.source.input else { return Search::Unknown };
    let of_sink = plan.sinks.iter().find(|of| of.id == sink.id);
    let Some(Ok(mapper)) = of_sink.map(|of| opening::mapper(plan, of, input.clone())) else { return Search::Unknown };
    log::info(format_args!(
        "there is no checkpoint: looking in {} for the last event of stream {}",
        path.display(),
        sink.stream
    ));
    let (path, id): (PathBuf, String) = (path.clone(), id.into());
    // With its line feed.
    let line_len_max = plan.source.line_bytes_max as u64 + 1;
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let found = position_of(&path, mapper, &id, line_len_max, || answer.is_closed());
        // Nobody may be left to hear it.
        let _ = answer.send(found);
    });
    match answered.await {
        Ok(Ok(Some(position))) => Search::Found(position),
        Ok(Ok(None)) => Search::Absent,
        Ok(Err(_)) | Err(_) => Search::Unknown,
    }
}

fn position_of(
    path: &Path,
    mut mapper: Mapper,
    id: &str,
    line_len_max: u64,
    is_over: impl Fn() -> bool,
) -> io::Result<Option<u64>> {
    // A named pipe gives its bytes once.
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut file = BufReader::with_capacity(BLOCK_LEN, File::open(path)?);
    let (mut position, mut number) = (0, 0);
    let mut is_whole = true;
    loop {
        let mut line = Vec::new();
        let end = position + (&mut file).take(line_len_max).read_until(b'\n', &mut line)? as u64;
        number += 1;
        if end == position || number % LOOK == 0 && is_over() {
            return Ok(None);
        }
        // What follows the beginning of a line that is too long is no line.
        let begins = std::mem::replace(&mut is_whole, line.pop_if(|last| *last == b'\n').is_some());
        let record = Record { position, end, line: line.into(), number, read_at: Instant::ZERO };
        if begins && mapper.map(&record).is_ok_and(|mapped| mapped.id().as_str() == id) {
            return Ok(Some(position));
        }
        position = end;
    }
}

#[cfg(test)]
mod tests {
    use natsink::sink::{Format, MapperOptions, Template, TemplateKind};

    use super::*;

    #[test]
    fn an_event_is_found_by_its_id_and_a_line_that_is_too_long_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        let line = |number: u32| format!("{{\"n\":{number}}}\n");
        let long = format!("{{\"x\":\"{}\"}}{}", "y".repeat(200), line(7));
        fs::write(&path, [line(1), long.clone(), line(8), "no JSON\n".into(), "{\"n\":9}".into()].concat()).unwrap();
        let subject = || Template::new("s", TemplateKind::Subject).unwrap();
        let find = |id: &str| {
            let mut options = MapperOptions::new("p", Input::named("i"), Format::Json, subject());
            options.id = natsink::sink::IdRule::Template(Template::new("${n}", TemplateKind::Id).unwrap());
            position_of(&path, Mapper::new(options).unwrap(), id, 64, || false).unwrap()
        };
        let eight = (line(1).len() + long.len()) as u64;
        assert_eq!(
            ["p|1", "p|7", "p|8", "p|9", "p|2"].map(find),
            [Some(0), None, Some(eight), Some(eight + line(8).len() as u64 + 8), None]
        );
        assert!(position_of(folder.path(), mapper(), "p|1", 64, || false).is_err());
    }

    fn mapper() -> Mapper {
        let subject = Template::new("s", TemplateKind::Subject).unwrap();
        Mapper::new(MapperOptions::new("p", Input::named("i"), Format::Json, subject)).unwrap()
    }
}
