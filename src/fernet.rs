//! Fernet tokens (github.com/fernet/spec, version 0x80): AES-128 in CBC mode, sealed by HMAC-SHA256. Pure: the moment and
//! the initialisation vector come in.

use std::fmt;
use std::time::Duration;

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, PAD, URL_SAFE};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::time::Timestamp;

/// The keys of one purpose: the first encrypts, all decrypt. Never empty.
pub struct Keys {
    first: Key,
    older: Vec<Key>,
}

/// One key. Wiped when dropped; never prints itself.
pub struct Key {
    signing: [u8; 16],
    encryption: [u8; 16],
}

/// For how long after its making a token is taken.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// The present.
    pub now: Timestamp,
    /// The greatest age.
    pub ttl: Duration,
}

/// Why a token does not decrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not base64url.
    Base64,
    /// Shorter than an empty message's token, or not made of whole blocks.
    Length,
    /// Another version than 0x80.
    Version,
    /// Older than it may be, or made more than a minute in the future.
    Stale,
    /// None of the keys sealed it.
    Seal,
    /// Sealed, and yet not padded as PKCS #7 says.
    Padding,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base64 => "it is not base64url",
            Self::Length => "its length is none that a token has",
            Self::Version => "it is of another version",
            Self::Stale => "it is too old, or from the future",
            Self::Seal => "none of the keys made it, or it was changed",
            Self::Padding => "its padding is broken",
        })
    }
}

impl Key {
    /// Reads a key as `Fernet.generate_key()` writes it: 32 bytes in base64url, or in base64 as others do. White space
    /// around it is passed over.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = decode_either(text.trim_ascii()).ok()?;
        let halves = match bytes.as_chunks::<16>() {
            ([signing, encryption], []) => Some(Self { signing: *signing, encryption: *encryption }),
            _ => None,
        };
        bytes.zeroize();
        halves
    }

    fn seal(&self, message: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.signing).ok()?;
        mac.update(message);
        Some(mac)
    }

    fn opens(&self, message: &[u8], seal: &[u8]) -> bool {
        self.seal(message).is_some_and(|mac| mac.verify_slice(seal).is_ok())
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.signing.zeroize();
        self.encryption.zeroize();
    }
}

impl ZeroizeOnDrop for Key {}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Fernet keys", 1 + self.older.len())
    }
}

impl Keys {
    /// The keys, the one that encrypts first; `None` where there is none.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Option<Self> {
        let mut keys = keys.into_iter();
        Some(Self { first: keys.next()?, older: keys.collect() })
    }

    /// The token for `plain`. `iv` must be random and never used before.
    pub fn encrypt(&self, plain: &[u8], now: Timestamp, iv: [u8; 16]) -> String {
        let mut token = Vec::with_capacity(OVERHEAD + plain.len() + BLOCK);
        token.push(VERSION);
        token.extend_from_slice(&(now.unix_seconds()).to_be_bytes());
        token.extend_from_slice(&iv);
        let cipher = cbc::Encryptor::<Aes128>::new(&self.first.encryption.into(), &iv.into());
        token.extend_from_slice(&cipher.encrypt_padded_vec_mut::<Pkcs7>(plain));
        if let Some(mac) = self.first.seal(&token) {
            token.extend_from_slice(&mac.finalize().into_bytes());
        }
        URL_SAFE.encode(token)
    }

    /// What `token` says. The seal is looked at before anything is decrypted, in constant time.
    ///
    /// # Errors
    /// [`Error`].
    pub fn decrypt(&self, token: &[u8], freshness: Option<Freshness>) -> Result<Vec<u8>, Error> {
        let token = URL_SAFE.decode(token).map_err(|_| Error::Base64)?;
        if *token.first().ok_or(Error::Length)? != VERSION {
            return Err(Error::Version);
        }
        let (message, seal) = token.split_last_chunk::<SEAL>().ok_or(Error::Length)?;
        let (head, body) = message.split_first_chunk::<HEAD>().ok_or(Error::Length)?;
        if body.is_empty() || body.len() % BLOCK != 0 {
            return Err(Error::Length);
        }
        let (_, head) = head.split_first().ok_or(Error::Length)?;
        let (made, iv) = head.split_first_chunk::<8>().ok_or(Error::Length)?;
        if freshness.is_some_and(|freshness| !freshness.admits(u64::from_be_bytes(*made))) {
            return Err(Error::Stale);
        }
        let key = [&self.first].into_iter().chain(&self.older).find(|key| key.opens(message, seal));
        let key = key.ok_or(Error::Seal)?;
        let cipher = cbc::Decryptor::<Aes128>::new_from_slices(&key.encryption, iv).map_err(|_| Error::Length)?;
        cipher.decrypt_padded_vec_mut::<Pkcs7>(body).map_err(|_| Error::Padding)
    }

    /// [`Self::decrypt`] of a token that may be base64-coded once more, as some applications store it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn decrypt_stored(&self, stored: &[u8], freshness: Option<Freshness>) -> Result<Vec<u8>, Error> {
        if !stored.starts_with(CODED_TWICE) {
            return self.decrypt(stored, freshness);
        }
        self.decrypt(&decode_either(stored)?, freshness)
    }
}

