//! Configurations: the first error is one of all, and what is accepted has none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::{Config, every_error, plugin_configuration};

fuzz_target!(|bytes: &[u8]| {
    let json = plugin_configuration(bytes);
    let errors = every_error(&json);
    assert_eq!(Config::from_json(&json).is_ok(), errors.is_empty());
});
