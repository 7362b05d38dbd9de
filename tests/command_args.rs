//! The command as a person meets it: its words, its exit codes, what it prints where, and its receipt.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn natsink(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_natsink"));
    command.args(words).stdin(Stdio::null()).env_clear();
    command
}

fn run(words: &[&str]) -> Output {
    natsink(words).output().expect("the command starts")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn receipt(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).expect("a receipt")).expect("JSON")
}

#[test]
fn mistakes_of_usage_are_64() {
    let cases: [(&[&str], &str); 9] = [
        (&[], "Usage: natsink"),
        (&["walk"], "unrecognized subcommand 'walk'"),
        (&["run", "--creds"], "a value is required for '--creds <FILE>'"),
        (&["run", "--url"], "a value is required for '--url <URL>'"),
        (&["run", "--url", "a", "--url", "b"], "cannot be used multiple times"),
        (&["run", "extra"], "unexpected argument 'extra'"),
        (&["run"], "natsink: no server: give --url, $NATS_URL or sinks[0].config.url\n"),
        (
            &["run", "--url", "h", "--stream", "S", "--subject", "s", "--checkpoint", "c"],
            "natsink: --checkpoint: a checkpoint on standard input needs --input-id NAME",
        ),
        (
            &["run", "--url", "h", "--stream", "S", "--subject", "s", "--log", "loud"],
            "natsink: --log: \"loud\" is none of",
        ),
    ];
    for (words, message) in cases {
        let output = run(words);
        assert_eq!(code(&output), 64, "{words:?}");
        assert!(stderr(&output).contains(message), "{words:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{words:?}");
    }
}

