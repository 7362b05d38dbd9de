//! What the `nats` command makes of a stream, and of what is sent into it: the setup and the consumers that people copy.

mod support;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use support::Cluster;
use support::ServerOptions;
use support::command::{Place, events, until};

/// The `nats` command, built where there is none; `None`, and a word about it, where it cannot be.
fn nats() -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/nats-cli");
    match Command::new(script).output() {
        Ok(output) if output.status.success() => Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        _ => {
            eprintln!("skipped: there is no nats command, and no go to build it");
            None
        }
    }
}

fn command(nats: &str, url: &str, words: &str) -> Command {
    let mut command = Command::new(nats);
    command.env("HOME", "/nonexistent").env("XDG_CONFIG_HOME", "/nonexistent");
    command.args(["--server", url, "--no-context"]).args(words.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn does(nats: &str, url: &str, words: &str) -> String {
    let Output { status, stdout, stderr } = command(nats, url, words).output().expect("nats runs");
    let (shown, told) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "nats {words}: {shown}{told}");
    shown.into_owned()
}

fn start(nats: &str, url: &str, words: &str) -> Child {
    command(nats, url, words).spawn().expect("nats runs")
}

/// The events in a text, in its order.
fn found(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("{\"op\"")).collect()
}

const CONSUMER: &str = "consumer add ORDERS orders-processor --pull --ack explicit --deliver all --max-deliver 3 \
                        --filter orders.events --defaults";

#[test]
fn the_stream_is_made_and_read_as_people_are_told_to() {
    let Some(nats) = nats() else { return };
    let place = Place::without_stream(ServerOptions { monitor: true, ..ServerOptions::default() });
    let url = place.server.url();
    let add =
        "stream add ORDERS --subjects orders.> --retention limits --storage file --replicas 1 --max-age 7d --defaults";
    does(&nats, &url, add);
    let config = place.raw().stream_info("ORDERS")["config"].clone();
    let expected = json!(["orders.>"]);
    assert_eq!(
        (&config["subjects"], &config["retention"], &config["storage"]),
        (&expected, &json!("limits"), &json!("file"))
    );
    assert_eq!(config["max_age"], json!(7_u64 * 86_400 * 1_000_000_000));
    assert!(does(&nats, &url, "stream info ORDERS").contains("orders.>"));
    // Somebody listens while it is sent.
    let listening = start(&nats, &url, "sub orders.> --count 10 --raw");
    until("the subscription is there", || {
        let page = place.server.monitored("/connz?subs=true").unwrap_or_default();
        page.to_string().contains("\"orders.>\"")
    });
    place.pipe(&[], events(10)).ends(0, [10, 10, 0, 0, 0, 0]);
    let heard = listening.wait_with_output().expect("nats ends");
    let (heard, text) = (String::from_utf8_lossy(&heard.stdout).into_owned(), events(10));
    let expected: Vec<&str> = text.lines().collect();
    assert_eq!(found(&heard), expected);
    // And somebody comes later, with a durable consumer.
    does(&nats, &url, CONSUMER);
    let next = does(&nats, &url, "consumer next ORDERS orders-processor --count 10");
    assert_eq!(found(&next), expected);
    assert!(next.contains("Nats-Msg-Id: natsink|"), "{next}");
    let info = does(&nats, &url, "consumer info ORDERS orders-processor --json");
    let info: Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!((&info["num_pending"], &info["num_ack_pending"]), (&json!(0), &json!(0)), "{info}");
    assert_eq!(info["ack_floor"]["consumer_seq"], 10);
}

#[test]
fn subjects_are_made_for_every_pattern_that_consumers_filter_by() {
    let place = Place::without_stream(ServerOptions::default());
    place.create_stream(json!({"subjects": ["orders.>", "v1.>"]}));
    let mut raw = place.raw();
    let event = |region: &str, op: &str| {
        format!(r#"{{"op":"{op}","source":{{"table":"orders"}},"after":{{"region":"{region}"}}}}"#)
    };
    let text = [event("us", "c"), event("eu", "c"), event("us", "u")].join("\n");
    let by_region = ["--subject", "orders.${after.region}.${op}", "--input-id", "a"];
    place.pipe(&by_region, text.as_str()).ends(0, [3, 3, 0, 0, 0, 0]);
    let versioned = ["--subject", "v1.${source.table}.events", "--input-id", "b"];
    place.pipe(&versioned, text.as_str()).ends(0, [3, 3, 0, 0, 0, 0]);
    for (number, (filter, count)) in
        [("orders.us.c", 1), ("orders.*.c", 2), ("orders.us.*", 2), ("orders.>", 3), ("v1.orders.events", 3)]
            .into_iter()
            .enumerate()
    {
        let config = json!({"durable_name": format!("c{number}"), "filter_subject": filter, "ack_policy": "none"});
        let body = json!({"stream_name": "ORDERS", "config": config});
        let made = raw.api(&format!("CONSUMER.DURABLE.CREATE.ORDERS.c{number}"), &body);
        assert_eq!(made["num_pending"], count, "{filter}: {made}");
    }
}

#[test]
fn a_sink_is_seen_where_people_look_at_a_server() {
    let options = ServerOptions { monitor: true, ..ServerOptions::default() };
    let place = Place::without_stream(options);
    place.create_stream(json!({}));
    let mut run = place.start(&["--connection-name", "orders-sink"]);
    run.write(events(1));
    run.until("it is stored", |_| place.raw().stream_messages("ORDERS") == 1);
    let connections = place.server.monitored("/connz").expect("a page");
    let all = connections["connections"].as_array().expect("a list");
    let ours = all.iter().find(|one| one["name"] == "orders-sink").expect("it has the name it was given");
    assert_eq!((&ours["lang"], &ours["version"]), (&json!("rust"), &json!(env!("CARGO_PKG_VERSION"))));
    assert!(place.server.monitored("/varz").expect("a page")["in_msgs"].as_u64() >= Some(1));
    assert_eq!(place.server.monitored("/jsz").expect("a page")["messages"], 1);
    run.end().ends(0, [1, 1, 0, 0, 0, 0]);
}

#[test]
fn three_replicas_are_made_as_people_are_told_to_and_one_is_warned_of() {
    let Some(nats) = nats() else { return };
    let cluster = Cluster::start();
    let add = "stream add ORDERS --subjects orders.> --replicas 3 --retention limits --discard old --max-age 7d \
               --storage file --defaults";
    does(&nats, &cluster.server(0).url(), add);
    let place = Place::new();
    let three = place.pipe(&["--url", &cluster.url()], events(10));
    three.ends(0, [10, 10, 0, 0, 0, 0]);
    assert!(!three.told.contains("one replica"), "{three:?}");
    let one = place.pipe(&[], events(10));
    one.ends(0, [10, 10, 0, 0, 0, 0]).says(&["it has one replica: a lost disk loses its messages"]);
}
