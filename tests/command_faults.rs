//! What can happen to a run: servers killed, stopped, full and reloaded, links slow and cut, disks full.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use support::command::{Ended, Event, Place, Run, events};
use support::proxy::Rules;
use support::{Direction, Proxy, ServerOptions};

/// Says that nothing was sent again, no link lost, and no event out of order.
#[track_caller]
fn is_undisturbed(ended: &Ended) {
    let counts = ["replayed", "reconnects", "inversions"].map(|name| ended.count(name));
    assert_eq!((ended.code, counts), (0, [0; 3]), "{ended:?}");
}

/// How many messages of the stream stand behind one that came later in `text`.
fn inversions(stored: &[Event], text: &str) -> u64 {
    let mut latest = 0;
    let place = |event: &Event| text.lines().position(|line| line == event.payload).expect("a line of the input");
    let mut seqs: Vec<(usize, u64)> = stored.iter().map(|event| (place(event), event.seq)).collect();
    seqs.sort_unstable();
    let is_behind = |(_, seq): &&(usize, u64)| {
        let before = latest;
        latest = before.max(*seq);
        before > *seq
    };
    seqs.iter().filter(is_behind).count() as u64
}

/// The peak of a process's memory so far, KiB.
fn rss_peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

#[test]
fn a_server_killed_in_the_middle_costs_nothing() {
    let mut place = Place::new();
    let text = events(30_000);
    place.write("in", &text);
    place.configure("batch: { max_ms: 20 }\nsource: { type: stdin, input_id: x }\ncheckpoint: { path: c }", "");
    let mut run = place.start(&["-c", "natsink.yaml"]);
    let times = |run: &Run, words: &str| run.told().matches(words).count();
    let (first, rest) = text.split_at(events(12_000).len());
    let (second, third) = rest.split_at(rest.len() / 2);
    for (kill, part) in [(1, first), (2, second)] {
        run.until("a connection", |run| times(run, "connected to") == kill && place.path("c").exists());
        run.write(part);
        let before = place.position("c");
        run.until("the checkpoint moves", |_| place.position("c") > before);
        place.server.kill9();
        run.until("it is noticed", |run| times(run, "connection lost") == kill);
        place.server.restart();
    }
    run.write(third);
    let ended = run.end();
    ended.ends(0, [30_000, ended.count("stored"), ended.count("duplicate"), 0, 0, 0]);
    let found = ["reconnects", "unverified", "inversions"].map(|name| ended.count(name));
    assert_eq!(found, [2, 0, 0], "{ended:?}");
    place.holds_exactly("in");
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let mut place = Place::new();
    place.write("in", events(100));
    place.server.kill9();
    let mut early = place.start(&["--input", "in"]);
    early.tells("cannot connect");
    place.server.restart();
    early.end().ends(0, [100, 100, 0, 0, 0, 0]);
    // And one that goes away before the first event.
    let mut piped = place.start(&["--input-id", "x"]);
    piped.tells("connected to");
    place.server.kill9();
    piped.tells("connection lost");
    piped.write(events(50));
    place.server.restart();
    piped.end().ends(0, [50, 50, 0, 0, 0, 0]);
    let expected = events(100) + &events(50);
    assert_eq!(place.payloads(), expected.lines().collect::<Vec<_>>());
}

#[test]
fn a_server_that_stops_for_three_seconds_costs_time_alone() {
    let place = Place::new();
    let mut raw = place.raw();
    let mut run = place.start(&["--log", "debug"]);
    run.write(events(100));
    run.until("a hundred are stored", |_| raw.stream_messages("ORDERS") == 100);
    place.server.stop();
    run.write(&events(1000)[events(100).len()..]);
    // How long it stops is what is tested.
    thread::sleep(Duration::from_secs(3));
    place.server.cont();
    let ended = run.end();
    is_undisturbed(ended.ends(0, [1000, 1000, 0, 0, 0, 0]));
    assert!(ended.receipt["ack_us"]["max"].as_u64().unwrap() > 2_500_000, "nothing was in flight: {ended:?}");
    place.write("all", events(1000));
    place.holds_exactly("all");
}

