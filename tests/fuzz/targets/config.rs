//! Configurations: what cannot be read has errors to say, and what has none can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::{Config, plugin_configuration, read};

fuzz_target!(|bytes: &[u8]| {
    let json = plugin_configuration(bytes);
    let read = read(&json);
    // What can be read may still contradict itself, which only the list of all errors says.
    assert!(Config::from_json(&json).is_ok() || read.is_err());
});
