//! The library's publisher against real servers: what it promises, under what can happen.

mod support;

use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use natsink::connection::{CloseReason, ConnectionOptions, LinkError, ServerList};
use natsink::jetstream::{Message, Outcome, PublisherError, PublisherOptions, Rejection, StreamProblem, SubmitError};
use natsink::proto::{MsgId, ServerError, Subject};
use natsink::session::LinkState;
use natsink::{Ack, Client, Publisher};
use serde_json::json;
use support::proxy::Rules;
use support::{Direction, Proxy, Raw, Server, ServerOptions, reader};
use tokio::time::timeout;

/// Long enough for anything that ends at all.
const DEADLINE: Duration = Duration::from_secs(60);

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("done within the deadline")
}

fn orders(server: &Server) -> Raw {
    let mut raw = Raw::connect(&server.url());
    raw.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    raw
}

async fn publisher(url: &str) -> (Client, Publisher) {
    let client = within(natsink::connect(url)).await.expect("a server");
    let publisher = client.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
    (client, publisher)
}

async fn publish(publisher: &Publisher, id: &str, payload: &str) -> Ack {
    publish_to(publisher, "orders.new", id, payload).await.expect("a message that can be stored")
}

async fn publish_to(publisher: &Publisher, subject: &str, id: &str, payload: &str) -> Result<Ack, SubmitError> {
    let message = Message::new(Subject::new(subject).expect("a subject"), payload).id(MsgId::new(id).expect("an id"));
    within(publisher.publish(&message)).await
}

/// Publishes lines `from..to`, each with its own id, and returns once all are in the window or settled.
async fn feed(publisher: &Publisher, from: u32, to: u32) {
    for number in from..to {
        drop(publish(publisher, &format!("id-{number}"), &line(number)).await);
    }
}

fn line(number: u32) -> String {
    format!("{{\"order\":{number:08},\"text\":\"{}\"}}", "x".repeat(90))
}

fn lines(count: u32) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text: String = (0..count).map(|number| line(number) + "\n").collect();
    file.write_all(text.as_bytes()).expect("a file of ours");
    file
}

/// All lines are stored, each sent once, over the one connection.
fn undisturbed(server: &Server, client: &Client, publisher: &Publisher, count: u32) {
    let statistics = publisher.statistics();
    let found = [statistics.stored, statistics.replayed, statistics.anomalies, statistics.inversions];
    assert_eq!(found, [u64::from(count), 0, 0, 0]);
    assert_eq!(client.statistics().connects, 1);
    assert!(reader::verdict(&server.url(), "ORDERS", lines(count).path()).is_exact());
}

#[tokio::test]
async fn outcomes_tell_the_truth() {
    let server = Server::start(ServerOptions::default());
    let mut raw = orders(&server);
    let (_client, publisher) = publisher(&server.url()).await;
    let first = within(publish(&publisher, "a", "one").await).await;
    assert_eq!(first, Outcome::Stored { seq: 1 });
    // The same id, subject and payload: read back and found equal.
    let again = within(publish(&publisher, "a", "one").await).await;
    assert_eq!(again, Outcome::Duplicate { seq: 1, verified: true });
    // One id for two payloads, or two subjects, is a collision, not a duplicate.
    let other = within(publish(&publisher, "a", "two").await).await;
    assert_eq!(other, Outcome::Rejected(Rejection::IdCollision { seq: 1 }));
    let moved = within(publish_to(&publisher, "orders.old", "a", "one").await.unwrap()).await;
    assert_eq!(moved, Outcome::Rejected(Rejection::IdCollision { seq: 1 }));
    // A message that is gone cannot be compared.
    raw.api("STREAM.PURGE.ORDERS", &json!({}));
    let gone = within(publish(&publisher, "a", "one").await).await;
    assert_eq!(gone, Outcome::Duplicate { seq: 1, verified: false });
    let second = within(publish(&publisher, "b", "three").await).await;
    assert_eq!(second, Outcome::Stored { seq: 2 });
    let stored = raw.stored("ORDERS");
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0].seq, stored[0].id(), &stored[0].payload[..]), (2, Some("b"), &b"three"[..]));
}

