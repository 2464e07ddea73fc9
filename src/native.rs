//! A host in this process: for the command line tool and for tests. Shared data in memory, events and counts kept.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::check::{CertificateAttribute, Connection, Host, Telemetry};
use crate::event::Severity;
use crate::jose::verify::{HostVerifier, NoHost};
use crate::metrics::{Counter, Gauge};
use crate::store::{Cas, MemoryStore, SharedStore, StoreError, Stored, Write};

/// The host.
#[derive(Default)]
pub struct NativeHost {
    /// Shared data.
    pub store: MemoryStore,
    /// It can neither read nor write shared data.
    pub without_store: bool,
    /// `source.address`; `None` for a peer without one.
    pub source_address: Option<String>,
    /// What the TLS session says of the peer's certificate.
    pub peer_certificate: HashMap<CertificateAttribute, Vec<u8>>,
    /// How often random bytes were asked for. They are the same in every run: nothing of this host leaves the process.
    pub random: Cell<u64>,
    /// It has no random bytes.
    pub without_random: bool,
    /// Lines that were logged.
    pub lines: RefCell<Vec<String>>,
    /// What was counted.
    pub counts: RefCell<HashMap<Counter, u64>>,
    /// Where each measure stands.
    pub gauges: RefCell<HashMap<Gauge, u64>>,
}

impl Host for NativeHost {
    fn store(&self) -> &dyn SharedStore {
        if self.without_store { &Unreachable } else { &self.store }
    }

    fn verifier(&self) -> &dyn HostVerifier {
        &NoHost
    }

    fn random_block(&self) -> Option<[u8; 16]> {
        self.random.set(self.random.get() + 1);
        let count = u128::from(self.random.get());
        (!self.without_random).then(|| (count << 64 | count.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_le_bytes())
    }
}

/// Shared data that cannot be reached.
struct Unreachable;

/// The host's "internal failure" (proxy-wasm ABI 0.2.1).
const FAILED: StoreError = StoreError { status: 10 };

impl SharedStore for Unreachable {
    fn get(&self, _key: &str) -> Result<Option<Stored>, StoreError> {
        Err(FAILED)
    }

    fn create(&self, _key: &str, _value: &[u8]) -> Result<Write, StoreError> {
        Err(FAILED)
    }

    fn replace(&self, _key: &str, _value: &[u8], _cas: Cas) -> Result<Write, StoreError> {
        Err(FAILED)
    }

    fn put(&self, _key: &str, _value: &[u8]) -> Result<(), StoreError> {
        Err(FAILED)
    }
}

impl Connection for NativeHost {
    fn source_address(&self) -> Option<Vec<u8>> {
        self.source_address.clone().map(String::into_bytes)
    }

    fn peer_certificate(&self, attribute: CertificateAttribute) -> Option<Vec<u8>> {
        self.peer_certificate.get(&attribute).cloned()
    }
}

impl Telemetry for NativeHost {
    fn count(&self, counter: Counter, n: u64) {
        *self.counts.borrow_mut().entry(counter).or_default() += n;
    }

    fn gauge(&self, gauge: Gauge, value: u64) {
        self.gauges.borrow_mut().insert(gauge, value);
    }

    fn log(&self, _severity: Severity, line: &str) {
        self.lines.borrow_mut().push(line.to_owned());
    }
}
