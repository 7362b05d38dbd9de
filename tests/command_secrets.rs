//! Secrets in every place that can hold one, looked for in all that the command tells at its most talkative.

mod support;

use serde_json::json;
use support::command::{Ended, Place, events};
use support::jwt::{Operator, nkey_user};
use support::{ServerOptions, certs::Authority};

/// What no output may contain. Its parts would do a thief as well.
const CANARY: &str = "Zq7xCanary5ecret";

#[track_caller]
fn hides(ended: &Ended, secrets: &[&str]) {
    let told = format!("{}{}", ended.told, ended.receipt);
    assert!(told.contains("trace") || ended.code == 78 || ended.code == 64, "it was not at its most talkative: {told}");
    for secret in secrets.iter().flat_map(|secret| [*secret, &secret[secret.len() / 2..]]) {
        assert!(!told.contains(secret), "a secret is told: {ended:?}");
    }
}

#[test]
fn passwords_and_tokens_are_hidden_whether_they_are_right_or_wrong() {
    for right in [CANARY, "another"] {
        let with_user = Place::without_stream(ServerOptions::with_user("alice", right));
        let with_token = Place::without_stream(ServerOptions::with_token(right));
        let (users, tokens) = (with_user.server.address(), with_token.server.address());
        if right == CANARY {
            with_user.create_stream(json!({}));
            with_token.create_stream(json!({}));
        }
        let runs: [(&Place, Vec<String>); 4] = [
            (&with_user, vec!["--url".into(), format!("nats://alice:{CANARY}@{users}")]),
            (&with_user, ["--url", &users, "--user", "alice", "--password", CANARY].map(String::from).to_vec()),
            (&with_token, vec!["--url".into(), format!("nats://{CANARY}@{tokens}")]),
            (&with_token, ["--url", &tokens, "--token", CANARY].map(String::from).to_vec()),
        ];
        for (place, mut args) in runs {
            args.extend(["--log", "trace", "--max-elapsed", "3"].map(String::from));
            for format in ["text", "json"] {
                let mut args = args.clone();
                args.extend(["--log-format", format].map(String::from));
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let ended = place.pipe(&args, events(3));
                assert_eq!(ended.code, if right == CANARY { 0 } else { 77 }, "{ended:?}");
                hides(&ended, &[CANARY]);
            }
        }
    }
}

#[test]
fn mistyped_urls_and_flags_do_not_repeat_what_stands_in_them() {
    let place = Place::without_stream(ServerOptions::default());
    for url in [
        format!("nats://{CANARY}:@h"),
        format!("http://u:{CANARY}@h"),
        format!("nats://u:{CANARY}@h:port"),
        format!("nats://u:%zz{CANARY}@h"),
        format!("nats://h,{CANARY}@h"),
        format!("nats://u:{CANARY}@"),
    ] {
        for args in [&["--url", url.as_str()][..], &["--url", url.as_str(), "--token", CANARY]] {
            let ended = place.run(&[args, &["--log", "trace"]].concat());
            assert!(matches!(ended.code, 64 | 78), "{ended:?}");
            hides(&ended, &[CANARY]);
        }
    }
    place.configure("", &format!("url: 'nats://h', token: {CANARY}, password: {CANARY}"));
    let ended = place.run(&["-c", "natsink.yaml", "--log", "trace"]);
    assert_eq!(ended.code, 78, "{ended:?}");
    hides(&ended, &[CANARY]);
}

#[test]
fn files_with_secrets_are_named_and_not_quoted() {
    let operator = Operator::new();
    let (admin, stranger) = (operator.user("admin"), Operator::new().user("stranger"));
    let place = Place::without_stream(ServerOptions::with_operator(&operator));
    let (seed, jwt) = (stranger.seed(), stranger.jwt().to_owned());
    let mut damaged = stranger.creds();
    damaged = damaged.replace(&seed, &format!("{seed}{CANARY}"));
    let (_, other_seed) = nkey_user();
    place.write("stranger.creds", stranger.creds());
    place.write("damaged.creds", damaged);
    place.write("other.nk", &other_seed);
    place.write("garbage.nk", CANARY);
    place.write("garbage.creds", format!("-----BEGIN NATS USER JWT-----\n{CANARY}\n"));
    place.write("context.json", format!(r#"{{ "url": "nats://h", "token": "{CANARY}", "password": "#));
    for args in [
        ["--creds", "stranger.creds"],
        ["--creds", "damaged.creds"],
        ["--creds", "garbage.creds"],
        ["--nkey", "other.nk"],
        ["--nkey", "garbage.nk"],
        ["--context", "./context.json"],
    ] {
        let ended = place.run(&[&args[..], &["--log", "trace"]].concat());
        assert!(matches!(ended.code, 64 | 77 | 78), "{ended:?}");
        hides(&ended, &[CANARY, &seed, &jwt, &other_seed]);
    }
    place.write("admin.creds", admin.creds());
    let ended = place.run(&["--creds", "admin.creds", "--log", "trace"]);
    hides(&ended, &[&admin.seed(), admin.jwt()]);
}

#[test]
fn secrets_in_the_place_of_their_files_are_not_repeated() {
    let place = Place::new();
    let user = Operator::new().user("user");
    let key = format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n");
    let (seed, creds) = (user.seed(), format!("--creds={}", user.creds()));
    let (key_flag, ca_flag) = (format!("--tls-key={key}"), format!("--tls-ca={key}"));
    place.write("context.json", format!(r#"{{ "nkey": "{seed}" }}"#));
    for args in [
        &["--nkey", &seed][..],
        &["--creds", &seed],
        &["--creds", user.jwt()],
        &[&creds],
        &["--context", "context.json"],
        &["--tls-cert", "absent.pem", &key_flag],
        &[&ca_flag],
    ] {
        let ended = place.run(&[args, &["--log", "trace"]].concat());
        assert_eq!(ended.code, 78, "{ended:?}");
        hides(&ended, &[CANARY, &seed, user.jwt()]);
    }
}

#[test]
fn words_that_may_be_the_rest_of_a_secret_are_not_repeated() {
    let place = Place::new();
    let user = Operator::new().user("user");
    let (pem, hyphens) = (user.creds(), format!("--{CANARY}"));
    for args in
        [&["--password", &hyphens][..], &["--token", "one", CANARY], &["--password=one", &hyphens], &["--creds", &pem]]
    {
        let ended = place.run(args);
        assert!(ended.code == 64 && ended.told.contains("--password=VALUE"), "{ended:?}");
        hides(&ended, &[CANARY, &user.seed(), user.jwt()]);
    }
    let ended = place.run(&["--token", "one", "--no-such-flag"]);
    assert!(ended.code == 64 && ended.told.contains("'--no-such-flag'"), "{ended:?}");
}

#[test]
fn keys_of_certificates_are_named_and_not_quoted() {
    let authority = Authority::new("canaries");
    let identity = authority.server();
    let place = Place::without_stream(ServerOptions::with_tls(&identity, ""));
    place.write("bad.key", format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"));
    place.write("not.key", CANARY);
    let (ca, cert) = (authority.ca_file(), identity.cert.clone());
    let (ca, cert) = (ca.to_str().expect("UTF-8"), cert.to_str().expect("UTF-8"));
    for key in ["bad.key", "not.key"] {
        let args = ["--tls-ca", ca, "--tls-cert", cert, "--tls-key", key, "--log", "trace"];
        let ended = place.run(&args);
        assert_eq!(ended.code, 78, "{ended:?}");
        hides(&ended, &[CANARY]);
    }
}
