//! Sinks in a configuration: which there are, what belongs to each type, what makes them several, and who waits for whom.

#[path = "support/plans.rs"]
mod plans;

use std::num::NonZeroUsize;

use natsink::config::{ConfigErrorKind, Delivery, Document, Flags, Input, Plan, SINKS_MAX, Target, check};
use natsink::sink::{CommitPolicy, Envelope};
use plans::{FirstSink as _, good, is_invalid, is_not_in_this_version, plan, sink_with};

/// The sink of `sink_with` and the lines of others.
fn beside(others: &str) -> String {
    sink_with("") + others
}

const STDOUT: &str = "  - type: stdout\n";
const OPTIONAL_FILE: &str = "  - type: file\n    config: { id: copy, path: copy.ndjson, required: false }\n";

#[test]
fn three_types_of_sinks_stand_side_by_side() {
    let plan = good(&beside(&format!("{STDOUT}{OPTIONAL_FILE}")));
    let ids: Vec<_> = plan.sinks.iter().map(|sink| (sink.id.as_str(), sink.required)).collect();
    assert_eq!(ids, [("nats", true), ("stdout", true), ("copy", false)]);
    assert_eq!(plan.stream(), "ORDERS");
    assert!(matches!(plan.sinks[1].to, Target::Stdout));
    assert!(matches!(&plan.sinks[2].to, Target::File { path } if path.as_os_str() == "etc/copy.ndjson"));
    assert_eq!(plan.commit_policy, CommitPolicy::Required);
    let alone = good("sinks:\n  - type: file\n    config: { path: /abs/x }\n");
    assert!(matches!(&alone.sinks[0].to, Target::File { path } if path.as_os_str() == "/abs/x"));
    assert_eq!((alone.sinks.len(), alone.sinks[0].id.as_str()), (1, "file"));
}

#[test]
fn each_type_has_its_own_keys() {
    is_invalid(
        &beside("  - type: stdout\n    config:\n      path: x\n"),
        "9: sinks[1].config.path: unknown key: a sink of type stdout has no path",
    );
    is_invalid(&beside("  - type: file\n"), "7: sinks[1].config.path: missing; a sink of type file needs a path");
    is_invalid(
        &beside("  - type: file\n    config: { path: '' }\n"),
        "8: sinks[1].config.path: an empty path, or one with a NUL in it",
    );
    for (key, value) in [
        ("url", "nats://h"),
        ("subject", "a"),
        ("key", "k"),
        ("stream", "S"),
        ("send_timeout_secs", "1"),
        ("batch_timeout_secs", "1"),
        ("connect_timeout_secs", "1"),
        ("credentials_file", "c"),
        ("username", "u"),
        ("password", "p"),
        ("token", "t"),
        ("nkey_seed_file", "n"),
        ("jwt_file", "j"),
        ("tls", "{}"),
        ("envelope", "debezium"),
        ("delivery", "core"),
        ("js_domain", "d"),
        ("js_api_prefix", "P"),
        ("inbox_prefix", "I"),
        ("connection_name", "n"),
        ("headers", "{ a: b }"),
        ("retry", "{ auth_secs: 1 }"),
    ] {
        for (kind, path) in [("stdout", ""), ("file", "path: x\n      ")] {
            let text = beside(&format!("  - type: {kind}\n    config:\n      {path}{key}: {value}\n"));
            let line = if path.is_empty() { 9 } else { 10 };
            is_invalid(
                &text,
                &format!("{line}: sinks[1].config.{key}: unknown key: a sink of type {kind} has no {key}"),
            );
        }
    }
}

