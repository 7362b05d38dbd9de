//! How a run that cannot go well ends: its exit code, the words a person is told, and the receipt it leaves.

mod support;

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::command::{Ended, Place, events};
use support::{ServerOptions, server};

#[test]
fn what_is_typed_wrong_is_told_before_anything_is_opened() {
    let place = Place::new();
    let place = &place;
    let run = |args: &[&str]| place.run(args);
    for (args, words) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["--input"], "--input"),
        (&["--max-elapsed", "soon"], "soon"),
        (&["--log", "loud"], "loud"),
        (&["--header", "x"], "--header"),
        (&["--checkpoint", "c"], "--input-id"),
    ] {
        let ended = run(args);
        assert_eq!(ended.code, 64, "{ended:?}");
        ended.says(&[words]);
    }
    run(&["--checkpoint", "c"]).fails(64, "usage", &["--input-id NAME"]);
    for (args, kind, words) in [
        (&["--delivery", "strict"][..], "not_in_this_version", "not in this version"),
        (&["--tls-cert", "c"], "configuration", "without its key"),
        (&["--creds", "c", "--nkey", "n"], "configuration", "give one"),
        (&["--context", "../c"], "configuration", "by its name"),
        (&["--delivery", "sometimes"], "configuration", "sometimes"),
        (&["--subject", "orders.*"], "configuration", "a wildcard"),
        (&["--subject", "orders. x"], "configuration", "white space"),
        (&["--subject", "orders.${table"], "configuration", "no closing brace"),
        (&["--subject", "$JS.API.STREAM.DELETE.ORDERS"], "configuration", "$JS"),
        (&["--subject", "orders.${x}", "--format", "lines"], "configuration", "lines"),
        (&["--header", "Nats-TTL=1s"], "configuration", "Nats-TTL"),
        (&["--header", "x=a\r\nb"], "configuration", "x"),
        (&["--pipeline", "a b"], "configuration", "--pipeline"),
        (&["--user", "ann"], "configuration", "password"),
        (&["--user", "ann", "--password", "p", "--token", "t"], "configuration", "token"),
        (&["--send-timeout", "0"], "configuration", "--send-timeout"),
        (&["-c", "absent.yaml"], "configuration", "absent.yaml"),
    ] {
        run(args).fails(78, kind, &[words]).counts();
    }
    place.write("in", "{}");
    for args in [
        &["--input", "in", "--checkpoint", "in"][..],
        &["--input", "in", "--dead-letter", "in"],
        &["--input", "in", "--dead-letter", "./in"],
    ] {
        run(args).fails(78, "configuration", &["already the file of the input"]);
    }
    assert_eq!(place.read("in"), "{}");
    assert_eq!(place.stored(), []);
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let place = Place::new();
    place.write("in", events(3));
    place.run(&["--input", "absent"]).fails(66, "input", &["absent", "No such file"]);
    place.run(&["--input", "."]).fails(66, "input", &["it is a folder"]);
    for checkpoint in ["absent/c", "/proc/natsink.checkpoint", "in/c"] {
        place.run(&["--input", "in", "--checkpoint", checkpoint]).fails(74, "checkpoint", &[checkpoint]);
    }
    for letters in ["absent/dead", "/proc/dead", "."] {
        place.run(&["--input", "in", "--dead-letter", letters]).fails(74, "dead_letter", &[letters]);
    }
    // A checkpoint that cannot be read is left as it is.
    fs::create_dir(place.path("folder")).unwrap();
    place.run(&["--input", "in", "--checkpoint", "folder"]).fails(74, "checkpoint", &["folder"]);
    let good = {
        place.run(&["--input", "in", "--checkpoint", "good", "--pipeline", "p"]).ends(0, [3, 3, 0, 0, 0, 0]);
        place.read("good")
    };
    let damaged = good.replacen("\"position\"", "\"positiom\"", 1);
    let newer = good.replacen("\"natsink_checkpoint\":3", "\"natsink_checkpoint\":4", 1);
    assert!(damaged != good && newer != good);
    for (name, text, words) in [
        ("damaged", damaged.as_str(), "no whole checkpoint"),
        ("torn", &good[..good.len() / 2], "no whole checkpoint"),
        ("empty", "", "no whole checkpoint"),
        ("newer", &newer, "use a newer natsink"),
        ("other", &good, "belongs to the pipeline \"p\""),
    ] {
        place.write(name, text);
        place.run(&["--input", "in", "--checkpoint", name]).fails(78, "checkpoint", &[words, name]);
        assert_eq!(place.read(name), text);
    }
    place.write("pipe", &good);
    let piped = ["--checkpoint", "pipe", "--pipeline", "p", "--input-id", "x"];
    place.run(&piped).fails(78, "checkpoint", &["belongs to a file"]);
    assert_eq!(place.stored().len(), 3);
}

