//! What is waited for before anything is read: as many sinks as the commit policy wants.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use natsink::config::Plan;
use natsink::sink::CommitPolicy;
use tokio::time::sleep;

use super::connections::Connections;
use super::exit::{Code, Failure};
use super::lane::Lane;
use super::log;
use super::signals::Signals;
use super::status::{Board, State};

/// Between two looks at what the links have to tell.
const LOOK: Duration = Duration::from_millis(200);

/// How a wait ended.
pub(crate) enum Look<T> {
    /// What was waited for is there, as it should be.
    Found(T),
    /// This signal came first.
    Stopped(u8),
}

/// The sinks of a run before it reads anything.
pub(crate) struct Readying<'a, 'b> {
    pub(crate) plan: &'a Plan,
    pub(crate) connections: &'b Connections,
    pub(crate) lanes: &'b mut [Lane<'a>],
    pub(crate) board: &'b Board,
}

impl Readying<'_, '_> {
    /// Waits for servers and streams: for as long as it takes, or the plan allows. A sink that nobody waits for may be over
    /// by then.
    pub(crate) async fn wait(&mut self, signals: &mut Signals) -> Result<Look<()>, Failure> {
        let began = Instant::now();
        loop {
            if self.is_enough() {
                self.look();
                return Ok(Look::Found(()));
            }
            tokio::select! {
                signal = signals.next() => return Ok(Look::Stopped(signal)),
                (sink, found) = any_ready(self.lanes) => {
                    self.look();
                    self.lanes[sink].is_ready = true;
                    if let Err(failure) = found {
                        self.fail(sink, failure)?;
                    }
                }
                () = sleep(LOOK) => self.look(),
            }
            for sink in 0..self.lanes.len() {
                let lane = &self.lanes[sink];
                let is_over = lane.elapsed_max().is_some_and(|max| began.elapsed() >= max);
                if is_over && !lane.is_ready && lane.failure.is_none() {
                    let told = lane.obstacles.told().map(|told| format!(": {told}")).unwrap_or_default();
                    let message = format!("no server within {} s{told}", began.elapsed().as_secs());
                    self.fail(sink, Failure::new(Code::Unavailable, "unavailable", message))?;
                }
            }
        }
    }

    /// Ends a sink, or all of them where they are too few without it.
    fn fail(&mut self, sink: usize, failure: Failure) -> Result<(), Failure> {
        let failure = failure.of_sink(self.lanes[sink].name(self.plan));
        self.lanes[sink].failure = Some(failure.clone());
        let alive = self.lanes.iter().filter(|lane| lane.failure.is_none()).count();
        let is_fatal = match self.plan.commit_policy {
            CommitPolicy::Required => self.lanes[sink].plan.required,
            CommitPolicy::All => true,
            CommitPolicy::Quorum(count) => alive < count.get(),
        };
        if is_fatal {
            return Err(failure);
        }
        log::warn(format_args!("{failure}; the others go on, and what this sink lacks at the end is a gap"));
        Ok(())
    }

    fn is_enough(&self) -> bool {
        let mut ready = self.lanes.iter().filter(|lane| lane.is_ready && lane.failure.is_none());
        match self.plan.commit_policy {
            CommitPolicy::Required => self.lanes.iter().all(|lane| lane.is_ready || !lane.plan.required),
            CommitPolicy::All => ready.count() == self.lanes.len(),
            CommitPolicy::Quorum(count) => ready.nth(count.get() - 1).is_some(),
        }
    }

    fn look(&mut self) {
        for (number, notices) in self.connections.notices() {
            for lane in self.lanes.iter_mut() {
                if lane.connection.as_ref().is_some_and(|(own, _)| *own == number) {
                    lane.hear(&notices);
                }
            }
        }
        self.board.show(|status| {
            for (lane, sink) in self.lanes.iter().zip(&mut status.sinks) {
                lane.show(sink);
            }
        });
    }

    /// All is ready, and a file to follow may come whenever it likes.
    pub(crate) fn idle(&mut self) {
        self.look();
        self.board.show(|status| status.state = State::Running);
    }
}

/// Waits for the next sink that is ready, or over before it was.
async fn any_ready(lanes: &mut [Lane<'_>]) -> (usize, Result<(), Failure>) {
    poll_fn(|cx| {
        for (sink, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.is_ready && lane.failure.is_none()) {
            if let Poll::Ready(found) = lane.poll_ready(cx) {
                return Poll::Ready((sink, found));
            }
        }
        Poll::Pending
    })
    .await
}
