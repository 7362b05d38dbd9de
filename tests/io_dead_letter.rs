//! The dead-letter file: what a line holds, and that crashes neither tear nor double letters.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use natsink::io::{DeadLetterFile, Found, Gap, Letters, Remains};
use natsink::jetstream::{Outcome, Rejection};
use natsink::sink::{
    DeadLetter, Format, Input, Mapper, MapperOptions, Oversize, Pipeline, PipelineOptions, Record, Start, Template,
    TemplateKind,
};
use natsink::time::Instant;
use serde_json::{Value, json};

/// The letters that a pipeline makes of these lines; well-formed ones are refused by the server.
fn letters(lines: &[&[u8]]) -> Vec<DeadLetter> {
    let subject = Template::new("s", TemplateKind::Subject).unwrap();
    let mapper = Mapper::new(MapperOptions::new("p", Input::named("in"), Format::Json, subject)).unwrap();
    let mut options = PipelineOptions::default();
    options.dead_letters = true;
    let mut pipeline = Pipeline::new(mapper, options, Start::default());
    let mut position = 0;
    for (i, line) in lines.iter().enumerate() {
        let end = position + line.len() as u64 + 1;
        let number = i as u64 + 1;
        let line = line.to_vec().into();
        pipeline.handle_record(Record { line, position, end, number, read_at: Instant::ZERO });
        position = end;
    }
    while let Some(tag) = pipeline.poll_message().map(|(tag, _)| tag) {
        pipeline.handle_sent(tag);
        let refused = Rejection::Refused { code: 400, err_code: 10054, description: "too large".into() };
        pipeline.handle_outcome(tag, &Outcome::Rejected(refused), Instant::ZERO);
    }
    let mut letters: Vec<_> = std::iter::from_fn(|| pipeline.poll_dead_letter()).collect();
    letters.sort_by_key(|letter| letter.position);
    letters
}

fn oversize() -> DeadLetter {
    let subject = Template::new("s", TemplateKind::Subject).unwrap();
    let mapper = Mapper::new(MapperOptions::new("p", Input::named("in"), Format::Json, subject)).unwrap();
    let mut options = PipelineOptions::default();
    options.dead_letters = true;
    let mut pipeline = Pipeline::new(mapper, options, Start::default());
    pipeline.handle_oversize(Oversize {
        position: 0,
        end: 101,
        number: 1,
        read_at: Instant::ZERO,
        len: 100,
        len_max: 50,
        head: "xxxx".into(),
        sha256: [0xab; 32],
        mark: 0,
    });
    assert!(pipeline.poll_message().is_none());
    pipeline.poll_dead_letter().unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_letter_holds_all_that_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead");
    let mut file = DeadLetterFile::open(&path, None).unwrap();
    let at = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    for letter in letters(&[b"{\"a\":1.50}", b"{\"b\":\"\\u00e9\r", b"\xff"]).iter().chain([&oversize()]) {
        assert!(file.write(letter, None, at).unwrap());
    }
    file.sync().unwrap();
    let mut expected = [
        json!({"position":0,"subject":"s","id":"p|in:0","reason":"refused by the server: too large (400, 10054)",
            "attempts":1,"at":"2026-01-01T00:00:00.000Z","payload":"{\"a\":1.50}"}),
        json!({"position":11,"subject":null,"id":null,"reason":"not JSON","attempts":0,
            "at":"2026-01-01T00:00:00.000Z","headers":null,"payload":"{\"b\":\"\\u00e9\r"}),
        json!({"position":25,"subject":null,"id":null,"reason":"not UTF-8 from byte 0 of the line on","attempts":0,
            "at":"2026-01-01T00:00:00.000Z","headers":null,"payload_base64":"/w=="}),
        json!({"position":0,"subject":null,"id":null,"reason":"the line has 100 bytes, and max_line_bytes is 50",
            "attempts":0,"at":"2026-01-01T00:00:00.000Z","headers":null,"payload":"xxxx","length":100,"sha256":"ab".repeat(32)}),
    ];
    let found = lines(&path);
    // What exactly is not JSON is told in the words of the JSON reader.
    assert!(found[1]["reason"].as_str().unwrap().starts_with("not JSON: "));
    expected[1]["reason"] = found[1]["reason"].clone();
    assert_eq!(found, expected);
    let first = fs::read_to_string(&path).unwrap();
    assert!(first.starts_with(r#"{"position":0,"subject":"s","id":"p|in:0","reason":"#), "{first}");
}

#[test]
fn a_torn_line_is_ended_at_every_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead");
    let [first, second] = &letters(&[b"{\"a\":1}", b"{\"a\":2}"])[..] else { panic!("two letters") };
    DeadLetterFile::open(&path, None).unwrap().write(first, None, UNIX_EPOCH).unwrap();
    let whole = fs::read(&path).unwrap();
    for len in 0..=whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let mut file = DeadLetterFile::open(&path, Some(0)).unwrap();
        file.write(second, None, UNIX_EPOCH).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["position"], 8, "{len}");
        let torn = text.lines().count() == 2;
        assert_eq!(torn, len > 0, "{len}: {text}");
    }
}

