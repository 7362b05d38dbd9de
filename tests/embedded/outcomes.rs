//! What becomes of single events and of batches.

use natsink::jetstream::{Message, PublisherError, Rejection, StreamProblem};
use natsink::proto::{Pattern, Subject};
use natsink::sink::{Envelope, Event, EventError, EventRouting, Format, IdRule, Reason, Template, TemplateKind};
use natsink::{Client, Delivered, Sink, SinkError, SinkOpenError, SinkOptions};

use super::support::{Raw, ServerOptions, reader};
use super::{event, events, options, server, sink, stored, within};

#[tokio::test]
async fn an_event_is_stored_once_however_often_it_is_sent() {
    let server = server();
    let first = sink(&server).await;
    assert_eq!((first.id(), first.required()), ("nats", true));
    assert_eq!(within(first.send(&event(7))).await, Ok(Delivered::Stored { seq: 1 }));
    let duplicate = Ok(Delivered::Duplicate { seq: 1, verified: true });
    assert_eq!(within(first.send(&event(7))).await, duplicate);
    // Another process, another connection: the same id.
    assert_eq!(within(sink(&server).await.send(&event(7))).await, duplicate);
    assert_eq!(stored(&server), [7]);
}

#[tokio::test]
async fn dead_letters_have_the_index_of_their_event_and_keep_nobody_back() {
    let server = server();
    let sink = sink(&server).await;
    let mut batch = events(0..7);
    batch[1].position = None;
    batch[2].source.table = Some("a.b".into());
    batch[4].routing = Some(EventRouting::default());
    batch[4].routing.as_mut().unwrap().topic = Some("elsewhere".into());
    batch[5].routing = Some(EventRouting::default());
    batch[5].routing.as_mut().unwrap().headers = vec![("Nats-Rollup".into(), "all".into())];
    let result = within(sink.send_batch(&batch)).await;
    let dead: Vec<(usize, String)> = result.dead_letters().map(|(index, reason)| (index, reason.to_string())).collect();
    let words = ["no id: ", "source.table has '.'", "does not capture", "\"Nats-Rollup\""];
    assert_eq!(dead.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2, 4, 5]);
    for ((_, reason), words) in dead.iter().zip(words) {
        assert!(reason.contains(words), "{reason}");
    }
    assert_eq!(result.outcomes()[1], Err(SinkError::Dead(Reason::Event(EventError::NoIdentity))));
    let elsewhere = Rejection::NotCaptured { subject: "elsewhere".into(), stream: "ORDERS".into() };
    assert_eq!(result.outcomes()[4], Err(SinkError::Dead(Reason::Rejected(elsewhere))));
    assert!(!result.is_delivered());
    assert_eq!((result.pending().count(), result.settled_len()), (0, 7));
    assert_eq!(stored(&server), [0, 3, 6]);
}