#[test]
fn mistakes_of_configuration_are_78() {
    let simple = ["run", "--url", "h", "--stream", "S", "--subject", "s"];
    let cases: [(&[&str], &str); 4] = [
        (&["--delivery", "strict"], "natsink: --delivery: the delivery strict is not in this version\n"),
        (&["--send-timeout", "0"], "natsink: --send-timeout: 0 is not between 1 and 31536000\n"),
        (&["--user", "u"], "natsink: --user: a user without a password\n"),
        (&["-c", "/absent/natsink.yaml"], "natsink: /absent/natsink.yaml: cannot read the configuration: "),
    ];
    for (words, message) in cases {
        let output = run(&[&simple[..], words].concat());
        assert_eq!(code(&output), 78, "{words:?}");
        assert!(stderr(&output).contains(message), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn a_mistake_in_a_file_is_told_with_file_line_and_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.yaml");
    std::fs::write(&path, "pipeline: orders\nsinks:\n  - type: nats\n    config:\n      urll: x\n").expect("a file");
    let path = path.to_str().expect("UTF-8");
    let output = run(&["run", "-c", path]);
    assert_eq!(code(&output), 78);
    let start = format!("natsink: {path}:5: sinks[0].config.urll: unknown key; known here: id, path, url, ");
    assert!(stderr(&output).starts_with(&start), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[test]
fn variables_of_the_environment_are_seen() {
    let mut command = natsink(&["run", "--stream", "S", "--subject", "s"]);
    let output = command.env("NATS_URL", "http://h").output().expect("the command starts");
    assert_eq!(code(&output), 78);
    assert_eq!(stderr(&output), "natsink: $NATS_URL: the URL's scheme is neither nats:// nor tls://\n");
    let mut command = natsink(&["run", "--url", "h", "--stream", "S", "--subject", "s"]);
    let output = command.env("NATS_USER", "u").output().expect("the command starts");
    assert_eq!((code(&output), stderr(&output).as_str()), (78, "natsink: $NATS_USER: a user without a password\n"));
}

#[test]
fn help_and_version_are_on_stdout() {
    let version = format!("natsink {}\n", env!("CARGO_PKG_VERSION"));
    for words in [&["version"][..], &["--version"]] {
        let output = run(words);
        assert_eq!((code(&output), stdout(&output), stderr(&output)), (0, version.clone(), String::new()));
    }
    let output = run(&["run", "--help"]);
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
    let help = stdout(&output);
    for flag in [
        "--http",
        "--follow",
        "--url",
        "--creds",
        "--nkey",
        "--context",
        "--tls-ca",
        "--tls-cert",
        "--tls-key",
        "--tls-first",
        "--stream",
        "--subject",
        "--input-id",
        "--strict-input",
        "--receipt",
        "$NATS_URL",
    ] {
        assert!(help.contains(flag), "{flag} is missing");
    }
    assert!(stdout(&run(&["help"])).contains("Exit codes: 0 done, 64 usage"));
}

#[test]
fn a_failed_run_leaves_a_receipt() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("receipt.json");
    let file = path.to_str().expect("UTF-8");
    let output =
        run(&["run", "--url", "h", "--stream", "S", "--subject", "s", "--delivery", "fast", "--receipt", file]);
    assert_eq!(code(&output), 78);
    let exit = serde_json::json!({
        "code": 78, "kind": "not_in_this_version", "message": "--delivery: the delivery fast is not in this version",
    });
    assert_eq!(receipt(&path)["exit"], exit);
    assert_eq!(receipt(&path)["read"], 0);
}

#[test]
fn a_mistake_in_the_words_leaves_a_receipt_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("receipt.json");
    let file = path.to_str().expect("UTF-8");
    let joined = format!("--receipt={file}");
    let cases: [&[&str]; 4] = [
        &["run", "--receipt", file, "--bogus"],
        &["run", "--bogus", "--receipt", file],
        &["run", "--url", "h", "stray", &joined],
        &["run", "--format", "--receipt", file],
    ];
    for words in cases {
        let _ = std::fs::remove_file(&path);
        let output = run(words);
        assert_eq!(code(&output), 64);
        let exit = &receipt(&path)["exit"];
        assert_eq!((&exit["code"], &exit["kind"]), (&64.into(), &"usage".into()), "{words:?}");
        let message = exit["message"].as_str().expect("a message");
        assert!(stderr(&output).contains(message) && !message.starts_with("error"), "{message}");
    }
    let foreign = folder.path().join("foreign");
    std::fs::write(&foreign, "mine\n").expect("a file");
    let output = run(&["run", "--bogus", "--receipt", foreign.to_str().expect("UTF-8")]);
    assert!(stderr(&output).contains("is no receipt, and is not written over"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(&foreign).expect("the file"), "mine\n");
}

#[test]
fn a_receipt_that_cannot_be_written_is_told_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let foreign = folder.path().join("foreign");
    std::fs::write(&foreign, "mine\n").expect("a file");
    for path in [foreign.clone(), folder.path().join("absent/receipt"), folder.path().into()] {
        // There is no server, which it would wait for.
        let words = ["run", "--url", "nats://127.0.0.1:1", "--stream", "S", "--subject", "s", "--receipt"];
        let output = run(&[&words[..], &[path.to_str().expect("UTF-8")]].concat());
        assert_eq!(code(&output), 74);
        assert_eq!(stderr(&output).matches("cannot write the receipt").count(), 1, "{}", stderr(&output));
    }
    let found = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!((found, std::fs::read_to_string(&foreign).expect("the file")), (1, "mine\n".into()));
}

#[test]
fn a_receipt_is_not_written_over_the_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("input");
    std::fs::write(&input, "{}\n").expect("an input");
    let file = input.to_str().expect("UTF-8");
    for more in [&[][..], &["--delivery", "fast"]] {
        let words = ["run", "--url", "h", "--stream", "S", "--subject", "s", "--input", file, "--receipt", file];
        let output = run(&[&words, more].concat());
        assert_eq!(code(&output), 78);
        assert!(stderr(&output).contains("cannot write the receipt"), "{}", stderr(&output));
        assert_eq!(std::fs::read_to_string(&input).expect("the input"), "{}\n");
    }
}

#[test]
fn a_json_log_is_json_to_the_last_line() {
    let words = ["run", "--log-format", "json", "--url", "h", "--stream", "S", "--subject", "a b"];
    let output = run(&words);
    assert_eq!(code(&output), 78);
    for line in stderr(&output).lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(entry["level"], "error");
        assert!(entry["message"].as_str().is_some_and(|message| message.starts_with("--subject: ")), "{line}");
    }
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let output = run(&["run", "--url", "h", "--stream", "a\u{1b}[2Jb", "--subject", "s"]);
    assert_eq!(code(&output), 78);
    assert!(!stderr(&output).contains('\u{1b}'), "{:?}", stderr(&output));
}

#[test]
fn secrets_are_not_printed() {
    let cases: [&[&str]; 6] = [
        &["run", "nats://u:canary@h"],
        &["nats://u:canary@h"],
        &["run", "--url", "nats://u:canary@h:canary", "--stream", "S", "--subject", "s"],
        &["run", "--url", "h", "--password", "canary", "--stream", "S", "--subject", "s"],
        &["run", "--url", "u:canary@h", "--token", "canary", "--stream", "S", "--subject", "s"],
        &["run", "--token", "canary", "--walk"],
    ];
    for words in cases {
        let output = run(words);
        assert_ne!(code(&output), 0);
        assert!(!stderr(&output).contains("canary"), "{words:?}: {}", stderr(&output));
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = natsink(&["run", "--help"]).stdout(writer).status().expect("the command starts");
    assert_eq!(status.code(), Some(0));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = natsink(&["run", "--url", "http://h"]).stderr(writer).status().expect("the command starts");
    assert_eq!(status.code(), Some(64));
}
