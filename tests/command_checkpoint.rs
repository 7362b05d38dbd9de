//! `natsink checkpoint`: shown, set and accepted, and what the next run makes of it.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::command::{Place, events};

/// Runs the command as a shell would run this line, in the folder of the place.
fn shell(place: &Place, line: &str) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_natsink"));
    let folder = binary.parent().expect("a binary lies in a folder").to_str().expect("UTF-8");
    let path = format!("{folder}:{}", std::env::var("PATH").expect("there is a PATH"));
    let home = place.path(".");
    Command::new("sh").args(["-c", line]).current_dir(home).env("PATH", path).output().expect("there is a shell")
}

fn works(place: &Place, line: &str) -> String {
    let output = shell(place, line);
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn fails(place: &Place, line: &str, code: i32, words: &str) {
    let output = shell(place, line);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && told.contains(words), "{line}: {output:?}");
}

/// The arguments that a run and a checkpoint have in common.
fn common(place: &Place) -> String {
    format!("--url {} --stream ORDERS --subject orders.events", place.server.url())
}

#[test]
fn a_checkpoint_is_shown() {
    let place = Place::new();
    place.write("in", events(5));
    place.run(&["--input", "in", "--checkpoint", "c", "--pipeline", "orders"]).ends(0, [5, 5, 0, 0, 0, 0]);
    let text = works(&place, "natsink checkpoint show c");
    let position = events(5).len();
    for words in ["pipeline orders", &format!("byte {position}, 5 lines"), "stream ORDERS (created 20", "s ago"] {
        assert!(text.contains(words), "{text}");
    }
    let shown: Value = serde_json::from_str(&works(&place, "natsink checkpoint show --json c")).expect("JSON");
    assert_eq!(
        (&shown["pipeline"], &shown["position"], &shown["lines"]),
        (&json!("orders"), &json!(position), &json!(5))
    );
    assert_eq!((&shown["sinks"][0]["stream"], &shown["input"]["kind"]), (&json!("ORDERS"), &json!("file")));
    assert!(shown["age_secs"].as_u64().is_some_and(|age| age < 60), "{shown}");
    fails(&place, "natsink checkpoint show none", 66, "no checkpoint none");
    for (bytes, words) in [("{}", "no whole checkpoint"), (r#"{"natsink_checkpoint":99}"#, "use a newer natsink")] {
        place.write("bad", bytes);
        let common = common(&place);
        for verb in ["show", &format!("accept --input in {common}"), &format!("set --position 0 --input in {common}")] {
            fails(&place, &format!("natsink checkpoint {verb} bad"), 78, words);
        }
        assert_eq!(place.read("bad"), bytes, "it was overwritten");
    }
}

#[test]
fn a_checkpoint_in_use_is_left_alone() {
    let place = Place::new();
    let mut run = place.start(&["--checkpoint", "c", "--input-id", "x"]);
    run.write(events(2));
    run.until("it is committed", |_| place.path("c").exists() && place.position("c") == events(2).len() as u64);
    let kept = place.read("c");
    for verb in ["set --position 0", "accept"] {
        fails(
            &place,
            &format!("natsink checkpoint {verb} c --input-id x {} < /dev/null", common(&place)),
            75,
            "in use",
        );
    }
    works(&place, "natsink checkpoint show c");
    assert_eq!(place.read("c"), kept);
    assert_eq!(run.stop("TERM").code, 0);
}

#[test]
fn a_lost_checkpoint_is_made_anew_by_the_line_that_is_printed() {
    for (count, window) in [(6, 1), (30_000, 4096)] {
        let place = Place::without_stream(support::ServerOptions::default());
        place.create_stream(json!({"duplicate_window": 100_000_000}));
        place.write("in put", events(count));
        let config = format!("in_flight: {{ max_events: {window} }}\ncheckpoint: {{ path: c }}");
        place.configure(&format!("{config}\nsource: {{ type: file, path: 'in put' }}"), "");
        place.run(&["-c", "natsink.yaml"]).ends(0, [count as u64, count as u64, 0, 0, 0, 0]);
        fs::remove_file(place.path("c")).unwrap();
        place.write("in put", events(count + 5));
        let lost = place.run(&["-c", "natsink.yaml"]);
        lost.fails(75, "checkpoint_missing", &["c is missing", "natsink checkpoint set", "--from-start"]);
        let (_, line) = lost.told.split_once("go on where the stream ends: ").expect("a line");
        let told = works(&place, line.trim_end());
        let position = place.position("c");
        assert!(told.contains(&format!("byte {position}")), "{told}");
        assert!(window == 1 || position > 0, "all would be compared again: {told}");
        let again = place.run(&["-c", "natsink.yaml"]);
        assert_eq!((again.code, again.count("stored"), again.count("unverified")), (0, 5, 0), "{again:?}");
        assert!(again.count("read") < 5 + 4 * window + 10, "{again:?}");
        place.holds_exactly("in put");
    }
}

#[test]
fn a_named_pipe_goes_on_where_a_checkpoint_was_set() {
    let place = Place::without_stream(support::ServerOptions::default());
    place.create_stream(json!({"duplicate_window": 100_000_000}));
    place.pipe(&["--input-id", "x", "--checkpoint", "c"], events(20)).ends(0, [20, 20, 0, 0, 0, 0]);
    fs::remove_file(place.path("c")).unwrap();
    place.write("in", events(24));
    let lost = place.pipe(&["--input-id", "x", "--checkpoint", "c"], events(24));
    let (_, line) = lost.told.split_once("go on where the stream ends: ").expect("a line");
    works(&place, &line.trim_end().replace("< INPUT", "< in"));
    let again = place.pipe(&["--input-id", "x", "--checkpoint", "c"], events(24));
    assert_eq!((again.code, again.count("stored")), (0, 4), "{again:?}");
    place.holds_exactly("in");
    // Behind what was never sent: it is skipped on purpose.
    let position = events(22).len();
    works(&place, &format!("natsink checkpoint set c --position {position} --input-id x {} < in", common(&place)));
    place.write("in", events(25));
    place.pipe(&["--input-id", "x", "--checkpoint", "c"], events(25)).ends(0, [3, 1, 2, 0, 0, 0]);
    place.holds_exactly("in");
}

#[test]
fn a_position_must_be_the_begin_of_a_line_that_is_there() {
    let place = Place::new();
    place.write("in", events(3));
    let set = |position: usize| format!("natsink checkpoint set c --input in --position {position} {}", common(&place));
    fails(&place, &set(5), 64, "no line of in begins there");
    fails(&place, &set(events(3).len() + 1), 64, "bytes only");
    assert!(!place.path("c").exists());
    works(&place, &set(events(2).len()));
    place.run(&["--input", "in", "--checkpoint", "c"]).ends(0, [1, 1, 0, 0, 0, 0]);
    works(&place, &set(0));
    place.run(&["--input", "in", "--checkpoint", "c"]).ends(0, [3, 2, 1, 0, 0, 0]);
    fails(&place, &set(0).replace("ORDERS", "OTHERS"), 78, "OTHERS");
    fails(&place, &set(0).replace("--input in", "--input in --pipeline other"), 78, "belongs to the pipeline");
}

#[test]
fn a_stream_created_anew_is_accepted_on_purpose() {
    let place = Place::new();
    let mut raw = place.raw();
    let args = ["--input", "in", "--checkpoint", "c"];
    let accept = format!("natsink checkpoint accept c --input in {}", common(&place));
    place.write("in", events(5));
    fails(&place, &accept, 66, "no checkpoint c");
    place.run(&args).ends(0, [5, 5, 0, 0, 0, 0]);
    let kept = place.read("c");
    assert!(works(&place, &accept).contains("is the one that the checkpoint knows"));
    assert_eq!(place.read("c"), kept);
    raw.api("STREAM.DELETE.ORDERS", &json!({}));
    place.create_stream(json!({}));
    place.write("in", events(8));
    place.run(&args).fails(75, "other_stream", &["recreated", "natsink checkpoint accept"]);
    let told = works(&place, &accept);
    assert!(told.contains("events before that are not sent again") && told.contains("sequence 0"), "{told}");
    place.run(&args).ends(0, [3, 3, 0, 0, 0, 0]);
    assert_eq!(place.stored().len(), 3);
}
