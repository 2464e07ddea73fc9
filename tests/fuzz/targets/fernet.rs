//! Fernet: what is encrypted is decrypted, and what anybody else wrote is refused without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::fernet::{Key, Keys};
use portcullis::time::Timestamp;

fuzz_target!(|data: &[u8]| {
    let key = Key::parse(b"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").expect("a key of our own");
    let keys = Keys::new([key]).expect("one key");
    let token = keys.encrypt(data, Timestamp::from_unix_seconds(1_767_225_600), [7; 16]);
    assert_eq!(keys.decrypt(token.as_bytes(), None).as_deref(), Ok(data));
    assert_eq!(keys.decrypt_stored(token.as_bytes(), None).as_deref(), Ok(data));
    if let Ok(plain) = keys.decrypt_stored(data, None) {
        assert!(plain.len() < data.len());
    }
    let _ = Key::parse(data);
});
