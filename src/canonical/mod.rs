//! Step 1 of a request: the one form of its path, host and client address that every rule, the upstream and every
//! event agree on; and step 4's set of header names that only the proxy may say.

pub mod client;
pub mod host;
pub mod networks;
pub mod path;
pub mod strip;
