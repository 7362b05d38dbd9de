//! A01–A08: credentials that are none, servers that do not take them, and secrets that must not be seen.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use natsink::connection::{
    Auth, AuthError, Authenticator, Challenge, CloseReason, Credentials, LinkError, Secret, ServerUrl, UserInfo,
};
use natsink::credentials::{Callback, CredsFile, Jwt, Nkey};
use natsink::jetstream::Outcome;
use natsink::proto::ServerError;
use serde_json::{Value, json};

use super::case::Case;
use super::peer::INFO;
use super::support::Operator;
use super::support::jwt::nkey_user;

/// The INFO of a server that wants a signature.
fn asking() -> String {
    INFO.replacen('{', r#"{"auth_required":true,"nonce":"y7Md0mA0d62U9ng","#, 1)
}

/// What this authenticator says to a server that asks for a signature.
fn answer(authenticator: &dyn Authenticator) -> Result<Credentials, AuthError> {
    let server = ServerUrl::parse("h").expect("a URL").addr;
    authenticator.answer(&Challenge::new(Some("nonce"), &server, true))
}

#[test]
fn a01_creds_files_that_are_none() {
    let user = Operator::new().user("user");
    let good = user.creds();
    let (jwt, seed) = good.split_at(good.find("*****").expect("two halves"));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("user.creds");
    let is_taken = |content: &[u8]| {
        fs::write(&path, content).expect("a file of ours");
        match answer(&CredsFile::new(&path)) {
            Ok(_) => true,
            Err(AuthError::Malformed { what, reason }) => {
                assert_eq!(what, path.to_str().expect("text"));
                assert!(!reason.is_empty());
                false
            }
            Err(other) => panic!("{other:?}"),
        }
    };
    let bad: [Vec<u8>; 10] = [
        vec![],
        b"garbage".to_vec(),
        vec![0; 4096],
        b"\xff\xfe\xfd".to_vec(),
        jwt.into(),
        seed.into(),
        [jwt, jwt, seed].concat().into(),
        [jwt, seed, seed].concat().into(),
        good.replace("------END USER", "------EN").into(),
        good.replace("eyJ", "e J").into(),
    ];
    for content in bad {
        assert!(!is_taken(&content), "{}", content.escape_ascii());
    }
    assert!(is_taken(format!("\u{feff}{good}").as_bytes()), "a byte order mark harms nobody");
    assert!(is_taken(good.replace('\n', "\r\n").as_bytes()), "nor do the line ends of Windows");
    // A gigabyte of nothing is not read.
    let alone = super::alone();
    fs::File::create(&path).and_then(|file| file.set_len(1 << 30)).expect("a file of ours");
    let held = super::bytes_held();
    assert!(matches!(answer(&CredsFile::new(&path)), Err(AuthError::Malformed { .. })));
    assert!(super::bytes_held() < held + (64 << 20));
    drop(alone);
    fs::remove_file(&path).expect("a file of ours");
    assert!(matches!(answer(&CredsFile::new(&path)), Err(AuthError::Unreadable { .. })));

    fs::write(&path, "garbage").expect("a file of ours");
    let auth = Auth::asked(CredsFile::new(&path));
    Case::new("A01").with(|options| options.auth = auth.clone()).play(|peer| {
        for _ in 0..2 {
            peer.accept();
            peer.say(format!("INFO {}\r\n", asking()));
            assert_eq!(peer.said_until_lost(), b"");
            assert!(matches!(peer.reason(), LinkError::Credentials(AuthError::Malformed { .. })));
        }
        let reason = peer.closed();
        assert!(matches!(reason, CloseReason::AuthRefused(LinkError::Credentials(_))), "{reason:?}");
    });
}

#[test]
fn a02_seeds_that_are_none() {
    let (_, seed) = nkey_user();
    let last = seed.chars().last().expect("a seed is long");
    let other = if last == 'A' { 'B' } else { 'A' };
    let account = nkeys::KeyPair::new_account().seed().expect("made here");
    let bad = [
        String::new(),
        "S".into(),
        "SU".into(),
        seed[..seed.len() - 1].into(),
        format!("{seed}A"),
        // One character in another place of the alphabet: the checksum is wrong.
        format!("{}{other}{}", &seed[..20], &seed[21..]),
        seed.replacen("SU", "SA", 1),
        seed.replacen("SU", "XX", 1),
        seed.to_lowercase(),
        account,
        "SUAM canary".into(),
    ];
    for seed in bad.into_iter().filter(|bad| *bad != seed) {
        let error = answer(&Nkey::new(Secret::from(seed.clone()))).expect_err("no seed of a user");
        let AuthError::Malformed { what, .. } = &error else { panic!("{error:?}") };
        assert_eq!(what, "the seed");
        assert!(seed.len() < 5 || !format!("{error} {error:?}").contains(&seed), "{error}");
    }
    assert!(answer(&Nkey::new(Secret::from(seed.clone()))).is_ok());
    Case::new("A02").with(|options| options.auth = Auth::asked(Nkey::new(Secret::from("SUAM")))).play(|peer| {
        peer.accept();
        peer.say(format!("INFO {}\r\n", asking()));
        assert_eq!(peer.said_until_lost(), b"");
        assert!(matches!(peer.reason(), LinkError::Credentials(AuthError::Malformed { .. })));
        peer.ends_here();
    });
}

#[test]
fn a03_credentials_that_are_refused() {
    let refused = LinkError::Refused(ServerError::AuthorizationViolation);
    let refuse = |peer: &mut super::peer::Peer| {
        peer.accept();
        peer.say(format!("INFO {INFO}\r\n"));
        peer.connect();
        peer.say("-ERR 'Authorization Violation'\r\n");
        assert_eq!(peer.lost(), refused);
    };
    // One can come from a server that reads its configuration anew; two are final.
    Case::new("A03").play(|peer| {
        refuse(peer);
        refuse(peer);
        assert_eq!(peer.closed(), CloseReason::AuthRefused(refused.clone()));
    });
    // After a link that was good: slower and slower, and not for ever.
    Case::new("A03").coarse().play(|peer| {
        peer.greet();
        if !peer.is_in_memory() {
            return;
        }
        peer.say("-ERR 'Authorization Violation'\r\n");
        peer.lost();
        let mut at = vec![peer.stage.now()];
        while peer.stage.now() < Duration::from_secs(250) {
            refuse(peer);
            at.push(peer.stage.now());
        }
        let pauses: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.len() < 110, "{} dials in four minutes", pauses.len());
        assert!(pauses[10..].iter().all(|pause| *pause >= Duration::from_millis(2500)), "{pauses:?}");
        while peer.stage.now() < Duration::from_secs(300) {
            refuse(peer);
        }
        assert_eq!(peer.closed(), CloseReason::AuthRefused(refused.clone()));
    });
}