#[test]
fn after_a_crash_no_letter_is_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead");
    let all = letters(&[b"{\"a\":1}", b"{", b"\xff", b"{\"a\":4}"]);
    let mut file = DeadLetterFile::open(&path, None).unwrap();
    all[..3].iter().for_each(|letter| assert!(file.write(letter, None, UNIX_EPOCH).unwrap()));
    drop(file);
    // The checkpoint is after the first letter.
    let mut file = DeadLetterFile::open(&path, Some(all[1].position)).unwrap();
    let written: Vec<bool> = all[1..].iter().map(|letter| file.write(letter, None, UNIX_EPOCH).unwrap()).collect();
    assert_eq!(written, [false, false, true]);
    assert_eq!(lines(&path).len(), 4);
    // Another input may have other bytes at the same position.
    let other = letters(&[b"{\"a\":1}", b"]"]).remove(1);
    assert_eq!(other.position, all[1].position);
    assert!(file.write(&other, None, UNIX_EPOCH).unwrap());
    // And it may have the same bytes there: what cannot be read has no id that would tell the two apart.
    let mut file = DeadLetterFile::open(&path, Some(0)).unwrap();
    assert!(!file.write(&all[1], None, UNIX_EPOCH).unwrap());
    file.handle_next_input();
    assert!(file.write(&all[1], None, UNIX_EPOCH).unwrap());
    // A fresh run knows of no crash: each of its letters counts.
    let mut file = DeadLetterFile::open(&path, None).unwrap();
    assert!(file.write(&all[1], None, UNIX_EPOCH).unwrap());
}

#[test]
fn a_file_that_cannot_be_opened_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = DeadLetterFile::open(folder.path(), None).unwrap_err();
    assert!(error.to_string().starts_with("cannot open the dead-letter file"), "{error}");
    // A letter that is written there is nowhere, or waits for a reader.
    let error = DeadLetterFile::open(Path::new("/dev/null"), None).unwrap_err();
    assert!(error.to_string().contains("it is no file"), "{error}");
}

#[test]
fn a_file_that_was_moved_away_gets_no_more_letters() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("dead"), folder.path().join("dead.1"));
    let [first, second] = &letters(&[b"{\"a\":1}", b"{\"a\":2}"])[..] else { panic!("two letters") };
    let mut file = DeadLetterFile::open(&path, None).unwrap();
    file.write(first, None, UNIX_EPOCH).unwrap();
    fs::rename(&path, &old).unwrap();
    file.write(second, Some("hub"), UNIX_EPOCH).unwrap();
    file.sync().unwrap();
    let positions =
        [&old, &path].map(|path| lines(path).iter().map(|line| line["position"].clone()).collect::<Vec<_>>());
    assert_eq!(positions, [[0], [8]]);
    assert_eq!(lines(&path)[0]["sink"], "hub");
}

