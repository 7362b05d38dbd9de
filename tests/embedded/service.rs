//! The example service: what it answers, and that its answers are true.

use std::net::SocketAddr;

use natsink::sink::Event;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::embedded_service::run;
use super::{events, server, sink, stored, within};

/// The service over this sink, and how to end it.
async fn serving(sink: natsink::Sink) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<Result<(), String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel();
    let running = tokio::spawn(async move {
        let end = async { drop(ended.await) };
        run(listener, sink, end).await.map_err(|error| error.to_string())
    });
    (address, end, running)
}

/// Sends lines and reads as many answers.
async fn ask(address: SocketAddr, lines: &[String]) -> Vec<String> {
    let (read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let text: String = lines.iter().map(|line| line.to_owned() + "\n").collect();
    let writing = tokio::spawn(async move { write.write_all(text.as_bytes()).await.map(|()| write) });
    let mut answers = BufReader::new(read).lines();
    let mut found = Vec::new();
    while found.len() < lines.len() {
        found.push(answers.next_line().await.unwrap().expect("an answer for each line"));
    }
    drop(writing.await.unwrap());
    found
}

/// Events whose identity is their own, as lines.
fn lines(numbers: std::ops::Range<u64>) -> Vec<String> {
    let with_id = |mut event: Event| {
        event.event_id = event.position.map(|number| number.to_string());
        event.to_json()
    };
    events(numbers).into_iter().map(with_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_given_when_the_event_is_stored_and_a_killed_server_only_delays_it() {
    let mut server = server();
    let (address, end, running) = serving(sink(&server).await).await;
    let first = within(ask(address, &lines(0..10))).await;
    assert_eq!(first, (1..=10).map(|seq| format!("OK {seq}")).collect::<Vec<_>>());
    let mut odd = lines(8..11);
    odd.insert(1, "{}".into());
    odd.insert(2, r#"{"op":"c","source":{"table":"t"}}"#.into());
    let answers = within(ask(address, &odd)).await;
    assert_eq!((&*answers[0], &*answers[3], &*answers[4]), ("OK 9", "OK 10", "OK 11"));
    assert!(answers[1].starts_with("DEAD not a change event") && answers[2].starts_with("DEAD no id"), "{answers:?}");
    let asking = tokio::spawn(async move { ask(address, &lines(11..3000)).await });
    server.kill9();
    server.restart();
    let answers = within(asking).await.unwrap();
    assert!(answers.iter().all(|answer| answer.starts_with("OK ")));
    assert_eq!(stored(&server), (0..3000).collect::<Vec<_>>());
    end.send(()).unwrap();
    within(running).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "it takes nothing more");
}
