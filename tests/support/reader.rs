//! The independent reader: `scripts/reader`, a client not written here, counts what a stream really holds.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// What `scripts/reader` found in a stream, compared with the lines of a file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    pub messages: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub out_of_order: u64,
    pub altered: u64,
    pub first_seq: u64,
    pub last_seq: u64,
}

impl Verdict {
    /// Every line once, unaltered and in order.
    pub fn is_exact(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.out_of_order == 0 && self.altered == 0
    }
}

/// Reads the whole stream and compares it with the lines of `expected`, ids included.
pub fn verdict(url: &str, stream: &str, expected: &Path) -> Verdict {
    let expected = expected.to_str().expect("test paths are UTF-8");
    let out = run(&["--url", url, "--stream", stream, "--expect-lines", expected, "--ids"]);
    let shown = String::from_utf8_lossy(&out.stdout);
    let json: Value = serde_json::from_str(shown.trim())
        .unwrap_or_else(|_| panic!("scripts/reader failed: {}", String::from_utf8_lossy(&out.stderr)));
    let count = |name: &str| json[name].as_u64().unwrap_or_else(|| panic!("scripts/reader gave no {name}"));
    let verdict = Verdict {
        messages: count("messages"),
        lost: count("lost"),
        duplicated: count("duplicated"),
        out_of_order: count("out_of_order"),
        altered: count("altered"),
        first_seq: count("first_seq"),
        last_seq: count("last_seq"),
    };
    assert_eq!(out.status.success(), verdict.is_exact(), "the reader's exit code and its words differ");
    verdict
}

/// Every message of the stream as `scripts/reader --dump` shows it: `seq`, `subject`, `headers`, `payload`.
pub fn dump(url: &str, stream: &str) -> Vec<Value> {
    let out = run(&["--url", url, "--stream", stream, "--dump"]);
    assert!(out.status.success(), "scripts/reader failed: {}", String::from_utf8_lossy(&out.stderr));
    let shown = String::from_utf8(out.stdout).expect("a dump is UTF-8");
    shown.lines().map(|line| serde_json::from_str(line).expect("a dump is JSON lines")).collect()
}

fn run(args: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/reader");
    Command::new(&script).args(args).output().unwrap_or_else(|error| panic!("{}: {error}", script.display()))
}