#[test]
fn sinks_are_told_apart_by_their_ids() {
    let second = |config: &str| {
        beside(&format!(
            "  - type: nats\n    config:\n      url: nats://127.0.0.1:4222\n      subject: a\n{}",
            config.lines().map(|line| format!("      {line}\n")).collect::<String>()
        ))
    };
    is_invalid(&second("stream: S"), "7: sinks[1].config.id: the id nats is taken by another sink; give each its own");
    is_invalid(
        &second("stream: S\nid: nats"),
        "12: sinks[1].config.id: the id nats is taken by another sink; give each its own",
    );
    let plan = good(&second("stream: S\nid: other\nsend_timeout_secs: 7"));
    let Target::Nats(other) = &plan.sinks[1].to else { panic!("not of type nats") };
    assert_eq!((plan.sinks[1].id.as_str(), other.send_timeout.as_secs()), ("other", 7));
    assert_eq!((plan.nats().send_timeout.as_secs(), plan.stream()), (5, "ORDERS".into()));
    // A key of the second sink is called by its place.
    is_invalid(
        &second("id: other\nstream: S\ntoken: t\nusername: u\npassword: p"),
        "13: sinks[1].config.token: a second method of authentication beside sinks[1].config.username; give one",
    );
    is_invalid(
        &second("id: other\ntls: { cert_file: c }"),
        "12: sinks[1].config.tls.cert_file: a client certificate without its key",
    );
    is_invalid(
        &second("id: other\nretry: { auth_secs: 0 }"),
        "12: sinks[1].config.retry.auth_secs: 0 is not between 1 and 31536000",
    );
    is_invalid(
        &second("id: other\nstream: ORDERS"),
        "7: sinks[1].config.stream: the stream of another sink: each would take the other's events for duplicates of its own",
    );
    for elsewhere in ["stream: ORDERS\ntoken: t", "stream: ORDERS\njs_domain: hub", "delivery: core"] {
        good(&second(&format!("id: other\n{elsewhere}")));
    }
    good(&second("id: other\nstream: ORDERS").replacen("127.0.0.1:4222", "elsewhere", 1));
}

#[test]
fn no_two_sinks_write_to_one_place() {
    let stdout = |id: &str| format!("  - type: stdout\n    config: {{ id: {id} }}\n");
    is_invalid(
        &beside(&(stdout("a") + &stdout("b"))),
        "9: sinks[2].type: a second sink of type stdout; there is one standard output",
    );
    is_invalid(
        &beside(&format!("{OPTIONAL_FILE}  - type: file\n    config: {{ path: ./copy.ndjson }}\n")),
        "10: sinks[2].config.path: etc/./copy.ndjson is already the file of sinks[1].config.path",
    );
    for (what, key) in [
        ("source: { type: file, path: copy.ndjson }\n", "the input"),
        ("source: { input_id: x }\ncheckpoint: { path: copy.ndjson }\n", "checkpoint.path"),
        ("dead_letter: { path: ./copy.ndjson }\n", "dead_letter.path"),
    ] {
        let lines = what.lines().count() + 8;
        is_invalid(
            &format!("{what}{}", beside(OPTIONAL_FILE)),
            &format!("{lines}: sinks[1].config.path: etc/copy.ndjson is already the file of {key}"),
        );
    }
}

#[test]
fn there_is_an_end_to_the_number_of_sinks() {
    let sinks = |count: usize| {
        let file = |at: usize| format!("  - type: file\n    config: {{ id: f{at}, path: f{at} }}\n");
        format!("sinks:\n{}", (0..count).map(file).collect::<String>())
    };
    assert_eq!(good(&sinks(SINKS_MAX)).sinks.len(), SINKS_MAX);
    is_invalid(&sinks(SINKS_MAX + 1), &format!("{}: sinks[{SINKS_MAX}].type: more than 16 sinks", 2 * SINKS_MAX + 2));
}

