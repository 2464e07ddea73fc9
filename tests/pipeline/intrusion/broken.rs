//! Shared data that cannot be read.

use super::*;

#[test]
fn an_address_that_cannot_be_looked_up_is_refused_unless_monitored() {
    for (mode, expected) in [("enforce", 503), ("monitor", 200)] {
        let mut host = NativeHost { source_address: Some("203.0.113.7:1".to_owned()), ..NativeHost::default() };
        let Assembled { pipeline, mut worker, .. } = configured(&host, json!({ "intrusion": { "mode": mode } }));
        host.without_store = true;
        let head =
            Head::from_pairs([(":method", "GET"), (":path", "/public/x"), (":authority", "a"), (":scheme", "https")]);
        let now = Timestamp::from_unix_seconds(START);
        let (passage, next) = pipeline.begin(head, true, &mut Env { now, host: &host, worker: &mut worker });
        let outcome = Outcome { passage, next };
        assert_eq!(outcome.status(), expected);
        assert_eq!(outcome.event("DEGRADED").unwrap()["reason"], "shared_data_unavailable");
    }
}
