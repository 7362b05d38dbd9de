//! `natsink dlq replay`: letters to the stream, and back to the file those that it refuses again.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::SystemTime;

use natsink::config::{self, Document, LogLevel, Plan};
use natsink::io::{Found, Letter, LetterLine, Letters, Remains, rfc3339};
use natsink::jetstream::{Message, Outcome, StreamInfo, SubmitError};
use natsink::proto::{HeaderBlock, MsgId, Subject};
use natsink::{Client, Publisher};
use tokio::time::sleep;

use super::dlq_args::ReplayArgs;
use super::dlq_file;
use super::dlq_mark::Mark;
use super::exit::{Code, Failure};
use super::log;
use super::signals::Signals;
use super::stream_sink::{StreamSink, stream_sinks};
use super::{opening, verdict};

/// Lines that are held until what is before them is settled.
const HELD_MAX: usize = 4096;
/// Their bytes; a longer line is held alone.
const HELD_LEN_MAX: u64 = 16 * 1024 * 1024;
/// Letters that stay are named on stderr, up to so many.
const NAMED_MAX: u64 = 20;

/// A replay under way.
struct Replay<'a> {
    args: &'a ReplayArgs,
    sink: StreamSink<'a>,
    publisher: Publisher,
    letters: Letters,
    remains: Remains,
    /// The end of the lines that were read.
    read_to: u64,
    /// Lines that wait for their answers, or for those of lines before them.
    held: VecDeque<Held>,
    held_len: u64,
    /// The tag of the oldest one.
    first: u64,
    tally: Tally,
}

/// A line that is read and not yet gone or written.
struct Held {
    span: Range<u64>,
    fate: Fate,
}

/// What becomes of a line.
enum Fate {
    /// Nobody knows yet.
    Sent(Box<Letter>),
    /// The stream has it.
    Stored,
    /// It stays as it is.
    Kept,
    /// It stays, with another reason.
    Refused(Box<Letter>),
}

/// What became of the lines.
#[derive(Default)]
struct Tally {
    stored: u64,
    duplicate: u64,
    refused: u64,
    /// Not sent, since they cannot be.
    unsendable: u64,
}

/// Replays the chosen letters.
pub(crate) fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let flags = args.flags();
    log::init(config::log(&flags)?);
    let document = args.config.as_deref().map(Document::open).transpose()?;
    let plan = config::check(document.as_ref(), &flags, &|name| std::env::var_os(name))?;
    let sink = the_sink(&plan, args.choice.sink.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Io, "runtime", format!("cannot start: {error}")))?;
    let result = runtime.block_on(deliver(args, &plan, sink));
    runtime.shutdown_background();
    result
}

/// The sink whose letters these are.
fn the_sink<'a>(plan: &'a Plan, name: Option<&str>) -> Result<StreamSink<'a>, Failure> {
    let usage = |message: &str| Err(Failure::new(Code::Usage, "usage", message));
    let mut sinks = stream_sinks(plan).filter(|sink| plan.sinks.len() == 1 || name.is_none_or(|name| name == sink.id));
    match (sinks.next(), sinks.next()) {
        (Some(sink), None) => Ok(sink),
        (Some(_), Some(_)) => usage("several sinks of the configuration deliver into streams: choose one with --sink"),
        (None, _) => usage("letters are delivered into a stream: name it with --stream, or in a configuration"),
    }
}

