//! Reading a small file of the user's, as keys and certificates are: all at once, never too much, nothing left behind.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use zeroize::Zeroizing;

/// Reads a file, but no more than one byte beyond `len_max`, which tells that it is too long. The bytes are overwritten
/// when they are dropped.
///
/// # Errors
/// Why it cannot be read, in words without the path.
pub(super) fn read(path: &Path, len_max: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    // A pipe gives its content once and would keep the next connection waiting for ever.
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("not a file that can be read again for each connection".into());
    }
    // All the room at once: a buffer that grows leaves copies behind.
    let room = usize::try_from(found.len()).unwrap_or(usize::MAX).min(len_max);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    let limit = len_max as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// A path as people are told it; never what was given in the place of a path and is itself what the file should hold:
/// a seed, a JWT, or PEM.
pub(super) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_seed = |word: &str| {
        word.len() >= 40 && word.starts_with('S') && word.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
    };
    let is_jwt = |word: &str| word.len() >= 20 && word.starts_with("eyJ");
    let mut words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_' || char == '-'));
    match text.contains("-----BEGIN") || words.any(|word| is_seed(word) || is_jwt(word)) {
        true => "a secret itself (give the path of the file that holds it)".into(),
        false => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_and_a_secret_in_its_place_is_not() {
        for path in
            ["/etc/nats/SUPER.nk", "orders/eyJ.jwt", "-----", "SECRETS_OF_THE_WHOLE_DEPARTMENT_OF_SHIPPING.creds"]
        {
            assert_eq!(shown(Path::new(path)), path);
        }
        let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
        let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEA";
        for secret in [seed, &seed[..57], pem, "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJ4In0.c2ln"] {
            for text in [String::from(secret), ["/home/me/", secret, "\n"].concat()] {
                assert!(shown(Path::new(&text)).starts_with("a secret"), "{text}");
            }
        }
    }

    #[test]
    fn what_is_read_is_a_file_and_not_more_of_it_than_tells_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(&path, [b'x'; 8]).unwrap();
        assert_eq!(*read(&path, 8).unwrap(), [b'x'; 8]);
        assert_eq!(read(&path, 5).unwrap().len(), 6);
        assert!(read(dir.path(), 8).unwrap_err().starts_with("not a file"));
        assert!(read(&dir.path().join("none"), 8).is_err());
    }
}
