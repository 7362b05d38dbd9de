//! The command from outside: what a person gives it, good and bad, and what it answers and leaves behind.

mod support;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::command::Place;

/// A change event of this table, with more members.
fn event(table: &str, more: &str) -> String {
    format!(r#"{{"op":"c","source":{{"table":{table}}}{more}}}"#)
}

#[test]
fn no_bad_event_disappears() {
    let place = Place::new();
    let huge = "x".repeat(2 << 20);
    let routed = |topic: &str| event("\"a\"", &format!(r#","routing":{{"topic":{topic}}}"#));
    let with_header =
        |name: &str, value: &str| event("\"a\"", &format!(r#","routing":{{"headers":{{{name}:{value}}}}}"#));
    let bad: Vec<(Vec<u8>, &str)> = vec![
        (br#"{"op":"c","source":"#.to_vec(), "not JSON: EOF while parsing"),
        (b"nonsense".to_vec(), "not JSON"),
        (b"[1,2]".to_vec(), "JSON, but not an object"),
        (format!("{}x", event("\"a\"", "")).into(), "not JSON: trailing characters"),
        (br#"{"op":"c","op":"d","source":{"table":"a"}}"#.to_vec(), "\"op\" stands twice"),
        (br#"{"op":"x","source":{"table":"a"}}"#.to_vec(), "its op is none of"),
        (br#"{"op":"c"}"#.to_vec(), "it has no source object"),
        (br#"{"op":"c","source":{}}"#.to_vec(), "source.table is missing or null"),
        (event("null", "").into(), "source.table is missing or null"),
        (event("\"\"", "").into(), "source.table is empty"),
        (event("{}", "").into(), "source.table is an object or an array"),
        (event("\"a b\"", "").into(), "source.table has ' '"),
        (event("\"a.b\"", "").into(), "source.table has '.'"),
        (event("\"*\"", "").into(), "source.table has '*'"),
        (event("\">\"", "").into(), "source.table has '>'"),
        (event(r#""a\r\nPUB orders.b 0""#, "").into(), r"source.table has '\r'"),
        (event(r#""a\nb""#, "").into(), r"source.table has '\n'"),
        (event(r#""a\u0000""#, "").into(), r"source.table has '\0'"),
        (event(r#""a\ud800""#, "").into(), "half a character"),
        (b"{\"op\":\"c\",\"source\":{\"table\":\"a\xff\"}}".to_vec(), "not UTF-8 from byte 30"),
        (b"{\"op\":\"c\",\0}".to_vec(), "not JSON"),
        (event("\"a\"", &format!(r#","after":"{huge}""#)).into(), "1048576"),
        (routed("\"other.events\"").into(), "other.events"),
        (routed("\"orders.*\"").into(), "a wildcard"),
        (routed("\"$JS.API.STREAM.DELETE.ORDERS\"").into(), "belongs to the server"),
        (routed("\"_INBOX.x\"").into(), "belongs to the server or to an inbox"),
        (routed("7").into(), "routing.topic must be a string"),
        (with_header("\"Nats-Rollup\"", "\"all\"").into(), "may not set the header \"Nats-Rollup\""),
        (with_header("\"nats-expected-stream\"", "\"X\"").into(), "may not set the header"),
        (with_header("\"x\"", r#""a\r\nNats-Rollup: all""#).into(), "no headers"),
        (event("\"a\"", r#","routing":{"key":"a\r\nb"}"#).into(), "routing.key"),
    ];
    let mut input = Vec::new();
    let mut good = Vec::new();
    for (number, (line, _)) in bad.iter().enumerate() {
        good.push(event("\"a\"", &format!(r#","after":{number}"#)));
        input.extend_from_slice(good[number].as_bytes());
        input.push(b'\n');
        input.extend_from_slice(line);
        input.push(b'\n');
    }
    let args = ["--subject", "orders.${source.table}", "--dead-letter", "dead"];
    let count = bad.len() as u64;
    place.pipe(&args, input.clone()).ends(0, [2 * count, count, 0, count, 0, 0]);
    assert_eq!(place.payloads(), good);
    let letters = place.letters("dead");
    for (letter, (line, reason)) in letters.iter().zip(&bad) {
        let told = letter["reason"].as_str().unwrap();
        assert!(told.contains(reason), "{reason:?} is not in {told:?}");
        let at = usize::try_from(letter["position"].as_u64().unwrap()).unwrap();
        assert_eq!(&input[at..at + line.len()], line, "{reason}");
        match letter["payload"].as_str() {
            Some(payload) => assert_eq!(payload.as_bytes(), line, "{reason}"),
            None => assert!(std::str::from_utf8(line).is_err() && letter["payload_base64"].is_string(), "{reason}"),
        }
    }
    assert_eq!(letters.len(), bad.len());
    let strict = place.pipe(&[&args[..], &["--strict-input"]].concat(), input);
    strict.ends(65, [2 * count, count, 0, count, 0, 0]).fails(65, "dead_letters", &["31 events are dead letters"]);
}

#[test]
fn a_letter_tells_what_an_event_was_to_be() {
    let place = Place::new();
    place.create_stream(json!({"name": "SMALL", "subjects": ["small.>"], "max_msg_size": 300}));
    let args = ["--stream", "SMALL", "--subject", "small.${source.table}", "--pipeline", "p", "--input-id", "in"];
    let long = event("\"a\"", &format!(r#","after":"{}""#, "x".repeat(300)));
    let input = format!("{long}\n{}\nnonsense", event("\"b\"", ""));
    place.pipe(&[&args[..], &["--dead-letter", "dead"]].concat(), input.clone()).ends(0, [3, 1, 0, 2, 0, 0]);
    let [large, unread] = &place.letters("dead")[..] else { panic!("{}", place.read("dead")) };
    let at = |letter: &Value| letter["at"].as_str().unwrap().to_owned();
    assert!(at(large).ends_with('Z') && at(unread).contains('T'));
    let reason = large["reason"].as_str().unwrap();
    assert!(reason.contains("300"), "{reason}");
    assert_eq!((&large["position"], &large["subject"], &large["id"]), (&json!(0), &json!("small.a"), &json!("p|in:0")));
    assert_eq!((&large["payload"], &large["attempts"]), (&json!(long), &json!(0)));
    assert_eq!(
        (&unread["subject"], &unread["id"], &unread["payload"]),
        (&json!(null), &json!(null), &json!("nonsense"))
    );
    let subjects: Vec<_> = place.stored_in("SMALL").into_iter().map(|event| (event.subject, event.id)).collect();
    assert_eq!(subjects, [("small.b".to_owned(), format!("p|in:{}", long.len() + 1))]);
    // Headers count: an event that fits alone does not fit with them.
    let tight = event("\"a\"", &format!(r#","after":"{}""#, "x".repeat(220)));
    let header = format!("x-filler={}", "y".repeat(80));
    place.pipe(&[&args[..], &["--header", &header]].concat(), tight).fails(65, "event", &["line 1, byte 0", "300"]);
}

#[test]
fn a_line_that_is_too_long_is_measured_and_the_next_one_arrives() {
    let place = Place::new();
    let source = "source: { type: stdin, format: lines, max_line_bytes: 100000 }";
    place.configure(&format!("{source}\ndead_letter: {{ path: dead }}"), "");
    let line = |len: usize| (0..len).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap())).collect::<String>();
    let (fits, long, last) = (line(100_000), line(3_000_000), line(100_001));
    let input = format!("{fits}\n{long}\nshort\n{last}");
    place.pipe(&["-c", "natsink.yaml"], input).ends(0, [4, 2, 0, 2, 0, 0]);
    assert_eq!(place.payloads(), [fits.as_str(), "short"]);
    let letters = place.letters("dead");
    assert_eq!(letters.len(), 2);
    for (letter, line, position) in [(&letters[0], &long, 100_001), (&letters[1], &last, 3_100_008)] {
        assert_eq!((&letter["length"], &letter["position"]), (&json!(line.len()), &json!(position)));
        assert_eq!(letter["payload"].as_str().unwrap(), &line[..65_536]);
        let sha256 = Sha256::digest(line.as_bytes());
        let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(letter["sha256"].as_str().unwrap(), hex);
        assert!(letter["reason"].as_str().unwrap().contains("max_line_bytes is 100000"), "{letter}");
    }
}

#[test]
fn without_a_file_for_them_a_bad_event_stops_the_run_before_it() {
    let place = Place::new();
    let good: Vec<String> = (0..5).map(|number| event("\"a\"", &format!(r#","after":{number}"#))).collect();
    let [first, second, third, ..] = &good[..] else { unreachable!() };
    let input = format!("{first}\n\n{second}\nnonsense\n{third}\n");
    place.write("in", &input);
    let args = ["--subject", "orders.${source.table}", "--input", "in", "--checkpoint", "c"];
    let position = input.find("nonsense").unwrap();
    let ended = place.run(&args);
    ended.fails(65, "event", &["line 4", &format!("byte {position}"), "not JSON", "--dead-letter"]);
    let [_, stored, _, dead, _, skipped] = ended.counts();
    assert_eq!((stored, dead, skipped), (2, 0, 1));
    assert_eq!(place.position("c"), position as u64);
    assert_eq!(&place.payloads(), &good[..2]);
    // As long as nobody mends it, the next run ends at the same place.
    place.run(&args).fails(65, "event", &["line 4"]);
    place.write("in", input.replace("nonsense", "        "));
    place.run(&args).ends(0, [2, 1, 0, 0, 0, 1]);
    assert_eq!(&place.payloads(), &good[..3]);
}

#[test]
fn every_byte_arrives_as_it_was() {
    let place = Place::new();
    let deep = format!("{}{}", r#"{"a":["#.repeat(100_000), "]}".repeat(100_000));
    let number = "-0.1234567890123456789012345678901234567890e+400";
    let changes = [
        event("\"a\"", &format!(r#","after":{{"z":{number},"a":18446744073709551616,"é":"\u00e9\/"}}"#)),
        event("\"a\"", &format!(r#","after":{deep}"#)),
        format!("  {}\t", event("\"a\"", r#", "after" : [ 1 , 2 ]"#)),
        event(r#""\u0061""#, ""),
    ];
    place.pipe(&["--subject", "orders.${source.table}"], changes.join("\r\n")).ends(0, [4, 4, 0, 0, 0, 0]);
    let lines = [&b"nul \0 in it"[..], b"\xff\xfe not text", b"ends with \r", b" ", b"the last has no end"];
    let input = [&lines.join(&b'\n')[..], b"\n\n\n"].concat();
    let json = "\n \t \n{\"any\":1.10}\n{}\n\r\n";
    place.pipe(&["--format", "lines"], &input[..input.len() - 2]).ends(0, [5, 5, 0, 0, 0, 0]);
    place.pipe(&["--format", "lines"], &input[..]).ends(0, [7, 5, 0, 0, 0, 2]);
    place.pipe(&["--format", "json"], json).ends(0, [5, 2, 0, 0, 0, 3]);
    let stored = place.raw().stored("ORDERS");
    let payloads: Vec<&[u8]> = stored.iter().map(|message| message.payload.as_slice()).collect();
    let changes: Vec<String> =
        changes[..3].iter().map(|line| format!("{line}\r")).chain([changes[3].clone()]).collect();
    let mut expected: Vec<&[u8]> = changes.iter().map(String::as_bytes).collect();
    expected.extend(lines.iter().chain(&lines));
    expected.extend([&b"{\"any\":1.10}"[..], b"{}"]);
    assert!(payloads == expected);
    let read: Vec<String> = place.payloads();
    assert_eq!((read.len(), &read[0], &read[4]), (16, &changes[0], &"nul \0 in it".to_owned()));
    // Nothing at all is something that ends well.
    place.run(&[]).ends(0, [0; 6]);
    place.pipe(&[], "\n\n").ends(0, [2, 0, 0, 0, 0, 2]);
}

#[test]
fn routing_is_obeyed_and_never_sent() {
    let place = Place::new();
    let routed = |routing: &str| event("\"a\"", &format!(r#","routing":{routing},"after":{{ "id" : 1.0 }}"#));
    let input = [
        routed(r#"{"topic":"orders.vip","key":"k","headers":{"x-env":"test","x-more":"é"}}"#),
        routed(r#"{"raw_payload":true}"#),
        routed("{}"),
        routed("null"),
    ];
    let args = ["--key", "${after.id}", "--header", "x-env=prod", "--header", "x-team=a"];
    place.pipe(&args, input.join("\n")).ends(0, [4, 4, 0, 0, 0, 0]);
    let stored = place.stored();
    let whole = event("\"a\"", r#","after":{ "id" : 1.0 }"#);
    let payloads: Vec<&str> = stored.iter().map(|event| event.payload.as_str()).collect();
    assert_eq!(payloads, [&whole, r#"{ "id" : 1.0 }"#, &whole, &whole]);
    let subjects: Vec<&str> = stored.iter().map(|event| event.subject.as_str()).collect();
    assert_eq!(subjects, ["orders.vip", "orders.events", "orders.events", "orders.events"]);
    let header = |at: usize, name: &str| stored[at].headers[name].as_str().map(str::to_owned);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!((header(0, "df-key"), header(0, "x-env"), header(0, "x-team")), (text("k"), text("test"), text("a")));
    assert_eq!((header(1, "df-key"), header(1, "x-env")), (text("1.0"), text("prod")));
    assert_eq!(header(0, "Nats-Expected-Stream"), text("ORDERS"));
}

#[test]
fn one_id_for_two_payloads_is_told() {
    let place = Place::new();
    let args = ["--format", "json", "--id", "${id}", "--pipeline", "p"];
    let input = "{\"id\":1,\"n\":1}\n{\"id\":2}\n{\"id\":1,\"n\":1}\n{\"id\":1,\"n\":2}\n{\"id\":3}\n{}\n";
    let dead = place.pipe(&[&args[..], &["--dead-letter", "dead"]].concat(), input);
    dead.ends(0, [6, 3, 1, 2, 0, 0]);
    assert_eq!(dead.count("unverified"), 0);
    let letters = place.letters("dead");
    let mut reasons: Vec<&str> = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert!(reasons[0].contains("sequence 1") && reasons[1].contains("id is missing or null"), "{reasons:?}");
    let collided = letters.iter().find(|letter| letter["id"] == "p|1").expect("the letter of the collision");
    assert_eq!((&collided["payload"], &collided["attempts"]), (&json!("{\"id\":1,\"n\":2}"), &json!(1)));
    assert_eq!(place.payloads(), ["{\"id\":1,\"n\":1}", "{\"id\":2}", "{\"id\":3}"]);
    // Without a file it stops the run, and across runs it is told as well.
    let stopped = place.pipe(&args, "{\"id\":2,\"other\":true}\n");
    stopped.ends(65, [1, 0, 0, 0, 1, 0]).fails(65, "event", &["line 1", "id p|2"]);
    assert_eq!(place.stored().len(), 3);
    // Equal content is one event where that was asked for, on one subject.
    let content = ["--format", "lines", "--id", "content"];
    place.pipe(&content, "x\ny\nx\n").ends(0, [3, 2, 1, 0, 0, 0]);
    place.pipe(&[&content[..], &["--subject", "orders.other"]].concat(), "x\n").ends(0, [1, 1, 0, 0, 0, 0]);
}
