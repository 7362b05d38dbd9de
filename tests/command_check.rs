//! `natsink check` against real servers: what it finds, the exit code, and that the lines it prints mend what they say.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::command::{Place, events};
use support::{Authority, ServerOptions, server};

/// A check that has ended.
#[derive(Debug)]
struct Checked {
    code: i32,
    told: String,
    findings: Vec<Value>,
}

impl Checked {
    /// The findings of this level: what they are about and what they say.
    fn of(&self, level: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of_level = self.findings.iter().filter(|finding| finding["level"] == level);
        of_level.map(|finding| format!("{}: {}", text(&finding["about"]), text(&finding["message"]))).collect()
    }

    /// What mends the finding that says these words.
    #[track_caller]
    fn fix(&self, words: &str) -> String {
        let is_it = |finding: &&Value| finding["message"].as_str().is_some_and(|message| message.contains(words));
        let finding = self.findings.iter().find(is_it).unwrap_or_else(|| panic!("no finding says {words:?}: {self:?}"));
        finding["fix"].as_str().unwrap_or_else(|| panic!("nothing mends {finding}")).to_owned()
    }

    #[track_caller]
    fn fails(&self, code: i32, kind: &str, words: &str) -> &Self {
        let errors: Vec<_> = self.findings.iter().filter(|finding| finding["level"] == "error").collect();
        assert_eq!((self.code, errors.len()), (code, 1), "{self:?}");
        assert_eq!(errors[0]["kind"], kind, "{self:?}");
        assert!(errors[0]["message"].as_str().is_some_and(|message| message.contains(words)), "{self:?}");
        self
    }

    #[track_caller]
    fn passes(&self) -> &Self {
        assert_eq!((self.code, self.of("error")), (0, vec![]), "{self:?}");
        self
    }
}

fn natsink(place: &Place, words: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_natsink"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NATS_")) {
        command.env_remove(name);
    }
    let folder = place.path("");
    let output = command.current_dir(folder).arg("check").args(words).stdin(std::process::Stdio::null()).output();
    output.expect("the command runs")
}

fn check(place: &Place, words: &[&str]) -> Checked {
    let output = natsink(place, &[words, &["--json"]].concat());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let code = output.status.code().expect("an exit code");
    assert_eq!(found["exit"], code, "{output:?}");
    let findings = found["findings"].as_array().cloned().expect("a list");
    let of = |level: &str| findings.iter().filter(|finding| finding["level"] == level).count();
    assert_eq!((&found["errors"], &found["warnings"]), (&json!(of("error")), &json!(of("warning"))), "{output:?}");
    Checked { code, told: String::from_utf8(output.stderr).expect("stderr is UTF-8"), findings }
}

/// A check of stream ORDERS at the place, with these further arguments.
fn check_orders(place: &Place, more: &[&str]) -> Checked {
    let url = place.server.url();
    check(place, &[&["--url", &url, "--stream", "ORDERS", "--subject", "orders.events"], more].concat())
}

/// A stream without anything to warn of on a single server but that it is one.
fn strong() -> Value {
    json!({ "deny_delete": true, "deny_purge": true })
}

/// Two users: `free` may do all, `bound` what is said.
fn with_permissions(publish: &str, subscribe: &str) -> Place {
    let config = format!(
        "authorization {{ users: [ {{ user: free, password: p }}, {{ user: bound, password: p, permissions: {{ publish: \
         {publish}, subscribe: {subscribe} }} }} ] }}"
    );
    let options = ServerOptions { config, credentials: Some("free:p".into()), ..ServerOptions::default() };
    let place = Place::without_stream(options);
    place.create_stream(strong());
    place
}

fn as_bound(place: &Place, more: &[&str]) -> Checked {
    let url = place.server.url().replace("free:p@", "");
    let simple = ["--url", &url, "--user", "bound", "--password", "p", "--stream", "ORDERS"];
    check(place, &[&simple, more].concat())
}

