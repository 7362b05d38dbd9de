//! Thirty-two bytes that nobody can guess, from the operating system.

use crate::connection::CloseReason;
use crate::rng::Entropy;

/// Asks the system's generator.
#[cfg(feature = "tokio")]
pub(super) fn entropy() -> Result<Entropy, CloseReason> {
    let mut bytes = [0; 32];
    getrandom::getrandom(&mut bytes).map_err(|error| {
        let words = std::format!("no random bytes from the system: {error}");
        CloseReason::Unreachable(crate::connection::LinkError::Transport(words))
    })?;
    Ok(Entropy::new(bytes))
}

/// Asks the system's generator without a crate: through its device, and where there is none through the keys that the
/// standard library draws from it for its hash maps.
#[cfg(not(feature = "tokio"))]
pub(super) fn entropy() -> Result<Entropy, CloseReason> {
    Ok(Entropy::new(without_a_crate::device().unwrap_or_else(|_| without_a_crate::keyed())))
}

#[cfg(any(test, not(feature = "tokio")))]
mod without_a_crate {
    use std::collections::hash_map::RandomState;
    use std::fs::File;
    use std::hash::BuildHasher;
    use std::io::{self, Read};

    /// The device of Unix. It gives as many bytes as are asked for, and blocks nobody once the system is up.
    pub(super) fn device() -> io::Result<[u8; 32]> {
        let mut bytes = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// SipHash of four numbers under a 128-bit key that the standard library has from the system's generator. Who sees
    /// some of the hashes can tell neither the key nor the others without trying about 2^128 keys, which is all that an
    /// inbox asks for. `std` promises no more of these keys than that they are random, hence the device first.
    pub(super) fn keyed() -> [u8; 32] {
        let state = RandomState::new();
        let mut bytes = [0; 32];
        for (number, chunk) in bytes.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&state.hash_one(number).to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::without_a_crate::{device, keyed};

    #[test]
    fn no_two_are_the_same() {
        assert_ne!(keyed(), keyed());
        let hashes = keyed();
        assert_ne!(hashes[..8], hashes[8..16]);
        #[cfg(unix)]
        assert_ne!(device().unwrap(), device().unwrap());
        #[cfg(not(unix))]
        assert!(device().is_err());
    }
}