#[test]
fn a_second_run_on_one_checkpoint_is_fenced_until_the_first_is_gone() {
    let place = Place::new();
    let args = ["--checkpoint", "c", "--input-id", "x"];
    let mut first = place.start(&args);
    first.write(events(1));
    first.until("its first commit", |_| place.path("c").exists() && place.position("c") > 0);
    place.run(&args).fails(75, "checkpoint_in_use", &["in use by another natsink"]);
    first.kill9();
    place.pipe(&args, events(2)).ends(0, [1, 1, 0, 0, 0, 0]);
    place.write("two", events(2));
    place.holds_exactly("two");
}

#[test]
fn a_stream_that_cannot_take_events_is_told_with_what_would_mend_it() {
    let place = Place::new();
    let run = |stream: &str, subject: &str| place.pipe(&["--stream", stream, "--subject", subject], events(1));
    let ended = run("NOPE", "nope.${source.table}");
    ended.fails(78, "stream_not_found", &["stream NOPE does not exist", "nats stream add NOPE --subjects 'nope.*'"]);
    let ended = run("ORDERS", "other.events");
    ended.fails(
        78,
        "subject_not_captured",
        &["other.events", "nats stream edit ORDERS --subjects 'orders.>,other.events'"],
    );
    for (name, config, words) in [
        ("NOACK", json!({"no_ack": true}), "no_ack"),
        ("MIRROR", json!({"mirror": {"name": "ORDERS"}}), "mirror"),
        ("SEALED", json!({}), "sealed"),
    ] {
        let mut config = config;
        config["name"] = json!(name);
        config["subjects"] = json!([format!("{name}.>")]);
        if name == "MIRROR" {
            config.as_object_mut().unwrap().remove("subjects");
            place.raw().create_stream(config.clone());
        } else {
            place.create_stream(config.clone());
        }
        if name == "SEALED" {
            config["sealed"] = json!(true);
            config["storage"] = json!("file");
            assert!(place.raw().api("STREAM.UPDATE.SEALED", &config)["error"].is_null());
        }
        run(name, &format!("{name}.x")).fails(78, "stream_unusable", &[words]);
    }
    // A subject that only some events have is their fault alone.
    let input = "{\"to\":\"orders\"}\n{\"to\":\"other\"}\n{\"to\":\"orders\"}\n";
    let args = ["--format", "json", "--subject", "${to}.x", "--dead-letter", "dead"];
    place.pipe(&args, input).ends(0, [3, 2, 0, 1, 0, 0]);
    assert!(place.letters("dead")[0]["reason"].as_str().unwrap().contains("other.x"));
    assert_eq!(place.stored().len(), 2);
}

