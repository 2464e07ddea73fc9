//! What operators are told: counts, event lines, and what intrusion detection learns of a refusal.

use std::rc::Rc;

use super::Pipeline;
use crate::check::Env;
use crate::checks::intrusion;
use crate::config;
use crate::denial::{AuthReason, Denial, Place};
use crate::event::{self, Details, EventType, Sample};
use crate::exchange::{Exchange, Origin};
use crate::head::Head;
use crate::metrics::Counter;
use crate::traceparent::trace_id;

impl Pipeline {
    /// Tells what was noted by work in the background: events of no exchange. All of it: it notes what has changed, or what
    /// its schedule lets it try, twice a second at most, and may never note that again.
    pub fn tell_background(&self, env: &mut Env<'_>) {
        for notice in std::mem::take(&mut env.worker.notices) {
            env.host.count(Counter::SecurityEvents(notice.event), 1);
            let dependency = notice.dependency.as_deref().unwrap_or_default();
            let details = Details { reason: notice.reason, dependency, ..Details::default() };
            env.host.log(notice.event.severity(), &event::line(notice.event, &self.service, env.now, &details));
        }
    }

    /// Tells of logins that failed after their clients had left, and counts them against their addresses.
    pub(super) fn tell_left(&self, env: &mut Env<'_>) {
        for (client, reason) in std::mem::take(&mut env.worker.left_logins.failed) {
            let mut exchange = Exchange::new(Head::default(), env.now);
            exchange.origin = Some(Origin { client, proxied: false });
            let denial = Denial::Unauthenticated { reason: AuthReason::Login(reason), challenge: Rc::from("") };
            self.report_as(&mut exchange, &denial, "", None, env);
        }
    }

    /// States how many events the sampler left out since it last said so.
    pub fn state_left_out(&self, env: &mut Env<'_>) {
        for (event, left_out) in env.worker.events.drain() {
            let details = Details { left_out: Some(left_out), reason: "sampled", ..Details::default() };
            env.host.log(event.severity(), &event::line(event, &self.service, env.now, &details));
        }
    }

    pub(super) fn report(&self, exchange: &mut Exchange, denial: &Denial, mode: &str, env: &mut Env<'_>) {
        let status = Some(denial.status()).filter(|_| mode.is_empty());
        self.report_as(exchange, denial, mode, status, env);
    }

    /// `status` is what the client gets, where it gets one.
    fn report_as(&self, exchange: &mut Exchange, denial: &Denial, mode: &str, status: Option<u16>, env: &mut Env<'_>) {
        if let Some(reason) = denial.auth_reason() {
            env.host.count(Counter::AuthFailures(reason), 1);
        }
        let Some(event) = denial.event() else { return };
        let mut details = Details { reason: denial.reason(), rule: denial.rule(), mode, status, ..Details::default() };
        if let Denial::RateLimited { limit, .. } = denial {
            details.limit = limit;
        }
        if let Denial::Invalid(violations) = denial {
            details.parameter = violations.first().map_or("", |violation| &violation.pointer);
            details.place = Place::Body.as_str();
        }
        if let Denial::Injection(detection) = denial {
            details.class = detection.class;
            details.score = Some(detection.score);
            details.parameter = &detection.parameter;
            details.place = detection.place.as_str();
            details.excerpt = &detection.excerpt;
        }
        self.emit(exchange, event, details, env);
        self.feed(exchange, intrusion::failure(denial), mode.is_empty(), env);
    }

    /// Feeds intrusion detection, and tells what came of it.
    pub(super) fn feed(
        &self,
        exchange: &mut Exchange,
        failure: Option<config::Failure>,
        enforced: bool,
        env: &mut Env<'_>,
    ) {
        let (Some(intrusion), Some(failure)) = (&self.intrusion, failure) else { return };
        intrusion.record(exchange, failure, enforced, env);
        self.tell(exchange, env);
    }

    /// Tells what was noted beside what was decided.
    pub(super) fn tell(&self, exchange: &mut Exchange, env: &mut Env<'_>) {
        for notice in std::mem::take(&mut exchange.notices) {
            let address = notice.address.map(|address| address.to_string()).unwrap_or_default();
            let details = Details {
                ip_address: &address,
                network: notice.network.as_deref().unwrap_or_default(),
                parameter: notice.parameter.as_deref().unwrap_or_default(),
                until: notice.until,
                failed_attempts: notice.failed_attempts,
                reason: notice.reason,
                mode: notice.mode,
                dependency: notice.dependency.as_deref().unwrap_or_default(),
                ..Details::default()
            };
            self.emit(exchange, notice.event, details, env);
        }
    }

    /// Counts an event, and prints it unless its kind floods. `details` is completed with what the exchange knows.
    pub(super) fn emit(&self, exchange: &mut Exchange, event: EventType, details: Details<'_>, env: &mut Env<'_>) {
        let mut details = details;
        let lacking = exchange.lacking.take();
        details.dependency = lacking.as_deref().unwrap_or(details.dependency);
        env.host.count(Counter::SecurityEvents(event), 1);
        let Sample::Print { left_out } = env.worker.events.take(event, details.reason, env.now) else { return };
        // An event tells it also where nothing that decided has asked; there is no more to be done where the host does not.
        let _ = self.locate(exchange, env);
        let address = exchange.origin.unwrap_or_default().client.to_string();
        let request_id = exchange.request_id();
        let user_agent = exchange.head.first("user-agent").map(String::from_utf8_lossy).unwrap_or_default();
        let method = exchange.head.method().map(String::from_utf8_lossy).unwrap_or_default();
        let path = exchange.shown_path();
        details.path = &path;
        details.method = &method;
        if details.ip_address.is_empty() {
            details.ip_address = &address;
        }
        details.user_agent = &user_agent;
        details.user = exchange.caller.as_ref().map(|caller| caller.subject.as_str()).unwrap_or_default();
        details.request_id = &request_id;
        details.trace_id = exchange.head.first("traceparent").and_then(trace_id).unwrap_or_default();
        details.left_out = Some(left_out).filter(|n| *n > 0);
        let line = event::line(event, &self.service, env.now, &details);
        env.host.log(event.severity(), &line);
        exchange.lines.push(line);
    }
}
