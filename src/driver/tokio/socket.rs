//! Dialling, and the socket that comes of it. TLS will stand here.

use std::format;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::string::ToString;
use std::task::{Context, Poll};
use std::vec::Vec;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};

use crate::connection::{LinkError, ServerAddr, Transmit};

/// Slices handed to one write.
const SLICES: usize = 32;

#[derive(Debug)]
pub(super) struct Socket(TcpStream);

impl Socket {
    /// Looks the host up and dials the address numbered `turn` modulo their count.
    pub(super) async fn dial(addr: ServerAddr, turn: u32) -> Result<Self, LinkError> {
        let failed = |error: io::Error| LinkError::Transport(format!("{}: {error}", addr_text(&addr)));
        let addresses: Vec<_> = lookup_host((addr.host.as_str(), addr.port)).await.map_err(failed)?.collect();
        let Some(address) = addresses.get(turn as usize % addresses.len().max(1)) else {
            return Err(LinkError::Transport(format!("{}: the name stands for no address", addr_text(&addr))));
        };
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self(stream))
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

fn addr_text(addr: &ServerAddr) -> std::string::String {
    addr.to_string()
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
