//! The parser against its naive twin: real sessions cut everywhere, and bytes that nobody would send.
#![cfg(feature = "sim")]

use std::fs;
use std::path::Path;

use natsink::proto::properties::{agrees_with_naive, ops_by_naive, ops_in_pieces, parse_any, parse_split};
use natsink::proto::{Op, ParserLimits, Side};
use proptest::prelude::*;

/// A recorded session, one direction of it.
struct Recording {
    name: String,
    side: Side,
    bytes: Vec<u8>,
}

fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let mut recordings = Vec::new();
    for entry in fs::read_dir(folder).expect("the recordings are checked in") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        let side = match name.rsplit('.').nth(1) {
            Some("client") => Side::Client,
            Some("server") => Side::Server,
            _ => continue,
        };
        recordings.push(Recording { name, side, bytes: fs::read(&path).expect("a recording can be read") });
    }
    assert!(recordings.len() > 10, "the recordings are missing");
    recordings.sort_by(|a, b| a.name.cmp(&b.name));
    recordings
}

impl Recording {
    /// What the naive twin says, which must be everything.
    fn ops(&self) -> Vec<Op<'_>> {
        let (ops, broken) = ops_by_naive(self.side, ParserLimits::default(), &self.bytes);
        assert!(!broken, "{}: broken after {:?}", self.name, ops.last());
        ops
    }

    fn assert_pieces(&self, expected: &[Op<'_>], cuts: impl IntoIterator<Item = usize>, what: &str) {
        let (ops, error) = ops_in_pieces(self.side, ParserLimits::default(), &self.bytes, cuts);
        assert_eq!(error, None, "{}, {what}", self.name);
        assert!(ops == expected, "{}, {what}: {:?}", self.name, ops.iter().zip(expected).find(|(a, b)| a != b));
    }
}

#[test]
fn recordings_hold_what_they_should() {
    let recordings = recordings();
    let of = |name: &str| recordings.iter().find(|recording| recording.name == name).unwrap().ops();
    let session = of("session-and-errors.server.txt");
    assert!(matches!(session[0], Op::Info(json) if json.starts_with(b"{") && json.ends_with(b"}")));
    assert_eq!(session[1], Op::Pong);
    assert!(session.contains(&Op::Msg {
        subject: b"_INBOX.T1.3",
        sid: 1,
        reply: None,
        payload: br#"{"stream":"ORD","seq":1,"duplicate": true}"#
    }));
    assert!(
        session.iter().any(|op| matches!(op, Op::HMsg { headers, .. } if headers.starts_with(b"NATS/1.0 503\r\n")))
    );
    assert!(of("auth-limits-disk.server.txt").contains(&Op::Err(br#"Permissions Violation for Publish to "q.a""#)));
    let (ops, bytes) = recordings
        .iter()
        .fold((0, 0), |(ops, bytes), recording| (ops + recording.ops().len(), bytes + recording.bytes.len()));
    assert!(ops > 480 && bytes > 48_000, "{ops} ops in {bytes} bytes");
}

#[test]
fn recordings_in_one_piece_and_in_chunks() {
    for recording in recordings() {
        let expected = recording.ops();
        recording.assert_pieces(&expected, [], "whole");
        for size in [1, 2, 3, 7, 64, 4096] {
            recording.assert_pieces(&expected, (0..recording.bytes.len()).step_by(size), &format!("chunks of {size}"));
        }
    }
}

#[test]
fn recordings_at_every_cut() {
    for recording in recordings() {
        let expected = recording.ops();
        for cut in 0..recording.bytes.len() {
            recording.assert_pieces(&expected, [cut], &format!("cut at {cut}"));
        }
    }
}

#[test]
fn short_sessions_at_every_two_cuts() {
    let mut shorts: Vec<Recording> = recordings().into_iter().filter(|recording| recording.bytes.len() < 200).collect();
    assert!(!shorts.is_empty());
    let server = b"INFO {\"a\":1} \r\nPING\r\n+OK\r\nMSG a 1 3\r\n\r\n!\r\nmsg\ta  1   b 0\r\n\r\n-ERR 'x'\r\n\
        HMSG _I.1 9 16 17\r\nNATS/1.0 503\r\n\r\n\n\r\nHMSG r 9 q 0 0\r\n\r\nPONG\r\n";
    let client = b"CONNECT {}\r\nPING\r\nSUB a.> 1\r\nsub a q 2\r\nPUB a 0\r\n\r\nPUB a b 2\r\n\r\n\r\n\
        HPUB a 12 13\r\nNATS/1.0\r\n\r\nx\r\nUNSUB 1\r\nUNSUB 2 5\r\nPONG\r\n";
    shorts.push(Recording { name: "server".into(), side: Side::Server, bytes: server.to_vec() });
    shorts.push(Recording { name: "client".into(), side: Side::Client, bytes: client.to_vec() });
    for recording in shorts {
        let expected = recording.ops();
        for first in 0..recording.bytes.len() {
            for second in first..recording.bytes.len() {
                recording.assert_pieces(&expected, [first, second], &format!("cut at {first} and {second}"));
            }
        }
    }
}

/// Bytes made of the words of the protocol: far more likely to mean something than random ones.
fn almost_protocol() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "INFO",
        "CONNECT",
        "PING",
        "PONG",
        "+OK",
        "-ERR",
        "PUB",
        "HPUB",
        "SUB",
        "UNSUB",
        "MSG",
        "HMSG",
        "msg",
        "Ping",
        "PINGX",
        " ",
        " ",
        "  ",
        "\t",
        "\r\n",
        "\r\n",
        "\r\n",
        "\r",
        "\n",
        "0",
        "1",
        "2",
        "3",
        "12",
        "17",
        "33",
        "65",
        "+1",
        "-1",
        "18446744073709551616",
        "18446744073709551615",
        "a",
        "a.b",
        "{}",
        "'",
        "'x'",
        "NATS/1.0\r\n\r\n",
        "MSG a 1 3\r\nxyz\r\n",
        "MSG a 1 b 0\r\n\r\n",
        "HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        "PUB a 3\r\nxyz\r\n",
        "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        "PING\r\n",
        "SUB a 1\r\n",
        "0123456789abcdef0123456789abcdef",
    ]);
    let piece = prop_oneof![
        9 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_as_the_twin_reads_them(choice in 0..4_u8, data in almost_protocol()) {
        let small = ParserLimits { control_line_max: 32, info_max: 64, payload_max: 16 };
        let limits = if choice & 2 == 0 { ParserLimits::default() } else { small };
        agrees_with_naive(if choice & 1 == 0 { Side::Server } else { Side::Client }, limits, &data);
    }

    #[test]
    fn any_bytes_are_the_same_in_any_pieces(choice in 0..4_u8, cuts in prop::collection::vec(any::<u8>(), 15), data in almost_protocol()) {
        parse_split(&[&[choice, 15][..], &cuts, &data].concat());
    }

    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_any(&data);
    }
}
