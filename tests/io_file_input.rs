//! Which file is read after a restart: grown, truncated, replaced, rotated, copied, and the ids that follow from it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use natsink::io::{InputKind, Look, Origin, SavedInput, Segment, SourceError, Trail};
use natsink::rng::Rng;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// All that is to be read.
fn plan(path: &Path, saved: Option<&SavedInput>) -> Result<Vec<Segment>, SourceError> {
    let mut trail = Trail::new(path, None, saved, saved.is_none());
    let mut segments = Vec::new();
    while let Look::Segment(segment) = trail.look()? {
        segments.push(segment);
    }
    Ok(segments)
}

fn only(path: &Path, saved: Option<&SavedInput>) -> Segment {
    let mut segments = plan(path, saved).unwrap();
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments.remove(0)
}

/// A first run that read up to `position`.
fn first_run(path: &Path, position: u64) -> SavedInput {
    let segment = only(path, None);
    assert_eq!((segment.origin, segment.position), (Origin::New, 0));
    let saved = segment.saved(position, 1).unwrap().unwrap();
    assert_eq!(saved.kind, InputKind::File);
    saved
}

#[test]
fn the_same_file_is_the_same_input() {
    let folder = Folder::new();
    let path = folder.write("in", "a\nb\n");
    assert_eq!(only(&path, None).input, only(&path, None).input);
    append(&path, "c\n");
    let saved = first_run(&path, 4);
    let resumed = only(&path, Some(&saved));
    assert_eq!((resumed.origin, resumed.position, resumed.lines), (Origin::Resumed, 4, 1));
    assert_eq!(resumed.input, only(&path, None).input);
}

#[test]
fn two_files_with_one_first_line_are_two_inputs() {
    let folder = Folder::new();
    let (a, b) = (folder.write("a", "header\n1\n"), folder.write("b", "header\n2\n"));
    assert_ne!(only(&a, None).input, only(&b, None).input);
}

#[test]
fn a_short_file_that_grows_stays_itself() {
    let folder = Folder::new();
    let path = folder.write("in", "x\n");
    let saved = first_run(&path, 2);
    for _ in 0..3000 {
        append(&path, "yy\n");
    }
    let resumed = only(&path, Some(&saved));
    assert_eq!((resumed.origin, resumed.position, resumed.input.to_string()), (Origin::Resumed, 2, saved.name.clone()));
    let saved = resumed.saved(9002, 3001).unwrap().unwrap();
    assert_eq!(only(&path, Some(&saved)).position, 9002);
}

#[test]
fn a_first_line_that_grows_is_another_event_and_so_another_input() {
    let folder = Folder::new();
    let path = folder.write("in", "abc");
    let (short, nothing) = (only(&path, None).input, folder.write("empty", ""));
    append(&path, "def");
    let longer = only(&path, None).input;
    append(&path, "\n");
    let whole = only(&path, None).input;
    append(&path, "more\n");
    assert_eq!(only(&path, None).input, whole, "from now on it is the same");
    assert!(short != longer && longer != whole && short != whole);
    assert!(plan(&nothing, None).is_ok());
}

#[test]
fn a_file_that_was_empty_lost_nothing_when_it_grew() {
    let folder = Folder::new();
    let path = folder.write("in", "");
    let saved = first_run(&path, 0);
    append(&path, "a\n");
    let mut trail = Trail::new(&path, None, Some(&saved), false);
    assert!(matches!(trail.look().unwrap(), Look::Segment(segment) if segment.position == 0));
    assert_eq!(trail.poll_notice(), None);
}

#[test]
fn a_truncated_file_is_a_new_generation() {
    let folder = Folder::new();
    let path = folder.write("in", "a\nb\nc\n");
    let saved = first_run(&path, 6);
    folder.write("in", "a\nx\n");
    let replaced = only(&path, Some(&saved));
    assert_eq!((replaced.origin, replaced.position, replaced.input.generation()), (Origin::Replaced, 0, 1));
    // The same inode and first line: only the generation tells them apart.
    assert_eq!(replaced.input.name(), saved.name);
    let saved = replaced.saved(4, 2).unwrap().unwrap();
    assert_eq!(saved.generation, 1);
    assert_eq!(only(&path, Some(&saved)).input, replaced.input);
    folder.write("in", "");
    assert_eq!(only(&path, Some(&saved)).input.generation(), 2);
}

