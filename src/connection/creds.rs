//! What a creds file, a seed file and a JWT file hold: texts as `nsc` and `nk` write them, read into secrets.

use core::fmt;

use super::Secret;

/// The longest file of credentials, bytes. JWTs with many permissions have some kilobytes.
pub const CREDS_LEN_MAX: usize = 1024 * 1024;

const JWT_LABEL: &str = "NATS USER JWT";
const SEED_LABEL: &str = "USER NKEY SEED";

/// A user's JWT and the seed of the key that it was issued for, as a creds file holds them.
///
/// ```
/// use natsink::connection::Creds;
///
/// let text = "-----BEGIN NATS USER JWT-----\n\
///             eyJ0.eyJq.c2ln\n\
///             ------END NATS USER JWT------\n\
///             -----BEGIN USER NKEY SEED-----\n\
///             SUAM\n\
///             ------END USER NKEY SEED------\n";
/// let creds = Creds::parse(text.as_bytes())?;
/// assert_eq!(creds.jwt.expose(), "eyJ0.eyJq.c2ln");
/// assert_eq!(creds.seed.expose(), "SUAM");
/// # Ok::<(), natsink::connection::CredsError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Creds {
    /// The JWT: three parts of base64url. Whether the server believes it is the server's business.
    pub jwt: Secret,
    /// The seed, `SU…`. Whether its checksum is right shows when it signs.
    pub seed: Secret,
}

/// Why a text is no credentials. Says nothing of what stands in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CredsError {
    /// More than [`CREDS_LEN_MAX`] bytes.
    TooLong,
    /// Not UTF-8.
    NotText,
    /// No JWT.
    NoJwt,
    /// No seed.
    NoSeed,
    /// Two JWTs: which one is meant?
    TwoJwts,
    /// Two seeds.
    TwoSeeds,
    /// A block that begins and does not end.
    NoEnd,
    /// What stands where the JWT should is not three parts of base64url in one line.
    BadJwt,
    /// What stands where the seed should is not one line of base32.
    BadSeed,
    /// A seed of an operator, an account, a server: only users can log in.
    NotUser,
    /// A whole creds file where one of its halves should be.
    IsCreds,
}

impl Creds {
    /// Reads a creds file: a JWT and a seed, each in its block, in any order. What stands outside of the two blocks is
    /// for people and not looked at. Line ends may be CR LF, and a byte order mark is passed over.
    ///
    /// # Errors
    /// When one of the blocks is missing, not ended, there twice, or filled with something else.
    pub fn parse(bytes: &[u8]) -> Result<Self, CredsError> {
        let blocks = Blocks::read(text(bytes)?)?;
        Ok(Self {
            jwt: jwt(blocks.jwt.ok_or(CredsError::NoJwt)?)?,
            seed: seed(blocks.seed.ok_or(CredsError::NoSeed)?)?,
        })
    }

    /// Reads a seed file, as `nk -gen user` writes one: the seed on a line of its own, or in its block. Lines that are no
    /// seed, such as the public key below it, are not looked at.
    ///
    /// # Errors
    /// When there is no seed of a user, or more than one, or a JWT beside it.
    pub fn parse_seed(bytes: &[u8]) -> Result<Secret, CredsError> {
        let text = text(bytes)?;
        let blocks = Blocks::read(text)?;
        if blocks.jwt.is_some() {
            return Err(CredsError::IsCreds);
        }
        if let Some(block) = blocks.seed {
            return seed(block);
        }
        let mut seeds = text.lines().map(str::trim).filter(|line| line.starts_with('S'));
        match (seeds.next(), seeds.next()) {
            (None, _) => Err(CredsError::NoSeed),
            (Some(line), None) => seed(line),
            (Some(_), Some(_)) => Err(CredsError::TwoSeeds),
        }
    }

    /// Reads a JWT file: the JWT alone, or in its block.
    ///
    /// # Errors
    /// When there is no JWT, or more than one, or a seed beside it.
    pub fn parse_jwt(bytes: &[u8]) -> Result<Secret, CredsError> {
        let text = text(bytes)?;
        let blocks = Blocks::read(text)?;
        match (blocks.jwt, blocks.seed) {
            (_, Some(_)) => Err(CredsError::IsCreds),
            (Some(block), None) => jwt(block),
            (None, None) if text.trim().is_empty() => Err(CredsError::NoJwt),
            (None, None) => jwt(text),
        }
    }
}

