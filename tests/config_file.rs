//! Configuration files: what they mean, and what each mistake in one is called, with file, line and key.

#[path = "support/plans.rs"]
mod plans;

use std::path::Path;
use std::time::Duration;

use natsink::config::{AuthPlan, ConfigErrorKind, Document, Flags, Input, check};
use natsink::connection::{ServerAddr, TlsOptions};
use natsink::sink::{Format, IdRule};
use plans::{FirstSink as _, good, is_invalid, plan, refused, sink_with};

#[test]
fn the_specified_example_means_what_it_says() {
    let plan = good(
        r#"
pipeline: orders
source:   { type: file, path: orders.ndjson, follow: false, format: event, max_line_bytes: 8388608 }
batch:    { max_events: 2000, max_bytes: 4194304, max_ms: 50 }
in_flight: { max_events: 4096, max_bytes: 4194304 }
commit_policy: required
checkpoint: { path: orders.checkpoint }
dead_letter: { path: orders.dead.ndjson }
sinks:
  - type: nats
    config:
      id: orders-nats
      url: ${NATS_HOSTS}
      subject: orders.${source.table}.${op}
      key: "${after.id}"
      stream: ORDERS
      required: true
      send_timeout_secs: 5
      batch_timeout_secs: 30
      connect_timeout_secs: 10
      credentials_file: orders.creds
      tls:
        { ca_file: ca.pem, cert_file: /abs/cert.pem, key_file: key.pem, first: false, server_name: nats.example.org }
      envelope: native
      delivery: ordered
      js_domain: hub
      headers: { x-env: prod }
      retry: { max_elapsed_secs: 0, auth_secs: 300, initial_ms: 100, max_ms: 10000 }
"#,
    );
    assert_eq!(plan.pipeline, "orders");
    assert_eq!(plan.source.input, Input::File { path: "etc/orders.ndjson".into(), follow: false });
    assert_eq!(plan.source.format, Format::Event);
    assert_eq!(plan.source.line_bytes_max, 8_388_608);
    assert_eq!(plan.batch.events_max, 2000);
    assert_eq!(plan.batch.bytes_max, 4_194_304);
    assert_eq!(plan.batch.age_max, Duration::from_millis(50));
    assert_eq!(plan.in_flight.events_max, 4096);
    assert_eq!(plan.in_flight.bytes_max, 4_194_304);
    assert_eq!(plan.checkpoint.as_deref(), Some(Path::new("etc/orders.checkpoint")));
    assert_eq!(plan.dead_letter.as_deref(), Some(Path::new("etc/orders.dead.ndjson")));
    let sink = plan.nats();
    assert_eq!((plan.sinks[0].id.as_str(), plan.sinks[0].required), ("orders-nats", true));
    let server = |host: &str, port| ServerAddr { host: host.into(), port, tls: false };
    assert_eq!(sink.servers, [server("a", 1), server("b", 4222)]);
    assert_eq!(sink.auth, AuthPlan::CredsFile("etc/orders.creds".into()));
    let tls = TlsOptions {
        required: true,
        first: false,
        server_name: Some("nats.example.org".into()),
        ca_file: Some("etc/ca.pem".into()),
        cert_file: Some("/abs/cert.pem".into()),
        key_file: Some("etc/key.pem".into()),
    };
    assert_eq!(sink.tls, tls);
    assert_eq!(sink.subject.as_str(), "orders.${source.table}.${op}");
    assert_eq!(sink.key.as_ref().map(|key| key.as_str()), Some("${after.id}"));
    assert_eq!(plan.stream(), "ORDERS");
    assert_eq!(sink.id_rule, IdRule::Position);
    assert_eq!(sink.headers, [("x-env".into(), "prod".into())]);
    assert_eq!(sink.send_timeout, Duration::from_secs(5));
    assert_eq!(sink.batch_timeout, Duration::from_secs(30));
    assert_eq!(sink.connect_timeout, Duration::from_secs(10));
    assert_eq!(sink.retry.elapsed_max, None);
    assert_eq!(sink.retry.auth_max, Duration::from_secs(300));
    assert_eq!(sink.retry.initial, Duration::from_millis(100));
    assert_eq!(sink.retry.max, Duration::from_secs(10));
    assert_eq!(sink.js_api_prefix.as_str(), "$JS.hub.API");
    assert_eq!(sink.inbox_prefix.as_str(), "_INBOX");
    assert_eq!(sink.connection_name, "orders");
}

