//! The command line tool's commands, each a function that writes to what it is given and returns the exit code.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable,
        clippy::string_slice
    )
)]

pub mod check;
pub mod convert;
pub mod document;
pub mod explain;
mod input;
mod lines;
pub mod options;
pub mod replay;
pub mod scan;
pub mod schema;
pub mod seal;
pub mod sign;
pub mod token;
