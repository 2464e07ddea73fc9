//! The configuration compiled once: what serving a request reads, complete, with nothing left to merge.

pub mod roles;
pub mod route_table;
