//! A small service with a sink inside: takes change events over TCP, one JSON object a line, and answers each with `OK` and
//! its sequence only when the stream holds it.
//!
//! `cargo run --example embedded_service -- 127.0.0.1:7000 nats://127.0.0.1:4222 ORDERS 'orders.${source.table}'`
//!
//! then, in another shell,
//!
//! `echo '{"op":"c","event_id":"1","source":{"table":"customers"},"after":{"id":1}}' | nc -N 127.0.0.1 7000`
//!
//! A line that can never be stored is answered `DEAD` and the reason; one that may or may not be stored, `AGAIN`: sent
//! again it has the same id, and is stored once. SIGINT ends the service when what it took is settled.

use std::error::Error;
use std::future::Future;
use std::io;

use natsink::connection::{ConnectionOptions, ServerList};
use natsink::sink::Event;
use natsink::{BatchResult, Delivered, Sink, SinkError, SinkOptions};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Events of one connection that are sent together at most.
const BATCH_MAX: usize = 256;
/// The longest line, bytes; whoever sends a longer one is hung up on.
const LINE_MAX: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, url, stream, subject] = words.as_slice() else {
        return Err("wanted: LISTEN URL STREAM SUBJECT".into());
    };
    let mut connection = ConnectionOptions::new(ServerList::parse(url)?.servers);
    connection.name = Some("embedded-service".into());
    let sink = Sink::connect_with(connection, SinkOptions::stream("embedded-service", subject, stream)?).await?;
    let listener = TcpListener::bind(address.as_str()).await?;
    println!("listening on {}", listener.local_addr()?);
    run(listener, sink, async { drop(tokio::signal::ctrl_c().await) }).await?;
    println!("all that was taken is settled");
    Ok(())
}

/// Serves until `end` comes; then takes nothing more, and returns when what was taken is settled. An answer that is cut
/// off by that is as good as `AGAIN`.
pub(crate) async fn run(
    listener: TcpListener,
    sink: Sink,
    end: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    let serving = async {
        loop {
            let (socket, _) = listener.accept().await?;
            let sink = sink.clone();
            tokio::spawn(async move { drop(serve(socket, sink).await) });
        }
    };
    let ended: io::Result<()> = tokio::select! {
        ended = serving => ended,
        () = end => Ok(()),
    };
    sink.close().await?;
    Ok(ended?)
}

/// Reads lines until the peer has no more, as many at a time as have come, and answers each in its turn.
async fn serve(socket: TcpStream, sink: Sink) -> io::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut lines = Vec::new();
        while lines.len() < BATCH_MAX && (lines.is_empty() || read.buffer().contains(&b'\n')) {
            let mut line = String::new();
            match (&mut read).take(LINE_MAX as u64).read_line(&mut line).await? {
                0 => break,
                LINE_MAX if !line.ends_with('\n') => return Err(io::ErrorKind::InvalidData.into()),
                _ => lines.push(line),
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        write.write_all(answers(&lines, &sink).await.as_bytes()).await?;
    }
}

/// Sends the lines that are events, and answers all in their order.
async fn answers(lines: &[String], sink: &Sink) -> String {
    let parsed: Vec<_> = lines.iter().map(|line| Event::parse(line)).collect();
    let events: Vec<Event> = parsed.iter().flatten().cloned().collect();
    let result: BatchResult = sink.send_batch(&events).await;
    let mut outcomes = result.outcomes().iter();
    let answer = |parsed| match parsed {
        Err(error) => format!("DEAD {error}\n"),
        Ok(_) => match outcomes.next() {
            Some(Ok(Delivered::Stored { seq } | Delivered::Duplicate { seq, .. })) => format!("OK {seq}\n"),
            Some(Ok(Delivered::Taken)) => "OK\n".into(),
            Some(Err(SinkError::Dead(reason))) => format!("DEAD {reason}\n"),
            Some(Err(error)) => format!("AGAIN {error}\n"),
            None => "AGAIN\n".into(),
        },
    };
    parsed.into_iter().map(answer).collect()
}
