//! Credentials from files and closures: what they answer, that they are read anew, and what each bad one is called.
#![cfg(feature = "nkeys")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64URL_NOPAD;
use natsink::connection::{
    Auth, AuthError, Authenticator, CREDS_LEN_MAX, Challenge, Credentials, Secret, ServerAddr, UserInfo,
};
use natsink::credentials::{Callback, CredsFile, Held, Jwt, Nkey};
use nkeys::KeyPair;

const JWT: &str = "eyJ0.eyJjYW5hcnkiOjF9.c2ln";
const NONCE: &str = "PXoWU7zWAMt75FY";

fn answer(who: &dyn Authenticator, nonce: Option<&str>) -> Result<Credentials, AuthError> {
    let server = ServerAddr { host: "h".into(), port: 4222, tls: false };
    who.answer(&Challenge::new(nonce, &server, false))
}

fn creds(jwt: &str, seed: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

fn seed(pair: &KeyPair) -> String {
    pair.seed().expect("a new key has a seed")
}

/// Whether `signature` is base64url without padding of what this key signs NONCE with.
fn is_of(pair: &KeyPair, signature: &str) -> bool {
    let bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64url without padding");
    pair.verify(NONCE.as_bytes(), &bytes).is_ok()
}

#[test]
fn a_creds_file_is_read_anew_for_each_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("user.creds");
    let who = CredsFile::new(&path);
    for jwt in [JWT, "eyJ0.cm90YXRlZA.c2ln"] {
        let pair = KeyPair::new_user();
        fs::write(&path, creds(jwt, &seed(&pair))).expect("a file");
        match answer(&who, Some(NONCE)).expect("an answer") {
            Credentials::Jwt { jwt: found, signature: Some(signature) } => {
                assert_eq!(found.expose(), jwt);
                assert!(is_of(&pair, &signature), "{signature}");
            }
            other => panic!("{other:?}"),
        }
    }
    fs::remove_file(&path).expect("the file is there");
    let error = answer(&who, Some(NONCE)).expect_err("no file");
    assert!(matches!(&error, AuthError::Unreadable { what, .. } if *what == path.display().to_string()), "{error}");
}

