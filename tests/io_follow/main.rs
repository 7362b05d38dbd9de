//! Files that are followed: growth, every kind of rotation, and restarts at any point, with real files.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod follower;
mod writer;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

use follower::{DEADLINE, Follower};
use natsink::io::{FollowOptions, Look, Notice, Source, SourceOptions, Trail};
use natsink::rng::Rng;
use writer::Writer;

#[tokio::test]
async fn a_line_is_none_before_its_line_feed() {
    let mut writer = Writer::new();
    let mut follower = Follower::new(&writer.log(), None);
    follower.reads_no_more().await;
    assert_eq!(follower.notices, [Notice::Missing(writer.log())], "told once");
    writer.open();
    follower.reads_no_more().await;
    writer.part("o");
    follower.reads_no_more().await;
    assert!(follower.reading.is_none(), "what is not whole makes no identity");
    writer.part("n").part("e\ntw");
    follower.reads(1).await;
    follower.reads_no_more().await;
    writer.part("o\n").written.extend(["one".into(), "two".into()]);
    follower.reads(2).await;
    follower.has_read_all_of(&writer);
    assert_eq!(follower.notices.len(), 1);
}

#[tokio::test]
async fn a_line_is_read_soon_after_it_was_written() {
    let mut writer = Writer::new();
    writer.open().line("first");
    let mut trail = Trail::new(&writer.log(), Some(FollowOptions::default()), None, false);
    let Look::Segment(segment) = trail.look().unwrap() else { panic!("a file") };
    let follow = Some((&*writer.log(), FollowOptions::default())).map(|(path, options)| (path.to_owned(), options));
    let follow = follow.as_ref().map(|(path, options)| (&**path, *options));
    let mut source = Source::start_segment(&segment, follow, SourceOptions::new(Instant::now())).unwrap();
    assert!(source.fill().await.unwrap() && source.line().is_some());
    let mut waits = Vec::new();
    for number in 0..5 {
        // Long enough for the pauses to have grown.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        writer.line(&number.to_string());
        assert!(source.fill().await.unwrap() && source.line().is_some());
        waits.push(began.elapsed());
    }
    // A machine that is busy with something else may take its time now and then.
    waits.sort_unstable();
    assert!(waits[2] < Duration::from_millis(200), "{waits:?}");
}

#[tokio::test]
async fn a_renamed_file_is_read_to_its_end_first_also_what_is_written_late() {
    let mut writer = Writer::new();
    writer.open().line("1").line("2");
    let mut follower = Follower::new(&writer.log(), None);
    follower.options.grace = Duration::from_secs(2);
    follower.reads(2).await;
    writer.line("3").rename().line("4");
    follower.reads(4).await;
    // While the path leads nowhere the old file is followed.
    writer.line("5");
    follower.reads(5).await;
    // Its writer opens the next one late, when somebody else has written there already.
    let mut late = writer.file.take().unwrap();
    writer.open().part("7\n");
    follower.goes_on_for(follower.options.grace / 4).await;
    late.write_all(b"6\n").unwrap();
    writer.written.extend(["6", "7"].map(Into::into));
    follower.reads(7).await;
    follower.has_read_all_of(&writer);
    // Too late is told.
    late.write_all(b"lost\n").unwrap();
    follower.reads_no_more().await;
    follower.notices.extend(follower.trail.poll_notice());
    let told = [Notice::Next(writer.log()), Notice::Late { path: writer.log(), len: 5 }];
    assert_eq!(follower.notices, told);
}

#[tokio::test]
async fn the_last_line_of_a_finished_file_needs_no_line_feed() {
    let mut writer = Writer::new();
    writer.open().line("1").part("2");
    let mut follower = Follower::new(&writer.log(), None);
    follower.reads(1).await;
    writer.rename();
    follower.reads_no_more().await;
    writer.written.push("2".into());
    writer.open().line("3");
    follower.reads(3).await;
    follower.has_read_all_of(&writer);
}

