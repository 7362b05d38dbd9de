//! F01–F19: lines, ops and lengths that are not as they must be, and those that only look so.

use natsink::connection::{Limits, LinkError};
use natsink::jetstream::Outcome;
use natsink::proto::{Field, OpName, ParseError, ParserLimits, ServerError};
use natsink::session::{LinkNotice, LinkState};

use super::case::Case;
use super::peer::{INFO, Peer};
use super::session_script;

/// Played once for each line: a link that is up hears it, and breaks off for this reason.
fn breaks(number: &str, lines: &[(&str, ParseError)]) {
    let case = Case::new(number);
    for (line, error) in lines {
        case.play(|peer| {
            peer.greet();
            peer.say(line);
            assert_eq!(peer.lost(), LinkError::Protocol(error.clone()), "{line:?}");
        });
    }
}

/// Played once for each: a client that hears it first breaks off for this reason, and has said nothing.
fn breaks_first(number: &str, greetings: &[(&[u8], LinkError)]) {
    let case = Case::new(number);
    for (greeting, error) in greetings {
        case.play(|peer| {
            peer.accept();
            peer.say(greeting);
            assert_eq!(peer.said_until_lost(), b"", "{}", greeting.escape_ascii());
            assert_eq!(peer.reason(), *error, "{}", greeting.escape_ascii());
        });
    }
}

fn unknown(word: &str) -> ParseError {
    ParseError::UnknownOp(word.into())
}

/// A message of the stream `ORD` is published, and acknowledged by what `ack` makes of its reply subject, sid and ack.
fn settles(peer: &mut Peer, ack: impl Fn(&str, u64, &str) -> String) {
    peer.greet();
    peer.add_publisher();
    let published = peer.publish(1);
    let sid = peer.sid_of(&published.reply);
    peer.say(ack(&published.reply, sid, r#"{"stream":"ORD","seq":7}"#));
    assert_eq!(peer.outcome(1), Outcome::Stored { seq: 7 });
}

#[test]
fn f01_an_end_before_info() {
    Case::new("F01").play(|peer| {
        for _ in 0..3 {
            peer.accept();
            assert!(matches!(peer.hang_up(), LinkError::Closed { .. }));
            // Not given up: the pause may already be over.
            assert!(matches!(peer.stage.link_state(), LinkState::Resting | LinkState::Dialing));
        }
    });
}

#[test]
fn f02_something_else_than_info_first() {
    let early = LinkError::OutOfPlace("an op before INFO");
    breaks_first(
        "F02",
        &[
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", LinkError::Protocol(unknown("HTTP/1.1"))),
            (b"\x15\x03\x01\x00\x02\x02\x28\r\n", LinkError::Protocol(unknown(r"\x15\x03\x01\x00\x02\x02("))),
            (b"SSH-2.0-OpenSSH_9.7\r\n", LinkError::Protocol(unknown("SSH-2.0-OpenSSH_"))),
            (b"PING\r\n", early.clone()),
            (b"PONG\r\n", early.clone()),
            (b"+OK\r\n", early.clone()),
            (b"MSG a 1 0\r\n\r\n", early),
            (b"-ERR 'Authorization Violation'\r\n", LinkError::Refused(ServerError::AuthorizationViolation)),
        ],
    );
}

#[test]
fn f03_every_op_cut_at_every_byte() {
    let script = session_script::bytes();
    let whole = session_script::events(&script, &[]);
    assert_eq!(whole.len(), session_script::EVENTS, "{whole:#?}");
    for at in 1..script.len() {
        assert_eq!(session_script::events(&script, &[at]), whole, "cut behind {at} bytes");
        assert_eq!(session_script::events(&script, &[at, at + 1]), whole, "one byte alone behind {at}");
    }
    Case::new("F03").play(session_script::play);
}

#[test]
fn f04_a_session_byte_by_byte() {
    let script = session_script::bytes();
    let bytewise: Vec<usize> = (1..script.len()).collect();
    assert_eq!(session_script::events(&script, &bytewise), session_script::events(&script, &[]));
    Case::new("F04").bytewise().play(session_script::play);
}

#[test]
fn f05_a_line_without_end() {
    let _alone = super::alone();
    assert_eq!((Limits::default().control_line_max, Limits::default().info_max), (4096, 1 << 20));
    let (control_line_max, info_max) = (4096, 20_000);
    let case = Case::new("F05").with(|options| options.limits.info_max = info_max);
    for (start, max) in [("MSG ", control_line_max), ("PING", control_line_max), ("-ERR '", info_max)] {
        case.play(|peer| {
            peer.greet();
            endless(peer, start, max);
        });
    }
    case.play(|peer| {
        peer.accept();
        endless(peer, "INFO {\"server_name\":\"", info_max);
    });
}

/// A line that begins like this and never ends is listened to for this long, and nothing of it is kept.
fn endless(peer: &mut Peer, start: &str, max: usize) {
    let (taken, held) = (peer.stage.statistics().bytes_in, super::bytes_held());
    peer.say(start);
    for _ in 0..512 {
        peer.say([b'x'; 64 << 10]);
        if !peer.stage.is_heard() {
            break;
        }
    }
    assert_eq!(peer.lost(), LinkError::Protocol(ParseError::LineTooLong { max }), "{start}");
    let taken = peer.stage.statistics().bytes_in - taken;
    // A read brings 64 KiB at most.
    assert!(taken <= max as u64 + (64 << 10), "{start} was listened to for {taken} bytes");
    assert!(super::bytes_held() < held + (8 << 20), "what a peer says without end is kept");
}

#[test]
fn f06_line_feeds_and_carriage_returns_alone() {
    breaks(
        "F06",
        &[
            ("PING\n", ParseError::BareLineFeed),
            ("\n", ParseError::BareLineFeed),
            ("MSG a 1 0\n\n", ParseError::BareLineFeed),
            ("PING\rPONG\r\n", unknown(r"PING\rPONG")),
            ("PING\r\r\n", unknown(r"PING\r")),
        ],
    );
    breaks_first("F06", &[(b"INFO {}\n", LinkError::Protocol(ParseError::BareLineFeed))]);
}

#[test]
fn f07_blanks_and_tabs() {
    let case = Case::new("F07");
    case.play(|peer| settles(peer, |to, sid, ack| format!("MSG {to} {sid}  {}\r\n{ack}\r\n", ack.len())));
    case.play(|peer| settles(peer, |to, sid, ack| format!("MSG \t {to}\t\t{sid}\t {} \t\r\n{ack}\r\n", ack.len())));
    case.play(|peer| settles(peer, |to, sid, ack| format!("PING \t\r\nMSG\t{to} {sid} {}\r\n{ack}\r\n", ack.len())));
}

#[test]
fn f08_ops_in_lower_case() {
    Case::new("F08").play(|peer| {
        peer.accept();
        peer.say(format!("info {INFO}\r\n"));
        peer.connect();
        peer.say("+ok\r\npong\r\n-err 'Invalid Subject'\r\n");
        peer.add_publisher();
        let published = peer.publish(1);
        let sid = peer.sid_of(&published.reply);
        peer.say(format!(
            "msg {} {sid} 24\r\n{{\"stream\":\"ORD\",\"seq\":7}}\r\nhmsg x 99 12 12\r\nNATS/1.0\r\n\r\n\r\n",
            published.reply
        ));
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 7 });
        peer.say("pInG\r\n");
        peer.fence();
    });
}

