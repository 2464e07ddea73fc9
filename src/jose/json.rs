//! JSON of headers, claims and key sets: parsed once, depth bounded, duplicate member names refused (RFC 7515
//! section 4 and RFC 7519 section 4 allow refusing them; which one wins is where parsers disagree).

use std::cell::Cell;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(serde_json::Number),
    /// A string.
    String(Box<str>),
    /// An array.
    Array(Box<[Json]>),
    /// An object.
    Object(Object),
}

/// A JSON object with distinct member names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Box<[(Box<str>, Json)]>);

/// Why a text is not acceptable JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON, not UTF-8, a number out of range, or something after the value.
    Syntax,
    /// An object has two members of one name.
    DuplicateMember,
    /// More nested arrays and objects than allowed.
    TooDeep,
    /// The text is a value other than an object.
    NotAnObject,
}

impl Json {
    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(*flag) } else { None }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<&serde_json::Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }
}

impl Object {
    /// Parses a text that is one object with at most `max_depth` nested arrays and objects, itself counted.
    ///
    /// # Errors
    /// [`JsonError`]; time is `O(n log n)` and memory proportional to the text.
    pub fn parse(text: &[u8], max_depth: usize) -> Result<Self, JsonError> {
        let fault = Cell::new(JsonError::Syntax);
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let value = Value { depth: max_depth, fault: &fault, goes_on: false }.deserialize(&mut deserializer);
        let Ok(value) = value else { return Err(fault.get()) };
        deserializer.end().map_err(|_| JsonError::Syntax)?;
        let Json::Object(object) = value else { return Err(JsonError::NotAnObject) };
        Ok(object)
    }

    /// The elements of the list that is the member `name`, each by itself: one that is not acceptable leaves the others as they
    /// are. `None`: the text is no object with such a list.
    pub fn elements(text: &[u8], name: &str, max_depth: usize) -> Option<Vec<Result<Self, JsonError>>> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let list = deserializer.deserialize_map(List { name, depth: max_depth.checked_sub(2)? }).ok()?;
        deserializer.end().ok()?;
        Some(list)
    }

    /// The value of the member `name`.
    pub fn member(&self, name: &str) -> Option<&Json> {
        let position = self.0.binary_search_by(|(member, _)| (**member).cmp(name)).ok()?;
        self.0.get(position).map(|(_, value)| value)
    }

    /// The same object with this value for the member `name`.
    #[must_use]
    pub fn with(self, name: &str, value: Json) -> Self {
        let mut members = self.0.into_vec();
        match members.binary_search_by(|(member, _)| (**member).cmp(name)) {
            Ok(position) => {
                if let Some(member) = members.get_mut(position) {
                    member.1 = value;
                }
            }
            Err(position) => members.insert(position, (name.into(), value)),
        }
        Self(members.into())
    }

    /// The members, sorted by name.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not JSON",
            Self::DuplicateMember => "two members of one name",
            Self::TooDeep => "nested too deep",
            Self::NotAnObject => "expected an object",
        })
    }
}

impl std::error::Error for JsonError {}

struct Value<'a> {
    depth: usize,
    /// Why it is not acceptable; [`JsonError::Syntax`] where nothing was found.
    fault: &'a Cell<JsonError>,
    /// What is not acceptable is noted and passed over, for what comes after it.
    goes_on: bool,
}

/// The member `name`, a list of objects.
struct List<'a> {
    name: &'a str,
    depth: usize,
}

/// The elements of a list, each with what is wrong with it.
struct Elements {
    depth: usize,
}

/// One of them.
struct Element {
    depth: usize,
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Result<Object, JsonError>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut list = None;
        while let Some(name) = members.next_key::<Box<str>>()? {
            if *name != *self.name {
                members.next_value::<IgnoredAny>()?;
            } else if list.replace(members.next_value_seed(Elements { depth: self.depth })?).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        list.ok_or_else(|| A::Error::custom("no list"))
    }
}

impl<'de> DeserializeSeed<'de> for Elements {
    type Value = Vec<Result<Object, JsonError>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<Result<Object, JsonError>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(Element { depth: self.depth })? {
            list.push(element);
        }
        Ok(list)
    }
}

impl<'de> DeserializeSeed<'de> for Element {
    type Value = Result<Object, JsonError>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let fault = Cell::new(JsonError::Syntax);
        let value = Value { depth: self.depth, fault: &fault, goes_on: true }.deserialize(deserializer)?;
        Ok(match (fault.get(), value) {
            (JsonError::Syntax, Json::Object(object)) => Ok(object),
            (JsonError::Syntax, _) => Err(JsonError::NotAnObject),
            (fault, _) => Err(fault),
        })
    }
}

