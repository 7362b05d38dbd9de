//! Stopping and going on: signals, kills, rotation, lost checkpoints, other streams, and where the next run starts.

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use support::command::{Place, events, until};
use support::proxy::Rules;
use support::{Direction, Proxy, server};

const HOLD: Rules = Rules { rate: None, delay: Duration::ZERO, hold: true, cut_after: None };

/// How many whole lines of `text` stand before `position`.
fn lines_before(text: &str, position: u64) -> u64 {
    let before = &text.as_bytes()[..usize::try_from(position).expect("a position in memory")];
    assert!(before.is_empty() || before.ends_with(b"\n"), "{position} is not between two lines");
    before.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[test]
fn at_every_kill_the_stream_holds_all_that_the_checkpoint_says() {
    let place = Place::new();
    let text = events(40_000);
    place.write("in", &text);
    let mut raw = place.raw();
    let args = ["--input", "in", "--checkpoint", "c", "--quiet"];
    let mut last = 0;
    for kill in 0..6 {
        let mut run = place.start(&args);
        run.until("the checkpoint moves", |_| place.path("c").exists() && place.position("c") > last);
        run.kill9();
        let position = place.position("c");
        let (held, stored) = (lines_before(&text, position), raw.stream_messages("ORDERS"));
        assert!(held <= stored, "kill {kill}: the checkpoint says {held} events, the stream holds {stored}");
        assert!(position < text.len() as u64, "kill {kill} came too late to be one");
        last = position;
    }
    let ended = place.run(&args);
    assert_eq!((ended.code, ended.count("unverified")), (0, 0), "{ended:?}");
    assert_eq!(ended.count("read"), 40_000 - lines_before(&text, last));
    place.holds_exactly("in");
}

#[test]
fn what_is_stored_but_not_acknowledged_is_before_no_checkpoint() {
    let place = Place::new();
    let proxy = Proxy::start(&place.server.address());
    let mut raw = place.raw();
    let args = ["--url", &proxy.url(), "--checkpoint", "c", "--input-id", "x"];
    let mut run = place.start(&args);
    run.write(events(3));
    run.until("a checkpoint of all", |_| place.path("c").exists() && place.position("c") == events(3).len() as u64);
    proxy.set(Direction::ToClient, HOLD);
    run.write(&events(20)[events(3).len()..]);
    run.until("all are stored", |_| raw.stream_messages("ORDERS") == 20);
    run.kill9();
    assert_eq!(place.position("c"), events(3).len() as u64);
    proxy.set(Direction::ToClient, Rules::default());
    let again = place.pipe(&args, events(25));
    assert_eq!(again.ends(0, [22, 5, 17, 0, 0, 0]).count("unverified"), 0);
    place.write("all", events(25));
    place.holds_exactly("all");
}

#[test]
fn a_pipe_goes_on_behind_what_it_brought_and_other_bytes_are_refused() {
    let place = Place::new();
    let args = ["--checkpoint", "c", "--input-id", "x"];
    place.pipe(&args, events(5) + "\n").ends(0, [6, 5, 0, 0, 0, 1]);
    let kept = place.read("c");
    let refused = ["--checkpoint", "c", "--input-id", "x", "--dead-letter", "dead"];
    for other in
        [events(9).replacen('0', "1", 1), events(5).replace("\"c\"", "\"u\"") + "\nx\n", events(4), String::new()]
    {
        let ended = place.pipe(&refused, other);
        ended.fails(65, "other_input", &["nothing was sent", "--input-id"]).ends(65, [0; 6]);
        assert_eq!((place.read("c"), place.read("dead")), (kept.clone(), String::new()));
    }
    place.pipe(&args, events(5) + "\n").ends(0, [0; 6]);
    place.pipe(&args, events(5) + "\n" + &events(8)[events(5).len()..]).ends(0, [3, 3, 0, 0, 0, 0]);
    place.pipe(&["--checkpoint", "c", "--input-id", "y"], events(9)).fails(78, "checkpoint", &["\"y\""]);
    place.write("all", events(8));
    place.holds_exactly("all");
}

#[test]
fn a_file_rotated_while_nobody_looked_is_read_to_its_end_first() {
    let place = Place::new();
    let text = events(30);
    let at = |line: usize| events(line).len();
    let args = ["--input", "log", "--checkpoint", "c"];
    place.write("log", &text[..at(4)]);
    place.run(&args).ends(0, [4, 4, 0, 0, 0, 0]);
    place.append("log", &text[at(4)..at(10)]);
    fs::rename(place.path("log"), place.path("log.1")).unwrap();
    place.write("log", &text[at(10)..at(15)]);
    place.run(&args).ends(0, [11, 11, 0, 0, 0, 0]).says(&["log.1 is read to its end first"]);
    place.append("log", &text[at(15)..at(20)]);
    place.run(&args).ends(0, [5, 5, 0, 0, 0, 0]);
    // Again, and this time the run is killed between the two files.
    place.append("log", &text[at(20)..at(25)]);
    fs::rename(place.path("log"), place.path("log.2")).unwrap();
    place.write("log", &text[at(25)..]);
    let proxy = Proxy::start(&place.server.address());
    let mut raw = place.raw();
    let mut run = place.start(&[&args[..], &["--url", &proxy.url()]].concat());
    run.until("it is connected", |_| proxy.forwarded(Direction::ToServer) > 0);
    run.until("the old file is stored", |_| raw.stream_messages("ORDERS") >= 25);
    run.kill9();
    let ended = place.run(&args);
    assert_eq!((ended.code, ended.count("unverified"), ended.count("dead")), (0, 0, 0), "{ended:?}");
    place.write("all", text);
    place.holds_exactly("all");
}

#[test]
fn another_stream_under_the_same_name_takes_nothing() {
    let place = Place::new();
    let mut raw = place.raw();
    place.write("in", events(5));
    let args = ["--input", "in", "--checkpoint", "c", "--max-elapsed", "20"];
    place.run(&args).ends(0, [5, 5, 0, 0, 0, 0]);
    let kept = place.read("c");
    place.write("in", events(8));
    raw.api("STREAM.DELETE.ORDERS", &json!({}));
    place.run(&args).fails(75, "other_stream", &["ORDERS is gone", "--from-start"]).ends(75, [0; 6]);
    place.create_stream(json!({}));
    place.run(&args).fails(75, "other_stream", &["recreated", "--from-start"]).ends(75, [0; 6]);
    assert_eq!((place.read("c"), place.stored().len()), (kept, 0));
    place.run(&[&args[..], &["--from-start"]].concat()).ends(0, [8, 8, 0, 0, 0, 0]);
    place.run(&args).ends(0, [0; 6]);
    place.holds_exactly("in");
    // Under the eyes of a run that goes on.
    let mut run = place.start(&["--checkpoint", "d", "--input-id", "x", "--pipeline", "q"]);
    run.write(events(2));
    run.until("two more are stored", |_| raw.stream_messages("ORDERS") == 10);
    raw.api("STREAM.DELETE.ORDERS", &json!({}));
    place.create_stream(json!({}));
    run.write(&events(4)[events(2).len()..]);
    run.end().fails(75, "other_stream", &["ends at sequence 1", "acknowledged sequence 10", "--from-start"]);
}

#[test]
fn a_lost_checkpoint_is_no_fresh_start() {
    let place = Place::new();
    place.write("in", events(6));
    let args = ["--input", "in", "--checkpoint", "c"];
    let piped = ["--checkpoint", "d", "--input-id", "x"];
    let other_stream = place.path("c");
    place.run(&args).ends(0, [6, 6, 0, 0, 0, 0]);
    fs::remove_file(&other_stream).unwrap();
    place.write("in", events(8));
    let lost = place.run(&args);
    lost.fails(75, "checkpoint_missing", &["c is missing", "sequence 6", "--from-start"]).ends(75, [0; 6]);
    assert!(!place.path("c").exists(), "a refused start leaves no checkpoint behind");
    place.run(&args).fails(75, "checkpoint_missing", &[]);
    // Without a checkpoint, or in another pipeline, nothing is lost.
    place.run(&["--input", "in"]).ends(0, [8, 2, 6, 0, 0, 0]);
    place.run(&[&args[..], &["--from-start"]].concat()).ends(0, [8, 0, 8, 0, 0, 0]);
    place.run(&[&args[..], &["--from-start"]].concat()).ends(0, [8, 0, 8, 0, 0, 0]);
    place.run(&args).ends(0, [0; 6]);
    place.pipe(&piped, events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    fs::remove_file(place.path("d")).unwrap();
    place.pipe(&piped, events(1)).fails(75, "checkpoint_missing", &["d is missing"]);
    // A purged stream remembers nobody.
    place.raw().api("STREAM.PURGE.ORDERS", &json!({}));
    place.pipe(&piped, events(1)).ends(0, [1, 0, 1, 0, 0, 0]);
}

#[test]
fn a_lost_checkpoint_is_noticed_by_an_event_of_the_input_where_ids_name_no_position_in_it() {
    let place = Place::new();
    place.create_stream(json!({"name": "SHORT", "subjects": ["short.>"], "duplicate_window": 100_000_000}));
    let line = |number: usize| {
        let source = format!(r#"{{"connector":"pg","db":"d","table":"t","lsn":{number},"txId":1}}"#);
        format!(r#"{{"op":"c","source":{source},"transaction":{{"id":"1","total_order":{number}}}}}"#) + "\n"
    };
    let lines = |numbers: std::ops::Range<usize>| numbers.map(line).collect::<String>();
    let to = ["--stream", "SHORT", "--subject", "short.events"];
    let args = [&to[..], &["--input", "in", "--checkpoint", "c"]].concat();
    place.write("in", lines(0..6));
    place.run(&args).ends(0, [6, 6, 0, 0, 0, 0]);
    fs::remove_file(place.path("c")).unwrap();
    place.append("in", lines(6..8));
    let lost = place.run(&args);
    let at = format!("is the event at byte {}", lines(0..5).len());
    lost.fails(75, "checkpoint_missing", &["c is missing", "SHORT (sequence 6)", &at, "--position 0"]).ends(75, [0; 6]);
    // What is printed stores nothing twice, however long ago it was.
    let mut set = Command::new(env!("CARGO_BIN_EXE_natsink"));
    set.current_dir(place.path("")).args(["checkpoint", "set", "c", "--position", "0", "--url", &place.server.url()]);
    assert!(set.args(&args[..6]).output().expect("it starts").status.success());
    place.run(&args).ends(0, [8, 2, 6, 0, 0, 0]);
    // Another file of the same pipeline is a fresh start.
    place.write("other", lines(20..23));
    let fresh = place.run(&[&to[..], &["--input", "other", "--checkpoint", "d"]].concat());
    assert!(!fresh.ends(0, [3, 3, 0, 0, 0, 0]).told.contains("is missing"), "{fresh:?}");
    // Of a pipe nobody can tell.
    let piped = [&to[..], &["--input-id", "x", "--checkpoint", "e"]].concat();
    let doubtful = place.pipe(&piped, lines(30..32));
    doubtful.ends(0, [2, 2, 0, 0, 0, 0]).says(&["e is missing", "natsink checkpoint set e --position 0", "< INPUT"]);
}

#[test]
fn a_signal_stops_a_run_and_a_checkpoint_makes_that_well() {
    let place = Place::new();
    let mut raw = place.raw();
    let kept = ["--checkpoint", "c", "--input-id", "x"];
    for (signal, number) in [("TERM", 15), ("INT", 2)] {
        raw.api("STREAM.PURGE.ORDERS", &json!({}));
        let mut run = place.start(&[]);
        run.write(events(3));
        run.until("three are stored", |_| raw.stream_messages("ORDERS") == 3);
        let ended = run.stop(signal);
        ended.ends(128 + number, [3, 3, 0, 0, 0, 0]).fails(128 + number, "signal", &["no checkpoint"]);
        assert!(ended.took < Duration::from_secs(5), "{ended:?}");
    }
    raw.api("STREAM.PURGE.ORDERS", &json!({}));
    for count in [3, 7] {
        let mut run = place.start(&kept);
        run.write(events(count));
        run.until("they are stored", |_| raw.stream_messages("ORDERS") == count as u64);
        let ended = run.stop(if count == 3 { "TERM" } else { "INT" });
        assert_eq!((ended.code, ended.receipt["exit"]["kind"].as_str()), (0, Some("stopped")), "{ended:?}");
        assert_eq!(place.position("c"), events(count).len() as u64);
    }
    place.pipe(&kept, events(9)).ends(0, [2, 2, 0, 0, 0, 0]);
    place.write("all", events(9));
    place.holds_exactly("all");
}

#[test]
fn a_stop_waits_for_what_is_in_flight_and_reads_no_more() {
    let place = Place::new();
    let proxy = Proxy::start(&place.server.address());
    let mut raw = place.raw();
    let args = ["--url", &proxy.url(), "--checkpoint", "c", "--input-id", "x"];
    let mut run = place.start(&args);
    run.write(events(1));
    run.until("one is committed", |_| place.path("c").exists() && place.position("c") == events(1).len() as u64);
    proxy.set(Direction::ToClient, HOLD);
    run.write(&events(10)[events(1).len()..]);
    run.until("ten are stored", |_| raw.stream_messages("ORDERS") == 10);
    run.signal("TERM");
    run.tells("stopping: signal 15");
    run.write(&events(12)[events(10).len()..]);
    proxy.set(Direction::ToClient, Rules::default());
    let ended = run.end();
    assert_eq!(ended.ends(0, [10, 10, 0, 0, 0, 0]).count("replayed"), 0);
    assert_eq!(place.position("c"), events(10).len() as u64);
    place.pipe(&args, events(12)).ends(0, [2, 2, 0, 0, 0, 0]);
    place.write("all", events(12));
    place.holds_exactly("all");
}

#[test]
fn a_stop_waits_no_longer_than_the_send_timeout_and_a_second_signal_not_at_all() {
    let place = Place::new();
    let proxy = Proxy::start(&place.server.address());
    let mut raw = place.raw();
    for (number, signals) in [(0, &["TERM"][..]), (1, &["INT", "TERM"])] {
        let id = number.to_string();
        let timeout = ["1", "30"][number];
        let args = ["--url", &proxy.url(), "--checkpoint", &id, "--input-id", &id, "--send-timeout", timeout];
        let mut run = place.start(&args);
        let before = raw.stream_messages("ORDERS");
        run.write(events(1));
        run.until("one is stored", |_| raw.stream_messages("ORDERS") == before + 1);
        run.until("it is committed", |_| place.position(&id) == events(1).len() as u64);
        proxy.set(Direction::ToClient, HOLD);
        run.write(&events(4)[events(1).len()..]);
        run.until("four are stored", |_| raw.stream_messages("ORDERS") == before + 4);
        for signal in signals {
            run.signal(signal);
            run.tells("stopping: signal");
        }
        let ended = run.end();
        assert_eq!(ended.counts(), [4, 1, 0, 0, 3, 0], "{ended:?}");
        assert!(ended.took < Duration::from_secs(8), "{ended:?}");
        if number == 0 {
            assert_eq!(ended.code, 0, "{ended:?}");
        } else {
            ended.fails(143, "aborted", &["second signal"]);
        }
        proxy.set(Direction::ToClient, Rules::default());
        assert_eq!(place.position(&id), events(1).len() as u64);
        place.pipe(&args, events(4)).ends(0, [3, 0, 3, 0, 0, 0]);
    }
    let twice = events(4) + &events(4);
    assert_eq!(place.payloads(), twice.lines().collect::<Vec<_>>());
}

#[test]
fn a_sink_that_takes_everything_at_once_holds_up_neither_checkpoint_nor_signal() {
    let place = Place::new();
    let text: String = (0..1_000_000).map(|number| format!("{number}\n")).collect();
    place.write("in", &text);
    place.write(
        "natsink.yaml",
        "source: { type: file, path: in, format: lines }\ncheckpoint: { path: c }\nsinks: [{ type: stdout }]\n",
    );
    let mut run = place.start(&["-c", "natsink.yaml"]).gives_lines();
    run.until("the checkpoint moves", |_| place.path("c").exists() && place.position("c") > 0);
    let last = place.position("c");
    run.until("the checkpoint moves again", |_| place.position("c") > last);
    let ended = run.stop("TERM");
    assert!(ended.code == 0 && ended.count("read") < 1_000_000, "{:?}", ended.receipt);
    let position = usize::try_from(place.position("c")).expect("a position in memory");
    assert!(ended.stdout == text[..position], "{:?}", ended.receipt);
}

#[test]
fn a_run_that_finds_no_server_can_be_stopped() {
    let place = Place::new();
    let nobody = format!("nats://127.0.0.1:{}", server::free_port());
    let mut bare = place.start(&["--url", &nobody]);
    bare.tells("cannot connect");
    bare.stop("TERM").fails(143, "signal", &["before anything was sent"]);
    place.write("log", events(1));
    let mut endless = place.start(&["--url", &nobody, "--input", "log", "--follow"]);
    endless.tells("cannot connect");
    let ended = endless.stop("TERM");
    let exit =
        json!({"code": 0, "kind": "stopped", "message": "stopped by a signal; no checkpoint holds the position"});
    assert_eq!(ended.receipt["exit"], exit, "{ended:?}");
    let args = ["--checkpoint", "c", "--input-id", "x"];
    place.pipe(&args, events(2)).ends(0, [2, 2, 0, 0, 0, 0]);
    let mut kept = place.start(&[&args[..], &["--url", &nobody]].concat());
    kept.tells("cannot connect");
    let ended = kept.stop("INT");
    assert_eq!((ended.code, ended.receipt["exit"]["kind"].as_str()), (0, Some("stopped")), "{ended:?}");
    assert_eq!(ended.count("position"), place.position("c"));
    place.pipe(&args, events(3)).ends(0, [1, 1, 0, 0, 0, 0]);
    assert_eq!(place.stored().len(), 3);
}

#[test]
fn a_letter_is_written_once_whenever_the_run_was_killed() {
    let place = Place::new();
    let top = "batch: { max_ms: 3600000, max_events: 1000 }\nsource: { type: stdin, input_id: x }";
    place.configure(&format!("{top}\ncheckpoint: {{ path: c }}\ndead_letter: {{ path: dead }}"), "");
    let mut run = place.start(&["-c", "natsink.yaml"]);
    run.write(format!("one\n{}", events(1)));
    until("a letter", || fs::read_to_string(place.path("dead")).is_ok_and(|text| text.ends_with('\n')));
    run.kill9();
    // What a crash has torn is no letter, and does not spoil the next one.
    place.append("dead", "{\"position\":99,\"subj");
    let input = format!("one\n{}two\n", events(1));
    let ended = place.pipe(&["-c", "natsink.yaml"], input);
    assert_eq!((ended.code, ended.count("dead"), ended.count("read")), (0, 2, 3), "{ended:?}");
    let text = place.read("dead");
    let letters: Vec<&str> = text.lines().collect();
    assert_eq!(letters.len(), 3, "{text}");
    assert!(letters[0].contains("\"one\"") && letters[1].ends_with("subj") && letters[2].contains("\"two\""), "{text}");
    place.write("all", events(1));
    place.holds_exactly("all");
}
