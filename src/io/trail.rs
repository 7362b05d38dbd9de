//! Which file is read next: the one at a path, those that were rotated away from there, and the next one that comes there.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::SavedInput;
use super::file_input::{Known, Likeness, Origin, Segment, has_identity};
use super::file_reader::{FollowOptions, SEARCH};
use super::notice::Notice;
use super::rotation::{self, Mark, Neighbour};
use super::seen;
use super::source::{SourceError, open};

/// How often the folder is searched again when files are renamed meanwhile.
const TRIES: u32 = 100;

/// The files that come to a path, one after the other.
///
/// ```
/// use natsink::io::{Look, Trail};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("orders.ndjson");
/// std::fs::write(&path, "{}\n")?;
/// let mut trail = Trail::new(&path, None, None, false);
/// let Look::Segment(segment) = trail.look()? else { panic!("there is a file") };
/// assert_eq!((segment.position, segment.file_len()?), (0, 3));
/// // ... read to its end ...
/// trail.handle_end(3, 1);
/// assert!(matches!(trail.look()?, Look::End));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trail {
    path: PathBuf,
    follow: Option<FollowOptions>,
    from_start: bool,
    last: Last,
    /// Found, and not given yet.
    next: VecDeque<Segment>,
    notices: VecDeque<Notice>,
    /// What the path and its folder looked like when nothing was found there, and when that was.
    nothing: Option<(Signs, Instant)>,
    /// Whether it was told that there is no file.
    told_missing: bool,
    /// Whether it was told what became of the last one.
    told_end: bool,
    /// The file before this one, and how long it was when it was left.
    left: Option<(Segment, u64)>,
    /// Compressed files that were written last before this were told of.
    compressed_since: i128,
    is_over: bool,
}

/// What a look brought.
#[derive(Debug)]
pub enum Look {
    /// This is read next, to its end.
    Segment(Segment),
    /// There is nothing to read yet.
    Wait,
    /// There is nothing more to read.
    End,
}

/// What was read last.
#[derive(Debug)]
enum Last {
    /// Nothing, ever.
    Nothing,
    /// What a checkpoint knows.
    Saved(Known),
    /// This is being read.
    Reading(Segment),
    /// This was read to its end.
    Finished(Segment, Known),
    /// This was read until it was cut.
    Cut(Segment, Known),
}

/// By what a change shows: of the path device, inode, length and time, and of the folder its time.
type Signs = (Option<[i128; 4]>, Option<i128>);

impl Trail {
    /// The files at `path` from what a checkpoint says on. `from_start` reads the present file from its beginning, whatever
    /// the checkpoint says. With `follow` there is no end: whatever comes to the path is read.
    pub fn new(path: &Path, follow: Option<FollowOptions>, saved: Option<&SavedInput>, from_start: bool) -> Self {
        Self {
            path: path.into(),
            follow,
            from_start,
            last: saved.map_or(Last::Nothing, |saved| Last::Saved(Known::saved(saved))),
            next: VecDeque::new(),
            notices: VecDeque::new(),
            nothing: None,
            told_missing: false,
            told_end: false,
            left: None,
            compressed_since: i128::MIN,
            is_over: false,
        }
    }

    /// What is to be read now, after what was given before and is at its end. It touches files, and may wait for the writer
    /// of a named pipe.
    ///
    /// # Errors
    /// When a file cannot be read. One that is not there is waited for where it is followed.
    pub fn look(&mut self) -> Result<Look, SourceError> {
        if let Some(segment) = self.next.pop_front() {
            return Ok(self.give(segment));
        }
        if self.is_over {
            return Ok(Look::End);
        }
        let signs = signs(&self.path);
        if self.nothing.as_ref().is_some_and(|(before, at)| *before == signs && at.elapsed() < SEARCH) {
            return Ok(Look::Wait);
        }
        let found = self.find().map_err(|error| SourceError::Open { path: self.path.clone(), error })?;
        self.next = found?.into();
        self.is_over = self.follow.is_none();
        match self.next.pop_front() {
            Some(segment) => Ok(self.give(segment)),
            None if self.is_over => Ok(Look::End),
            None => {
                self.nothing = Some((signs, Instant::now()));
                Ok(Look::Wait)
            }
        }
    }

    /// What was given last was read up to `position`, and has nothing more. A line that its file lost the end of is behind
    /// that.
    pub fn handle_end(&mut self, position: u64, lines: u64) {
        self.nothing = None;
        self.last = match core::mem::replace(&mut self.last, Last::Nothing) {
            Last::Reading(segment) => {
                let known = Known::ended(&segment, position, lines);
                if segment.is_whole().unwrap_or(false) {
                    Last::Finished(segment, known)
                } else {
                    Last::Cut(segment, known)
                }
            }
            last => last,
        };
    }