#[tokio::test]
async fn a_cut_file_is_read_from_its_beginning_also_when_it_is_longer_than_before() {
    let mut writer = Writer::new();
    writer.open().line("header").line("1");
    let mut follower = Follower::new(&writer.log(), None);
    follower.reads(2).await;
    writer.cut().line("header").line("2");
    follower.reads(4).await;
    // Between two looks.
    fs::write(writer.log(), "header\n3\n4\n5\n").unwrap();
    writer.written.extend(["header", "3", "4", "5"].map(Into::into));
    follower.reads(8).await;
    // As long as before.
    fs::write(writer.log(), "header\n6\n7\n8\n").unwrap();
    writer.written.extend(["header", "6", "7", "8"].map(Into::into));
    follower.reads(12).await;
    writer.cut();
    follower.reads_no_more().await;
    writer.cut().line("9");
    follower.reads(13).await;
    follower.has_read_all_of(&writer);
    assert_eq!(follower.notices, vec![Notice::Cut { path: writer.log(), lost: 0 }; 4]);
}

#[tokio::test]
async fn what_was_cut_off_unread_is_read_from_the_copy_or_told() {
    let mut writer = Writer::new();
    writer.open().line("1").part("2");
    let mut follower = Follower::new(&writer.log(), None);
    follower.reads(1).await;
    follower.reads_no_more().await;
    writer.copy_and_cut();
    writer.written.push("2".into());
    writer.line("3");
    follower.reads(3).await;
    follower.has_read_all_of(&writer);
    writer.part("4");
    follower.reads_no_more().await;
    writer.cut().line("5");
    follower.reads(4).await;
    follower.has_read_all_of(&writer);
    let told = [
        Notice::Cut { path: writer.log(), lost: 0 },
        Notice::Rotated(writer.path("log.1")),
        Notice::Next(writer.log()),
        Notice::Cut { path: writer.log(), lost: 1 },
    ];
    assert_eq!(follower.notices, told);
}

#[tokio::test]
async fn a_deleted_and_a_replaced_file_are_read_to_their_ends() {
    let mut writer = Writer::new();
    writer.open().line("header").line("1");
    let mut follower = Follower::new(&writer.log(), None);
    follower.reads(2).await;
    fs::remove_file(writer.log()).unwrap();
    writer.line("2");
    follower.reads(3).await;
    writer.open().line("header").line("3");
    follower.reads(5).await;
    // Another with the same beginning, moved over it.
    fs::write(writer.path("new"), "header\n3\n4\n").unwrap();
    writer.line("3a");
    fs::rename(writer.path("new"), writer.log()).unwrap();
    writer.written.extend(["header", "3", "4"].map(Into::into));
    follower.reads(9).await;
    follower.has_read_all_of(&writer);
}