#[test]
fn all_is_well_and_nothing_has_changed() {
    let place = Place::without_stream(ServerOptions::default());
    place.create_stream(strong());
    place.write("in", events(3));
    let mut raw = place.raw();
    let heard = raw.subscribe("orders.>");
    raw.flush();
    let words = ["--input", "in", "--checkpoint", "c", "--dead-letter", "d", "--receipt", "r"];
    let checked = check_orders(&place, &words);
    checked.passes();
    assert_eq!(checked.told, "");
    assert_eq!(
        checked.of("warning"),
        ["sink nats: stream: ORDERS: it has one replica: a lost disk loses its messages"],
        "{checked:?}"
    );
    let ok = checked.of("ok").join("\n");
    for words in [
        "configuration: pipeline natsink, one sink",
        "checkpoint: c is not there yet: a first run",
        "input: in can be read, from byte 0 on",
        "dead letters: d can be written",
        "receipt: r can be written",
        "sink nats: server: nats://127.0.0.1:",
        "sink nats: stream: ORDERS captures orders.>, and holds 0 messages",
        "sink nats: permission: may publish to orders.events",
        "sink nats: permission: may read back from stream ORDERS",
    ] {
        assert!(ok.contains(words), "{words:?} is not in {ok}");
    }
    // Nobody has heard of it, nothing is stored, no file was made.
    raw.send("orders.last", None, &[], b"");
    let first = raw.next();
    assert_eq!((first.sid, first.subject.as_str()), (heard, "orders.last"));
    assert_eq!(raw.stream_messages("ORDERS"), 1);
    let files: Vec<_> =
        std::fs::read_dir(place.path("")).expect("a folder").flatten().map(|file| file.file_name()).collect();
    assert_eq!(files, ["in"]);
}

#[test]
fn people_are_told_in_lines_with_what_mends_each() {
    let place = Place::new();
    let url = place.server.url();
    let words = ["--url", &url, "--stream", "ORDERS", "--subject", "orders.events"];
    let output = natsink(&place, &words);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("ok       configuration: pipeline natsink, one sink\n"), "{text}");
    let warning = "warning  sink nats: stream: ORDERS: it has one replica: a lost disk loses its messages\n         fix: in a \
                   cluster: nats stream edit ORDERS --replicas 3\n";
    assert!(text.contains(warning), "{text}");
    assert!(text.ends_with("errors: 0, warnings: 2\n"), "{text}");
    let quiet = natsink(&place, &[&words[..], &["--quiet"]].concat());
    let quiet = String::from_utf8(quiet.stdout).expect("UTF-8");
    assert!(quiet.starts_with("warning ") && !quiet.contains("\nok "), "{quiet}");
}

#[test]
fn mistakes_of_configuration_end_it_as_they_end_a_run() {
    let place = Place::without_stream(ServerOptions { jetstream: false, ..ServerOptions::default() });
    check(&place, &["-c", "absent.yaml"]).fails(78, "configuration", "cannot read the configuration");
    check(&place, &["--send-timeout", "x", "--url", "h", "--subject", "a"]).fails(
        64,
        "usage",
        "\"x\" is not a whole number",
    );
    check(&place, &["--subject", "a"]).fails(64, "usage", "no server");
    place.write("natsink.yaml", "sinks:\n  - type: nats\n    config: { url: h, subject: 'a b', stream: S }\n");
    check(&place, &["-c", "natsink.yaml"]).fails(78, "configuration", "natsink.yaml:3: sinks[0].config.subject: ");
    let output = natsink(&place, &["--no-such-flag"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0));
}

