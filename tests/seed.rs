//! The checklist in `docs/seed.md`: every test that it names is there, under that name, and no promise is without one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A row of the checklist: what is promised, and the tests that hold it true.
struct Row {
    line: usize,
    promise: String,
    tests: Vec<(String, String)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of all tables, without their heads.
fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = cells.split(" | ").collect();
        let (Some(promise), Some(last)) = (cells.first(), cells.last()) else { continue };
        if *last == "held by" {
            continue;
        }
        let named = last.split('`').skip(1).step_by(2);
        let tests = named.filter_map(|name| name.split_once("::")).map(|(file, test)| (file.into(), test.into()));
        rows.push(Row { line: index + 1, promise: (*promise).into(), tests: tests.collect() });
    }
    rows
}

/// Whether the file has a function of this name, a test by its attribute.
fn has_test(source: &str, name: &str) -> bool {
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            if is_test && rest.split('(').next() == Some(name) {
                return true;
            }
            is_test = false;
        }
    }
    false
}

#[test]
fn every_test_of_the_checklist_is_there() {
    let text = fs::read_to_string(root().join("docs/seed.md")).expect("the checklist");
    let rows = rows(&text);
    assert!(rows.len() > 60, "only {} rows were understood", rows.len());
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for row in &rows {
        if row.tests.is_empty() {
            missing.push(format!("line {}: no test for {:?}", row.line, row.promise));
        }
        for (at, (file, test)) in row.tests.iter().enumerate() {
            if row.tests[..at].contains(&(file.clone(), test.clone())) {
                missing.push(format!("line {}: {test} twice", row.line));
            }
            let source = sources
                .entry(file.clone())
                .or_insert_with(|| fs::read_to_string(root().join(file)).unwrap_or_default());
            if !has_test(source, test) {
                missing.push(format!("line {}: no test {test} in {file}", row.line));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_test_is_known_by_its_attribute() {
    let source = "#[test]\n#[ignore]\nfn one() {\n}\nfn two() {}\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn three() {}\n";
    assert_eq!(["one", "two", "three"].map(|name| has_test(source, name)), [true, false, true]);
    let rows = rows("| promise | held by |\n|---|---|\n| a | `x.rs::one`, `y.rs::two` |\n| b | nothing |\n");
    assert_eq!(rows.iter().map(|row| row.tests.len()).collect::<Vec<_>>(), [2, 0]);
}
