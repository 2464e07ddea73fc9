//! The one form of a request that rules and upstream both see: path, host, client address; and the headers that only
//! the proxy may say.

pub mod client;
pub mod host;
pub mod networks;
pub mod origin;
pub mod path;
mod rejection;
mod shown;
pub mod strip;

pub use rejection::Rejection;
pub use shown::shown;
