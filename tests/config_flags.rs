//! The command line's part of the configuration: what flags mean alone, over a file, and beside the environment.

#[path = "support/plans.rs"]
mod plans;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use natsink::config::{
    AuthPlan, ConfigError, ConfigErrorKind, Document, Flags, Input, LogFormat, LogLevel, Plan, check,
};
use natsink::connection::UserInfo;
use natsink::credentials::Held;
use natsink::sink::{Format, IdRule};
use plans::FirstSink as _;

fn simple() -> Flags {
    Flags {
        url: Some("nats://flag".into()),
        stream: Some("ORDERS".into()),
        subject: Some("orders.events".into()),
        ..Flags::default()
    }
}

fn file() -> Document {
    let text = "\
pipeline: from-file
source: { type: file, path: in.ndjson, format: json }
checkpoint: { path: file.checkpoint }
dead_letter: { path: file.dead }
sinks:
  - type: nats
    config:
      url: nats://file
      subject: file.events
      key: file-key
      stream: FILE
      username: file-user
      password: file-password
      js_domain: file-domain
      inbox_prefix: _INBOX_file
      connection_name: file-name
      send_timeout_secs: 50
      batch_timeout_secs: 51
      connect_timeout_secs: 52
      headers: { kept: file, replaced: file }
      retry: { max_elapsed_secs: 53 }
";
    Document { path: "etc/p.yaml".into(), text: text.into() }
}

fn nothing(_: &str) -> Option<OsString> {
    None
}

fn alone(flags: &Flags) -> Result<Plan, ConfigError> {
    check(None, flags, &nothing)
}

fn refused(flags: &Flags) -> (ConfigErrorKind, String) {
    let error = alone(flags).expect_err("a refusal");
    (error.kind(), error.to_string())
}

fn user_password(user: &str, password: &str) -> AuthPlan {
    AuthPlan::UserInfo(UserInfo::UserPassword { user: user.into(), password: password.into() })
}

fn token(token: &str) -> AuthPlan {
    AuthPlan::UserInfo(UserInfo::Token(token.into()))
}

#[test]
fn three_flags_make_a_plan() {
    let plan = alone(&simple()).expect("a plan");
    assert_eq!(plan.pipeline, "natsink");
    assert_eq!(plan.source.input, Input::Stdin { input_id: None });
    assert_eq!(plan.source.format, Format::Event);
    assert_eq!(plan.nats().servers[0].to_string(), "nats://flag:4222");
    assert_eq!(plan.nats().subject.as_str(), "orders.events");
    assert_eq!(plan.stream(), "ORDERS");
    assert_eq!(plan.nats().id_rule, IdRule::Position);
    assert_eq!((plan.log.level, plan.log.format), (LogLevel::Info, LogFormat::Text));
}

