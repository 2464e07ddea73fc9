//! Whether the route of a request hangs on what is in no log.

use portcullis::exchange::Exchange;
use portcullis::policy::route_table::{RouteMatch, RouteRequest, RouteTable};
use portcullis_assembly::route_match;
use portcullis_config::Config;

/// Headers that a log may hold.
const LOGGED: [&str; 3] = ["user-agent", "x-forwarded-for", "x-request-id"];

/// The routes as they are, and as if what is in no log were what each of them asks for.
pub struct Routes {
    asked: RouteTable<()>,
    any_header: RouteTable<()>,
    any_header_and_host: RouteTable<()>,
}

impl Routes {
    /// `None` where a route cannot be compiled.
    pub fn new(config: &Config) -> Option<Self> {
        let table = |change: &dyn Fn(&mut RouteMatch)| {
            let routes = config.routes.iter().map(|route| {
                let mut matching = route_match(&route.matching);
                change(&mut matching);
                (matching, ())
            });
            RouteTable::new(routes, config.paths.case).ok()
        };
        let any_header = |route: &mut RouteMatch| {
            route.headers.retain(|header| LOGGED.iter().any(|logged| header.name.eq_ignore_ascii_case(logged)));
        };
        Some(Self {
            asked: table(&|_| {})?,
            any_header: table(&any_header)?,
            any_header_and_host: table(&|route| {
                any_header(route);
                route.hosts.clear();
            })?,
        })
    }

    /// Whether another route than that of what is known may have taken the request.
    pub fn are_open(&self, exchange: &Exchange, host_is_known: bool) -> bool {
        let request = RouteRequest {
            path: &exchange.target.canonical,
            host: &exchange.target.host,
            method: exchange.head.method().unwrap_or_default(),
            head: &exchange.head,
        };
        let first = |table: &RouteTable<()>| table.find(&request).map(|matched| matched.index);
        first(&self.asked) != first(if host_is_known { &self.any_header } else { &self.any_header_and_host })
    }
}
