//! What becomes of publishers, told to the `tracing` crate under the target `natsink::publisher`.

use super::Notice;

/// Tells a notice: what a person should look at as a warning, the rest for those who look closely.
pub(super) fn tell(notice: &Notice) {
    match notice {
        Notice::Verified => tracing::debug!(target: "natsink::publisher", "the stream is as it should be"),
        Notice::Recalled { until, found } => {
            tracing::info!(target: "natsink::publisher", until, found, "read back to sequence {until}: {found} ids are there");
        }
        Notice::RecallPaused { anomaly, pause } => {
            let millis = pause.as_millis();
            tracing::warn!(target: "natsink::publisher", millis, "reading back paused for {millis} ms: {anomaly}");
        }
        Notice::Paused { anomaly, pause } => {
            let millis = pause.as_millis();
            tracing::warn!(target: "natsink::publisher", millis, "paused for {millis} ms: {anomaly}");
        }
    }
}