#[test]
fn every_flag_overrides_the_file() {
    let before = check(Some(&file()), &Flags::default(), &nothing).expect("the file alone");
    assert_eq!(before.source.input, Input::File { path: "etc/in.ndjson".into(), follow: false });
    assert_eq!(before.nats().retry.elapsed_max, Some(Duration::from_secs(53)));
    assert_eq!(before.nats().js_api_prefix.as_str(), "$JS.file-domain.API");
    let flags = Flags {
        input: Some("-".into()),
        format: Some("lines".into()),
        pipeline: Some("from-flag".into()),
        id: Some("content".into()),
        key: Some("flag-key".into()),
        headers: vec!["replaced=flag=1".into(), "new=".into()],
        input_id: Some("nightly".into()),
        envelope: Some("native".into()),
        delivery: Some("ordered".into()),
        checkpoint: Some("flag.checkpoint".into()),
        from_start: true,
        dead_letter: Some("flag.dead".into()),
        receipt: Some("flag.receipt".into()),
        user: Some("flag-user".into()),
        password: Some("flag-password".into()),
        js_api_prefix: Some("JS.flag".into()),
        inbox_prefix: Some("_INBOX_flag".into()),
        connection_name: Some("flag-name".into()),
        max_elapsed: Some("0".into()),
        send_timeout: Some("1".into()),
        batch_timeout: Some("2".into()),
        connect_timeout: Some("3".into()),
        strict_input: true,
        log: Some("debug".into()),
        log_format: Some("json".into()),
        quiet: true,
        ..simple()
    };
    let plan = check(Some(&file()), &flags, &nothing).expect("file and flags");
    assert_eq!(plan.source.input, Input::Stdin { input_id: Some("nightly".into()) });
    assert_eq!(plan.source.format, Format::Lines);
    assert_eq!(plan.pipeline, "from-flag");
    assert!(plan.from_start && plan.source.strict && plan.quiet);
    assert_eq!(plan.checkpoint.as_deref(), Some(Path::new("flag.checkpoint")));
    assert_eq!(plan.dead_letter.as_deref(), Some(Path::new("flag.dead")));
    assert_eq!(plan.receipt.as_deref(), Some(Path::new("flag.receipt")));
    assert_eq!((plan.log.level, plan.log.format), (LogLevel::Debug, LogFormat::Json));
    let sink = plan.nats();
    assert_eq!(sink.servers[0].host, "flag");
    assert_eq!(sink.auth, user_password("flag-user", "flag-password"));
    assert_eq!(sink.subject.as_str(), "orders.events");
    assert_eq!(sink.key.as_ref().map(|key| key.as_str()), Some("flag-key"));
    assert_eq!(plan.stream(), "ORDERS");
    assert_eq!(sink.id_rule, IdRule::Content);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(sink.headers, [header("kept", "file"), header("replaced", "flag=1"), header("new", "")]);
    assert_eq!(sink.js_api_prefix.as_str(), "JS.flag");
    assert_eq!(sink.inbox_prefix.as_str(), "_INBOX_flag");
    assert_eq!(sink.connection_name, "flag-name");
    assert_eq!(sink.retry.elapsed_max, None);
    assert_eq!((sink.send_timeout.as_secs(), sink.batch_timeout.as_secs(), sink.connect_timeout.as_secs()), (1, 2, 3));
}

#[test]
fn a_flag_for_one_of_two_ways_overrides_the_other_in_the_file() {
    let text = file().text.replace("js_domain: file-domain", "js_api_prefix: JS.file");
    let document = Document { text, ..file() };
    let flags = Flags { js_domain: Some("hub".into()), ..Flags::default() };
    let plan = check(Some(&document), &flags, &nothing).expect("a plan");
    assert_eq!(plan.nats().js_api_prefix.as_str(), "$JS.hub.API");
}

#[test]
fn a_file_without_sinks_leaves_them_to_the_flags() {
    let document = Document { path: "p.yaml".into(), text: "pipeline: p\n".into() };
    let plan = check(Some(&document), &simple(), &nothing).expect("a plan");
    assert_eq!((plan.pipeline.as_str(), plan.stream().as_str()), ("p", "ORDERS"));
}

#[test]
fn paths_on_the_command_line_are_relative_to_where_it_was_typed() {
    let flags = Flags { input: Some("in".into()), ..Flags::default() };
    let plan = check(Some(&file()), &flags, &nothing).expect("a plan");
    assert_eq!(plan.source.input, Input::File { path: "in".into(), follow: false });
    assert_eq!(plan.checkpoint.as_deref(), Some(Path::new("etc/file.checkpoint")));
}

#[test]
fn variables_are_never_filled_in_flags() {
    let flags = Flags { subject: Some("orders.${TABLE}".into()), ..simple() };
    let plan = check(None, &flags, &|_| Some("t".into())).expect("a plan");
    assert_eq!(plan.nats().subject.as_str(), "orders.${TABLE}");
}

#[test]
fn what_a_flag_overrides_need_not_be_right() {
    let text = file().text.replace("nats://file", "${MISSING}").replace("file-user", "${MISSING}");
    let document = Document { text, ..file() };
    let flags = Flags { token: Some("t".into()), ..simple() };
    let plan = check(Some(&document), &flags, &nothing).expect("a plan");
    assert_eq!(plan.nats().auth, token("t"));
}

