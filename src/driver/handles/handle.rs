//! What keeps a session open: every client, publisher and ack holds it, and the session closes with the last.

use std::sync::Arc;

use super::shared::Shared;

/// What keeps a session open.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.with_now(|session, now| session.close(now));
    }
}