impl Value<'_> {
    /// What is inside; `None`: that is passed over.
    fn inner<E: serde::de::Error>(&self) -> Result<Option<Self>, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Some(Self { depth, ..self.again() })),
            None => self.refuse(JsonError::TooDeep).map(|()| None),
        }
    }

    fn refuse<E: serde::de::Error>(&self, fault: JsonError) -> Result<(), E> {
        self.fault.set(fault);
        if self.goes_on { Ok(()) } else { Err(E::custom(fault)) }
    }

    fn again(&self) -> Self {
        Self { depth: self.depth, fault: self.fault, goes_on: self.goes_on }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Json, E> {
        serde_json::Number::from_f64(number).map(Json::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let Some(inner) = self.inner()? else {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Json::Null);
        };
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner.again())? {
            array.push(element);
        }
        Ok(Json::Array(array.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let Some(inner) = self.inner()? else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Json::Null);
        };
        let mut object: Vec<(Box<str>, Json)> = Vec::new();
        while let Some(name) = members.next_key::<Box<str>>()? {
            object.push((name, members.next_value_seed(inner.again())?));
        }
        // Sorted, so that a thousand members cost no quadratic search for a repeated name.
        object.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        if object.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other)) {
            self.refuse(JsonError::DuplicateMember)?;
        }
        Ok(Json::Object(Object(object.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_parsers_disagree_about() {
        let cases: &[(&[u8], JsonError)] = &[
            (br#"{"a":1,"a":1}"#, JsonError::DuplicateMember),
            (br#"{"a":1,"\u0061":2}"#, JsonError::DuplicateMember),
            (br#"{"a":{"b":[],"b":[]}}"#, JsonError::DuplicateMember),
            (br#"{"a":[[[]]]}"#, JsonError::TooDeep),
            (br#"[1]"#, JsonError::NotAnObject),
            (br#""text""#, JsonError::NotAnObject),
            (br#"{"a":1} {"#, JsonError::Syntax),
            (br#"{"a":1}x"#, JsonError::Syntax),
            (br#"{"a":NaN}"#, JsonError::Syntax),
            (br#"{"a":Infinity}"#, JsonError::Syntax),
            (br#"{"a":1e400}"#, JsonError::Syntax),
            (br#"{"a":01}"#, JsonError::Syntax),
            (br#"{"a":+1}"#, JsonError::Syntax),
            (br#"{"a":1,}"#, JsonError::Syntax),
            (br#"{'a':1}"#, JsonError::Syntax),
            (b"\xef\xbb\xbf{}", JsonError::Syntax),
            (b"{\"a\":\"\xff\"}", JsonError::Syntax),
            (b"{\"a\":\"\x00\"}", JsonError::Syntax),
            (br#"{"a":"\ud800"}"#, JsonError::Syntax),
            (b"", JsonError::Syntax),
        ];
        for (text, error) in cases {
            assert_eq!(Object::parse(text, 3), Err(*error), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn finds_each_member_by_its_exact_name() {
        let object = Object::parse(br#" { "b": [1, null], "a": {"x": true}, "": "empty" } "#, 2).unwrap();
        assert_eq!(object.member("a").unwrap().as_object().unwrap().member("x").unwrap().as_bool(), Some(true));
        assert_eq!(object.member("b").unwrap().as_array().unwrap().len(), 2);
        assert_eq!(object.member("").unwrap().as_str(), Some("empty"));
        assert_eq!(object.member("A"), None);
        assert_eq!(object.members().map(|(name, _)| name).collect::<Vec<_>>(), ["", "a", "b"]);
    }

    #[test]
    fn reads_each_element_of_a_list_by_itself() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let list =
            format!(r#"{{"x":1,"x":{deep},"l":[{{"a":1}},{{"a":1,"a":2}},{{"a":{{"b":{deep}}}}},7,{{"a":[[1]]}}]}}"#);
        let elements = Object::elements(list.as_bytes(), "l", 5).unwrap();
        let found: Vec<_> =
            elements.iter().map(|element| element.as_ref().map(|_| ()).map_err(|error| *error)).collect();
        let (duplicate, deep, other) = (JsonError::DuplicateMember, JsonError::TooDeep, JsonError::NotAnObject);
        assert_eq!(found, [Ok(()), Err(duplicate), Err(deep), Err(other), Ok(())]);
        assert_eq!(elements[0].as_ref().unwrap().member("a"), Some(&Json::Number(1.into())));
        for none in
            ["[]", "{}", r#"{"l":{}}"#, r#"{"l":[],"l":[]}"#, r#"{"l":[{]}"#, r#"{"l":[]} x"#, r#"{"l":[1e400]}"#, ""]
        {
            assert!(Object::elements(none.as_bytes(), "l", 5).is_none(), "{none}");
        }
    }

    #[test]
    fn takes_a_member_in_at_its_place() {
        let object = Object::parse(br#"{"a":1,"c":3}"#, 2).unwrap();
        let object = object.with("b", Json::Null).with("c", Json::Bool(true)).with("d", Json::Null);
        assert_eq!(object.members().map(|(name, _)| name).collect::<String>(), "abcd");
        assert_eq!((object.member("b"), object.member("c")), (Some(&Json::Null), Some(&Json::Bool(true))));
    }

    #[test]
    fn does_not_recurse_beyond_its_bound() {
        let deep = [b"{\"a\":".to_vec(), vec![b'['; 100_000]].concat();
        assert_eq!(Object::parse(&deep, 16), Err(JsonError::TooDeep));
    }
}