#[test]
fn the_example_of_the_seed_page_is_read_as_it_stands() {
    let text = "sinks:
  - type: nats
    config:
      id: orders-nats
      url: ${NATS_URL}
      subject: orders.events
      stream: ORDERS
      required: true
      send_timeout_secs: 5
      batch_timeout_secs: 30
";
    let document = Document { path: "etc/orders.yaml".into(), text: text.into() };
    let url = |name: &str| (name == "NATS_URL").then(|| "nats://of-the-environment:4333".into());
    let plan = check(Some(&document), &Flags::default(), &url).unwrap_or_else(|error| panic!("{error}"));
    let sink = plan.nats();
    assert_eq!((plan.sinks[0].id.as_str(), plan.sinks[0].required), ("orders-nats", true));
    assert_eq!(sink.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["nats://of-the-environment:4333"]);
    assert_eq!((sink.subject.as_str(), plan.stream().as_str()), ("orders.events", "ORDERS"));
    assert_eq!([sink.send_timeout, sink.batch_timeout, sink.connect_timeout].map(|time| time.as_secs()), [5, 30, 10]);
}

#[test]
fn every_default_is_decided() {
    let plan = good(&sink_with(""));
    assert_eq!(plan.pipeline, "natsink");
    assert_eq!(plan.source.input, Input::Stdin { input_id: None });
    assert_eq!(plan.source.format, Format::Event);
    assert_eq!(plan.source.line_bytes_max, 8_388_608);
    assert!(!plan.source.strict);
    assert_eq!((plan.batch.events_max, plan.batch.bytes_max), (2000, 4_194_304));
    assert_eq!(plan.batch.age_max, Duration::from_millis(50));
    assert_eq!((plan.in_flight.events_max, plan.in_flight.bytes_max), (4096, 4_194_304));
    assert_eq!((&plan.checkpoint, &plan.dead_letter, &plan.receipt), (&None, &None, &None));
    assert!(!plan.from_start && !plan.quiet);
    let sink = plan.nats();
    assert_eq!((plan.sinks[0].id.as_str(), sink.connection_name.as_str()), ("nats", "natsink"));
    assert_eq!((sink.auth, sink.tls, sink.key), (AuthPlan::None, TlsOptions::default(), None));
    assert!(sink.headers.is_empty());
    assert_eq!(sink.send_timeout, Duration::from_secs(5));
    assert_eq!(sink.batch_timeout, Duration::from_secs(30));
    assert_eq!(sink.connect_timeout, Duration::from_secs(10));
    assert_eq!(sink.retry.elapsed_max, None);
    assert_eq!(sink.retry.auth_max, Duration::from_secs(300));
    assert_eq!((sink.retry.initial, sink.retry.max), (Duration::from_millis(100), Duration::from_secs(10)));
    assert_eq!(sink.js_api_prefix.as_str(), "$JS.API");
    assert_eq!(sink.inbox_prefix.as_str(), "_INBOX");
}

#[test]
fn json_is_yaml() {
    let plan = good(
        r#"{"pipeline": "p", "source": {"type": "stdin", "input_id": "nightly"}, "sinks": [{"type": "nats", "config":
        {"url": "nats://h", "subject": "s", "stream": "S", "required": true, "send_timeout_secs": 7}}]}"#,
    );
    assert_eq!(plan.source.input, Input::Stdin { input_id: Some("nightly".into()) });
    assert_eq!(plan.nats().send_timeout, Duration::from_secs(7));
}

#[test]
fn empty_sections_and_nulls_are_as_if_absent() {
    let plan = good(&format!(
        "pipeline:\nsource:\nbatch: ~\ncheckpoint: {{ path: null }}\n{}",
        sink_with("headers:\nretry:\nkey: \"\"")
    ));
    assert_eq!((plan.pipeline.as_str(), plan.checkpoint.clone(), plan.nats().key), ("natsink", None, None));
}

