//! Client certificates: who holds the one that was validated, and whether that is enough.
//!
//! A certificate that was only presented proves nothing: the listener may take any. Envoy says whether it verified one
//! (attribute `connection.peer_certificate_valid`), but for resumed TLS sessions; otherwise the operator must have.
//! `X-Forwarded-Client-Cert` counts where a trusted proxy may forward it, and is then about that proxy's client.

use std::rc::Rc;

use crate::check::{CertificateAttribute, Check, Connection, Env, Step};
use crate::checks::authenticate::{Attempt, Credential, Told};
use crate::denial::{AuthReason, CertificateReason};
use crate::exchange::{Exchange, HeaderEdit, Identity, Method};
use crate::peer::{self, Names, Peer, spiffe, xfcc};

/// Whose certificates count.
#[derive(Debug)]
pub struct Certificates {
    /// Only SPIFFE IDs of these; empty: whoever holds a certificate.
    pub trust_domains: Vec<Box<str>>,
    /// The operator states that every listener verifies: then whatever was presented was verified.
    pub listener_verifies: bool,
    /// The header that names the peer to the upstream.
    pub header: Rc<str>,
}

/// Reads who the peer is, for the checks that follow, and tells the upstream. It refuses nobody.
#[derive(Debug)]
pub struct ReadPeer {
    /// Whose certificates count.
    pub certificates: Rc<Certificates>,
    /// A check that follows needs the digest.
    pub digest: bool,
}

/// The certificate as credentials.
pub struct ClientCertificate {
    /// Nothing else may take its place.
    pub needed: bool,
    /// What the upstream is told of a caller that is known by it alone.
    pub told: Rc<Told>,
}

impl Check for ReadPeer {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let read = self.forwarded(exchange, env.host).unwrap_or_else(|| self.connected(env.host));
        let (peer, digest) = match read {
            Ok((peer, digest)) => (peer, digest),
            Err(reason) => (Err(reason), None),
        };
        if let Ok(peer) = &peer {
            let name = peer.name().as_bytes().to_vec();
            exchange.request_edits.push(HeaderEdit::Set(self.certificates.header.clone(), name));
        }
        (exchange.peer, exchange.peer_digest) = (peer, digest);
        Step::Pass
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

impl Credential for ClientCertificate {
    fn attempt(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Attempt {
        match &exchange.peer {
            Ok(peer) => {
                let mut identity = Identity::new(Method::Mtls, Rc::from("mtls"), peer.name().to_owned());
                identity.headers = self.told.headers(&identity);
                Attempt::Verified(Rc::new(identity))
            }
            Err(CertificateReason::Missing | CertificateReason::Unverified) if !self.needed => Attempt::Absent,
            Err(reason) => Attempt::Refused(AuthReason::Certificate(*reason)),
        }
    }
}

/// A validated certificate: its holder, if that counts, and its digest, which is true of it in any case.
type Validated = (Result<Peer, CertificateReason>, Option<[u8; 32]>);

impl ReadPeer {
    /// What a trusted proxy says of its client; `None` where none forwards anything.
    fn forwarded(
        &self,
        exchange: &Exchange,
        connection: &(impl Connection + ?Sized),
    ) -> Option<Result<Validated, CertificateReason>> {
        if !exchange.forwarded || !exchange.head.contains(xfcc::HEADER) {
            return None;
        }
        let own = digest(connection);
        match xfcc::nearest(&exchange.head, own.as_ref()) {
            Ok(names) => names.map(|names| Ok((self.certificates.admit(&names), names.digest))),
            Err(xfcc::Malformed) => Some(Err(CertificateReason::Malformed)),
        }
    }

    /// What the connection's own certificate says, as few reads as that takes.
    fn connected(&self, connection: &(impl Connection + ?Sized)) -> Result<Validated, CertificateReason> {
        self.certificates.is_validated(connection)?;
        let read = |attribute| connection.peer_certificate(attribute).unwrap_or_default();
        let uri = read(CertificateAttribute::Uri);
        let named = spiffe::is_meant(&uri);
        let subject = if named { Vec::new() } else { read(CertificateAttribute::Subject) };
        let digest = (self.digest || (!named && subject.is_empty())).then(|| digest(connection)).flatten();
        let names = Names { uri: &uri, several_uris: false, subject: &subject, digest };
        Ok((self.certificates.admit(&names), digest))
    }
}

impl Certificates {
    fn is_validated(&self, connection: &(impl Connection + ?Sized)) -> Result<(), CertificateReason> {
        let says = |attribute| connection.peer_certificate(attribute).map(|value| value == [1]);
        if !self.listener_verifies && says(CertificateAttribute::Validated) == Some(true) {
            return Ok(());
        }
        match (says(CertificateAttribute::Presented), self.listener_verifies) {
            (Some(true), true) => Ok(()),
            (Some(true), false) => Err(CertificateReason::Unverified),
            _ => Err(CertificateReason::Missing),
        }
    }