#[tokio::test]
async fn a_stream_that_stores_under_other_subjects_holds_no_collisions() {
    let server = Server::start(ServerOptions::default());
    let mut raw = Raw::connect(&server.url());
    let transform = json!({"src": "orders.>", "dest": "moved.>"});
    raw.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"], "subject_transform": transform}));
    let (_client, publisher) = publisher(&server.url()).await;
    assert_eq!(within(publish(&publisher, "a", "one").await).await, Outcome::Stored { seq: 1 });
    assert_eq!(raw.stored("ORDERS")[0].subject, "moved.new");
    let again = within(publish(&publisher, "a", "one").await).await;
    assert_eq!(again, Outcome::Duplicate { seq: 1, verified: true });
    let other = within(publish(&publisher, "a", "two").await).await;
    assert_eq!(other, Outcome::Rejected(Rejection::IdCollision { seq: 1 }));
}

#[tokio::test]
async fn messages_without_an_id_get_one_of_their_own() {
    let server = Server::start(ServerOptions::default());
    let mut raw = orders(&server);
    let (client, publisher) = publisher(&server.url()).await;
    for _ in 0..2 {
        let ack = within(publisher.publish(&Message::new(Subject::new("orders.x").unwrap(), b"same"))).await.unwrap();
        assert!(matches!(within(ack).await, Outcome::Stored { .. }));
    }
    let ids: Vec<String> = raw.stored("ORDERS").iter().map(|stored| stored.id().unwrap().to_owned()).collect();
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|id| id.starts_with(&client.run_id())), "{ids:?}");
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_before_it_is_sent() {
    let server = Server::start(ServerOptions { max_payload: Some(4096), ..ServerOptions::default() });
    let mut raw = orders(&server);
    let (_client, publisher) = publisher(&server.url()).await;
    within(publisher.verified()).await.unwrap();
    let large = "x".repeat(5000);
    let refused = publish_to(&publisher, "orders.x", "a", &large).await.unwrap_err();
    assert!(
        matches!(refused, SubmitError::Rejected(Rejection::TooLarge { size, max: 4096 }) if size > 5000),
        "{refused}"
    );
    let refused = publish_to(&publisher, "invoices.x", "a", "x").await.unwrap_err();
    assert!(matches!(refused, SubmitError::Rejected(Rejection::NotCaptured { .. })), "{refused}");
    assert!(matches!(within(publish(&publisher, "b", "fits").await).await, Outcome::Stored { seq: 1 }));
    assert_eq!(raw.stream_messages("ORDERS"), 1);
}

