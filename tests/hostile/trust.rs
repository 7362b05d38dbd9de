//! I07–I14: what is believed of a greeting where TLS is demanded, or something is to be signed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use natsink::connection::{Auth, AuthError, CloseReason, Credentials, LinkError, Secret};
use natsink::credentials::{Callback, Jwt, Nkey};
use natsink::proto::{InfoError, NONCE_LEN_MAX};
use serde_json::json;

use super::case::Case;
use super::greeting::{info, is_refused, only_port};
use super::peer::INFO;
use super::support::jwt::nkey_user;

#[test]
fn i07_servers_told_of_in_clear() {
    let told = info(&json!({ "connect_urls": ["127.0.0.3:1"] }));
    Case::new("I07").upgrading().play(|peer| {
        peer.greet_with(&told);
        peer.hang_up();
        assert_eq!(only_port(&peer.dials(8)).len(), 1, "anybody could have written that");
    });
    // The same under TLS is believed.
    Case::new("I07").upgrading().play(|peer| {
        peer.greet();
        peer.say(format!("INFO {told}\r\n"));
        peer.fence();
        peer.hang_up();
        if peer.is_in_memory() {
            assert_eq!(peer.dials(8).len(), 2);
        }
    });
}

#[test]
fn i08_other_servers_under_the_same_demands() {
    Case::new("I08").upgrading().play(|peer| {
        let told = info(&json!({ "connect_urls": ["10.0.0.9:1", "other.example:1"] }));
        peer.greet();
        peer.say(format!("INFO {told}\r\n"));
        peer.fence();
        peer.hang_up();
        let mut names = BTreeSet::new();
        for _ in 0..12 {
            peer.accept();
            let dialled = peer.stage.dialled();
            if dialled.host != "localhost" {
                assert!(dialled.tls, "one demand holds for all");
            }
            peer.say(format!("INFO {INFO}\r\n"));
            names.insert((dialled.host, peer.stage.secure().expect("seen in memory")));
            peer.hang_up();
        }
        let expected = [
            // A bare address is checked against the name that was dialled.
            ("10.0.0.9", "localhost"),
            ("localhost", "localhost"),
            ("other.example", "other.example"),
        ];
        assert_eq!(names, expected.map(|(host, name)| (host.to_owned(), name.to_owned())).into());
        // And one that offers no TLS is not spoken to.
        peer.accept();
        peer.say(format!("INFO {}\r\n", info(&json!({"tls_available": false}))));
        assert_eq!(peer.said_until_lost(), b"");
        assert_eq!(peer.reason(), LinkError::TlsUnavailable);
    });
}

#[test]
fn i09_a_server_without_tls_where_it_is_demanded() {
    Case::new("I09").upgrading().play(|peer| {
        // After a link that was good: at the start it would be final.
        peer.greet();
        peer.hang_up();
        for offer in [json!({"tls_required": false, "tls_available": false}), json!({"tls_available": null})] {
            peer.accept();
            peer.say(format!("INFO {}\r\n", info(&offer)));
            assert_eq!(peer.said_until_lost(), b"", "no CONNECT in clear");
            assert_eq!(peer.reason(), LinkError::TlsUnavailable);
        }
    });
    Case::new("I09").upgrading().play(|peer| {
        peer.accept();
        peer.say(format!("INFO {}\r\n", info(&json!({"tls_available": false}))));
        assert_eq!(peer.closed(), CloseReason::Incompatible(LinkError::TlsUnavailable));
    });
}

#[test]
fn i10_a_server_with_tls_for_those_who_want_it() {
    let offer = info(&json!({"tls_required": false, "tls_available": true}));
    Case::new("I10").upgrading().play(|peer| {
        assert_eq!(peer.greet_with(&offer)["tls_required"], json!(true));
    });
}

#[test]
fn i11_names_that_a_server_gives_itself() {
    let told =
        info(&json!({"host": "evil.example", "ip": "10.9.9.9", "server_name": "evil.example", "tls_required": true}));
    Case::new("I11").upgrading().play(|peer| {
        peer.accept();
        peer.say(format!("INFO {told}\r\n"));
        assert_eq!(peer.stage.secure().as_deref(), Some("localhost"));
        peer.connect();
        peer.close();
    });
}

#[test]
fn i12_nothing_to_sign() {
    let (_, seed) = nkey_user();
    let seed = Secret::from(seed);
    for auth in [Auth::asked(Nkey::new(seed.clone())), Auth::asked(Jwt::new(Secret::from("a.b.c"), seed))] {
        for nonce in [json!(null), json!("")] {
            Case::new("I12").coarse().with(|options| options.auth = auth.clone()).play(|peer| {
                peer.accept();
                peer.say(format!("INFO {}\r\n", info(&json!({ "nonce": nonce }))));
                assert_eq!(peer.said_until_lost(), b"", "no CONNECT without a signature");
                assert_eq!(peer.reason(), LinkError::Credentials(AuthError::NoNonce));
                peer.greet_with(&info(&json!({ "nonce": "y7Md0mA0d62U9ng" })));
            });
        }
    }
}

#[test]
fn i13_odd_things_to_sign() {
    is_refused(
        "I13",
        &info(&json!({ "nonce": "n".repeat(NONCE_LEN_MAX + 1) })),
        &LinkError::Info(InfoError::Field("nonce")),
    );
    is_refused("I13", &info(&json!({ "nonce": "n".repeat(1_000_000) })), &LinkError::Info(InfoError::Field("nonce")));
    let (public, seed) = nkey_user();
    let key = nkeys::KeyPair::from_public_key(&public).expect("a public key");
    let auth = Auth::asked(Nkey::new(Secret::from(seed)));
    let longest = "n".repeat(NONCE_LEN_MAX);
    for (written, nonce) in [
        (r#"a\u0062\"\\\/\n"#, "ab\"\\/\n"),
        ("\u{fc}\u{1f600}", "\u{fc}\u{1f600}"),
        (longest.as_str(), longest.as_str()),
    ] {
        // Signatures take long in a debug build.
        let case = Case::new("I13").coarse().with(|options| options.auth = auth.clone());
        case.play(|peer| {
            let connect = peer.greet_with(&INFO.replacen('{', &format!("{{\"nonce\":\"{written}\","), 1));
            assert_eq!(connect["nkey"], json!(public));
            let signature = connect["sig"].as_str().expect("a signature");
            let signature = data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64url");
            key.verify(nonce.as_bytes(), &signature).expect("what was decoded is what is signed");
            peer.hang_up();
            peer.greet_with(&info(&json!({"nonce": "n"})));
        });
    }
}

#[test]
fn i14_one_signature_for_each_link() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let auth = Auth::asked(Callback::new(move |challenge| {
        counter.fetch_add(1, Ordering::Relaxed);
        assert_eq!(challenge.nonce, Some("first"));
        Ok(Credentials::Token("t".into()))
    }));
    Case::new("I14").with(|options| options.auth = auth.clone()).play(|peer| {
        asked.store(0, Ordering::Relaxed);
        for links in 1..3 {
            peer.greet_with(&info(&json!({"nonce": "first"})));
            for nonce in ["second", "third"] {
                peer.say(format!("INFO {}\r\n", info(&json!({ "nonce": nonce }))));
            }
            peer.fence();
            assert_eq!(asked.load(Ordering::Relaxed), links);
            if links == 1 {
                peer.hang_up();
            }
        }
    });
}