    /// The holder, if it counts.
    fn admit(&self, names: &Names<'_>) -> Result<Peer, CertificateReason> {
        let peer = Peer::of(names).map_err(|_| CertificateReason::Malformed)?;
        let trusts = |domain: &str| self.trust_domains.iter().any(|trusted| **trusted == *domain);
        let counts = self.trust_domains.is_empty() || peer.spiffe_id().is_some_and(|id| trusts(id.trust_domain()));
        if counts { Ok(peer) } else { Err(CertificateReason::UntrustedDomain) }
    }
}

fn digest(connection: &(impl Connection + ?Sized)) -> Option<[u8; 32]> {
    connection.peer_certificate(CertificateAttribute::Digest).and_then(|hex| peer::digest(&hex))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A connection, and what was asked of it.
    #[derive(Default)]
    struct Tls {
        says: Vec<(CertificateAttribute, &'static str)>,
        asked: RefCell<Vec<CertificateAttribute>>,
    }

    impl Connection for Tls {
        fn source_address(&self) -> Option<Vec<u8>> {
            None
        }

        fn peer_certificate(&self, attribute: CertificateAttribute) -> Option<Vec<u8>> {
            self.asked.borrow_mut().push(attribute);
            self.says.iter().find(|(known, _)| *known == attribute).map(|(_, value)| value.as_bytes().to_vec())
        }
    }

    const DIGEST: &str = "0909090909090909090909090909090909090909090909090909090909090909";

    fn read(
        reader: &ReadPeer,
        says: &[(CertificateAttribute, &'static str)],
    ) -> (Result<String, CertificateReason>, usize) {
        let tls = Tls { says: says.to_vec(), ..Tls::default() };
        let peer = reader.connected(&tls).and_then(|(peer, _)| peer.map(|peer| peer.name().to_owned()));
        let asked = tls.asked.borrow().len();
        (peer, asked)
    }

    fn reader(trust_domains: &[&str], listener_verifies: bool, digest: bool) -> ReadPeer {
        let trust_domains = trust_domains.iter().map(|domain| Box::from(*domain)).collect();
        let certificates = Rc::new(Certificates { trust_domains, listener_verifies, header: Rc::from("x-auth-peer") });
        ReadPeer { certificates, digest }
    }

    #[test]
    fn a_certificate_that_was_only_presented_does_not_count() {
        use CertificateAttribute::{Presented, Uri, Validated};
        use CertificateReason::{Missing, Unverified};
        let id = (Uri, "spiffe://a/b");
        let named = || Ok("spiffe://a/b".to_owned());
        for (says, silent, stated) in [
            (&[id, (Validated, "\x01"), (Presented, "\x01")][..], named(), named()),
            (&[id, (Validated, "\0"), (Presented, "\x01")], Err(Unverified), named()),
            (&[id, (Presented, "\x01")], Err(Unverified), named()),
            (&[id, (Validated, ""), (Presented, "\x01")], Err(Unverified), named()),
            (&[id, (Validated, "\0"), (Presented, "\0")], Err(Missing), Err(Missing)),
            (&[id], Err(Missing), Err(Missing)),
        ] {
            assert_eq!(read(&reader(&[], false, false), says).0, silent, "{says:?}");
            assert_eq!(read(&reader(&[], true, false), says).0, stated, "{says:?}");
        }
    }

    #[test]
    fn only_identities_of_the_trust_domains_count() {
        use CertificateAttribute::{Subject, Uri, Validated};
        use CertificateReason::{Malformed, UntrustedDomain};
        for (uri, any, trusted) in [
            ("spiffe://a/b", Ok("spiffe://a/b".to_owned()), Ok("spiffe://a/b".to_owned())),
            ("spiffe://b.a/b", Ok("spiffe://b.a/b".to_owned()), Err(UntrustedDomain)),
            ("https://a/b", Ok("CN=x".to_owned()), Err(UntrustedDomain)),
            ("", Ok("CN=x".to_owned()), Err(UntrustedDomain)),
            ("spiffe://a//b", Err(Malformed), Err(Malformed)),
        ] {
            let says = [(Validated, "\x01"), (Uri, uri), (Subject, "CN=x")];
            assert_eq!(read(&reader(&[], false, false), &says).0, any, "{uri}");
            assert_eq!(read(&reader(&["z", "a"], false, false), &says).0, trusted, "{uri}");
        }
    }

    #[test]
    fn reads_no_more_of_the_connection_than_it_needs() {
        use CertificateAttribute::{Digest, Subject, Uri, Validated};
        for (digest, says, reads) in [
            (false, &[(Validated, "\x01"), (Uri, "spiffe://a/b")][..], 2),
            (true, &[(Validated, "\x01"), (Uri, "spiffe://a/b"), (Digest, DIGEST)], 3),
            (false, &[(Validated, "\x01"), (Subject, "CN=x")], 3),
            (false, &[(Validated, "\x01"), (Digest, DIGEST)], 4),
            (true, &[], 2),
        ] {
            assert_eq!(read(&reader(&[], false, digest), says).1, reads, "{says:?}");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_certificate_even_where_its_holder_does_not_count() {
        use CertificateAttribute::{Digest, Uri, Validated};
        let says = vec![(Validated, "\x01"), (Uri, "spiffe://b/c"), (Digest, DIGEST)];
        let (peer, digest) = reader(&["a"], false, true).connected(&Tls { says, ..Tls::default() }).unwrap();
        assert_eq!((peer, digest), (Err(CertificateReason::UntrustedDomain), Some([9; 32])));
    }
}