async fn deliver(args: &ReplayArgs, plan: &Plan, sink: StreamSink<'_>) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    opening::check_secrets(sink.nats)?;
    let remains = dlq_file::open(&args.file)?;
    let letters = remains.letters().map_err(|error| dlq_file::of_file(&error))?;
    let client = Client::start(opening::connection_options(sink.nats)).map_err(|reason| verdict::of_close(&reason))?;
    let mut options = opening::publisher_options(plan, sink, None);
    // What captures a letter's subject is seen when it is sent.
    options.subjects.clear();
    let make =
        |options| client.publisher(options).map_err(|error| Failure::new(Code::Config, "publisher", error.to_string()));
    let publisher = make(options.clone())?;
    let stream = verified(sink, &publisher, &mut signals).await?;
    // Another publisher: what an earlier replay may have stored after is known only now.
    publisher.close();
    let mark = Mark::set(&args.file, &stream)?;
    options.recall_after = mark.recall_after();
    let mut replay = Replay {
        args,
        sink,
        publisher: make(options)?,
        letters,
        remains,
        read_to: 0,
        held: VecDeque::new(),
        held_len: 0,
        first: 0,
        tally: Tally::default(),
    };
    let ended = replay.run(&mut signals).await;
    if ended.is_err() {
        replay.last_answers(&mut signals).await;
    }
    replay.finish(mark, ended)
}

/// Waits for the stream to be looked at: for as long as it takes, or the plan allows.
async fn verified(sink: StreamSink<'_>, publisher: &Publisher, signals: &mut Signals) -> Result<StreamInfo, Failure> {
    let budget = sink.nats.retry.elapsed_max;
    tokio::select! {
        signal = signals.next() => Err(stopped(signal)),
        found = publisher.verified() => match found {
            Ok(Some(stream)) => Ok(stream),
            Ok(None) => Err(Failure::new(Code::Config, "no_stream", "no stream is named")),
            Err(error) => Err(verdict::of_publisher(&error, sink)),
        },
        () = sleep(budget.unwrap_or_default()), if budget.is_some() => {
            let message = format!("no server within {} s", budget.unwrap_or_default().as_secs());
            Err(Failure::new(Code::Unavailable, "unavailable", message))
        }
    }
}

