use std::cell::Cell;

use super::*;
use crate::canonical::path::PathOptions;
use proptest::prelude::*;

thread_local! {
    pub(super) static COMPARISONS: Cell<usize> = const { Cell::new(0) };
}

fn path(text: &str) -> CanonicalPath<'_> {
    CanonicalPath::parse(if text == "*" { b"OPTIONS" } else { b"GET" }, text.as_bytes(), PathOptions::default())
        .unwrap()
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| text.to_string()).collect()
}

fn route(path: &str) -> RouteMatch {
    RouteMatch { path: path.to_owned(), ..RouteMatch::default() }
}

fn table(routes: Vec<RouteMatch>) -> RouteTable<usize> {
    RouteTable::new(routes.into_iter().enumerate().map(|(index, route)| (route, index)), Case::Exact).unwrap()
}

fn found(table: &RouteTable<usize>, host: &str, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<usize> {
    let (path, head) = (path(target), Head::from_pairs(headers.iter().copied()));
    let request = RouteRequest { path: &path, host, method: method.as_bytes(), head: &head };
    let found = table.find(&request)?;
    assert_eq!((*found.route, table.values().nth(found.index)), (found.index, Some(found.route)));
    Some(found.index)
}

fn found_path(table: &RouteTable<usize>, target: &str) -> Option<usize> {
    found(table, "h", "GET", target, &[])
}

#[test]
fn the_first_declared_route_wins_over_more_exact_ones() {
    let table = table(vec![route("/a/{id}"), route("/a/b"), route("/**"), route("/c")]);
    for (target, expected) in [("/a/b", 0), ("/a/c", 0), ("/a", 2), ("/a/b/c", 2), ("/c", 2), ("/", 2)] {
        assert_eq!(found_path(&table, target), Some(expected), "{target}");
    }
}

#[test]
fn a_trailing_slash_is_none_and_an_open_end_includes_its_base() {
    let table = table(vec![route("/admin/**"), route("/users/"), route("/users/{id}")]);
    for (target, expected) in [
        ("/admin", Some(0)),
        ("/admin/", Some(0)),
        ("/admin/a/b/", Some(0)),
        ("/administrator", None),
        ("/users", Some(1)),
        ("/users/", Some(1)),
        ("/users/7/", Some(2)),
        ("/users/7/8", None),
        ("/Users", None),
    ] {
        assert_eq!(found_path(&table, target), expected, "{target}");
    }
}

#[test]
fn an_escaped_spelling_meets_the_rule_of_the_plain_one() {
    let table = table(vec![route("/users:delete"), route("/caf%c3%a9/%2A"), route("/**")]);
    for (target, expected) in
        [("/users%3adelete", 0), ("/users:delete", 0), ("/%63afé/*", 1), ("/café/x", 2), ("/x/../users%3Adelete", 0)]
    {
        assert_eq!(found_path(&table, target), Some(expected), "{target}");
    }
}

#[test]
fn methods_and_headers_decide_among_routes_of_one_path() {
    let header =
        |name: &str, value: Option<&str>| HeaderCondition { name: name.into(), value: value.map(str::to_owned) };
    let table = table(vec![
        RouteMatch { methods: strings(&["POST", "PUT"]), headers: vec![header("X-Beta", Some("1"))], ..route("/a") },
        RouteMatch { methods: strings(&["POST"]), ..route("/a") },
        RouteMatch { headers: vec![header("x-debug", None)], ..route("/a") },
        RouteMatch { methods: strings(&["GET"]), ..route("/{any}") },
    ]);
    for (method, headers, expected) in [
        ("POST", &[("x-beta", "1")][..], Some(0)),
        ("POST", &[("x-beta", "2")], Some(1)),
        ("POST", &[("x-beta", "1"), ("x-beta", "1")], Some(1)),
        ("PUT", &[], None),
        ("PUT", &[("x-debug", "")], Some(2)),
        ("GET", &[], Some(3)),
        ("HEAD", &[], None),
        ("get", &[], None),
    ] {
        assert_eq!(found(&table, "h", method, "/a", headers), expected, "{method} {headers:?}");
    }
}

#[test]
fn hosts_are_exact_or_everything_below_a_name() {
    let of = |hosts: &[&str]| RouteMatch { hosts: strings(hosts), ..route("/**") };
    let table = table(vec![
        of(&["Admin.Example.com", "[2001:DB8::1]"]),
        of(&["*.eu.example.com"]),
        of(&["*.example.com"]),
        of(&["example.com", "*.org"]),
    ]);
    for (host, expected) in [
        ("admin.example.com", Some(0)),
        ("[2001:db8::1]", Some(0)),
        ("a.b.eu.example.com", Some(1)),
        ("eu.example.com", Some(2)),
        ("x.admin.example.com", Some(2)),
        ("example.com", Some(3)),
        ("a.org", Some(3)),
        ("org", None),
        ("badexample.com", None),
        ("", None),
    ] {
        assert_eq!(found(&table, host, "GET", "/", &[]), expected, "{host}");
    }
}

#[test]
fn a_host_may_meet_many_nested_patterns() {
    let name = |labels: usize| format!("*.{}", vec!["a"; labels].join("."));
    let hosts: Vec<_> = (1..10).rev().map(|labels| RouteMatch { hosts: vec![name(labels)], ..route("/**") }).collect();
    let table = table(hosts);
    assert_eq!(found(&table, "a.a.a", "GET", "/", &[]), Some(7));
    assert_eq!(found(&table, &["a"; 20].join("."), "GET", "/", &[]), Some(0));
}

#[test]
fn options_of_the_server_itself_meets_only_a_route_for_everything() {
    let table = table(vec![route("/"), route("/*"), route("/%2A"), route("/a/**"), route("/**")]);
    assert_eq!(found_path(&table, "*"), Some(4));
}

#[test]
fn parameters_are_decoded_segments_and_their_place() {
    let table = table(vec![route("/users/{id}/posts/*/{post-id}/**")]);
    let (path, head) = (path("/users/a%2cb/posts/x/7/more"), Head::default());
    let found = table.find(&RouteRequest { path: &path, host: "", method: b"GET", head: &head }).unwrap();
    assert_eq!(found.parameters.value("id").as_deref(), Some("a,b"));
    assert_eq!(found.parameters.value("post-id").as_deref(), Some("7"));
    assert_eq!(found.parameters.value("posts"), None);
    assert_eq!(path.path().get(found.parameters.range("id").unwrap()), Some("a%2Cb"));
    let names: Vec<_> = found.parameters.iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["id", "post-id"]);
}

