//! What the service that keeps accounts says of one: a JSON object whose `is_active` and `roles` count, or 404 or 410.

use std::cell::RefCell;
use std::rc::Rc;

use crate::jose::cache::TokenCache;
use crate::jose::json::{Json, Object};
use crate::time::Timestamp;

/// The longest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The most roles of one account; more are no answer.
pub const MAX_ACCOUNT_ROLES: usize = 256;

/// Nested arrays and objects in an answer, itself counted.
const MAX_DEPTH: usize = 32;

/// Answers by subject, of one provider.
pub type Accounts = TokenCache<KeptAnswer>;

/// What the service said of one account.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It exists and is active.
    Active(Rc<Account>),
    /// It exists and is not.
    Inactive,
    /// There is none.
    Unknown,
    /// It refused the question.
    Unclear,
    /// It did not say, or said nothing that can be read.
    Nothing,
}

/// An account that is active.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// Its roles; they stand instead of those of the token. `None`: the answer does not speak of roles.
    pub roles: Option<Vec<String>>,
}

/// An answer and how long it is kept.
#[derive(Clone, Debug)]
pub struct KeptAnswer {
    /// The answer.
    pub answer: Answer,
    /// From when on it is asked for again.
    pub until: Timestamp,
}

/// What is made once of a value and an account, and made anew when the account's answer is another one.
#[derive(Debug)]
pub struct ByAccount<T>(RefCell<Option<(Rc<Account>, Rc<T>)>>);

impl Answer {
    /// Reads a reply: 200 with an object, or that there is none (404, 410). Other words of a client's fault refuse the
    /// question, but for those about time and load; everything else is nothing.
    pub fn read(status: u16, body: &[u8]) -> Self {
        match status {
            200 if body.len() <= MAX_ANSWER_BYTES => Object::parse(body, MAX_DEPTH).map_or(Self::Nothing, Self::of),
            404 | 410 => Self::Unknown,
            408 | 429 => Self::Nothing,
            400..=499 => Self::Unclear,
            _ => Self::Nothing,
        }
    }

    /// Only `true` is active, where the answer speaks of it.
    fn of(object: Object) -> Self {
        if object.member("is_active").is_some_and(|active| active.as_bool() != Some(true)) {
            return Self::Inactive;
        }
        match object.member("roles").map(names) {
            None => Self::Active(Rc::new(Account { roles: None })),
            Some(Some(roles)) => Self::Active(Rc::new(Account { roles: Some(roles) })),
            Some(None) => Self::Nothing,
        }
    }

    /// About how many bytes it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Active(account) => {
                64 + account.roles.iter().flatten().map(|role| role.len() + size_of::<String>()).sum::<usize>()
            }
            _ => 0,
        }
    }
}

impl<T> Default for ByAccount<T> {
    fn default() -> Self {
        Self(RefCell::new(None))
    }
}

impl<T> ByAccount<T> {
    /// What was made with this very account, or what `make` makes.
    pub fn with(&self, account: &Rc<Account>, make: impl FnOnce() -> T) -> Rc<T> {
        let mut kept = self.0.borrow_mut();
        match &*kept {
            Some((of, made)) if Rc::ptr_eq(of, account) => made.clone(),
            _ => {
                let made = Rc::new(make());
                *kept = Some((account.clone(), made.clone()));
                made
            }
        }
    }
}

/// A list of texts, or a text with spaces between the names.
fn names(roles: &Json) -> Option<Vec<String>> {
    let names: Vec<String> = match roles {
        Json::String(text) => text.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        Json::Array(list) => list.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        _ => return None,
    };
    (names.len() <= MAX_ACCOUNT_ROLES).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> String {
        match Answer::read(status, body.as_bytes()) {
            Answer::Active(account) => match &account.roles {
                Some(roles) => format!("active {}", roles.join("+")),
                None => "active".to_owned(),
            },
            Answer::Inactive => "inactive".to_owned(),
            Answer::Unknown => "unknown".to_owned(),
            Answer::Unclear => "unclear".to_owned(),
            Answer::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn reads_what_counts_and_takes_everything_else_for_nothing() {
        for (status, body, expected) in [
            (200, "{}", "active"),
            (200, r#"{"is_active":true,"id":7,"roles":["admin","user"]}"#, "active admin+user"),
            (200, r#"{"roles":" admin  user "}"#, "active admin+user"),
            (200, r#"{"roles":[]}"#, "active "),
            (200, r#"{"is_active":false,"roles":["admin"]}"#, "inactive"),
            (200, r#"{"is_active":"true"}"#, "inactive"),
            (200, r#"{"is_active":null}"#, "inactive"),
            (200, r#"{"is_active":1}"#, "inactive"),
            (200, r#"{"roles":null}"#, "nothing"),
            (200, r#"{"roles":[1]}"#, "nothing"),
            (200, r#"{"roles":{"admin":true}}"#, "nothing"),
            (200, r#"{"is_active":true,"is_active":false}"#, "nothing"),
            (200, "[]", "nothing"),
            (200, "", "nothing"),
            (200, "<html>", "nothing"),
            (200, r#"{"is_active":tr"#, "nothing"),
            (404, "", "unknown"),
            (404, "<html>", "unknown"),
            (204, "", "nothing"),
            (301, "", "nothing"),
            (410, "", "unknown"),
            (400, "", "unclear"),
            (401, r#"{"is_active":true}"#, "unclear"),
            (403, "", "unclear"),
            (422, "", "unclear"),
            (408, "", "nothing"),
            (429, "", "nothing"),
            (500, r#"{"is_active":true}"#, "nothing"),
            (503, "", "nothing"),
        ] {
            assert_eq!(read(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn reads_no_more_than_its_bounds() {
        let padded = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes));
        assert_eq!(read(200, &padded(MAX_ANSWER_BYTES - 8)), "active");
        assert_eq!(read(200, &padded(MAX_ANSWER_BYTES)), "nothing");
        let nested = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!((read(200, &nested(31)), read(200, &nested(5000))), ("active".into(), "nothing".into()));
        let roles = |count: usize| format!(r#"{{"roles":["r"{}]}}"#, r#","r""#.repeat(count - 1));
        assert_eq!(read(200, &roles(MAX_ACCOUNT_ROLES + 1)), "nothing");
        assert_ne!(read(200, &roles(MAX_ACCOUNT_ROLES)), "nothing");
    }

    #[test]
    fn makes_once_for_each_answer() {
        let by_account = ByAccount::default();
        let answers = [(); 2].map(|()| Rc::new(Account { roles: None }));
        let made = |at: usize, value: u8| *by_account.with(&answers[at], || value);
        assert_eq!([made(0, 1), made(0, 2), made(1, 3), made(1, 4), made(0, 5)], [1, 1, 3, 3, 5]);
    }
}