impl Replay<'_> {
    /// Sends until everything is settled, or something ends it.
    async fn run(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        while let Some(line) = self.letters.next_line().map_err(|error| dlq_file::of_reading(&self.args.file, error))? {
            let len = line.span.end - line.span.start;
            while !self.held.is_empty() && (self.held.len() >= HELD_MAX || self.held_len + len > HELD_LEN_MAX) {
                self.answers(signals).await?;
            }
            self.read_to = line.span.end;
            let tag = self.first + self.held.len() as u64;
            let fate = self.choose(&line);
            self.held.push_back(Held { span: line.span, fate });
            self.held_len += len;
            self.send(tag, signals).await?;
            self.let_go()?;
        }
        while !self.held.is_empty() {
            self.answers(signals).await?;
        }
        Ok(())
    }

    /// What is to become of a line.
    fn choose(&mut self, line: &LetterLine) -> Fate {
        let letter = match &line.found {
            Found::Letter(letter) if !self.args.choice.takes(letter) => return Fate::Kept,
            // There is nothing in it to be sent.
            Found::Gap(_) => return Fate::Kept,
            Found::Foreign(_) if !self.args.choice.is_open() => return Fate::Kept,
            Found::Foreign(_) => Err(String::new()),
            Found::Letter(letter) => self.parts(letter).map(|_| letter.clone()),
        };
        match letter {
            Ok(letter) => Fate::Sent(letter),
            Err(why) => {
                self.tally.unsendable += 1;
                let why = if why.is_empty() { why } else { format!(": {why}") };
                self.stays(format_args!("stays: {}{why}", dlq_file::told(line)));
                Fate::Kept
            }
        }
    }

    /// What the message of this letter is made of, or why it cannot be sent.
    fn parts<'a>(&self, letter: &'a Letter) -> Result<Parts<'a>, String> {
        match &letter.sink {
            Some(name) if self.args.choice.sink.is_none() && name != self.sink.id => {
                Err(format!("it is one of the sink {name}; to send it into this stream choose it with --sink {name}"))
            }
            _ => Parts::of(letter, self.sink),
        }
    }

    /// Hands the letter with this tag to the publisher, if it is one to be sent.
    async fn send(&mut self, tag: u64, signals: &mut Signals) -> Result<(), Failure> {
        let publisher = self.publisher.clone();
        let mut outcomes = Vec::new();
        let index = usize::try_from(tag - self.first).expect("one of those that are held");
        let sent = {
            let Fate::Sent(letter) = &self.held[index].fate else { return Ok(()) };
            let parts = self.parts(letter).expect("it was tried before");
            let message = parts.message();
            loop {
                // What is dropped while it waits for room has not happened.
                tokio::select! {
                    sent = publisher.send(tag, &message) => break sent,
                    signal = signals.next() => return Err(stopped(signal)),
                    // Unread answers take room.
                    _ = publisher.outcomes(&mut outcomes) => {}
                }
            }
        };
        match sent {
            Ok(()) => {}
            Err(SubmitError::Rejected(rejection)) => self.settle(tag, Outcome::Rejected(rejection)),
            Err(SubmitError::Closed(error)) => return Err(verdict::of_publisher(&error, self.sink)),
            Err(error) => return Err(Failure::new(Code::Unavailable, "unavailable", error.to_string())),
        }
        self.settle_all(outcomes);
        Ok(())
    }

    /// Waits for answers.
    async fn answers(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        let mut outcomes = Vec::new();
        tokio::select! {
            signal = signals.next() => return Err(stopped(signal)),
            result = self.publisher.outcomes(&mut outcomes) => {
                result.map_err(|error| verdict::of_publisher(&error, self.sink))?;
            }
        }
        self.settle_all(outcomes);
        self.let_go()
    }

    /// Gives what is in flight a moment more, so that the file says as much as can be known.
    async fn last_answers(&mut self, signals: &mut Signals) {
        let wait = async {
            self.publisher.settled().await;
        };
        tokio::select! {
            () = wait => {}
            _ = signals.next() => {}
            () = sleep(self.sink.nats.send_timeout) => {}
        }
        let mut outcomes = Vec::new();
        self.publisher.try_outcomes(&mut outcomes);
        self.settle_all(outcomes);
    }

    fn settle_all(&mut self, outcomes: Vec<(u64, Outcome)>) {
        for (tag, outcome) in outcomes {
            self.settle(tag, outcome);
        }
    }

    fn settle(&mut self, tag: u64, outcome: Outcome) {
        let index = tag.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(held) = index.and_then(|index| self.held.get_mut(index)) else { return };
        let Fate::Sent(letter) = &mut held.fate else { return };
        match outcome {
            Outcome::Stored { .. } => {
                self.tally.stored += 1;
                held.fate = Fate::Stored;
            }
            Outcome::Duplicate { .. } => {
                self.tally.duplicate += 1;
                held.fate = Fate::Stored;
            }
            Outcome::Rejected(rejection) => {
                self.tally.refused += 1;
                let mut letter = letter.clone();
                letter.reason = rejection.to_string();
                letter.attempts = letter.attempts.saturating_add(1);
                letter.at = rfc3339(SystemTime::now());
                self.stays(format_args!("refused again: {}: {rejection}", dlq_file::name(&letter)));
                if let Some(held) = index.and_then(|index| self.held.get_mut(index)) {
                    held.fate = Fate::Refused(letter);
                }
            }
            Outcome::Unknown => {}
        }
    }

    /// Lets go of the oldest lines, as far as it is known what becomes of them.
    fn let_go(&mut self) -> Result<(), Failure> {
        while self.held.front().is_some_and(|held| !matches!(held.fate, Fate::Sent(_)))
            && let Some(held) = self.held.pop_front()
        {
            self.first += 1;
            self.held_len -= held.span.end - held.span.start;
            let kept = match held.fate {
                Fate::Stored | Fate::Sent(_) => Ok(()),
                Fate::Kept => self.remains.keep(held.span),
                Fate::Refused(letter) => self.remains.write(&letter),
            };
            kept.map_err(|error| dlq_file::of_file(&error))?;
        }
        Ok(())
    }

    /// Replaces the file, and says how it went.
    fn finish(mut self, mark: Mark, ended: Result<(), Failure>) -> Result<(), Failure> {
        self.let_go()?;
        let is_known = self.held.is_empty();
        // What nobody knows of, and what was not read, stays. Behind the first such line, what is known is written too.
        let mut kept = Ok(());
        for held in self.held.drain(..) {
            kept = kept.and_then(|()| match held.fate {
                Fate::Stored => Ok(()),
                Fate::Sent(_) | Fate::Kept => self.remains.keep(held.span),
                Fate::Refused(letter) => self.remains.write(&letter),
            });
        }
        kept.and_then(|()| self.remains.keep_from(self.read_to)).map_err(|error| dlq_file::of_file(&error))?;
        let Tally { stored, duplicate, refused, unsendable } = self.tally;
        if stored + duplicate + refused > 0 {
            self.remains.finish().map_err(|error| dlq_file::of_file(&error))?;
        }
        if is_known {
            mark.remove()?;
        }
        let named = stored + duplicate + refused + unsendable;
        let text = format!(
            "{named} letters: {stored} stored, {duplicate} were there already, {refused} refused again, \
             {unsendable} cannot be sent"
        );
        log::say(LogLevel::Info, text);
        ended?;
        if refused + unsendable > 0 {
            let message = format!("{} letters stay in {}", refused + unsendable, self.args.file.display());
            return Err(Failure::new(Code::Data, "dead_letters", message));
        }
        Ok(())
    }

    /// Tells of a letter that stays, unless so many do that nobody would read it.
    fn stays(&self, text: std::fmt::Arguments<'_>) {
        let number = self.tally.refused + self.tally.unsendable;
        if number <= NAMED_MAX {
            log::say(LogLevel::Warn, text);
        } else if number == NAMED_MAX + 1 {
            log::say(LogLevel::Warn, "more letters stay: see natsink dlq ls");
        }
    }
}