#[test]
fn a_server_that_never_answers_again_ends_with_the_budget() {
    let place = Place::new();
    let args = ["--checkpoint", "c", "--input-id", "x"];
    let mut run = place.start(&[&args[..], &["--max-elapsed", "2"]].concat());
    run.write(events(3));
    run.until("three are committed", |_| place.path("c").exists() && place.position("c") == events(3).len() as u64);
    place.server.stop();
    run.write(&events(7)[events(3).len()..]);
    let began = Instant::now();
    run.end().ends(69, [7, 3, 0, 0, 4, 0]).fails(69, "unavailable", &["no progress for 2 s"]);
    assert!((1.5..5.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    place.server.cont();
    let ended = place.pipe(&args, events(7));
    assert_eq!((ended.code, ended.count("read"), ended.count("unverified")), (0, 4, 0), "{ended:?}");
    place.write("all", events(7));
    place.holds_exactly("all");
}

#[test]
fn a_link_of_a_kilobyte_a_second_costs_time_alone() {
    let place = Place::new();
    let proxy = Proxy::start(&place.server.address());
    let slow = Rules { rate: Some(1000), ..Rules::default() };
    proxy.set(Direction::ToServer, slow);
    proxy.set(Direction::ToClient, slow);
    let long = events(1).replace("\"c\"", "\"u\"").replacen("00000", &"0".repeat(3000), 1);
    let text = format!("{}{long}{}", events(10), &events(20)[events(10).len()..]);
    place.write("in", &text);
    let ended = place.run(&["--url", &proxy.url(), "--input", "in"]);
    is_undisturbed(ended.ends(0, [21, 21, 0, 0, 0, 0]));
    assert!(ended.took > Duration::from_secs(7), "the link was not slow: {ended:?}");
    assert_eq!(proxy.accepted(), 1);
    place.holds_exactly("in");
}

#[test]
fn a_link_cut_anywhere_costs_nothing() {
    let place = Place::new();
    let proxy = Proxy::start(&place.server.address());
    place.write("in", events(3000));
    place.configure(
        "source: { type: file, path: in }\nin_flight: { max_events: 200 }",
        &format!("url: '{}', retry: {{ initial_ms: 1, max_ms: 20 }}", proxy.url()),
    );
    let mut draw = 0x9E37_79B9_7F4A_7C15_u64;
    let mut run = place.start(&["-c", "natsink.yaml"]);
    for cut in 0..24 {
        let (direction, reach) = match cut % 2 {
            0 => (Direction::ToServer, 60_000),
            _ => (Direction::ToClient, 30_000),
        };
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        let links = proxy.accepted();
        proxy.set(direction, Rules { cut_after: Some(1 + draw % reach), ..Rules::default() });
        let mut ended = false;
        run.until("the next link", |_| {
            ended = place.path("receipt-0.json").exists();
            ended || proxy.accepted() > links
        });
        if ended {
            break;
        }
    }
    let ended = run.end();
    assert_eq!((ended.code, ended.count("dead"), ended.count("inversions")), (0, 0, 0), "{ended:?}");
    assert_eq!((ended.count("unverified"), ended.count("read")), (0, 3000), "{ended:?}");
    assert!(ended.count("reconnects") >= 10, "hardly a cut: {ended:?}");
    place.holds_exactly("in");
}

#[test]
fn a_full_stream_is_waited_for() {
    let place = Place::without_stream(ServerOptions::default());
    let config = |max: u32| {
        json!({"name": "ORDERS", "subjects": ["orders.>"], "storage": "file", "discard": "new",
        "max_msgs": max})
    };
    place.create_stream(config(5));
    let mut raw = place.raw();
    let text = events(40);
    place.write("in", &text);
    let args = ["--input", "in", "--checkpoint", "c"];
    let given_up = place.run(&[&args[..], &["--max-elapsed", "2"]].concat());
    given_up.fails(69, "unavailable", &["maximum messages exceeded"]);
    given_up.ends(69, [40, 5, 0, 0, 35, 0]);
    assert_eq!(place.position("c"), events(5).len() as u64);
    assert!((2.0..6.0).contains(&given_up.took.as_secs_f64()), "{given_up:?}");
    let mut run = place.start(&args);
    run.tells("maximum messages exceeded");
    assert_eq!(place.position("c"), events(5).len() as u64);
    assert!(raw.api("STREAM.UPDATE.ORDERS", &config(1000))["error"].is_null());
    let ended = run.end();
    assert_eq!((ended.code, ended.count("read"), ended.count("dead")), (0, 35, 0), "{ended:?}");
    let stored = place.stored();
    let mut payloads: Vec<&str> = stored.iter().map(|event| event.payload.as_str()).collect();
    payloads.sort_unstable();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(payloads, lines);
    assert_eq!(ended.count("inversions"), inversions(&stored, &text), "{ended:?}");
}

#[test]
fn a_stream_that_goes_away_under_a_run_stops_it() {
    let place = Place::new();
    let mut raw = place.raw();
    let mut run = place.start(&["--checkpoint", "c", "--input-id", "x"]);
    run.write(events(3));
    run.until("three are committed", |_| place.path("c").exists() && place.position("c") == events(3).len() as u64);
    raw.api("STREAM.DELETE.ORDERS", &json!({}));
    run.write(&events(5)[events(3).len()..]);
    run.end().ends(75, [5, 3, 0, 0, 2, 0]).fails(75, "other_stream", &["ORDERS is gone"]);
    assert_eq!(place.position("c"), events(3).len() as u64);
}

#[test]
fn events_that_a_reload_made_too_large_are_letters_and_no_others() {
    let mut place = Place::new();
    let mut raw = place.raw();
    let large =
        |number: usize| format!("{{\"op\":\"c\",\"source\":{{}},\"n\":{number},\"x\":\"{}\"}}\n", "y".repeat(30_000));
    let mut run = place.start(&["--dead-letter", "dead", "--input-id", "x"]);
    run.write(events(2) + &large(0));
    run.until("three are stored", |_| raw.stream_messages("ORDERS") == 3);
    place.server.reload("max_payload: 20000");
    let rest = &events(20)[events(2).len()..];
    let (first, second) = rest.split_at(events(10).len() - events(2).len());
    run.write([first, &large(1), second, &large(2), &large(3)].concat());
    let ended = run.end();
    assert_eq!((ended.code, ended.count("dead"), ended.count("read")), (0, 3, 24), "{ended:?}");
    assert!(ended.count("reconnects") <= 2, "{ended:?}");
    let letters = place.letters("dead");
    let payloads: Vec<&str> = letters.iter().map(|letter| letter["payload"].as_str().unwrap()).collect();
    assert_eq!(payloads, [1, 2, 3].map(large).each_ref().map(|line| line.trim_end()));
    assert!(letters.iter().all(|letter| letter["reason"].as_str().unwrap().contains("20000")), "{letters:?}");
    let expected = events(2) + &large(0) + rest;
    assert_eq!(place.payloads(), expected.lines().collect::<Vec<_>>());
}

#[test]
fn a_user_who_is_removed_is_tried_for_a_while() {
    let users = |names: &[&str]| {
        let all: Vec<String> = names.iter().map(|name| format!("{{ user: {name}, password: p }}")).collect();
        format!("authorization {{ users: [{}] }}", all.join(", "))
    };
    let both = users(&["ann", "bob"]);
    let options = ServerOptions { config: both.clone(), credentials: Some("bob:p".into()), ..ServerOptions::default() };
    let mut place = Place::without_stream(options);
    place.create_stream(json!({}));
    let proxy = Proxy::start(&place.server.address());
    let url = proxy.url().replace("nats://", "nats://ann:p@");
    let top = "source: { type: stdin, input_id: x }\ncheckpoint: { path: c }";
    place.configure(top, &format!("url: '{url}', retry: {{ auth_secs: 3 }}"));
    let mut raw = place.raw();
    let mut run = place.start(&["-c", "natsink.yaml"]);
    run.write(events(2));
    run.until("two are stored", |_| raw.stream_messages("ORDERS") == 2);
    place.server.reload(&users(&["bob"]));
    run.tells("Authorization Violation");
    run.write(&events(4)[events(2).len()..]);
    place.server.reload(&both);
    run.until("four are stored", |_| raw.stream_messages("ORDERS") == 4);
    // This time nobody lets him in again.
    let links = proxy.accepted();
    place.server.reload(&users(&["bob"]));
    run.write(&events(6)[events(4).len()..]);
    let began = Instant::now();
    let ended = run.end();
    ended.fails(77, "auth", &["credentials refused", "Authorization Violation"]);
    assert_eq!((ended.count("read"), ended.count("pending")), (6, 2), "{ended:?}");
    assert!((2.0..8.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    let tries = proxy.accepted() - links;
    assert!((2..20).contains(&tries), "{tries} tries in three seconds");
    assert_eq!(place.position("c"), events(4).len() as u64);
    place.server.reload(&both);
    place.pipe(&["-c", "natsink.yaml"], events(6)).ends(0, [2, 2, 0, 0, 0, 0]);
    place.write("all", events(6));
    place.holds_exactly("all");
}

#[test]
fn a_pipe_that_outruns_a_stopped_server_waits() {
    let place = Place::new();
    let line = |number: usize| format!("{number:08}{}\n", "x".repeat(8_000));
    let text: String = (0..8_000).map(line).collect();
    place.write("all", &text);
    let mut raw = place.raw();
    let mut run = place.start(&["--format", "lines"]);
    run.write(line(0));
    run.until("one is stored", |_| raw.stream_messages("ORDERS") == 1);
    place.server.stop();
    let (written, pid) = (run.pipe_counted(text.as_bytes()[line(0).len()..].to_vec()), run.pid());
    run.until("a window is full", |_| written() > 4_000_000);
    // What else could come, comes within a second.
    thread::sleep(Duration::from_secs(1));
    assert!(written() < 32_000_000, "{} bytes were taken by a run that can send nothing", written());
    place.server.cont();
    run.until("half is stored", |_| raw.stream_messages("ORDERS") > 4_000);
    let peak = rss_peak_kib(pid);
    is_undisturbed(run.end().ends(0, [8_000, 8_000, 0, 0, 0, 0]));
    assert!(peak < 64 * 1024, "{peak} KiB");
    place.holds_exactly("all");
}

/// A small file system in memory. Dropped, it is gone.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, and a word about it, where this user may not mount one.
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir(path).expect("the folder is ours");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(path.into()));
        }
        eprintln!("skipped: no small file system can be mounted here");
        None
    }

    fn fill(&self) {
        let full = fs::write(self.0.join("filler"), vec![0; 128 * 1024]);
        assert!(full.is_err(), "the disk has no end");
    }

    fn clear(&self) {
        fs::remove_file(self.0.join("filler")).expect("the filler is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_holds_the_position() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.path("disk")) else { return };
    let mut raw = place.raw();
    let args = ["--checkpoint", "disk/c", "--dead-letter", "disk/dead", "--input-id", "x"];
    let start = |place: &Place, count: usize| -> Run {
        let mut run = place.start(&args);
        run.write(events(count));
        run
    };
    // The checkpoint cannot be written.
    let mut run = start(&place, 3);
    run.until("three are committed", |_| place.path("disk/c").exists() && place.position("disk/c") > 0);
    run.until("all of them", |_| place.position("disk/c") == events(3).len() as u64);
    disk.fill();
    run.write(&events(5)[events(3).len()..]);
    run.until("five are stored", |_| raw.stream_messages("ORDERS") == 5);
    let ended = run.end();
    ended.fails(74, "checkpoint", &["disk/c", "No space left"]);
    assert_eq!(place.position("disk/c"), events(3).len() as u64);
    disk.clear();
    start(&place, 5).end().ends(0, [2, 0, 2, 0, 0, 0]);
    // A letter cannot be written.
    let mut run = start(&place, 5);
    run.tells("connected to");
    disk.fill();
    run.write("nonsense\n");
    run.end().fails(74, "dead_letter", &["disk/dead", "No space left"]);
    disk.clear();
    let text = events(5) + "nonsense\n";
    place.pipe(&args, text.as_str()).ends(0, [1, 0, 0, 1, 0, 0]);
    place.pipe(&args, text + "nonsense\n").ends(0, [1, 0, 0, 1, 0, 0]);
    let letters: Vec<_> = place.letters("disk/dead").into_iter().map(|letter| letter["payload"].clone()).collect();
    assert_eq!(letters, ["nonsense", "nonsense"]);
    place.write("all", events(5));
    place.holds_exactly("all");
}
