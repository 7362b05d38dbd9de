//! Users with no more permissions than the manual asks for, and streams that belong to another account or domain.

mod support;

use std::process::Command;

use serde_json::json;
use support::command::{Place, events};
use support::proxy::Rules;
use support::{Direction, Proxy, ServerOptions};

/// The permissions that `docs/auth-and-tls.md` shows, as a server's configuration has them.
fn permissions() -> &'static str {
    let page = include_str!("../docs/auth-and-tls.md");
    let rest = page.split_once("```text permissions\n").expect("a block of permissions").1;
    rest.split_once("```").expect("its end").0
}

/// A server with the stream ORDERS and two users: `all` may do anything, `bound` what `permissions` says.
fn place_with(permissions: &str) -> (Place, String) {
    let users = format!("{{ user: all, password: p }}, {{ user: bound, password: p, {permissions} }}");
    let config = format!("authorization {{ users: [ {users} ] }}");
    let place =
        Place::without_stream(ServerOptions { config, credentials: Some("all:p".into()), ..ServerOptions::default() });
    place.create_stream(json!({ "duplicate_window": 200_000_000 }));
    let bound = place.server.address();
    (place, bound)
}

/// Stores events, is killed before it knows, and goes on from its checkpoint, as the user `bound`.
fn resumes(place: &Place, address: &str) -> support::command::Ended {
    let proxy = Proxy::start(address);
    let url = proxy.url().replace("nats://", "nats://bound:p@");
    let args = ["--url", &url, "--checkpoint", "c", "--input-id", "x"];
    let mut raw = place.raw();
    let mut run = place.start(&args);
    run.write(events(3));
    run.until("three are committed", |_| place.path("c").exists() && place.position("c") == events(3).len() as u64);
    proxy.set(Direction::ToClient, Rules { hold: true, ..Rules::default() });
    run.write(&events(10)[events(3).len()..]);
    run.until("ten are stored", |_| raw.stream_messages("ORDERS") == 10);
    run.kill9();
    proxy.set(Direction::ToClient, Rules::default());
    place.pipe(&args, events(12))
}

#[test]
fn the_permissions_of_the_manual_are_enough() {
    let (place, address) = place_with(permissions());
    resumes(&place, &address).ends(0, [9, 2, 7, 0, 0, 0]);
    place.write("all", events(12));
    place.holds_exactly("all");
    // A checkpoint that is lost is noticed, and made anew by the line that is printed.
    std::fs::remove_file(place.path("c")).expect("a checkpoint");
    let url = format!("nats://bound:p@{address}");
    let args = ["--url", &url, "--checkpoint", "c", "--input-id", "x"];
    place.pipe(&args, events(12)).fails(75, "checkpoint_missing", &["natsink checkpoint set"]);
}

#[test]
fn each_permission_of_the_manual_is_needed_but_that_to_tidy_up() {
    let lines: Vec<&str> = permissions().lines().collect();
    let named: Vec<&str> = lines.iter().filter(|line| line.trim_start().starts_with('"')).copied().collect();
    assert_eq!(named.len(), 6, "{named:?}");
    for without in named {
        let left: Vec<&str> = lines.iter().filter(|line| **line != without).copied().collect();
        let (place, address) = place_with(&left.join("\n"));
        if without.contains("CONSUMER.DELETE") {
            resumes(&place, &address).ends(0, [9, 2, 7, 0, 0, 0]).says(&["$JS.API.CONSUMER.DELETE.ORDERS."]);
            continue;
        }
        place.write("in", events(2));
        let files = ["--input", "in", "--checkpoint", "c"];
        place.run(&files).ends(0, [2, 2, 0, 0, 0, 0]);
        place.append("in", events(1));
        let url = format!("nats://bound:p@{address}");
        let mut check = Command::new(env!("CARGO_BIN_EXE_natsink"));
        check.current_dir(place.path("")).args(["check", "--stream", "ORDERS", "--subject", "orders.events"]);
        let output = check.args(["--url", &url]).args(files).output().expect("the command runs");
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(77), "without {without}: {told}");
        let subject = without.trim().trim_matches('"');
        let subject = if subject == "orders.>" { "orders.events" } else { subject };
        assert!(told.contains(subject), "without {without}: {told}");
    }
}

#[test]
fn a_stream_of_another_account_is_reached_by_its_prefix_and_one_of_a_domain_by_its_name() {
    let config = r#"
        accounts {
            HUB: {
                jetstream: enabled
                users: [ { user: hub, password: p } ]
                exports: [ { service: "$JS.API.>", response_type: stream }, { service: "orders.>" } ]
            }
            APP: {
                users: [ { user: app, password: p } ]
                imports: [
                    { service: { account: HUB, subject: "$JS.API.>" }, to: "hub.api.>" }
                    { service: { account: HUB, subject: "orders.>" } }
                ]
            }
        }
    "#;
    let options =
        ServerOptions { config: config.into(), credentials: Some("hub:p".into()), ..ServerOptions::default() };
    let place = Place::without_stream(options);
    place.create_stream(json!({}));
    let url = place.server.url().replace("hub:p", "app:p");
    let args = ["--url", &url, "--checkpoint", "c", "--input-id", "x"];
    // The account by itself has no JetStream.
    place.pipe(&args, events(5)).fails(78, "jetstream_disabled", &["account"]);
    let imported = [&args[..], &["--js-api-prefix", "hub.api"]].concat();
    place.pipe(&imported, events(5)).ends(0, [5, 5, 0, 0, 0, 0]);
    place.pipe(&imported, events(9)).ends(0, [4, 4, 0, 0, 0, 0]);
    place.write("all", events(9));
    place.holds_exactly("all");
    // The same by the name of a domain.
    let store = tempfile::tempdir().expect("a folder");
    let config = format!("jetstream {{ domain: hub, store_dir: {:?} }}", store.path());
    let place = Place::without_stream(ServerOptions { jetstream: false, config, ..ServerOptions::default() });
    place.create_stream(json!({}));
    place.pipe(&["--js-domain", "hub"], events(5)).ends(0, [5, 5, 0, 0, 0, 0]);
    place.pipe(&["--js-domain", "other"], events(5)).fails(78, "jetstream_disabled", &["--js-domain"]);
    assert_eq!(place.stored().len(), 5);
}
