//! What is demanded of TLS: flags over the context over the file, each option by itself.

use std::path::{Path, PathBuf};
use std::prelude::v1::*;

use super::context::Context;
use super::error::ConfigError;
use super::field::{Desk, Field};
use super::flags::Flags;
use super::written::{ConfigWritten, Text};
use crate::connection::{ServerAddr, TlsOptions};

/// Decides what is demanded. A section `tls` in the file is a demand, whatever stands in it.
pub(super) fn choose(
    desk: &Desk<'_>,
    flags: &Flags,
    context: Option<&Context<'_>>,
    config: &ConfigWritten,
) -> Result<TlsOptions, ConfigError> {
    let written = config.tls.as_ref().map(|tls| &tls.value);
    let file = |flag: (&'static str, Option<&Path>), in_context: &str, name: &str, text: Option<&Text>| {
        let of_context = match (flag.1, context) {
            (None, Some(context)) => context.path(in_context)?,
            _ => None,
        };
        match of_context {
            None => desk.path_field(flag, &desk.key(&format!("tls.{name}")), text.unwrap_or(&None)),
            found => Ok(found),
        }
    };
    let ca = file(("--tls-ca", flags.tls_ca.as_deref()), "ca", "ca_file", written.map(|tls| &tls.ca_file))?;
    let cert = file(("--tls-cert", flags.tls_cert.as_deref()), "cert", "cert_file", written.map(|tls| &tls.cert_file))?;
    let key = file(("--tls-key", flags.tls_key.as_deref()), "key", "key_file", written.map(|tls| &tls.key_file))?;
    match (&cert, &key) {
        (Some((cert, _)), None) => return Err(cert.invalid("a client certificate without its key")),
        (None, Some((key, _))) => return Err(key.invalid("a key without the certificate that it belongs to")),
        _ => {}
    }
    let mut first = flags.tls_first || context.map_or(Ok(false), |context| context.truth("tls_first"))?;
    let mut server_name = None;
    if let Some(tls) = written {
        first |= desk.file(&desk.key("tls.first"), &tls.first)?.map_or(Ok(false), |field| field.truth())?;
        server_name = desk.file(&desk.key("tls.server_name"), &tls.server_name)?.map(host).transpose()?;
    }
    Ok(TlsOptions {
        required: written.is_some(),
        first,
        server_name,
        ca_file: ca.map(text).transpose()?,
        cert_file: cert.map(text).transpose()?,
        key_file: key.map(text).transpose()?,
    })
}

fn text((field, path): (Field, PathBuf)) -> Result<String, ConfigError> {
    path.into_os_string().into_string().map_err(|_| field.invalid("a path that is not UTF-8"))
}

/// A host name or an IP address, as certificates have them.
fn host(field: Field) -> Result<String, ConfigError> {
    let field = field.literal()?;
    let in_brackets =
        if field.text.contains(':') { format!("[{}]:1", field.text) } else { format!("{}:1", field.text) };
    match ServerAddr::parse_host_port(&in_brackets) {
        Ok(addr) => Ok(addr.host),
        Err(_) => Err(field.invalid(format!("{:?} is neither a host name nor an IP address", field.text))),
    }
}
