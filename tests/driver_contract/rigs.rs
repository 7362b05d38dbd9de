//! The three drivers, each with the model server behind it, under one face.

use std::time::{Duration, Instant};

use natsink::connection::{ConnectionOptions, ServerAddr, Statistics};
use natsink::jetstream::{Message, Outcome, PublisherOptions, SubmitError};
use natsink::proto::{MsgId, Subject};
use natsink::session::{LinkNotice, LinkState, PublisherId};
use natsink::sim::scenes::STREAM;
use natsink::sim::{Direction, Draft, Fault, Server, Stream, World};

use crate::host::Host;

/// How long anything may take that happens at all.
const DEADLINE: Duration = Duration::from_secs(20);
/// As much as fills the buffers of any socket.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// How long the model of the virtual world reads nothing.
const STALL: Duration = Duration::from_secs(1);
/// Between two looks at something that will change.
const LOOK: Duration = Duration::from_millis(1);

/// A driver at work: one client, one publisher, one model server.
pub(crate) trait Rig: Sized {
    /// Starts with these options, whose server is filled in.
    fn start(options: ConnectionOptions) -> Self {
        Self::start_with(options, model())
    }

    /// As [`Rig::start`], against this model.
    fn start_with(options: ConnectionOptions, server: Server) -> Self;
    /// Leaves this message with the publisher.
    fn submit(&mut self, draft: Draft);
    /// What has become of the messages so far, in the order in which they were left.
    fn outcomes(&mut self) -> Vec<Option<Outcome>>;
    /// Does something with the model server.
    fn server<R>(&mut self, act: impl FnOnce(&mut Server) -> R) -> R;
    /// Ends the link, without a word to either side before.
    fn cut(&mut self);
    /// Lets the server read nothing more on the present link, until [`Rig::resume`].
    fn stall(&mut self);
    /// Lets the server read on.
    fn resume(&mut self);
    /// Lets nothing pass any more on the present link.
    fn blackhole(&mut self);
    fn statistics(&self) -> Statistics;
    fn link_state(&self) -> LinkState;
    /// All notices of the link so far.
    fn notices(&mut self) -> Vec<LinkNotice>;
    /// Asks for another link.
    fn reconnect(&mut self);
    /// Closes the client; its handles are still there.
    fn close(&mut self);
    /// Drops all handles.
    fn abandon(&mut self);
    /// Lets so much time pass.
    fn rest(&mut self, time: Duration);

    /// Lets time pass until it is so.
    #[track_caller]
    fn until(&mut self, what: &str, is_so: impl Fn(&mut Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "not within the deadline: {what}");
            self.rest(LOOK);
        }
    }

    /// Lets time pass until the link is up.
    #[track_caller]
    fn until_up(&mut self) {
        self.until("the link is up", |rig| rig.link_state() == LinkState::Up);
    }

    /// Lets time pass until every message has its outcome, and gives them.
    #[track_caller]
    fn settled(&mut self) -> Vec<Outcome> {
        self.until("all is settled", |rig| rig.outcomes().iter().all(Option::is_some));
        self.outcomes().into_iter().flatten().collect()
    }
}

fn publisher_options() -> PublisherOptions {
    PublisherOptions { in_flight_bytes_max: IN_FLIGHT_BYTES_MAX, ..PublisherOptions::stream(STREAM) }
}

pub(crate) fn model() -> Server {
    Server::new(Stream::new(STREAM, "ord.>"))
}

