//! What the command line tool does, one command a file.

pub mod scan;
