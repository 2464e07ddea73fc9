//! Shared data that cannot be read.

use super::*;
use crate::check::{CertificateAttribute, Connection, Host, Telemetry};
use crate::jose::verify::{HostVerifier, NoHost};
use crate::store::{Cas, SharedStore, StoreError, Stored, Write};

/// Shared data that fails.
struct Broken(NativeHost);

impl SharedStore for Broken {
    fn get(&self, _: &str) -> Result<Option<Stored>, StoreError> {
        Err(StoreError { status: 10 })
    }

    fn create(&self, _: &str, _: &[u8]) -> Result<Write, StoreError> {
        Err(StoreError { status: 10 })
    }

    fn replace(&self, _: &str, _: &[u8], _: Cas) -> Result<Write, StoreError> {
        Err(StoreError { status: 10 })
    }

    fn put(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError { status: 10 })
    }
}

impl Host for Broken {
    fn store(&self) -> &dyn SharedStore {
        self
    }

    fn verifier(&self) -> &dyn HostVerifier {
        &NoHost
    }

    fn random_block(&self) -> Option<[u8; 16]> {
        None
    }
}

impl Connection for Broken {
    fn source_address(&self) -> Option<Vec<u8>> {
        self.0.source_address()
    }

    fn peer_certificate(&self, attribute: CertificateAttribute) -> Option<Vec<u8>> {
        self.0.peer_certificate(attribute)
    }
}

impl Telemetry for Broken {
    fn count(&self, counter: Counter, n: u64) {
        self.0.count(counter, n);
    }

    fn gauge(&self, _gauge: Gauge, _value: u64) {}

    fn log(&self, severity: Severity, line: &str) {
        self.0.log(severity, line);
    }
}

#[test]
fn an_address_that_cannot_be_looked_up_is_refused_unless_monitored() {
    for (mode, expected) in [("enforce", 503), ("monitor", 200)] {
        let host = NativeHost { source_address: Some("203.0.113.7:1".to_owned()), ..NativeHost::default() };
        let Assembled { pipeline, mut worker, .. } = configured(&host, json!({ "intrusion": { "mode": mode } }));
        let broken = Broken(host);
        let head =
            Head::from_pairs([(":method", "GET"), (":path", "/public/x"), (":authority", "a"), (":scheme", "https")]);
        let now = Timestamp::from_unix_seconds(START);
        let (passage, next) = pipeline.begin(head, true, &mut Env { now, host: &broken, worker: &mut worker });
        let outcome = Outcome { passage, next };
        assert_eq!(outcome.status(), expected);
        assert_eq!(outcome.event("DEGRADED").unwrap()["reason"], "shared_data_unavailable");
    }
}
