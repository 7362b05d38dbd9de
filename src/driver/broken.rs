//! What it means for a link that its socket failed.

use std::io::{Error, ErrorKind};
use std::string::ToString;

use crate::connection::LinkError;

/// A peer that is gone is gone, whether it said so with FIN or with RST, or left a TLS channel without a farewell.
pub(super) fn link_error(error: &Error) -> LinkError {
    match error.kind() {
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => LinkError::Closed { hint: None },
        _ => LinkError::Transport(error.to_string()),
    }
}
