//! The driver's task: it moves bytes between one socket and the session, tells it the time, and does what it asks.

use std::boxed::Box;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::string::String;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::vec;
use std::vec::Vec;

use tokio::time::{Sleep, sleep_until};

use super::socket::Socket;
use crate::connection::{Action, AuthError, Challenge, Credentials, Epoch, LinkError, Transmit};
use crate::driver::handles::Shared;
use crate::time::Instant;

/// Bytes read at once.
const READ_LEN: usize = 64 << 10;
/// Turns of the loop before other tasks get theirs.
const TURNS_MAX: usize = 32;

type Dialing = Pin<Box<dyn Future<Output = Result<Socket, LinkError>> + Send>>;
type Answering = tokio::task::JoinHandle<Result<Credentials, AuthError>>;

pub(super) struct Driver {
    shared: Arc<Shared>,
    link: Link,
    /// The authenticator at work, on a thread that may block: never on two, however long it takes.
    answering: Option<(Epoch, Answering)>,
    /// What it is to be asked when it is done with an earlier link.
    question: Option<Question>,
    /// Held by each thread that reads the files of a handshake.
    reading: Arc<()>,
    /// Bytes carried off and not yet written. They belong to the present socket.
    transmit: Transmit,
    /// Why writing failed. Reading goes on until its end: the server may have said why it closed.
    write_error: Option<LinkError>,
    input: Box<[u8]>,
    sleep: Pin<Box<Sleep>>,
    armed_at: Option<Instant>,
    woken: Vec<Waker>,
}

/// What the authenticator is to answer.
struct Question {
    epoch: Epoch,
    nonce: Option<String>,
    is_secure: bool,
}

