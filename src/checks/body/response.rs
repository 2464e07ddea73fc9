//! The upstream's response as a JSON document: whose it is, which fields go out, what is decrypted.

use std::rc::Rc;

use super::KeyRing;
use super::decrypt::{self, DecryptFields};
use super::owner::OwnedByCaller;
use super::project::Projection;
use crate::check::{Check, Env, ResponseCheck, Step};
use crate::denial::{Denial, ResponseRejection};
use crate::document::{Document, Limits};
use crate::exchange::{Exchange, HeaderEdit};
use crate::response::Response;

/// The rules about one route's responses. One without a body (204, 304, to HEAD) has nothing to hide, and goes out; but
/// an answer to HEAD, and 304, speak of an object without saying whose it is.
#[derive(Default)]
pub struct TransformResponse {
    /// Decrypts all of it, before its fields are looked at.
    pub whole: Option<Rc<KeyRing>>,
    /// Whose it must be; a rule like those of access.
    pub owner: Option<OwnedByCaller>,
    /// Which fields go out: whatever the mode.
    pub fields: Option<Projection>,
    /// What is decrypted.
    pub decrypt: Option<DecryptFields>,
    /// The bounds of the document.
    pub limits: Limits,
}

impl ResponseCheck for TransformResponse {
    fn decide(&self, response: &mut Response, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        if response.body().is_empty() {
            return self.without_body(response.status, exchange);
        }
        if let Some(keys) = &self.whole
            && let Some(plain) = decrypt::whole(keys, response.body(), exchange)
        {
            response.rewrite(plain);
            if response.body().is_empty() {
                return Step::Pass;
            }
        }
        if self.owner.is_none() && self.fields.is_none() && self.decrypt.is_none() {
            return Step::Pass;
        }
        match self.transformed(response, exchange) {
            Ok((changed, word)) => {
                if let Some(body) = changed {
                    response.rewrite(body);
                }
                word
            }
            Err(why) => self.unreadable_for(why, exchange),
        }
    }

    fn steps(&self) -> Vec<&'static str> {
        let steps = [
            ("decrypt the body", self.whole.is_some()),
            ("owner", self.owner.is_some()),
            ("fields", self.fields.is_some()),
            ("decrypt fields", self.decrypt.is_some()),
        ];
        steps.into_iter().filter(|(_, does)| *does).map(|(step, _)| step).collect()
    }

    /// What is decrypted may be a document, whatever it is called.
    fn withholds_streams(&self) -> bool {
        self.fields.is_some() && self.whole.is_none()
    }

    fn unreadable(&self, why: ResponseRejection) -> Step {
        let denial = Denial::Response(why);
        // Who only asks whose it is may do so in monitor mode.
        let protects = self.fields.is_some() || self.owner.is_none();
        if protects { Step::Refuse(denial) } else { Step::Deny(denial) }
    }
}

impl TransformResponse {
    /// What goes out is for its caller alone: it depends on who asks, or is kept in secret elsewhere.
    pub fn is_private(&self) -> bool {
        let by_role = self.fields.as_ref().is_some_and(|fields| fields.allow.is_some() && !fields.allow_all.is_empty());
        by_role || self.owner.is_some() || self.decrypt.is_some() || self.whole.is_some()
    }

    /// The body that goes out, where it is another one, and the word about the response.
    fn transformed(
        &self,
        response: &Response,
        exchange: &mut Exchange,
    ) -> Result<(Option<Vec<u8>>, Step), ResponseRejection> {
        if response.is_encoded() {
            return Err(ResponseRejection::Encoded);
        }
        if response.is_range_of_bytes() {
            return Err(ResponseRejection::Malformed);
        }
        let parsed = Document::parse(response.body(), &self.limits);
        let mut document = parsed.map_err(|_| ResponseRejection::Malformed)?;
        let word = self.owned(&document, response.status, exchange);
        if let Some(fields) = &self.fields {
            fields.apply(&mut document, exchange).map_err(|_| ResponseRejection::Malformed)?;
        }
        if let Some(decrypt) = &self.decrypt {
            decrypt.apply(&mut document, exchange);
        }
        Ok((document.is_changed().then(|| document.to_bytes()), word))
    }

    fn without_body(&self, status: u16, exchange: &Exchange) -> Step {
        match &self.owner {
            Some(owner) if !owner.spares(exchange) && owner.conceals(status, exchange) => {
                Step::Deny(Denial::Forbidden { rule: owner.rule.clone(), challenge: None })
            }
            _ => Step::Pass,
        }
    }

    fn owned(&self, document: &Document<'_>, status: u16, exchange: &Exchange) -> Step {
        match &self.owner {
            Some(owner) if !owner.spares(exchange) && !owner.holds(document, status, exchange) => {
                Step::Deny(Denial::Forbidden { rule: owner.rule.clone(), challenge: None })
            }
            _ => Step::Pass,
        }
    }

    /// Where nothing is withheld, what cannot be read stays as it is: it was not to be decrypted, or not for this caller.
    fn unreadable_for(&self, why: ResponseRejection, exchange: &mut Exchange) -> Step {
        let withholds = self.fields.is_some() || self.owner.as_ref().is_some_and(|owner| !owner.spares(exchange));
        if withholds {
            return self.unreadable(why);
        }
        if self.decrypt.is_some() {
            exchange.notices.push(decrypt::failure(None));
        }
        Step::Pass
    }
}

/// Asks the upstream for a response that can be read: whole and not compressed.
#[derive(Clone, Copy, Debug)]
pub struct AskForPlain {
    /// An answer without a body would not say whose the object is.
    pub unconditional: bool,
}

impl Check for AskForPlain {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        let plain = HeaderEdit::Set(Rc::from("accept-encoding"), b"identity".to_vec());
        let conditions = CONDITIONS.into_iter().filter(|_| self.unconditional);
        let unwanted = PARTS.into_iter().chain(conditions).filter(|name| exchange.head.contains(name));
        let removed = unwanted.map(|name| HeaderEdit::Remove(name.as_bytes().to_vec())).collect::<Vec<_>>();
        exchange.request_edits.extend([plain].into_iter().chain(removed));
        Step::Pass
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

/// Headers that ask for a part of a response, which is no document. `Request-Range` is what the first drafts called `Range`,
/// and Apache's server still heeds it.
const PARTS: [&str; 3] = ["range", "request-range", "if-range"];

/// Headers that ask for nothing but 304 where an object is as the caller says: `*` is whatever it is.
const CONDITIONS: [&str; 2] = ["if-none-match", "if-modified-since"];
