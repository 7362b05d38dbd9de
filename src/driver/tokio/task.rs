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
                self.begin(Link::Securing(epoch, Box::pin(socket.secure(options, server_name))));
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
            Poll::Pending => match self.write_error.take() {
                Some(cause) => cause,
                None => return false,
            },
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
