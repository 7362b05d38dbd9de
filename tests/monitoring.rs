//! What is written down about metrics: the table, the dashboard and the alerts name what is served, and all of it.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use support::command::{Place, events};
use support::http::{addr, get, metrics};
use support::proxy::Rules;
use support::{Direction, Proxy};

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).expect("the document is there")
}

/// The families that a run serves when all of them are there: its input has a length.
fn served() -> Value {
    let place = Place::new();
    let proxy = Proxy::start(&place.server.address());
    proxy.set(Direction::ToServer, Rules { rate: Some(2000), ..Rules::default() });
    place.write("in", events(1000));
    let mut run = place.start(&["--input", "in", "--http", "127.0.0.1:0", "--url", &proxy.url()]);
    let at = addr(&mut run);
    run.until("it has begun", |_| get(at, "/metrics").body.contains("deltaforge_input_lag_bytes"));
    metrics(at).0
}

/// Names of metrics in a text, with the endings that histograms and summaries add taken away.
fn names(text: &str, families: &Value) -> BTreeSet<String> {
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
    let name = |word: &str| {
        let endings = ["_bucket", "_sum", "_count"].iter().filter_map(|ending| word.strip_suffix(ending));
        endings.chain([word]).find(|name| families.get(name).is_some()).unwrap_or(word).to_owned()
    };
    words.filter(|word| word.starts_with("deltaforge_")).map(name).collect()
}

#[test]
fn documents_name_what_is_served() {
    let families = served();
    let all: BTreeSet<String> = families.as_object().expect("families").keys().cloned().collect();

    let labels = |family: &Value| -> BTreeSet<String> {
        let samples = family["samples"].as_array().expect("samples").iter();
        samples.flat_map(|sample| sample[1].as_object().expect("labels").keys().cloned()).collect()
    };
    let row = |(name, family): (&String, &Value)| {
        let labels = labels(family).into_iter().filter(|label| label != "le" && label != "quantile");
        let labels: Vec<String> = labels.map(|label| format!("`{label}`")).collect();
        let text = |key: &str| family[key].as_str().expect("a text").to_owned();
        (name.clone(), [text("type"), labels.join(" "), text("help")])
    };
    let expected: BTreeMap<String, [String; 3]> = families.as_object().expect("families").iter().map(row).collect();
    let table = document("monitoring.md");
    let written = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `deltaforge_")?.strip_suffix(" |")?.split(" | ");
        let name = format!("deltaforge_{}", cells.next()?.strip_suffix('`')?);
        Some((name, [cells.next()?.into(), cells.next()?.into(), cells.next()?.into()]))
    });
    let written: Vec<_> = written.collect();
    assert_eq!(written.len(), expected.len(), "docs/monitoring.md: a row too few or too many");
    assert_eq!(written.into_iter().collect::<BTreeMap<_, _>>(), expected, "docs/monitoring.md");

    let dashboard = document("monitoring/dashboard.json");
    let parsed: Value = serde_json::from_str(&dashboard).expect("the dashboard is JSON");
    let panels = parsed["panels"].as_array().expect("panels");
    let asked = |panel: &Value| panel["targets"].as_array().is_some_and(|targets| !targets.is_empty());
    assert!(panels.len() > 10 && panels.iter().all(asked), "a panel without a question");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels with one id");
    for (name, text) in [("dashboard.json", dashboard), ("alerts.yaml", document("monitoring/alerts.yaml"))] {
        let found = names(&text, &families);
        assert!(found.len() > 8, "{name}: {found:?}");
        assert!(found.is_subset(&all), "{name} asks for {:?}", found.difference(&all));
    }
}