#[test]
fn variables_are_filled_in_before_typing() {
    let plan = good(&format!(
        "batch: {{ max_events: \"${{N}}\" }}\nin_flight:\n  max_events: ${{N}}\n  max_bytes: ${{M:-4096}}\n{}",
        sink_with("required: ${R:-true}\nkey: ${TABLE}-${after.ID}-${source.table}\nsend_timeout_secs: 1${N}")
    ));
    assert_eq!((plan.batch.events_max, plan.in_flight.events_max, plan.in_flight.bytes_max), (17, 17, 4096));
    assert_eq!(plan.nats().key.as_ref().map(|key| key.as_str()), Some("t-${after.ID}-${source.table}"));
    assert_eq!(plan.nats().send_timeout, Duration::from_secs(117));
    is_invalid(
        &sink_with("key: ${TABLE}-${MISSING}"),
        "7: sinks[0].config.key: the variable MISSING is not set; set it, or write ${MISSING:-default}",
    );
    is_invalid(
        &sink_with("send_timeout_secs: ${WORD}"),
        "7: sinks[0].config.send_timeout_secs: \"seventeen\" is not a whole number",
    );
    is_invalid(
        &sink_with("connection_name: ${after.id}"),
        "7: sinks[0].config.connection_name: ${…} is neither a variable ([A-Z_][A-Z0-9_]*) nor in a place where an event \
         template has a meaning",
    );
}

#[test]
fn keys_are_known_and_written_once() {
    is_invalid(
        "pipeline: p\nsource:\n  pth: x\n",
        "3: source.pth: unknown key; known here: type, path, input_id, follow, format, max_line_bytes",
    );
    let (kind, message) = refused(&sink_with("retry: { max_elapsed: 5 }"));
    assert_eq!(kind, ConfigErrorKind::Invalid);
    assert_eq!(
        message,
        "7: sinks[0].config.retry.max_elapsed: unknown key; known here: max_elapsed_secs, auth_secs, initial_ms, max_ms"
    );
    is_invalid("pipeline: a\nbatch: {}\npipeline: b\n", "3: pipeline: repeated key");
    is_invalid(&sink_with("stream: OTHER"), "7: sinks[0].config.stream: repeated key");
    is_invalid(&sink_with("headers: { value: 1, value: 2 }"), "7: sinks[0].config.headers.value: repeated key");
    is_invalid(&sink_with("path: x"), "7: sinks[0].config.path: unknown key: a sink of type nats has no path");
}

#[test]
fn shapes_are_held_to() {
    is_invalid("source: 5\n", "1: source: must be a section of keys");
    is_invalid("pipeline: { a: b }\n", "1: pipeline: must be a single value");
    is_invalid("sinks: { type: nats }\n", "1: sinks: must be a list");
    is_invalid("sinks:\n- nats\n", "2: sinks[0]: must be a section of keys");
    is_invalid("commit_policy: [all]\n", "1: commit_policy: must be a word or a section of keys");
    is_invalid("pipeline: !!int 5\n", "1: pipeline: a tag such as !!int has no place here");
    is_invalid(
        "batch: { max_events: ${N} }\n",
        "1: batch: not YAML: while parsing a flow mapping, did not find expected ',' or '}'; \
         between { and } write \"${NAME}\" with its quotes",
    );
    is_invalid("pipeline: \"a\nb: [", "2: not YAML: invalid indentation in multiline quoted scalar");
}

