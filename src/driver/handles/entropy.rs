//! Thirty-two bytes that nobody can guess, from the operating system.

use crate::connection::CloseReason;
use crate::rng::Entropy;

/// Asks the system's generator.
#[cfg(feature = "tokio")]
pub(super) fn entropy() -> Result<Entropy, CloseReason> {
    let mut bytes = [0; 32];
    getrandom::getrandom(&mut bytes).map_err(|error| {
        CloseReason::Unreachable(crate::connection::LinkError::Transport(std::format!(
            "no random bytes from the system: {error}"
        )))
    })?;
    Ok(Entropy::new(bytes))
}