#[test]
fn a_level_of_authentication_overrides_the_ones_below() {
    let auth = |flags: &Flags, environment: &[(&str, &str)], with_file: bool| {
        let environment: BTreeMap<_, _> = environment.iter().copied().collect();
        let document = with_file.then(file);
        let plan = check(document.as_ref(), flags, &|name| environment.get(name).map(OsString::from));
        plan.map(|plan| plan.nats().auth).map_err(|error| error.to_string())
    };
    let both = [("NATS_USER", "env-user"), ("NATS_PASSWORD", "env-password")];
    let url = [("NATS_URL", "env-user:env-password@h")];
    let no_url = Flags { url: None, ..simple() };
    let user = Flags { user: Some("flag-user".into()), ..simple() };
    let password = Flags { password: Some("flag-password".into()), ..simple() };
    let in_url = Flags { url: Some("flag-token@h".into()), ..simple() };
    let creds = Flags { creds: Some("c".into()), ..simple() };
    let nkey = Flags { nkey: Some("n".into()), ..simple() };
    assert_eq!(auth(&simple(), &[], false), Ok(AuthPlan::None));
    assert_eq!(auth(&creds, &both, true), Ok(AuthPlan::CredsFile("c".into())));
    assert_eq!(auth(&nkey, &both, true), Ok(AuthPlan::Nkey(Held::File("n".into()))));
    assert_eq!(auth(&simple(), &both, false), Ok(user_password("env-user", "env-password")));
    assert_eq!(auth(&simple(), &both, true), Ok(user_password("file-user", "file-password")));
    assert_eq!(auth(&user, &both, false), Ok(user_password("flag-user", "env-password")));
    assert_eq!(auth(&user, &both, true), Ok(user_password("flag-user", "file-password")));
    assert_eq!(auth(&password, &both, true), Ok(user_password("file-user", "flag-password")));
    assert_eq!(auth(&in_url, &both, true), Ok(token("flag-token")));
    assert_eq!(auth(&no_url, &url, false), Ok(user_password("env-user", "env-password")));
    assert_eq!(auth(&no_url, &[url[0], both[0]], false), Ok(user_password("env-user", "env-password")));
    assert_eq!(auth(&user, &[], false), Err("--user: a user without a password".into()));
    let empty = [("NATS_USER", ""), ("NATS_PASSWORD", "")];
    assert_eq!(auth(&simple(), &empty, false), auth(&simple(), &[], false));
    assert_eq!(auth(&simple(), &[both[0], empty[1]], false), Err("$NATS_USER: a user without a password".into()));
    assert_eq!(auth(&simple(), &both[..1], false), Err("$NATS_USER: a user without a password".into()));
    assert_eq!(auth(&simple(), &both[1..], false), Err("$NATS_PASSWORD: a password without a user".into()));
    let message = "--nkey: a second method of authentication beside --creds; give one";
    assert_eq!(auth(&Flags { nkey: Some("n".into()), ..creds }, &both, false), Err(message.into()));
    let token = Flags { token: Some("t".into()), ..user };
    let message = "--token: a second method of authentication beside --user; give one";
    assert_eq!(auth(&token, &both, false), Err(message.into()));
    let token = Flags { token: Some("t".into()), ..in_url };
    let message = "--token: a second method of authentication beside --url; give one";
    assert_eq!(auth(&token, &both, false), Err(message.into()));
}

