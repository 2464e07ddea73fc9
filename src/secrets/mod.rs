//! Secrets: where their values come from, how long they are good, and who has to notice that they changed.
//!
//! A [`SecretSlot`] stands for one entry of `secrets`. It holds the current value and, for some time after a rotation, the
//! one before: nobody signs with a value before all others know it. Its version counts the changes. Whoever serves with
//! something made of secrets (keyed states, digests) holds it as a [`Derived`], which is made again when a version has
//! changed: one comparison per request.
//!
//! Values of `env` and `inline` are there from the start. Those of a store ([`source`]) arrive later, by [`refresh`] in the
//! background or by a request that waits for one. Each worker fetches its own: no value is ever in shared data.

mod aws;
pub mod derived;
mod kubernetes;
pub mod refresh;
mod sigv4;
pub mod slot;
pub mod source;
pub mod value;
mod vault;

pub use derived::Derived;
pub use slot::SecretSlot;
pub use value::SecretValue;
