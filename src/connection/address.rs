//! Where a server is: `nats://user:password@host:port` read into an address that can be shown and credentials that cannot.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;

use super::secret::Secret;

/// The port of a URL that names none.
pub const PORT_DEFAULT: u16 = 4222;

/// The longest host name, bytes: the longest name that DNS knows.
pub const HOST_LEN_MAX: usize = 253;

/// The most servers in one list.
pub const SERVERS_MAX: usize = 256;

/// One server: what to look up, what to dial, and whether nothing but TLS will do.
///
/// ```
/// use natsink::connection::ServerUrl;
///
/// let url = ServerUrl::parse("nats://alice:p%40ss@[::1]:4223")?;
/// assert_eq!(url.addr.to_string(), "nats://[::1]:4223");
/// assert_eq!((url.addr.host.as_str(), url.addr.port), ("::1", 4223));
/// assert!(url.user_info.is_some());
/// # Ok::<(), natsink::connection::AddressError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerAddr {
    /// A host name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// Written `tls://`: never spoken to in clear text.
    pub tls: bool,
}

/// Who asks to be let in, as a URL can say it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UserInfo {
    /// A token alone: `token@host`.
    Token(Secret),
    /// A user and a password: `user:password@host`.
    UserPassword {
        /// The user's name.
        user: String,
        /// Never empty.
        password: Secret,
    },
}

/// One URL of a list: the address, and the credentials written into it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerUrl {
    /// The server.
    pub addr: ServerAddr,
    /// What stood before the `@`, percent-decoded.
    pub user_info: Option<UserInfo>,
}

/// A comma list of URLs: the servers in the order written, and the one set of credentials for all of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerList {
    /// At least one, none twice.
    pub servers: Vec<ServerAddr>,
    /// The credentials of the first URL.
    pub user_info: Option<UserInfo>,
}

/// Why a URL was refused. The text never repeats any of the URL, since a password may stand anywhere in a mistyped one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing was written.
    Empty,
    /// Another scheme than `nats://` or `tls://`.
    Scheme,
    /// No host.
    NoHost,
    /// A host with a character that no host name has, or too long.
    Host,
    /// More than one colon, and no brackets around the IPv6 address.
    BareIpv6,
    /// Brackets around something that is not an IPv6 address.
    Ipv6,
    /// A port that is not a number from 1 to 65535, or missing where it must be given.
    Port,
    /// Something after the port.
    Path,
    /// An escape that is not `%` and two hexadecimal digits, or that does not decode to UTF-8.
    Escape,
    /// A user or a token that is empty.
    NoUser,
    /// A user with an empty password.
    NoPassword,
    /// Credentials in a later URL of a list that differ from those of the first.
    ListUserInfo,
    /// More than [`SERVERS_MAX`] servers.
    ListTooLong,
}

impl ServerAddr {
    /// Reads `host:port`, as servers announce their neighbours: no scheme, no credentials, no path, a port.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse_host_port(text: &str) -> Result<Self, AddressError> {
        let (host, port) = split_port(text)?;
        Ok(Self { host: parse_host(host)?, port: parse_port(port.ok_or(AddressError::Port)?)?, tls: false })
    }
}

impl ServerUrl {
    /// Reads one URL: `[nats://|tls://][user:password@|token@]host[:port]`. The credentials end at the last `@`.
    ///
    /// # Errors
    /// When any part of it is missing or malformed; see [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("nats") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tls") => (true, rest),
            Some(_) => return Err(AddressError::Scheme),
        };
        let (user_info, place) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((user_info, place)) => (Some(UserInfo::parse(user_info)?), place),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?', '#']) {
            return Err(AddressError::Path);
        }
        let (host, port) = split_port(place)?;
        let host = parse_host(host)?;
        let port = port.map_or(Ok(PORT_DEFAULT), parse_port)?;
        Ok(Self { addr: ServerAddr { host, port, tls }, user_info })
    }
}

impl ServerList {
    /// Reads a comma list of URLs. White space around a comma is ignored; a server named twice counts once.
    ///
    /// Credentials belong to the first URL and hold for all. A comma inside them is written `%2C`: were it not,
    /// their first half would pass for a host, so credentials that appear only later are refused.
    ///
    /// # Errors
    /// The first URL's error, in the order of the list.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let mut list = Self { servers: Vec::new(), user_info: None };
        for (index, part) in text.split(',').enumerate() {
            let ServerUrl { addr, user_info } = ServerUrl::parse(part.trim())?;
            if index == 0 {
                list.user_info = user_info;
            } else if user_info.is_some() && user_info != list.user_info {
                return Err(AddressError::ListUserInfo);
            }
            if list.servers.contains(&addr) {
                continue;
            }
            if list.servers.len() == SERVERS_MAX {
                return Err(AddressError::ListTooLong);
            }
            list.servers.push(addr);
        }
        Ok(list)
    }
}

