//! Configuration files: who asks to be let in and what is demanded of TLS, and that none of the secrets shows.

#[path = "support/plans.rs"]
mod plans;

use natsink::config::{AuthPlan, Document, Flags, check};
use natsink::connection::UserInfo;
use natsink::credentials::Held;
use plans::{FirstSink as _, good, is_invalid, refused, sink_with};

#[test]
fn one_method_of_authentication_is_enough() {
    let user_password = |user: &str, password: &str| {
        AuthPlan::UserInfo(UserInfo::UserPassword { user: user.into(), password: password.into() })
    };
    assert_eq!(good(&sink_with("username: u\npassword: 5")).nats().auth, user_password("u", "5"));
    assert_eq!(good(&sink_with("token: t")).nats().auth, AuthPlan::UserInfo(UserInfo::Token("t".into())));
    let file = |path: &str| Held::File(path.into());
    assert_eq!(good(&sink_with("credentials_file: /c")).nats().auth, AuthPlan::CredsFile("/c".into()));
    assert_eq!(good(&sink_with("nkey_seed_file: n")).nats().auth, AuthPlan::Nkey(file("etc/n")));
    assert_eq!(
        good(&sink_with("nkey_seed_file: n\njwt_file: ${TABLE}")).nats().auth,
        AuthPlan::Jwt { jwt: file("etc/t"), seed: Some(file("etc/n")) }
    );
    let in_url = |key: &str| sink_with(key).replace("127.0.0.1", "u:p%40q@127.0.0.1");
    assert_eq!(good(&in_url("")).nats().auth, user_password("u", "p@q"));
    is_invalid(
        &sink_with("username: u\npassword: p\ntoken: t"),
        "9: sinks[0].config.token: a second method of authentication beside sinks[0].config.username; give one",
    );
    is_invalid(
        &in_url("token: t"),
        "7: sinks[0].config.token: a second method of authentication beside sinks[0].config.url; give one",
    );
    is_invalid(
        &sink_with("token: t\ncredentials_file: c"),
        "8: sinks[0].config.credentials_file: a second method of authentication beside sinks[0].config.token; give one",
    );
    is_invalid(
        &sink_with("jwt_file: j\nnkey_seed_file: n\ncredentials_file: c"),
        "7: sinks[0].config.jwt_file: a second method of authentication beside sinks[0].config.credentials_file; give one",
    );
    is_invalid(
        &sink_with("jwt_file: j"),
        "7: sinks[0].config.jwt_file: a JWT without the seed of its key: name that in nkey_seed_file",
    );
    is_invalid(
        &sink_with("credentials_file: ''"),
        "7: sinks[0].config.credentials_file: an empty path, or one with a NUL in it",
    );
    is_invalid(&sink_with("username: u"), "7: sinks[0].config.username: a user without a password");
    is_invalid(&sink_with("password: u"), "7: sinks[0].config.password: a password without a user");
    is_invalid(&sink_with("username: u\npassword: ''"), "8: sinks[0].config.password: an empty password");
    is_invalid(&sink_with("username: ''\npassword: p"), "7: sinks[0].config.username: an empty user");
    is_invalid(&sink_with("token: ''"), "7: sinks[0].config.token: an empty token");
}

#[test]
fn the_ways_to_log_in_are_read_as_the_seed_page_writes_them() {
    let secrets = |name: &str| match name {
        "NATS_USER" => Some("ann".into()),
        "NATS_PASSWORD" => Some("p@ss".into()),
        "NATS_TOKEN" => Some("t0ken".into()),
        _ => None,
    };
    let auth = |lines: &str| {
        let document = Document { path: "etc/orders.yaml".into(), text: sink_with(lines) };
        check(Some(&document), &Flags::default(), &secrets).expect("a plan").nats().auth
    };
    let user = UserInfo::UserPassword { user: "ann".into(), password: "p@ss".into() };
    assert_eq!(auth("username: ${NATS_USER}\npassword: ${NATS_PASSWORD}"), AuthPlan::UserInfo(user));
    assert_eq!(auth("token: ${NATS_TOKEN}"), AuthPlan::UserInfo(UserInfo::Token("t0ken".into())));
    let file = "/etc/nats/creds/user.creds";
    assert_eq!(auth(&format!("credentials_file: {file}")), AuthPlan::CredsFile(file.into()));
}

#[test]
fn tls_is_demanded_by_whatever_is_said_of_it() {
    for section in ["tls: {}", "tls: { first: false }", "tls: { first: true }", "tls: { ca_file: c }"] {
        assert!(good(&sink_with(section)).nats().tls.is_demanded(), "{section}");
    }
    assert!(good(&sink_with("tls: { first: true }")).nats().tls.first);
    for section in ["tls:", "tls: ~"] {
        assert!(!good(&sink_with(section)).nats().tls.is_demanded(), "{section}");
    }
    for name in ["10.0.0.1", "fe80::2", "a.example"] {
        let plan = good(&sink_with(&format!("tls: {{ server_name: '{name}' }}")));
        assert_eq!(plan.nats().tls.server_name.as_deref(), Some(name));
    }
    let cases = [
        ("{ cert_file: c }", "tls.cert_file: a client certificate without its key"),
        ("{ key_file: k }", "tls.key_file: a key without the certificate that it belongs to"),
        ("{ ca_file: '' }", "tls.ca_file: an empty path, or one with a NUL in it"),
        ("{ first: perhaps }", "tls.first: \"perhaps\" is neither true nor false"),
        ("{ server_name: 'a b' }", "tls.server_name: \"a b\" is neither a host name nor an IP address"),
        ("{ server_name: 'nats://h' }", "tls.server_name: \"nats://h\" is neither a host name nor an IP address"),
        (
            "{ insecure: true }",
            "tls.insecure: unknown key; known here: ca_file, cert_file, key_file, first, server_name",
        ),
    ];
    for (section, message) in cases {
        is_invalid(&sink_with(&format!("tls: {section}")), &format!("7: sinks[0].config.{message}"));
    }
}

#[test]
fn secrets_stay_out_of_plans_and_errors() {
    let plan = good(&sink_with("username: u\npassword: canary"));
    assert!(!format!("{plan:?}").contains("canary"), "{plan:?}");
    for text in [
        sink_with("password: canary"),
        sink_with("token: canary\nusername: u\npassword: canary"),
        sink_with("token: { canary: canary }").replace("canary: canary", "a: canary"),
        sink_with("").replace("127.0.0.1", "u:canary@127.0.0.1:canary"),
        sink_with("").replace("127.0.0.1", "u:canary@127.0.0.1").replace("stream: ORDERS", "token: canary"),
    ] {
        let (_, message) = refused(&text);
        assert!(!message.contains("canary"), "{message}");
    }
}
