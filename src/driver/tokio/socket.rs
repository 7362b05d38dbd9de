//! Dialling, and the socket that comes of it: clear, or under TLS.

#[cfg(feature = "tls")]
use std::boxed::Box;
use std::format;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::string::String;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
#[cfg(feature = "tls")]
use tokio_rustls::client::TlsStream;

#[cfg(not(feature = "tls"))]
use crate::connection::TlsError;
use crate::connection::{LinkError, ServerAddr, TlsOptions, Transmit};
use crate::driver::broken;
#[cfg(feature = "tls")]
use crate::driver::tls;
use crate::driver::transport::{SLICES, in_turn};

#[derive(Debug)]
pub(super) enum Socket {
    Clear(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Looks the host up and dials its addresses, the one numbered `turn` modulo their count first.
    pub(super) async fn dial(addr: ServerAddr, turn: u32) -> Result<Self, LinkError> {
        let failed = |error: io::Error| LinkError::Transport(format!("{addr}: {error}"));
        let found = lookup_host((addr.host.as_str(), addr.port)).await.map_err(failed)?;
        Self::connect(&in_turn(found, turn)).await.map_err(failed)
    }

    /// Dials one address after the other until one takes the call. One that does not even refuse it costs the whole dial:
    /// the next dial begins with the next address.
    async fn connect(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self::Clear(stream));
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Shakes hands over this socket.
    #[cfg(feature = "tls")]
    pub(super) async fn secure(
        self,
        options: TlsOptions,
        server_name: String,
        reading: Arc<()>,
    ) -> Result<Self, LinkError> {
        let Self::Clear(stream) = self else {
            return Err(LinkError::OutOfPlace("a second TLS handshake"));
        };
        Ok(Self::Tls(Box::new(tls::handshake(stream, options, server_name, reading).await?)))
    }

    /// Shakes hands over this socket.
    #[cfg(not(feature = "tls"))]
    pub(super) async fn secure(self, _: TlsOptions, _: String, _: Arc<()>) -> Result<Self, LinkError> {
        Err(LinkError::Tls(TlsError::NotBuilt))
    }

    /// Reads once. `Ok(0)` is the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, LinkError>> {
        let mut buf = ReadBuf::new(buf);
        let read = match self {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, &mut buf),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buf),
        };
        read.map(|read| match read {
            Ok(()) => Ok(buf.filled().len()),
            Err(error) => Err(self.broken(&error)),
        })
    }

    /// Writes once, and notes in `transmit` what was taken. TLS may keep some of it until [`Socket::poll_flush`].
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &mut Transmit,
    ) -> Poll<Result<usize, LinkError>> {
        let mut slices = [&[][..]; SLICES];
        let filled = transmit.slices(&mut slices);
        let written = match self {
            Self::Clear(stream) => write(stream, cx, &slices[..filled]),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => write(stream, cx, &slices[..filled]),
        };
        written.map(|written| match written {
            Ok(len) => {
                transmit.advance(len);
                Ok(len)
            }
            Err(error) => Err(self.broken(&error)),
        })
    }

    /// Writes what TLS has taken and not yet written: the rest of a record, or its own answers. Done at once otherwise.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let flushed = match self {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        flushed.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &io::Error) -> LinkError {
        match self {
            Self::Clear(_) => broken::link_error(error),
            #[cfg(feature = "tls")]
            Self::Tls(_) => tls::link_error(error),
        }
    }
}

fn write(stream: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>, slices: &[&[u8]]) -> Poll<io::Result<usize>> {
    match slices {
        [slice] => Pin::new(stream).poll_write(cx, slice),
        _ => {
            let mut filled = [IoSlice::new(&[]); SLICES];
            filled.iter_mut().zip(slices).for_each(|(to, slice)| *to = IoSlice::new(slice));
            Pin::new(stream).poll_write_vectored(cx, &filled[..slices.len()])
        }
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
        let Socket::Clear(stream) = socket else { panic!("nobody shook hands") };
        assert_eq!(stream.peer_addr().unwrap(), open_at);
        let refused = Socket::connect(&[closed, closed]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(Socket::connect(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