impl Freshness {
    fn admits(&self, made: u64) -> bool {
        let now = self.now.unix_seconds();
        made.saturating_add(self.ttl.as_secs()) >= now && made <= now.saturating_add(MAX_CLOCK_SKEW)
    }
}

/// Bytes of the token for a text of `plain` bytes.
pub const fn token_length(plain: usize) -> usize {
    let blocks = (plain / BLOCK).saturating_add(1);
    blocks.saturating_mul(BLOCK).saturating_add(OVERHEAD).div_ceil(3).saturating_mul(4)
}

/// Bytes of the token for a text of `plain` bytes where it is base64-coded once more.
pub const fn stored_length(plain: usize) -> usize {
    token_length(plain).div_ceil(3).saturating_mul(4)
}

const VERSION: u8 = 0x80;
const BLOCK: usize = 16;
/// Version, timestamp, initialisation vector.
const HEAD: usize = 1 + 8 + BLOCK;
const SEAL: usize = 32;
const OVERHEAD: usize = HEAD + SEAL;
/// Seconds.
const MAX_CLOCK_SKEW: u64 = 60;
/// base64 of the beginning that all tokens of the next 8000 years have: version, and four zero bytes of the timestamp.
const CODED_TWICE: &[u8] = b"Z0FBQUFB";

/// base64 of either alphabet, padded or not.
fn decode_either(text: &[u8]) -> Result<Vec<u8>, Error> {
    EITHER_URL_SAFE.decode(text).or_else(|_| EITHER_STANDARD.decode(text)).map_err(|_| Error::Base64)
}

