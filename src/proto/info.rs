//! INFO: what a server says of itself, as far as a client may believe it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;

use serde_json::{Map, Value};

use super::json::{self, JsonError};

/// The most `connect_urls` that are kept.
pub const CONNECT_URLS_MAX: usize = 256;
/// The longest nonce that is taken, bytes. The server's have 15.
pub const NONCE_LEN_MAX: usize = 1024;
/// The most that is kept of a name, version or the like, characters.
const TEXT_LEN_MAX: usize = 256;
/// What a server takes when it says nothing.
const MAX_PAYLOAD_DEFAULT: usize = 1 << 20;

/// A server's INFO. Control characters in its texts are escaped, so that they can be logged as they are.
///
/// The address that a server gives for itself is left out on purpose: nothing may be verified against it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerInfo {
    /// The server's identity, new at every start.
    pub server_id: String,
    /// The server's name.
    pub server_name: String,
    /// The server's version.
    pub version: String,
    /// The protocol version; 1 and more can send INFO at any time. One that does not say is taken for 1.
    pub proto: u8,
    /// Whether the server takes headers.
    pub headers: bool,
    /// The largest message it takes, headers and payload together, bytes.
    pub max_payload: usize,
    /// Whether JetStream is enabled.
    pub jetstream: bool,
    /// Whether CONNECT must carry credentials.
    pub auth_required: bool,
    /// Whether the connection must go on under TLS.
    pub tls_required: bool,
    /// Whether it can.
    pub tls_available: bool,
    /// Lame duck mode: the server will stop soon, clients should leave.
    pub ldm: bool,
    /// Whether this INFO answers a CONNECT.
    pub connect_info: bool,
    /// What to sign with the seed: these bytes as they are.
    pub nonce: Option<String>,
    /// Other servers of the cluster, `host:port` each; entries that are anything else were dropped.
    pub connect_urls: Vec<String>,
    /// The server's number for this connection.
    pub client_id: u64,
    /// The JetStream domain.
    pub domain: Option<String>,
    /// The cluster's name.
    pub cluster: Option<String>,
    /// The level of the JetStream API; 0 where the server is too old to tell.
    pub api_lvl: u64,
}

/// Why an INFO cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum InfoError {
    /// No JSON object.
    Json,
    /// A field is there twice.
    DuplicateField,
    /// This field has another type than it must have, or is out of range.
    Field(&'static str),
}

impl ServerInfo {
    /// Reads the JSON of an INFO. Fields that are not there have their zero value, `max_payload` 1 MiB, `proto`
    /// 1; unknown fields are ignored.
    ///
    /// # Errors
    /// See [`InfoError`]. A first INFO like that ends the connection attempt, a later one is best ignored.
    pub fn parse(json: &[u8]) -> Result<Self, InfoError> {
        let fields = json::object(json).map_err(|error| match error {
            JsonError::NotAnObject => InfoError::Json,
            JsonError::Double => InfoError::DuplicateField,
        })?;
        let max_payload = match unsigned(&fields, "max_payload")? {
            Some(max) => usize::try_from(max).map_err(|_| InfoError::Field("max_payload"))?,
            None => MAX_PAYLOAD_DEFAULT,
        };
        let proto = unsigned(&fields, "proto")?.unwrap_or(1);
        Ok(Self {
            server_id: text(&fields, "server_id")?.unwrap_or_default(),
            server_name: text(&fields, "server_name")?.unwrap_or_default(),
            version: text(&fields, "version")?.unwrap_or_default(),
            proto: u8::try_from(proto).map_err(|_| InfoError::Field("proto"))?,
            headers: flag(&fields, "headers")?,
            max_payload,
            jetstream: flag(&fields, "jetstream")?,
            auth_required: flag(&fields, "auth_required")?,
            tls_required: flag(&fields, "tls_required")?,
            tls_available: flag(&fields, "tls_available")?,
            ldm: flag(&fields, "ldm")?,
            connect_info: flag(&fields, "connect_info")?,
            nonce: nonce(&fields)?,
            connect_urls: connect_urls(&fields)?,
            client_id: unsigned(&fields, "client_id")?.unwrap_or(0),
            domain: text(&fields, "domain")?,
            cluster: text(&fields, "cluster")?,
            api_lvl: unsigned(&fields, "api_lvl")?.unwrap_or(0),
        })
    }
}