#[test]
fn f09_ops_that_are_none() {
    breaks(
        "F09",
        &[
            ("XYZZY a b c\r\n", unknown("XYZZY")),
            ("\r\n", unknown("")),
            (" PING\r\n", unknown("")),
            ("\0\r\n", unknown(r"\x00")),
            ("AVERYLONGWORDTHATISNOOP x\r\n", unknown("AVERYLONGWORDTHA")),
            // A server has no business with these.
            ("PUB a 0\r\n\r\n", unknown("PUB")),
            ("SUB a 1\r\n", unknown("SUB")),
            ("CONNECT {}\r\n", unknown("CONNECT")),
        ],
    );
}

#[test]
fn f10_ops_that_only_begin_like_one() {
    let words = ["PINGX", "PONGY", "+OKAY", "INFOS", "MSGS", "HMSGX", "-ERRR", "-ERR'x'", "INFO{}"];
    let lines: Vec<_> = words.iter().map(|word| (format!("{word}\r\n"), unknown(&word.replace('\'', "\\'")))).collect();
    breaks("F10", &lines.iter().map(|(line, error)| (line.as_str(), error.clone())).collect::<Vec<_>>());
    let arguments = |op| ParseError::Arguments { op, found: 1 };
    breaks("F10", &[("PING x\r\n", arguments(OpName::Ping)), ("+OK x\r\n", arguments(OpName::Ok))]);
}

#[test]
fn f11_complaints_in_any_dress() {
    for (line, words) in [
        ("-ERR", ""),
        ("-ERR ", ""),
        ("-ERR '", ""),
        ("-ERR ''", ""),
        ("-ERR no quotes", "no quotes"),
        ("-ERR 'open", "open"),
        ("-ERR open'", "open"),
        ("-ERR 'it's'", "it's"),
        ("-ERR '\x1b[31m\u{7}'", "\x1b[31m\u{7}"),
    ] {
        complains(line, &ServerError::Other(words.into()));
    }
    let long = format!("-ERR '{}'", "x".repeat(1_000_000));
    complains(&long, &ServerError::Other("x".repeat(1024)));
    complains("-err\t'maximum subscriptions exceeded' ", &ServerError::MaximumSubscriptionsExceeded);
}