#[tokio::test]
async fn an_event_is_sent_as_the_command_sends_its_line() {
    let server = server();
    let mut options = options();
    options.events.key = Some(Template::new("${after}", TemplateKind::Key).unwrap());
    options.events.headers = vec![("x-env".into(), "prod".into())];
    options.events.envelope = Envelope::Debezium;
    let sink = within(Sink::connect(&server.url(), options)).await.unwrap();
    within(sink.send(&event(5))).await.unwrap();
    let found = &reader::dump(&server.url(), "ORDERS")[0];
    assert_eq!(found["subject"], "orders.customers");
    let headers = &found["headers"];
    assert_eq!(headers["Nats-Msg-Id"], "shop|embedded:5");
    assert_eq!((&headers["df-key"], &headers["x-env"]), (&"5".into(), &"prod".into()));
    assert_eq!(found["payload"], format!(r#"{{"schema":null,"payload":{}}}"#, event(5).to_json()));
}

#[tokio::test]
async fn lines_go_the_same_way() {
    let server = server();
    let mut options = SinkOptions::stream("shop", "orders.${kind}", "ORDERS").unwrap();
    options.events.format = Format::Json;
    options.events.id = IdRule::Template(Template::new("${n}", TemplateKind::Id).unwrap());
    let sink = within(Sink::connect(&server.url(), options)).await.unwrap();
    let line = r#"{"kind":"new","n":1}"#;
    assert_eq!(within(sink.send_line(line.into(), None)).await, Ok(Delivered::Stored { seq: 1 }));
    let again = within(sink.send_line(line.into(), None)).await;
    assert_eq!(again, Ok(Delivered::Duplicate { seq: 1, verified: true }));
    let dead = within(sink.send_line(r#"{"kind":"new"}"#.into(), None)).await.unwrap_err();
    assert_eq!(dead.to_string(), "the event can never be stored as it is: no id: n is missing or null");
}

#[tokio::test]
async fn two_events_under_one_id_are_a_collision() {
    let server = server();
    let sink = sink(&server).await;
    within(sink.send(&event(1))).await.unwrap();
    let mut other = event(2);
    other.position = Some(1);
    let collision = SinkError::Dead(Reason::Rejected(Rejection::IdCollision { seq: 1 }));
    assert_eq!(within(sink.send(&other)).await, Err(collision));
}

#[tokio::test]
async fn core_nats_takes_what_it_is_given() {
    let server = super::Server::start(ServerOptions { jetstream: false, ..ServerOptions::default() });
    let mut raw = Raw::connect(&server.url());
    raw.subscribe("orders.>");
    raw.flush();
    let options = SinkOptions::core("shop", "orders.${source.table}").unwrap();
    let sink = within(Sink::connect(&server.url(), options)).await.unwrap();
    assert_eq!(within(sink.send(&event(1))).await, Ok(Delivered::Taken));
    let mut batch = events(2..5);
    batch[1].position = None;
    let result = within(sink.send_batch(&batch)).await;
    assert_eq!(result.outcomes()[0], Ok(Delivered::Taken));
    assert_eq!(result.dead_letters().map(|(index, _)| index).collect::<Vec<_>>(), [1]);
    for number in [1, 2, 4] {
        let received = raw.next();
        assert_eq!(received.header("Nats-Msg-Id"), Some(&*format!("shop|embedded:{number}")));
        assert_eq!(Event::parse(std::str::from_utf8(&received.payload).unwrap()).unwrap().after, event(number).after);
    }
    within(sink.close()).await.unwrap();
    assert!(matches!(within(sink.send(&event(9))).await, Err(SinkError::Closed(_))));
}

#[tokio::test]
async fn a_sink_that_cannot_begin_says_why() {
    let server = server();
    let open = async |subject: &str, stream: &str| {
        let options = SinkOptions::stream("shop", subject, stream).unwrap();
        within(Sink::connect(&server.url(), options)).await.unwrap_err()
    };
    let absent = open("orders.x", "ABSENT").await;
    assert!(
        matches!(absent, SinkOpenError::Stream(PublisherError::Stream(StreamProblem::NotFound { .. }))),
        "{absent}"
    );
    let elsewhere = open("elsewhere.${op}", "ORDERS").await;
    assert!(matches!(elsewhere, SinkOpenError::Stream(PublisherError::Stream(_))), "{elsewhere}");
    assert!(elsewhere.to_string().contains("elsewhere.*"), "{elsewhere}");
    let reserved = open("$JS.API.x", "ORDERS").await;
    assert!(matches!(reserved, SinkOpenError::Options(_)), "{reserved}");
    assert!(SinkOptions::stream("shop", "orders.${", "ORDERS").is_err());
    let nobody = within(Sink::connect("nats://127.0.0.1:1", options())).await.unwrap_err();
    assert!(matches!(nobody, SinkOpenError::Connection(_)), "{nobody}");
}

#[tokio::test]
async fn a_sink_shares_the_connection_of_others() {
    let server = server();
    let client = within(Client::connect(natsink::connection::ConnectionOptions::new(
        natsink::connection::ServerList::parse(&server.url()).unwrap().servers,
    )))
    .await
    .unwrap();
    let sink = Sink::new(&client, options()).unwrap();
    within(sink.verified()).await.unwrap();
    let mut answers = client.subscribe(Pattern::new("greetings").unwrap()).unwrap();
    within(sink.send(&event(1))).await.unwrap();
    within(sink.close()).await.unwrap();
    within(client.publish(Subject::new("greetings").unwrap(), None, None, b"hello")).await.unwrap();
    assert_eq!(&within(answers.next()).await.expect("a message").payload[..], b"hello");
    assert_eq!(client.statistics().connects, 1);
    let publisher = client.publisher(natsink::jetstream::PublisherOptions::stream("ORDERS")).unwrap();
    let message = Message::new(Subject::new("orders.y").unwrap(), b"1");
    assert!(within(publisher.publish(&message)).await.is_ok(), "the client is open");
}