impl UserInfo {
    fn parse(text: &str) -> Result<Self, AddressError> {
        let (user, password) = match text.split_once(':') {
            None => (percent_decode(text)?, None),
            Some((user, password)) => (percent_decode(user)?, Some(percent_decode(password)?)),
        };
        match (user.is_empty(), password) {
            (true, _) => Err(AddressError::NoUser),
            (false, None) => Ok(Self::Token(user.into())),
            (false, Some(password)) if password.is_empty() => Err(AddressError::NoPassword),
            (false, Some(password)) => Ok(Self::UserPassword { user, password: password.into() }),
        }
    }
}

/// Splits `host[:port]` at the colon that belongs to the port.
fn split_port(place: &str) -> Result<(&str, Option<&str>), AddressError> {
    if let Some(bracketed) = place.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').ok_or(AddressError::Ipv6)?;
        address.parse::<Ipv6Addr>().map_err(|_| AddressError::Ipv6)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if rest.is_empty() => Ok((address, None)),
            None => Err(AddressError::Port),
        };
    }
    match place.split_once(':') {
        None => Ok((place, None)),
        Some((_, port)) if port.contains(':') => Err(AddressError::BareIpv6),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

/// `host` as it is dialled: a name, an IPv4 address, or what stood in brackets.
fn parse_host(host: &str) -> Result<String, AddressError> {
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let is_dotted = host.split('.').any(|label| !label.is_empty());
    if host.len() > HOST_LEN_MAX || !(is_name && is_dotted || host.parse::<Ipv6Addr>().is_ok()) {
        return Err(AddressError::Host);
    }
    Ok(host.into())
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_number && port != 0 => Ok(port),
        _ => Err(AddressError::Port),
    }
}

fn percent_decode(text: &str) -> Result<String, AddressError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(AddressError::Escape) };
        decoded.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits fit a byte"));
    }
    String::from_utf8(decoded).map_err(|_| AddressError::Escape)
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls" } else { "nats" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty URL; write nats://host:4222",
            Self::Scheme => "the URL's scheme is neither nats:// nor tls://",
            Self::NoHost => "the URL has no host; write nats://host:4222",
            Self::Host => "the URL's host is not a host name or an IP address",
            Self::BareIpv6 => "an IPv6 address in a URL stands in brackets: nats://[::1]:4222",
            Self::Ipv6 => "what stands in brackets in the URL is not an IPv6 address",
            Self::Port => "the URL's port is not a number from 1 to 65535",
            Self::Path => "the URL goes on after host and port; write nats://host:4222",
            Self::Escape => "a % in a URL starts an escape such as %40 for @; the sign itself is written %25",
            Self::NoUser => "the URL has an @ and no user or token before it",
            Self::NoPassword => "the URL has a user and an empty password",
            Self::ListUserInfo => {
                "user and password, or a token, belong to the first URL of the list and hold for all; \
                 a comma inside them is written %2C"
            }
            Self::ListTooLong => "more than 256 servers in the list of URLs",
        })
    }
}