#[test]
fn a_truncated_file_that_has_grown_again_is_not_taken_for_the_old_one() {
    let folder = Folder::new();
    let path = folder.write("in", &"old line\n".repeat(1000));
    let saved = first_run(&path, 4500);
    folder.write("in", &"new line\n".repeat(1000));
    assert_eq!(only(&path, Some(&saved)).origin, Origin::Replaced);
}

#[test]
fn a_file_that_was_not_read_yet_is_known_by_its_identity() {
    let folder = Folder::new();
    let path = folder.write("in", "a\n");
    let saved = first_run(&path, 0);
    append(&path, "b\n");
    assert_eq!(only(&path, Some(&saved)).origin, Origin::Resumed);
    folder.rename("in", "in.1");
    folder.write("in", "z\n");
    let segments = plan(&path, Some(&saved)).unwrap();
    let origins: Vec<Origin> = segments.iter().map(|segment| segment.origin).collect();
    assert_eq!(origins, [Origin::Rotated, Origin::Replaced]);
}

#[test]
fn a_rotated_file_that_may_not_be_read_is_named() {
    let folder = Folder::new();
    let path = folder.write("in", "a\n");
    let saved = first_run(&path, 2);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    folder.rename("in", "in.2");
    let hidden = folder.write("in.1", "b\n");
    fs::File::open(&hidden).unwrap().set_modified(modified).unwrap();
    folder.write("in", "c\n");
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&hidden).is_ok() {
        return eprintln!("skipped: this user may read everything");
    }
    let error = plan(&path, Some(&saved)).unwrap_err();
    assert!(matches!(&error, SourceError::Open { path, .. } if *path == hidden), "{error}");
}

#[test]
fn a_full_folder_hides_no_rotated_file() {
    let folder = Folder::new();
    let path = folder.write("in", "a\n");
    let saved = first_run(&path, 2);
    append(&path, "b\n");
    for number in 0..15_000 {
        folder.write(&format!("other-{number}"), "");
    }
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    folder.rename("in", "in.8");
    for number in (1..8).rev() {
        let rotated = fs::File::create_new(folder.path(&format!("in.{number}"))).unwrap();
        (&rotated).write_all(b"c\n").unwrap();
        rotated.set_modified(modified).unwrap();
    }
    folder.write("in", "d\n");
    let segments = plan(&path, Some(&saved)).unwrap();
    let paths: Vec<_> = segments.iter().map(|segment| segment.path.clone()).collect();
    let expected: Vec<_> = (1..9).rev().map(|number| folder.path(&format!("in.{number}"))).chain([path]).collect();
    assert_eq!(paths, expected);
}

#[test]
fn a_rotated_file_is_read_to_its_end_first() {
    let folder = Folder::new();
    folder.write("in.2", "other\nlonger than the position\n");
    let path = folder.write("in", "a\nb\n");
    let saved = first_run(&path, 2);
    append(&path, "c\n");
    folder.rename("in", "in.1");
    folder.write("in", "a\nz\n");
    fs::create_dir(folder.path("in.3")).unwrap();
    let segments = plan(&path, Some(&saved)).unwrap();
    let [rotated, new] = &segments[..] else { panic!("{segments:?}") };
    assert_eq!((rotated.origin, rotated.position, &rotated.path), (Origin::Rotated, 2, &folder.path("in.1")));
    assert_eq!((rotated.input.name(), rotated.input.generation()), (&*saved.name, 0));
    assert_eq!((new.origin, new.position, new.input.generation()), (Origin::Replaced, 0, 1));
    assert_ne!(new.input, rotated.input);
}

#[test]
fn among_copies_the_file_itself_is_taken() {
    let folder = Folder::new();
    let path = folder.write("in", "a\nb\n");
    let saved = first_run(&path, 2);
    folder.rename("in", "z.old");
    fs::copy(folder.path("z.old"), folder.path("a.copy")).unwrap();
    folder.write("in", "new\n");
    let segments = plan(&path, Some(&saved)).unwrap();
    assert_eq!(segments[0].path, folder.path("z.old"));
}

#[test]
fn a_copy_in_its_place_is_recognised_by_its_bytes() {
    let folder = Folder::new();
    let path = folder.write("in", "a\nb\n");
    let saved = first_run(&path, 4);
    fs::copy(&path, folder.path("copy")).unwrap();
    folder.rename("copy", "in");
    let resumed = only(&path, Some(&saved));
    assert_eq!((resumed.origin, resumed.input.name()), (Origin::Resumed, &*saved.name), "the ids go on as they were");
}

