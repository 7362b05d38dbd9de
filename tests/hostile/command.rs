//! The command before a server that tells of others.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command comes back to its own server and asks nobody else, whatever it was told.
pub(crate) fn dials_its_own_server_alone() {
    let [own, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has a free port"));
    let [own_at, other_at] = [&own, &other].map(|listener| listener.local_addr().expect("it is bound"));
    other.set_nonblocking(true).expect("a listener can be asked without waiting");
    own.set_nonblocking(true).expect("a listener can be asked without waiting");
    let mut command = Command::new(env!("CARGO_BIN_EXE_natsink"));
    command.args(["run", "--url", &format!("nats://{own_at}"), "--stream", "ORD", "--subject", "ord.1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().expect("the command runs"));
    for _ in 0..4 {
        let deadline = Instant::now() + Duration::from_secs(20);
        let socket = loop {
            match own.accept() {
                Ok((socket, _)) => break socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => assert!(Instant::now() < deadline, "no dial"),
                Err(error) => panic!("{error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        greet(socket, &format!(r#"{{"headers":true,"jetstream":true,"connect_urls":["{other_at}"]}}"#));
    }
    assert!(other.accept().is_err(), "somebody whom nobody named was dialled");
    drop(running);
}

/// Greets until the client is so sure of its link that it subscribes, and hangs up.
fn greet(mut socket: TcpStream, info: &str) {
    socket.set_nonblocking(false).expect("a socket can wait");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes a timeout");
    socket.write_all(format!("INFO {info}\r\n").as_bytes()).expect("somebody listens");
    let mut lines = BufReader::new(socket.try_clone().expect("a socket has two ends")).lines();
    let mut wait = |op: &str| {
        let is_op = |line: &Result<String, _>| line.as_ref().is_ok_and(|line| line.starts_with(op));
        lines.find(is_op).unwrap_or_else(|| panic!("{op} is wanted"))
    };
    let _ = wait("PING");
    socket.write_all(b"PONG\r\n").expect("somebody listens");
    let _ = wait("SUB");
}
