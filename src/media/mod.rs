//! Readers that turn the parts of a request into named, decoded values: query strings, cookies, form, multipart,
//! JSON and XML bodies. They only read: what a value means is decided by whoever asked.
//!
//! Every reader is linear in its input, bounded by explicit limits, and never recursive. Where recipients are known to
//! read the same bytes differently, the reader refuses them or yields every reading; it never picks one in silence.

pub mod basic;
pub mod body;
pub mod content_type;
pub mod cookie;
pub mod framed;
pub mod joined;
pub mod json;
pub mod multipart;
pub mod nature;
mod parameters;
pub mod percent;
pub mod query;
pub mod space;
pub mod xml;

/// One name or value found in a request, decoded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The parameter: a field, a cookie, the nearest JSON key, an element or attribute; empty where there is none.
    pub name: &'a [u8],
    /// The decoded bytes, not necessarily UTF-8; for [`Kind::Name`] the name itself.
    pub value: &'a [u8],
    /// Whether the client chose a name or a value here.
    pub kind: Kind,
    /// Recipients may decode it otherwise: a malformed percent sequence, a lone surrogate, an unknown entity.
    pub irregular: bool,
}

/// What an [`Item`] is. Names are as much the client's choice as values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name of a field, cookie, key, element or attribute.
    Name,
    /// The content of one.
    Value,
    /// What a part of a form says of itself, or a file: under the name of the field, but not its text.
    File,
}
