//! Several sinks after a restart: each goes on where it stood, as far as the input can be read again.

mod support;

use serde_json::{Value, json};
use support::command::{Place, events};
use support::{Raw, Server, ServerOptions, reader};

/// A place with ORDERS, a second server with AUDIT, and a pipeline whose second sink is not waited for.
fn place(source: &str) -> (Place, Server) {
    let place = Place::new();
    let other = Server::start(ServerOptions::default());
    Raw::connect(&other.url()).create_stream(json!({ "name": "AUDIT", "subjects": ["audit.>"] }));
    let (url, other_url) = (place.server.url(), other.url());
    place.write(
        "natsink.yaml",
        format!(
            "pipeline: p\nsource: {source}\ncheckpoint: {{ path: c }}\ndead_letter: {{ path: dead }}\nsinks:\n  \
             - {{ type: nats, config: {{ id: a, url: '{url}', stream: ORDERS, subject: orders.events }} }}\n  \
             - {{ type: nats, config: {{ id: b, url: '{other_url}', stream: AUDIT, subject: audit.events, required: false }} }}\n"
        ),
    );
    (place, other)
}

fn payloads(url: &str, stream: &str) -> Vec<String> {
    let text = |message: Value| message["payload"].as_str().expect("text").to_owned();
    reader::dump(url, stream).into_iter().map(text).collect()
}

/// Where a sink stands, as the checkpoint says.
fn stands(place: &Place, sink: usize) -> u64 {
    let checkpoint: Value = serde_json::from_str(&place.read("c")).expect("JSON");
    checkpoint["state"]["sinks"][sink]["position"].as_u64().expect("a position")
}

/// Runs until the first sink has all of `text`, and the second, whose server stands still, the first ten; and kills it.
fn killed_with_one_behind(place: &Place, other: &Server, text: &str, args: &[&str]) {
    let (mut raw, mut other_raw) = (place.raw(), Raw::connect(&other.url()));
    let ten = events(10).len();
    let mut run = place.start(args);
    run.write(&text[..ten]);
    run.until("both have ten", |_| other_raw.stream_messages("AUDIT") == 10 && stands(place, 1) == ten as u64);
    other.stop();
    run.write(&text[ten..]);
    run.until("one has all", |_| place.position("c") == text.len() as u64);
    assert_eq!(raw.stream_messages("ORDERS"), text.lines().count() as u64);
    assert_eq!(stands(place, 1), ten as u64, "the other one stands where it stood");
    run.kill9();
    other.cont();
}

#[test]
fn a_pipe_goes_on_at_the_policys_position_and_what_a_sink_lacked_is_a_gap() {
    let (place, other) = place("{ type: stdin, input_id: x }");
    let text = events(100);
    let args = ["-c", "natsink.yaml"];
    killed_with_one_behind(&place, &other, &text, &args);
    // What was on its way when the run was killed may have been stored since.
    let held = payloads(&other.url(), "AUDIT").len();
    let ended = place.pipe(&args, events(120));
    ended.ends(0, [20, 20, 0, 0, 0, 0]).says(&["sink b did not get 90 events"]);
    assert_eq!(ended.counts_of("b"), [110, 20, 0, 0, 90, 0, 0]);
    let gap = &place.letters("dead")[0]["gap"];
    let (from, to) = (events(10).len(), text.len());
    assert_eq!(*gap, json!({ "sink": "b", "from": from, "to": to, "count": 90 }));
    place.write("all", events(120));
    place.holds_exactly("all");
    assert_eq!(payloads(&other.url(), "AUDIT").len(), held + 20);
    assert_eq!([stands(&place, 0), stands(&place, 1)], [events(120).len() as u64; 2]);
}

#[test]
fn a_sink_that_is_required_from_now_on_has_no_gap_where_a_pipe_cannot_bring_what_it_lacks() {
    let (place, other) = place("{ type: stdin, input_id: x }");
    let text = events(100);
    let args = ["-c", "natsink.yaml"];
    killed_with_one_behind(&place, &other, &text, &args);
    let (config, kept) = (place.read("natsink.yaml"), place.read("c"));
    place.write("natsink.yaml", config.replace("required: false", "required: true"));
    let words = ["sink b", &text.len().to_string(), "required"];
    place.pipe(&args, events(120)).fails(75, "sink_behind", &words);
    assert_eq!(place.read("c"), kept);
    // As before it is a gap, and told.
    place.write("natsink.yaml", config);
    place.pipe(&args, events(120)).ends(0, [20, 20, 0, 0, 0, 0]).says(&["sink b did not get 90 events"]);
}

#[test]
fn a_file_is_read_again_for_the_sink_that_is_behind() {
    let (place, other) = place("{ type: file, path: in }");
    let text = events(100);
    place.write("in", &text);
    // The first run knows the second sink's server from before; it dies while that server stands still.
    let (mut raw, args) = (place.raw(), ["-c", "natsink.yaml"]);
    place.start(&args).end().ends(0, [100, 100, 0, 0, 0, 0]);
    place.append("in", &events(180)[text.len()..]);
    other.stop();
    let mut run = place.start(&args);
    run.until("one has all", |_| raw.stream_messages("ORDERS") == 180 && place.position("c") > text.len() as u64);
    run.kill9();
    other.cont();
    assert_eq!(stands(&place, 1), text.len() as u64);
    place.append("in", &events(200)[events(180).len()..]);
    let ended = place.start(&args).end();
    assert_eq!((ended.code, ended.count("stored"), ended.counts_of("b")[4]), (0, 20, 0), "{ended:?}");
    assert_eq!(ended.counts_of("b")[1] + ended.counts_of("b")[2], 100, "{ended:?}");
    place.write("all", events(200));
    place.holds_exactly("all");
    let verdict = reader::verdict(&other.url(), "AUDIT", &place.path("all"));
    assert!(verdict.is_exact() && !place.read("dead").contains("gap"), "{verdict:?}");
}
