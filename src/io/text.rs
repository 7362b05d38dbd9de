//! The notation of moments in files and logs: RFC 3339.

use std::prelude::v1::*;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sink::push_rfc3339;

/// A moment in UTC with milliseconds, such as `2026-01-31T23:59:59.123Z`. Moments before 1970 are shown as 1970.
pub fn rfc3339(at: SystemTime) -> String {
    let millis = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut text = String::new();
    push_rfc3339(i64::try_from(millis).unwrap_or(i64::MAX), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_rfc_3339() {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(951_782_399_999)), "2000-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_millis(1)), "1970-01-01T00:00:00.000Z");
    }
}
