//! The baseline of scripts/bench: a bare socket that encodes HPUB with an id and matches every ack to its slot.
//!
//! No reconnect, no resend buffer, no deadline, no validation. Ids, headers and inbox are as long as natsink's, since the
//! server's work grows with them: what is left is the server's own limit for such messages. Prints one JSON line with
//! `messages` and `seconds`.

mod bench_options;

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use bench_options::{ID_ROOT, Options, options};

const WINDOW: usize = 4096;
/// Slots that must be free before the next write, unless the end is near: about 64 KiB of frames.
const REFILL: usize = 256;
/// As long as an inbox must be that nobody can guess.
const INBOX: &str = "_INBOX.baresocketbaresocketbar";

/// What is in flight: which slots, and what has come back.
struct Slots {
    /// For each slot, whether it waits for an ack.
    waiting: Vec<bool>,
    free: Vec<u16>,
    acked: u64,
    seq_last: u64,
}

impl Slots {
    fn new() -> Self {
        let free = (0..u16::try_from(WINDOW).expect("4096")).rev().collect();
        Self { waiting: vec![false; WINDOW], free, acked: 0, seq_last: 0 }
    }

    fn take(&mut self) -> Option<u16> {
        let slot = self.free.pop()?;
        self.waiting[usize::from(slot)] = true;
        Some(slot)
    }

    fn settle(&mut self, slot: u64, seq: u64) -> Result<(), Box<dyn Error>> {
        let waiting = usize::try_from(slot).ok().and_then(|at| self.waiting.get_mut(at));
        if !waiting.is_some_and(std::mem::take) {
            return Err(format!("an ack for slot {slot}, which waits for none").into());
        }
        if seq <= self.seq_last {
            return Err(format!("sequence {seq} came after {}", self.seq_last).into());
        }
        self.free.push(u16::try_from(slot)?);
        self.acked += 1;
        self.seq_last = seq;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let mut socket = TcpStream::connect(options.url.trim_start_matches("nats://"))?;
    socket.set_nodelay(true)?;
    let hello = "{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}";
    write!(socket, "CONNECT {hello}\r\nSUB {INBOX}.* 1\r\n")?;
    let started = Instant::now();
    run(&mut socket, &options)?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{{\"messages\": {}, \"seconds\": {seconds:.6}}}", options.messages);
    Ok(())
}

fn run(socket: &mut TcpStream, options: &Options) -> Result<(), Box<dyn Error>> {
    let payload = vec![b'x'; options.size];
    let ack_start = format!("{{\"stream\":\"{}\",", options.stream);
    let mut slots = Slots::new();
    let (mut sent, mut out) = (0, Vec::with_capacity(256 * 1024));
    let (mut input, mut filled) = (vec![0; 256 * 1024], 0);
    while slots.acked < options.messages {
        let enough = slots.free.len() >= REFILL || slots.free.len() as u64 >= options.messages - sent;
        if enough && sent < options.messages {
            for _ in 0..REFILL.min(usize::try_from(options.messages - sent)?) {
                let Some(slot) = slots.take() else { break };
                encode(&mut out, options, slot, sent, &payload);
                sent += 1;
            }
            socket.write_all(&out)?;
            out.clear();
            continue;
        }
        let read = socket.read(&mut input[filled..])?;
        if read == 0 {
            return Err("the server hung up".into());
        }
        filled += read;
        let used = settle_all(&input[..filled], &mut slots, ack_start.as_bytes(), socket)?;
        input.copy_within(used..filled, 0);
        filled -= used;
    }
    Ok(())
}

/// `HPUB subject inbox.slot header-length length`, then the headers with the id, then the payload.
/// The headers are those that natsink sends: the server's work per message is part of its limit.
fn encode(out: &mut Vec<u8>, options: &Options, slot: u16, number: u64, payload: &[u8]) {
    const HEAD: &[u8] = b"NATS/1.0\r\nNats-Expected-Stream: ";
    const ID: &[u8] = b"\r\nNats-Msg-Id: ";
    let (subject, stream) = (options.subject.as_bytes(), options.stream.as_bytes());
    let mut id = [0; 20];
    let id = decimal(&mut id, number);
    let headers = HEAD.len() + stream.len() + ID.len() + ID_ROOT.len() + id.len() + 4;
    let mut digits = [0; 20];
    out.extend_from_slice(b"HPUB ");
    out.extend_from_slice(subject);
    out.push(b' ');
    out.extend_from_slice(INBOX.as_bytes());
    out.push(b'.');
    out.extend_from_slice(decimal(&mut digits, u64::from(slot)));
    out.push(b' ');
    out.extend_from_slice(decimal(&mut digits, headers as u64));
    out.push(b' ');
    out.extend_from_slice(decimal(&mut digits, (headers + payload.len()) as u64));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(HEAD);
    out.extend_from_slice(stream);
    out.extend_from_slice(ID);
    out.extend_from_slice(ID_ROOT.as_bytes());
    out.extend_from_slice(id);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Settles every whole ack in `input` and returns how many bytes they take.
fn settle_all(
    input: &[u8],
    slots: &mut Slots,
    ack_start: &[u8],
    socket: &mut TcpStream,
) -> Result<usize, Box<dyn Error>> {
    let mut used = 0;
    while let Some(end) = memchr::memchr(b'\n', &input[used..]) {
        let line = &input[used..used + end + 1];
        let Some(rest) = line.strip_prefix(b"MSG ") else {
            if line.starts_with(b"PING") {
                socket.write_all(b"PONG\r\n")?;
            } else if !line.starts_with(b"INFO") {
                return Err(format!("the server said {}", String::from_utf8_lossy(line)).into());
            }
            used += line.len();
            continue;
        };
        let (slot, rest) = number(&rest[INBOX.len() + 1..]);
        let (length, _) = number(rest.strip_prefix(b" 1 ").ok_or("not an ack")?);
        let whole = line.len() + usize::try_from(length)? + 2;
        let Some(frame) = input.get(used..used + whole) else { break };
        let ack = &frame[line.len()..];
        let seq = ack.strip_prefix(ack_start).filter(|_| memchr::memmem::find(ack, b"duplicate").is_none());
        let seq = seq.and_then(|rest| rest.trim_ascii_start().strip_prefix(b"\"seq\":"));
        let seq = seq.ok_or_else(|| format!("not stored: {}", String::from_utf8_lossy(ack)))?;
        slots.settle(slot, number(seq).0)?;
        used += whole;
    }
    Ok(used)
}

/// The digits at the start, and what follows them.
fn number(bytes: &[u8]) -> (u64, &[u8]) {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (bytes[..digits].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')), &bytes[digits..])
}

fn decimal(buffer: &mut [u8; 20], mut value: u64) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &buffer[at..];
        }
    }
}
