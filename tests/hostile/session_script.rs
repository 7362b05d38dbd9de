//! A whole session of a server, in all the forms that servers write, and what a client makes of it.

use natsink::connection::{Action, Connection, ConnectionOptions, Event, ServerUrl, Transmit};
use natsink::jetstream::Outcome;
use natsink::proto::{Pattern, ServerError};
use natsink::rng::Entropy;
use natsink::session::LinkNotice;
use natsink::time::Instant;

use super::peer::{INFO, Peer};

/// How many events the session has.
pub(crate) const EVENTS: usize = 8;

/// The session, as it comes to a client with one subscription, number 1.
pub(crate) fn bytes() -> Vec<u8> {
    let greeting = format!("INFO {INFO} \r\nPONG\r\n");
    let later = format!("INFO {INFO} \r\n");
    [
        &greeting,
        // The second INFO comes right behind the first PONG.
        &later,
        "+OK\r\nPING\r\n",
        "MSG a.b 1 5\r\nhello\r\n",
        "MSG a.b 1 re.ply 0\r\n\r\n",
        "MSG $JS.EVENT.ADVISORY.X 1  7\r\n\r\nMSG x\r\n",
        "HMSG a.b 1 re.ply 16 18\r\nNATS/1.0 503\r\n\r\nok\r\n",
        "HMSG a 1 24 24\r\nNATS/1.0\r\nA: 1\r\nA: 2\r\n\r\n\r\n",
        "-ERR 'Permissions Violation for Publish to \"q.a\"'\r\n",
        "PONG\r\n",
    ]
    .concat()
    .into_bytes()
}

/// The events of a connection that hears these bytes, cut behind these numbers of them, and behind the first INFO: a PONG
/// answers nothing before CONNECT has left.
pub(crate) fn events(bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    let addr = ServerUrl::parse("h").expect("a URL").addr;
    let mut connection = Connection::new(ConnectionOptions::new(vec![addr]), &Entropy::new([7; 32]));
    let now = Instant::ZERO;
    connection.subscribe(Pattern::new("a.>").expect("a pattern"), None).expect("there is room");
    connection.handle_timeout(now);
    let Some(Action::Dial { epoch, .. }) = connection.poll_action() else { panic!("a dial is wanted") };
    connection.handle_connected(epoch, now);
    let (mut events, mut at) = (Vec::new(), 0);
    let greeting = bytes.iter().position(|&byte| byte == b'\n').expect("INFO has an end") + 1;
    let mut cuts = [cuts, &[greeting, bytes.len()]].concat();
    cuts.retain(|&cut| cut <= bytes.len());
    cuts.sort_unstable();
    for cut in cuts {
        connection.handle_input(epoch, &bytes[at..cut], now);
        at = cut;
        while let Some(event) = connection.poll_event() {
            events.push(shown(&event));
        }
        let mut transmit = Transmit::new();
        if connection.poll_transmit(epoch, &mut transmit) {
            connection.handle_transmitted(epoch, transmit.len(), now);
        }
    }
    assert!(connection.is_up());
    events
}

fn shown(event: &Event<'_>) -> String {
    match event {
        Event::Message(delivery) => {
            let headers: Vec<_> = delivery.headers.iter().flat_map(|headers| headers.iter()).collect();
            let status = delivery.headers.as_ref().and_then(|headers| headers.status());
            let (subject, reply, payload) = (delivery.subject, delivery.reply, delivery.payload);
            format!("{:?} {subject:?} {reply:?} {status:?} {headers:?} {payload:?}", delivery.sid)
        }
        other => format!("{other:?}"),
    }
}

/// The same with a whole client: a message is published and acknowledged in the midst of it.
pub(crate) fn play(peer: &mut Peer) {
    peer.greet();
    peer.say(format!("INFO {INFO} \r\n+OK\r\n"));
    peer.add_publisher();
    let published = peer.publish(1);
    let sid = peer.sid_of(&published.reply);
    let ack = r#"{"stream":"ORD","seq":7,"duplicate": true}"#;
    let mut said = format!(
        "-ERR 'Invalid Subject'\r\nPING\r\nMSG a 999 2\r\n\r\n\r\nMSG {} {sid}  {}\r\n{ack}",
        published.reply,
        ack.len()
    );
    said.push_str("\r\nINFO {\"headers\":true}\r\n");
    peer.new_notices();
    peer.say(said);
    peer.fence();
    assert_eq!(peer.outcome(1), Outcome::Duplicate { seq: 7, verified: false });
    assert_eq!(peer.new_notices(), [LinkNotice::ServerError(ServerError::InvalidSubject)]);
    assert_eq!(peer.stage.statistics().strays, 1);
}
