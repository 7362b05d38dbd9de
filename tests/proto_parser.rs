//! The parser by itself: the ops of clients, limits to the byte, and its words; hostile servers stand in `tests/hostile`.

use natsink::proto::{Field, Frame, Op, OpName, ParseError, Parser, ParserLimits, Side};

fn frame(side: Side, bytes: &[u8]) -> Result<Option<Frame>, ParseError> {
    Parser::new(side, ParserLimits::default()).frame(bytes)
}

fn server(bytes: &[u8]) -> Result<Option<Op<'_>>, ParseError> {
    frame(Side::Server, bytes).map(|frame| frame.map(|frame| frame.op(bytes)))
}

fn client(bytes: &[u8]) -> Result<Option<Op<'_>>, ParseError> {
    frame(Side::Client, bytes).map(|frame| frame.map(|frame| frame.op(bytes)))
}

fn unknown(word: &str) -> ParseError {
    ParseError::UnknownOp(word.into())
}

#[test]
fn each_side_has_its_own_ops() {
    for line in ["CONNECT {}\r\n", "PUB a 0\r\n\r\n", "HPUB a 0 0\r\n\r\n", "SUB a 1\r\n", "UNSUB 1\r\n"] {
        assert!(matches!(server(line.as_bytes()), Err(ParseError::UnknownOp(_))), "{line}");
        assert!(matches!(client(line.as_bytes()), Ok(Some(_))), "{line}");
    }
    for line in ["INFO {}\r\n", "MSG a 1 0\r\n\r\n", "HMSG a 1 0 0\r\n\r\n", "+OK\r\n", "-ERR 'x'\r\n"] {
        assert!(matches!(client(line.as_bytes()), Err(ParseError::UnknownOp(_))), "{line}");
        assert!(matches!(server(line.as_bytes()), Ok(Some(_))), "{line}");
    }
}

#[test]
fn case_and_blanks_do_not_matter() {
    assert_eq!(server(b"pInG\r\n"), Ok(Some(Op::Ping)));
    assert_eq!(server(b"PONG \t\r\n"), Ok(Some(Op::Pong)));
    assert_eq!(server(b"+ok\r\n"), Ok(Some(Op::Ok)));
    assert_eq!(server(b"info\t {\"a\": 1} \t\r\n"), Ok(Some(Op::Info(b"{\"a\": 1}"))));
    assert_eq!(server(b"INFO\r\n"), Ok(Some(Op::Info(b""))));
    let advisory = Op::Msg { subject: b"$JS.EVENT.X", sid: 2, reply: None, payload: b"abc" };
    assert_eq!(server(b"MSG $JS.EVENT.X 2  3\r\nabc\r\n"), Ok(Some(advisory)), "as the real server writes it");
    assert_eq!(server(b"msg\t\t$JS.EVENT.X \t2\t3 \r\nabc\r\n"), Ok(Some(advisory)));
}

#[test]
fn arguments_are_counted() {
    for (op, name, wrong) in [
        ("PUB", OpName::Pub, [0, 1, 4, 5]),
        ("HPUB", OpName::HPub, [0, 1, 2, 5]),
        ("SUB", OpName::Sub, [0, 1, 4, 5]),
        ("UNSUB", OpName::Unsub, [0, 3, 4, 5]),
    ] {
        for found in wrong {
            let line = format!("{op}{}\r\n", " 1".repeat(found));
            assert_eq!(client(line.as_bytes()), Err(ParseError::Arguments { op: name, found }));
        }
    }
}

#[test]
fn numbers_are_plain_digits_of_64_bits() {
    let words =
        ["x", "-1", "+1", "0x10", "1e3", "1.0", "1,000", "18446744073709551616", "99999999999999999999", "\u{663}"];
    for word in words {
        let number = |op, field| Err(ParseError::Number { op, field });
        assert_eq!(client(format!("PUB a {word}\r\n").as_bytes()), number(OpName::Pub, Field::Length));
        assert_eq!(client(format!("UNSUB 1 {word}\r\n").as_bytes()), number(OpName::Unsub, Field::Max));
    }
    let max = Op::Msg { subject: b"a", sid: u64::MAX, reply: None, payload: b"" };
    assert_eq!(server(b"MSG a 18446744073709551615 0\r\n\r\n"), Ok(Some(max)));
}