/// A field that is there and not null.
fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn flag(fields: &Map<String, Value>, name: &'static str) -> Result<bool, InfoError> {
    field(fields, name).map_or(Ok(false), |value| value.as_bool().ok_or(InfoError::Field(name)))
}

fn unsigned(fields: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, InfoError> {
    field(fields, name).map(|value| value.as_u64().ok_or(InfoError::Field(name))).transpose()
}

/// Escaped and cut to [`TEXT_LEN_MAX`] characters.
fn text(fields: &Map<String, Value>, name: &'static str) -> Result<Option<String>, InfoError> {
    let Some(value) = field(fields, name) else { return Ok(None) };
    let text = value.as_str().ok_or(InfoError::Field(name))?;
    let mut shown = String::new();
    for c in text.chars().take(TEXT_LEN_MAX) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Ok(Some(shown))
}

fn nonce(fields: &Map<String, Value>) -> Result<Option<String>, InfoError> {
    let Some(value) = field(fields, "nonce") else { return Ok(None) };
    match value.as_str() {
        Some(nonce) if nonce.len() <= NONCE_LEN_MAX => Ok((!nonce.is_empty()).then(|| nonce.into())),
        _ => Err(InfoError::Field("nonce")),
    }
}

fn connect_urls(fields: &Map<String, Value>) -> Result<Vec<String>, InfoError> {
    let Some(value) = field(fields, "connect_urls") else { return Ok(Vec::new()) };
    let urls = value.as_array().ok_or(InfoError::Field("connect_urls"))?;
    let hosts = urls.iter().filter_map(Value::as_str).filter(|url| is_host_port(url));
    Ok(hosts.take(CONNECT_URLS_MAX).map(String::from).collect())
}

/// A name, an IPv4 address or an IPv6 address in brackets, and a port: nothing else that a URL can have.
fn is_host_port(url: &str) -> bool {
    let Some((host, port)) = url.rsplit_once(':') else { return false };
    if port.starts_with('+') || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return false;
    }
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            (1..=253).contains(&host.len()) && host.bytes().all(is_name)
        }
    }
}

impl fmt::Display for InfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json => f.write_str("the server's INFO is no JSON object"),
            Self::DuplicateField => f.write_str("the server's INFO has a field twice"),
            Self::Field(name) => write!(f, "{name} in the server's INFO is not of the type or size that it must be"),
        }
    }
}

impl core::error::Error for InfoError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn parsed(json: &str) -> ServerInfo {
        ServerInfo::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn the_real_server() {
        let info = parsed(concat!(
            r#"{"server_id":"NB2Q","server_name":"a1","version":"2.15.1","proto":1,"git_commit":"b2fd3ef","go":"go1.27.2","#,
            r#""host":"127.0.0.1","port":14001,"headers":true,"max_payload":1048576,"jetstream":true,"client_id":6,"#,
            r#""client_ip":"127.0.0.1","cluster":"k","connect_urls":["127.0.0.1:14260","127.0.0.1:14261"],"#,
            r#""connect_info":true,"remote_account":"$G","nonce":"y7Md0mA0d62U9ng","api_lvl":5,"xkey":"XBLQ"} "#
        ));
        assert_eq!(info.server_id, "NB2Q");
        assert_eq!(info.server_name, "a1");
        assert_eq!(info.version, "2.15.1");
        assert_eq!((info.proto, info.headers, info.jetstream, info.client_id, info.api_lvl), (1, true, true, 6, 5));
        assert_eq!(info.max_payload, 1_048_576);
        assert_eq!(info.connect_urls, ["127.0.0.1:14260", "127.0.0.1:14261"]);
        assert_eq!(info.nonce.as_deref(), Some("y7Md0mA0d62U9ng"));
        assert_eq!(info.cluster.as_deref(), Some("k"));
        assert_eq!(info.domain, None);
        assert!(info.connect_info);
        assert!(!info.ldm && !info.auth_required && !info.tls_required && !info.tls_available);
    }