/// Both drivers with sockets are used alike, from outside of any runtime: nothing here waits in their own ways.
macro_rules! rig_with_sockets {
    ($name:ident, $client:ty, $publisher:ty, $started:expr) => {
        pub(crate) struct $name {
            handles: Option<($client, $publisher)>,
            outcomes: Vec<Option<Outcome>>,
            notices: Vec<LinkNotice>,
            host: Host,
            _runtime: Option<tokio::runtime::Runtime>,
        }

        impl $name {
            fn client(&self) -> &$client {
                &self.handles.as_ref().expect("not abandoned").0
            }
        }

        impl Rig for $name {
            fn start_with(mut options: ConnectionOptions, server: Server) -> Self {
                let host = Host::start(server);
                options.servers = vec![ServerAddr { host: "127.0.0.1".into(), port: host.port(), tls: false }];
                let (client, _runtime): ($client, _) = $started(options);
                let publisher = client.publisher(publisher_options()).expect("an open connection");
                let handles = Some((client, publisher));
                Self { handles, outcomes: Vec::new(), notices: Vec::new(), host, _runtime }
            }

            fn submit(&mut self, draft: Draft) {
                let subject = Subject::new(&draft.subject).expect("a subject");
                let message = Message::new(subject, &draft.payload[..]).id(MsgId::new(&draft.id).expect("an id"));
                let publisher = &self.handles.as_ref().expect("not abandoned").1;
                self.outcomes.push(match publisher.try_send(self.outcomes.len() as u64, &message) {
                    Ok(()) => None,
                    Err(SubmitError::Rejected(rejection)) => Some(Outcome::Rejected(rejection)),
                    Err(error) => panic!("{error}"),
                });
            }

            fn outcomes(&mut self) -> Vec<Option<Outcome>> {
                let mut told = Vec::new();
                self.handles.as_ref().expect("not abandoned").1.try_outcomes(&mut told);
                for (tag, outcome) in told {
                    let first = self.outcomes[tag as usize].replace(outcome);
                    assert_eq!(first, None, "message {tag} has two outcomes");
                }
                self.outcomes.clone()
            }

            fn server<R>(&mut self, act: impl FnOnce(&mut Server) -> R) -> R {
                self.host.with(act)
            }

            fn cut(&mut self) {
                self.host.cut();
            }

            fn stall(&mut self) {
                self.host.stall();
            }

            fn resume(&mut self) {
                self.host.resume();
            }

            fn blackhole(&mut self) {
                self.host.blackhole();
            }

            fn statistics(&self) -> Statistics {
                self.client().statistics()
            }

            fn link_state(&self) -> LinkState {
                self.client().link_state()
            }

            fn notices(&mut self) -> Vec<LinkNotice> {
                let notices = self.client().link_notices();
                self.notices.extend(notices);
                self.notices.clone()
            }

            fn reconnect(&mut self) {
                self.client().reconnect();
            }

            fn close(&mut self) {
                self.client().close();
            }

            fn abandon(&mut self) {
                self.handles = None;
            }

            fn rest(&mut self, time: Duration) {
                std::thread::sleep(time);
            }
        }
    };
}

rig_with_sockets!(Tokio, natsink::Client, natsink::Publisher, |options| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
    let entered = runtime.enter();
    let client = natsink::Client::start(options).expect("entropy");
    drop(entered);
    (client, Some(runtime))
});

rig_with_sockets!(Blocking, natsink::blocking::Client, natsink::blocking::Publisher, |options| {
    (natsink::blocking::Client::start(options).expect("entropy and a thread"), None)
});

/// The driver of the simulations.
pub(crate) struct Virtual {
    world: World,
    publisher: PublisherId,
}

impl Rig for Virtual {
    fn start_with(mut options: ConnectionOptions, server: Server) -> Self {
        options.servers = World::connection_options().servers;
        let mut world = World::new(server, options, 1);
        let publisher = world.add_publisher(publisher_options());
        Self { world, publisher }
    }

    fn submit(&mut self, draft: Draft) {
        self.world.enqueue(self.publisher, draft);
    }

    fn outcomes(&mut self) -> Vec<Option<Outcome>> {
        assert!(self.world.sent.iter().all(|sent| sent.outcomes.len() <= 1), "a message has two outcomes");
        let sent = self.world.sent.iter().map(|sent| sent.outcomes.first().cloned());
        sent.chain((0..self.world.waiting()).map(|_| None)).collect()
    }

    fn server<R>(&mut self, act: impl FnOnce(&mut Server) -> R) -> R {
        act(&mut self.world.server)
    }

    fn cut(&mut self) {
        self.world.fault(Duration::ZERO, Fault::Cut);
        self.rest(LOOK);
    }

    fn stall(&mut self) {
        // What it has not read when the link ends is lost with it, so that it is as good as never to be read.
        self.world.fault(Duration::ZERO, Fault::Stop(STALL));
        self.rest(LOOK);
    }

    fn resume(&mut self) {
        self.world.run(STALL);
    }

    fn blackhole(&mut self) {
        self.world.fault(Duration::ZERO, Fault::Blackhole(Direction::Up));
        self.world.fault(Duration::ZERO, Fault::Blackhole(Direction::Down));
        self.rest(LOOK);
    }

    fn statistics(&self) -> Statistics {
        self.world.session.statistics()
    }

    fn link_state(&self) -> LinkState {
        self.world.session.link_state()
    }

    fn notices(&mut self) -> Vec<LinkNotice> {
        self.world.notices.clone()
    }

    fn reconnect(&mut self) {
        self.world.session.reconnect(self.world.now());
    }

    fn close(&mut self) {
        self.world.session.close(self.world.now());
    }

    fn abandon(&mut self) {
        // The last handle does nothing else when it is dropped.
        self.close();
    }

    fn rest(&mut self, time: Duration) {
        self.world.run(time);
    }
}
