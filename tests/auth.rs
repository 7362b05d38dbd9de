//! Every way to log in against real servers: who is let in, who is refused and in which words, and what happens to a
//! connection whose user goes away and comes back.
#![cfg(feature = "nkeys")]

mod support;

use std::fs;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use natsink::Client;
use natsink::connection::{
    Auth, AuthError, CloseReason, ConnectionOptions, Credentials, LinkError, Secret, ServerList,
};
use natsink::credentials::{Callback, CredsFile, Jwt, Nkey};
use natsink::jetstream::{Message, PublisherOptions};
use natsink::proto::{MsgId, ServerError, Subject};
use natsink::session::{LinkNotice, LinkState};
use serde_json::json;
use support::{Operator, Raw, Server, ServerOptions, jwt};
use tokio::time::timeout;

/// Long enough for anything that ends at all.
const DEADLINE: Duration = Duration::from_secs(60);
/// Within this a refusal is known.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Between two looks at something that will change.
const LOOK: Duration = Duration::from_millis(1);

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("done within the deadline")
}

async fn until(done: impl Fn() -> bool) {
    within(async {
        while !done() {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
}

async fn login(server: &Server, auth: Auth) -> Result<Client, CloseReason> {
    let url = format!("nats://{}", server.address());
    let mut options = ConnectionOptions::new(ServerList::parse(&url).expect("a URL").servers);
    options.auth = auth;
    within(Client::connect(options)).await
}

async fn is_let_in(server: &Server, auth: Auth) {
    let client = login(server, auth).await.expect("let in");
    let subject = Subject::new("$JS.API.INFO").expect("a subject");
    within(client.request(subject, b"", DEADLINE)).await.expect("an answer");
}

/// Refused at once, in the server's own words.
async fn is_refused(server: &Server, auth: Auth) {
    let (before, shown) = (Instant::now(), format!("{auth:?}"));
    let reason = login(server, auth).await.expect_err(&shown);
    assert!(before.elapsed() < AT_ONCE, "{shown}: {:?}", before.elapsed());
    let violation = LinkError::Refused(ServerError::AuthorizationViolation);
    assert_eq!(reason, CloseReason::AuthRefused(violation), "{shown}");
    assert!(reason.to_string().contains("Authorization Violation"), "{reason}");
}

/// Told at once that there are no credentials to show, and why.
async fn has_none(server: &Server, auth: Auth) -> AuthError {
    let before = Instant::now();
    let reason = login(server, auth).await.expect_err("nothing to show");
    assert!(before.elapsed() < AT_ONCE, "{:?}", before.elapsed());
    match reason {
        CloseReason::AuthRefused(LinkError::Credentials(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn user(user: &str, password: &str) -> Auth {
    Auth::UserPassword { user: user.into(), password: password.into() }
}

#[tokio::test]
async fn tokens_and_passwords() {
    let by_token = Server::start(ServerOptions::with_token("t0k@n:/?"));
    is_let_in(&by_token, Auth::Token("t0k@n:/?".into())).await;
    let by_user = Server::start(ServerOptions::with_user("ann", "p@ss:wo/rd"));
    is_let_in(&by_user, user("ann", "p@ss:wo/rd")).await;
    let wrong = [Auth::None, Auth::Token("t0k@n:/".into()), Auth::Token("".into()), user("ann", "t0k@n:/?")];
    for auth in wrong {
        is_refused(&by_token, auth).await;
    }
    let wrong = [
        Auth::None,
        user("ann", "p@ss:wo/r"),
        user("ann", ""),
        user("Ann", "p@ss:wo/rd"),
        Auth::Token("p@ss:wo/rd".into()),
    ];
    for auth in wrong {
        is_refused(&by_user, auth).await;
    }
}

#[tokio::test]
async fn credentials_in_the_url() {
    let by_token = Server::start(ServerOptions::with_token("t0k@n:/?"));
    let by_user = Server::start(ServerOptions::with_user("ann", "p@ss:wo/rd"));
    for (server, words, is_good) in [
        (&by_token, "t0k%40n%3A%2f%3f", true),
        (&by_token, "t0k@n%3A%2f%3f", true),
        (&by_token, "t0k%40n", false),
        (&by_user, "ann:p%40ss%3Awo%2Frd", true),
        (&by_user, "ann:p@ss:wo%2Frd", true),
        (&by_user, "%61nn:p@ss:wo%2Frd", true),
        (&by_user, "ann:p%2540ss%3Awo%2Frd", false),
        (&by_user, "ann:wrong", false),
    ] {
        let url = format!("nats://{words}@{}", server.address());
        match within(natsink::connect(&url)).await {
            Ok(_) => assert!(is_good, "{words}"),
            Err(reason) => {
                assert!(!is_good && matches!(reason, CloseReason::AuthRefused(LinkError::Refused(_))), "{words}");
            }
        }
    }
}

#[tokio::test]
async fn nkeys() {
    let (public, seed) = jwt::nkey_user();
    let config = format!("authorization {{ users: [ {{ nkey: {public} }} ] }}");
    let server = Server::start(ServerOptions { config, ..ServerOptions::default() });
    let file = server.write("ann.nk", &format!("{seed}\n"));
    is_let_in(&server, Auth::asked(Nkey::new(Secret::from(seed.as_str())))).await;
    is_let_in(&server, Auth::asked(Nkey::new(file.as_path()))).await;
    let (_, stranger) = jwt::nkey_user();
    is_refused(&server, Auth::asked(Nkey::new(Secret::from(stranger.as_str())))).await;
    is_refused(&server, Auth::None).await;
    fs::write(&file, "no seed").expect("a file of ours");
    let error = has_none(&server, Auth::asked(Nkey::new(file.as_path()))).await;
    assert!(matches!(error, AuthError::Malformed { .. }), "{error}");
    let open = Server::start(ServerOptions::default());
    let error = has_none(&open, Auth::asked(Nkey::new(Secret::from(seed.as_str())))).await;
    assert_eq!(error, AuthError::NoNonce);
}

#[tokio::test]
async fn jwts() {
    let operator = Operator::new();
    let server = Server::start(ServerOptions::with_operator(&operator));
    let ann = operator.user("ann");
    let creds = server.write("ann.creds", &ann.creds());
    let secrets = |jwt: &str, seed: String| Auth::asked(Jwt::new(Secret::from(jwt), Secret::from(seed.as_str())));
    is_let_in(&server, Auth::asked(CredsFile::new(&creds))).await;
    is_let_in(&server, secrets(ann.jwt(), ann.seed())).await;
    let bearer = operator.user_with("bearer", json!({ "bearer_token": true }));
    is_let_in(&server, Auth::asked(Jwt::bearer(Secret::from(bearer.jwt())))).await;
    let (stranger, expired) = (Operator::new().user("ann"), operator.user_expired("ann"));
    is_refused(&server, secrets(stranger.jwt(), stranger.seed())).await;
    is_refused(&server, secrets(expired.jwt(), expired.seed())).await;
    is_refused(&server, secrets(ann.jwt(), bearer.seed())).await;
    is_refused(&server, Auth::asked(Jwt::bearer(Secret::from(ann.jwt())))).await;
    is_refused(&server, Auth::None).await;
    fs::remove_file(&creds).expect("a file of ours");
    let error = has_none(&server, Auth::asked(CredsFile::new(&creds))).await;
    assert!(matches!(&error, AuthError::Unreadable { what, .. } if what.ends_with("ann.creds")), "{error}");
}

#[tokio::test]
async fn callbacks() {
    let server = Server::start(ServerOptions::with_user("ann", "secret"));
    let answering = |password: &'static str| {
        Auth::asked(Callback::new(move |challenge| {
            assert!(!challenge.is_secure && challenge.server.host == "127.0.0.1");
            Ok(Credentials::UserPassword { user: "ann".into(), password: password.into() })
        }))
    };
    is_let_in(&server, answering("secret")).await;
    is_refused(&server, answering("wrong")).await;
    let sealed = Auth::asked(Callback::new(|_| Err(AuthError::Failed("the vault is sealed".into()))));
    assert_eq!(has_none(&server, sealed).await, AuthError::Failed("the vault is sealed".into()));
    let panicking = Auth::asked(Callback::new(|_| panic!("a bug of the caller's")));
    assert!(matches!(has_none(&server, panicking).await, AuthError::Failed(_)));
}

#[tokio::test]
async fn a_callback_that_hangs_is_not_asked_twice_at_a_time() {
    let server = Server::start(ServerOptions::with_user("ann", "secret"));
    let (release, released) = mpsc::channel::<()>();
    let (asked, released) = (Arc::new(AtomicUsize::new(0)), Mutex::new(released));
    let counted = Arc::clone(&asked);
    let auth = Auth::asked(Callback::new(move |_| {
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            let _ = released.lock().expect("nobody panics").recv();
        }
        Ok(Credentials::UserPassword { user: "ann".into(), password: "secret".into() })
    }));
    let url = format!("nats://{}", server.address());
    let mut options = ConnectionOptions::new(ServerList::parse(&url).expect("a URL").servers);
    (options.auth, options.retry_at_start) = (auth, true);
    options.connect_timeout = Duration::from_millis(100);
    options.backoff.max = Duration::from_millis(100);
    let client = Client::start(options).expect("entropy");
    until(|| client.statistics().dials_failed >= 5).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    drop(release);
    until(|| client.link_state() == LinkState::Up).await;
}

/// Publishes `count` messages with ids from `from` on.
async fn feed(publisher: &natsink::Publisher, from: u32, count: u32) {
    for number in from..from + count {
        let id = format!("id-{number}");
        let subject = Subject::new("orders.new").expect("a subject");
        let message = Message::new(subject, b"{}").id(MsgId::new(&id).expect("an id"));
        drop(within(publisher.publish(&message)).await.expect("a message that can be stored"));
    }
}

/// A client of the stream ORDERS, with a publisher that has settled `count` messages.
async fn publishing(server: &Server, auth: Auth, count: u32) -> (Client, natsink::Publisher) {
    let client = login(server, auth).await.expect("let in");
    let publisher = client.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
    feed(&publisher, 0, count).await;
    within(publisher.settled()).await;
    (client, publisher)
}

#[tokio::test]
async fn a_user_removed_and_restored_loses_nothing() {
    const ADMIN: &str = "{ user: admin, password: p }";
    let users = |ann: &str| format!("authorization {{ users: [ {ADMIN}, {ann} ] }}");
    let (with_ann, without) = (users("{ user: ann, password: secret }"), users("{ user: bob, password: p }"));
    let options = ServerOptions { config: with_ann.clone(), credentials: Some("admin:p".into()), ..Default::default() };
    let mut server = Server::start(options);
    Raw::connect(&server.url()).create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    let (client, publisher) = publishing(&server, user("ann", "secret"), 1_000).await;
    server.reload(&without);
    until(|| client.link_state() != LinkState::Up).await;
    feed(&publisher, 1_000, 1_000).await;
    until(|| {
        let refused = LinkNotice::DialFailed(LinkError::Refused(ServerError::AuthorizationViolation));
        client.link_notices().any(|notice| notice == refused)
    })
    .await;
    server.reload(&with_ann);
    within(publisher.settled()).await;
    assert_eq!(publisher.statistics().stored, 2_000);
    assert_eq!(Raw::connect(&server.url()).stream_messages("ORDERS"), 2_000);
}

#[tokio::test]
async fn a_jwt_that_expires_is_read_again_with_the_next_link() {
    let operator = Operator::new();
    let server = Server::start(ServerOptions::with_operator(&operator));
    let admin = operator.user("admin");
    Raw::connect_user(&server.address(), &admin).create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    let ann = operator.user_for("ann", Duration::from_secs(3));
    let creds = server.write("ann.creds", &ann.creds());
    let (client, publisher) = publishing(&server, Auth::asked(CredsFile::new(&creds)), 100).await;
    fs::write(&creds, operator.renewed(&ann, None).creds()).expect("a file of ours");
    until(|| client.statistics().connects == 2).await;
    let lost: Vec<_> = client.link_notices().filter(|notice| matches!(notice, LinkNotice::Lost(_))).collect();
    assert_eq!(lost, [LinkNotice::Lost(LinkError::Refused(ServerError::AuthenticationExpired))]);
    feed(&publisher, 100, 100).await;
    within(publisher.settled()).await;
    assert_eq!(Raw::connect_user(&server.address(), &admin).stream_messages("ORDERS"), 200);
}

#[tokio::test]
async fn a_revoked_user_is_told_so_and_pardoned() {
    let mut operator = Operator::new();
    let mut server = Server::start(ServerOptions::with_operator(&operator));
    let (admin, ann) = (operator.user("admin"), operator.user("ann"));
    Raw::connect_user(&server.address(), &admin).create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    let creds = server.write("ann.creds", &ann.creds());
    let (client, publisher) = publishing(&server, Auth::asked(CredsFile::new(&creds)), 100).await;
    operator.revoke(&ann);
    server.reload(&operator.config());
    until(|| client.link_state() != LinkState::Up).await;
    feed(&publisher, 100, 100).await;
    operator.pardon();
    server.reload(&operator.config());
    within(publisher.settled()).await;
    assert_eq!(Raw::connect_user(&server.address(), &admin).stream_messages("ORDERS"), 200);
}