#[test]
fn numbers_have_limits() {
    let cases = [
        ("batch: { max_events: 0 }", "1: batch.max_events: 0 is not between 1 and 1000000"),
        ("batch: { max_bytes: 0 }", "1: batch.max_bytes: 0 is not between 1 and 1073741824"),
        ("batch: { max_ms: 0 }", "1: batch.max_ms: 0 is not between 1 and 86400000"),
        ("batch: { max_events: -1 }", "1: batch.max_events: \"-1\" is not a whole number"),
        ("batch: { max_events: 1.5 }", "1: batch.max_events: \"1.5\" is not a whole number"),
        ("in_flight: { max_events: 0 }", "1: in_flight.max_events: 0 is not between 1 and 1000000"),
        ("in_flight: { max_bytes: 0 }", "1: in_flight.max_bytes: 0 is not between 1 and 1073741824"),
        ("source: { max_line_bytes: 0 }", "1: source.max_line_bytes: 0 is not between 1 and 67108864"),
        (
            "in_flight: { max_events: 99999999999999999999999 }",
            "1: in_flight.max_events: 99999999999999999999999 is not between 1 and 1000000",
        ),
    ];
    for (section, message) in cases {
        is_invalid(&format!("{section}\n{}", sink_with("")), message);
    }
    for key in ["send_timeout_secs", "batch_timeout_secs", "connect_timeout_secs"] {
        is_invalid(
            &sink_with(&format!("{key}: 0")),
            &format!("7: sinks[0].config.{key}: 0 is not between 1 and 31536000"),
        );
    }
    for (key, high) in [("auth_secs", 31_536_000), ("initial_ms", 86_400_000), ("max_ms", 86_400_000)] {
        is_invalid(
            &sink_with(&format!("retry:\n  {key}: 0")),
            &format!("8: sinks[0].config.retry.{key}: 0 is not between 1 and {high}"),
        );
    }
    is_invalid(
        &sink_with("retry: { initial_ms: 200, max_ms: 100 }"),
        "7: sinks[0].config.retry.max_ms: shorter than retry.initial_ms",
    );
    let plan = good(&sink_with("retry: { initial_ms: 20000, max_elapsed_secs: 3 }"));
    assert_eq!(plan.nats().retry.max, Duration::from_secs(20));
    assert_eq!(plan.nats().retry.elapsed_max, Some(Duration::from_secs(3)));
}

#[test]
fn sources_make_sense() {
    let cases = [
        ("source: { type: kafka }", "1: source.type: unknown type of source \"kafka\"; known are file, stdin"),
        ("source: { type: file }", "1: source.type: a source of type file needs a path"),
        ("source: { path: x }", "1: source.path: a path without a type; write type: file"),
        ("source: { type: stdin, path: x }", "1: source.path: standard input has no path; write type: file"),
        ("source: { type: file, path: '' }", "1: source.path: an empty path, or one with a NUL in it"),
        ("source: { type: file, path: \"a\\0b\" }", "1: source.path: an empty path, or one with a NUL in it"),
        (
            "source: { type: file, path: \"${after.id}\" }",
            "1: source.path: ${…} is neither a variable ([A-Z_][A-Z0-9_]*) nor in a place where an event template has a \
             meaning",
        ),
        ("source: { format: avro }", "1: source.format: \"avro\" is none of event, json, lines"),
        ("source: { follow: perhaps }", "1: source.follow: \"perhaps\" is neither true nor false"),
        ("source: { input_id: a b }", "1: source.input_id: ' ' has no place in a name"),
        (
            "source: { type: file, path: x, input_id: y }",
            "1: source.input_id: names an input that is piped in; a file is recognised by what it is",
        ),
    ];
    for (section, message) in cases {
        is_invalid(&format!("{section}\n{}", sink_with("")), message);
    }
    let text = format!("source: {{ type: file, path: /abs/x, format: lines }}\n{}", sink_with(""));
    assert_eq!(good(&text).source.input, Input::File { path: "/abs/x".into(), follow: false });
    assert_eq!(good(&text).source.format, Format::Lines);
}

#[test]
fn a_checkpoint_on_standard_input_needs_a_name_for_the_input() {
    let text = format!("checkpoint: {{ path: c }}\n{}", sink_with(""));
    let error = plan(&text).expect_err("no input id");
    assert_eq!(error.kind(), ConfigErrorKind::Usage);
    let told = error.to_string();
    assert!(told.contains(":1: checkpoint.path: a checkpoint on standard input needs --input-id NAME"), "{told}");
    let named = format!("source: {{ type: stdin, input_id: nightly }}\n{text}");
    assert_eq!(good(&named).source.input, Input::Stdin { input_id: Some("nightly".into()) });
}