#[test]
fn a_payload_too_large_is_refused_before_it_comes() {
    let max = ParserLimits::default().payload_max;
    for len in [max as u64 + 1, 4 << 30, 1 << 63, u64::MAX] {
        let refused = |op| Err(ParseError::PayloadTooLarge { op, len, max });
        assert_eq!(server(format!("HMSG a 1 {len} {len}\r\n").as_bytes()), refused(OpName::HMsg));
        assert_eq!(client(format!("PUB a {len}\r\n").as_bytes()), refused(OpName::Pub));
    }
    assert_eq!(server(format!("MSG a 1 {max}\r\n").as_bytes()), Ok(None));
    let none = ParserLimits { payload_max: 0, ..ParserLimits::default() };
    assert!(Parser::new(Side::Server, none).frame(b"MSG a 1 1\r\n").is_err());
    assert!(Parser::new(Side::Server, none).frame(b"MSG a 1 0\r\n\r\n").unwrap().is_some());
}

#[test]
fn lines_without_end_are_cut_off() {
    let limits = ParserLimits { control_line_max: 100, info_max: 200, payload_max: 100 };
    for (start, max) in
        [("MSG ", 100), ("PING", 100), ("XXXX", 100), ("IXXX", 100), ("INFO ", 200), ("info\t", 200), ("-ERR '", 200)]
    {
        let endless = [start.as_bytes(), &b"x".repeat(300)].concat();
        for len in 0..endless.len() {
            let mut parser = Parser::new(Side::Server, limits);
            let expected = if len < max + 2 { Ok(None) } else { Err(ParseError::LineTooLong { max }) };
            assert_eq!(parser.frame(&endless[..len]), expected, "{start} {len}");
        }
        let mut parser = Parser::new(Side::Server, limits);
        let first_error = (0..endless.len()).find_map(|len| parser.frame(&endless[..len]).err().map(|_| len));
        assert_eq!(first_error, Some(max + 2), "the same byte by byte");
    }
    let longest = |op: &str, max: usize| format!("{op}{}\r\n", " ".repeat(max - op.len()));
    assert!(Parser::new(Side::Server, limits).frame(longest("PING", 100).as_bytes()).is_ok());
    assert!(Parser::new(Side::Server, limits).frame(longest("PING", 101).as_bytes()).is_err());
    assert!(Parser::new(Side::Server, limits).frame(longest("INFO", 200).as_bytes()).is_ok());
    assert!(Parser::new(Side::Server, limits).frame(longest("INFO", 201).as_bytes()).is_err());
}

#[test]
fn every_error_says_whose_fault_it_is_on_one_line() {
    for line in
        ["\x1b[31m\r\n", "PING\n", "MSG\r\n", "MSG a x 1\r\n", "MSG a 1 18446744073709551615\r\n", "HMSG a 1 2 1\r\n"]
    {
        let error = server(line.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("the peer does not speak NATS as it should: "), "{error}");
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
}

#[test]
fn no_byte_is_searched_twice() {
    let mut parser = Parser::new(Side::Server, ParserLimits::default());
    assert_eq!(parser.frame(b"PIN"), Ok(None));
    // Line ends where none were before: a parser that looked there again would stop at the first.
    assert_eq!(parser.frame(b"\n\n\nG\r\n"), Err(unknown("\\n\\n\\nG")));

    let mut parser = Parser::new(Side::Server, ParserLimits::default());
    assert_eq!(parser.frame(b"MSG a 1 3\r\n"), Ok(None));
    // The control line was read: what stands there now is not looked at.
    let frame = parser.frame(b"\n\n\n\n\n\n\n\n\n\n\nabc\r\n").unwrap().unwrap();
    assert_eq!(frame.len, 16);
}
