//! The files for operators: units, containers, alerts and documents that say what the command does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The documents of a YAML file.
#[track_caller]
fn yaml(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).expect("YAML")).collect()
}

/// Looks at a configuration without a server. What lies on another machine is not there.
#[track_caller]
fn is_sound(config: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = ["/var/spool/orders", "/var/lib/natsink/orders", "/spool", "/data", "/secrets"]
        .iter()
        .fold(config.to_owned(), |text, place| text.replace(&format!(" {place}/"), " "));
    fs::write(folder.path().join("orders.yaml"), text).expect("the folder is ours");
    fs::write(folder.path().join("orders.ndjson"), "").expect("the folder is ours");
    let creds = path("tests/fixtures/no.creds");
    let mut command = Command::new(env!("CARGO_BIN_EXE_natsink"));
    command.current_dir(folder.path()).args(["check", "--offline", "--json", "-c", "orders.yaml"]);
    let output = command.env("CREDENTIALS_DIRECTORY", creds.parent().expect("a folder")).output();
    let output = output.expect("the command starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // The configuration is understood, and what is found wrong with it is the one file that is not here.
    assert!(!told.contains("not in this version") && !told.contains("unknown"), "{told}");
    assert!(output.status.success() || told.contains("nats.creds"), "{told}");
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = text("examples/systemd/natsink@.service");
    for line in ["Type=notify", "WatchdogSec=", "Restart=on-failure", "RestartPreventExitStatus=64 65 75 78"] {
        assert!(unit.contains(line), "{line}");
    }
    is_sound(&text("examples/systemd/orders.yaml"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("natsink@orders.service");
    let program = env!("CARGO_BIN_EXE_natsink");
    fs::write(&file, unit.replace("/usr/local/bin/natsink", program)).expect("the folder is ours");
    let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output() else {
        return eprintln!("skipped: there is no systemd-analyze here");
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn what_runs_in_a_cluster_is_sound() {
    let documents = yaml(&text("examples/container/kubernetes.yaml"));
    let kinds: Vec<&str> = documents.iter().filter_map(|document| document["kind"].as_str()).collect();
    assert_eq!(kinds, ["ConfigMap", "StatefulSet"]);
    is_sound(documents[0]["data"]["pipeline.yaml"].as_str().expect("a configuration"));
    let pod = &documents[1]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for (probe, page) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"]["path"], page);
    }
    let names = |list: &Value| -> BTreeSet<String> {
        let names = list.as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str());
        names.map(String::from).collect()
    };
    let mut volumes = names(&pod["volumes"]);
    volumes.insert("data".into());
    assert_eq!(names(&container["volumeMounts"]), volumes);
    // What it is started with is a command line.
    let args: Vec<&str> = container["args"].as_array().expect("words").iter().filter_map(Value::as_str).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_natsink")).args(&args).arg("--help").output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn alerts_are_rules() {
    let alerts = yaml(&text("docs/monitoring/alerts.yaml"));
    let rules = alerts[0]["groups"][0]["rules"].as_array().expect("rules");
    let mut seen = BTreeSet::new();
    for rule in rules {
        let name = rule["alert"].as_str().expect("a name");
        assert!(name.starts_with("Natsink") && seen.insert(name), "{name}");
        let keys: BTreeSet<&str> = rule.as_object().expect("a rule").keys().map(String::as_str).collect();
        let known: BTreeSet<&str> = ["alert", "annotations", "expr", "for", "labels"].into();
        assert!(keys.is_subset(&known), "{name}: {keys:?}");
        assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().expect("a severity")), "{name}");
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].is_string(), "{name} has no {text}");
        }
        let expr = rule["expr"].as_str().expect("an expression");
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            assert_eq!(expr.matches(open).count(), expr.matches(close).count(), "{name}: {expr}");
        }
    }
    assert!(seen.len() > 8, "{seen:?}");
}

#[test]
fn the_manual_has_every_exit_code() {
    let help = |words: &[&str]| -> Output {
        Command::new(env!("CARGO_BIN_EXE_natsink")).args(words).output().expect("the command starts")
    };
    let told = String::from_utf8(help(&["--help"]).stdout).expect("UTF-8");
    let codes = told.split_once("Exit codes: ").expect("exit codes").1;
    let numbers: BTreeSet<&str> =
        codes.split(|char: char| !char.is_ascii_digit()).filter(|digits| !digits.is_empty()).collect();
    assert!(numbers.len() >= 10, "{numbers:?}");
    for page in ["docs/operations.md", "README.md"] {
        let manual = text(page);
        for number in &numbers {
            assert!(manual.contains(&format!("| {number} ")), "{page} does not tell of exit code {number}");
        }
    }
}
