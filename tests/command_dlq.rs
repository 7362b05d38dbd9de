//! `natsink dlq`: letters are shown, sent again as they were meant, and given up only when asked for.

mod support;

use std::fs;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use natsink::io::Remains;
use serde_json::{Value, json};
use support::command::{Event, Place, until};
use support::proxy::Rules;
use support::{Direction, Proxy};

/// How `natsink dlq` ended.
#[derive(Debug)]
struct Done {
    code: i32,
    shown: String,
    told: String,
}

impl Done {
    #[track_caller]
    fn ends(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for words in words {
            assert!(self.told.contains(words), "does not say {words:?}: {self:?}");
        }
    }
}

fn start(place: &Place, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_natsink"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NATS_")) {
        command.env_remove(name);
    }
    command.current_dir(place.path("")).arg("dlq").args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command runs")
}

fn dlq(place: &Place, args: &[&str]) -> Done {
    let output = start(place, args).wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Done { code: output.status.code().expect("an exit"), shown: text(output.stdout), told: text(output.stderr) }
}

fn replay(place: &Place, more: &[&str]) -> Done {
    let url = place.server.url();
    dlq(place, &[&["replay", "dead", "--url", &url, "--stream", "ORDERS"], more].concat())
}

/// Lets the stream ORDERS take messages of this size.
fn resize(place: &Place, max_msg_size: i64) {
    let config = json!({"name": "ORDERS", "subjects": ["orders.>"], "max_msg_size": max_msg_size});
    let answer = place.raw().api("STREAM.UPDATE.ORDERS", &config);
    assert!(answer.get("error").is_none(), "{answer}");
}

