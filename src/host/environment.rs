//! What the core sees of the host: shared data, signatures, the connection, logging and counting.

use std::rc::Rc;
use std::time::Duration;

use crate::abi::{self, Level, Metric, Status};
use portcullis::check::{CalloutReply, CertificateAttribute, Connection, Host, Telemetry};
use portcullis::event::Severity;
use portcullis::health::Health;
use portcullis::jose::verify::HostVerifier;
use portcullis::metrics::{self, Counter, Gauge};
use portcullis::store::{Cas, Remembering, SharedStore, StoreError, Stored, Write};

/// The host, with the metrics of one configuration.
pub struct Environment {
    counters: Vec<Option<u32>>,
    gauges: Vec<(Gauge, u32)>,
    callout_failures: Vec<(Rc<str>, u32)>,
    decision_time: Option<u32>,
    shared: Remembering<SharedData>,
}

impl Environment {
    /// Defines every metric: counters stand at zero before the first event.
    pub fn new(service: &str, health: &Health) -> Self {
        let gauges = health.gauges(service).into_iter();
        let gauges = gauges.filter_map(|(gauge, name)| Some((gauge, abi::define_metric(Metric::Gauge, &name)?)));
        let failures = health.clusters.iter().filter_map(|cluster| {
            let id = abi::define_metric(Metric::Counter, &metrics::callout_failures(service, cluster))?;
            Some((cluster.clone(), id))
        });
        let counters = Counter::all().map(|counter| abi::define_metric(Metric::Counter, &counter.name(service)));
        Self {
            counters: counters.collect(),
            gauges: gauges.collect(),
            callout_failures: failures.collect(),
            decision_time: abi::define_metric(Metric::Histogram, &metrics::decision_time(service)),
            shared: Remembering::new(SharedData),
        }
    }

    /// Counts the answer of a cluster, where it is a failure.
    pub fn heard_of(&self, cluster: &Rc<str>, reply: &CalloutReply) {
        if let Some((_, id)) = self.callout_failures.iter().find(|(known, _)| known == cluster && reply.is_failure()) {
            abi::add_to_counter(*id, 1);
        }
    }

    /// Notes how long one request took to decide.
    pub fn decided_in(&self, spent: Duration) {
        if let Some(id) = self.decision_time {
            abi::record_metric(id, u64::try_from(spent.as_micros()).unwrap_or(u64::MAX));
        }
    }
}

impl Host for Environment {
    fn store(&self) -> &dyn SharedStore {
        &self.shared
    }

    fn verifier(&self) -> &dyn HostVerifier {
        self
    }

    /// WASI's `random_get`.
    fn random_block(&self) -> Option<[u8; 16]> {
        let mut block = [0; 16];
        getrandom::getrandom(&mut block).ok()?;
        Some(block)
    }
}

impl Connection for Environment {
    fn source_address(&self) -> Option<Vec<u8>> {
        abi::property(b"source\0address")
    }

    fn peer_certificate(&self, attribute: CertificateAttribute) -> Option<Vec<u8>> {
        let path: &[u8] = match attribute {
            CertificateAttribute::Validated => b"connection\0peer_certificate_valid",
            CertificateAttribute::Presented => b"connection\0mtls",
            CertificateAttribute::Uri => b"connection\0uri_san_peer_certificate",
            CertificateAttribute::Subject => b"connection\0subject_peer_certificate",
            CertificateAttribute::Digest => b"connection\0sha256_peer_certificate_digest",
        };
        abi::property(path)
    }
}

impl Telemetry for Environment {
    fn count(&self, counter: Counter, n: u64) {
        if let Some(Some(id)) = self.counters.get(counter.index()) {
            abi::add_to_counter(*id, n);
        }
    }

    fn gauge(&self, gauge: Gauge, value: u64) {
        if let Some((_, id)) = self.gauges.iter().find(|(known, _)| *known == gauge) {
            abi::record_metric(*id, value);
        }
    }

    fn log(&self, severity: Severity, line: &str) {
        let level = match severity {
            Severity::Info => Level::Info,
            Severity::Warn => Level::Warn,
            Severity::Critical => Level::Critical,
        };
        abi::log(level, line);
    }
}

/// What Envoy never gives as a version: a set with it succeeds only where the key is absent.
const ABSENT: u32 = u32::MAX;

/// The shared data, which needs no configuration.
pub struct SharedData;

impl SharedStore for SharedData {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        match abi::shared_data(key.as_bytes()) {
            Ok((value, version)) => Ok(Cas::new(version).map(|cas| Stored { value, cas })),
            Err(Status::NOT_FOUND) => Ok(None),
            Err(Status(status)) => Err(StoreError { status }),
        }
    }

    fn create(&self, key: &str, value: &[u8]) -> Result<Write, StoreError> {
        written(abi::set_shared_data(key.as_bytes(), value, ABSENT))
    }

    fn replace(&self, key: &str, value: &[u8], cas: Cas) -> Result<Write, StoreError> {
        written(abi::set_shared_data(key.as_bytes(), value, cas.version()))
    }

    /// Version 0 overwrites whatever was there.
    fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        abi::set_shared_data(key.as_bytes(), value, 0).map_err(|Status(status)| StoreError { status })
    }
}

fn written(outcome: Result<(), Status>) -> Result<Write, StoreError> {
    match outcome {
        Ok(()) => Ok(Write::Done),
        Err(Status::CAS_MISMATCH) => Ok(Write::Lost),
        Err(Status(status)) => Err(StoreError { status }),
    }
}

/// Envoy's `verify_signature` (`envoy.source.extensions.common.wasm.VerifySignatureArguments`): hash_function=1,
/// public_key=2 (SPKI DER), signature=3 (ECDSA as DER), text=4; of the result field 1 is the verdict.
impl HostVerifier for Environment {
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], text: &[u8]) -> Option<bool> {
        let mut arguments = Vec::with_capacity(spki_der.len() + signature.len() + text.len() + 32);
        for (field, bytes) in [(1, hash.as_bytes()), (2, spki_der), (3, signature), (4, text)] {
            push_field(&mut arguments, field, bytes);
        }
        let result = abi::call_foreign_function("verify_signature", &arguments).ok()?;
        // Field 1 as a varint. An absent field is false.
        Some(result.get(..2) == Some(&[0x08, 0x01]))
    }
}

/// A length-delimited field (protocol buffers, wire type 2).
fn push_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    let mut length = bytes.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}