fn stopped(signal: u8) -> Failure {
    let message = format!("stopped by signal {signal}; what was not sent is still in the file");
    Failure::new(Code::Signal(signal), "signal", message)
}

/// What a message is made of, each part checked: a file may have been edited.
struct Parts<'a> {
    subject: Subject<'a>,
    id: MsgId<'a>,
    headers: HeaderBlock,
    payload: Cow<'a, [u8]>,
}

impl<'a> Parts<'a> {
    /// The parts, or why the letter cannot be sent.
    fn of(letter: &'a Letter, sink: StreamSink<'_>) -> Result<Self, String> {
        let payload = letter.message()?;
        let subject = letter.subject.as_deref().ok_or("it has no subject")?;
        let id = letter.id.as_deref().ok_or("it has no id")?;
        let ours = [sink.nats.inbox_prefix.as_str(), sink.nats.js_api_prefix.as_str(), "$JS", "$SYS", "_INBOX"];
        let is_under =
            |prefix: &&str| subject.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if ours.iter().any(is_under) {
            return Err(format!("{subject:?} belongs to the server or to an inbox"));
        }
        let mut headers = HeaderBlock::new();
        for (name, value) in letter.headers.iter().flatten() {
            if name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")) {
                return Err(format!("the header {name:?} steers the server"));
            }
            headers.push(name, value).map_err(|error| error.to_string())?;
        }
        let subject = Subject::new(subject).map_err(|error| error.to_string())?;
        let id = MsgId::new(id).map_err(|error| error.to_string())?;
        Ok(Self { subject, id, headers, payload })
    }

    fn message(&self) -> Message<'_> {
        let message = Message::new(self.subject, &*self.payload).id(self.id);
        if self.headers.is_empty() { message } else { message.headers(&self.headers) }
    }
}