#[test]
fn policies_make_sense() {
    let policy = |policy: &str| good(&format!("commit_policy: {policy}\n{}", beside(STDOUT))).commit_policy;
    let quorum = |count| CommitPolicy::Quorum(NonZeroUsize::new(count).unwrap());
    assert_eq!(policy("required"), CommitPolicy::Required);
    assert_eq!(policy("all"), CommitPolicy::All);
    assert_eq!(policy("${P:-all}"), CommitPolicy::All);
    assert_eq!(policy("{ quorum: 1 }"), quorum(1));
    assert_eq!(policy("{ quorum: 2 }"), quorum(2));
    assert_eq!(policy("~"), CommitPolicy::Required);
    let cases = [
        ("most", "1: commit_policy: unknown policy \"most\"; known are required, all and { quorum: 2 }"),
        ("{ quorum: 3 }", "1: commit_policy.quorum: a quorum of 3 sinks, and there are 2"),
        ("{ quorum: 0 }", "1: commit_policy.quorum: 0 is not between 1 and 1000000"),
        ("{ quorum: two }", "1: commit_policy.quorum: \"two\" is not a whole number"),
        ("{ quorums: 2 }", "1: commit_policy.quorums: unknown key; known here: quorum"),
        ("{}", "1: commit_policy.quorum: missing; write { quorum: 2 }"),
    ];
    for (policy, message) in cases {
        is_invalid(&format!("commit_policy: {policy}\n{}", beside(STDOUT)), message);
    }
    is_invalid(
        &format!("commit_policy: {{ quorum: 2 }}\n{}", sink_with("")),
        "1: commit_policy.quorum: a quorum of 2 sinks, and there is 1",
    );
}

#[test]
fn a_policy_that_waits_for_nobody_is_refused() {
    let reason = "commit_policy: the policy required, and no sink is required: the checkpoint would pass events that no sink \
                  has; give a sink required: true, or write commit_policy: all or { quorum: 1 }";
    is_invalid(&sink_with("required: false"), &format!("2: {reason}"));
    is_invalid(
        &format!("\ncommit_policy: required\n{}{OPTIONAL_FILE}", sink_with("required: false")),
        &format!("2: {reason}"),
    );
    for policy in ["all", "{ quorum: 1 }"] {
        let plan = good(&format!("commit_policy: {policy}\n{}", sink_with("required: false")));
        assert!(!plan.sinks[0].required);
    }
    assert!(good(&beside(OPTIONAL_FILE)).sinks[0].required);
    is_invalid(&sink_with("required: perhaps"), "7: sinks[0].config.required: \"perhaps\" is neither true nor false");
}

#[test]
fn deliveries_fit_the_stream() {
    let delivery = |key: &str| good(&sink_with(key)).nats().delivery;
    let ordered = Delivery::Ordered { stream: "ORDERS".into() };
    assert_eq!((delivery(""), delivery("delivery: ordered")), (ordered.clone(), ordered));
    let without = |key: &str| sink_with(key).replace("      stream: ORDERS\n", "");
    assert_eq!(good(&without("")).nats().delivery, Delivery::Core);
    assert_eq!(good(&without("delivery: core")).nats().delivery, Delivery::Core);
    is_invalid(
        &without("delivery: ordered"),
        "6: sinks[0].config.delivery: waits for the acks of a stream, and none is named",
    );
    is_invalid(
        &sink_with("delivery: core"),
        "7: sinks[0].config.delivery: waits for no stream, and one is named; leave one of them out",
    );
    for word in ["strict", "fast", "atomic", "unordered"] {
        is_not_in_this_version(
            &sink_with(&format!("delivery: {word}")),
            &format!("7: sinks[0].config.delivery: the delivery {word} is not in this version"),
        );
    }
    is_invalid(
        &sink_with("delivery: quick"),
        "7: sinks[0].config.delivery: unknown delivery \"quick\"; this version has ordered and core",
    );
}