/// The client tells of this complaint, keeps its link, and could show it to anybody.
fn complains(line: &str, error: &ServerError) {
    Case::new("F11").coarse_if(line.len() > 1000).play(|peer| {
        peer.greet();
        peer.new_notices();
        peer.say(format!("{line}\r\n"));
        peer.fence();
        assert_eq!(peer.new_notices(), [LinkNotice::ServerError(error.clone())]);
        assert!(!error.to_string().chars().any(char::is_control));
    });
}

#[test]
fn f14_messages_with_other_numbers_of_arguments() {
    let wrong = [(OpName::Msg, "MSG", [0, 1, 2, 5, 6, 7, 8, 9]), (OpName::HMsg, "HMSG", [0, 1, 2, 3, 6, 7, 8, 9])];
    for (op, word, counts) in wrong {
        for found in counts {
            breaks("F14", &[(&format!("{word}{}\r\n", " 1".repeat(found)), ParseError::Arguments { op, found })]);
        }
    }
    for line in ["MSG ax1 2\r\n", "MSG a.1 2\r\n", "MSG  1 2\r\n", "MSG 1\t2\r\n", "MSG a 1 \r\n"] {
        breaks("F14", &[(line, ParseError::Arguments { op: OpName::Msg, found: 2 })]);
    }
}

#[test]
fn f15_subscription_numbers_that_are_none() {
    for sid in ["x", "-1", "+1", "0x10", "1.0", "18446744073709551616", "99999999999999999999", "\u{663}"] {
        let number = |op| ParseError::Number { op, field: Field::Sid };
        breaks(
            "F15",
            &[
                (&format!("MSG a {sid} 1\r\nx\r\n"), number(OpName::Msg)),
                (&format!("HMSG a {sid} 1 1\r\nx\r\n"), number(OpName::HMsg)),
            ],
        );
    }
}

#[test]
fn f16_lengths_that_are_none() {
    for len in ["-1", "+1", "0x10", "1e3", "1.0", "1,000", "18446744073709551616", "\u{663}"] {
        let number = |op, field| ParseError::Number { op, field };
        breaks(
            "F16",
            &[
                (&format!("MSG a 1 {len}\r\n"), number(OpName::Msg, Field::Length)),
                (&format!("HMSG a 1 {len} 1\r\n"), number(OpName::HMsg, Field::HeaderLength)),
                (&format!("HMSG a 1 1 {len}\r\n"), number(OpName::HMsg, Field::Length)),
            ],
        );
    }
    // `5 5` is an argument too many or a reply subject, nothing at all an argument too few.
    let msg = |found| ParseError::Arguments { op: OpName::Msg, found };
    breaks("F16", &[("MSG a 1 r 5 5\r\n", msg(5)), ("MSG a 1 \r\n", msg(2))]);
    let max = ParserLimits::default().payload_max;
    for len in [1 << 63, u64::MAX] {
        breaks("F16", &[(&format!("MSG a 1 {len}\r\n"), ParseError::PayloadTooLarge { op: OpName::Msg, len, max })]);
    }
}

#[test]
fn f17_lengths_above_the_cap() {
    let _alone = super::alone();
    let max = ParserLimits::default().payload_max;
    for len in [max as u64 + 1, 4 << 30] {
        let refused = |op| ParseError::PayloadTooLarge { op, len, max };
        let held = super::bytes_held();
        breaks(
            "F17",
            &[
                (&format!("MSG a 1 {len}\r\n"), refused(OpName::Msg)),
                (&format!("HMSG a 1 12 {len}\r\n"), refused(OpName::HMsg)),
            ],
        );
        assert!(super::bytes_held() < held + (max >> 1), "room was made for what was only announced");
    }
}

#[test]
fn f18_payloads_that_do_not_end_where_they_must() {
    for tail in ["abcdef", "abc\r\r", "abc\n\n", "abcd\r\n", "ab\r\nP"] {
        breaks("F18", &[(&format!("MSG a 1 3\r\n{tail}"), ParseError::PayloadEnd(OpName::Msg))]);
    }
    breaks("F18", &[("HMSG a 1 12 13\r\nNATS/1.0\r\n\r\nxyz", ParseError::PayloadEnd(OpName::HMsg))]);
}

#[test]
fn f19_header_lengths_against_total_lengths() {
    breaks("F19", &[("HMSG a 1 13 12\r\n", ParseError::HeadersTooLong { op: OpName::HMsg, headers: 13, total: 12 })]);
    // No headers, and nothing at all: messages, and no proof of anything.
    Case::new("F19").play(|peer| {
        peer.greet();
        peer.add_publisher();
        let published = peer.publish(1);
        peer.answer_with(&published, "", "");
        peer.answer_with(&published, "", "x");
        peer.fence();
        assert!(!peer.is_settled(1));
        peer.ack(&published, 7);
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 7 });
    });
}