#[test]
fn names_the_route_and_the_field_that_is_wrong() {
    let header = HeaderCondition { name: "a b".into(), value: None };
    for (wrong, expected) in [
        (route("a"), "path: expected a path that starts with /"),
        (
            RouteMatch { hosts: strings(&["a", "a:80"]), ..route("/") },
            "hosts[1]: `a:80`: expected a host without port, like example.com, *.example.com or *",
        ),
        (
            RouteMatch { hosts: strings(&["a.*"]), ..route("/") },
            "hosts[0]: `a.*`: expected a host without port, like example.com, *.example.com or *",
        ),
        (
            RouteMatch { hosts: strings(&["*.[::1]"]), ..route("/") },
            "hosts[0]: `*.[::1]`: expected a host without port, like example.com, *.example.com or *",
        ),
        (
            RouteMatch { methods: strings(&["get"]), ..route("/") },
            "methods[0]: `get`: expected a method in upper case, like GET",
        ),
        (RouteMatch { headers: vec![header], ..route("/") }, "headers: `a b`: expected a header name"),
    ] {
        let error = RouteTable::new([(route("/ok"), ()), (wrong, ())], Case::Exact).unwrap_err();
        assert_eq!((error.index, format!("{}: {error}", error.field()).as_str()), (1, expected));
    }
}

/// Every template of `depth` segments that are `a` or `*`.
fn overlapping(depth: u32) -> impl Iterator<Item = (RouteMatch, u32)> {
    (0..1 << depth).map(move |bits: u32| {
        let segments = (0..depth).map(|at| if bits >> at & 1 == 0 { "/a" } else { "/*" });
        (route(&segments.collect::<String>()), bits)
    })
}

#[test]
fn refuses_templates_that_overlap_without_bound() {
    assert!(RouteTable::new(overlapping(8), Case::Exact).is_ok());
    let error = RouteTable::new(overlapping(10), Case::Exact).unwrap_err();
    assert_eq!(error.reason, RouteErrorReason::TooManyOverlaps(2047));
}

#[test]
fn sensitive_paths_are_templates() {
    let paths = PathPatterns::new(["/admin/**", "/api/*/users/**"], Case::Exact).unwrap();
    for (target, expected) in
        [("/admin", true), ("/api/v1/users/3", true), ("/api/users", false), ("/", false), ("/%61dmin/x", true)]
    {
        assert_eq!(paths.contains(&path(target)), expected, "{target}");
    }
    assert_eq!(PathPatterns::new(["/a", "b"], Case::Exact).unwrap_err().index, 1);
}