impl core::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn addr(host: &str, port: u16, tls: bool) -> ServerAddr {
        ServerAddr { host: host.into(), port, tls }
    }

    fn user_password(user: &str, password: &str) -> Option<UserInfo> {
        Some(UserInfo::UserPassword { user: user.into(), password: password.into() })
    }

    #[test]
    fn reads_every_part() {
        let cases = [
            ("localhost", addr("localhost", 4222, false), None),
            ("nats://localhost", addr("localhost", 4222, false), None),
            ("NATS://10.0.0.1:4333/", addr("10.0.0.1", 4333, false), None),
            ("tls://a.example:1", addr("a.example", 1, true), None),
            ("nats://[::1]", addr("::1", 4222, false), None),
            ("nats://[fe80::2]:65535", addr("fe80::2", 65535, false), None),
            ("nats://t0ken@h", addr("h", 4222, false), Some(UserInfo::Token("t0ken".into()))),
            ("nats://u:p@h:7", addr("h", 7, false), user_password("u", "p")),
            ("u:p@h", addr("h", 4222, false), user_password("u", "p")),
            ("nats://u:p@ss:w@h:7", addr("h", 7, false), user_password("u", "p@ss:w")),
            ("nats://u:a/b?c@h", addr("h", 4222, false), user_password("u", "a/b?c")),
            ("nats://a%3Ab:%40%2c%25%C3%A9@h", addr("h", 4222, false), user_password("a:b", "@,%é")),
        ];
        for (text, addr, user_info) in cases {
            assert_eq!(ServerUrl::parse(text), Ok(ServerUrl { addr, user_info }), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        use AddressError::*;
        let cases = [
            ("", Empty),
            ("http://h", Scheme),
            ("ws://h:80", Scheme),
            ("nats://", NoHost),
            ("nats://:4222", NoHost),
            ("nats://u:p@:4222", NoHost),
            ("nats://h o", Host),
            ("nats://h\r\nPUB x 1", Host),
            ("nats://..", Host),
            ("nats://bücher.example", Host),
            ("nats://::1", BareIpv6),
            ("nats://fe80::1:4222", BareIpv6),
            ("nats://[::1", Ipv6),
            ("nats://[localhost]:4222", Ipv6),
            ("nats://[::1]4222", Port),
            ("nats://h:", Port),
            ("nats://h:0", Port),
            ("nats://h:65536", Port),
            ("nats://h:+1", Port),
            ("nats://h:4222/path", Path),
            ("nats://h:4222?tls", Path),
            ("nats://u:%4@h", Escape),
            ("nats://u:%zz@h", Escape),
            ("nats://u:%ff@h", Escape),
            ("nats://@h", NoUser),
            ("nats://:p@h", NoUser),
            ("nats://u:@h", NoPassword),
        ];
        for (text, error) in cases {
            assert_eq!(ServerUrl::parse(text), Err(error), "{text}");
        }
        assert_eq!(ServerUrl::parse(&"a".repeat(HOST_LEN_MAX + 1)), Err(Host));
        assert!(ServerUrl::parse(&"a".repeat(HOST_LEN_MAX)).is_ok());
    }

    #[test]
    fn reads_lists() {
        let list = ServerList::parse("nats://u:p@a:1, tls://b:2 ,a:1,nats://u:p@c").expect("a good list");
        assert_eq!(list.servers, vec![addr("a", 1, false), addr("b", 2, true), addr("c", 4222, false)]);
        assert_eq!(list.user_info, user_password("u", "p"));
        assert_eq!(ServerList::parse("a,,b"), Err(AddressError::Empty));
        assert_eq!(ServerList::parse("a,"), Err(AddressError::Empty));
        assert_eq!(ServerList::parse("u:p@a,u:q@b"), Err(AddressError::ListUserInfo));
        // A comma in a token that was not escaped must not turn half of the token into a host.
        assert_eq!(ServerList::parse("nats://tok,en@a"), Err(AddressError::ListUserInfo));
        let long: Vec<_> = (0..=SERVERS_MAX).map(|index| format!("h{index}")).collect();
        assert_eq!(ServerList::parse(&long.join(",")), Err(AddressError::ListTooLong));
        assert!(ServerList::parse(&long[1..].join(",")).is_ok());
    }

    #[test]
    fn announced_neighbours_are_host_and_port_and_nothing_else() {
        assert_eq!(ServerAddr::parse_host_port("10.0.0.2:4222"), Ok(addr("10.0.0.2", 4222, false)));
        assert_eq!(ServerAddr::parse_host_port("[::1]:4222"), Ok(addr("::1", 4222, false)));
        for text in ["h", "nats://h:1", "u@h:1", "h:1/x", "h:0", "h:70000", "::1", "h:1\n", ""] {
            assert!(ServerAddr::parse_host_port(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn shows_addresses_and_never_credentials() {
        let url = ServerUrl::parse("tls://canary-user:canary-pass@[::1]:9").expect("a good URL");
        assert_eq!(url.addr.to_string(), "tls://[::1]:9");
        assert!(!format!("{url:?}").contains("canary-pass"), "{url:?}");
        let token = ServerUrl::parse("canary-token@h").expect("a good URL");
        assert!(!format!("{token:?}").contains("canary"), "{token:?}");
        for text in ["nats://canary:canary@h:canary", "canary://canary@canary", "nats://canary:%ca@h"] {
            let error = ServerList::parse(text).expect_err(text);
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }
}