impl CredsError {
    /// The words of the error.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "more than 1 MiB; credentials have some kilobytes",
            Self::NotText => "not UTF-8 text",
            Self::NoJwt => "no JWT in it; a creds file has one after -----BEGIN NATS USER JWT-----",
            Self::NoSeed => "no seed in it; the seed of a user starts with SU",
            Self::TwoJwts => "two JWTs in it; keep the one that is meant",
            Self::TwoSeeds => "two seeds in it; keep the one that is meant",
            Self::NoEnd => "cut off: a block begins and does not end",
            Self::BadJwt => "what stands in the place of the JWT is none: three parts of base64url in one line",
            Self::BadSeed => "what stands in the place of the seed is none: one line of capital letters and digits",
            Self::NotUser => "the seed is not that of a user, which starts with SU",
            Self::IsCreds => "JWT and seed in one: this is a credentials file, not one of its halves",
        }
    }
}

impl fmt::Display for CredsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for CredsError {}

/// What stands in the two blocks that matter.
#[derive(Default)]
struct Blocks<'a> {
    jwt: Option<&'a str>,
    seed: Option<&'a str>,
}

impl<'a> Blocks<'a> {
    fn read(text: &'a str) -> Result<Self, CredsError> {
        let mut blocks = Self::default();
        // The block that is open, and where what stands in it starts.
        let mut open: Option<(&str, usize)> = None;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            match (open, marker(line)) {
                (_, None) => {}
                (None, Some(Marker::Begin(label))) => open = Some((label, at)),
                (None, Some(Marker::End(_))) => {}
                (Some(_), Some(Marker::Begin(_))) => return Err(CredsError::NoEnd),
                (Some((label, _)), Some(Marker::End(other))) if label != other => return Err(CredsError::NoEnd),
                (Some((label, from)), Some(Marker::End(_))) => {
                    blocks.keep(label, &text[from..start])?;
                    open = None;
                }
            }
        }
        if open.is_some() { Err(CredsError::NoEnd) } else { Ok(blocks) }
    }

    fn keep(&mut self, label: &str, content: &'a str) -> Result<(), CredsError> {
        let (place, twice) = match label {
            JWT_LABEL => (&mut self.jwt, CredsError::TwoJwts),
            SEED_LABEL => (&mut self.seed, CredsError::TwoSeeds),
            _ => return Ok(()),
        };
        match place.replace(content) {
            None => Ok(()),
            Some(_) => Err(twice),
        }
    }
}

