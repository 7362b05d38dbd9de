//! How runs fail, row by row: each test bears the name of the failure that it plays, against a real server or a real cluster
//! of three, and ends with the receipt, the metrics and the stream, as another client reads it, saying the same.

mod agree;
mod cluster;
mod refused;
mod server;
mod sink;
mod stream;
#[path = "../support/mod.rs"]
mod support;