#[test]
fn a04_credentials_that_run_out() {
    let number = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&number);
    let auth = Auth::asked(Callback::new(move |_| {
        Ok(Credentials::Token(format!("token {}", counter.fetch_add(1, Ordering::Relaxed)).into()))
    }));
    let ends = [
        ("User Authentication Expired", Some(ServerError::AuthenticationExpired)),
        ("User Authentication Revoked", Some(ServerError::AuthenticationRevoked)),
        ("Account Authentication Expired", Some(ServerError::AccountAuthenticationExpired)),
        ("", None),
    ];
    for (words, error) in ends {
        Case::new("A04").with(|options| options.auth = auth.clone()).play(|peer| {
            number.store(0, Ordering::Relaxed);
            assert_eq!(peer.greet()["auth_token"], json!("token 0"));
            peer.add_publisher();
            let published = peer.publish(1);
            match &error {
                Some(error) => {
                    peer.say(format!("-ERR '{words}'\r\n"));
                    assert_eq!(peer.lost(), LinkError::Refused(error.clone()));
                }
                None => assert_eq!(peer.hang_up(), LinkError::Closed { hint: None }),
            }
            assert!(!peer.is_settled(1), "nobody knows yet");
            assert_eq!(peer.greet()["auth_token"], json!("token 1"), "asked anew");
            let again = peer.published();
            assert_eq!(again.headers, published.headers);
            peer.ack(&again, 7);
            assert_eq!(peer.outcome(1), Outcome::Stored { seq: 7 });
        });
    }
}

#[test]
fn a06_credentials_in_urls() {
    let user = |user: &str, password: &str| UserInfo::UserPassword { user: user.into(), password: password.into() };
    let cases = [
        ("nats://u:p%40ss@h", user("u", "p@ss"), json!(["u", "p@ss", null])),
        ("nats://u:p@ss:w@h", user("u", "p@ss:w"), json!(["u", "p@ss:w", null])),
        ("nats://a%3Ab:%25%2f%20@h", user("a:b", "%/ "), json!(["a:b", "%/ ", null])),
        ("nats://t%40ken@h", UserInfo::Token("t@ken".into()), json!([null, null, "t@ken"])),
        ("nats://u:%22%0d%0aPUB%20x%200@h", user("u", "\"\r\nPUB x 0"), json!(["u", "\"\r\nPUB x 0", null])),
    ];
    for (text, user_info, said) in cases {
        let url = ServerUrl::parse(text).expect(text);
        assert_eq!(url.user_info.as_ref(), Some(&user_info), "{text}");
        assert_eq!(url.addr.to_string(), "nats://h:4222");
        Case::new("A06").with(|options| options.auth = user_info.clone().into()).play(|peer| {
            let connect = peer.greet();
            assert_eq!(json!([connect["user"], connect["pass"], connect["auth_token"]]), said);
        });
    }
}

#[test]
fn a08_what_connect_says() {
    let user = Operator::new().user("user");
    let (_, seed) = nkey_user();
    let always = [
        "verbose",
        "pedantic",
        "protocol",
        "headers",
        "no_responders",
        "lang",
        "version",
        "echo",
        "tls_required",
        "name",
    ];
    let auths = [
        (Auth::None, vec![]),
        (Auth::Token("t".into()), vec!["auth_token"]),
        (Auth::UserPassword { user: "u".into(), password: "p".into() }, vec!["user", "pass"]),
        (Auth::asked(Nkey::new(Secret::from(seed))), vec!["nkey", "sig"]),
        (Auth::asked(Jwt::new(Secret::from(user.jwt()), Secret::from(user.seed()))), vec!["jwt", "sig"]),
        (Auth::asked(Jwt::bearer(Secret::from(user.jwt()))), vec!["jwt"]),
    ];
    for (auth, more) in auths {
        let case = Case::new("A08").coarse().with(|options| {
            options.auth = auth.clone();
            options.name = Some("a \"name\"\r\nPUB x 0".into());
        });
        case.play(|peer| {
            let Value::Object(connect) = peer.greet_with(&asking()) else { panic!("CONNECT is an object") };
            let mut said: Vec<&str> = connect.keys().map(String::as_str).collect();
            let mut expected = [always.to_vec(), more.clone()].concat();
            said.sort_unstable();
            expected.sort_unstable();
            assert_eq!(said, expected);
            assert_eq!(connect["name"], json!("a \"name\"\r\nPUB x 0"));
            peer.hang_up();
            peer.greet_with(&asking());
        });
    }
}
