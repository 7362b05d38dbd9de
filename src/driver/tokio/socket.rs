//! Dialling, and the socket that comes of it. TLS will stand here.

use std::format;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::string::{String, ToString};
use std::task::{Context, Poll};
use std::vec::Vec;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};

use crate::connection::{LinkError, ServerAddr, TlsError, TlsOptions, Transmit};

/// Slices handed to one write.
const SLICES: usize = 32;
/// Addresses of one name that are dialled at most.
const ADDRESSES_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Socket(TcpStream);

impl Socket {
    /// Looks the host up and dials its addresses, the one numbered `turn` modulo their count first.
    pub(super) async fn dial(addr: ServerAddr, turn: u32) -> Result<Self, LinkError> {
        let failed = |error: io::Error| LinkError::Transport(format!("{addr}: {error}"));
        let mut addresses: Vec<_> =
            lookup_host((addr.host.as_str(), addr.port)).await.map_err(failed)?.take(ADDRESSES_MAX).collect();
        let count = addresses.len().max(1);
        addresses.rotate_left(turn as usize % count);
        Self::connect(&addresses).await.map_err(failed)
    }

    /// Dials one address after the other until one takes the call. One that does not even refuse it costs the whole dial:
    /// the next dial begins with the next address.
    async fn connect(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self(stream));
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Shakes hands over this socket.
    pub(super) async fn secure(self, _options: TlsOptions, _server_name: String) -> Result<Self, LinkError> {
        Err(LinkError::Tls(TlsError::NotBuilt))
    }

    /// Reads once. `Ok(0)` is the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, LinkError>> {
        let mut buf = ReadBuf::new(buf);
        Pin::new(&mut self.0).poll_read(cx, &mut buf).map(|read| match read {
            Ok(()) => Ok(buf.filled().len()),
            Err(error) => Err(broken(error)),
        })
    }

    /// Writes once, and notes in `transmit` what was taken.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &mut Transmit,
    ) -> Poll<Result<usize, LinkError>> {
        let mut slices = [&[][..]; SLICES];
        let filled = transmit.slices(&mut slices);
        let written = match filled {
            1 => Pin::new(&mut self.0).poll_write(cx, slices[0]),
            _ => {
                let slices = slices.map(IoSlice::new);
                Pin::new(&mut self.0).poll_write_vectored(cx, &slices[..filled])
            }
        };
        written.map(|written| match written {
            Ok(len) => {
                transmit.advance(len);
                Ok(len)
            }
            Err(error) => Err(broken(error)),
        })
    }
}

/// A peer that is gone is gone, whether it said so with FIN or with RST.
fn broken(error: io::Error) -> LinkError {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            LinkError::Closed { hint: None }
        }
        _ => LinkError::Transport(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test]
    async fn an_address_that_refuses_is_not_the_last_one() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let open_at = open.local_addr().unwrap();
        let socket = Socket::connect(&[closed, open_at]).await.unwrap();
        assert_eq!(socket.0.peer_addr().unwrap(), open_at);
        let refused = Socket::connect(&[closed, closed]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(Socket::connect(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
