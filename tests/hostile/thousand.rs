//! R06: a thousand links, and what the process holds of them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use natsink::connection::LinkError;
use natsink::jetstream::Outcome;

use super::case::Case;

/// Set for the process that makes a thousand links and measures itself.
const ALONE: &str = "NATSINK_THOUSAND_LINKS";

#[test]
fn r06_a_thousand_links() {
    if std::env::var_os(ALONE).is_none() {
        // The other tests open sockets too.
        let mut alone = Command::new("/proc/self/exe");
        alone.args(["--exact", "thousand::r06_a_thousand_links", "--nocapture"]).env(ALONE, "1");
        let ended = alone.output().expect("it can be run again");
        let told = String::from_utf8_lossy(&ended.stdout);
        assert!(
            ended.status.success() && told.contains("1 passed"),
            "{told}{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        return;
    }
    let case = Case::new("R06").with(|options| options.backoff.max = Duration::from_millis(5));
    case.uncut().play(|peer| {
        peer.greet();
        peer.add_publisher();
        let mut after_warm_up = None;
        for number in 1..=1000 {
            let published = peer.publish(number);
            peer.ack(&published, number);
            assert_eq!(peer.outcome(number), Outcome::Stored { seq: number });
            if number % 2 == 0 {
                peer.hang_up();
            } else {
                peer.stage.reconnect();
                assert_eq!(peer.lost(), LinkError::Requested);
            }
            peer.forget_notices();
            peer.greet();
            if number == 200 {
                after_warm_up = Some(Held::now());
            }
        }
        let (before, after) = (after_warm_up.expect("two hundred links were made"), Held::now());
        assert!(after.files <= before.files + 2, "{before:?} {after:?}");
        assert!(after.threads <= before.threads + 1, "{before:?} {after:?}");
        assert!(after.kib <= before.kib + 2048, "{before:?} {after:?}");
    });
}

/// What this process holds.
#[derive(Debug)]
struct Held {
    files: usize,
    threads: usize,
    kib: usize,
}

impl Held {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells");
            line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
        };
        let files = fs::read_dir("/proc/self/fd").expect("Linux tells").count();
        Self { files, threads: number("Threads:"), kib: number("VmRSS:") }
    }
}