#[test]
fn a_copy_is_known_by_its_own_identity_from_then_on() {
    let folder = Folder::new();
    let path = folder.write("in", "a\nb\n");
    let saved = first_run(&path, 2);
    fs::copy(&path, folder.path("copy")).unwrap();
    folder.rename("copy", "in");
    let saved = only(&path, Some(&saved)).saved(2, 1).unwrap().unwrap();
    folder.rename("in", "in.1");
    folder.write("in", "a\nz\n");
    let origins: Vec<Origin> = plan(&path, Some(&saved)).unwrap().iter().map(|segment| segment.origin).collect();
    assert_eq!(origins, [Origin::Rotated, Origin::Replaced]);
}

/// Files that are appended to, rotated, truncated and replaced between runs that crash at any line. All begin with the same
/// line; every other line is written once.
#[test]
fn no_id_stands_for_two_lines_and_no_line_is_left_out() {
    const HEADER: &str = "header\n";
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let folder = Folder::new();
        let path = folder.write("in", HEADER);
        let mut numbers = 0..;
        let mut fresh = |rng: &mut Rng| -> String {
            numbers.by_ref().take(rng.below(4) as usize).map(|number: u32| format!("{number}\n")).collect()
        };
        let mut saved: Option<SavedInput> = None;
        let mut sent: BTreeMap<String, String> = BTreeMap::new();
        let mut delivered = BTreeSet::new();
        for turn in 0..12 {
            append(&path, &fresh(&mut rng));
            // What is rewritten with the bytes that were read cannot be told from what was read.
            let told_apart = saved.as_ref().is_some_and(|saved| saved.position > HEADER.len() as u64);
            match rng.below(5) {
                0 if saved.is_some() => {
                    folder.rename("in", &format!("in.{turn}"));
                    folder.write("in", &format!("{HEADER}{}", fresh(&mut rng)));
                }
                1 if told_apart => {
                    folder.write("in", &format!("{HEADER}{}", fresh(&mut rng)));
                }
                2 if told_apart => {
                    folder.write("new", &format!("{HEADER}{}", fresh(&mut rng)));
                    folder.rename("new", "in");
                }
                _ => {}
            }
            for segment in plan(&path, saved.as_ref()).unwrap() {
                let text = fs::read_to_string(&segment.path).unwrap();
                let (mut position, mut lines) = (segment.position, segment.lines);
                // Where the checkpoint was when the run crashed.
                let crash = rng.below(text.len() as u64 + 1);
                saved = Some(segment.saved(position, lines).unwrap().unwrap());
                for line in text[position as usize..].split_inclusive('\n') {
                    let before = sent.insert(format!("{}:{position}", segment.input), line.into());
                    assert!(before.is_none_or(|before| before == line), "seed {seed}: one id, two lines");
                    delivered.insert(line.to_owned());
                    position += line.len() as u64;
                    lines += 1;
                    if position <= crash || segment.origin == Origin::Rotated {
                        saved = Some(segment.saved(position, lines).unwrap().unwrap());
                    }
                }
            }
            let there = fs::read_to_string(&path).unwrap();
            assert!(there.split_inclusive('\n').all(|line| delivered.contains(line)), "seed {seed}: {there}");
        }
        let rotated =
            fs::read_dir(folder.0.path()).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
        for text in rotated {
            assert!(text.split_inclusive('\n').all(|line| delivered.contains(line)), "seed {seed}: rotated {text}");
        }
    }
}

#[test]
fn a_checkpoint_belongs_to_one_input() {
    let folder = Folder::new();
    let file = first_run(&folder.write("in", "a\n"), 2);
    let pipe = SavedInput::pipe("a b", 2, 1, None);
    assert!(file.check_file(Path::new("in")).is_ok() && pipe.check_pipe("a b").is_ok());
    let errors = [
        file.check_pipe("a b").unwrap_err(),
        pipe.check_pipe("a").unwrap_err(),
        pipe.check_file(Path::new("in")).unwrap_err(),
    ];
    assert!(errors[1].to_string().contains("a pipe with the identity a%20b"), "{}", errors[1]);
}