enum Marker<'a> {
    Begin(&'a str),
    End(&'a str),
}

/// `-----BEGIN label-----` and `------END label------`, with three dashes or more.
fn marker(line: &str) -> Option<Marker<'_>> {
    let line = line.trim();
    let label = line.trim_matches('-');
    if !line.starts_with("---") || !line.ends_with("---") {
        return None;
    }
    match label.split_once(' ')? {
        ("BEGIN", label) => Some(Marker::Begin(label)),
        ("END", label) => Some(Marker::End(label)),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Result<&str, CredsError> {
    if bytes.len() > CREDS_LEN_MAX {
        return Err(CredsError::TooLong);
    }
    let text = core::str::from_utf8(bytes).map_err(|_| CredsError::NotText)?;
    Ok(text.trim_start_matches('\u{feff}'))
}

fn jwt(content: &str) -> Result<Secret, CredsError> {
    let content = content.trim();
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='))
    };
    match content.split('.').count() == 3 && content.split('.').all(is_part) {
        true => Ok(content.into()),
        false => Err(CredsError::BadJwt),
    }
}

fn seed(content: &str) -> Result<Secret, CredsError> {
    let content = content.trim();
    if content.is_empty() {
        return Err(CredsError::NoSeed);
    }
    if !content.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')) {
        return Err(CredsError::BadSeed);
    }
    match content.starts_with("SU") {
        true => Ok(content.into()),
        false => Err(CredsError::NotUser),
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;

    use super::*;

    const JWT: &str = "eyJ0eXAiOiJKV1QifQ.eyJqdGkiOiJDQU5BUlkifQ.c2lnbmF0dXJl-_";
    const SEED: &str = "SUACANARYCANARYCANARYCANARY2345670000";

    /// As `nsc generate creds` writes it, word for word.
    fn written() -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{JWT}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\
             NKEYs are sensitive and should be treated as secrets.\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n\n\
             *************************************************************\n",
            seed_text()
        )
    }

    fn seed_text() -> String {
        SEED.replace('0', "A")
    }

    fn good(bytes: &[u8]) {
        let creds = Creds::parse(bytes).expect("good creds");
        assert_eq!((creds.jwt.expose(), creds.seed.expose()), (JWT, seed_text().as_str()));
    }

    #[test]
    fn reads_what_nsc_writes() {
        good(written().as_bytes());
        good(written().replace('\n', "\r\n").as_bytes());
        good(format!("\u{feff}{}", written()).as_bytes());
        good(written().trim_end().as_bytes());
        good(written().replace("\n\n", "\n").as_bytes());
        // In either order, with blanks around and other blocks beside.
        let whole = written();
        let (jwt, seed) = whole.split_at(whole.find("****").expect("the warning"));
        good(format!("{seed}\n{jwt}").as_bytes());
        good(written().replace(JWT, &format!("  {JWT}\t\n")).as_bytes());
        good(format!("-----BEGIN CERTIFICATE-----\nx y\n-----END CERTIFICATE-----\n{}", written()).as_bytes());
    }

    #[test]
    fn tells_what_is_wrong() {
        use CredsError::*;
        let whole = written();
        let (jwt, seed) = whole.split_at(whole.find("****").expect("the warning"));
        let cases = [
            (String::new(), NoJwt),
            ("garbage \0 \u{1b}[2J\n-----\n---BEGIN---\n".into(), NoJwt),
            (JWT.into(), NoJwt),
            (seed.into(), NoJwt),
            (jwt.into(), NoSeed),
            (format!("{jwt}{whole}"), TwoJwts),
            (format!("{whole}{seed}"), TwoSeeds),
            (whole[..whole.find("------END NATS").expect("an end")].into(), NoEnd),
            (whole[..whole.find("------END USER").expect("an end")].into(), NoEnd),
            (jwt.replace("------END NATS USER JWT------", "") + seed, NoEnd),
            (whole.replace("END NATS USER JWT", "END USER NKEY SEED"), NoEnd),
            (whole.replace(JWT, ""), BadJwt),
            (whole.replace(JWT, "a.b"), BadJwt),
            (whole.replace(JWT, "a.b.c.d"), BadJwt),
            (whole.replace(JWT, "a..c"), BadJwt),
            (whole.replace(JWT, "a.b.c\r\nPUB x 0"), BadJwt),
            (whole.replace(JWT, "a.b.\"c"), BadJwt),
            (whole.replace(&seed_text(), " "), NoSeed),
            (whole.replace(&seed_text(), "SUA\nSUB"), BadSeed),
            (whole.replace(&seed_text(), "SU1"), BadSeed),
            (whole.replace(&seed_text(), "SAACANARY"), NotUser),
            (whole.replace(&seed_text(), "UACANARY"), NotUser),
        ];
        for (text, error) in cases {
            assert_eq!(Creds::parse(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(Creds::parse(b"\xff\xfe-\0-\0"), Err(NotText));
        assert_eq!(Creds::parse(&vec![b'\n'; CREDS_LEN_MAX + 1]), Err(TooLong));
        let mut padded = whole.into_bytes();
        padded.resize(CREDS_LEN_MAX, b'\n');
        good(&padded);
    }

    #[test]
    fn reads_seeds_alone() {
        use CredsError::*;
        let seed = seed_text();
        let public = "UACANARY";
        let block = format!("-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n");
        for text in [seed.clone(), format!("\u{feff}\r\n {seed}\r\n\r\n"), format!("{seed}\n{public}\n"), block] {
            assert_eq!(Creds::parse_seed(text.as_bytes()).expect(&text).expose(), seed, "{text}");
        }
        let cases = [
            (String::new(), NoSeed),
            (public.into(), NoSeed),
            (format!("{seed}\n{seed}"), TwoSeeds),
            (format!("{seed} {seed}"), BadSeed),
            (seed.replace("SU", "SA"), NotUser),
            ("SUé".into(), BadSeed),
            (written(), IsCreds),
        ];
        for (text, error) in cases {
            assert_eq!(Creds::parse_seed(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn reads_jwts_alone() {
        use CredsError::*;
        let block = format!("-----BEGIN NATS USER JWT-----\n{JWT}\n------END NATS USER JWT------\n");
        for text in [JWT.into(), format!("\u{feff}{JWT}\r\n"), block.clone()] {
            assert_eq!(Creds::parse_jwt(text.as_bytes()).expect(&text).expose(), JWT, "{text}");
        }
        let cases = [
            (String::new(), NoJwt),
            (" \n".into(), NoJwt),
            (seed_text(), BadJwt),
            (format!("{JWT}\n{JWT}"), BadJwt),
            (format!("{block}{block}"), TwoJwts),
            (written(), IsCreds),
        ];
        for (text, error) in cases {
            assert_eq!(Creds::parse_jwt(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn nothing_of_it_shows() {
        let creds = Creds::parse(written().as_bytes()).expect("good creds");
        let shown = format!("{creds:?} {:?}", Creds::parse_seed(seed_text().as_bytes()));
        assert!(!shown.contains("CANARY") && !shown.contains("eyJ"), "{shown}");
        for text in [written().replace("------END", "CANARY"), written().replace(JWT, "CANARY"), written() + &written()]
        {
            let error = Creds::parse(text.as_bytes()).expect_err("bad creds");
            assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
        }
    }
}