    #[test]
    fn what_is_not_said_has_its_zero_value() {
        let info = parsed(r#"{"server_id":null,"nonce":""}"#);
        assert_eq!(info.max_payload, MAX_PAYLOAD_DEFAULT);
        assert_eq!((info.proto, info.headers, info.nonce), (1, false, None));
        assert!(parsed(r#"{"ldm":true}"#).ldm);
    }

    #[test]
    fn no_json_no_info() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
        for json in ["", "x", "{", "[]", "1", r#"{"a":1e400}"#, r#"{"a":1}}"#, "{\"a\":\"\n\"}", &deep] {
            assert_eq!(ServerInfo::parse(json.as_bytes()), Err(InfoError::Json), "{json:.40}");
        }
        assert_eq!(ServerInfo::parse(b"{\"server_id\":\"\xff\"}"), Err(InfoError::Json));
    }

    #[test]
    fn a_field_twice_is_an_error() {
        for json in [r#"{"a":1,"a":1}"#, r#"{"ldm":true,"x":{"y":1},"\u006cdm":false}"#] {
            assert_eq!(ServerInfo::parse(json.as_bytes()), Err(InfoError::DuplicateField), "{json}");
        }
        parsed(r#"{"a":{"b":1,"c":[{"d":2}]},"e":"x:\"y\":z\\","f":["a:b"]}"#);
    }

    #[test]
    fn wrong_types_and_sizes() {
        for (json, name) in [
            (r#"{"server_id":1}"#, "server_id"),
            (r#"{"headers":"true"}"#, "headers"),
            (r#"{"max_payload":-1}"#, "max_payload"),
            (r#"{"max_payload":1.5}"#, "max_payload"),
            (r#"{"max_payload":"1"}"#, "max_payload"),
            (r#"{"client_id":18446744073709551616}"#, "client_id"),
            (r#"{"proto":256}"#, "proto"),
            (r#"{"nonce":5}"#, "nonce"),
            (r#"{"connect_urls":"a:1"}"#, "connect_urls"),
        ] {
            assert_eq!(ServerInfo::parse(json.as_bytes()), Err(InfoError::Field(name)), "{json}");
        }
        let nonce = format!(r#"{{"nonce":"{}"}}"#, "n".repeat(NONCE_LEN_MAX + 1));
        assert_eq!(ServerInfo::parse(nonce.as_bytes()), Err(InfoError::Field("nonce")));
        assert_eq!(parsed(r#"{"max_payload":0}"#).max_payload, 0);
    }

    #[test]
    fn the_nonce_is_signed_as_decoded() {
        assert_eq!(parsed(r#"{"nonce":"a\u00fcb"}"#).nonce.as_deref(), Some("aüb"));
    }

    #[test]
    fn only_host_and_port_are_kept_of_connect_urls() {
        let info = parsed(concat!(
            r#"{"connect_urls":["a:1","nats://a:1","u@a:1","u:p@a:1","a:1/x","a","a:","a:0","a:70000","a:+1","a:-1",":1","#,
            r#""::1:4222","[::1]:4222","[::1","[x]:1","a b:1","a\n:1","10.0.0.1:65535",7,null,"ä:1","_n-1.example:4222"]}"#
        ));
        assert_eq!(info.connect_urls, ["a:1", "[::1]:4222", "10.0.0.1:65535", "_n-1.example:4222"]);
        let many: Vec<_> = (0..10_000).map(|n| format!("\"a{n}:1\"")).collect();
        let info = parsed(&format!(r#"{{"connect_urls":[{}]}}"#, many.join(",")));
        assert_eq!(info.connect_urls.len(), CONNECT_URLS_MAX);
        assert_eq!(info.connect_urls[255], "a255:1");
    }

    #[test]
    fn names_can_be_logged() {
        let info = parsed(r#"{"server_name":"\u001b[31mred\r\nERROR"}"#);
        assert_eq!(info.server_name, "\\u{1b}[31mred\\r\\nERROR");
        let long = parsed(&format!(r#"{{"version":"{}"}}"#, "é".repeat(100_000)));
        assert_eq!(long.version.chars().count(), TEXT_LEN_MAX);
    }
}