#[tokio::test]
async fn a_stream_that_was_mended_takes_what_it_did_not_take_on_the_same_link() {
    let server = Server::start(ServerOptions::default());
    let mut raw = orders(&server);
    let (client, publisher) = publisher(&server.url()).await;
    within(publisher.verified()).await.unwrap();
    let refused = publish_to(&publisher, "invoices.x", "a", "x").await.unwrap_err();
    assert!(matches!(refused, SubmitError::Rejected(Rejection::NotCaptured { .. })), "{refused}");
    let mut config = raw.stream_info("ORDERS")["config"].clone();
    config["subjects"] = json!(["orders.>", "invoices.>"]);
    raw.api("STREAM.UPDATE.ORDERS", &config);
    let taken = async {
        loop {
            match publish_to(&publisher, "invoices.x", "a", "x").await {
                Ok(ack) => break ack.await,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    assert_eq!(within(taken).await, Outcome::Stored { seq: 1 });
    assert_eq!(client.statistics().connects, 1);
}

#[tokio::test]
async fn a_stream_that_cannot_be_used_ends_the_publisher_with_the_reason() {
    let server = Server::start(ServerOptions::default());
    let (client, publisher) = publisher(&server.url()).await;
    let ack = publish(&publisher, "a", "x").await;
    let missing = within(publisher.verified()).await.unwrap_err();
    assert_eq!(missing, PublisherError::Stream(StreamProblem::NotFound { stream: "ORDERS".into() }));
    assert_eq!(within(ack).await, Outcome::Unknown);
    assert!(matches!(publish_to(&publisher, "orders.x", "b", "x").await, Err(SubmitError::Closed(_))));

    orders(&server);
    let mut options = PublisherOptions::stream("ORDERS");
    options.subjects = vec![natsink::proto::Pattern::new("invoices.*").unwrap()];
    let elsewhere = within(client.publisher(options).unwrap().verified()).await.unwrap_err();
    assert!(matches!(elsewhere, PublisherError::Stream(StreamProblem::NotCaptured { .. })), "{elsewhere}");

    let plain = Server::start(ServerOptions { jetstream: false, ..ServerOptions::default() });
    let client = within(natsink::connect(&plain.url())).await.unwrap();
    let lacking = within(client.publisher(PublisherOptions::stream("ORDERS")).unwrap().verified()).await.unwrap_err();
    assert_eq!(lacking, PublisherError::Stream(StreamProblem::NoJetStream { server: true }));
}

#[tokio::test]
async fn refused_credentials_are_reported_in_the_servers_words() {
    let server = Server::start(ServerOptions::with_user("ann", "secret"));
    let url = server.url().replace("secret", "wrong-canary");
    let refused = timeout(Duration::from_secs(1), natsink::connect(&url)).await.expect("within a second").unwrap_err();
    assert_eq!(refused, CloseReason::AuthRefused(LinkError::Refused(ServerError::AuthorizationViolation)));
    assert!(refused.to_string().contains("Authorization Violation"), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("canary"));
}

#[tokio::test]
async fn nothing_listening_is_an_error_that_names_the_place() {
    let address = format!("127.0.0.1:{}", support::server::free_port());
    let failed = within(natsink::connect(&address)).await.unwrap_err();
    assert!(matches!(failed, CloseReason::Unreachable(_)));
    assert!(failed.to_string().contains(&address), "{failed}");
}

#[tokio::test]
async fn a_denied_subject_fails_its_own_messages_and_no_others() {
    let server = Server::start(ServerOptions {
        config: r#"authorization { users: [
            { user: ann, password: secret, permissions: { publish: { deny: "orders.secret" } } }
            { user: root, password: root }
        ] }"#
            .into(),
        credentials: Some("root:root".into()),
        ..ServerOptions::default()
    });
    orders(&server);
    let url = server.url().replace("root:root", "ann:secret");
    let (_client, publisher) = publisher(&url).await;
    let before = publish_to(&publisher, "orders.open", "a", "x").await.unwrap();
    let denied = publish_to(&publisher, "orders.secret", "b", "x").await.unwrap();
    let after = publish_to(&publisher, "orders.open", "c", "x").await.unwrap();
    assert_eq!(within(before).await, Outcome::Stored { seq: 1 });
    let subject = "orders.secret".into();
    assert_eq!(within(denied).await, Outcome::Rejected(Rejection::PermissionDenied { subject }));
    assert_eq!(within(after).await, Outcome::Stored { seq: 2 });
}

#[tokio::test]
async fn a_denied_inbox_ends_the_publisher() {
    let server = Server::start(ServerOptions {
        config: r#"authorization { users: [
            { user: ann, password: secret, permissions: { subscribe: { deny: "_INBOX.>" } } }
        ] }"#
            .into(),
        credentials: Some("ann:secret".into()),
        ..ServerOptions::default()
    });
    let (_client, publisher) = publisher(&server.url()).await;
    let denied = within(publisher.verified()).await.unwrap_err();
    assert!(matches!(denied, PublisherError::InboxDenied { .. }), "{denied}");
}

