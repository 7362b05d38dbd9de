//! The schema and the annotated example of the configuration, held against what is really read: the same keys, the same
//! defaults, the same verdicts.

#[path = "support/plans.rs"]
mod plans;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use natsink::config::{Document, Flags, Plan, check};
use plans::{FirstSink as _, good, plan, refused, sink_with};
use serde_json::Value;

type Keys = BTreeMap<String, BTreeSet<String>>;

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

fn schema() -> Value {
    serde_json::from_slice(&fs::read(docs("natsink.schema.json")).expect("the schema is there")).expect("JSON")
}

fn example() -> String {
    fs::read_to_string(docs("natsink.example.yaml")).expect("the example is there")
}

/// The example with what stands behind a `#` in the place of the neighbours that it excludes, or beside them.
fn example_of_the_rest() -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in example().lines() {
        let indent = line.len() - line.trim_start().len();
        let key = line.trim_start().strip_prefix('#').and_then(|rest| rest.split_once(':')).map(|(key, _)| key);
        let Some(key) = key.filter(|key| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')) else {
            lines.push(line.into());
            continue;
        };
        let open = line.replacen('#', "", 1);
        let start = format!("{}{key}:", &line[..indent]);
        match lines.iter_mut().rev().find(|other| other.starts_with(&start)) {
            Some(other) => *other = open,
            None => lines.push(open),
        }
    }
    lines.join("\n")
}

fn json(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\nin\n{yaml}"))
}

/// What the schema says of each document: nothing, or what is wrong with it.
fn judged(documents: &[Value]) -> Vec<Option<String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/schema");
    let mut command = Command::new(script);
    command.arg(docs("natsink.schema.json")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the script runs");
    let mut pipe = child.stdin.take().expect("piped");
    let lines: String = documents.iter().map(|document| format!("{document}\n")).collect();
    let writer = std::thread::spawn(move || pipe.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("the script ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    writer.join().expect("no writer panics").expect("the script reads all");
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    let verdicts: Vec<_> = shown.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(verdicts.len(), documents.len());
    verdicts
}

/// A file with one unknown key in this section.
fn with_unknown_key(section: &str) -> String {
    let sink = |config: &str| format!("sinks: [{{ type: nats, config: {config} }}]\n");
    match section.strip_prefix("sinks.config").map(|rest| rest.trim_start_matches('.')) {
        Some("") => sink("{ unknown: 1 }"),
        Some(inner) => sink(&format!("{{ {inner}: {{ unknown: 1 }} }}")),
        None if section == "sinks" => "sinks: [{ unknown: 1 }]\n".into(),
        None if section.is_empty() => "unknown: 1\n".into(),
        None => format!("{section}: {{ unknown: 1 }}\n"),
    }
}

/// The sections, by their names in the schema; `sinks.config` is that of a sink of type nats.
const SECTIONS: [&str; 13] = [
    "",
    "source",
    "batch",
    "in_flight",
    "commit_policy",
    "checkpoint",
    "dead_letter",
    "http",
    "sinks",
    "sinks.config",
    "sinks.config.tls",
    "sinks.config.envelope",
    "sinks.config.retry",
];

/// The keys that are really known, section by section, as the complaint about an unknown one lists them.
fn known_keys() -> Keys {
    let keys = |section: &&str| {
        let (_, message) = refused(&with_unknown_key(section));
        let (_, known) = message.split_once("known here: ").unwrap_or_else(|| panic!("{section}: {message}"));
        let mut known: BTreeSet<String> = known.split(", ").map(Into::into).collect();
        if *section == "sinks.config" {
            assert!(known.remove("path"), "the key of sinks of type file is read for all of them");
        }
        ((*section).to_owned(), known)
    };
    SECTIONS.iter().map(keys).collect()
}

/// The properties of `node` and of all below it.
fn schema_keys(node: &Value, path: &str, keys: &mut Keys) {
    let sections = node["anyOf"].as_array().into_iter().flatten().chain([node]);
    for properties in sections.filter_map(|section| section["properties"].as_object()) {
        keys.entry(path.into()).or_default().extend(properties.keys().cloned());
        for (name, inner) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            schema_keys(inner, &path, keys);
        }
    }
}

fn config_of<'a>(schema: &'a Value, kind: &str) -> &'a Value {
    let kinds = schema["properties"]["sinks"]["items"]["allOf"].as_array().expect("a case for each type");
    let case = kinds.iter().find(|case| case["if"]["properties"]["type"]["const"] == kind);
    &case.unwrap_or_else(|| panic!("no case for {kind}"))["then"]["properties"]["config"]
}

/// The keys of the sections of a document.
fn written_keys(node: &Value, path: &str, keys: &mut Keys) {
    let Some(object) = node.as_object().filter(|_| !path.ends_with(".headers")) else { return };
    keys.entry(path.into()).or_default().extend(object.keys().cloned());
    for (name, inner) in object {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        written_keys(inner, &path, keys);
    }
}