#[test]
fn refused_credentials_are_told_at_once_in_the_servers_words() {
    let place = Place::without_stream(ServerOptions::with_user("ann", "right"));
    place.create_stream(json!({}));
    let bare = place.server.url().replace("ann:right@", "");
    let canary = "c4nary-s3cret";
    let embedded = bare.replace("nats://", &format!("nats://ann:{canary}@"));
    let refused = [
        place.run(&["--url", &bare, "--user", "ann", "--password", canary, "--log", "debug"]),
        place.run(&["--url", &embedded, "--log", "debug", "--log-format", "json"]),
        place.run(&["--url", &bare, "--token", canary]),
        place.run(&["--url", &bare]),
        place.run(&["--url", &bare, "--user", canary, "--password", "right"]),
    ];
    for ended in &refused {
        ended.fails(77, "auth", &["credentials refused", "Authorization Violation"]);
        assert!(ended.took < Duration::from_secs(1), "{ended:?}");
        let receipt = ended.receipt.to_string();
        assert!(!ended.told.contains(canary) && !receipt.contains(canary), "a secret is told: {ended:?}");
    }
    place.pipe(&["--url", &bare, "--user", "ann", "--password", "right"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    let token = Place::without_stream(ServerOptions::with_token("t0ken"));
    token.create_stream(json!({}));
    let wrong = token.server.url().replace("t0ken", canary);
    let ended = token.run(&["--url", &wrong]);
    ended.fails(77, "auth", &["Authorization Violation"]);
    assert!(!ended.told.contains(canary));
    token.pipe(&[], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    assert_eq!((place.stored().len(), token.stored().len()), (1, 1));
}

#[test]
fn what_a_user_may_not_do_is_told_at_once() {
    let users = r#"authorization { users: [
        { user: all, password: p }
        { user: mute, password: p, permissions: { publish: { deny: "orders.denied" } } }
        { user: blind, password: p, permissions: { publish: { deny: "$JS.API.STREAM.INFO.>" } } }
        { user: deaf, password: p, permissions: { subscribe: { deny: "_INBOX.>" } } }
        { user: own, password: p, permissions: { subscribe: { allow: "_mine.>" } } }
    ] }"#;
    let options = ServerOptions { config: users.into(), credentials: Some("all:p".into()), ..ServerOptions::default() };
    let place = Place::without_stream(options);
    place.create_stream(json!({}));
    let url = |user: &str| place.server.url().replace("all:p", &format!("{user}:p"));
    let input = "{\"to\":\"new\"}\n{\"to\":\"denied\"}\n{\"to\":\"old\"}\n";
    let mute = ["--url", &url("mute"), "--format", "json", "--subject", "orders.${to}", "--input-id", "x"];
    let stopped = place.pipe(&mute, input);
    stopped.fails(77, "permission", &["orders.denied", "line 2", "permission"]);
    assert!(stopped.took < Duration::from_secs(4), "{stopped:?}");
    let passed = place.pipe(&[&mute[..], &["--dead-letter", "dead"]].concat(), input);
    assert_eq!((passed.code, passed.count("dead"), passed.count("pending")), (0, 1, 0), "{passed:?}");
    let letter = &place.letters("dead")[0];
    assert_eq!((&letter["subject"], &letter["attempts"]), (&json!("orders.denied"), &json!(1)));
    place.pipe(&["--url", &url("deaf")], input).fails(77, "inbox_denied", &["--inbox-prefix", "Subscription"]);
    place.pipe(&["--url", &url("own")], events(1)).fails(77, "inbox_denied", &["--inbox-prefix"]);
    place.pipe(&["--url", &url("own"), "--inbox-prefix", "_mine"], events(1)).ends(0, [1, 1, 0, 0, 0, 0]);
    let blind = place.pipe(&["--url", &url("blind")], events(1));
    blind.fails(77, "permission", &["$JS.API.STREAM.INFO.ORDERS"]);
    let elsewhere = ["--url", &url("blind"), "--js-domain", "hub"];
    place.pipe(&elsewhere, events(1)).fails(78, "jetstream_disabled", &["$JS.hub.API.>", "--js-domain"]);
    assert!(blind.took < Duration::from_secs(4), "{blind:?}");
    let subjects: Vec<String> = place.stored().into_iter().map(|event| event.subject).collect();
    assert_eq!(subjects, ["orders.new", "orders.old", "orders.events"]);
}

#[test]
fn where_nobody_answers_the_budget_decides() {
    let place = Place::new();
    let nobody = format!("nats://127.0.0.1:{}", server::free_port());
    place.write("in", events(2));
    let args = ["--url", &nobody, "--input", "in", "--checkpoint", "c", "--max-elapsed", "1"];
    let ended = place.run(&args);
    ended.fails(69, "unavailable", &["refused"]).ends(69, [0; 6]);
    assert!((1.0..3.0).contains(&ended.took.as_secs_f64()), "{ended:?}");
    assert!(!place.path("c").exists());
    // One of two servers is enough.
    let both = format!("{nobody},{}", place.server.url());
    place.run(&["--url", &both, "--input", "in"]).ends(0, [2, 2, 0, 0, 0, 0]);
    // A name that nobody has is waited for as well, and told.
    let nowhere = place.run(&["--url", "nats://nowhere.invalid:4222", "--input", "in", "--max-elapsed", "1"]);
    nowhere.fails(69, "unavailable", &["nowhere.invalid"]);
    assert_eq!(place.stored().len(), 2);
}

/// Listens, says these words to whoever connects, and never anything else.
fn says_only(words: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("nats://{}", listener.local_addr().expect("loopback has a free port"));
    thread::spawn(move || {
        let mut open = Vec::new();
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let _ = socket.write_all(words.as_bytes());
            open.push(socket);
        }
    });
    url
}

#[test]
fn each_server_that_will_not_do_has_its_own_words() {
    let place = Place::without_stream(ServerOptions::with_user("ann", "right"));
    let urls = format!("nats://ann:wrong@{},nats://127.0.0.1:{}", place.server.address(), server::free_port());
    let ended = place.run(&["--url", &urls, "--max-elapsed", "2"]);
    ended.fails(69, "unavailable", &["Authorization Violation", "Connection refused"]);
}

#[test]
fn a_clear_greeting_where_the_handshake_comes_first_is_explained() {
    let place = Place::without_stream(ServerOptions::default());
    place.run(&["--tls-first"]).fails(77, "tls", &["wants no tls_first"]);
}

