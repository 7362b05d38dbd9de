//! Who writes a log, and those who rotate it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder with a log, and who writes it.
pub(crate) struct Writer {
    pub(crate) folder: TempDir,
    pub(crate) file: Option<File>,
    pub(crate) written: Vec<String>,
    pub(crate) rotations: u32,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), file: None, written: Vec::new(), rotations: 0 }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("log")
    }

    /// Opens the file at the path, and makes it if there is none.
    pub(crate) fn open(&mut self) -> &mut Self {
        self.file = Some(OpenOptions::new().append(true).create(true).open(self.log()).unwrap());
        self
    }

    pub(crate) fn part(&mut self, text: &str) -> &mut Self {
        self.file.as_mut().expect("opened").write_all(text.as_bytes()).unwrap();
        self
    }

    pub(crate) fn line(&mut self, text: &str) -> &mut Self {
        self.written.push(text.into());
        self.part(&format!("{text}\n"))
    }

    /// Moves the log away, as rotation by rename does; its writer goes on writing to it until it opens the path again.
    pub(crate) fn rename(&mut self) -> &mut Self {
        self.tick();
        let others: u32 = self.rotations;
        for number in (1..=others).rev() {
            let _ = fs::rename(self.path(&format!("log.{number}")), self.path(&format!("log.{}", number + 1)));
        }
        fs::rename(self.log(), self.path("log.1")).unwrap();
        self.rotations += 1;
        self
    }

    /// Copies the log and cuts it, as `copytruncate` does.
    pub(crate) fn copy_and_cut(&mut self) -> &mut Self {
        self.tick();
        for number in (1..=self.rotations).rev() {
            let _ = fs::rename(self.path(&format!("log.{number}")), self.path(&format!("log.{}", number + 1)));
        }
        fs::copy(self.log(), self.path("log.1")).unwrap();
        self.rotations += 1;
        self.cut()
    }

    pub(crate) fn cut(&mut self) -> &mut Self {
        OpenOptions::new().write(true).open(self.log()).unwrap().set_len(0).unwrap();
        self
    }

    /// Lets the clock of the file system move on.
    pub(crate) fn tick(&self) {
        let mark = self.path("tick");
        let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        fs::write(&mark, "").unwrap();
        let before = modified(&mark);
        while modified(&mark) == before {
            fs::write(&mark, ".").unwrap();
        }
        fs::remove_file(&mark).unwrap();
    }
}