#[test]
fn files_are_looked_at_without_a_server() {
    let place = Place::new();
    let offline = |words: &[&str]| {
        let simple = ["--offline", "--url", "nats://127.0.0.1:1", "--stream", "ORDERS", "--subject", "orders.events"];
        check(&place, &[&simple, words].concat())
    };
    offline(&[]).passes();
    offline(&["--input", "absent"]).fails(66, "input", "absent");
    offline(&["--input", "."]).fails(66, "input", "folder");
    place.write("in", events(10));
    offline(&["--input", "in", "--dead-letter", "no/such/folder"]).fails(74, "dead_letter", "no/such/folder");
    offline(&["--input", "in", "--checkpoint", "no/such/folder"]).fails(74, "checkpoint", "no/such/folder");
    offline(&["--input", "in", "--receipt", "no/such/folder"]).fails(74, "output", "no/such/folder");
    std::fs::create_dir(place.path("folder")).expect("a folder");
    offline(&["--input", "in", "--dead-letter", "folder"]).fails(74, "dead_letter", "directory");
    for (flags, kind) in [
        (&["--creds", "absent"][..], "credentials"),
        (&["--nkey", "in"], "credentials"),
        (&["--tls-ca", "absent"], "tls"),
        (&["--tls-ca", "in"], "tls"),
    ] {
        offline(flags).fails(78, kind, "");
    }
    // A checkpoint that a run has left is understood, and one that is none is not.
    place.run(&["--input", "in", "--checkpoint", "c"]).ends(0, [10, 10, 0, 0, 0, 0]);
    let resumed = offline(&["--input", "in", "--checkpoint", "c"]);
    resumed.passes();
    let position = place.position("c");
    let ok = resumed.of("ok");
    assert!(ok.contains(&format!("checkpoint: c holds byte {position}, line 10")), "{ok:?}");
    assert!(ok.contains(&format!("input: in can be read, from byte {position} on")), "{ok:?}");
    offline(&["--input", "in", "--checkpoint", "c", "--pipeline", "other"]).fails(78, "checkpoint", "other");
    offline(&["--input-id", "x", "--checkpoint", "c"]).fails(78, "checkpoint", "");
    let aside = offline(&["--input", "in", "--checkpoint", "c", "--from-start"]);
    assert!(aside.passes().of("ok").iter().any(|told| told.contains("leaves aside")), "{aside:?}");
    place.write("damaged", place.read("c").replace("\"position\":", "\"position\":1"));
    offline(&["--input", "in", "--checkpoint", "damaged"]).fails(78, "checkpoint", "damaged");
    // One that is in use is no mistake: the run goes on.
    let run = place.start(&["--checkpoint", "held", "--input-id", "x"]);
    support::command::until("the checkpoint", || place.path("held").exists());
    offline(&["--checkpoint", "held", "--input-id", "x"]).passes();
    run.end().ends(0, [0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_named_pipe_is_not_opened() {
    let place = Place::new();
    let made = Command::new("mkfifo").arg(place.path("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let checked = check_orders(&place, &["--input", "pipe", "--dead-letter", "d"]);
    assert!(checked.passes().of("warning").iter().any(|told| told.contains("can be read once only")), "{checked:?}");
    check_orders(&place, &["--input", "pipe", "--checkpoint", "c"]).fails(64, "usage", "can be read once only");
    check_orders(&place, &["--input", "pipe", "--follow"]).fails(64, "usage", "only a file can be followed");
    // Nor is one taken for a place where lines are kept; a run does not take it either.
    check_orders(&place, &["--dead-letter", "pipe"]).fails(74, "dead_letter", "it is no file");
    place.run(&["--dead-letter", "pipe"]).fails(74, "dead_letter", &["it is no file"]);
    place.write("natsink.yaml", "sinks: [{ type: file, config: { path: pipe } }]");
    check(&place, &["-c", "natsink.yaml"]).fails(74, "output", "it is no file");
    place.run(&["-c", "natsink.yaml"]).fails(74, "output", &["is no file"]);
}

#[test]
fn a_followed_file_may_come_later_and_a_rotated_one_is_found() {
    let place = Place::new();
    let words = ["--input", "in", "--follow", "--checkpoint", "c"];
    let missing = check_orders(&place, &words);
    assert!(missing.passes().of("ok").contains(&"input: nothing to read in in".into()), "{missing:?}");
    place.write("in", events(3));
    place.run(&["--input", "in", "--checkpoint", "c"]).ends(0, [3, 3, 0, 0, 0, 0]);
    let position = place.position("c");
    std::fs::rename(place.path("in"), place.path("in.1")).expect("renamed");
    place.append("in.1", events(1));
    place.write("in", events(4));
    let rotated = check_orders(&place, &words);
    let first = format!("input: in.1 can be read, from byte {position} on");
    assert!(rotated.passes().of("ok").iter().any(|told| told.replace("./", "") == first), "{rotated:?}");
}

#[test]
fn an_address_for_status_is_tried() {
    let place = Place::new();
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = held.local_addr().expect("an address").to_string();
    let free = format!("127.0.0.1:{}", server::free_port());
    let offline = |addr: &str| check_orders(&place, &["--offline", "--http", addr]);
    assert!(offline(&free).passes().of("ok").contains(&format!("http: {free} is free")));
    let checked = offline(&taken);
    assert!(checked.passes().of("warning").iter().any(|told| told.contains("cannot listen for HTTP")), "{checked:?}");
    assert!(checked.fix("cannot listen").contains("http.listen"), "{checked:?}");
    offline("192.0.2.1:9000").fails(78, "http", "cannot listen for HTTP on 192.0.2.1:9000");
}

#[test]
fn servers_are_dialled_each_by_itself() {
    let place = Place::new();
    let dead = format!("127.0.0.1:{}", server::free_port());
    check_orders(&place, &["--offline"]).passes();
    let simple = ["--stream", "ORDERS", "--subject", "orders.events"];
    let only_dead = check(&place, &[&["--url", &dead], &simple[..]].concat());
    only_dead.fails(69, "unavailable", &dead);
    let both = format!("{},{dead}", place.server.url());
    let checked = check(&place, &[&["--url", &both], &simple[..]].concat());
    let warned = checked.passes().of("warning");
    assert!(warned.iter().any(|told| told.starts_with(&format!("sink nats: server: nats://{dead}: "))), "{checked:?}");
    let authority = Authority::new("check");
    let ca = authority.ca_file();
    check_orders(&place, &["--tls-ca", ca.to_str().expect("UTF-8")]).fails(77, "tls", "TLS");
}

#[test]
fn credentials_that_are_refused_are_told_in_the_servers_words() {
    let place = Place::without_stream(ServerOptions::with_user("ann", "secret-canary"));
    place.create_stream(strong());
    check_orders(&place, &[]).passes();
    let url = format!("nats://{}", place.server.address());
    let words = [
        "--stream",
        "ORDERS",
        "--subject",
        "orders.events",
        "--url",
        &url,
        "--user",
        "ann",
        "--password",
        "wrong-canary",
    ];
    let refused = check(&place, &words);
    refused.fails(77, "auth", "Authorization Violation");
    assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
}

#[test]
fn a_stream_that_cannot_be_used_comes_with_the_line_that_mends_it() {
    let none = Place::without_stream(ServerOptions { jetstream: false, ..ServerOptions::default() });
    check_orders(&none, &[]).fails(78, "jetstream_disabled", "not enabled");
    let place = Place::without_stream(ServerOptions::default());
    let absent = check_orders(&place, &[]);
    absent.fails(78, "stream_not_found", "stream ORDERS does not exist");
    mends(&place, &absent.fix("does not exist"), "create it: ");
    check_orders(&place, &[]).passes();
    let other = check(&place, &["--url", &place.server.url(), "--stream", "ORDERS", "--subject", "other.${a}.b"]);
    other.fails(78, "subject_not_captured", "does not capture subject other.*.b");
    mends(&place, &other.fix("does not capture"), "let it: ");
    check(&place, &["--url", &place.server.url(), "--stream", "ORDERS", "--subject", "other.${a}.b"]).passes();
    check_orders(&place, &[]).passes();
    place.create_stream(json!({ "name": "MUTE", "subjects": ["mute"], "no_ack": true }));
    let mute = |place: &Place| check(place, &["--url", &place.server.url(), "--stream", "MUTE", "--subject", "mute"]);
    let checked = mute(&place);
    checked.fails(78, "stream_unusable", "acknowledges nothing");
    mends(&place, &checked.fix("acknowledges nothing"), "let it: ");
    mute(&place).passes();
}

#[test]
fn weaknesses_of_a_stream_come_with_the_line_that_mends_them() {
    let place = Place::without_stream(ServerOptions::default());
    let weak = json!({
        "duplicate_window": 30_000_000_000u64, "max_msgs": 1000, "max_msg_size": 4096, "max_consumers": 1,
        "storage": "memory", "retention": "interest",
    });
    place.create_stream(weak);
    place.raw().api(
        "CONSUMER.DURABLE.CREATE.ORDERS.it",
        &json!({
            "stream_name": "ORDERS", "config": { "durable_name": "it", "ack_policy": "explicit" },
        }),
    );
    let words = ["--checkpoint", "c", "--input-id", "x"];
    let checked = check_orders(&place, &words);
    checked.passes();
    assert_eq!(checked.of("warning").len(), 8, "{checked:?}");
    assert!(checked.fix("in memory").contains("--storage file"), "{checked:?}");
    assert!(
        checked.fix("one replica").starts_with("in a cluster: nats stream edit ORDERS --replicas 3"),
        "{checked:?}"
    );
    assert!(checked.fix("consumers remove messages").contains("--retention limits"), "{checked:?}");
    place.create_stream(json!({ "name": "WORK", "subjects": ["work.>"], "retention": "workqueue" }));
    let work = check(&place, &["--url", &place.server.url(), "--stream", "WORK", "--subject", "work.x"]);
    assert!(work.passes().fix("consumers remove messages").contains("--retention limits"), "{work:?}");
    assert!(checked.fix("all 1 consumers").ends_with("nats consumer rm ORDERS NAME"), "{checked:?}");
    for (words, prefix) in [
        ("under 2 minutes", ""),
        ("discards old", "where events must not be lost: "),
        ("deleted or purged", "where nobody shall, ever: "),
        ("4096 bytes at most", ""),
    ] {
        mends(&place, &checked.fix(words), prefix);
    }
    let left = check_orders(&place, &words).of("warning");
    let gone = ["under 2 minutes", "discards old", "deleted or purged", "4096"];
    assert!(!left.iter().any(|told| gone.iter().any(|words| told.contains(words))), "{left:?}");
}

#[test]
fn a_stream_that_is_nearly_full_is_told() {
    let place = Place::without_stream(ServerOptions::default());
    place.create_stream(json!({ "max_msgs": 10, "discard": "new" }));
    place.pipe(&[], events(9)).ends(0, [9, 9, 0, 0, 0, 0]);
    let checked = check_orders(&place, &[]);
    let fix = checked.passes().fix("9 of max_msgs 10 are used");
    mends(&place, &fix, "");
    assert!(!check_orders(&place, &[]).of("warning").iter().any(|told| told.contains("max_msgs")));
}

#[test]
fn another_stream_than_the_checkpoints_is_told_before_it_is_met() {
    let place = Place::new();
    place.write("in", events(5));
    place.run(&["--input", "in", "--checkpoint", "c"]).ends(0, [5, 5, 0, 0, 0, 0]);
    place.raw().api("STREAM.DELETE.ORDERS", &json!({}));
    place.create_stream(json!({}));
    check_orders(&place, &["--input", "in", "--checkpoint", "c"]).fails(75, "other_stream", "recreated");
    check_orders(&place, &["--input", "in", "--checkpoint", "c", "--from-start"]).passes();
}

#[test]
fn a_checkpoint_that_was_lost_is_told_before_all_is_sent_again() {
    let place = Place::new();
    place.write("in", events(5));
    place.run(&["--input", "in", "--checkpoint", "c"]).ends(0, [5, 5, 0, 0, 0, 0]);
    std::fs::remove_file(place.path("c")).expect("it is there");
    let words = ["--input", "in", "--checkpoint", "c"];
    let lost = check_orders(&place, &words);
    lost.fails(75, "checkpoint_missing", "c is missing");
    let line =
        lost.findings.iter().find_map(|finding| finding["message"].as_str().filter(|text| text.contains("missing")));
    assert!(line.is_some_and(|line| line.contains("natsink checkpoint set c") && !line.contains("--json")), "{lost:?}");
    check_orders(&place, &[&words[..], &["--from-start"]].concat()).passes();
    check_orders(&place, &["--input", "in"]).passes();
}

#[test]
fn sinks_that_nobody_waits_for_fail_alone() {
    let place = Place::new();
    let dead = server::free_port();
    let write = |policy: &str, required: bool, more: &str| {
        let sink = |id: &str, url: &str, required: bool| {
            format!(
                "  - type: nats\n    config: {{ id: {id}, url: '{url}', stream: ORDERS, subject: orders.a, required: {required} }}\n"
            )
        };
        let dead = format!("nats://127.0.0.1:{dead}");
        let sinks = sink("up", &place.server.url(), true) + &sink("down", &dead, required);
        place.write("natsink.yaml", format!("commit_policy: {policy}\nsinks:\n{sinks}{more}"));
        check(&place, &["-c", "natsink.yaml"])
    };
    let optional = write("required", false, "");
    let warned = optional.passes().of("warning");
    assert!(
        warned.iter().any(|told| told.starts_with("sink down: server: ") && told.ends_with("go on without it")),
        "{warned:?}"
    );
    assert!(optional.fix("written down nowhere").contains("--dead-letter"), "{optional:?}");
    write("required", true, "").fails(69, "unavailable", "127.0.0.1");
    write("all", false, "").fails(69, "unavailable", "127.0.0.1");
    write("{ quorum: 1 }", true, "").passes();
    write("{ quorum: 2 }", true, "").fails(69, "unavailable", "127.0.0.1");
    write("{ quorum: 2 }", true, "  - type: stdout\n").passes();
    write("required", false, "  - type: file\n    config: { path: no/folder }\n").fails(74, "output", "no/folder");
    // Files of TLS that will not do end a run, whoever they are for.
    let text = place.read("natsink.yaml").replace("required: false }", "required: false, tls: { ca_file: absent } }");
    place.write("natsink.yaml", text.replace("no/folder", "copy"));
    check(&place, &["-c", "natsink.yaml"]).fails(78, "tls", "absent");
}

#[test]
fn a_server_without_a_stream_is_asked_for_permission_alone() {
    let config = "authorization { users: [ { user: free, password: p }, { user: bound, password: p, permissions: { publish: \
                  [\"orders.a\"] } } ] }";
    let options = ServerOptions {
        config: config.into(),
        credentials: Some("free:p".into()),
        jetstream: false,
        ..ServerOptions::default()
    };
    let place = Place::without_stream(options);
    let url = place.server.url().replace("free:p", "bound:p");
    let core = |subject: &str| check(&place, &["--url", &url, "--subject", subject]);
    let allowed = core("orders.a");
    assert!(allowed.passes().of("ok").iter().any(|told| told.contains("at most once")), "{allowed:?}");
    assert_eq!(allowed.of("warning"), [""; 0], "{allowed:?}");
    core("orders.b").fails(77, "permission", "may not publish to orders.b");
}

#[test]
fn permissions_are_found_out_without_a_message() {
    let all =
        r#"["orders.events", "$JS.API.STREAM.INFO.ORDERS", "$JS.API.STREAM.MSG.GET.ORDERS", "$JS.API.CONSUMER.>"]"#;
    let place = with_permissions(all, r#"["_INBOX.>"]"#);
    let mut raw = place.raw();
    let heard = raw.subscribe(">");
    raw.flush();
    let literal = as_bound(&place, &["--subject", "orders.events", "--checkpoint", "c", "--input-id", "x"]);
    assert!(
        literal.passes().of("ok").contains(&"sink nats: permission: may publish to orders.events".into()),
        "{literal:?}"
    );
    assert!(
        literal.of("ok").contains(&"sink nats: permission: may read back from stream ORDERS".into()),
        "{literal:?}"
    );
    let other = as_bound(&place, &["--subject", "orders.other"]);
    other.fails(77, "permission", "may not publish to orders.other");
    assert!(other.fix("orders.other").contains("\"orders.other\""), "{other:?}");
    // What events bring decides: it is tried with one subject of theirs.
    let template = as_bound(&place, &["--subject", "orders.${op}"]);
    let warned = template.passes().of("warning").join("\n");
    assert!(warned.contains("may not publish to orders.natsink-check; whether to others of orders.*"), "{warned}");
    assert_eq!(place.raw().stream_messages("ORDERS"), 0);
    // All that was heard are questions to JetStream and what it tells of them.
    raw.send("last", None, &[], b"");
    loop {
        let received = raw.next();
        assert_eq!(received.sid, heard);
        match received.subject.as_str() {
            "last" => break,
            subject => assert!(subject.starts_with("$JS.") || subject.starts_with("_INBOX."), "{received:?}"),
        }
    }
}

#[test]
fn what_cannot_be_read_back_is_told() {
    let place = with_permissions(r#"["orders.>", "$JS.API.STREAM.INFO.ORDERS"]"#, r#"["_INBOX.>"]"#);
    let checked = as_bound(&place, &["--subject", "orders.events", "--checkpoint", "c", "--input-id", "x"]);
    let warned = checked.passes().of("warning").join("\n");
    for subject in ["STREAM.MSG.GET.ORDERS", "CONSUMER.CREATE.ORDERS.*", "CONSUMER.MSG.NEXT.ORDERS.*"] {
        assert!(warned.contains(&format!("$JS.API.{subject}")), "{subject} is not in {warned}");
    }
    assert!(checked.fix("cannot be read back").contains("\"$JS.API.CONSUMER.CREATE.ORDERS.*\""), "{checked:?}");
    // Where there is something to go on from, a run ends there, and so does the check.
    place.write("in", events(5));
    let files = ["--subject", "orders.events", "--checkpoint", "c", "--input", "in"];
    place.run(&files).ends(0, [5, 5, 0, 0, 0, 0]);
    place.append("in", events(1));
    // What another writer stored meanwhile might be of this one.
    place.raw().publish("orders.other", &[], b"{}");
    as_bound(&place, &files).fails(77, "permission", "cannot be read back");
    let url = place.server.url().replace("free:p@", "");
    let as_bound = ["--url", &url, "--user", "bound", "--password", "p"];
    place.run(&[&files[..], &as_bound].concat()).fails(77, "permission", &["$JS.API.CONSUMER.CREATE.ORDERS.*"]);
}

#[test]
fn an_inbox_or_an_api_that_is_denied_is_told() {
    let inbox = with_permissions(r#"[">"]"#, r#"["other.>"]"#);
    let checked = as_bound(&inbox, &["--subject", "orders.events"]);
    checked.fails(77, "inbox_denied", "");
    assert!(
        checked
            .findings
            .iter()
            .any(|finding| finding["fix"].as_str().is_some_and(|fix| fix.contains("--inbox-prefix")))
    );
    as_bound(&inbox, &["--subject", "orders.events", "--inbox-prefix", "other.inbox"]).passes();
    let api = with_permissions(r#"["orders.>"]"#, r#"["_INBOX.>"]"#);
    let checked = as_bound(&api, &["--subject", "orders.events"]);
    checked.fails(77, "permission", "");
    assert!(checked.fix("STREAM.INFO").contains("$JS.API.STREAM.INFO.ORDERS"), "{checked:?}");
}

/// Runs the `nats` command that a finding names behind `prefix`, where there is one on this machine.
#[track_caller]
fn mends(place: &Place, fix: &str, prefix: &str) {
    let line = fix.strip_prefix(prefix).unwrap_or_else(|| panic!("{fix:?} does not start with {prefix:?}"));
    let words = line.strip_prefix("nats ").unwrap_or_else(|| panic!("{line:?} is no command"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/nats-cli");
    let found = Command::new(script).output().expect("the script runs");
    assert!(found.status.success(), "no nats command for the tests: {}", String::from_utf8_lossy(&found.stderr));
    let nats = String::from_utf8(found.stdout).expect("a path");
    // It asks before it edits.
    let force = if words.starts_with("stream edit") { " --force" } else { "" };
    let line = format!("{} --server '{}' {words}{force} 2>&1", nats.trim(), place.server.url());
    let output = Command::new("sh").args(["-c", &line]).env("HOME", place.path("")).output().expect("a shell");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
}