enum Link {
    None,
    Dialing(Epoch, Dialing),
    /// The socket is in the handshake's hands.
    Securing(Epoch, Dialing),
    Socket(Epoch, Socket),
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let sleep = Box::pin(sleep_until(shared.at(Instant::ZERO).into()));
        Self {
            shared,
            link: Link::None,
            answering: None,
            question: None,
            reading: Arc::default(),
            transmit: Transmit::new(),
            write_error: None,
            input: vec![0; READ_LEN].into_boxed_slice(),
            sleep,
            armed_at: None,
            woken: Vec::new(),
        }
    }

    fn poll_dial(&mut self, cx: &mut Context<'_>) -> bool {
        let (Link::Dialing(epoch, coming) | Link::Securing(epoch, coming)) = &mut self.link else { return false };
        let epoch = *epoch;
        let Poll::Ready(come) = coming.as_mut().poll(cx) else { return false };
        let now = self.shared.now();
        match come {
            Ok(socket) => {
                let is_secured = matches!(self.link, Link::Securing(..));
                self.begin(Link::Socket(epoch, socket));
                let mut session = self.shared.lock();
                if is_secured {
                    session.handle_secured(epoch, now);
                } else {
                    session.handle_connected(epoch, now);
                }
            }
            Err(cause) => {
                self.begin(Link::None);
                self.shared.lock().handle_disconnected(epoch, cause, now);
            }
        }
        true
    }

    fn poll_answering(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((epoch, answering)) = &mut self.answering else { return false };
        let epoch = *epoch;
        let Poll::Ready(answer) = Pin::new(answering).poll(cx) else { return false };
        self.answering = None;
        let answer = answer.unwrap_or_else(|_| Err(AuthError::Failed("the authenticator panicked".into())));
        let now = self.shared.now();
        self.shared.lock().handle_credentials(epoch, answer, now);
        if let Some(question) = self.question.take() {
            self.ask(question);
        }
        true
    }

    /// Asks for credentials where blocking is allowed. An answer that comes after its link has gone is dropped.
    fn ask(&mut self, question: Question) {
        if self.answering.is_some() {
            self.question = Some(question);
            return;
        }
        let Question { epoch, nonce, is_secure } = question;
        if !matches!(self.link, Link::Socket(of, _) if of == epoch) {
            return;
        }
        let (authenticator, server) = {
            let session = self.shared.lock();
            (session.authenticator(), session.server().cloned())
        };
        let (Some(authenticator), Some(server)) = (authenticator, server) else { return };
        let answering = tokio::task::spawn_blocking(move || {
            authenticator.answer(&Challenge::new(nonce.as_deref(), &server, is_secure))
        });
        self.answering = Some((epoch, answering));
    }

    /// Puts the socket into the handshake's hands.
    fn secure(&mut self, epoch: Epoch, server_name: String) {
        match mem::replace(&mut self.link, Link::None) {
            Link::Socket(of, socket) if of == epoch => {
                let options = self.shared.lock().tls_options().clone();
                let reading = Arc::clone(&self.reading);
                self.begin(Link::Securing(epoch, Box::pin(socket.secure(options, server_name, reading))));
            }
            other => self.link = other,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        let Link::Socket(epoch, socket) = &mut self.link else { return false };
        let epoch = *epoch;
        let cause = match socket.poll_read(cx, &mut self.input) {
            Poll::Ready(Ok(0)) => LinkError::Closed { hint: None },
            Poll::Ready(Ok(len)) => {
                let now = self.shared.now();
                self.shared.lock().handle_input(epoch, &self.input[..len], now);
                return true;
            }
            Poll::Ready(Err(cause)) => cause,
            // After a failed write, too: that nothing is there to be read is not known before the runtime has looked.
            Poll::Pending => return false,
        };
        let cause = match (self.write_error.take(), cause) {
            (Some(write_error), LinkError::Closed { hint: None }) => write_error,
            (_, cause) => cause,
        };
        self.begin(Link::None);
        let now = self.shared.now();
        self.shared.lock().handle_disconnected(epoch, cause, now);
        true
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let Link::Socket(epoch, socket) = &mut self.link else { return false };
        if self.write_error.is_some() {
            return false;
        }
        if self.transmit.is_empty() {
            let now = self.shared.now();
            if !self.shared.lock().poll_transmit(*epoch, &mut self.transmit, now) {
                let Poll::Ready(Err(cause)) = socket.poll_flush(cx) else { return false };
                self.write_error = Some(cause);
                return true;
            }
        }
        match socket.poll_write(cx, &mut self.transmit) {
            Poll::Pending => false,
            Poll::Ready(Ok(len)) => {
                let now = self.shared.now();
                self.shared.lock().handle_transmitted(*epoch, len, now);
                true
            }
            Poll::Ready(Err(cause)) => {
                self.write_error = Some(cause);
                true
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        if self.armed_at.is_none() || self.sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.armed_at = None;
        let now = self.shared.now();
        self.shared.lock().handle_timeout(now);
        true
    }

    fn poll_actions(&mut self) -> bool {
        let mut acted = false;
        loop {
            let action = self.shared.lock().poll_action();
            match action {
                None => return acted,
                Some(Action::Dial { epoch, addr, turn }) => {
                    self.begin(Link::Dialing(epoch, Box::pin(Socket::dial(addr, turn))));
                }
                Some(Action::StartTls { epoch, server_name }) => self.secure(epoch, server_name),
                Some(Action::Authenticate { epoch, nonce, is_secure }) => {
                    self.ask(Question { epoch, nonce, is_secure });
                }
                Some(Action::Hangup(epoch)) => match &self.link {
                    Link::Dialing(of, _) | Link::Securing(of, _) | Link::Socket(of, _) if *of == epoch => {
                        self.begin(Link::None);
                    }
                    _ => {}
                },
            }
            acted = true;
        }
    }

    /// Another socket, or none: what was carried off for the last one is dropped with it.
    fn begin(&mut self, link: Link) {
        self.link = link;
        self.transmit.clear();
        self.write_error = None;
    }

    /// Goes to sleep, unless something came up meanwhile. `Ready` when the session is over.
    fn sleep(&mut self, cx: &mut Context<'_>) -> Poll<Sleeping> {
        let shared = Arc::clone(&self.shared);
        let mut session = shared.lock();
        session.take_woken(&mut self.woken);
        if session.is_closed() {
            return Poll::Ready(Sleeping::Over);
        }
        let writable = self.transmit.is_empty() && self.write_error.is_none() && matches!(self.link, Link::Socket(..));
        if writable && session.outbox_len() > 0 {
            return Poll::Ready(Sleeping::NotYet);
        }
        let wanted = session.poll_timeout();
        // Another thread may have wished for something since the actions were looked at.
        if session.is_due(wanted.unwrap_or(Instant::from_micros(u64::MAX))) {
            return Poll::Ready(Sleeping::NotYet);
        }
        session.sleep(cx.waker());
        drop(session);
        // A timer that fires too early asks again; one armed for a later moment is set anew.
        if let Some(at) = wanted
            && self.armed_at.is_none_or(|armed| at < armed)
        {
            self.armed_at = Some(at);
            self.sleep.as_mut().reset(shared.at(at).into());
            return Poll::Ready(Sleeping::NotYet);
        }
        Poll::Pending
    }

    fn wake(&mut self) {
        for waker in self.woken.drain(..) {
            waker.wake();
        }
    }
}

enum Sleeping {
    /// There is more to do.
    NotYet,
    /// There will never be more to do.
    Over,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        for _ in 0..TURNS_MAX {
            // Nothing is read from a new socket before its action is done: it may be the handshake.
            let mut moved = driver.poll_dial(cx);
            moved |= driver.poll_actions();
            moved |= driver.poll_answering(cx);
            moved |= driver.poll_read(cx);
            moved |= driver.poll_write(cx);
            moved |= driver.poll_timer(cx);
            if moved {
                continue;
            }
            let sleeping = driver.sleep(cx);
            driver.wake();
            match sleeping {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Sleeping::Over) => return Poll::Ready(()),
                Poll::Ready(Sleeping::NotYet) => {}
            }
        }
        driver.shared.lock().take_woken(&mut driver.woken);
        driver.wake();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    /// A runtime that shuts down drops the task: nobody will move bytes any more, so the session is over.
    fn drop(&mut self) {
        self.shared.with_now(|session, now| session.close(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{ConnectionOptions, ServerAddr};
    use crate::proto::{ServerError, Subject};
    use crate::rng::Entropy;
    use crate::session::{LinkNotice, LinkState, Session};
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use tokio::task::yield_now;

    fn driver(port: u16) -> Driver {
        let options = ConnectionOptions::new(vec![ServerAddr { host: "127.0.0.1".into(), port, tls: false }]);
        Driver::new(Arc::new(Shared::new(Session::new(options, &Entropy::new([7; 32])))))
    }

    #[tokio::test]
    async fn a_wish_that_comes_before_the_sleep_is_not_slept_over() {
        let mut driver = driver(1);
        driver.shared.lock().handle_timeout(Instant::ZERO);
        for _ in 0..2 {
            let sleeping = poll_fn(|cx| Poll::Ready(driver.sleep(cx))).await;
            assert!(matches!(sleeping, Poll::Ready(Sleeping::NotYet)));
        }
    }

    async fn poll_once(driver: &mut Driver) {
        let _ = poll_fn(|cx| Poll::Ready(Pin::new(&mut *driver).poll(cx))).await;
    }

    /// Greets, and reads up to the first PING.
    fn greeted(listener: &TcpListener) -> TcpStream {
        let mut socket = listener.accept().unwrap().0;
        socket.write_all(b"INFO {\"headers\":true}\r\n").unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"PING\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            read.extend(byte);
        }
        socket.write_all(b"PONG\r\n").unwrap();
        socket
    }

    #[tokio::test]
    async fn what_the_server_said_last_is_read_after_a_write_that_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut driver = driver(listener.local_addr().unwrap().port());
        let server = std::thread::spawn(move || greeted(&listener));
        while driver.shared.lock().link_state() != LinkState::Up {
            poll_once(&mut driver).await;
            yield_now().await;
        }
        let publish = |driver: &Driver| {
            let subject = Subject::new("orders").unwrap();
            driver.shared.with(|session| session.publish(None, subject, None, None, b"")).unwrap();
        };
        // What the server leaves unread when it closes makes its end an RST.
        let mut socket = server.join().unwrap();
        publish(&driver);
        poll_once(&mut driver).await;
        while socket.peek(&mut [0]).unwrap() == 0 {}
        socket.write_all(b"-ERR 'maximum connections exceeded'\r\n").unwrap();
        drop(socket);
        // The runtime has not looked at the socket since.
        publish(&driver);
        while driver.shared.lock().link_state() == LinkState::Up {
            poll_once(&mut driver).await;
            yield_now().await;
        }
        let said = LinkNotice::Lost(LinkError::Refused(ServerError::MaximumConnectionsExceeded));
        let notices: Vec<_> = std::iter::from_fn(|| driver.shared.lock().poll_notice()).collect();
        assert!(notices.contains(&said), "{notices:?}");
    }
}