    /// The next notice. It looks whether the file before the present one was written to.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        if let Some((left, len)) = &mut self.left
            && let Ok(now) = left.file_len()
            && now > *len
        {
            let late = now - core::mem::replace(len, now);
            self.notices.push_back(Notice::Late { path: left.path.clone(), len: late });
        }
        self.notices.pop_front()
    }

    /// How many bytes are there that are not read, when what was given last is read up to `position`: in that file and in
    /// those that are known to come after it.
    pub fn lag(&self, position: u64) -> u64 {
        let rest = match &self.last {
            Last::Reading(segment) => segment.file_len().unwrap_or(0).saturating_sub(position),
            _ => 0,
        };
        self.next.iter().filter_map(|next| Some(next.file_len().ok()?.saturating_sub(next.position))).sum::<u64>()
            + rest
    }

    fn give(&mut self, segment: Segment) -> Look {
        (self.told_missing, self.told_end) = (false, false);
        if let Last::Finished(last, _) = &self.last {
            self.left = last.file_len().ok().map(|len| (last.clone(), len));
        }
        match segment.origin {
            Origin::Rotated => self.notices.push_back(Notice::Rotated(segment.path.clone())),
            Origin::Between => self.notices.push_back(Notice::Between(segment.path.clone())),
            Origin::Replaced if matches!(self.last, Last::Finished(..)) => {
                self.notices.push_back(Notice::Next(segment.path.clone()));
            }
            Origin::New | Origin::Resumed | Origin::Replaced => {}
        }
        self.last = Last::Reading(segment.clone());
        Look::Segment(segment)
    }

    /// The files to read, the next one first. A file that is followed counts once its first line is whole, since that makes
    /// its identity.
    fn find(&mut self) -> io::Result<Result<Vec<Segment>, SourceError>> {
        for _ in 0..TRIES {
            match self.find_once() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                found => return found,
            }
        }
        Err(io::Error::other("files are renamed in its folder all the time"))
    }

    /// The same, interrupted when files were renamed meanwhile.
    fn find_once(&mut self) -> io::Result<Result<Vec<Segment>, SourceError>> {
        let here = match open(&self.path) {
            Ok(file) => Some(file),
            Err(SourceError::Open { error, .. })
                if self.follow.is_some() && error.kind() == io::ErrorKind::NotFound =>
            {
                if !core::mem::replace(&mut self.told_missing, true) {
                    self.notices.push_back(Notice::Missing(self.path.clone()));
                }
                None
            }
            Err(error) => return Ok(Err(error)),
        };
        match &self.last {
            Last::Nothing | Last::Reading(_) => Ok(Ok(self.at_path(here, Origin::New, 0)?.into_iter().collect())),
            Last::Saved(known) if self.from_start => Ok(Ok(self.again(known, here)?.into_iter().collect())),
            Last::Saved(_) | Last::Finished(..) | Last::Cut(..) => self.after(here),
        }
    }

    /// The file at the path from its beginning, when it can be read.
    fn at_path(&self, file: Option<File>, origin: Origin, generation: u32) -> io::Result<Option<Segment>> {
        let Some(file) = file else { return Ok(None) };
        if self.follow.is_some() && !has_identity(&file)? {
            return Ok(None);
        }
        Segment::new(self.path.clone(), file, origin, generation).map(Some)
    }

    /// The file at the path once more. What has the same bytes has the same ids, and what has not has others, also others
    /// than the files before it had.
    fn again(&self, known: &Known, here: Option<File>) -> io::Result<Option<Segment>> {
        let is_same = match &here {
            Some(file) => known.likeness(file)? != Likeness::None,
            None => false,
        };
        let generation = known.input.generation();
        let segment =
            self.at_path(here, Origin::New, if is_same { generation } else { generation.saturating_add(1) })?;
        Ok(segment.map(|mut segment| {
            if is_same {
                segment.input = known.input.clone();
            }
            segment
        }))
    }

    /// What comes after the file that is known: its rest, wherever it lies, the files that came and went after it, and the
    /// one that is at the path now.
    fn after(&mut self, here: Option<File>) -> io::Result<Result<Vec<Segment>, SourceError>> {
        let neighbours = rotation::neighbours(&self.path, here.as_ref())?;
        let (rest, mark) = match self.rest(here.as_ref(), &neighbours)? {
            Rest::Here(segment) => return Ok(Ok(vec![segment])),
            Rest::Nowhere => return Ok(Ok(Vec::new())),
            Rest::Moved(segment, mark) => (Some(segment), Some(mark)),
            Rest::Gone(modified) => (None, modified.map(|modified| Mark { modified, file: None })),
        };
        if !core::mem::replace(&mut self.told_end, true) {
            self.tell_end(rest.as_ref(), mark, &neighbours);
        }
        let Some(known) = self.last.known() else { return Ok(Ok(Vec::new())) };
        let mut generation = known.input.generation();
        let mut found = Vec::new();
        if let Some(rest) = rest.filter(|rest| rest.file_len().is_ok_and(|len| len > rest.position)) {
            found.push(rest);
        }
        for file in mark.map_or_else(Vec::new, |mark| rotation::between(&self.path, mark, neighbours)) {
            let opened = match file.open() {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Ok(Err(SourceError::Open { path: file.path, error }));
                }
                opened => opened?,
            };
            generation = generation.saturating_add(1);
            found.push(Segment::new(file.path, opened, Origin::Between, generation)?);
        }
        // Where files are followed, the one at the path has its turn when it is read: until then it may be another one.
        if self.follow.is_none() || found.is_empty() {
            found.extend(self.at_path(here, Origin::Replaced, generation.saturating_add(1))?);
        }
        Ok(Ok(found))
    }

    /// Where the rest of the file that is known lies. It is recognised by its bytes before the position, not by its inode:
    /// inodes are used again at once, and files are copied. Only where the bytes fit two files, as those of files with one
    /// first line do, the identity decides.
    fn rest(&self, here: Option<&File>, neighbours: &[Neighbour]) -> io::Result<Rest> {
        if let Last::Finished(segment, known) = &self.last {
            let rest = known.segment(segment.path.clone(), Arc::clone(&segment.file), Origin::Rotated)?;
            return Ok(Rest::Moved(rest, Mark::of(&segment.file.metadata()?, segment.sight().modified)));
        }
        let Some(known) = self.last.known() else { return Ok(Rest::Nowhere) };
        let likeness = here.map_or(Ok(Likeness::None), |here| known.likeness(here))?;
        let moved = if likeness == Likeness::Same { None } else { moved(neighbours, known, likeness)? };
        Ok(match (moved, here) {
            (Some((path, file)), _) => {
                let metadata = file.metadata()?;
                let mark = Mark::of(&metadata, seen::modified(&metadata));
                Rest::Moved(known.segment(path, file.into(), Origin::Rotated)?, mark)
            }
            // Of a file that nothing was read of the beginning says less than its identity.
            (None, Some(here)) if likeness > if known.position > 0 { Likeness::None } else { Likeness::Bytes } => {
                Rest::Here(known.segment(self.path.clone(), here.try_clone()?.into(), Origin::Resumed)?)
            }
            // It may come back.
            (None, None) if matches!(self.last, Last::Saved(_)) => Rest::Nowhere,
            (None, _) => Rest::Gone(known.modified),
        })
    }

    /// Tells what became of the file that is known.
    fn tell_end(&mut self, rest: Option<&Segment>, mark: Option<Mark>, neighbours: &[Neighbour]) {
        match &self.last {
            Last::Cut(segment, known) => {
                let there = rest.and_then(|rest| rest.file_len().ok()).unwrap_or(known.position);
                let lost = segment.sight().len.saturating_sub(there);
                self.notices.push_back(Notice::Cut { path: segment.path.clone(), lost });
            }
            // Of a file that was empty nothing is missed.
            Last::Saved(known) if rest.is_none() && known.tail.0 > 0 => {
                self.notices.push_back(Notice::Replaced(self.path.clone()));
            }
            _ => {}
        }
        // What is compressed keeps the time when it was written last. A file that was found was read.
        let Some(Mark { modified, .. }) = mark else { return };
        let since = self.compressed_since.max(if rest.is_some() { modified + 1 } else { modified });
        for file in neighbours.iter().filter(|file| file.is_compressed_from(&self.path)) {
            if file.modified() >= since {
                self.compressed_since = self.compressed_since.max(file.modified() + 1);
                self.notices.push_back(Notice::Compressed(file.path.clone()));
            }
        }
    }
}