#[test]
fn the_schema_has_the_keys_that_are_read_and_no_others() {
    let schema = schema();
    let mut keys = Keys::new();
    schema_keys(&schema, "", &mut keys);
    schema_keys(&schema["properties"]["sinks"]["items"], "sinks", &mut keys);
    schema_keys(config_of(&schema, "nats"), "sinks.config", &mut keys);
    assert_eq!(keys, known_keys());
    let of = |kind: &str| {
        let mut keys = Keys::new();
        schema_keys(config_of(&schema, kind), "", &mut keys);
        keys.remove("").unwrap_or_default().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(
        (of("stdout"), of("file")),
        (vec!["id".into(), "required".into()], vec!["id".into(), "path".into(), "required".into()])
    );
}

#[test]
fn every_key_has_a_description() {
    fn look(node: &Value, path: &str, told: &mut usize) {
        for (name, inner) in node.as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if path.ends_with(".properties") && !path.ends_with(".if.properties") && !path.ends_with(".then.properties")
            {
                for (key, value) in inner.as_object().into_iter().flatten() {
                    let is_told = value["description"].is_string() || *value == Value::Bool(true);
                    assert!(is_told, "{path}.{key} has no description");
                    *told += 1;
                }
            }
            look(inner, &path, told);
        }
        for inner in node.as_array().into_iter().flatten() {
            look(inner, path, told);
        }
    }
    let mut told = 0;
    look(&schema(), "", &mut told);
    assert!(told > 60, "{told}");
}

#[test]
fn the_example_has_every_key_and_no_others() {
    let mut keys = Keys::new();
    for text in [example(), example_of_the_rest()] {
        let mut document = json(&text);
        let sinks = document["sinks"].take();
        written_keys(&document, "", &mut keys);
        for sink in sinks.as_array().expect("a list") {
            written_keys(&serde_json::json!({ "type": sink["type"], "config": null }), "sinks", &mut keys);
            match sink["type"].as_str() {
                Some("nats") => written_keys(&sink["config"], "sinks.config", &mut keys),
                _ => written_keys(&sink["config"], "other", &mut keys),
            }
        }
    }
    let other = keys.remove("other").expect("sinks of other types");
    assert_eq!(other.into_iter().collect::<Vec<_>>(), ["id", "path", "required"]);
    assert_eq!(keys, known_keys());
}

