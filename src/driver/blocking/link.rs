//! One link's own thread: it looks the host up, dials, and then reads until the socket's end.

use std::format;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec;

use super::wire::Wire;
use crate::connection::{Epoch, LinkError, ServerAddr};
use crate::driver::broken::link_error;
use crate::driver::transport::in_turn;

/// Bytes read at once.
const READ_LEN: usize = 64 << 10;
/// How long one write may hold the driver's thread, which tells the time besides.
#[cfg(unix)]
const WRITE_PATIENCE: Duration = Duration::from_millis(50);
/// Where a socket is of no use after a write that timed out, it has as long as a link may take nothing.
#[cfg(not(unix))]
const WRITE_PATIENCE: Duration = Duration::from_secs(20);

/// A dial, and the link that comes of it.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) epoch: Epoch,
    pub(super) addr: ServerAddr,
    /// Which of the addresses of that name comes first.
    pub(super) turn: u32,
    /// When the dial has taken too long, if ever.
    pub(super) deadline: Option<Instant>,
}

impl Dial {
    /// Dials and reads, and tells the session of all of it.
    pub(super) fn run(self, wire: &Wire) {
        let epoch = self.epoch;
        let cause = match self.dial() {
            Err(cause) => cause,
            Ok(socket) => {
                let socket = Arc::new(socket);
                if !wire.connected(epoch, &socket) {
                    return;
                }
                wire.tell(|session, now| session.handle_connected(epoch, now));
                read(wire, epoch, &socket)
            }
        };
        let cause = match (wire.read_out(epoch), cause) {
            (Some(write_error), LinkError::Closed { hint: None }) => write_error,
            (_, cause) => cause,
        };
        wire.tell(|session, now| session.handle_disconnected(epoch, cause, now));
    }

    fn dial(&self) -> Result<TcpStream, LinkError> {
        let addr = &self.addr;
        let failed = |error: io::Error| LinkError::Transport(format!("{addr}: {error}"));
        let found = (addr.host.as_str(), addr.port).to_socket_addrs().map_err(failed)?;
        match connect(&in_turn(found, self.turn), self.deadline) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(LinkError::ConnectTimeout),
            connected => connected.map_err(failed),
        }
    }
}

/// Dials one address after the other until one takes the call. One that does not even refuse it costs the whole dial:
/// the next dial begins with the next address.
fn connect(addresses: &[SocketAddr], deadline: Option<Instant>) -> io::Result<TcpStream> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    for address in addresses {
        let dialled = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => TcpStream::connect(address),
            Some(Duration::ZERO) => return Err(io::ErrorKind::TimedOut.into()),
            Some(left) => TcpStream::connect_timeout(address, left),
        };
        match dialled {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                socket.set_write_timeout(Some(WRITE_PATIENCE))?;
                return Ok(socket);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Reads until the end, and says why it is the end.
fn read(wire: &Wire, epoch: Epoch, mut socket: &TcpStream) -> LinkError {
    let mut input = vec![0; READ_LEN];
    loop {
        match socket.read(&mut input) {
            Ok(0) => return LinkError::Closed { hint: None },
            Ok(len) => wire.tell(|session, now| session.handle_input(epoch, &input[..len], now)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return link_error(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::ConnectionOptions;
    use crate::driver::handles::Shared;
    use crate::proto::ServerError;
    use crate::rng::Entropy;
    use crate::session::{LinkNotice, Session};
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn an_address_that_refuses_is_not_the_last_one() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let open_at = open.local_addr().unwrap();
        assert_eq!(connect(&[closed, open_at], None).unwrap().peer_addr().unwrap(), open_at);
        let past = Some(Instant::now());
        for (addresses, deadline, kind) in [
            (&[closed, closed][..], None, io::ErrorKind::ConnectionRefused),
            (&[], None, io::ErrorKind::NotFound),
            (&[open_at], past, io::ErrorKind::TimedOut),
        ] {
            assert_eq!(connect(addresses, deadline).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn what_the_server_said_last_is_read_after_a_write_that_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = ServerAddr { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port(), tls: false };
        let options = ConnectionOptions::new(vec![addr]);
        let wire = Arc::new(Wire::new(Arc::new(Shared::new(Session::new(options, &Entropy::new([7; 32]))))));
        let mut session = wire.shared.lock();
        session.handle_timeout(crate::time::Instant::ZERO);
        let Some(crate::connection::Action::Dial { epoch, addr, turn }) = session.poll_action() else {
            panic!("a dial is wanted")
        };
        wire.dial(epoch);
        let dialling = thread::spawn({
            let wire = Arc::clone(&wire);
            move || Dial { epoch, addr, turn, deadline: None }.run(&wire)
        });
        let mut server = listener.accept().unwrap().0;
        server.write_all(b"INFO {\"headers\":true}\r\n-ERR 'maximum connections exceeded'\r\n").unwrap();
        // The reader waits for the lock with its first fact; all of that has come when it reads.
        while wire.socket().is_none() {
            thread::yield_now();
        }
        let mut peeked = [0; 100];
        while wire.socket().unwrap().1.peek(&mut peeked).unwrap() < 50 {
            thread::yield_now();
        }
        wire.write_failed(epoch, LinkError::Transport("the write".into()));
        assert!(wire.socket().is_none());
        drop(session);
        dialling.join().unwrap();
        let said = LinkError::Refused(ServerError::MaximumConnectionsExceeded);
        assert_eq!(wire.shared.lock().poll_notice(), Some(LinkNotice::DialFailed(said)));
    }
}
