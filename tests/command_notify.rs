//! What the command tells a service manager: ready when it reads, alive while it turns, stopping when it stops.

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use support::command::{Place, Run, events};

/// A service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<(Duration, String)>,
    began: Instant,
}

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("the folder is ours");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
        Self { socket, heard: Vec::new(), began: Instant::now() }
    }

    /// Waits for a word.
    #[track_caller]
    fn hears(&mut self, word: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.has(word) {
            assert!(Instant::now() < deadline, "no {word}: {:?}", self.heard);
            self.listen_once();
        }
    }

    fn has(&self, word: &str) -> bool {
        self.heard.iter().any(|(_, heard)| heard.starts_with(word))
    }

    fn listen_once(&mut self) {
        let mut block = [0; 4096];
        if let Ok(len) = self.socket.recv(&mut block) {
            let words = String::from_utf8(block[..len].to_vec()).expect("UTF-8");
            self.heard.push((self.began.elapsed(), words));
        }
    }

    /// Listens for so long, and says how often the word came.
    fn count(&mut self, word: &str, time: Duration) -> usize {
        self.heard.clear();
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.listen_once();
        }
        self.heard.iter().filter(|(_, heard)| heard == word).count()
    }
}

fn start(place: &Place, args: &[&str], watchdog: &str) -> (Run, Manager) {
    let path = place.path("notify");
    let manager = Manager::listen(&path);
    let path = path.to_str().expect("test paths are UTF-8").to_owned();
    let run = place.start_in(args, &[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", watchdog)]);
    (run, manager)
}

#[test]
fn it_is_ready_when_it_reads_and_says_how_it_goes() {
    let mut place = Place::new();
    place.server.kill9();
    let (mut run, mut manager) = start(&place, &["--input-id", "x", "--checkpoint", "c"], "");
    manager.hears("STATUS=sink nats is not connected");
    assert!(!manager.has("READY=1") && !manager.has("WATCHDOG=1"), "{:?}", manager.heard);
    place.server.restart();
    manager.hears("READY=1");
    run.write(events(7));
    manager.hears("STATUS=7 delivered, 0 pending, 0 dead letters");
    assert!(!manager.has("RELOADING=1"));
    manager.heard.clear();
    run.signal("HUP");
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    assert!(!manager.has("STOPPING=1"), "{:?}", manager.heard);
    run.stop("TERM").ends(0, [7, 7, 0, 0, 0, 0]);
    manager.hears("STOPPING=1");
    assert_eq!(manager.heard.iter().filter(|(_, word)| word == "STOPPING=1").count(), 1);
}

#[test]
fn it_gives_signs_of_life_while_it_waits_and_none_when_it_stands_still() {
    let place = Place::new();
    place.server.stop();
    let (run, mut manager) = start(&place, &[], "800000");
    manager.hears("WATCHDOG=1");
    // Twice as often as it must: at least every 400 ms, and a little.
    let signs = manager.count("WATCHDOG=1", Duration::from_secs(2));
    assert!((2..=6).contains(&signs), "{signs}");
    place.server.cont();
    manager.hears("READY=1");
    assert!(manager.count("WATCHDOG=1", Duration::from_secs(2)) >= 2);
    run.signal("STOP");
    manager.count("", Duration::from_millis(200));
    assert_eq!(manager.count("WATCHDOG=1", Duration::from_secs(1)), 0);
    run.signal("CONT");
    manager.hears("WATCHDOG=1");
    run.end().ends(0, [0; 6]);
}

#[test]
fn it_gives_signs_of_life_while_it_asks_what_was_sent_before() {
    let place = Place::new();
    place.write("log", events(1));
    // JetStream under another prefix tells of the stream, and of no message in it.
    let (mut front, mut back) = (place.raw(), place.raw());
    front.subscribe("quiet.API.>");
    front.flush();
    let (asked, is_asked) = mpsc::channel();
    std::thread::spawn(move || {
        while asked.send(()).is_ok() {
            let question = loop {
                let question = front.next();
                if !question.subject.starts_with("quiet.API.STREAM.INFO") {
                    break question;
                }
                let info = back.stream_info("ORDERS").to_string();
                front.send(&question.reply.expect("a question"), None, &[], info.as_bytes());
            };
            assert_eq!(question.subject, "quiet.API.STREAM.MSG.GET.ORDERS");
        }
    });
    is_asked.recv().expect("it listens");
    let args = ["--input", "log", "--follow", "--checkpoint", "c", "--js-api-prefix", "quiet.API"];
    let (run, mut manager) = start(&place, &args, "400000");
    is_asked.recv().expect("it is asked for the last message");
    let signs = manager.count("WATCHDOG=1", Duration::from_secs(2));
    assert!(signs >= 4, "{signs}");
    run.stop("TERM").ends(0, [0; 6]);
}

#[test]
fn a_manager_that_does_not_listen_holds_nobody_up() {
    let place = Place::new();
    let none = place.path("nobody").to_str().expect("UTF-8").to_owned();
    let run = place.start_in(&[], &[("NOTIFY_SOCKET", &none), ("WATCHDOG_USEC", "1000")]);
    run.end().ends(0, [0; 6]);
    // One that listens and never reads: its queue is full after a few hundred.
    let path = place.path("deaf");
    let _socket = UnixDatagram::bind(&path).expect("the folder is ours");
    let path = path.to_str().expect("UTF-8").to_owned();
    let mut run = place.start_in(&[], &[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", "2000")]);
    run.write(events(1000));
    run.end().ends(0, [1000, 1000, 0, 0, 0, 0]);
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_will_do() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;
    let place = Place::new();
    let name = format!("natsink-test-{}", std::process::id());
    let addr = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&addr).expect("nobody has that name");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
    let mut manager = Manager { socket, heard: Vec::new(), began: Instant::now() };
    let run = place.start_in(&[], &[("NOTIFY_SOCKET", &format!("@{name}"))]);
    manager.hears("READY=1");
    run.end().ends(0, [0; 6]);
}