#[test]
fn the_example_is_a_good_configuration_and_fits_the_schema() {
    let document = Document { path: "docs/natsink.example.yaml".into(), text: example() };
    let plan = check(Some(&document), &Flags::default(), &|_| None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(plan.sinks.iter().map(|sink| sink.id.as_str()).collect::<Vec<_>>(), ["orders-nats", "screen", "copy"]);
    assert_eq!(judged(&[json(&example()), json(&example_of_the_rest())]), [None, None]);
}

#[test]
fn what_the_example_calls_a_default_is_one() {
    let document = Document { path: "docs/natsink.example.yaml".into(), text: example() };
    let example = check(Some(&document), &Flags::default(), &|_| None).unwrap_or_else(|error| panic!("{error}"));
    let bare = good(&sink_with(""));
    let common = |plan: &Plan| {
        let source = (plan.source.format, plan.source.line_bytes_max);
        let head = (plan.pipeline.clone(), plan.commit_policy, plan.batch, plan.in_flight, plan.sinks[0].required);
        let nats = plan.nats();
        let times = (nats.send_timeout, nats.batch_timeout, nats.connect_timeout, nats.retry);
        (source, head, times, nats.js_api_prefix, nats.inbox_prefix, nats.envelope, nats.delivery, nats.tls.first)
    };
    assert_eq!(common(&example), common(&bare));
}

#[test]
fn what_the_schema_calls_a_default_is_what_the_example_has() {
    fn look(node: &Value, example: &Value, path: &str, found: &mut usize) {
        let sections = node["anyOf"].as_array().into_iter().flatten().chain([node]);
        for properties in sections.filter_map(|section| section["properties"].as_object()) {
            for (name, inner) in properties {
                let path = format!("{path}.{name}");
                if let Some(default) = inner.get("default")
                    && !example[name].is_null()
                    && path != ".source.type"
                {
                    assert_eq!(default, &example[name], "{path}");
                    *found += 1;
                }
                look(inner, &example[name], &path, found);
            }
        }
    }
    let (schema, example, rest) = (schema(), json(&example()), json(&example_of_the_rest()));
    let nats = config_of(&schema, "nats");
    let mut found = 0;
    look(&schema, &example, "", &mut found);
    look(nats, &example["sinks"][0]["config"], "", &mut found);
    look(&nats["properties"]["envelope"], &rest["sinks"][0]["config"]["envelope"], "envelope", &mut found);
    assert!(found >= 20, "{found}");
}

#[test]
fn the_schema_and_the_command_agree_on_what_is_wrong() {
    let top = |text: &str| format!("{text}\n{}", sink_with(""));
    let wrong = [
        top("pipline: x"),
        top("pipeline: { a: b }"),
        top("pipeline: [a]"),
        top("source: 5"),
        top("source: { type: kafka }"),
        top("source: { pth: x }"),
        top("source: { format: avro }"),
        top("source: { follow: perhaps }"),
        top("source: { max_line_bytes: 0 }"),
        top("source: { max_line_bytes: 67108865 }"),
        top("batch: { max_events: 0 }"),
        top("batch: { max_events: 1.5 }"),
        top("batch: { max_events: some }"),
        top("batch: { max_ms: 86400001 }"),
        top("batch: [1]"),
        top("in_flight: { max_bytes: -1 }"),
        top("in_flight: { max_bytes: 1073741825 }"),
        top("in_flight: { max_event: 1 }"),
        top("commit_policy: most"),
        top("commit_policy: [all]"),
        top("commit_policy: {}"),
        top("commit_policy: { quorum: 0 }"),
        top("commit_policy: { quorum: 17 }"),
        top("commit_policy: { quorums: 1 }"),
        top("checkpoint: x"),
        top("checkpoint: { file: x }"),
        top("dead_letter: { paths: x }"),
        top("http: 9000"),
        top("http: { port: 9000 }"),
        "sinks: { type: nats }".into(),
        "sinks: [nats]".into(),
        "sinks: [{}]".into(),
        "sinks: [{ type: kafka }]".into(),
        "sinks: [{ type: file }]".into(),
        "sinks: [{ type: file, config: {} }]".into(),
        "sinks: [{ type: file, config: { path: ~ } }]".into(),
        "sinks: [{ type: stdout, config: { path: x } }]".into(),
        "sinks: [{ type: file, config: { path: x, url: h } }]".into(),
        "sinks: [{ type: stdout, options: {} }]".into(),
        sink_with("path: x"),
        sink_with("required: perhaps"),
        sink_with("send_timeout_secs: 0"),
        sink_with("batch_timeout_secs: 31536001"),
        sink_with("connect_timeout_secs: soon"),
        sink_with("delivery: quick"),
        sink_with("delivery: strict"),
        sink_with("envelope: avro"),
        sink_with("envelope: {}"),
        sink_with("envelope: { type: x }"),
        sink_with("envelope: { typ: native }"),
        sink_with("envelope: [native]"),
        sink_with("tls: true"),
        sink_with("tls: { insecure: true }"),
        sink_with("tls: { first: perhaps }"),
        sink_with("tls: { ca_file: [a] }"),
        sink_with("headers: { Nats-Rollup: all }"),
        sink_with("headers: { DF-key: all }"),
        sink_with("headers: { a: }"),
        sink_with("headers: { a: [b] }"),
        sink_with("headers: [a]"),
        sink_with("retry: { max_elapsed: 1 }"),
        sink_with("retry: { auth_secs: 0 }"),
        sink_with("retry: { initial_ms: 0 }"),
        sink_with("retry: 5"),
        sink_with("unknown: 5"),
    ];
    let right = [
        String::from("# nothing but flags\nsinks:\n"),
        sink_with(""),
        top(
            "source: { type: \"${T:-stdin}\", format: \"${F:-json}\", follow: \"${W:-false}\", max_line_bytes: \"${N}\" }",
        ),
        top("source: { type: ~, path: ~, max_line_bytes: ~, follow: ~ }\nbatch:\nin_flight: ~\nhttp:\ncheckpoint:"),
        top("batch: { max_events: '17' }\npipeline: 5"),
        top("commit_policy: { quorum: 1 }"),
        top("commit_policy: { quorum: \"${Q:-1}\" }"),
        top("commit_policy: ${P:-all}"),
        top("http: {}"),
        top("http: { listen: 9100 }"),
        "sinks: [{ type: stdout }]".into(),
        "sinks: [{ type: \"${KIND:-file}\", config: { path: x } }]".into(),
        "sinks: [{ type: stdout, config: }]".into(),
        "sinks: [{ type: file, config: { path: 5, required: 'true' } }]".into(),
        sink_with("required: ${R:-true}\nkey: 5\nenvelope: ${E:-debezium}\nusername: 5\npassword: true"),
        sink_with(
            "envelope: { type: cloudevents, type_prefix: com.example }\ntls: {}\nretry:\nheaders: { a: 5, b: true }",
        ),
        sink_with("retry: { max_elapsed_secs: 0, max_ms: ${M:-200} }".replace("${M:-200}", "\"${M:-200}\"").as_str()),
    ];
    for text in &wrong {
        assert!(plan(text).is_err(), "accepted:\n{text}");
    }
    for text in &right[1..] {
        good(text);
    }
    let verdicts = judged(&wrong.iter().map(|text| json(text)).collect::<Vec<_>>());
    for (text, verdict) in wrong.iter().zip(verdicts) {
        assert!(verdict.is_some(), "the schema accepts:\n{text}");
    }
    let verdicts = judged(&right.iter().map(|text| json(text)).collect::<Vec<_>>());
    for (text, verdict) in right.iter().zip(verdicts) {
        assert_eq!(verdict, None, "\n{text}");
    }
}