#[test]
fn no_file_is_two_things() {
    let text = format!(
        "source: {{ type: file, path: x }}\ncheckpoint: {{ path: y }}\ndead_letter: {{ path: ./y }}\n{}",
        sink_with("")
    );
    let error = plan(&text).expect_err("one file for two things");
    assert_eq!(error.kind(), ConfigErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "etc/orders.yaml:3: dead_letter.path: etc/./y is already the file of checkpoint.path"
    );
}

#[test]
fn names_make_sense() {
    is_invalid(&format!("pipeline: a|b\n{}", sink_with("")), "1: pipeline: '|' has no place in a name");
    is_invalid(&format!("pipeline: ''\n{}", sink_with("")), "1: pipeline: an empty name");
    is_invalid(&format!("pipeline: \"a\\nb\"\n{}", sink_with("")), "1: pipeline: '\\n' has no place in a name");
    is_invalid(&format!("pipeline: \"a\\x1bb\"\n{}", sink_with("")), "1: pipeline: '\\u{1b}' has no place in a name");
    let long = "x".repeat(129);
    is_invalid(&format!("pipeline: {long}\n{}", sink_with("")), "1: pipeline: a name of 129 bytes; at most 128");
    is_invalid(&sink_with("id: ''"), "7: sinks[0].config.id: an empty name");
    is_invalid(&sink_with("connection_name: a b"), "7: sinks[0].config.connection_name: ' ' has no place in a name");
}

#[test]
fn streams_and_prefixes_make_sense() {
    let stream = |name: &str| sink_with("").replace("ORDERS", name);
    for name in ["a.b", "'*'", "'>'", "a b", "''", "a/b", "a\\b"] {
        let (kind, message) = refused(&stream(name));
        assert_eq!(kind, ConfigErrorKind::Invalid, "{name}");
        assert!(message.starts_with("6: sinks[0].config.stream: "), "{message}");
        assert!(
            message.ends_with(
                "is no name of a stream: not empty, and without white space, control characters, . * > / \\"
            )
        );
    }
    let long = "x".repeat(256);
    is_invalid(&stream(&long), "6: sinks[0].config.stream: a name of 256 bytes; at most 255");
    is_invalid(
        &sink_with("js_domain: a.b"),
        "7: sinks[0].config.js_domain: \"a.b\" is no name of a domain: it is one token",
    );
    is_invalid(
        &sink_with("js_domain: hub\njs_api_prefix: J"),
        "8: sinks[0].config.js_api_prefix: a JetStream domain and an API prefix; give one of them",
    );
    for (key, value) in [("inbox_prefix", "a..b"), ("inbox_prefix", "a.>"), ("js_api_prefix", "a b")] {
        let (kind, message) = refused(&sink_with(&format!("{key}: {value}")));
        assert_eq!(kind, ConfigErrorKind::Invalid);
        assert!(message.starts_with(&format!("7: sinks[0].config.{key}: ")), "{message}");
    }
    is_invalid(
        &sink_with(&format!("inbox_prefix: {}", "x".repeat(257))),
        "7: sinks[0].config.inbox_prefix: a prefix of 257 bytes; at most 256",
    );
    let plan = good(&sink_with("inbox_prefix: _INBOX_app\njs_api_prefix: JS.acme.API"));
    assert_eq!(plan.nats().inbox_prefix.as_str(), "_INBOX_app");
    assert_eq!(plan.nats().js_api_prefix.as_str(), "JS.acme.API");
}