#[test]
fn what_is_no_server_for_us_is_told() {
    let place = Place::new();
    let run = |words| place.pipe(&["--url", &says_only(words), "--max-elapsed", "1"], events(1));
    let silent = run("");
    silent.fails(69, "unavailable", &["no server within 1 s"]);
    run("HTTP/1.1 400 Bad Request\r\n\r\n").fails(69, "unavailable", &["the server broke the protocol"]);
    run("INFO {\"max_payload\":").fails(69, "unavailable", &[]);
    run("INFO {\"headers\":true,\"max_payload\":true}\r\n").fails(69, "unavailable", &["INFO"]);
    let old = run("INFO {\"server_id\":\"x\",\"max_payload\":1048576}\r\n");
    old.fails(78, "incompatible", &["does not support headers"]);
    let tls = run("INFO {\"server_id\":\"x\",\"headers\":true,\"max_payload\":1048576,\"tls_required\":true}\r\n");
    tls.fails(69, "unavailable", &["no server within 1 s"]);
    let full = run("INFO {\"headers\":true,\"max_payload\":1048576}\r\n-ERR 'maximum connections exceeded'\r\n");
    full.fails(69, "unavailable", &["maximum connections exceeded"]);
    for ended in [silent, old, tls, full] {
        assert!(ended.took < Duration::from_secs(3), "{ended:?}");
    }
    assert_eq!(place.stored(), []);
}

#[test]
fn without_jetstream_it_fails_fast_and_says_who_lacks_it() {
    let bare = Place::without_stream(ServerOptions { jetstream: false, ..ServerOptions::default() });
    let ended = bare.pipe(&[], events(1));
    ended.fails(78, "jetstream_disabled", &["not enabled on the server", "jetstream {}"]);
    assert!(ended.took < Duration::from_secs(2), "{ended:?}");
    let accounts = r#"accounts { A: { users: [ { user: ann, password: p } ] }, B: { jetstream: enabled } }"#;
    let options =
        ServerOptions { config: accounts.into(), credentials: Some("ann:p".into()), ..ServerOptions::default() };
    let place = Place::without_stream(options);
    let ended = place.pipe(&[], events(1));
    ended.fails(78, "jetstream_disabled", &["not enabled for the account", "jetstream: enabled"]);
    assert!(ended.took < Duration::from_secs(2), "{ended:?}");
}

#[test]
fn the_receipt_is_complete_however_the_run_ended() {
    let place = Place::new();
    place.write("in", events(3) + "\nnonsense\n");
    let good = place.run(&["--input", "in", "--dead-letter", "dead", "--quiet"]);
    good.ends(0, [5, 3, 0, 1, 0, 1]);
    let bad = place.run(&["--input", "in"]);
    let early = place.run(&["--input", "absent"]);
    let misread = place.run(&["--delivery", "strict"]);
    let members = |ended: &Ended| {
        let object = ended.receipt.as_object().unwrap();
        let number = |name: &str| object[name].is_u64();
        let names =
            "read stored duplicate unverified dead pending skipped replayed inversions reconnects bytes position";
        assert!(names.split(' ').chain(["elapsed_ms"]).all(number), "{ended:?}");
        object.keys().cloned().collect::<Vec<_>>()
    };
    for ended in [&bad, &early, &misread] {
        assert_eq!(members(ended), members(&good));
    }
    assert_eq!((&good.receipt["stream"], &good.receipt["first_seq"]), (&json!("ORDERS"), &json!(1)));
    assert_eq!((&good.receipt["last_seq"], good.count("position")), (&json!(3), place.read("in").len() as u64));
    let payloads: usize = place.payloads().iter().map(String::len).sum();
    assert_eq!(good.count("bytes"), payloads as u64);
    assert!(good.receipt["ack_us"]["max"].as_u64().unwrap() >= good.receipt["ack_us"]["p50"].as_u64().unwrap());
    assert_eq!((&early.receipt["first_seq"], &early.receipt["ack_us"]["p50"]), (&Value::Null, &Value::Null));
    assert_eq!(place.letters("dead").len(), 1);
    // Quiet is quiet, but not about what went wrong.
    assert!(!good.told.contains("5 read"), "{}", good.told);
    assert!(bad.told.contains("read = "), "{}", bad.told);
}

#[test]
fn a_log_for_machines_is_json_to_its_last_line() {
    let place = Place::new();
    let json =
        |args: &[&str], input: String| place.pipe(&[&["--log-format", "json", "--log", "debug"], args].concat(), input);
    let runs = [
        json(&[], events(2)),
        json(&["--dead-letter", "dead"], "nonsense\u{1b}[2J\n".into()),
        json(&[], "nonsense".into()),
        json(&["--stream", "NOPE"], String::new()),
        json(&["--delivery", "strict"], String::new()),
    ];
    for ended in runs {
        let entries: Vec<Value> = ended.told.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(!entries.is_empty());
        for entry in entries {
            for name in ["at", "level", "message"] {
                assert!(entry[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {entry}");
            }
        }
    }
    // And one for people never moves a terminal's cursor.
    let told = place.pipe(&["--dead-letter", "dead"], "{\"\u{1b}[2J\":}\n").told;
    assert!(!told.contains('\u{1b}'), "{told:?}");
    assert_eq!(place.stored().len(), 2);
}