#[test]
fn where_case_is_ignored_a_path_leads_to_one_route_in_any_and_its_parameters_keep_theirs() {
    let routes = [route("/Api/{id}/admin"), route("/api/**"), route("/**")];
    let numbered = |case| RouteTable::new(routes.clone().into_iter().zip(0..), case).unwrap();
    for (target, exact, ignored) in [
        ("/Api/X/admin", 0, 0),
        ("/api/X/Admin", 1, 0),
        ("/%41PI/X/%61DMIN/", 2, 0),
        ("/API/x", 2, 1),
        ("/api", 1, 1),
        ("/ap", 2, 2),
        // Letters beyond ASCII are what they are.
        ("/%C3%84pi/x", 2, 2),
    ] {
        for (case, expected) in [(Case::Exact, exact), (Case::Ignore, ignored)] {
            assert_eq!(found(&numbered(case), "", "GET", target, &[]), Some(expected), "{target} {case:?}");
        }
    }
    let (table, head, path) = (numbered(Case::Ignore), Head::default(), path("/API/Xy/ADMIN"));
    let request = RouteRequest { path: &path, host: "", method: b"GET", head: &head };
    assert_eq!(table.find(&request).unwrap().parameters.value("id").as_deref(), Some("Xy"));
    assert!(
        PathPatterns::new(["/Admin/**"], Case::Ignore)
            .unwrap()
            .contains(&CanonicalPath::parse(b"GET", b"/aDMIN/x", PathOptions::default()).unwrap())
    );
}

#[test]
fn ten_thousand_routes_visit_no_more_places_than_one() {
    let routes = (0..10_000).map(|at| (route(&format!("/api/v{}/r{at}/{{id}}/**", at % 7)), at));
    let table = RouteTable::new(routes, Case::Exact).unwrap();
    assert_eq!(table.most_visits(), 5);
    let head = Head::default();
    for (target, expected) in [("/api/v3/r9999/x/y", Some(9999)), ("/api/v3/r9998/x/y", None)] {
        let request = RouteRequest { path: &path(target), host: "", method: b"GET", head: &head };
        assert_eq!(table.find(&request).map(|found| found.index), expected, "{target}");
    }
}

/// The most comparisons that any of a hundred requests takes, spread over a table of `count` routes.
fn comparisons(count: usize, of: impl Fn(usize) -> RouteMatch) -> usize {
    let table = table((0..count).map(&of).collect());
    let asked = (0..100).map(|turn| {
        let at = turn * count / 100;
        let route = of(at);
        let target = route.path.replace("{id}", "7").replace("/**", "/8");
        let host = route.hosts.first().map_or("h".to_owned(), |host| host.replace('*', "x"));
        let method = route.methods.first().map_or("GET", String::as_str);
        let headers: Vec<_> =
            route.headers.iter().map(|header| (&*header.name, header.value.as_deref().unwrap_or(""))).collect();
        COMPARISONS.set(0);
        assert_eq!(found(&table, &host, method, &target, &headers), Some(at));
        COMPARISONS.get()
    });
    asked.max().unwrap()
}

#[test]
fn comparisons_grow_with_the_logarithm_of_the_number_of_routes() {
    let path = |text: String| RouteMatch { path: text, ..RouteMatch::default() };
    let header = |name: &str, value: String| HeaderCondition { name: name.into(), value: Some(value) };
    let shapes: [(&str, &dyn Fn(usize) -> RouteMatch); 9] = [
        ("exact paths", &|at| path(format!("/api/r{at}"))),
        ("open paths", &|at| path(format!("/api/r{at}/**"))),
        ("parameters before", &|at| path(format!("/api/{{id}}/r{at}"))),
        ("parameters after", &|at| path(format!("/api/r{at}/{{id}}"))),
        ("all of them, in groups", &|at| {
            let base = format!("/api/g{}", at / 100);
            path([format!("{base}/r{at}"), format!("{base}/r{at}/**"), format!("{base}/{{id}}/r{at}")][at % 3].clone())
        }),
        ("hosts", &|at| RouteMatch { hosts: vec![format!("h{at}.example.com")], ..route("/a") }),
        ("hosts below a name", &|at| RouteMatch { hosts: vec![format!("*.h{at}.example.com")], ..route("/a") }),
        ("values of a header", &|at| RouteMatch { headers: vec![header("X-Tenant", format!("t{at}"))], ..route("/a") }),
        ("values of a header beside a common one", &|at| RouteMatch {
            headers: vec![header("x-beta", "1".into()), header("x-tenant", format!("t{at}"))],
            methods: strings(&["PUT"]),
            ..route("/a")
        }),
    ];
    for (name, of) in shapes {
        let (few, many) = (comparisons(100, of), comparisons(10_000, of));
        // The logarithm doubles; what is tried in turn would be a hundred times as much.
        assert!(many <= 2 * few + 4, "{name}: {few} comparisons in 100 routes, {many} in 10,000");
    }
}

