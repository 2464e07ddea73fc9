//! Routes that are never taken, because another that comes before them matches the same requests.

use super::Findings;
use portcullis::order;
use portcullis::policy::route_table::RouteMatch;

/// Warns of them. `field` is the setting of the route with this number.
pub(super) fn warn<'r>(
    routes: impl Iterator<Item = &'r RouteMatch>,
    field: impl Fn(usize) -> String,
    findings: &mut Findings,
) {
    let mut keys: Vec<_> = routes.enumerate().filter_map(|(at, route)| Some((route.key()?, at))).collect();
    order::sort(&mut keys);
    let pairs = keys.iter().zip(keys.iter().skip(1)).filter(|((first, _), (second, _))| first == second);
    let mut pairs: Vec<_> = pairs.map(|((_, first), (_, second))| (*second, *first)).collect();
    order::sort(&mut pairs);
    for (second, first) in pairs {
        findings.warning(field(second), format!("is never taken: {} matches the same requests", field(first)));
    }
}
