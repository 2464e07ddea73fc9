//! Whether a route takes every request that another would take.

use super::RouteMatch;
use super::template::{Template, TemplateSegment};

/// Which requests a route takes, in a form that can be compared with others.
#[derive(Debug)]
pub struct Reach {
    path: Template,
    hosts: Vec<String>,
    methods: Vec<String>,
    /// Name, and value where it is asked for.
    headers: Vec<(String, Option<String>)>,
}

impl Reach {
    /// `None` where the path is no template.
    pub fn new(route: &RouteMatch) -> Option<Self> {
        let headers = route.headers.iter().map(|header| (header.name.to_ascii_lowercase(), header.value.clone()));
        Some(Self {
            path: Template::parse(&route.path).ok()?,
            hosts: route.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            methods: route.methods.clone(),
            headers: headers.collect(),
        })
    }

    /// Whether it takes every request that `other` takes. False where only several routes together do.
    pub fn covers(&self, other: &Self) -> bool {
        self.covers_path(&other.path)
            && self.covers_hosts(&other.hosts)
            && (self.methods.is_empty()
                || !other.methods.is_empty() && other.methods.iter().all(|method| self.methods.contains(method)))
            && self.headers.iter().all(|(name, value)| {
                other.headers.iter().any(|(theirs, asked)| theirs == name && (value.is_none() || asked == value))
            })
    }

    fn covers_path(&self, other: &Template) -> bool {
        let (mine, theirs) = (&self.path.segments, &other.segments);
        let fits = if self.path.open { theirs.len() >= mine.len() } else { !other.open && theirs.len() == mine.len() };
        fits && mine.iter().zip(theirs).all(|pair| match pair {
            (TemplateSegment::Literal(text), TemplateSegment::Literal(other)) => text == other,
            (TemplateSegment::Literal(_), _) => false,
            _ => true,
        })
    }

    fn covers_hosts(&self, others: &[String]) -> bool {
        let any = |hosts: &[String]| hosts.is_empty() || hosts.iter().any(|host| host == "*");
        let covered = |other: &String| self.hosts.iter().any(|host| covers_host(host, other));
        any(&self.hosts) || !any(others) && others.iter().all(covered)
    }
}

/// `*.example.com` takes every name below it, at any depth, and every pattern of such names.
fn covers_host(host: &str, other: &str) -> bool {
    host == other || host.strip_prefix('*').is_some_and(|below| other.ends_with(below))
}

#[cfg(test)]
mod tests {
    use super::super::HeaderCondition;
    use super::*;

    fn reach(path: &str, hosts: &[&str], methods: &[&str], headers: &[(&str, Option<&str>)]) -> Reach {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let headers = headers
            .iter()
            .map(|(name, value)| HeaderCondition { name: (*name).to_owned(), value: value.map(str::to_owned) });
        Reach::new(&RouteMatch {
            path: path.to_owned(),
            hosts: owned(hosts),
            methods: owned(methods),
            headers: headers.collect(),
        })
        .unwrap()
    }

    #[test]
    fn a_path_covers_what_is_below_it_and_what_its_wildcards_stand_for() {
        for (path, other, expected) in [
            ("/**", "/a/{b}/**", true),
            ("/**", "/", true),
            ("/a/**", "/a", true),
            ("/a/**", "/%61/b", true),
            ("/a/**", "/ab", false),
            ("/a/**", "/**", false),
            ("/a/*", "/a/{b}", true),
            ("/a/{b}", "/a/b", true),
            ("/a/b", "/a/{b}", false),
            ("/a/*", "/a/**", false),
            ("/a/*", "/a/b/c", false),
            ("/*/b/**", "/a/b/c", true),
            ("/*/b/**", "/a/*/c", false),
        ] {
            assert_eq!(reach(path, &[], &[], &[]).covers(&reach(other, &[], &[], &[])), expected, "{path} {other}");
        }
    }

    #[test]
    fn hosts_methods_and_headers_cover_only_what_asks_for_no_less() {
        let any = || reach("/**", &[], &[], &[]);
        let hosts = |hosts: &[&str]| reach("/**", hosts, &[], &[]);
        for (mine, theirs, expected) in [
            (any(), reach("/**", &["a"], &["GET"], &[("x", None)]), true),
            (hosts(&["A.example"]), any(), false),
            (hosts(&["A.example"]), hosts(&["a.example"]), true),
            (hosts(&["*"]), any(), true),
            (hosts(&["a.example"]), hosts(&["*"]), false),
            (hosts(&["*.example"]), hosts(&["a.b.example", "*.b.example"]), true),
            (hosts(&["*.example"]), hosts(&["example"]), false),
            (hosts(&["*.example"]), hosts(&["bexample"]), false),
            (reach("/**", &[], &["GET", "PUT"], &[]), reach("/**", &[], &["GET"], &[]), true),
            (reach("/**", &[], &["GET"], &[]), reach("/**", &[], &["HEAD"], &[]), false),
            (reach("/**", &[], &["GET"], &[]), any(), false),
            (reach("/**", &[], &[], &[("X", None)]), reach("/**", &[], &[], &[("x", Some("1"))]), true),
            (reach("/**", &[], &[], &[("x", Some("1"))]), reach("/**", &[], &[], &[("x", None)]), false),
            (reach("/**", &[], &[], &[("x", Some("1"))]), reach("/**", &[], &[], &[("x", Some("2"))]), false),
        ] {
            assert_eq!(mine.covers(&theirs), expected, "{mine:?} {theirs:?}");
        }
    }
}