#[test]
fn subjects_keys_and_urls_make_sense() {
    let subject = |text: &str| sink_with("").replace("orders.events", text);
    for text in [
        "a..b",
        ".a",
        "a.",
        "a.*",
        "a.>",
        "a b",
        "\"a\\tb\"",
        "\"a\\r\\nb\"",
        "''",
        "a.${source.table",
        "a.${}",
        "a.${b.c.d.e}",
    ] {
        let (kind, message) = refused(&subject(text));
        assert_eq!(kind, ConfigErrorKind::Invalid, "{text}");
        assert!(message.starts_with("5: sinks[0].config.subject: "), "{message}");
    }
    for first in ["$JS", "$SYS", "_INBOX"] {
        is_invalid(
            &subject(&format!("{first}.x")),
            &format!(
                "5: sinks[0].config.subject: subjects that start with {first} belong to the server and to inboxes"
            ),
        );
    }
    let (kind, message) = refused(&sink_with("key: ${after.id"));
    assert_eq!(kind, ConfigErrorKind::Invalid);
    assert!(message.starts_with("7: sinks[0].config.key: "), "{message}");
    let lines = format!("source: {{ format: lines }}\n{}", sink_with("key: ${id}"));
    is_invalid(
        &lines,
        "8: sinks[0].config.key: lines have no members for a template to name; the format must be event or json",
    );
    let url = |text: &str| sink_with("").replace("nats://127.0.0.1:4222", text);
    is_invalid(&url("http://h"), "4: sinks[0].config.url: the URL's scheme is neither nats:// nor tls://");
    is_invalid(
        &url("nats://canary:canary@h:canary"),
        "4: sinks[0].config.url: the URL's port is not a number from 1 to 65535",
    );
    let servers = good(&url("nats://a,tls://b")).nats().servers;
    assert_eq!(servers.iter().map(|server| server.tls).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn headers_make_sense() {
    let plan = good(&sink_with("headers: { b: 2, a: ${N} }".replace("${N}", "\"${N}\"").as_str()));
    assert_eq!(plan.nats().headers, [("a".into(), "17".into()), ("b".into(), "2".into())]);
    for name in ["Nats-Rollup", "nats-msg-id", "df-key", "DF-Key"] {
        is_invalid(
            &sink_with(&format!("headers:\n  {name}: x")),
            &format!("8: sinks[0].config.headers.{name}: the header {name:?} is not for configuration to set"),
        );
    }
    for header in ["'a b': x", "'': x", "'a:b': x", "a: \"x\\r\\ny\"", "a: \"x\\0\""] {
        let (kind, message) = refused(&sink_with(&format!("headers: {{ {header} }}")));
        assert_eq!(kind, ConfigErrorKind::Invalid, "{header}");
        assert!(message.starts_with("7: sinks[0].config.headers."), "{message}");
    }
    let (_, message) = refused(&sink_with("headers: { a: }"));
    assert_eq!(message, "2: sinks[0].config.headers.a: a header without a value");
}

#[test]
fn what_a_sink_cannot_do_without_is_asked_for() {
    let without = |line: &str| {
        sink_with("").lines().filter(|other| !other.contains(line)).fold(String::new(), |text, line| text + line + "\n")
    };
    is_invalid(&without("url:"), "2: sinks[0].config.url: no server: give --url, $NATS_URL or sinks[0].config.url");
    is_invalid(
        &without("subject:"),
        "2: sinks[0].config.subject: no subject: give --subject or sinks[0].config.subject",
    );
    is_invalid("sinks:\n- config: { id: x }\n", "2: sinks[0].type: missing; a sink is of type nats, stdout or file");
    is_invalid(
        "sinks:\n- type: kafka\n",
        "2: sinks[0].type: unknown type of sink \"kafka\"; known are nats, stdout, file",
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("absent.yaml");
    let error = Document::open(&path).expect_err("no file");
    assert_eq!(error.kind(), ConfigErrorKind::Invalid);
    assert!(error.to_string().starts_with(&format!("{}: cannot read the configuration: ", path.display())), "{error}");
    std::fs::write(&path, b"pipeline: \xff").expect("a file");
    let error = Document::open(&path).expect_err("not UTF-8");
    assert_eq!(error.to_string(), format!("{}: the configuration is not UTF-8", path.display()));
    std::fs::write(&path, vec![b'#'; natsink::config::FILE_LEN_MAX + 1]).expect("a file");
    let error = Document::open(&path).expect_err("too large");
    assert_eq!(error.to_string(), format!("{}: a configuration of more than 1048576 bytes", path.display()));
    std::fs::write(&path, "pipeline: p").expect("a file");
    assert_eq!(Document::open(&path).expect("a document").text, "pipeline: p");
}
