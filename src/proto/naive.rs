//! The naive twin of the parser: obvious, slow, starting over at every call. The fast one must agree with it on everything.

use alloc::vec::Vec;
use core::str;

use super::op::Op;
use super::op_name::Side;
use super::parser::ParserLimits;

/// No op can be read here, and none ever will be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Broken;

/// The first op of `buf` and its length; `None` when it is not complete.
///
/// # Errors
/// When no bytes that could follow would make it an op.
pub fn frame<'a>(side: Side, limits: ParserLimits, buf: &'a [u8]) -> Result<Option<(Op<'a>, usize)>, Broken> {
    let long = ["INFO ", "INFO\t", "CONNECT ", "CONNECT\t", "-ERR ", "-ERR\t"];
    let is_long = long.iter().any(|op| buf.to_ascii_uppercase().starts_with(op.as_bytes()));
    let line_max = if is_long { limits.info_max } else { limits.control_line_max };

    let line_feed = buf.iter().position(|byte| *byte == b'\n');
    if line_feed.unwrap_or(buf.len()) >= line_max + 2 {
        return Err(Broken);
    }
    let Some(line_feed) = line_feed else { return Ok(None) };
    let line = buf[..line_feed].strip_suffix(b"\r").ok_or(Broken)?;

    let mut words: Vec<&[u8]> = line.split(|byte| *byte == b' ' || *byte == b'\t').collect();
    let op = words.remove(0).to_ascii_uppercase();
    words.retain(|word| !word.is_empty());
    let rest = trimmed(&line[op.len()..]);
    let after = &buf[line_feed + 1..];
    let line_len = line_feed + 1;

    let op = match (side, op.as_slice(), words.as_slice()) {
        (_, b"PING", []) => Op::Ping,
        (_, b"PONG", []) => Op::Pong,
        (Side::Server, b"+OK", []) => Op::Ok,
        (Side::Server, b"INFO", _) => Op::Info(rest),
        (Side::Client, b"CONNECT", _) => Op::Connect(rest),
        (Side::Server, b"-ERR", _) => Op::Err(unquoted(rest, limits.control_line_max)),
        (Side::Client, b"SUB", &[subject, sid]) => Op::Sub { subject, queue: None, sid },
        (Side::Client, b"SUB", &[subject, queue, sid]) => Op::Sub { subject, queue: Some(queue), sid },
        (Side::Client, b"UNSUB", &[sid]) => Op::Unsub { sid, max: None },
        (Side::Client, b"UNSUB", &[sid, max]) => Op::Unsub { sid, max: Some(number(max)?) },
        (Side::Client, b"PUB", &[subject, ref reply @ .., len]) if reply.len() < 2 => {
            let reply = reply.first().copied();
            let body = body(b"0", len, after, limits)?;
            return Ok(body.map(|(_, payload, len)| (Op::Pub { subject, reply, payload }, line_len + len)));
        }
        (Side::Client, b"HPUB", &[subject, ref reply @ .., headers, total]) if reply.len() < 2 => {
            let reply = reply.first().copied();
            let body = body(headers, total, after, limits)?;
            return Ok(
                body.map(|(headers, payload, len)| (Op::HPub { subject, reply, headers, payload }, line_len + len))
            );
        }
        (Side::Server, b"MSG", &[subject, sid, ref reply @ .., len]) if reply.len() < 2 => {
            let (sid, reply) = (number(sid)?, reply.first().copied());
            let body = body(b"0", len, after, limits)?;
            return Ok(body.map(|(_, payload, len)| (Op::Msg { subject, sid, reply, payload }, line_len + len)));
        }
        (Side::Server, b"HMSG", &[subject, sid, ref reply @ .., headers, total]) if reply.len() < 2 => {
            let (sid, reply) = (number(sid)?, reply.first().copied());
            let body = body(headers, total, after, limits)?;
            return Ok(body
                .map(|(headers, payload, len)| (Op::HMsg { subject, sid, reply, headers, payload }, line_len + len)));
        }
        _ => return Err(Broken),
    };
    Ok(Some((op, line_len)))
}

/// Headers, payload, and the length of both with their CRLF.
type Body<'a> = (&'a [u8], &'a [u8], usize);

fn body<'a>(headers: &[u8], total: &[u8], after: &'a [u8], limits: ParserLimits) -> Result<Option<Body<'a>>, Broken> {
    let (headers, total) = (number(headers)?, number(total)?);
    if headers > total || total > limits.payload_max as u64 {
        return Err(Broken);
    }
    let (headers, total) = (headers as usize, total as usize);
    if after.len() < total + 2 {
        return Ok(None);
    }
    if &after[total..total + 2] != b"\r\n" {
        return Err(Broken);
    }
    Ok(Some((&after[..headers], &after[headers..total], total + 2)))
}

fn number(word: &[u8]) -> Result<u64, Broken> {
    if !word.iter().all(u8::is_ascii_digit) {
        return Err(Broken);
    }
    str::from_utf8(word).map_err(|_| Broken)?.parse().map_err(|_| Broken)
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn unquoted(text: &[u8], max: usize) -> &[u8] {
    let text = text.strip_prefix(b"'").unwrap_or(text);
    let text = text.strip_suffix(b"'").unwrap_or(text);
    &text[..text.len().min(max)]
}