/// Where the rest of a file lies.
enum Rest {
    /// At the path, as before.
    Here(Segment),
    /// Nowhere for now, and there is no other file at the path.
    Nowhere,
    /// Elsewhere. There may be nothing in it that was not read.
    Moved(Segment, Mark),
    /// Nowhere. When it was written last is known if it was seen.
    Gone(Option<i128>),
}

impl Last {
    const fn known(&self) -> Option<&Known> {
        match self {
            Self::Saved(known) | Self::Finished(_, known) | Self::Cut(_, known) => Some(known),
            Self::Nothing | Self::Reading(_) => None,
        }
    }
}

/// The neighbour that is most like the file that is known, and more than `likeness`; among equals the longest one, and then
/// the one that was written last. A copy was not written before the file was.
fn moved(neighbours: &[Neighbour], known: &Known, likeness: Likeness) -> io::Result<Option<(PathBuf, File)>> {
    let mut found = Vec::new();
    for neighbour in neighbours.iter().filter(|neighbour| neighbour.metadata.len() >= known.tail.0) {
        let file = match neighbour.open() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            // What may not be read is not ours.
            Err(_) => continue,
            Ok(file) => file,
        };
        let like = known.likeness(&file)?;
        let is_older = known.modified.is_some_and(|modified| neighbour.modified() < modified);
        if like > likeness && (like == Likeness::Same || !is_older) {
            found.push(((like, neighbour.metadata.len(), neighbour.modified()), neighbour));
        }
    }
    let best = found.into_iter().max_by_key(|(rank, _)| *rank);
    best.map(|(_, neighbour)| Ok((neighbour.path.clone(), neighbour.open()?))).transpose()
}

/// By what a change at the path shows.
fn signs(path: &Path) -> Signs {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let of = |path: &Path| fs::metadata(path).ok();
    let file =
        of(path).map(|found| [found.dev().into(), found.ino().into(), found.len().into(), seen::modified(&found)]);
    (file, of(folder).map(|folder| seen::modified(&folder)))
}
