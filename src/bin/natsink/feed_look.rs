//! What a run has to tell while it goes on: of its links, its streams, its counts.

use std::time::Duration;

use natsink::session::LinkState;
use natsink::time::Instant;

use super::exit::{Code, Failure};
use super::feed::Feed;
use super::log;
use super::outlet::Outlet;
use super::progress::Now;
use super::receipt::{Receipt, SinkReceipt};
use super::status::{State, Times};

/// Between two looks at what the links have to tell.
const LOOK: Duration = Duration::from_millis(200);

impl Feed<'_> {
    pub(super) fn look(&mut self, receipt: &mut Receipt) {
        self.look_at = tokio::time::Instant::now() + LOOK;
        self.hear();
        self.name_streams();
        self.watch();
        self.tell_missing();
        let position = self.fan_out.position();
        let lag = self.places.lag(position);
        self.input_len = lag.map(|lag| position + lag);
        if lag == Some(0) {
            self.fan_out.handle_all_read(false);
            for (sink, lane) in self.lanes.iter().enumerate() {
                if let Outlet::Stream(publisher) = &lane.outlet
                    && self.fan_out.sink(sink).is_settled()
                    && self.fan_out.sink(sink).position() >= position
                {
                    publisher.end_resume();
                }
            }
        }
        self.show();
        if self.progress.due().is_some() {
            self.account(receipt);
            let is_up = |lane: &super::lane::Lane<'_>| {
                lane.connection.as_ref().is_none_or(|(_, client)| client.link_state() == LinkState::Up)
            };
            let now = Now {
                connected: self.lanes.iter().all(is_up),
                in_flight: self.lanes.iter().map(|lane| lane.in_flight() as u64).sum(),
                input_len: self.input_len,
            };
            self.progress.draw(receipt, self.fan_out.latency(), now);
        }
    }

    /// Gives each sink what its link has to tell.
    pub(super) fn hear(&mut self) {
        for (number, notices) in self.connections.notices() {
            for lane in self.lanes.iter_mut() {
                if lane.connection.as_ref().is_some_and(|(own, _)| *own == number) {
                    lane.hear(&notices);
                }
            }
        }
    }

    /// Takes note of streams that are seen for the first time while the run goes on.
    pub(super) fn name_streams(&mut self) {
        for (sink, lane) in self.lanes.iter_mut().enumerate() {
            match lane.find_stream() {
                // No earlier run knew it.
                Some(last_seq) if !lane.is_known => self.fan_out.handle_found(sink, last_seq),
                Some(last_seq) => self.fan_out.handle_began(sink, last_seq),
                None => {}
            }
        }
        let kept = self.store.as_mut().and_then(|store| store.checkpoint.as_mut());
        for (sink, lane) in kept.into_iter().flat_map(|kept| &mut kept.sinks).zip(&self.lanes) {
            sink.created.clone_from(&lane.created);
        }
    }

    /// Ends sinks whose server is away for longer than they may wait, where no publisher watches that.
    fn watch(&mut self) {
        let now = std::time::Instant::now();
        for sink in 0..self.lanes.len() {
            let (position, is_settled) = (self.fan_out.sink(sink).position(), self.fan_out.sink(sink).is_settled());
            let lane = &mut self.lanes[sink];
            if is_settled || lane.moved.0 != position {
                lane.moved = (position, now);
            }
            let waited = now.saturating_duration_since(lane.moved.1);
            if lane.exhausted.is_none() && lane.elapsed_max().is_some_and(|max| waited >= max) {
                let told = lane.obstacles.told().map(|told| format!(": {told}")).unwrap_or_default();
                let message = format!("nothing was delivered for {} s{told}", waited.as_secs());
                lane.exhausted = Some(Failure::new(Code::Unavailable, "unavailable", message));
            }
        }
    }

    /// Tells once, each time that a sink begins to miss what is read.
    fn tell_missing(&mut self) {
        for (sink, lane) in self.lanes.iter_mut().enumerate() {
            let is_missing = self.fan_out.is_missing(sink) && lane.failure.is_none();
            if is_missing && !lane.told_missing {
                let told = lane.obstacles.told().map(|told| format!(": {told}")).unwrap_or_default();
                log::warn(format_args!("sink {} is too slow, and misses events from now on{told}", lane.plan.id));
            }
            lane.told_missing = is_missing;
        }
    }

    /// Shows how the run goes.
    fn show(&self) {
        let fan_out = &self.fan_out;
        let (counts, latency) = (fan_out.counts(), Times::from(fan_out.latency()));
        self.board.show(|status| {
            status.state = if self.is_stopping() { State::Stopping } else { State::Running };
            status.saw(counts, fan_out.position(), fan_out.committed_position());
            status.backpressure = self.backpressure;
            status.input.len = self.input_len;
            status.stage = latency;
            let is_moving = status.is_moving();
            for (index, lane) in self.lanes.iter().enumerate() {
                let (sink, pipeline) = (&mut status.sinks[index], fan_out.sink(index));
                sink.counts = pipeline.counts();
                sink.latency = Times::from(pipeline.latency());
                sink.position = pipeline.position();
                // What it misses will be a gap, and counts as one before that is written down.
                sink.counts.gap += pipeline.missing();
                sink.counts.pending = sink.counts.pending.saturating_sub(pipeline.missing());
                lane.show(sink);
                if is_moving && sink.up && sink.verified && !fan_out.is_missing(index) {
                    sink.obstacle = None;
                }
            }
        });
    }

    /// Brings the receipt up to date.
    pub(crate) fn account(&mut self, receipt: &mut Receipt) {
        receipt.count(&self.fan_out.counts());
        receipt.replayed = self.lanes.iter().map(super::lane::Lane::replayed).sum();
        let reconnects = self.connections.all().into_iter().map(|(client, _)| client.statistics().connects);
        receipt.reconnects = reconnects.map(|connects| connects.saturating_sub(1)).sum();
        // Where there is a checkpoint, the next run starts where that says.
        let kept = self.plan.checkpoint.is_some();
        let fan_out = &self.fan_out;
        receipt.position = if kept { fan_out.committed_position() } else { fan_out.position() };
        receipt.set_latency(fan_out.latency());
        if let [only] = &self.lanes[..] {
            receipt.stream = only.stream.map(|stream| stream.stream.to_owned());
            return;
        }
        let sinks = self.lanes.iter().enumerate().map(|(index, lane)| {
            let pipeline = fan_out.sink(index);
            let position = if kept { pipeline.committed_position() } else { pipeline.position() };
            let mut sink = SinkReceipt::new(&lane.plan.id, &pipeline.counts(), pipeline.latency(), position);
            sink.stream = lane.stream.map(|stream| stream.stream.to_owned());
            (sink.replayed, sink.reconnects) = (lane.replayed(), lane.reconnects());
            sink
        });
        let sinks: Vec<SinkReceipt> = sinks.collect();
        receipt.inversions = sinks.iter().map(|sink| sink.inversions).sum();
        receipt.sinks = sinks;
    }

    pub(super) fn next_timer(&self) -> tokio::time::Instant {
        let mut timer = self.look_at;
        if let Some(due) = self.fan_out.poll_timeout() {
            let due = self.epoch + due.since(Instant::ZERO);
            timer = timer.min(due.into());
        }
        let stopping = self.stopping.as_ref().map(|stopping| stopping.until);
        [stopping, self.grace].into_iter().flatten().fold(timer, Ord::min)
    }
}