const LENIENT: GeneralPurposeConfig = PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
const EITHER_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
const EITHER_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    /// The secret of every vector of the specification.
    const SECRET: &[u8] = b"cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    /// 1985-10-26T01:20:00-07:00.
    const MADE: u64 = 499_162_800;

    fn keys(secrets: &[&[u8]]) -> Keys {
        Keys::new(secrets.iter().map(|secret| Key::parse(secret).unwrap())).unwrap()
    }

    fn fresh(at: u64) -> Option<Freshness> {
        Some(Freshness { now: Timestamp::from_unix_seconds(at), ttl: Duration::from_secs(60) })
    }

    #[test]
    fn makes_the_token_of_the_specification() {
        let iv = std::array::from_fn(|at| at as u8);
        let token = keys(&[SECRET]).encrypt(b"hello", Timestamp::from_unix_seconds(MADE), iv);
        let expected =
            "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
        assert_eq!(token, expected);
        assert_eq!(keys(&[SECRET]).decrypt(token.as_bytes(), fresh(MADE + 1)).as_deref(), Ok(&b"hello"[..]));
    }

    #[test]
    fn refuses_the_invalid_tokens_of_the_specification() {
        for (token, at, error) in [
            (
                "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==",
                1,
                Error::Seal,
            ),
            ("gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==", 1, Error::Length),
            (
                "%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
                1,
                Error::Base64,
            ),
            (
                "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm",
                1,
                Error::Length,
            ),
            (
                "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==",
                1,
                Error::Padding,
            ),
            (
                "gAAAAAAdwStRAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAnja1xKYyhd-Y6mSkTOyTGJmw2Xc2a6kBd-iX9b_qXQcw==",
                1,
                Error::Stale,
            ),
            (
                "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
                91,
                Error::Stale,
            ),
            (
                "gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==",
                1,
                Error::Padding,
            ),
        ] {
            assert_eq!(keys(&[SECRET]).decrypt(token.as_bytes(), fresh(MADE + at)), Err(error), "{token}");
        }
    }

    #[test]
    fn the_first_key_encrypts_and_all_decrypt() {
        let new = URL_SAFE.encode([7; 32]);
        let (old, now) = (keys(&[SECRET]), Timestamp::from_unix_seconds(MADE));
        let rotated = keys(&[new.as_bytes(), SECRET]);
        assert_eq!(rotated.decrypt(old.encrypt(b"a", now, [1; 16]).as_bytes(), None).as_deref(), Ok(&b"a"[..]));
        let token = rotated.encrypt(b"b", now, [2; 16]);
        assert_eq!(old.decrypt(token.as_bytes(), None), Err(Error::Seal));
        assert_eq!(keys(&[new.as_bytes()]).decrypt(token.as_bytes(), None).as_deref(), Ok(&b"b"[..]));
    }

    #[test]
    fn reads_a_token_that_is_coded_twice() {
        let keys = keys(&[SECRET]);
        let token = keys.encrypt("ö".as_bytes(), Timestamp::from_unix_seconds(1_800_000_000), [3; 16]);
        for stored in [token.clone(), STANDARD.encode(&token), URL_SAFE.encode(&token)] {
            assert_eq!(keys.decrypt_stored(stored.as_bytes(), None).as_deref(), Ok("ö".as_bytes()), "{stored}");
        }
        let thrice = STANDARD.encode(STANDARD.encode(&token));
        assert!(keys.decrypt_stored(thrice.as_bytes(), None).is_err());
    }

    #[test]
    fn a_key_is_32_bytes_in_base64url() {
        assert!(Key::parse(b" cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4\n").is_some());
        for bad in [&b""[..], b"cw_0x689", b"cw/0x689RpI-jtRR7oE8h/eQsKImvJapLeSbXpwF4e4=", &[b'A'; 64]] {
            assert!(Key::parse(bad).is_none(), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(format!("{:?}", keys(&[SECRET])), "1 Fernet keys");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn any_text_comes_back_and_no_changed_token_does(
            plain in prop::collection::vec(any::<u8>(), 0..70), iv in any::<[u8; 16]>(), at in 0usize..200, bit in 0u8..8,
        ) {
            let keys = keys(&[SECRET]);
            let token = keys.encrypt(&plain, Timestamp::from_unix_seconds(MADE), iv);
            let decrypted = keys.decrypt(token.as_bytes(), None);
            prop_assert_eq!(decrypted.as_deref(), Ok(&plain[..]));
            let mut changed = URL_SAFE.decode(&token).unwrap();
            let at = at % changed.len();
            changed[at] ^= 1 << bit;
            prop_assert!(keys.decrypt(URL_SAFE.encode(changed).as_bytes(), None).is_err());
        }

        #[test]
        fn reads_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let keys = keys(&[SECRET]);
            let _ = keys.decrypt_stored(&bytes, None);
            let coded = URL_SAFE.encode([&[0x80][..], &bytes].concat());
            prop_assert!(keys.decrypt_stored(coded.as_bytes(), None).is_err());
        }
    }
}