#[tokio::test]
async fn a_server_killed_and_restarted_under_load_loses_doubles_and_turns_nothing() {
    let count = 30_000;
    let mut server = Server::start(ServerOptions::default());
    orders(&server);
    let (client, publisher) = publisher(&server.url()).await;
    let feeding = tokio::spawn({
        let publisher = publisher.clone();
        async move { feed(&publisher, 0, count).await }
    });
    for quarter in 1..4u64 {
        let goal = quarter * u64::from(count) / 4;
        within(async {
            while publisher.statistics().stored + publisher.statistics().duplicates < goal {
                tokio::task::yield_now().await;
            }
        })
        .await;
        server.kill9();
        within(client.link_changed(&LinkState::Up)).await;
        server.restart();
    }
    within(feeding).await.unwrap();
    within(publisher.settled()).await;
    let statistics = publisher.statistics();
    assert_eq!(statistics.stored + statistics.duplicates, u64::from(count), "{statistics:?}");
    assert_eq!((statistics.rejected, statistics.inversions), (0, 0));
    assert_eq!(client.statistics().connects, 4);
    let verdict = reader::verdict(&server.url(), "ORDERS", lines(count).path());
    assert!(verdict.is_exact() && verdict.messages == u64::from(count), "{verdict:?}");
}