#[test]
fn an_nkey_answers_with_its_public_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("user.nk");
    let pair = KeyPair::new_user();
    fs::write(&path, seed(&pair) + "\r\n").expect("a file");
    for who in [Nkey::new(path.as_path()), Nkey::new(Secret::from(seed(&pair)))] {
        match answer(&who, Some(NONCE)).expect("an answer") {
            Credentials::Nkey { public, signature } => {
                assert_eq!(public, pair.public_key());
                assert!(is_of(&pair, &signature), "{signature}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn jwt_and_seed_may_be_kept_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (jwt, nk) = (folder.path().join("user.jwt"), folder.path().join("user.nk"));
    let pair = KeyPair::new_user();
    fs::write(&jwt, JWT).expect("a file");
    fs::write(&nk, seed(&pair)).expect("a file");
    for who in [Jwt::new(jwt.clone(), nk.clone()), Jwt::new(Secret::from(JWT), Secret::from(seed(&pair)))] {
        match answer(&who, Some(NONCE)).expect("an answer") {
            Credentials::Jwt { jwt, signature: Some(signature) } => {
                assert!(jwt.expose() == JWT && is_of(&pair, &signature), "{signature}");
            }
            other => panic!("{other:?}"),
        }
    }
    let bearer = Credentials::Jwt { jwt: JWT.into(), signature: None };
    for nonce in [None, Some(NONCE)] {
        assert_eq!(answer(&Jwt::bearer(jwt.clone()), nonce), Ok(bearer.clone()));
    }
}

#[test]
fn what_must_be_signed_and_is_not_asked_for_is_told_before_anything_is_read() {
    let who: [&dyn Authenticator; 3] =
        [&CredsFile::new("/absent"), &Nkey::new("/absent"), &Jwt::new("/absent", "/absent")];
    for who in who {
        assert_eq!(answer(who, None), Err(AuthError::NoNonce));
    }
}

#[test]
fn a_callback_is_asked_each_time_and_may_fail() {
    let asked = AtomicUsize::new(0);
    let who = Callback::new(|challenge| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(Credentials::Token(format!("{}:{:?}", challenge.server, challenge.nonce).into())),
        _ => Err(AuthError::Failed("the vault is sealed".into())),
    });
    let token = Credentials::Token("nats://h:4222:Some(\"n\")".into());
    assert_eq!(answer(&who, Some("n")), Ok(token));
    assert_eq!(answer(&who, None).expect_err("a failure").to_string(), "the vault is sealed");
}

#[test]
fn each_bad_file_is_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad");
    let good = seed(&KeyPair::new_user());
    let flipped = if good.ends_with('A') { good[..57].to_owned() + "B" } else { good[..57].to_owned() + "A" };
    let account = seed(&KeyPair::new_account());
    let cases = [
        (creds(JWT, &good).replace("END NATS", "CANARY"), "cut off"),
        (creds(JWT, &flipped), "the seed is damaged"),
        (creds(JWT, &good[..56]), "58 characters"),
        (creds(JWT, &(good.clone() + "A")), "58 characters"),
        (creds(JWT, &account), "not that of a user"),
        (good.clone(), "no JWT in it"),
        (creds(JWT, "").replace("USER NKEY", "CANARY"), "no seed in it"),
        ("x".repeat(CREDS_LEN_MAX + 1), "more than 1 MiB"),
    ];
    let told = |who: &dyn Authenticator, words: &str| {
        let error = answer(who, Some(NONCE)).expect_err(words);
        assert!(matches!(error, AuthError::Malformed { .. }), "{error:?}");
        let (shown, name) = (format!("{error} {error:?}"), path.display().to_string());
        assert!(error.to_string().starts_with(&format!("{name}: ")) && shown.contains(words), "{shown}");
        assert!(!shown.contains("CANARY") && !shown.contains(&good[..20]) && !shown.contains("eyJ"), "{shown}");
    };
    for (text, words) in cases {
        fs::write(&path, text).expect("a file");
        told(&CredsFile::new(&path), words);
    }
    for (text, words) in [(flipped.as_str(), "damaged"), (&account, "not that of a user"), ("CANARY", "no seed in it")]
    {
        fs::write(&path, text).expect("a file");
        told(&Nkey::new(path.as_path()), words);
        told(&Jwt::new(Secret::from(JWT), path.as_path()), words);
    }
    let error = answer(&Nkey::new(Secret::from(flipped)), Some(NONCE)).expect_err("a wrong checksum");
    assert!(error.to_string().starts_with("the seed: the seed is damaged"), "{error}");
    fs::write(&path, creds(JWT, &good)).expect("a file");
    told(&Nkey::new(path.as_path()), "this is a credentials file");
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_again_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in [folder.path(), Path::new("/dev/null")] {
        let error = answer(&CredsFile::new(path), Some(NONCE)).expect_err("no file");
        assert!(error.to_string().ends_with("not a file that can be read again for each connection"), "{error}");
    }
}

#[test]
fn secrets_do_not_show() {
    let pair = KeyPair::new_user();
    let held = Held::from(Secret::from(seed(&pair)));
    let auth = Auth::asked(Jwt::new(Secret::from(JWT), held.clone()));
    let callback = Callback::new(|_| Ok(Credentials::Token(JWT.into())));
    let user = Auth::from(UserInfo::Token(JWT.into()));
    let shown = format!("{auth:?} {held:?} {:?} {callback:?} {user:?}", Nkey::new(held.clone()));
    assert!(!shown.contains(&seed(&pair)) && !shown.contains("eyJ"), "{shown}");
    assert!(format!("{:?}", CredsFile::new("/etc/user.creds")).contains("/etc/user.creds"));
}
