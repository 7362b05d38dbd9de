//! The ops that a connection reads and the steps of its greeting, told to the `tracing` crate under the target
//! `natsink::op`: names and lengths, never what stands in them.

use super::{Action, Epoch};
use crate::proto::{Frame, FrameOp, OpName};

/// Tells of an op that came.
pub(super) fn came(epoch: Epoch, frame: &Frame) {
    let op = match frame.op {
        FrameOp::Info(_) => OpName::Info,
        FrameOp::Msg { .. } => OpName::Msg,
        FrameOp::HMsg { .. } => OpName::HMsg,
        FrameOp::Ping => OpName::Ping,
        FrameOp::Pong => OpName::Pong,
        FrameOp::Ok => OpName::Ok,
        FrameOp::Err(_) => OpName::Err,
        _ => return,
    };
    tracing::trace!(target: "natsink::op", link = epoch.0, len = frame.len, "came: {op}");
}

/// Tells of what the connection wants done.
pub(super) fn wanted(action: &Action) {
    match action {
        Action::Dial { epoch, addr, .. } => {
            tracing::debug!(target: "natsink::op", link = epoch.0, "dialling {addr}");
        }
        Action::StartTls { epoch, server_name } => {
            tracing::debug!(target: "natsink::op", link = epoch.0, "TLS handshake with {server_name}");
        }
        Action::Authenticate { epoch, .. } => {
            tracing::debug!(target: "natsink::op", link = epoch.0, "asking for credentials");
        }
        Action::Hangup(epoch) => tracing::debug!(target: "natsink::op", link = epoch.0, "hanging up"),
    }
}

/// Tells that CONNECT goes out, and how it is protected.
pub(super) fn introduced(epoch: Epoch, is_secure: bool) {
    tracing::debug!(target: "natsink::op", link = epoch.0, is_secure, "CONNECT");
}
