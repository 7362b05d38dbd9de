//! Line outputs: whole lines in order, told of when they are safe, and nobody waits for a pipe that nobody reads.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use natsink::io::{LineOutput, OutputError};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

/// Gives all lines, waiting for room, and waits until all of them are taken.
async fn write_all(output: &mut LineOutput, lines: &[&str]) -> Vec<u64> {
    let mut taken = Vec::new();
    for (tag, line) in lines.iter().enumerate() {
        while !output.try_write(tag as u64, line.as_bytes()) {
            progress(output).await;
            output.try_taken(&mut taken);
        }
    }
    while taken.len() < lines.len() {
        progress(output).await;
        output.try_taken(&mut taken);
    }
    taken
}

async fn progress(output: &mut LineOutput) {
    timeout(DEADLINE, poll_fn(|cx| output.poll_progress(cx))).await.expect("progress in time");
    assert!(output.failure().is_none(), "{}", output.failure().unwrap());
}

async fn failure(output: &mut LineOutput) -> &OutputError {
    while output.failure().is_none() {
        timeout(DEADLINE, poll_fn(|cx| output.poll_progress(cx))).await.expect("a failure in time");
        output.try_taken(&mut Vec::new());
    }
    output.failure().unwrap()
}

/// Runs this test program again for one test, which then writes lines to its standard output.
fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env("NATSINK_TEST_OUTPUT", "1");
    command
}

fn is_again() -> bool {
    std::env::var_os("NATSINK_TEST_OUTPUT").is_some()
}

#[tokio::test]
async fn lines_come_in_order_and_each_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let lines: Vec<String> = (0..50_000).map(|i| format!("{{\"id\":{i}}}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut output = LineOutput::file(&path).unwrap();
    let taken = write_all(&mut output, &lines).await;
    assert_eq!(taken, (0..50_000).collect::<Vec<u64>>());
    assert_eq!(fs::read_to_string(&path).unwrap(), lines.join("\n") + "\n");
}

#[tokio::test]
async fn a_file_is_appended_to_and_a_torn_line_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    fs::write(&path, "whole\nto").unwrap();
    write_all(&mut LineOutput::file(&path).unwrap(), &["a", ""]).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nto\na\n\n");
    // The thread of the one before lets go of the file soon, not at once.
    let began = Instant::now();
    let mut output = loop {
        match LineOutput::file(&path) {
            Err(OutputError::InUse(_)) if began.elapsed() < DEADLINE => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    write_all(&mut output, &["b"]).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nto\na\n\nb\n");
}

#[tokio::test]
async fn a_file_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let _first = LineOutput::file(&path).unwrap();
    let error = LineOutput::file(&path).unwrap_err();
    assert!(matches!(error, OutputError::InUse(_)), "{error}");
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [folder.path(), &pipe, Path::new("/dev/null")] {
        let error = LineOutput::file(path).unwrap_err();
        assert!(matches!(error, OutputError::NotAFile(_)), "{error}");
    }
    let error = LineOutput::file(&folder.path().join("none/out")).unwrap_err();
    assert!(error.to_string().starts_with("cannot open "), "{error}");
}

#[tokio::test]
async fn a_payload_with_a_line_feed_is_a_failure_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let mut output = LineOutput::file(&path).unwrap();
    assert!(!output.try_write(9, b"{}\n{\"forged\":true}"));
    assert!(matches!(failure(&mut output).await, OutputError::LineFeed { tag: 9 }));
    assert!(!output.try_write(10, b"{}"));
    drop(output);
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
}

#[tokio::test]
async fn a_line_longer_than_the_queue_is_taken_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let long = "x".repeat(9 * 1024 * 1024);
    let mut output = LineOutput::file(&path).unwrap();
    assert!(output.try_write(0, long.as_bytes()));
    let mut taken = Vec::new();
    while !output.try_write(1, b"y") {
        progress(&mut output).await;
    }
    while taken.len() < 2 {
        progress(&mut output).await;
        output.try_taken(&mut taken);
    }
    assert_eq!((taken, fs::metadata(&path).unwrap().len()), (vec![0, 1], long.len() as u64 + 3));
}

#[test]
fn a_pipe_whose_reader_is_gone_is_a_failure() {
    let mut child = again("writes_to_a_pipe").stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(32));
}

/// In a process whose standard output is a pipe.
#[tokio::test]
async fn writes_to_a_pipe() {
    if !is_again() {
        return;
    }
    let mut output = LineOutput::stdout().unwrap();
    let began = Instant::now();
    while output.failure().is_none() && began.elapsed() < DEADLINE {
        if !output.try_write(0, &[b'x'; 1000]) {
            poll_fn(|cx| output.poll_progress(cx)).await;
            output.try_taken(&mut Vec::new());
        }
    }
    std::process::exit(if matches!(output.failure(), Some(OutputError::BrokenPipe)) { 32 } else { 1 });
}

#[test]
fn a_pipe_that_nobody_reads_fills_the_queue_and_holds_nobody_up() {
    // Some of it is read, so that lines of one batch are written and others are not. Then the pipe stays open, and unread,
    // until the process has ended.
    let mut child = again("fills_a_stuck_pipe").stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 200_000]).unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < DEADLINE, "it hangs");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(42));
}

/// In a process whose standard output is a pipe that nobody reads any more after 200 lines.
#[tokio::test]
async fn fills_a_stuck_pipe() {
    if !is_again() {
        return;
    }
    let mut output = LineOutput::stdout().unwrap();
    let (mut given, mut taken) = (0_usize, Vec::new());
    loop {
        while output.try_write(given as u64, &[b'x'; 999]) {
            given += 1;
        }
        let waited = timeout(Duration::from_millis(300), poll_fn(|cx| output.poll_progress(cx))).await;
        output.try_taken(&mut taken);
        if waited.is_err() {
            break;
        }
    }
    // What is not in the pipe waits, and no more than the queue holds.
    let waiting = (given - taken.len()) * 1000;
    let bounded = waiting <= 4 * 1024 * 1024 && waiting > 3 * 1024 * 1024;
    let began = Instant::now();
    drop(output);
    let quick = began.elapsed() < Duration::from_secs(1);
    let _ = writeln!(std::io::stderr(), "{given} given, {} taken", taken.len());
    std::process::exit(if bounded && quick && taken.len() < 300 { 42 } else { 1 });
}
