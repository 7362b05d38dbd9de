//! connection.

mod address;
mod secret;

pub use address::{AddressError, HOST_LEN_MAX, PORT_DEFAULT, SERVERS_MAX, ServerAddr, ServerList, ServerUrl, UserInfo};
pub use secret::Secret;
