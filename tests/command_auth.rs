//! `natsink run` and every way to log in by file: let in, turned away, renewed while it runs, and wrong before it dials.

mod support;

use std::time::Duration;

use serde_json::json;
use support::command::{Ended, Place, events};
use support::jwt::{Operator, User, nkey_user};
use support::{Raw, ServerOptions, server};

/// How long a refusal may take.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A server of this operator's, with the stream ORDERS.
fn place_of(operator: &Operator, admin: &User) -> Place {
    let place = Place::without_stream(ServerOptions { monitor: true, ..ServerOptions::with_operator(operator) });
    stream(&place, admin).create_stream(json!({ "name": "ORDERS", "subjects": ["orders.>"] }));
    place
}

fn stream(place: &Place, admin: &User) -> Raw {
    Raw::connect_user(&place.server.address(), admin)
}

/// Says that the run was turned away at once, in the server's words, and told no secret of this user.
#[track_caller]
fn is_refused(ended: &Ended, secrets: &[&str]) {
    ended.fails(77, "auth", &["credentials refused", "Authorization Violation"]);
    assert!(ended.took < AT_ONCE, "{ended:?}");
    hides(ended, secrets);
}

#[track_caller]
fn hides(ended: &Ended, secrets: &[&str]) {
    let told = format!("{}{}", ended.told, ended.receipt);
    assert!(secrets.iter().all(|secret| !told.contains(secret)), "a secret is told: {ended:?}");
}

