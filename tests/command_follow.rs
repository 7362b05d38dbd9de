//! A followed file on a real server: growth, rotation under the run's eyes and behind its back, kills, and the orderly end.
#![cfg(feature = "cli")]

mod support;

use std::fs::{self, File};
use std::time::{Duration, Instant};

use support::command::{Place, Run, events, until};

const ARGS: [&str; 5] = ["--input", "log", "--follow", "--checkpoint", "c"];

/// The lines from one number to the one before another.
fn lines(from: usize, to: usize) -> String {
    events(to)[events(from).len()..].to_owned()
}

#[track_caller]
fn holds(run: &mut Run, place: &Place, count: u64) {
    let mut raw = place.raw();
    run.until(&format!("{count} events are stored"), |_| raw.stream_messages("ORDERS") >= count);
}

/// Moves the log away and makes a new one, as logrotate's `create` does.
fn rotate(place: &Place) {
    for number in (1..9).rev() {
        let _ = fs::rename(place.path(&format!("log.{number}")), place.path(&format!("log.{}", number + 1)));
    }
    fs::rename(place.path("log"), place.path("log.1")).expect("there is a log");
    place.write("log", "");
}

/// Copies the log and cuts it, as logrotate's `copytruncate` does.
fn copy_and_cut(place: &Place) {
    for number in (1..9).rev() {
        let _ = fs::rename(place.path(&format!("log.{number}")), place.path(&format!("log.{}", number + 1)));
    }
    fs::copy(place.path("log"), place.path("log.1")).expect("there is a log");
    File::options().write(true).open(place.path("log")).and_then(|file| file.set_len(0)).expect("it can be cut");
}

/// Lets the clock of the file system move on: it must tell a file from the one that comes after it.
fn tick(place: &Place) {
    let touched = || {
        place.write("tick", ".");
        fs::metadata(place.path("tick")).and_then(|found| found.modified()).expect("the file is ours")
    };
    let before = touched();
    until("the clock moves on", || touched() != before);
}

#[test]
fn what_is_appended_is_delivered_until_a_signal_ends_it_well() {
    let place = Place::new();
    for checkpoint in [false, true] {
        let args = if checkpoint { &ARGS[..] } else { &ARGS[..3] };
        let _ = fs::remove_file(place.path("log"));
        let base = if checkpoint { 5 } else { 0 };
        let mut run = place.start(args);
        run.tells("is not there yet: waiting for it");
        place.write("log", lines(base, base + 2));
        holds(&mut run, &place, base as u64 + 2);
        let text = lines(base + 2, base + 5);
        place.append("log", &text[..text.len() - 7]);
        holds(&mut run, &place, base as u64 + 4);
        place.append("log", &text[text.len() - 7..]);
        holds(&mut run, &place, base as u64 + 5);
        run.stop("TERM").ends(0, [5, 5, 0, 0, 0, 0]);
    }
    // Another run goes on where that one was.
    place.append("log", lines(10, 12));
    let mut run = place.start(&ARGS);
    holds(&mut run, &place, 12);
    run.stop("INT").ends(0, [2, 2, 0, 0, 0, 0]);
    place.write("all", events(12));
    place.holds_exactly("all");
}

#[test]
fn rotation_under_the_eyes_of_a_run_loses_and_repeats_nothing() {
    let place = Place::new();
    place.write("log", lines(0, 3));
    let mut run = place.start(&ARGS);
    holds(&mut run, &place, 3);
    let mut at = 3;
    for turn in 0..4 {
        // Written in the last moment, and after the next file is there.
        place.append("log", lines(at, at + 2));
        if turn % 2 == 0 {
            rotate(&place);
            place.append("log.1", lines(at + 2, at + 3));
        } else {
            place.append("log", lines(at + 2, at + 3));
            copy_and_cut(&place);
        }
        place.append("log", lines(at + 3, at + 5));
        at += 5;
        holds(&mut run, &place, at as u64);
    }
    let ended = run.stop("TERM");
    assert_eq!((ended.code, ended.count("stored"), ended.count("dead")), (0, at as u64, 0), "{ended:?}");
    place.write("all", events(at));
    place.holds_exactly("all");
}

#[test]
fn a_kill_and_rotations_behind_its_back_lose_and_repeat_nothing() {
    let place = Place::new();
    place.write("log", lines(0, 200));
    let mut at = 200;
    for turn in 0..6 {
        let mut run = place.start(&ARGS);
        // Killed in the middle of what there is.
        holds(&mut run, &place, at as u64 - 150);
        run.kill9();
        for _ in 0..turn % 4 {
            place.append("log", lines(at, at + 10));
            tick(&place);
            if turn < 3 {
                rotate(&place)
            } else {
                copy_and_cut(&place)
            }
            place.append("log", lines(at + 10, at + 60));
            at += 60;
        }
        place.append("log", lines(at, at + 200));
        at += 200;
    }
    let mut run = place.start(&ARGS);
    holds(&mut run, &place, at as u64);
    let ended = run.stop("TERM");
    assert_eq!((ended.code, ended.count("dead"), ended.count("pending")), (0, 0, 0), "{ended:?}");
    place.write("all", events(at));
    place.holds_exactly("all");
}

#[test]
fn a_run_that_waits_costs_nearly_nothing_and_is_still_quick() {
    let place = Place::new();
    place.write("log", events(1));
    let mut run = place.start(&ARGS);
    holds(&mut run, &place, 1);
    let ticks = |run: &Run| -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", run.pid())).expect("it runs");
        let rest = stat.rsplit(')').next().expect("its name ends");
        rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    };
    let before = ticks(&run);
    std::thread::sleep(Duration::from_secs(3));
    // Of 300.
    let used = ticks(&run) - before;
    assert!(used <= 9, "{used} ticks in three seconds");
    let mut raw = place.raw();
    let mut waits = Vec::new();
    for number in 1..6 {
        let began = Instant::now();
        place.append("log", lines(number, number + 1));
        run.until("the next one is stored", |_| raw.stream_messages("ORDERS") == number as u64 + 1);
        waits.push(began.elapsed());
    }
    // A machine that is busy with something else may take its time now and then.
    waits.sort_unstable();
    assert!(waits[2] < Duration::from_millis(400), "{waits:?}");
    run.stop("TERM").ends(0, [6, 6, 0, 0, 0, 0]);
}

#[test]
fn only_a_file_can_be_followed() {
    let place = Place::new();
    let status = std::process::Command::new("mkfifo").arg(place.path("fifo")).status();
    assert!(status.expect("mkfifo runs").success());
    place.run(&["--input", "fifo", "--follow"]).fails(64, "usage", &["fifo", "only a file can be followed"]);
    place.run(&["--input", ".", "--follow"]).fails(66, "input", &["it is a folder"]);
}
