//! The command line tool: the same core as the module, for people.
fn main() {}
