//! The few DER structures (ITU-T X.690) that a host's verifier wants: public keys as SubjectPublicKeyInfo (RFC 5280
//! section 4.1.2.7) and ECDSA signatures (RFC 3279 section 2.2.3).

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// `rsaEncryption` with its NULL parameters (RFC 3279 section 2.3.1).
const RSA_ALGORITHM: [u8; 15] = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0];
/// `id-ecPublicKey` with `secp256r1` (RFC 5480 section 2.1.1).
const P256_ALGORITHM: [u8; 21] =
    [0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// `id-ecPublicKey` with `secp384r1`.
const P384_ALGORITHM: [u8; 18] =
    [0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 0x05, 0x2b, 0x81, 4, 0, 0x22];

/// An RSA public key of these big-endian numbers.
pub(super) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let numbers = [integer(modulus), integer(exponent)].concat();
    public_key(&RSA_ALGORITHM, &element(SEQUENCE, &numbers))
}

/// A public key on P-256 from its uncompressed SEC1 point.
pub(super) fn p256_public_key(point: &[u8]) -> Vec<u8> {
    public_key(&P256_ALGORITHM, point)
}

/// A public key on P-384 from its uncompressed SEC1 point.
pub(super) fn p384_public_key(point: &[u8]) -> Vec<u8> {
    public_key(&P384_ALGORITHM, point)
}

/// An ECDSA signature of these big-endian numbers.
pub(super) fn ecdsa_signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[integer(r), integer(s)].concat())
}

/// The number without leading zeros; empty for zero.
pub(super) fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn public_key(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let bits = element(BIT_STRING, &[&[0], key].concat());
    element(SEQUENCE, &[algorithm, &bits].concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let digits = trimmed(number);
    // A leading one bit would make it negative; zero still needs a digit.
    let sign: &[u8] = if digits.first().is_none_or(|byte| *byte >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, digits].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = trimmed(&length);
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    match (digits, content.len()) {
        (_, short @ 0..0x80) => out.push(short as u8),
        _ => {
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_integers_as_the_shortest_positive_form() {
        let cases: &[(&[u8], &[u8])] = &[
            (&[], &[2, 1, 0]),
            (&[0, 0], &[2, 1, 0]),
            (&[0x7f], &[2, 1, 0x7f]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 0, 1, 0], &[2, 2, 1, 0]),
        ];
        for (number, der) in cases {
            assert_eq!(integer(number), *der);
        }
    }

    #[test]
    fn writes_lengths_in_every_form() {
        for (length, head) in [(127, vec![0x30, 127]), (128, vec![0x30, 0x81, 128]), (300, vec![0x30, 0x82, 1, 44])] {
            let der = element(SEQUENCE, &vec![7; length]);
            assert_eq!(der[..head.len()], head);
            assert_eq!(der.len(), head.len() + length);
        }
    }
}