#[test]
fn envelopes_are_known_and_fit_the_format() {
    let envelope = |key: &str| good(&sink_with(key)).nats().envelope;
    let cloud = |prefix: &str| Envelope::CloudEvents { type_prefix: prefix.into() };
    assert_eq!(envelope(""), Envelope::Native);
    assert_eq!(envelope("envelope: native"), Envelope::Native);
    assert_eq!(envelope("envelope: { type: native }"), Envelope::Native);
    assert_eq!(envelope("envelope: debezium"), Envelope::Debezium);
    assert_eq!(envelope("envelope: cloudevents"), cloud("io.natsink.cdc"));
    assert_eq!(envelope("envelope: { type: cloudevents }"), cloud("io.natsink.cdc"));
    assert_eq!(envelope("envelope: { type: cloudevents, type_prefix: com.example.cdc }"), cloud("com.example.cdc"));
    let cases = [
        ("avro", "envelope: unknown envelope \"avro\"; known are native, debezium, cloudevents"),
        ("{}", "envelope.type: missing; write { type: cloudevents }"),
        ("{ type: x }", "envelope.type: unknown envelope \"x\"; known are native, debezium, cloudevents"),
        ("{ typ: x }", "envelope.typ: unknown key; known here: type, type_prefix"),
        ("{ type: cloudevents, type_prefix: '' }", "envelope.type_prefix: an empty name"),
        ("{ type: cloudevents, type_prefix: 'a b' }", "envelope.type_prefix: ' ' has no place in a name"),
        (
            "{ type: debezium, type_prefix: a }",
            "envelope.type_prefix: a prefix of types, which the envelope debezium has not",
        ),
    ];
    for (envelope, message) in cases {
        is_invalid(&sink_with(&format!("envelope: {envelope}")), &format!("7: sinks[0].config.{message}"));
    }
    for format in ["json", "lines"] {
        let text =
            |envelope: &str| format!("source: {{ format: {format} }}\n{}", sink_with(&format!("envelope: {envelope}")));
        good(&text("native"));
        for envelope in ["debezium", "cloudevents"] {
            is_invalid(
                &text(envelope),
                "8: sinks[0].config.envelope: is made of change events: the format must be event",
            );
        }
    }
}

#[test]
fn status_is_shown_where_it_was_asked_for() {
    let http = |section: &str| good(&format!("{section}\n{}", sink_with(""))).http.map(|addr| addr.to_string());
    assert_eq!(http(""), None);
    assert_eq!(http("http:"), None);
    for (section, addr) in [
        ("http: {}", "127.0.0.1:9000"),
        ("http: { listen: ~ }", "127.0.0.1:9000"),
        ("http: { listen: 127.0.0.1:9000 }", "127.0.0.1:9000"),
        ("http: { listen: 0.0.0.0 }", "0.0.0.0:9000"),
        ("http: { listen: '0.0.0.0:0' }", "0.0.0.0:0"),
        ("http: { listen: 9100 }", "127.0.0.1:9100"),
        ("http: { listen: 'localhost:9100' }", "127.0.0.1:9100"),
        ("http: { listen: '[::1]:9100' }", "[::1]:9100"),
        ("http: { listen: '::1' }", "[::1]:9000"),
        ("http: { listen: '[::]' }", "[::]:9000"),
        ("http: { listen: \"${N}\" }", "127.0.0.1:17"),
    ] {
        assert_eq!(http(section).as_deref(), Some(addr), "{section}");
    }
    for listen in ["example.org:9000", "99999", "127.0.0.1:x", "':9000:'", "'9000 '"] {
        is_invalid(
            &format!("http:\n  listen: {listen}\n{}", sink_with("")),
            &format!(
                "2: http.listen: {:?} is no address to listen on, as in 127.0.0.1:9000",
                listen.trim_matches('\'')
            ),
        );
    }
    is_invalid(&format!("http: {{ listen: '' }}\n{}", sink_with("")), "1: http.listen: an empty address");
    is_invalid(&format!("http: 9000\n{}", sink_with("")), "1: http: must be a section of keys");
}

#[test]
fn a_file_can_be_followed_and_a_pipe_cannot() {
    let source = |source: &str| format!("source: {source}\n{}", sink_with(""));
    let follow = |text: &str| match good(text).source.input {
        Input::File { follow, .. } => follow,
        other => panic!("no file: {other:?}"),
    };
    assert!(follow(&source("{ type: file, path: x, follow: true }")));
    assert!(!follow(&source("{ type: file, path: x, follow: false }")));
    assert!(!follow(&source("{ type: file, path: x }")));
    is_invalid(
        &source("{ type: stdin, follow: true }"),
        "1: source.follow: standard input is read as it comes, and cannot be followed; name a file",
    );
    good(&source("{ type: stdin, follow: false }"));
}

fn with_flags(text: Option<&str>, flags: &Flags) -> Result<Plan, (ConfigErrorKind, String)> {
    let document = text.map(|text| Document { path: "p.yaml".into(), text: text.into() });
    check(document.as_ref(), flags, &|_| None).map_err(|error| (error.kind(), error.to_string()))
}