#[tokio::test]
async fn a_link_that_is_turned_to_another_file_leads_to_it() {
    let mut writer = Writer::new();
    let link = |writer: &Writer, name: &str| {
        std::os::unix::fs::symlink(writer.path(name), writer.path("turned")).unwrap();
        fs::rename(writer.path("turned"), writer.log()).unwrap();
    };
    fs::write(writer.path("log-20260101"), "1\n").unwrap();
    link(&writer, "log-20260101");
    let mut follower = Follower::new(&writer.log(), None);
    follower.reads(1).await;
    let (saved, read) = (follower.saved(), std::mem::take(&mut follower.read));
    drop(follower);
    // Twice while nobody looked.
    for (name, text) in [("log-20260102", "3\n4\n"), ("log-20260103", "5\n")] {
        writer.tick();
        fs::write(writer.path(name), text).unwrap();
        link(&writer, name);
    }
    OpenOptions::new().append(true).open(writer.path("log-20260101")).unwrap().write_all(b"2\n").unwrap();
    fs::File::open(writer.path("log-20260101")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let mut follower = Follower::new(&writer.log(), saved.as_ref());
    follower.read = read;
    follower.reads(5).await;
    writer.written.extend(["1", "2", "3", "4", "5"].map(Into::into));
    follower.has_read_all_of(&writer);
}

#[tokio::test]
async fn several_rotations_while_nobody_looked_are_read_in_their_order() {
    for by_copy in [false, true] {
        let mut writer = Writer::new();
        let rotate = |writer: &mut Writer| {
            if by_copy {
                writer.copy_and_cut();
            } else {
                writer.rename().open();
            }
        };
        writer.open().line("header").line("of before");
        rotate(&mut writer);
        writer.written.clear();
        writer.line("header").line("1");
        let mut follower = Follower::new(&writer.log(), None);
        follower.reads(2).await;
        let saved = follower.saved();
        writer.line("2");
        for rotation in 0..11 {
            rotate(&mut writer);
            writer.line("header").line(&format!("after {rotation}"));
        }
        fs::write(writer.path("log.dead"), "header\nanother\n").unwrap();
        let read = std::mem::take(&mut follower.read);
        let mut follower = Follower::new(&writer.log(), saved.as_ref());
        follower.read = read;
        follower.reads(writer.written.len()).await;
        follower.has_read_all_of(&writer);
        let between = follower.notices.iter().filter(|notice| matches!(notice, Notice::Between(_))).count();
        assert_eq!((between, follower.notices[0].clone()), (10, Notice::Rotated(writer.path("log.11"))));
    }
}

#[tokio::test]
async fn files_that_were_written_last_at_one_time_are_told_apart_by_their_names() {
    let mut writer = Writer::new();
    writer.open().line("1");
    let mut follower = Follower::new(&writer.log(), None);
    follower.reads(1).await;
    let (saved, read) = (follower.saved(), std::mem::take(&mut follower.read));
    writer.rename().open().line("2").rename().open().line("3").rename().open().line("4");
    let last = fs::metadata(writer.path("log.3")).unwrap().modified().unwrap();
    for name in ["log.1", "log.2"] {
        File::open(writer.path(name)).unwrap().set_modified(last).unwrap();
    }
    let mut follower = Follower::new(&writer.log(), saved.as_ref());
    follower.read = read;
    follower.reads(4).await;
    follower.has_read_all_of(&writer);
}

#[tokio::test]
async fn a_file_that_is_gone_hides_none_that_came_after_it() {
    let mut writer = Writer::new();
    writer.open().line("1");
    let mut follower = Follower::new(&writer.log(), None);
    follower.reads(1).await;
    let saved = follower.saved();
    writer.rename().open().line("2").rename().open().line("3");
    fs::remove_file(writer.path("log.2")).unwrap();
    fs::write(writer.path("log.3.gz"), "packed").unwrap();
    let read = std::mem::take(&mut follower.read);
    let mut follower = Follower::new(&writer.log(), saved.as_ref());
    follower.read = read;
    follower.reads(3).await;
    follower.has_read_all_of(&writer);
    let told = [
        Notice::Replaced(writer.log()),
        Notice::Compressed(writer.path("log.3.gz")),
        Notice::Between(writer.path("log.1")),
        Notice::Next(writer.log()),
    ];
    assert_eq!(follower.notices, told);
}

#[tokio::test]
async fn a_file_that_is_cut_before_anything_is_read_is_read_from_the_copy() {
    let mut writer = Writer::new();
    writer.open().line("header").line("1");
    let mut follower = Follower::new(&writer.log(), None);
    let Look::Segment(segment) = follower.trail.look().unwrap() else { panic!("a file") };
    writer.copy_and_cut().line("header").line("2").line("3");
    let follow = Some((&*follower.log, follower.options));
    let source = Source::start_segment(&segment, follow, SourceOptions::new(Instant::now())).unwrap();
    follower.reading = Some((segment, source));
    follower.reads(5).await;
    follower.has_read_all_of(&writer);
}

#[tokio::test]
async fn a_position_in_a_cut_file_is_none() {
    let mut writer = Writer::new();
    writer.open().line("1").line("2").line("3");
    let mut follower = Follower::new(&writer.log(), None);
    follower.reads(3).await;
    assert!(follower.saved().is_some());
    writer.cut();
    assert_eq!(follower.saved(), None);
    // Written anew and longer: what is there now would be taken for what was read.
    for number in 0..10 {
        writer.line(&format!("new {number}"));
    }
    assert_eq!(follower.saved(), None);
}

#[tokio::test]
async fn starting_over_keeps_the_ids_of_the_same_bytes_and_gives_others_to_others() {
    let mut writer = Writer::new();
    writer.open().line("header").line("1");
    let mut follower = Follower::new(&writer.log(), None);
    follower.reads(2).await;
    writer.cut().line("header").line("2");
    follower.reads(4).await;
    let saved = follower.saved().unwrap();
    assert_eq!(saved.generation, 1);
    let again = |saved| {
        let mut trail = Trail::new(&writer.log(), None, Some(saved), true);
        let Look::Segment(segment) = trail.look().unwrap() else { panic!("a file") };
        assert!(matches!(trail.look().unwrap(), Look::End));
        assert_eq!((segment.position, segment.lines), (0, 0));
        segment.input
    };
    let same = again(&saved);
    assert_eq!((same.name(), same.generation()), (&*saved.name, 1));
    fs::write(writer.log(), "header\n3\n").unwrap();
    assert_eq!(again(&saved).generation(), 2);
}

/// Everything that can happen to a log, restarts at any point included; no line is written twice.
#[tokio::test]
async fn every_line_is_read_once_in_order_whatever_happens_to_the_files() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(25);
    for seed in 0..seeds {
        let mut rng = Rng::new(seed);
        let mut writer = Writer::new();
        writer.open();
        let mut follower = Follower::new(&writer.log(), None);
        // What is rotated away before anybody ever looked is nobody's.
        writer.line("the start");
        while !follower.turn().await {}
        let mut first: Vec<String> = Vec::new();
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        let mut partial = String::new();
        let mut number = 0;
        for _ in 0..40 {
            let (there, whole) = (writer.log().exists(), partial.is_empty());
            match rng.below(12) {
                0 if there && whole => drop(writer.rename().open()),
                1 if there && whole => drop(writer.copy_and_cut()),
                // The writer learns of it late.
                2 if there => drop(writer.rename()),
                3 if !there && whole => drop(writer.open()),
                4 => {
                    // A restart, with a checkpoint of some point before.
                    take(&mut follower, &mut first, &mut ids, seed);
                    follower = Follower::new(&writer.log(), follower.saved.as_ref());
                }
                5 | 6 => {
                    for _ in 0..rng.below(20) {
                        follower.turn().await;
                        if rng.below(3) == 0 {
                            follower.saved = follower.saved().or(follower.saved);
                        }
                    }
                }
                7 => {
                    number += 1;
                    let part = format!("{number}.");
                    writer.part(&part);
                    partial += &part;
                }
                _ => {
                    for _ in 0..rng.below(4) {
                        number += 1;
                        let rest = format!("line {number}");
                        writer.part(&format!("{rest}\n"));
                        writer.written.push(std::mem::take(&mut partial) + &rest);
                    }
                }
            }
            if !writer.log().exists() && partial.is_empty() && rng.below(2) == 0 {
                writer.open();
            }
        }
        writer.line(&format!("{partial}the end"));
        if !partial.is_empty() {
            writer.written.pop();
            writer.written.push(format!("{partial}{partial}the end"));
        }
        let began = Instant::now();
        loop {
            follower.turn().await;
            let last = follower.read.last().map(|(_, line)| line);
            if last == writer.written.last() {
                break;
            }
            let (told, wanted) = (&follower.notices, &writer.written);
            assert!(
                began.elapsed() < DEADLINE,
                "seed {seed}: {wanted:?} {first:?} {:?} {told:?} {:?}",
                follower.read,
                follower.reading
            );
            tokio::task::yield_now().await;
        }
        take(&mut follower, &mut first, &mut ids, seed);
        assert_eq!(first, writer.written, "seed {seed}: {:?}", follower.notices);
    }
}

/// Holds what was read against what was read before.
fn take(follower: &mut Follower, first: &mut Vec<String>, ids: &mut BTreeMap<String, String>, seed: u64) {
    for (id, line) in follower.read.drain(..) {
        match ids.insert(id.clone(), line.clone()) {
            None => first.push(line),
            Some(before) => assert_eq!(before, line, "seed {seed}: one id, {id}, two lines"),
        }
    }
}
