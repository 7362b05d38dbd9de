//! Ids on a real server: the same at every replay, another for every other event, and no `duplicate` believed unseen.

mod support;

use std::fs;
use std::process::Command;

use serde_json::json;
use support::command::{Place, events};

/// A change event at a source position, with more members.
fn change(op: &str, source: &str, more: &str) -> String {
    format!(r#"{{"op":"{op}","source":{{"connector":"pg","db":"d","schema":"s","table":"orders",{source}}}{more}}}"#)
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn two_pipes_never_collide() {
    let place = Place::new();
    let (one, two) = (events(5), events(5).replace("\"c\"", "\"u\""));
    for text in [&one, &two, &one] {
        place.pipe(&[], text.as_str()).ends(0, [5, 5, 0, 0, 0, 0]);
    }
    let whole = [one.as_str(), &two, &one].concat();
    assert_eq!(place.payloads(), whole.lines().collect::<Vec<_>>());
}

#[test]
fn what_comes_through_a_pipe_in_the_file_system_comes_once() {
    let place = Place::new();
    let path = place.path("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    for _ in 0..2 {
        let run = place.start(&["--input", "fifo"]);
        fs::write(&path, events(3)).expect("the run reads");
        run.end().ends(0, [3, 3, 0, 0, 0, 0]);
    }
    // It cannot be read again, so there is nothing to keep a position of.
    place.run(&["--input", "fifo", "--checkpoint", "c"]).fails(64, "usage", &["fifo", "--input-id"]);
    // One that nobody writes to holds no one up.
    let mut run = place.start(&["--input", "fifo"]);
    run.until("it listens to signals", |run| {
        let status = fs::read_to_string(format!("/proc/{}/status", run.pid())).expect("the run runs");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
        u64::from_str_radix(caught.trim(), 16).expect("a number") & 1 << 14 != 0
    });
    run.stop("TERM").fails(143, "signal", &["before anything was sent"]);
    let twice = events(3) + &events(3);
    assert_eq!(place.payloads(), twice.lines().collect::<Vec<_>>());
}

#[test]
fn a_named_pipe_is_known_again_and_another_under_its_name_is_told() {
    let place = Place::new();
    let named = ["--input-id", "nightly", "--pipeline", "p"];
    place.pipe(&named, events(5)).ends(0, [5, 5, 0, 0, 0, 0]);
    let again = place.pipe(&named, events(5));
    assert_eq!(again.ends(0, [5, 0, 5, 0, 0, 0]).count("unverified"), 0);
    place.pipe(&named, events(7)).ends(0, [7, 2, 5, 0, 0, 0]);
    // Other events at the same places are no duplicates.
    let other = events(5).replace("\"c\"", "\"u\"");
    let letters = [&named[..], &["--dead-letter", "dead"]].concat();
    place.pipe(&letters, other.as_str()).ends(0, [5, 0, 0, 5, 0, 0]);
    assert_eq!(place.letters("dead").len(), 5);
    place.pipe(&named, other.as_str()).fails(65, "event", &["line 1", "id collision", "id p|nightly:0"]);
    // Another name is another input, and so is another pipeline.
    place.pipe(&["--input-id", "other", "--pipeline", "p"], events(5)).ends(0, [5, 5, 0, 0, 0, 0]);
    place.pipe(&["--input-id", "nightly", "--pipeline", "q"], events(5)).ends(0, [5, 5, 0, 0, 0, 0]);
    place.write("seven", events(7));
    let expected = events(7) + &events(5) + &events(5);
    assert_eq!(place.payloads(), expected.lines().collect::<Vec<_>>());
}

#[test]
fn two_files_with_an_equal_first_line_are_two_inputs_and_one_file_is_one() {
    let place = Place::new();
    place.write("one", events(3));
    place.write("two", events(4));
    fs::copy(place.path("one"), place.path("copy")).unwrap();
    fs::hard_link(place.path("one"), place.path("link")).unwrap();
    for (name, count) in [("one", 3), ("two", 4), ("copy", 3)] {
        place.run(&["--input", name]).ends(0, [count, count, 0, 0, 0, 0]);
    }
    for name in ["one", "two", "copy", "link"] {
        let again = place.run(&["--input", name]);
        assert_eq!((again.count("stored"), again.count("unverified")), (0, 0), "{again:?}");
        assert_eq!(again.count("duplicate"), again.count("read"));
    }
    // A file that was moved is still the same one.
    fs::rename(place.path("two"), place.path("moved")).unwrap();
    place.run(&["--input", "moved"]).ends(0, [4, 0, 4, 0, 0, 0]);
    let expected = events(3) + &events(4) + &events(3);
    assert_eq!(place.payloads(), expected.lines().collect::<Vec<_>>());
}

#[test]
fn a_short_file_grows() {
    let place = Place::new();
    let text = events(6);
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let args = ["--input", "in", "--checkpoint", "c"];
    // Nothing, then a line without its end, then its end and the start of the next, and so on.
    place.write("in", "");
    place.run(&args).ends(0, [0; 6]);
    place.append("in", &text[..ends[0]]);
    place.run(&args).ends(0, [1, 1, 0, 0, 0, 0]);
    place.append("in", &text[ends[0]..=ends[1]]);
    place.run(&args).ends(0, [2, 1, 0, 0, 0, 1]);
    place.append("in", &text[ends[1] + 1..ends[3]]);
    place.run(&args).ends(0, [2, 2, 0, 0, 0, 0]);
    place.append("in", &text[ends[3]..]);
    place.run(&args).ends(0, [3, 2, 0, 0, 0, 1]);
    place.run(&args).ends(0, [0; 6]);
    place.holds_exactly("in");
}

#[test]
fn a_file_that_grows_is_known_without_a_checkpoint_from_its_first_whole_line_on() {
    let place = Place::new();
    place.write("in", events(2));
    place.run(&["--input", "in"]).ends(0, [2, 2, 0, 0, 0, 0]);
    place.write("in", events(5));
    let grown = place.run(&["--input", "in"]);
    assert_eq!(grown.ends(0, [5, 3, 2, 0, 0, 0]).count("unverified"), 0);
    place.holds_exactly("in");
}

#[test]
fn a_file_cut_and_written_anew_is_not_swallowed() {
    let place = Place::new();
    let first = events(1);
    // Two events as long as each other, so that the second file's stand where the first one's stood.
    let before = format!("{first}{}", events(4).replace("\"c\"", "\"u\""));
    let after = format!("{first}{}", events(4).replace("\"c\"", "\"d\""));
    place.write("in", &before);
    // Without a checkpoint nothing tells the one from the other but what the stream holds.
    place.run(&["--input", "in"]).ends(0, [5, 5, 0, 0, 0, 0]);
    place.write("in", &after);
    let told = place.run(&["--input", "in"]);
    told.fails(65, "event", &["line 2", "id collision"]);
    let letters = place.run(&["--input", "in", "--dead-letter", "dead"]);
    letters.ends(0, [5, 0, 1, 4, 0, 0]);
    // With one it is a new input.
    place.write("in", &before);
    let kept = ["--input", "in", "--checkpoint", "c", "--pipeline", "kept"];
    place.run(&kept).ends(0, [5, 5, 0, 0, 0, 0]);
    place.write("in", &after);
    place.run(&kept).ends(0, [5, 5, 0, 0, 0, 0]).says(&["not the file that the checkpoint knows"]);
    place.write("in", &before);
    place.run(&kept).ends(0, [5, 5, 0, 0, 0, 0]);
    // Shorter than the position, and then the same again.
    place.write("in", &first);
    place.run(&kept).ends(0, [1, 1, 0, 0, 0, 0]);
    place.run(&kept).ends(0, [0; 6]);
    let expected = [before.as_str(), &before, &after, &before, &first].concat();
    assert_eq!(place.payloads(), expected.lines().collect::<Vec<_>>());
}

#[test]
fn positions_of_the_source_name_an_event_only_where_they_are_whole() {
    let place = Place::new();
    let whole = |order: u32| format!(r#","transaction":{{"id":"7","total_order":{order}}}"#);
    let lsn = r#""lsn":900,"txId":7"#;
    let input = [
        change("c", lsn, &whole(1)),
        change("c", lsn, &whole(2)),
        change("d", lsn, &whole(11)),
        // No ordinal: changes of one transaction share a log position.
        change("c", lsn, r#","after":{"id":1}"#),
        change("c", lsn, r#","after":{"id":1}"#),
        change("c", lsn, r#","after":{"id":2}"#),
        // The rows of a snapshot share it too, whatever their ordinal.
        change("r", lsn, &whole(1)),
        change("r", lsn, &whole(1)),
        // Other kinds of positions, as long as they are whole.
        change("c", r#""file":"bin.1","pos":4,"row":0"#, ""),
        change("c", r#""file":"bin.1","pos":4,"row":1"#, ""),
        change("c", r#""file":"bin.1","pos":4"#, r#","after":1"#),
        change("c", r#""file":"bin.1","pos":4"#, r#","after":2"#),
        change("c", r#""gtid":"u:1","row":0"#, ""),
        change("c", r#""gtid":"u:1""#, ""),
    ];
    let count = input.len() as u64;
    place.pipe(&["--pipeline", "p"], lines(&input)).ends(0, [count, count, 0, 0, 0, 0]);
    let stored = place.stored();
    assert_eq!(stored.iter().map(|event| event.payload.clone()).collect::<Vec<_>>(), input);
    let mut ids: Vec<&str> = stored.iter().map(|event| event.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), input.len());
    // Whatever brings it, an event with a whole position is the same event; the others come anew.
    let again = place.pipe(&["--pipeline", "p"], lines(&input));
    assert_eq!(again.ends(0, [count, 8, 6, 0, 0, 0]).count("unverified"), 0);
    // The same position with other bytes is told.
    let lie = change("c", lsn, &whole(1)).replace("\"orders\"", "\"orders\",\"x\":1");
    place.pipe(&["--pipeline", "p"], lie).fails(65, "event", &["id collision", "id p|pg|d.s.orders|900,7,1"]);
}

#[test]
fn a_crash_between_send_and_checkpoint_stores_nothing_twice() {
    let place = Place::new();
    // A checkpoint that hardly ever moves, so that the crash is certain to come before it does.
    let top = "pipeline: p\nbatch: { max_ms: 3600000, max_events: 20 }\nsource: { type: stdin, input_id: x }";
    place.configure(&format!("{top}\ncheckpoint: {{ path: c }}"), "");
    place.write("all", events(50));
    let mut raw = place.raw();
    let mut first = place.start(&["-c", "natsink.yaml"]);
    first.write(events(5));
    first.until("five events are stored", |_| raw.stream_messages("ORDERS") == 5);
    first.kill9();
    assert_eq!(place.position("c"), 0);
    let mut second = place.start(&["-c", "natsink.yaml"]);
    second.write(events(20));
    second.until("a checkpoint", |_| place.position("c") > 0);
    second.write(&events(33)[events(20).len()..]);
    second.until("33 events are stored", |_| raw.stream_messages("ORDERS") == 33);
    second.kill9();
    let prefix = place.position("c");
    assert!(prefix < events(33).len() as u64);
    let before = events(50)[..usize::try_from(prefix).unwrap()].lines().count() as u64;
    let last = place.pipe(&["-c", "natsink.yaml"], events(50));
    assert_eq!(last.ends(0, [50 - before, 17, 33 - before, 0, 0, 0]).count("unverified"), 0);
    place.holds_exactly("all");
}

#[test]
fn what_was_purged_is_a_duplicate_that_nobody_can_verify() {
    let place = Place::new();
    place.write("in", events(4));
    place.run(&["--input", "in"]).ends(0, [4, 4, 0, 0, 0, 0]);
    place.raw().api("STREAM.PURGE.ORDERS", &json!({"keep": 1}));
    let again = place.run(&["--input", "in"]);
    assert_eq!(again.ends(0, [4, 0, 4, 0, 0, 0]).count("unverified"), 3);
    again.says(&["3 of the duplicates could not be compared", "warn  a duplicate cannot be verified"]);
    let left = events(4);
    assert_eq!(place.payloads(), [left.lines().last().unwrap()]);
}
