//! The command line that the contenders of scripts/bench share.

use std::error::Error;

/// What the ids of all contenders begin with: as long as `natsink run` makes them for lines of a pipe.
pub(crate) const ID_ROOT: &str = "natsink|0123456789abcdef:";

/// What is published, and where to.
pub(crate) struct Options {
    /// The server.
    pub(crate) url: String,
    /// The stream, which exists.
    pub(crate) stream: String,
    /// The subject, which the stream captures.
    pub(crate) subject: String,
    /// How many messages.
    pub(crate) messages: u64,
    /// The payload of each, bytes.
    pub(crate) size: usize,
    /// The roots to trust, for a server that speaks TLS.
    pub(crate) ca: Option<String>,
}

/// Reads the command line.
pub(crate) fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        url: String::from("nats://127.0.0.1:4222"),
        stream: String::from("BENCH"),
        subject: String::from("bench"),
        messages: 100_000,
        size: 128,
        ca: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--url" => options.url = value,
            "--stream" => options.stream = value,
            "--subject" => options.subject = value,
            "--messages" => options.messages = value.parse()?,
            "--size" => options.size = value.parse()?,
            "--ca" => options.ca = Some(value),
            _ => return Err(format!("no option {name}").into()),
        }
    }
    Ok(options)
}
