//! `natsink run` over TLS: spoken where it is demanded, refused where it proves nothing, renewed while a run goes on.

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::certs::{Authority, Identity};
use support::command::{Ended, Place, events};
use support::{ServerOptions, server};

/// How long a refusal may take.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A server that speaks TLS to who wants it, and clear text to the tests' own readers; with the stream ORDERS.
fn lenient(identity: &Identity, more: &str) -> Place {
    let mut options = ServerOptions { monitor: true, ..ServerOptions::with_tls(identity, more) };
    options.config.push_str("\nallow_non_tls: true");
    let place = Place::without_stream(options);
    place.create_stream(json!({}));
    place
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// The connections of the server's that speak TLS.
fn secured(place: &Place) -> Vec<Value> {
    let page = place.server.monitored("/connz?auth=true").unwrap_or_default();
    let mut connections = page["connections"].as_array().cloned().unwrap_or_default();
    connections.retain(|one| one["tls_version"].is_string());
    connections
}

#[track_caller]
fn is_refused(ended: &Ended, words: &str) {
    ended.fails(77, "tls", &[words]);
    assert!(ended.took < AT_ONCE, "{ended:?}");
}

#[test]
fn tls_is_spoken_wherever_one_side_wants_it() {
    let authority = Authority::new("roots");
    let (identity, ca) = (authority.server(), authority.ca_file());
    let mut place = lenient(&identity, "");
    let secure = place.server.url().replace("nats://", "tls://");
    let mut run = place.start(&["--tls-ca", text(&ca)]);
    run.write(events(1));
    run.until("the first event", |_| !place.stored().is_empty());
    assert_eq!(secured(&place).len(), 1);
    run.end().ends(0, [1, 1, 0, 0, 0, 0]);
    place.pipe(&["--url", &secure, "--tls-ca", text(&ca)], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    // From now on it lets nobody in without.
    place.server.restart_with(&identity.tls_block(""));
    place.configure("", &format!("tls: {{ ca_file: {ca:?} }}"));
    place.pipe(&["-c", "natsink.yaml"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    place.server.restart_with(&identity.tls_block("handshake_first: true"));
    place.pipe(&["--tls-first", "--tls-ca", text(&ca)], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    place.configure("", &format!("tls: {{ ca_file: {ca:?}, first: true }}"));
    place.pipe(&["-c", "natsink.yaml"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    // And from now on nobody whom it does not know.
    let known = authority.client("ann");
    place.server.restart_with(&identity.tls_block(&authority.verify()));
    let as_ann = ["--tls-ca", text(&ca), "--tls-cert", text(&known.cert), "--tls-key", text(&known.key)];
    place.pipe(&as_ann, events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    let context = json!({ "url": place.server.url(), "ca": ca, "cert": known.cert, "key": known.key });
    place.write("ann.json", context.to_string());
    place.write("bare.yaml", "sinks: [{ type: nats, config: { stream: ORDERS, subject: orders.events } }]\n");
    place.pipe(&["-c", "bare.yaml", "--context", "ann.json"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    is_refused(&place.run(&["--tls-ca", text(&ca)]), "client certificate");
    place.server.restart_with("");
    assert_eq!(place.stored().len(), 7);
}

#[test]
fn the_name_that_the_certificate_must_bear_can_be_given() {
    let authority = Authority::new("roots");
    let ca = authority.ca_file();
    let place = lenient(&authority.server_named(&["nats.example.com"]), "");
    place.configure("", &format!("tls: {{ ca_file: {ca:?}, server_name: nats.example.com }}"));
    place.pipe(&["-c", "natsink.yaml"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    is_refused(&place.run(&["--tls-ca", text(&ca)]), "not for \"127.0.0.1\" but for");
}

#[test]
fn certificates_and_servers_that_will_not_do_are_told_in_words() {
    let authority = Authority::new("roots");
    let (ca, stranger) = (authority.ca_file(), Authority::new("strangers"));
    let mut place = lenient(&authority.server(), "");
    is_refused(&place.run(&["--tls-ca", text(&stranger.ca_file())]), "nobody in ");
    place.server.restart_with(&authority.server_expired().tls_block(""));
    is_refused(&place.run(&["--tls-ca", text(&ca)]), "it expired ");
    // A demand is never given up: not to a server that speaks clear text only.
    place.server.restart_with("");
    let secure = place.server.url().replace("nats://", "tls://");
    let demands: [&[&str]; 2] = [&["--tls-ca", text(&ca)], &["--url", &secure, "--tls-ca", text(&ca)]];
    for demand in demands {
        is_refused(&place.run(demand), "TLS is demanded, and the server does not offer it");
    }
    place.run(&["--tls-first", "--tls-ca", text(&ca)]).fails(77, "tls", &["does not answer in TLS"]);
    assert!(place.stored().is_empty());
}

#[test]
fn files_that_will_not_do_are_told_before_anything_is_dialled() {
    let place = Place::new();
    let nobody = format!("nats://127.0.0.1:{}", server::free_port());
    let authority = Authority::new("roots");
    let (known, other) = (authority.client("ann"), authority.client("bob"));
    place.write("garbage", "gar\u{1b}[2Jbage");
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--tls-ca", "absent.pem"], &["absent.pem: ", "No such file"]),
        (&["--tls-ca", "garbage"], &["garbage: no certificate in it"]),
        (&["--tls-cert", "absent.pem", "--tls-key", text(&known.key)], &["absent.pem: ", "No such file"]),
        (&["--tls-cert", text(&known.cert), "--tls-key", "garbage"], &["garbage: no private key in it"]),
        (&["--tls-cert", text(&known.cert), "--tls-key", text(&other.key)], &["not the key of the first certificate"]),
    ];
    for (args, words) in cases {
        let ended = place.run(&[&["--url", &nobody], args].concat());
        ended.fails(78, "tls", words);
        assert!(ended.took < AT_ONCE && !ended.told.contains("refused"), "{ended:?}");
    }
    let ended = place.run(&["--tls-cert", text(&known.cert)]);
    ended.fails(78, "configuration", &["--tls-cert: a client certificate without its key"]);
}

#[test]
fn a_hangup_shows_a_renewed_certificate_while_the_run_goes_on() {
    let authority = Authority::new("roots");
    let place = lenient(&authority.server(), &authority.verify());
    let (ca, known) = (authority.ca_file(), authority.client("ann"));
    let is_in = |name: &str| {
        let shown = Value::from(secured(&place)).to_string();
        shown.contains(&format!("CN={name}"))
    };
    let mut run = place.start(&["--tls-ca", text(&ca), "--tls-cert", text(&known.cert), "--tls-key", text(&known.key)]);
    let input = events(2);
    let (first, second) = input.split_at(input.find('\n').expect("two lines") + 1);
    run.write(first);
    run.until("the first event", |_| place.stored().len() == 1);
    assert!(is_in("ann"));
    known.become_another(&authority.client("bob"));
    run.signal("HUP");
    run.until("the renewed certificate", |_| is_in("bob") && !is_in("ann"));
    run.write(second);
    run.until("the second event", |_| place.stored().len() == 2);
    run.end().ends(0, [2, 2, 0, 0, 0, 0]);
}
