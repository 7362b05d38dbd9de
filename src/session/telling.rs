//! What becomes of links, told to the `tracing` crate under the target `natsink::link`.

use alloc::format;

use super::LinkNotice;

/// Tells a notice: what a person should look at as a warning, what goes well as information.
pub(super) fn tell(notice: &LinkNotice) {
    match notice {
        LinkNotice::Up { addr, server } => {
            let named = server.as_ref().map(|name| format!(", server {name}")).unwrap_or_default();
            tracing::info!(target: "natsink::link", server = server.as_deref(), "connected to {addr}{named}");
        }
        LinkNotice::Lost(cause) => tracing::warn!(target: "natsink::link", "connection lost: {cause}"),
        LinkNotice::Unsent(count) => {
            tracing::warn!(target: "natsink::link", count, "messages to core NATS had not left, and are lost");
        }
        LinkNotice::DialFailed(cause) => tracing::warn!(target: "natsink::link", "cannot connect: {cause}"),
        LinkNotice::ServerError(error) => tracing::warn!(target: "natsink::link", "the server says: {error}"),
        LinkNotice::LameDuck => tracing::warn!(target: "natsink::link", "the server is about to shut down"),
        LinkNotice::SlowConsumer { subject, dropped } => {
            tracing::warn!(target: "natsink::link", subject, dropped, "a subscription is read too slowly");
        }
        LinkNotice::Missed(count) => tracing::debug!(target: "natsink::link", "{count} notices were not read"),
        LinkNotice::Closed(reason) => {
            tracing::debug!(target: "natsink::link", "connection over: {reason}");
        }
    }
}