#[test]
fn each_option_of_tls_on_the_command_line_overrides_that_of_the_file() {
    let section = "tls: { ca_file: ca, cert_file: cert, key_file: key, server_name: h }\n      key: file-key";
    let document = Document { text: file().text.replace("key: file-key", section), ..file() };
    let tls = |flags: &Flags| check(Some(&document), flags, &nothing).expect("a plan").nats().tls;
    let before = tls(&simple());
    assert!(before.required && !before.first);
    assert_eq!(
        [before.ca_file, before.cert_file, before.key_file],
        ["etc/ca", "etc/cert", "etc/key"].map(|path| Some(path.into()))
    );
    let flags = Flags {
        tls_ca: Some("ca".into()),
        tls_cert: Some("cert".into()),
        tls_key: Some("key".into()),
        tls_first: true,
        ..simple()
    };
    let after = tls(&flags);
    assert!(after.first && after.server_name.as_deref() == Some("h"));
    assert_eq!([after.ca_file, after.cert_file, after.key_file], ["ca", "cert", "key"].map(|path| Some(path.into())));
    let alone = alone(&Flags { tls_first: true, ..simple() }).expect("a plan").nats().tls;
    assert!(alone.is_demanded() && alone.first && !alone.required);
}

#[cfg(unix)]
#[test]
fn paths_that_are_not_utf8_are_refused_where_they_cannot_be_told() {
    use std::os::unix::ffi::OsStringExt;

    let path = std::path::PathBuf::from(OsString::from_vec(b"ca\xff.pem".to_vec()));
    let error = alone(&Flags { tls_ca: Some(path.clone()), ..simple() }).expect_err("not UTF-8");
    assert_eq!(error.to_string(), "--tls-ca: a path that is not UTF-8");
    // A creds file is only opened.
    let plan = alone(&Flags { creds: Some(path.clone()), ..simple() }).expect("a plan");
    assert_eq!(plan.nats().auth, AuthPlan::CredsFile(path));
}

#[test]
fn the_server_comes_from_the_environment_last() {
    let environment = |name: &str| (name == "NATS_URL").then(|| OsString::from("nats://env:1"));
    let host = |document: Option<&Document>, flags: &Flags| {
        check(document, flags, &environment).expect("a plan").nats().servers[0].host.clone()
    };
    assert_eq!(host(None, &simple()), "flag");
    assert_eq!(host(Some(&file()), &Flags::default()), "file");
    assert_eq!(host(None, &Flags { url: None, ..simple() }), "env");
    let flags = Flags { url: None, ..simple() };
    let error = check(None, &flags, &|name| (name == "NATS_URL").then(|| "http://env".into())).expect_err("no scheme");
    assert_eq!(error.to_string(), "$NATS_URL: the URL's scheme is neither nats:// nor tls://");
}

#[test]
fn what_is_missing_is_a_mistake_of_usage() {
    let usage = |flags: &Flags, message: &str| assert_eq!(refused(flags), (ConfigErrorKind::Usage, message.into()));
    usage(&Flags { url: None, ..simple() }, "no server: give --url, $NATS_URL or sinks[0].config.url");
    usage(&Flags { subject: None, ..simple() }, "no subject: give --subject or sinks[0].config.subject");
    usage(
        &Flags { checkpoint: Some("c".into()), ..simple() },
        "--checkpoint: a checkpoint on standard input needs --input-id NAME (or source.input_id), the same for the same \
         data: without it nothing tells one pipe from another",
    );
}