#[test]
fn what_is_appended_while_a_file_is_replaced_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead");
    let all = letters(&[b"{\"a\":1}", b"{\"a\":2}", b"{\"a\":3}", b"{\"a\":4}"]);
    let mut file = DeadLetterFile::open(&path, None).unwrap();
    all[..2].iter().for_each(|letter| assert!(file.write(letter, None, UNIX_EPOCH).unwrap()));
    let mut remains = Remains::open(&path).unwrap().unwrap();
    file.write(&all[2], None, UNIX_EPOCH).unwrap();
    // Only what was there at the beginning is looked at.
    let mut found = remains.letters().unwrap();
    let first = found.next_line().unwrap().unwrap();
    let second = found.next_line().unwrap().unwrap();
    assert!(found.next_line().unwrap().is_none());
    drop(first);
    remains.keep(second.span).unwrap();
    assert!(Remains::open(&path).unwrap().is_none(), "one at a time");
    remains.finish().unwrap();
    // The one that holds the old file open.
    file.write(&all[3], None, UNIX_EPOCH).unwrap();
    let positions: Vec<_> = lines(&path).iter().map(|line| line["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [8, 16, 24]);
    assert!(!folder.path().join("dead.new").exists());
}

#[test]
fn writers_lose_nothing_to_a_file_that_is_replaced_all_the_time() {
    const EACH: usize = 1500;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead");
    DeadLetterFile::open(&path, None).unwrap();
    let letter = letters(&[b"{\"a\":1}"]).remove(0);
    let write = |writer: usize| {
        let (path, mut letter) = (path.clone(), letter.clone());
        std::thread::spawn(move || {
            let mut file = DeadLetterFile::open(&path, None).unwrap();
            for number in 0..EACH {
                letter.position = (writer * EACH + number) as u64;
                file.write(&letter, None, UNIX_EPOCH).unwrap();
            }
            file.sync().unwrap();
        })
    };
    let writers = [0, 1].map(write);
    // Takes the odd ones out, as often as it goes, for as long as somebody writes.
    let (mut taken, mut rounds) = (Vec::new(), 0);
    let mut take = || {
        let mut remains = Remains::open(&path).unwrap().unwrap();
        let mut found = remains.letters().unwrap();
        let mut odd = Vec::new();
        while let Some(line) = found.next_line().unwrap() {
            match line.found {
                Found::Letter(letter) if letter.position % 2 == 1 => odd.push(letter.position),
                Found::Letter(_) => remains.keep(line.span).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        remains.finish().unwrap();
        taken.append(&mut odd);
    };
    while writers.iter().any(|writer| !writer.is_finished()) {
        take();
        rounds += 1;
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    take();
    let left = lines(&path).into_iter().map(|line| line["position"].as_u64().unwrap());
    let mut all: Vec<u64> = left.chain(taken).collect();
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..2 * EACH as u64), "{} of {}, {rounds} rounds", all.len(), 2 * EACH);
    assert!(rounds > 3, "hardly replaced: {rounds}");
}

#[test]
fn a_letter_keeps_what_its_message_had_besides_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead");
    let subject = Template::new("s", TemplateKind::Subject).unwrap();
    let mapper = Mapper::new(MapperOptions::new("p", Input::named("in"), Format::Event, subject)).unwrap();
    let mut options = PipelineOptions::default();
    options.dead_letters = true;
    let mut pipeline = Pipeline::new(mapper, options, Start::default());
    let line = r#"{"op":"c","source":{"table":"t"},"after":{},"routing":{"key":"k","headers":{"b":"2","a":"1"}}}"#;
    let end = line.len() as u64 + 1;
    pipeline.handle_record(Record { line: line.into(), position: 0, end, number: 1, read_at: Instant::ZERO });
    let (tag, sent) = pipeline.poll_message().map(|(tag, message)| (tag, format!("{message:?}"))).unwrap();
    pipeline.handle_sent(tag);
    let refused = Rejection::PermissionDenied { subject: "s".into() };
    pipeline.handle_outcome(tag, &Outcome::Rejected(refused), Instant::ZERO);
    let mut file = DeadLetterFile::open(&path, None).unwrap();
    file.write(&pipeline.poll_dead_letter().unwrap(), None, UNIX_EPOCH).unwrap();
    let letter = &lines(&path)[0];
    assert_eq!(letter["payload"], line);
    assert_eq!(letter["message"], r#"{"op":"c","source":{"table":"t"},"after":{}}"#);
    assert_eq!(letter["headers"], json!({"a": "1", "b": "2", "df-key": "k"}));
    assert!(sent.contains("df-key"), "{sent}");
}

#[test]
fn lines_that_are_no_letters_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead");
    let mut file = DeadLetterFile::open(&path, None).unwrap();
    file.write_gap(&Gap { sink: "hub".into(), from: 3, to: 9, count: 2 }, UNIX_EPOCH).unwrap();
    file.write(&letters(&[b"{\"a\":1}"])[0], None, UNIX_EPOCH).unwrap();
    drop(file);
    let more = "\n \n{\"position\":1}\n{\"position\":1,\"reason\":\"x\",\"new\":1}\n{\"posi";
    fs::write(&path, fs::read_to_string(&path).unwrap() + more).unwrap();
    let mut all = Letters::open(&path).unwrap();
    let mut kinds = Vec::new();
    let mut end = 0;
    while let Some(line) = all.next_line().unwrap() {
        assert!(line.span.start >= end, "lines in order; blank ones are none");
        end = line.span.end;
        kinds.push(match line.found {
            Found::Gap(line) => format!("gap {}", line.gap.count),
            Found::Letter(letter) => format!("letter {}", letter.position),
            Found::Foreign(why) => why.split(" at line").next().unwrap().into(),
        });
    }
    let expected = [
        "gap 2",
        "letter 0",
        "missing field `reason`",
        "unknown field `new`, expected one of `position`, `sink`, `subject`, `id`, `reason`, `attempts`, `at`, `headers`, \
         `payload`, `payload_base64`, `message`, `message_base64`, `length`, `sha256`",
        "the line has no end",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(end, fs::metadata(&path).unwrap().len());
}
