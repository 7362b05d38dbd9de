//! How long one publish takes from its call to its outcome, one at a time: over a bare socket, the blocking driver and the
//! async one, interleaved, all against the same stream.
//!
//! `cargo run --release --features blocking --example bench_wait -- --stream BENCH --subject bench --messages 2000`
//! prints the median and the 99th percentile of each in microseconds, over all of its messages.

mod bench_options;

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bench_options::{ID_ROOT, Options, options};
use natsink::jetstream::{Message, Outcome, PublisherOptions};
use natsink::proto::{MsgId, Subject};

/// Messages of one contender before the next one's turn.
const TURN: u64 = 200;

type Took = Result<Duration, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let subject = Subject::new(&options.subject)?;
    let payload = vec![b'x'; options.size];
    let mut raw = Raw::connect(&options)?;

    let client = natsink::blocking::connect(&options.url)?;
    let blocking = client.publisher(PublisherOptions::stream(&options.stream))?;
    let wait = |id: &str| -> Took {
        let message = Message::new(subject, &payload[..]).id(MsgId::new(id)?);
        let started = Instant::now();
        stored(blocking.publish(&message)?.wait())?;
        Ok(started.elapsed())
    };

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asynchronous = runtime.block_on(async {
        let client = natsink::connect(&options.url).await?;
        Ok::<_, Box<dyn Error>>(client.publisher(PublisherOptions::stream(&options.stream))?)
    })?;
    let awaited = |id: &str| -> Took {
        let message = Message::new(subject, &payload[..]).id(MsgId::new(id)?);
        let started = Instant::now();
        stored(runtime.block_on(async { Ok::<_, Box<dyn Error>>(asynchronous.publish(&message).await?.await) })?)?;
        Ok(started.elapsed())
    };

    let run = std::process::id();
    let mut took: [Vec<Duration>; 3] = [const { Vec::new() }; 3];
    for turn in 0..options.messages.div_ceil(TURN) {
        for number in turn * TURN..(turn + 1) * TURN {
            took[0].push(raw.publish(&options, &format!("{ID_ROOT}{run}.raw.{number}"), &payload)?);
        }
        for number in turn * TURN..(turn + 1) * TURN {
            took[1].push(wait(&format!("{ID_ROOT}{run}.blocking.{number}"))?);
        }
        for number in turn * TURN..(turn + 1) * TURN {
            took[2].push(awaited(&format!("{ID_ROOT}{run}.tokio.{number}"))?);
        }
    }
    for (name, took) in ["raw socket", "blocking", "tokio"].into_iter().zip(&mut took) {
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_micros();
        println!("{name:10} p50 {:5} us, p99 {:5} us", at(0.5), at(0.99));
    }
    Ok(())
}

fn stored(outcome: Outcome) -> Result<(), Box<dyn Error>> {
    match outcome {
        Outcome::Stored { .. } => Ok(()),
        other => Err(format!("a message was not stored but {other:?}").into()),
    }
}

/// A bare socket that writes a message and reads until something like its ack has come.
struct Raw {
    socket: TcpStream,
    input: Vec<u8>,
}

impl Raw {
    fn connect(options: &Options) -> Result<Self, Box<dyn Error>> {
        let mut socket = TcpStream::connect(options.url.trim_start_matches("nats://"))?;
        socket.set_nodelay(true)?;
        let hello = "{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}";
        write!(socket, "CONNECT {hello}\r\nSUB _INBOX.bare.* 1\r\nPING\r\n")?;
        let mut raw = Self { socket, input: vec![0; 64 << 10] };
        raw.read_until(b"PONG\r\n")?;
        Ok(raw)
    }

    fn publish(&mut self, options: &Options, id: &str, payload: &[u8]) -> Took {
        let headers = format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n");
        let (subject, size) = (&options.subject, headers.len() + payload.len());
        let started = Instant::now();
        let mut frame = format!("HPUB {subject} _INBOX.bare.1 {} {size}\r\n{headers}", headers.len()).into_bytes();
        frame.extend_from_slice(payload);
        frame.extend_from_slice(b"\r\n");
        self.socket.write_all(&frame)?;
        self.read_until(b"\"seq\":")?;
        Ok(started.elapsed())
    }

    fn read_until(&mut self, what: &[u8]) -> Result<(), Box<dyn Error>> {
        let mut filled = 0;
        loop {
            match self.socket.read(&mut self.input[filled..])? {
                0 => return Err("the server hung up".into()),
                read => filled += read,
            }
            if self.input[..filled].windows(what.len()).any(|window| window == what) {
                return Ok(());
            }
            if self.input[..filled].starts_with(b"PING\r\n") {
                self.socket.write_all(b"PONG\r\n")?;
                filled = 0;
            }
        }
    }
}