#[test]
fn what_cannot_be_read_is_usage_and_what_makes_no_sense_is_configuration() {
    use ConfigErrorKind::{Invalid, NotInThisVersion, Usage};
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (Flags { send_timeout: text("soon"), ..simple() }, Usage, "--send-timeout: \"soon\" is not a whole number"),
        (Flags { send_timeout: text("0"), ..simple() }, Invalid, "--send-timeout: 0 is not between 1 and 31536000"),
        (Flags { batch_timeout: text("0"), ..simple() }, Invalid, "--batch-timeout: 0 is not between 1 and 31536000"),
        (
            Flags { connect_timeout: text("0"), ..simple() },
            Invalid,
            "--connect-timeout: 0 is not between 1 and 31536000",
        ),
        (Flags { max_elapsed: text("-1"), ..simple() }, Usage, "--max-elapsed: \"-1\" is not a whole number"),
        (Flags { format: text("avro"), ..simple() }, Usage, "--format: \"avro\" is none of event, json, lines"),
        (Flags { log: text("loud"), ..simple() }, Usage, "--log: \"loud\" is none of error, warn, info, debug, trace"),
        (Flags { log_format: text("xml"), ..simple() }, Usage, "--log-format: \"xml\" is neither text nor json"),
        (Flags { headers: vec!["a".into()], ..simple() }, Usage, "--header: \"a\" is not NAME=VALUE"),
        (Flags { headers: vec!["a=1".into(), "a=2".into()], ..simple() }, Usage, "--header: \"a\" is given twice"),
        (
            Flags { headers: vec!["Nats-Rollup=all".into()], ..simple() },
            Invalid,
            "--header: the header \"Nats-Rollup\" is not for configuration to set",
        ),
        (Flags { url: Some("h:x".into()), ..simple() }, Usage, "--url: the URL's port is not a number from 1 to 65535"),
        (Flags { tls_cert: Some("c".into()), ..simple() }, Invalid, "--tls-cert: a client certificate without its key"),
        (
            Flags { tls_key: Some("k".into()), ..simple() },
            Invalid,
            "--tls-key: a key without the certificate that it belongs to",
        ),
        (Flags { creds: Some("".into()), ..simple() }, Invalid, "--creds: an empty path, or one with a NUL in it"),
        (
            Flags { delivery: text("strict"), ..simple() },
            NotInThisVersion,
            "--delivery: the delivery strict is not in this version",
        ),
        (
            Flags { delivery: text("quick"), ..simple() },
            Invalid,
            "--delivery: unknown delivery \"quick\"; this version has ordered and core",
        ),
        (
            Flags { envelope: text("native:x"), ..simple() },
            Invalid,
            "--envelope: a prefix of types, which the envelope native has not",
        ),
        (
            Flags { input: Some("f".into()), input_id: text("x"), ..simple() },
            Usage,
            "--input-id: names an input that is piped in; a file is recognised by what it is",
        ),
        (Flags { input: Some("".into()), ..simple() }, Invalid, "--input: an empty path, or one with a NUL in it"),
        (
            Flags { input: Some("f".into()), checkpoint: Some("f".into()), ..simple() },
            Invalid,
            "--checkpoint: f is already the file of the input",
        ),
        (
            Flags { receipt: Some("f".into()), dead_letter: Some("f".into()), ..simple() },
            Invalid,
            "--receipt: f is already the file of --dead-letter",
        ),
        (
            Flags { js_domain: text("d"), js_api_prefix: text("p"), ..simple() },
            Invalid,
            "--js-api-prefix: a JetStream domain and an API prefix; give one of them",
        ),
        (Flags { pipeline: text("a b"), ..simple() }, Invalid, "--pipeline: ' ' has no place in a name"),
    ];
    for (flags, kind, message) in cases {
        assert_eq!(refused(&flags), (kind, message.to_owned()));
    }
    for flags in [
        Flags { subject: text("a b"), ..simple() },
        Flags { subject: text("a.*"), ..simple() },
        Flags { subject: text("a.${b"), ..simple() },
        Flags { subject: text("a..b"), ..simple() },
        Flags { id: text(""), ..simple() },
        Flags { id: text("${event_id"), ..simple() },
        Flags { key: text("${a"), ..simple() },
    ] {
        assert_eq!(refused(&flags).0, Invalid, "{:?} {:?} {:?}", flags.subject, flags.id, flags.key);
    }
}

#[test]
fn ids_are_made_by_position_content_or_template() {
    let rule = |id: &str| alone(&Flags { id: Some(id.into()), ..simple() }).expect("a plan").nats().id_rule;
    assert_eq!(rule("content"), IdRule::Content);
    match rule("${event_id}") {
        IdRule::Template(template) => assert_eq!(template.as_str(), "${event_id}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn flags_do_not_show_secrets() {
    let flags = Flags {
        url: Some("u:canary@h".into()),
        password: Some("canary".into()),
        token: Some("canary".into()),
        ..Flags::default()
    };
    assert!(!format!("{flags:?}").contains("canary"), "{flags:?}");
}
