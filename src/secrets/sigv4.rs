//! AWS Signature Version 4 (IAM User Guide, "Create a signed AWS API request").

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::value::SecretValue;
use crate::order;
use crate::time::Timestamp;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// The access key.
    pub access_key_id: SecretValue,
    /// Its secret half.
    pub secret_access_key: SecretValue,
    /// Of temporary credentials.
    pub session_token: Option<SecretValue>,
}

/// A request that is to be signed, but for its headers and its body.
pub(super) struct Signing<'a> {
    pub(super) method: &'a str,
    /// In canonical form.
    pub(super) path: &'a str,
    /// In canonical form, without `?`.
    pub(super) query: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now: Timestamp,
}

impl Signing<'_> {
    /// The headers that have to be added: date, session token, signature. All of `headers`, whose names are in lower
    /// case, are signed; `host` has to be among them.
    pub(super) fn sign(
        &self,
        headers: &[(&'static str, String)],
        body: &[u8],
        credentials: &Credentials,
    ) -> Vec<(&'static str, String)> {
        let date = Date::of(self.now);
        let mut added = vec![("x-amz-date", date.long())];
        let token = credentials.session_token.as_ref().and_then(SecretValue::as_header_text);
        added.extend(token.map(|token| ("x-amz-security-token", token.to_owned())));
        let mut signed: Vec<_> = headers.iter().chain(&added).collect();
        order::sort(&mut signed);
        let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: Vec<&str> = signed.iter().flat_map(|(name, value)| [name, ":", value.trim(), "\n"]).collect();
        // Made at its full length: what outgrows its place leaves a copy there.
        let lines = Zeroizing::new(lines.concat());
        let request = Zeroizing::new(
            [self.method, self.path, self.query, &lines, &names, &hex(&Sha256::digest(body))].join("\n"),
        );
        let scope = format!("{}/{}/{}/aws4_request", date.short(), self.region, self.service);
        let text = [ALGORITHM, &date.long(), &scope, &hex(&Sha256::digest(request.as_bytes()))].join("\n");
        let key = self.key(&credentials.secret_access_key, &date.short());
        let signature = hex(&*authenticate(&*key, text.as_bytes()));
        let id = credentials.access_key_id.as_header_text().unwrap_or_default();
        let authorization =
            format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        added.push(("authorization", authorization));
        added
    }

    /// The key of one day, region and service.
    fn key(&self, secret: &SecretValue, day: &str) -> Zeroizing<[u8; 32]> {
        let first = Zeroizing::new([b"AWS4", secret.reveal()].concat());
        [day, self.region, self.service, "aws4_request"]
            .iter()
            .fold(None, |key: Option<Zeroizing<[u8; 32]>>, part| {
                let key = key.as_ref().map_or(first.as_slice(), |key| &key[..]);
                Some(authenticate(key, part.as_bytes()))
            })
            .unwrap_or_default()
    }
}

fn authenticate(key: &[u8], text: &[u8]) -> Zeroizing<[u8; 32]> {
    // HMAC takes keys of any length.
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(text).finalize().into_bytes().into());
    Zeroizing::new(mac.unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A second in UTC.
struct Date {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Date {
    fn of(now: Timestamp) -> Self {
        let seconds = now.unix_seconds();
        let days = seconds / 86_400;
        // Days since the first of March of the year 0: leap days are the last of their years. 400 years are 146,097 days.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        Self { year, month, day, second_of_day: seconds % 86_400 }
    }

    fn short(&self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    fn long(&self) -> String {
        let (hour, minute, second) =
            (self.second_of_day / 3_600, self.second_of_day / 60 % 60, self.second_of_day % 60);
        format!("{}T{hour:02}{minute:02}{second:02}Z", self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of AWS's published test suite, as in its documentation.
    fn credentials(session_token: Option<&str>) -> Credentials {
        let value = |text: &str| SecretValue::new(text.into()).unwrap();
        Credentials {
            access_key_id: value("AKIDEXAMPLE"),
            secret_access_key: value("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: session_token.map(value),
        }
    }

    /// 2015-08-30 12:36:00 UTC.
    const NOW: Timestamp = Timestamp::from_unix_seconds(1_440_938_160);

    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeo\
        IYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8\
        Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQw\
        j2ICCR/oLxBA==";

    /// The test suite's get-vanilla, post-vanilla, post-x-www-form-urlencoded and post-sts-header-before.
    #[test]
    fn signs_as_the_published_test_suite_does() {
        let form = ("content-type", "application/x-www-form-urlencoded".to_owned());
        for (method, more, body, token, names, signature) in [
            (
                "GET",
                None,
                "",
                None,
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                None,
                "",
                None,
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "POST",
                Some(form),
                "Param1=value1",
                None,
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "POST",
                None,
                "",
                Some(TOKEN),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let signing = Signing { method, path: "/", query: "", region: "us-east-1", service: "service", now: NOW };
            let mut headers = vec![("host", "example.amazonaws.com".to_owned())];
            headers.extend(more);
            let added = signing.sign(&headers, body.as_bytes(), &credentials(token));
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(added.last().unwrap(), &("authorization", expected));
            assert_eq!(added[0], ("x-amz-date", "20150830T123600Z".to_owned()));
        }
    }

    /// Each as `date -u -d @SECONDS` prints it.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_735_689_599, "20241231T235959Z"),
            (1_735_689_600, "20250101T000000Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(Date::of(Timestamp::from_unix_seconds(seconds)).long(), date);
        }
    }
}
