//! What a script lets the client do.

use natsink::jetstream::{Message, PublisherOptions};
use natsink::proto::{MsgId, Subject};
use natsink::session::Received;

use super::ops::Published;
use super::peer::{ORD, Peer};

impl Peer {
    /// Adds a publisher to any stream.
    pub(crate) fn add_publisher(&mut self) {
        self.stage.add_publisher(PublisherOptions { check_duplicates: false, ..PublisherOptions::default() });
    }

    /// Adds a publisher to the stream `ORD`, and lets it find the stream as it should be.
    pub(crate) fn add_ord_publisher(&mut self, options: PublisherOptions) {
        self.stage.add_publisher(PublisherOptions { stream: Some("ORD".into()), ..options });
        self.show_ord();
    }

    /// Answers the look at the stream `ORD`.
    pub(crate) fn show_ord(&mut self) {
        let look = self.published();
        assert_eq!(look.subject, "$JS.API.STREAM.INFO.ORD");
        self.answer(&look, ORD);
    }

    /// The next message, once every look at the stream `ORD` before it is answered.
    pub(crate) fn published_again(&mut self) -> Published {
        loop {
            let published = self.published();
            if published.subject != "$JS.API.STREAM.INFO.ORD" {
                return published;
            }
            self.answer(&published, ORD);
        }
    }

    /// Publishes a message to `ord.<tag>` whose id and payload are its tag, and waits for nothing.
    pub(crate) fn submit(&mut self, tag: u64) {
        let (subject, text) = (format!("ord.{tag}"), tag.to_string());
        let message = Message::new(Subject::new(&subject).expect("a subject"), text.as_str());
        self.stage.submit(tag, &message.id(MsgId::new(&text).expect("an id"))).expect("there is room");
    }

    /// As [`Peer::submit`], and waits for it to arrive.
    pub(crate) fn publish(&mut self, tag: u64) -> Published {
        self.submit(tag);
        let published = self.published();
        assert_eq!(published.payload, tag.to_string().as_bytes());
        published
    }

    /// Asks a question, and waits for it to arrive.
    pub(crate) fn ask(&mut self) -> Published {
        self.stage.ask("question");
        loop {
            let published = self.published();
            if published.subject == "question" {
                return published;
            }
        }
    }

    /// Waits for the answer to the question.
    pub(crate) fn received(&mut self) -> Received {
        self.wait("an answer", |peer| peer.stage.answer())
    }
}
