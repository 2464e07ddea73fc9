//! Paths, hosts and client addresses: the canonical form of a canonical form is itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::canonical::client::ClientAddress;
use portcullis::canonical::host::CanonicalHost;
use portcullis::canonical::path::{CanonicalPath, PathOptions};

fuzz_target!(|text: &[u8]| {
    for allow_parameters in [false, true] {
        let options = PathOptions { allow_parameters };
        let Ok(path) = CanonicalPath::parse(b"GET", text, options) else { continue };
        let again = CanonicalPath::parse(b"GET", path.target().as_bytes(), options).expect("a canonical path is one");
        assert_eq!(again.target(), path.target());
        assert!(!again.is_rewritten());
        assert!(path.segments().all(|segment| !matches!(&*segment.value(), "." | "..")));
        assert!(path.target().len() <= 3 * text.len());
    }
    if let Ok(host) = CanonicalHost::parse(text) {
        let name = host.name().to_owned();
        assert!(!name.is_empty());
    }
    let _ = ClientAddress::parse(text);
});
