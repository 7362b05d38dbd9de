//! What the tests stand on: real servers, a raw client, a proxy that breaks links, and an independent reader.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test program uses a part of this")]

pub mod certs;
pub mod cluster;
#[cfg(feature = "cli")]
pub mod command;
pub mod hand;
#[cfg(feature = "cli")]
pub mod http;
pub mod jwt;
pub mod proxy;
pub mod raw;
pub mod reader;
pub mod server;

pub use certs::{Authority, Identity};
pub use cluster::Cluster;
pub use jwt::{Operator, User};
pub use proxy::{Direction, Proxy};
pub use raw::Raw;
pub use server::{Server, ServerOptions};
