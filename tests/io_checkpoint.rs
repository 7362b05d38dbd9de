//! The checkpoint file against crashes, other users, other pipelines and damage.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::Path;

use natsink::io::{Checkpoint, CheckpointError, CheckpointFile, SavedInput, SinkPosition};
use natsink::sink::Fingerprint;

fn checkpoint(position: u64) -> Checkpoint {
    let sink = SinkPosition {
        id: "nats".into(),
        position,
        lines: 2,
        read_from: 3,
        later: None,
        stream: "ORDERS".into(),
        created: "2026-01-01T00:00:00Z".into(),
    };
    let input = SavedInput::pipe("in", position, 2, Some(Fingerprint::from_bits(0xabc)));
    Checkpoint { pipeline: "orders".into(), input, sinks: vec![sink] }
}

fn open(path: &Path) -> Result<Option<Checkpoint>, CheckpointError> {
    CheckpointFile::open(path, "orders").map(|(_, found)| found)
}

#[test]
fn the_last_one_saved_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let (mut file, found) = CheckpointFile::open(&path, "orders").unwrap();
    assert_eq!(found, None);
    for position in [1, 1000, 2] {
        file.save(&checkpoint(position)).unwrap();
        assert_eq!(CheckpointFile::read(&path).unwrap(), Some(checkpoint(position)));
    }
    drop(file);
    let found = open(&path).unwrap().unwrap();
    assert_eq!(found.input.fingerprint(), Some(Fingerprint::from_bits(0xabc)));
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the checkpoint and its lock, nothing half-written: {names:?}");
}

#[test]
fn one_user_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let first = CheckpointFile::open(&path, "orders").unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, CheckpointError::InUse(_)), "{error}");
    drop(first);
    assert!(open(&path).is_ok(), "the lock of one who is gone is void, though its file is there");
}

#[test]
fn every_crash_while_saving_leaves_the_old_one_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let (mut file, _) = CheckpointFile::open(&path, "orders").unwrap();
    file.save(&checkpoint(2)).unwrap();
    let new = fs::read(&path).unwrap();
    file.save(&checkpoint(1)).unwrap();
    drop(file);
    for len in 0..=new.len() {
        // What was being written when the machine stopped.
        fs::write(folder.path().join("c.new"), &new[..len]).unwrap();
        assert_eq!(open(&path).unwrap(), Some(checkpoint(1)), "{len}");
    }
    fs::rename(folder.path().join("c.new"), &path).unwrap();
    let (mut file, found) = CheckpointFile::open(&path, "orders").unwrap();
    assert_eq!(found, Some(checkpoint(2)));
    fs::write(folder.path().join("c.new"), "left over").unwrap();
    file.save(&checkpoint(3)).unwrap();
    drop(file);
    assert_eq!(open(&path).unwrap(), Some(checkpoint(3)));
}

#[test]
fn what_is_there_is_never_taken_for_nothing_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let (mut file, _) = CheckpointFile::open(&path, "orders").unwrap();
    file.save(&checkpoint(2)).unwrap();
    drop(file);
    let whole = fs::read_to_string(&path).unwrap();
    let newer = whole.replace("\"natsink_checkpoint\":3", "\"natsink_checkpoint\":9");
    let flipped = whole.replace("\"position\":2", "\"position\":3");
    for text in ["", "\n", "{}", &whole[..whole.len() / 2], &newer, &flipped] {
        fs::write(&path, text).unwrap();
        let error = open(&path).unwrap_err();
        match text == newer {
            true => assert!(matches!(error, CheckpointError::Newer { version: 9, .. }), "{error}"),
            false => assert!(matches!(error, CheckpointError::Damaged { .. }), "{text:?}: {error}"),
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(open(&path), Err(CheckpointError::Io { .. })));
}

#[test]
fn another_pipeline_does_not_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let (mut file, _) = CheckpointFile::open(&path, "orders").unwrap();
    file.save(&checkpoint(2)).unwrap();
    drop(file);
    let error = CheckpointFile::open(&path, "invoices").unwrap_err();
    assert!(matches!(&error, CheckpointError::OtherPipeline { found, .. } if found == "orders"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none").join("c");
    assert!(matches!(open(&path), Err(CheckpointError::Io { .. })));
    let path = folder.path().join("c");
    let (mut file, _) = CheckpointFile::open(&path, "orders").unwrap();
    file.save(&checkpoint(1)).unwrap();
    // Nothing can be written where a folder stands.
    fs::create_dir(folder.path().join("c.new")).unwrap();
    assert!(matches!(file.save(&checkpoint(2)), Err(CheckpointError::Io { .. })));
    assert_eq!(CheckpointFile::read(&path).unwrap(), Some(checkpoint(1)));
}

#[test]
fn a_link_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("c"), folder.path().join("link"));
    let (mut file, _) = CheckpointFile::open(&path, "orders").unwrap();
    file.save(&checkpoint(1)).unwrap();
    drop(file);
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let (mut file, found) = CheckpointFile::open(&link, "orders").unwrap();
    assert_eq!(found, Some(checkpoint(1)));
    assert!(matches!(open(&path), Err(CheckpointError::InUse(_))), "by either name it is one checkpoint");
    file.save(&checkpoint(2)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(CheckpointFile::read(&path).unwrap(), Some(checkpoint(2)));
}