/// The meaning of a template by the book, straight from its text.
fn template_means(template: &str, segments: &[String]) -> bool {
    let parts: Vec<&str> = template.split('/').filter(|part| !part.is_empty()).collect();
    let (parts, open) = match parts.split_last() {
        Some((&"**", parts)) => (parts, true),
        _ => (&parts[..], false),
    };
    let enough = if open { segments.len() >= parts.len() } else { segments.len() == parts.len() };
    enough && parts.iter().zip(segments).all(|(part, segment)| *part == "*" || part.starts_with('{') || part == segment)
}

fn means(route: &RouteMatch, host: &str, method: &str, segments: &[String], head: &[(String, String)]) -> bool {
    let host_means = |pattern: &String| match pattern.strip_prefix('*') {
        Some(below) => host.len() > below.len() && host.ends_with(below),
        None => host == pattern,
    };
    let header_means = |condition: &HeaderCondition| {
        let values: Vec<_> = head.iter().filter(|(name, _)| *name == condition.name).map(|(_, value)| value).collect();
        match &condition.value {
            None => !values.is_empty(),
            Some(value) => values == [value],
        }
    };
    template_means(&route.path, segments)
        && (route.hosts.is_empty() || route.hosts.iter().any(host_means))
        && (route.methods.is_empty() || route.methods.iter().any(|known| known == method))
        && route.headers.iter().all(header_means)
}

fn any_route() -> impl Strategy<Value = RouteMatch> {
    let path = ("(/(a|b|\\*)){0,3}(/\\{id\\})?", prop::sample::select(vec!["", "", "/", "/**"]))
        .prop_map(|(path, end)| if path.is_empty() && end.is_empty() { "/".to_owned() } else { path + end });
    let hosts = prop::collection::vec(prop::sample::select(vec!["a.b", "b", "*.b", "*.a.b", "*"]), 0..2);
    let methods = prop::collection::vec(prop::sample::select(vec!["GET", "POST", "PUT"]), 0..2);
    let header = ("[xy]", prop::option::of("[12]")).prop_map(|(name, value)| HeaderCondition { name, value });
    (path, hosts, methods, prop::collection::vec(header, 0..2)).prop_map(|(path, hosts, methods, headers)| RouteMatch {
        path,
        hosts: strings(&hosts),
        methods: strings(&methods),
        headers,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn answers_as_trying_each_route_in_turn_does(
        routes in prop::collection::vec(any_route(), 0..24),
        asked in prop::collection::vec(
            ("(/(a|b|c)){0,4}/?", prop::sample::select(vec!["b", "a.b", "a.a.b", "x.a.b", "c"]), "GET|POST|PATCH",
             prop::collection::vec(("[xy]", "[12]"), 0..3)),
            1..12
        )
    ) {
        let table = table(routes.clone());
        for (target, host, method, headers) in asked {
            let target = if target.is_empty() { "/".to_owned() } else { target };
            let path = path(&target);
            let segments: Vec<_> = path.segments().map(|segment| segment.value().into_owned()).collect();
            let expected = routes.iter().position(|route| means(route, host, &method, &segments, &headers));
            let head = Head::from_pairs(headers.iter().cloned());
            let request = RouteRequest { path: &path, host, method: method.as_bytes(), head: &head };
            let found = table.find(&request);
            prop_assert_eq!(found.as_ref().map(|found| found.index), expected, "{} {} {}", target, host, method);
            let id = routes.get(expected.unwrap_or(usize::MAX)).and_then(|route| {
                route.path.split('/').skip(1).position(|part| part == "{id}")
            });
            let value = found.as_ref().and_then(|found| found.parameters.value("id"));
            prop_assert_eq!(value.as_deref(), id.map(|at| segments[at].as_str()));
        }
    }
}