#[test]
fn users_with_jwts_are_let_in_by_every_kind_of_file() {
    let operator = Operator::new();
    let (admin, user) = (operator.user("admin"), operator.user("user"));
    let place = place_of(&operator, &admin);
    place.write("user.creds", user.creds());
    place.write("windows.creds", format!("\u{feff}{}", user.creds().replace('\n', "\r\n")));
    place.write("user.jwt", user.jwt());
    place.write("user.nk", user.seed() + "\n");
    place.configure("", "credentials_file: user.creds");
    place.pipe(&["--creds", "user.creds", "--log", "trace"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    place.pipe(&["--creds", "windows.creds"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    place.pipe(&["-c", "natsink.yaml"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    place.configure("", "jwt_file: user.jwt, nkey_seed_file: user.nk");
    place.pipe(&["-c", "natsink.yaml"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    let url = place.server.url();
    for (name, context) in [
        ("files", json!({ "url": url, "creds": "user.creds" })),
        ("texts", json!({ "url": url, "user_jwt": user.jwt(), "user_seed": user.seed() })),
    ] {
        let file = format!("{name}.json");
        place.write(&file, context.to_string());
        place.write("bare.yaml", "sinks: [{ type: nats, config: { stream: ORDERS, subject: orders.events } }]\n");
        let ended = place.pipe(&["-c", "bare.yaml", "--context", &file, "--log", "trace"], events(1));
        ended.ends(0, [1, 1, 0, 0, 0, 0]);
        hides(&ended, &[&user.seed(), user.jwt()]);
    }
    assert_eq!(stream(&place, &admin).stream_messages("ORDERS"), 6);
}

#[test]
fn users_with_nkeys_are_let_in_by_their_seed() {
    let (public, seed) = nkey_user();
    let config = format!("authorization {{ users: [ {{ nkey: {public} }}, {{ user: all, password: p }} ] }}");
    let options = ServerOptions { config, credentials: Some("all:p".into()), ..ServerOptions::default() };
    let place = Place::without_stream(options);
    place.create_stream(json!({}));
    let url = place.server.url().replace("all:p@", "");
    place.write("user.nk", format!("{seed}\n{public}\n"));
    place.pipe(&["--url", &url, "--nkey", "user.nk"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    place.configure("", &format!("url: '{url}', nkey_seed_file: user.nk"));
    place.pipe(&["-c", "natsink.yaml"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    let (_, stranger) = nkey_user();
    place.write("stranger.nk", &stranger);
    is_refused(&place.run(&["--url", &url, "--nkey", "stranger.nk", "--log", "trace"]), &[&stranger]);
    assert_eq!(place.stored().len(), 2);
}

#[test]
fn users_whom_the_server_does_not_know_are_turned_away_at_once() {
    let operator = Operator::new();
    let admin = operator.user("admin");
    let place = place_of(&operator, &admin);
    let stranger = Operator::new().user("stranger");
    let expired = operator.user_expired("expired");
    for (name, user) in [("stranger", &stranger), ("expired", &expired)] {
        let file = format!("{name}.creds");
        place.write(&file, user.creds());
        let ended = place.run(&["--creds", &file, "--log", "trace", "--log-format", "json"]);
        is_refused(&ended, &[&user.seed(), user.jwt()]);
    }
    // The JWT of one with the seed of another.
    place.write("mixed.creds", stranger.creds().replace(stranger.jwt(), admin.jwt()));
    is_refused(&place.run(&["--creds", "mixed.creds"]), &[&stranger.seed()]);
    is_refused(&place.run(&[]), &[]);
    assert_eq!(stream(&place, &admin).stream_messages("ORDERS"), 0);
}

#[test]
fn a_server_that_gives_nothing_to_sign_is_told_at_once() {
    let place = Place::new();
    let user = Operator::new().user("user");
    place.write("user.creds", user.creds());
    let ended = place.run(&["--creds", "user.creds"]);
    ended.fails(77, "credentials", &["no nonce to sign"]);
    assert!(ended.took < AT_ONCE, "{ended:?}");
    hides(&ended, &[&user.seed(), user.jwt()]);
}

#[test]
fn files_that_are_no_credentials_are_told_before_anything_is_dialled() {
    let place = Place::new();
    let nobody = format!("nats://127.0.0.1:{}", server::free_port());
    let user = Operator::new().user("user");
    let seed = user.seed();
    let flipped = if seed.ends_with('A') { seed[..57].to_owned() + "B" } else { seed[..57].to_owned() + "A" };
    place.write("cut.creds", &user.creds()[..100]);
    place.write("flipped.creds", user.creds().replace(&seed, &flipped));
    place.write("garbage", "gar\u{1b}[2Jbage");
    place.write("whole.creds", user.creds());
    let cases: [(&[&str], &[&str]); 6] = [
        (&["--creds", "absent.creds"], &["cannot read absent.creds", "No such file"]),
        (&["--creds", "."], &["cannot read .", "not a file"]),
        (&["--creds", "cut.creds"], &["cut.creds: cut off"]),
        (&["--creds", "flipped.creds"], &["flipped.creds: the seed is damaged"]),
        (&["--nkey", "garbage"], &["garbage: no seed in it"]),
        (&["--nkey", "whole.creds"], &["whole.creds: JWT and seed in one"]),
    ];
    for (args, words) in cases {
        let ended = place.run(&[&["--url", &nobody, "--log", "trace"], args].concat());
        ended.fails(78, "credentials", words);
        assert!(ended.took < AT_ONCE && !ended.told.contains("refused"), "{ended:?}");
        hides(&ended, &[&seed, &flipped, user.jwt(), "\u{1b}"]);
    }
    place.configure("", &format!("url: '{nobody}', nkey_seed_file: cut.creds, jwt_file: absent.jwt"));
    place.run(&["-c", "natsink.yaml"]).fails(78, "credentials", &["cut.creds: cut off"]);
    let ended = place.run(&["--url", &nobody, "--context", "absent.json"]);
    ended.fails(78, "configuration", &["--context: no context", "absent.json"]);
}

#[test]
fn a_hangup_reads_renewed_credentials_while_the_run_goes_on() {
    let operator = Operator::new();
    let (admin, first) = (operator.user("admin"), operator.user("first"));
    let second = operator.user("second");
    let place = place_of(&operator, &admin);
    place.write("user.creds", first.creds());
    let is_in = |user: &User| {
        let page = place.server.monitored("/connz?auth=true").unwrap_or_default();
        let connections = page["connections"].as_array().cloned().unwrap_or_default();
        connections.iter().any(|one| one["authorized_user"] == user.public_key())
    };
    let mut run = place.start(&["--creds", "user.creds", "--connection-name", "it"]);
    let input = events(3);
    let mut lines = input.split_inclusive('\n');
    let mut next = || lines.next().expect("three events");
    let stored = |count| stream(&place, &admin).stream_messages("ORDERS") == count;
    run.write(next());
    run.until("the first event", |_| stored(1));
    assert!(is_in(&first));
    place.write("user.creds", second.creds());
    run.signal("HUP");
    run.until("the second user", |_| is_in(&second) && !is_in(&first));
    run.write(next());
    run.until("the second event", |_| stored(2));
    // A good link is not given for credentials that are no good.
    place.write("user.creds", "half of a fi");
    run.signal("HUP");
    run.tells("SIGHUP: the connection stays as it is: no credentials: user.creds: no JWT in it");
    run.write(next());
    run.until("the third event", |_| stored(3));
    let ended = run.end();
    ended.ends(0, [3, 3, 0, 0, 0, 0]);
    assert_eq!(ended.count("reconnects"), 1, "{ended:?}");
    hides(&ended, &[&first.seed(), &second.seed(), first.jwt(), second.jwt()]);
}

#[test]
fn credentials_that_go_bad_are_tried_again_until_they_are_mended_or_the_time_is_up() {
    let operator = Operator::new();
    let (admin, user) = (operator.user("admin"), operator.user("user"));
    let mut place = place_of(&operator, &admin);
    place.write("user.creds", user.creds());
    place.configure("", "credentials_file: user.creds, retry: { auth_secs: 2 }");
    let input = events(3);
    let mut lines = input.split_inclusive('\n');
    let mut next = || lines.next().expect("three events");
    let mut run = place.start(&["-c", "natsink.yaml"]);
    run.write(next());
    run.until("the first event", |_| stream(&place, &admin).stream_messages("ORDERS") == 1);
    place.write("user.creds", "half of a fi");
    place.server.restart();
    run.tells("user.creds: no JWT in it");
    run.write(next());
    place.write("user.creds", user.creds());
    run.until("the second event", |_| stream(&place, &admin).stream_messages("ORDERS") == 2);
    place.write("user.creds", "half of a fi");
    place.server.restart();
    run.write(next());
    run.until("its receipt", |run| run.told().contains("2 stored"));
    run.end().fails(78, "credentials", &["user.creds: no JWT in it"]);
}

#[test]
fn a_user_whose_time_is_up_goes_on_with_the_renewed_file() {
    let operator = Operator::new();
    let (admin, user) = (operator.user("admin"), operator.user_for("user", Duration::from_secs(5)));
    let place = place_of(&operator, &admin);
    place.write("user.creds", user.creds());
    let mut run = place.start(&["--creds", "user.creds"]);
    let input = events(2);
    let (first, second) = input.split_at(input.find('\n').expect("two lines") + 1);
    run.write(first);
    run.until("the first event", |_| stream(&place, &admin).stream_messages("ORDERS") == 1);
    place.write("user.creds", operator.renewed(&user, None).creds());
    run.tells("User Authentication Expired");
    run.write(second);
    run.until("the second event", |_| stream(&place, &admin).stream_messages("ORDERS") == 2);
    let ended = run.end();
    ended.ends(0, [2, 2, 0, 0, 0, 0]);
    assert_eq!(ended.count("reconnects"), 1, "{ended:?}");
}

#[test]
fn a_user_who_is_revoked_is_tried_again_until_the_time_is_up() {
    let mut operator = Operator::new();
    let (admin, user, other) = (operator.user("admin"), operator.user("user"), operator.user("other"));
    let mut place = place_of(&operator, &admin);
    place.write("user.creds", user.creds());
    place.configure("", "credentials_file: user.creds, retry: { auth_secs: 2 }");
    let mut run = place.start(&["-c", "natsink.yaml"]);
    run.write(events(1));
    run.until("the first event", |_| stream(&place, &admin).stream_messages("ORDERS") == 1);
    operator.revoke(&user);
    place.server.reload(&operator.config());
    run.tells("User Authentication Revoked");
    // Another file in time is as good as a pardon.
    place.write("user.creds", other.creds());
    run.write(events(1));
    run.until("the second event", |_| stream(&place, &admin).stream_messages("ORDERS") == 2);
    operator.revoke(&other);
    place.server.reload(&operator.config());
    run.write(events(1));
    run.until("its receipt", |run| run.told().contains("2 stored"));
    let ended = run.end();
    ended.fails(77, "auth", &["credentials refused", "Authorization Violation"]).ends(77, [3, 2, 0, 0, 1, 0]);
    hides(&ended, &[&user.seed(), &other.seed(), user.jwt(), other.jwt()]);
}

#[test]
fn a_user_who_is_removed_ends_the_run_when_the_time_is_up() {
    let mut place = Place::without_stream(ServerOptions::with_user("ann", "right"));
    place.create_stream(json!({}));
    place.configure("", "retry: { auth_secs: 1 }");
    let mut run = place.start(&["-c", "natsink.yaml"]);
    run.write(events(1));
    run.until("the first event", |_| place.stored().len() == 1);
    place.server.reload("authorization { user: bob, password: right }");
    run.write(events(1));
    run.until("its receipt", |run| run.told().contains("1 stored"));
    run.end().fails(77, "auth", &["credentials refused", "Authorization Violation"]).ends(77, [2, 1, 0, 0, 1, 0]);
}
