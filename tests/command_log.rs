//! The log as JSON: one object a line, with the fields that the manual names.

mod support;

use serde_json::Value;
use support::command::{Ended, Place, events};

/// The entries of the log.
#[track_caller]
fn entries(ended: &Ended) -> Vec<Value> {
    let entry = |line: &str| {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["at", "level", "message"] {
            assert!(entry[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {line}");
        }
        entry
    };
    ended.told.lines().map(entry).collect()
}

#[track_caller]
fn entry<'a>(entries: &'a [Value], words: &str) -> &'a Value {
    let has = |entry: &&Value| entry["message"].as_str().is_some_and(|message| message.contains(words));
    entries.iter().find(has).unwrap_or_else(|| panic!("no entry {words}: {entries:#?}"))
}

#[test]
fn a_dead_letter_has_its_place_subject_id_and_reason_as_fields() {
    let place = Place::new();
    let text = events(2) + r#"{"op":"c","source":{"table":"a b"}}"# + "\n";
    let args = ["--log-format", "json", "--dead-letter", "d", "--subject", "orders.${source.table}", "--input-id", "x"];
    let ended = place.pipe(&args, text + "{\n");
    ended.ends(0, [4, 2, 0, 2, 0, 0]);
    let told = entries(&ended);
    let letters = place.letters("d");
    let dead: Vec<&Value> = told.iter().filter(|entry| !entry["reason"].is_null()).collect();
    assert_eq!(dead.len(), 2, "{told:#?}");
    for (entry, letter) in dead.iter().zip(&letters) {
        assert_eq!(entry["level"], "warn");
        for field in ["position", "reason"] {
            assert_eq!(entry[field], letter[field], "{field}");
        }
    }
    assert_eq!((dead[0]["line"].as_u64(), dead[1]["line"].as_u64()), (Some(3), Some(4)));
    assert_eq!(entry(&told, "connected to")["server"], place.server.name().as_str());
    assert!(entry(&told, "4 read = 2 stored")["level"] == "info");
}

#[test]
fn the_last_word_has_the_kind_and_the_exit_code() {
    let place = Place::new();
    let ended = place.pipe(&["--log-format", "json"], "no event\n");
    let told = entries(&ended);
    let last = told.last().expect("a last word");
    assert_eq!((ended.code, last["code"].as_i64(), last["level"].as_str()), (65, Some(65), Some("error")));
    assert_eq!(last["kind"], ended.receipt["exit"]["kind"]);
    assert_eq!(last["message"], ended.receipt["exit"]["message"]);
}
