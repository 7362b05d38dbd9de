//! What must hold for any bytes at all: one function per property, for fuzz targets, their corpora and tests alike.
//!
//! Each of them panics where its property does not hold. The first byte of a fuzz input chooses side and limits, so that
//! small inputs come near every limit.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::encode;
use super::error::ServerError;
use super::headers::Headers;
use super::info::ServerInfo;
use super::naive;
use super::op::Op;
use super::op_name::Side;
use super::parse_error::ParseError;
use super::parser::{Parser, ParserLimits};
use super::subject::Subject;

/// The ops in `data` and how reading them ended, when the bytes come in pieces that end at `cuts` (ascending) and at the end.
pub fn ops_in_pieces<'a>(
    side: Side,
    limits: ParserLimits,
    data: &'a [u8],
    cuts: impl IntoIterator<Item = usize>,
) -> (Vec<Op<'a>>, Option<ParseError>) {
    let mut parser = Parser::new(side, limits);
    let (mut ops, mut consumed) = (Vec::new(), 0);
    for received in cuts.into_iter().chain([data.len()]) {
        loop {
            let buf = &data[consumed..received];
            match parser.frame(buf) {
                Ok(Some(frame)) => {
                    assert!(0 < frame.len && frame.len <= buf.len(), "a frame of what is there: {frame:?}");
                    ops.push(frame.op(&data[consumed..consumed + frame.len]));
                    consumed += frame.len;
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.frame(buf), Err(error.clone()), "an error stays");
                    return (ops, Some(error));
                }
            }
        }
    }
    (ops, None)
}

/// The ops in `data` and whether reading them ended in an error, by the naive twin.
pub fn ops_by_naive(side: Side, limits: ParserLimits, mut data: &[u8]) -> (Vec<Op<'_>>, bool) {
    let mut ops = Vec::new();
    loop {
        match naive::frame(side, limits, data) {
            Ok(Some((op, len))) => {
                ops.push(op);
                data = &data[len..];
            }
            Ok(None) => return (ops, false),
            Err(naive::Broken) => return (ops, true),
        }
    }
}

/// Nothing a peer sends can panic, and everything it says can be shown in a log.
pub fn parse_any(input: &[u8]) {
    let (side, limits, data) = chosen(input);
    let (ops, error) = ops_in_pieces(side, limits, data, []);
    if let Some(error) = error {
        assert_can_be_logged(&error.to_string());
    }
    for op in ops {
        match op {
            Op::Info(json) => read_info(json),
            Op::Err(text) => assert_can_be_logged(&ServerError::parse(text).to_string()),
            Op::HMsg { headers, .. } | Op::HPub { headers, .. } => read_headers(headers),
            Op::Pub { subject, reply, payload } => written_is_read(subject, reply, payload),
            _ => {}
        }
    }
    read_info(data);
    read_headers(data);
    assert_can_be_logged(&ServerError::parse(data).to_string());
}

/// However the bytes are cut, the ops and the error are the same.
pub fn parse_split(input: &[u8]) {
    let (side, limits, rest) = chosen(input);
    let Some((&cut_count, rest)) = rest.split_first() else { return };
    let Some((steps, data)) = rest.split_at_checked(usize::from(cut_count % 16)) else { return };
    let cuts = steps.iter().scan(0_usize, |at, step| {
        *at = (*at + usize::from(*step)).min(data.len());
        Some(*at)
    });
    let whole = ops_in_pieces(side, limits, data, []);
    assert_eq!(ops_in_pieces(side, limits, data, cuts), whole);
    assert_eq!(ops_in_pieces(side, limits, data, 0..data.len()), whole);
}

/// The parser says what its naive twin says.
pub fn parse_naive(input: &[u8]) {
    let (side, limits, data) = chosen(input);
    agrees_with_naive(side, limits, data);
}

/// The parser says of `data` what its naive twin says.
pub fn agrees_with_naive(side: Side, limits: ParserLimits, data: &[u8]) {
    let (ops, error) = ops_in_pieces(side, limits, data, []);
    assert_eq!((ops, error.is_some()), ops_by_naive(side, limits, data), "{error:?}");
}

fn chosen(input: &[u8]) -> (Side, ParserLimits, &[u8]) {
    let (choice, data) = input.split_first().map_or((0, input), |(first, rest)| (*first, rest));
    let side = if choice & 1 == 0 { Side::Server } else { Side::Client };
    let small = ParserLimits { control_line_max: 32, info_max: 64, payload_max: 16 };
    (side, if choice & 2 == 0 { ParserLimits::default() } else { small }, data)
}

fn read_info(json: &[u8]) {
    match ServerInfo::parse(json) {
        Ok(info) => {
            assert_can_be_logged(&info.server_name);
            assert!(info.connect_urls.iter().all(|url| !url.contains(['/', '@', '\n'])));
        }
        Err(error) => assert_can_be_logged(&error.to_string()),
    }
}

fn read_headers(block: &[u8]) {
    if let Ok(headers) = Headers::parse(block) {
        let first = headers.iter().next();
        if let Some((name, value)) = first
            && let Ok(name) = core::str::from_utf8(name)
        {
            assert_eq!(headers.value(name), Some(value), "the first of a name wins");
        }
        assert!(headers.iter().all(|(name, _)| !name.is_empty()));
        assert!(headers.status().is_some() || headers.description().is_none());
    }
}

/// What is encoded is parsed as the same.
fn written_is_read(subject: &[u8], reply: Option<&[u8]>, payload: &[u8]) {
    let as_subject = |bytes| core::str::from_utf8(bytes).ok().and_then(|text| Subject::new(text).ok());
    let Some(to) = as_subject(subject) else { return };
    let answer = reply.and_then(as_subject);
    let mut wire = Vec::new();
    encode::publish(&mut wire, to, answer, None, payload);
    let said = Op::Pub { subject, reply: reply.filter(|_| answer.is_some()), payload };
    assert_eq!(ops_in_pieces(Side::Client, ParserLimits::default(), &wire, []), (Vec::from([said]), None));
}

fn assert_can_be_logged(text: &String) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