#[test]
fn a_flag_that_speaks_of_one_sink_needs_exactly_one() {
    let flags = |url: &str| Flags { url: Some(url.into()), ..Flags::default() };
    let two = beside("  - type: nats\n    config: { id: b, url: h, subject: s, stream: S }\n");
    let reason = |flag: &str, count: u32| {
        let words =
            format!("the flag speaks of one sink of type nats, and the configuration has {count}; write it there");
        Some((ConfigErrorKind::Usage, format!("{flag}: {words}")))
    };
    assert_eq!(with_flags(Some(&two), &flags("h")).err(), reason("--url", 2));
    assert_eq!(with_flags(Some("sinks: [{ type: stdout }]"), &flags("h")).err(), reason("--url", 0));
    let header = Flags { headers: vec!["a=b".into()], ..Flags::default() };
    assert_eq!(with_flags(Some(&two), &header).err(), reason("--header", 2));
    let plan = with_flags(Some(&beside(STDOUT)), &flags("flagged")).expect("one sink of type nats");
    assert_eq!(plan.nats().servers[0].host, "flagged");
    // What concerns all of them concerns all of them.
    let all = Flags { max_elapsed: Some("9".into()), envelope: Some("debezium".into()), ..Flags::default() };
    let plan = with_flags(Some(&two), &all).expect("for every sink");
    for sink in &plan.sinks {
        let Target::Nats(nats) = &sink.to else { panic!("not of type nats") };
        assert_eq!((nats.retry.elapsed_max.map(|max| max.as_secs()), &nats.envelope), (Some(9), &Envelope::Debezium));
    }
}

#[test]
fn flags_ask_for_following_status_and_envelopes_too() {
    let simple = || Flags { url: Some("h".into()), subject: Some("s".into()), ..Flags::default() };
    let envelope = |text: &str| {
        let flags = Flags { envelope: Some(text.into()), ..simple() };
        with_flags(None, &flags).map(|plan| plan.nats().envelope).map_err(|(_, message)| message)
    };
    let cloud = |prefix: &str| Ok(Envelope::CloudEvents { type_prefix: prefix.into() });
    assert_eq!(envelope("debezium"), Ok(Envelope::Debezium));
    assert_eq!(envelope("cloudevents"), cloud("io.natsink.cdc"));
    assert_eq!(envelope("cloudevents:com.example.cdc"), cloud("com.example.cdc"));
    assert_eq!(envelope("cloudevents:"), Err("--envelope: an empty name".into()));
    assert_eq!(envelope("native:x"), Err("--envelope: a prefix of types, which the envelope native has not".into()));
    let http = |text: &str| {
        let flags = Flags { http: Some(text.into()), ..simple() };
        with_flags(None, &flags).map(|plan| plan.http.map(|addr| addr.to_string()))
    };
    assert_eq!(http(""), Ok(Some("127.0.0.1:9000".into())));
    assert_eq!(http("0.0.0.0:80"), Ok(Some("0.0.0.0:80".into())));
    assert_eq!(http("here").unwrap_err().0, ConfigErrorKind::Usage);
    let follow = |input: Option<&str>| {
        let flags = Flags { follow: true, input: input.map(Into::into), ..simple() };
        with_flags(None, &flags).map(|plan| plan.source.input)
    };
    assert_eq!(follow(Some("x")), Ok(Input::File { path: "x".into(), follow: true }));
    for stdin in [None, Some("-")] {
        let reason = "--follow: standard input is read as it comes, and cannot be followed; name a file";
        assert_eq!(follow(stdin), Err((ConfigErrorKind::Usage, reason.into())));
    }
    assert_eq!(with_flags(None, &simple()).map(|plan| plan.nats().delivery), Ok(Delivery::Core));
}

#[test]
fn an_unknown_type_of_sink_is_told_with_those_that_are_known() {
    is_invalid(
        &beside("  - type: kafka\n"),
        "7: sinks[1].type: unknown type of sink \"kafka\"; known are nats, stdout, file",
    );
    assert!(plan(&beside("  - {}\n")).is_err_and(|error| error.reason().starts_with("missing; a sink is of type")));
}