/// A place whose stream takes no more than 250 bytes, where a run has made letters of the rest of these lines.
fn with_letters(args: &[&str], lines: &[String]) -> Place {
    let place = Place::without_stream(Default::default());
    place.create_stream(json!({"max_msg_size": 250}));
    place.write("in", lines.join("\n"));
    let ended = place.run(&[args, &["--input", "in", "--dead-letter", "dead", "--pipeline", "p"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    place
}

fn change(id: u64, len: usize) -> String {
    format!(r#"{{"op":"c","source":{{"table":"t"}},"after":{{"id":{id},"x":"{}"}}}}"#, "x".repeat(len))
}

fn by_id(mut events: Vec<Event>) -> Vec<(String, String, String, Value)> {
    events.sort_by(|a, b| a.id.cmp(&b.id));
    events.into_iter().map(|event| (event.id, event.subject, event.payload, event.headers)).collect()
}

#[test]
fn replayed_letters_are_stored_as_they_were_meant_and_leave_the_file() {
    let routed = format!(
        r#"{{"op":"c","source":{{"table":"t"}},"after":{{"x":"{}"}},"routing":{{"topic":"orders.vip","headers":{{"b":"2"}}}}}}"#,
        "y".repeat(300)
    );
    let lines = [change(1, 1), change(2, 300), routed, change(4, 2)];
    let args = ["--subject", "orders.${source.table}", "--key", "${after.id}", "--header", "x-env=prod"];
    let place = with_letters(&args, &lines);
    assert_eq!((place.stored().len(), place.letters("dead").len()), (2, 2));
    resize(&place, -1);
    replay(&place, &[]).ends(0, &["2 letters: 2 stored, 0 were there already, 0 refused again, 0 cannot be sent"]);
    assert_eq!(place.read("dead"), "");
    assert!(!place.path("dead.new").exists() && !place.path("dead.replay").exists());
    // What a run stores that has no trouble at all.
    let other = Place::new();
    other.write("in", lines.join("\n"));
    // Positions are those of one input, whatever its file.
    let ids = |events| by_id(events).into_iter().map(|(id, ..)| id).collect::<Vec<_>>();
    let stored = place.stored();
    let suffix = |id: &str| id.rsplit(':').next().unwrap().to_owned();
    assert_eq!(other.run(&[&args[..], &["--input", "in", "--pipeline", "p"]].concat()).code, 0);
    let expected = other.stored();
    assert_eq!(ids(stored.clone()).len(), 4);
    for event in &expected {
        let found = stored.iter().find(|found| suffix(&found.id) == suffix(&event.id)).expect("the same position");
        assert_eq!((&found.subject, &found.payload), (&event.subject, &event.payload));
        let without_id = |headers: &Value| {
            let mut headers = headers.clone();
            headers.as_object_mut().unwrap().remove("Nats-Msg-Id");
            headers
        };
        assert_eq!(without_id(&found.headers), without_id(&event.headers));
    }
}

#[test]
fn bytes_that_are_no_text_are_sent_as_they_were() {
    let place = Place::without_stream(Default::default());
    place.create_stream(json!({"max_msg_size": 250}));
    let line: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').cycle().take(600).collect();
    place.write("in", &line);
    let ended = place.run(&["--format", "lines", "--input", "in", "--dead-letter", "dead"]);
    ended.ends(0, [1, 0, 0, 1, 0, 0]);
    resize(&place, -1);
    replay(&place, &[]).ends(0, &[]);
    let stored = place.raw().stored("ORDERS");
    assert_eq!((stored.len(), &stored[0].payload), (1, &line));
}

#[test]
fn letters_that_are_refused_again_stay_with_one_more_attempt_and_the_new_reason() {
    let lines = [change(1, 300), change(2, 1), change(3, 500), change(4, 300)];
    let place = with_letters(&[], &lines);
    let before = place.letters("dead");
    resize(&place, 550);
    replay(&place, &[]).ends(65, &["2 stored", "1 refused again", "refused again: position"]);
    let after = place.letters("dead");
    assert_eq!(after.len(), 1);
    assert_eq!((&after[0]["payload"], &after[0]["id"]), (&before[1]["payload"], &before[1]["id"]));
    assert_eq!(after[0]["attempts"].as_u64(), before[1]["attempts"].as_u64().map(|attempts| attempts + 1));
    assert!(after[0]["reason"].as_str().unwrap().contains("550 bytes"), "{after:?}");
    resize(&place, -1);
    replay(&place, &[]).ends(0, &[]);
    assert_eq!(place.stored().len(), 4);
}

#[test]
fn what_cannot_be_sent_stays_and_says_why() {
    let place = Place::new();
    let long = "z".repeat(500);
    place.write("in", format!("{{\n{}\nno event\n{long}\n", r#"{"op":"c","source":{"table":"a b"},"after":{}}"#));
    place.configure("source: { type: file, path: in, max_line_bytes: 300 }\ndead_letter: { path: dead }", "id: s");
    let text = place.read("natsink.yaml").replace("orders.events", "'orders.${source.table}'");
    place.write("natsink.yaml", text);
    place.run(&["-c", "natsink.yaml"]).ends(0, [4, 0, 0, 4, 0, 0]);
    place.append("dead", "{\"gap\":{\"sink\":\"s\",\"from\":3,\"to\":9,\"count\":2},\"at\":\"\"}\nnot ours\n");
    place.append("dead", r#"{"position":900,"subject":"$JS.API.X","id":"p|9","reason":"edited","payload":"{}"}"#);
    place.append("dead", "\n");
    place.append("dead", r#"{"position":901,"subject":"orders.a","id":"p|10","reason":"edited","payload":"{}"}"#);
    place.append("dead", "\n{\"position\":9");
    let before = place.read("dead");
    let done = replay(&place, &[]);
    done.ends(65, &["1 stored", "0 refused again", "7 cannot be sent"]);
    done.ends(
        65,
        &[
            "no message could be made of the event",
            "only its beginning is kept",
            "\"$JS.API.X\" belongs to the server or to an inbox",
            "which is no letter",
            "the line has no end",
        ],
    );
    // All but the one that was sent is as it was, to the byte.
    let expected: Vec<&str> = before.lines().filter(|line| !line.contains("\"p|10\"")).collect();
    assert_eq!(place.read("dead").lines().collect::<Vec<_>>(), expected);
    assert_eq!(place.stored().iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["p|10"]);
}

#[test]
fn a_replay_that_was_killed_is_begun_again_and_nothing_is_stored_twice() {
    let lines: Vec<String> = (0..50).map(|id| change(id, 300)).collect();
    let place = Place::without_stream(Default::default());
    place.create_stream(json!({"max_msg_size": 250, "duplicate_window": 100_000_000}));
    place.write("in", lines.join("\n"));
    place.run(&["--input", "in", "--dead-letter", "dead"]).ends(0, [50, 0, 0, 50, 0, 0]);
    let config = json!({"name": "ORDERS", "subjects": ["orders.>"], "duplicate_window": 100_000_000});
    place.raw().api("STREAM.UPDATE.ORDERS", &config);
    let proxy = Proxy::start(&place.server.address());
    // One letter goes alone, the others once its answer is there; no answer to those comes back. All answers are on their way
    // for long enough to be held up.
    proxy.set(Direction::ToClient, Rules { delay: Duration::from_secs(2), ..Rules::default() });
    let mut cut = start(&place, &["replay", "dead", "--url", &proxy.url(), "--stream", "ORDERS"]);
    until("letters are stored", || place.raw().stream_messages("ORDERS") > 1);
    proxy.set(Direction::ToClient, Rules { hold: true, ..Rules::default() });
    assert!(place.path("dead.replay").exists());
    cut.kill().and_then(|()| cut.wait()).expect("it is ours");
    let held = place.raw().stream_messages("ORDERS");
    assert_eq!(place.letters("dead").len(), 50, "nothing left the file");
    // The server has forgotten the ids when it takes one of them again.
    let began = Instant::now();
    until("the duplicate window is over", || began.elapsed() > Duration::from_millis(400));
    replay(&place, &[]).ends(0, &[&format!("{} stored, {held} were there already", 50 - held)]);
    let mut payloads = place.payloads();
    payloads.sort_unstable();
    let mut expected = lines;
    expected.sort_unstable();
    assert_eq!(payloads, expected);
    assert_eq!((place.read("dead").as_str(), place.path("dead.replay").exists()), ("", false));
}

#[test]
fn a_signal_ends_a_replay_and_what_was_stored_leaves_the_file() {
    // More than are held at a time.
    let lines: Vec<String> = (0..6000).map(|id| change(id, 300)).collect();
    let place = with_letters(&[], &lines);
    resize(&place, -1);
    let proxy = Proxy::start(&place.server.address());
    proxy.set(Direction::ToServer, Rules { rate: Some(20_000), ..Rules::default() });
    let slow = start(&place, &["replay", "dead", "--url", &proxy.url(), "--stream", "ORDERS", "--send-timeout", "1"]);
    until("some are stored", || place.raw().stream_messages("ORDERS") > 5);
    assert!(Command::new("kill").args(["-TERM", &slow.id().to_string()]).status().expect("kill runs").success());
    let output = slow.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(128 + 15), "{told}");
    let (left, stored) = (place.letters("dead").len(), place.raw().stream_messages("ORDERS") as usize);
    // What was on its way is in the stream or will be, and in the file all the same.
    assert!(left > 0 && left < 6000 && left + stored >= 6000, "{left} left, {stored} stored: {told}");
    let done = replay(&place, &[]);
    done.ends(0, &["0 refused again, 0 cannot be sent"]);
    let mut payloads = place.payloads();
    payloads.sort_unstable();
    let mut expected = lines;
    expected.sort_unstable();
    assert_eq!(payloads, expected);
}

#[test]
fn a_run_that_goes_on_writing_letters_loses_none_to_a_replay() {
    let place = Place::without_stream(Default::default());
    place.create_stream(json!({"max_msg_size": 250}));
    let mut run = place.start(&["--dead-letter", "dead"]);
    run.write(change(1, 300) + "\n");
    until("a letter", || place.path("dead").exists() && place.read("dead").ends_with('\n'));
    resize(&place, -1);
    replay(&place, &[]).ends(0, &["1 stored"]);
    assert_eq!(place.read("dead"), "");
    run.write("no event\n");
    until("the next letter is in the file", || place.read("dead").ends_with('\n'));
    run.end().ends(0, [2, 0, 0, 2, 0, 0]);
    assert_eq!(place.letters("dead")[0]["payload"], "no event");
}

#[test]
fn a_server_that_is_not_there_leaves_the_file_as_it_was() {
    let mut place = with_letters(&[], &[change(1, 300)]);
    let before = place.read("dead");
    place.server.kill9();
    replay(&place, &["--max-elapsed", "1"]).ends(69, &[]);
    assert_eq!(place.read("dead"), before);
    assert!(!place.path("dead.new").exists());
    place.server.restart();
    resize(&place, -1);
    place.configure("", "id: s");
    dlq(&place, &["replay", "dead", "-c", "natsink.yaml"]).ends(0, &["1 stored"]);
}

#[test]
fn one_replay_or_drop_at_a_time() {
    let place = with_letters(&[], &[change(1, 300)]);
    let held = Remains::open(&place.path("dead")).unwrap().expect("nobody else");
    replay(&place, &[]).ends(75, &["another replay or drop is at dead"]);
    dlq(&place, &["drop", "dead", "--all"]).ends(75, &[]);
    drop(held);
    dlq(&place, &["drop", "dead", "--all"]).ends(0, &["dropped: position 0, subject orders.events, id p|"]);
    assert_eq!(place.read("dead"), "");
}

#[test]
fn only_chosen_letters_are_dropped_or_sent() {
    let lines: Vec<String> = (0..5).map(|id| change(id, 300)).collect();
    let place = with_letters(&[], &lines);
    let letters = place.letters("dead");
    let position = |i: usize| letters[i]["position"].to_string();
    dlq(&place, &["drop", "dead"]).ends(64, &["nothing chosen"]);
    dlq(&place, &["drop", "dead", "--position", "7"]).ends(65, &["nothing was dropped"]);
    assert_eq!(place.letters("dead").len(), 5);
    dlq(&place, &["drop", "dead", "--position", &position(1)]).ends(0, &["dropped: position", "1 dropped"]);
    dlq(&place, &["drop", "dead", "--id", letters[2]["id"].as_str().unwrap(), "--reason", "larger"]).ends(0, &[]);
    assert_eq!(place.letters("dead"), [&letters[0], &letters[3], &letters[4]].map(Clone::clone));
    resize(&place, -1);
    replay(&place, &["--position", &position(3)]).ends(0, &["1 letters: 1 stored"]);
    assert_eq!(place.letters("dead"), [&letters[0], &letters[4]].map(Clone::clone));
    replay(&place, &["--subject", "other.>"]).ends(0, &["0 letters"]);
    replay(&place, &["--subject", "orders.*"]).ends(0, &["2 stored"]);
}

#[test]
fn letters_of_several_sinks_go_each_to_its_own_stream() {
    let place = Place::without_stream(Default::default());
    place.create_stream(json!({}));
    place.create_stream(json!({"name": "AUDIT", "subjects": ["audit.>"], "max_msg_size": 250}));
    let url = place.server.url();
    let sinks = [("hub", "ORDERS", "orders.a"), ("audit", "AUDIT", "audit.a")].map(|(id, stream, subject)| {
        format!("{{ type: nats, config: {{ id: {id}, url: '{url}', stream: {stream}, subject: {subject} }} }}")
    });
    let sinks = sinks.join(", ");
    place.write(
        "two.yaml",
        format!("dead_letter: {{ path: dead }}\nsinks: [{sinks}, {{ type: file, config: {{ id: f, path: f }} }}]\n"),
    );
    place.write("in", format!("{}\nno event\n{}", change(1, 300), change(2, 1)));
    place.run(&["-c", "two.yaml", "--input", "in"]).ends(0, [3, 1, 0, 2, 0, 0]);
    // What nobody could read is a letter of each.
    let sinks: Vec<Value> = place.letters("dead").iter().map(|letter| letter["sink"].clone()).collect();
    let count = |name| sinks.iter().filter(|sink| *sink == name).count();
    assert_eq!(["hub", "audit", "f"].map(count), [1, 2, 1], "{sinks:?}");
    dlq(&place, &["replay", "dead", "-c", "two.yaml"]).ends(64, &["choose one with --sink"]);
    dlq(&place, &["replay", "dead", "-c", "two.yaml", "--sink", "f"]).ends(64, &["delivered into a stream"]);
    let config = json!({"name": "AUDIT", "subjects": ["audit.>"]});
    place.raw().api("STREAM.UPDATE.AUDIT", &config);
    // By flags alone it is not known which sink is meant.
    replay(&place, &[]).ends(65, &["0 stored", "it is one of the sink audit"]);
    let done = dlq(&place, &["replay", "dead", "-c", "two.yaml", "--sink", "audit"]);
    done.ends(65, &["1 stored", "1 cannot be sent"]);
    assert_eq!((place.stored().len(), place.stored_in("AUDIT").len(), place.letters("dead").len()), (2, 2, 3));
    dlq(&place, &["drop", "dead", "--sink", "f"]).ends(0, &["1 dropped"]);
}

#[test]
fn a_list_shows_letters_gaps_and_lines_that_are_none() {
    let place = with_letters(&[], &[change(1, 300), "no event".into()]);
    place.append(
        "dead",
        "{\"gap\":{\"sink\":\"hub\",\"from\":3,\"to\":9,\"count\":2},\"at\":\"\"}\n\u{1b}[2Jours\n{\"pos",
    );
    let done = dlq(&place, &["ls", "dead"]);
    done.ends(0, &[]);
    let rows: Vec<&str> = done.shown.lines().collect();
    assert_eq!(rows.len(), 6, "{done:?}");
    for (row, words) in rows.iter().zip([
        &["POSITION", "SUBJECT", "REASON"][..],
        &["orders.events", "p|", "larger than the 250 bytes"],
        &["not JSON"],
        &["gap: sink hub lacks 2 events from here to 9"],
        &["no letter, at byte "],
        &["the line has no end"],
    ]) {
        assert!(words.iter().all(|words| row.contains(words)), "{row}");
    }
    assert!(!done.shown.contains('\u{1b}'));
    let json = |args: &[&str]| -> Vec<Value> {
        let done = dlq(&place, &[&["ls", "dead", "--json"], args].concat());
        done.shown.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let kinds: Vec<String> = json(&[]).iter().map(|line| line["kind"].as_str().unwrap().into()).collect();
    assert_eq!(kinds, ["letter", "letter", "gap", "foreign", "foreign"]);
    let chosen = json(&["--subject", "orders.>"]);
    assert_eq!((chosen.len(), &chosen[0]["position"], &chosen[0]["attempts"]), (1, &json!(0), &json!(0)));
    assert_eq!(chosen[0]["size"], change(1, 300).len());
    dlq(&place, &["ls", "nowhere"]).ends(66, &["cannot open the dead-letter file nowhere"]);
}

#[test]
fn a_file_larger_than_memory_is_replayed() {
    let place = Place::new();
    let payload = "m".repeat(1_000_000);
    let mut text = String::new();
    for i in 0..150 {
        let letter =
            json!({"position": i, "subject": "orders.m", "id": format!("m|{i}"), "reason": "x", "payload": payload});
        text += &format!("{letter}\n");
    }
    place.write("dead", text);
    let url = place.server.url();
    let mut child = start(&place, &["replay", "dead", "--url", &url, "--stream", "ORDERS", "--log", "error"]);
    let mut peak = 0;
    while child.try_wait().expect("ours").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(peak);
        std::thread::yield_now();
    }
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{told}");
    assert_eq!(place.raw().stream_messages("ORDERS"), 150);
    assert!(peak > 0 && peak < 100 * 1024, "{peak} KiB");
}