#[tokio::test]
async fn a_server_that_stops_for_three_seconds_costs_nothing() {
    let server = Server::start(ServerOptions::default());
    orders(&server);
    let (client, publisher) = publisher(&server.url()).await;
    feed(&publisher, 0, 1000).await;
    within(publisher.settled()).await;
    server.stop();
    let feeding = tokio::spawn({
        let publisher = publisher.clone();
        async move { feed(&publisher, 1000, 10_000).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(publisher.in_flight() > 0, "the server is stopped");
    server.cont();
    within(feeding).await.unwrap();
    within(publisher.settled()).await;
    undisturbed(&server, &client, &publisher, 10_000);
}

#[tokio::test]
async fn a_slow_link_is_not_taken_for_a_dead_one() {
    let server = Server::start(ServerOptions::default());
    orders(&server);
    let proxy = Proxy::start(&server.address());
    let (client, publisher) = publisher(&proxy.url()).await;
    within(publisher.verified()).await.unwrap();
    let slow = Rules { rate: Some(1000), ..Rules::default() };
    proxy.set(Direction::ToServer, slow);
    proxy.set(Direction::ToClient, slow);
    // At 1 KB/s this takes longer than the send timeout; the last message alone waits for all before it.
    feed(&publisher, 0, 40).await;
    within(publisher.settled()).await;
    undisturbed(&server, &client, &publisher, 40);
}

#[tokio::test]
async fn a_full_stream_is_waited_for_and_every_inversion_is_admitted() {
    let server = Server::start(ServerOptions::default());
    let mut raw = Raw::connect(&server.url());
    let config = |max: i64| json!({"name": "ORDERS", "subjects": ["orders.>"], "max_msgs": max, "discard": "new"});
    raw.create_stream(config(500));
    let (_client, publisher) = publisher(&server.url()).await;
    feed(&publisher, 0, 1000).await;
    within(async {
        while publisher.statistics().anomalies < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(publisher.statistics().stored, 500);
    let updated = raw.api("STREAM.UPDATE.ORDERS", &config(2000));
    assert!(updated["error"].is_null(), "{updated}");
    within(publisher.settled()).await;
    let statistics = publisher.statistics();
    assert_eq!((statistics.stored, statistics.rejected), (1000, 0));
    let verdict = reader::verdict(&server.url(), "ORDERS", lines(1000).path());
    assert_eq!((verdict.lost, verdict.duplicated), (0, 0));
    assert_eq!(verdict.out_of_order == 0, statistics.inversions == 0, "{verdict:?} {statistics:?}");
}

#[tokio::test]
async fn a_stream_recreated_while_we_publish_stops_the_publisher() {
    let server = Server::start(ServerOptions::default());
    let mut raw = orders(&server);
    let (_client, publisher) = publisher(&server.url()).await;
    feed(&publisher, 0, 10).await;
    within(publisher.settled()).await;
    raw.api("STREAM.DELETE.ORDERS", &json!({}));
    let ack = publish(&publisher, "lost", "x").await;
    assert_eq!(within(ack).await, Outcome::Unknown);
    let failure = publisher.failure().expect("the publisher is over");
    assert_eq!(failure, PublisherError::Stream(StreamProblem::Gone { stream: "ORDERS".into() }));
}

#[tokio::test]
async fn a_stream_recreated_between_two_publishes_is_told_by_its_first_ack() {
    let server = Server::start(ServerOptions::default());
    let mut raw = orders(&server);
    let (_client, publisher) = publisher(&server.url()).await;
    feed(&publisher, 0, 10).await;
    within(publisher.settled()).await;
    raw.api("STREAM.DELETE.ORDERS", &json!({}));
    raw.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    let ack = publish(&publisher, "new", "x").await;
    assert_eq!(within(ack).await, Outcome::Unknown);
    let failure = publisher.failure().expect("the publisher is over");
    assert_eq!(failure, PublisherError::Stream(StreamProblem::Rewound { acked: 10, found: 1 }));
}

#[tokio::test]
async fn a_budget_that_is_over_makes_what_is_pending_unknown() {
    let mut server = Server::start(ServerOptions::default());
    orders(&server);
    let client = within(natsink::connect(&server.url())).await.unwrap();
    let options =
        PublisherOptions { max_elapsed: Some(Duration::from_millis(300)), ..PublisherOptions::stream("ORDERS") };
    let publisher = client.publisher(options).unwrap();
    assert!(matches!(within(publish(&publisher, "a", "x").await).await, Outcome::Stored { .. }));
    server.kill9();
    assert_eq!(within(publish(&publisher, "b", "x").await).await, Outcome::Unknown);
    assert!(matches!(publisher.failure(), Some(PublisherError::Exhausted { .. })));
}

#[tokio::test]
async fn dropping_the_last_handle_ends_what_is_pending() {
    let server = Server::start(ServerOptions::default());
    orders(&server);
    let (client, publisher) = publisher(&server.url()).await;
    within(publisher.verified()).await.unwrap();
    server.stop();
    let ack = publish(&publisher, "a", "x").await;
    publisher.close();
    assert_eq!(within(ack).await, Outcome::Unknown);
    assert!(matches!(publish_to(&publisher, "orders.x", "b", "x").await, Err(SubmitError::Closed(_))));
    drop(publisher);
    client.close();
    assert!(matches!(client.link_state(), LinkState::Closed(CloseReason::Requested)));
    server.cont();
}

#[tokio::test]
async fn many_waiters_are_served_in_turn_and_a_cancelled_one_holds_nobody_up() {
    let server = Server::start(ServerOptions::default());
    let mut raw = orders(&server);
    let mut options = ConnectionOptions::new(ServerList::parse(&server.url()).unwrap().servers);
    options.retry_at_start = true;
    let client = within(Client::connect(options)).await.unwrap();
    let publisher =
        client.publisher(PublisherOptions { in_flight_max: 4, ..PublisherOptions::stream("ORDERS") }).unwrap();
    within(publisher.verified()).await.unwrap();
    server.stop();
    for number in 0..4 {
        drop(publish(&publisher, &format!("first-{number}"), "x").await);
    }
    let mut waiting = tokio::task::JoinSet::new();
    let mut cancelled = Vec::new();
    for number in 0..20u32 {
        let publisher = publisher.clone();
        let task = waiting.spawn(async move {
            let id = format!("wait-{number:02}");
            let message = Message::new(Subject::new("orders.x").unwrap(), b"x").id(MsgId::new(&id).unwrap());
            publisher.publish(&message).await.unwrap().await
        });
        if number % 3 == 0 {
            cancelled.push(task);
        }
        tokio::task::yield_now().await;
    }
    cancelled.iter().for_each(|task| task.abort());
    server.cont();
    let mut stored = 0;
    while let Some(outcome) = within(waiting.join_next()).await {
        stored += u32::from(matches!(outcome, Ok(Outcome::Stored { .. })));
    }
    assert_eq!(stored, 13);
    let ids: Vec<String> = raw.stored("ORDERS").iter().skip(4).map(|stored| stored.id().unwrap().to_owned()).collect();
    let expected: Vec<String> =
        (0..20).filter(|number| number % 3 != 0).map(|number| format!("wait-{number:02}")).collect();
    assert_eq!(ids, expected);
}
