//! Routes and their defaults: what they refer to.

use super::Checker;
use crate::{Authenticate, Body, Exclusion, MethodRef, Response, Route, tree};

impl Checker<'_> {
    pub(super) fn routes(&mut self) {
        let defaults = &self.config.defaults;
        self.authenticate(defaults.authenticate.as_ref(), "defaults.authenticate");
        self.allow(defaults.allow.as_deref(), None, "defaults.allow");
        self.deny(defaults.deny.as_deref(), None, "defaults.deny");
        self.limit_names(defaults.limits.as_deref().unwrap_or_default(), "defaults.limits");
        for (index, route) in self.config.routes.iter().enumerate() {
            self.route(route, &format!("routes[{index}]"));
        }
    }

    fn route(&mut self, route: &Route, path: &str) {
        let template = Some(route.matching.path.as_ref().map_or("", |template| template.as_str()));
        for (name, value) in &route.matching.headers {
            if name.as_str() == "host" {
                let path = tree::under(&format!("{path}.match.headers"), name.as_str());
                self.error(path, "expected match.hosts: what a request asks for is its authority, and no header");
            }
            if value.trim_matches([' ', '\t']).len() < value.len() {
                let path = tree::under(&format!("{path}.match.headers"), name.as_str());
                self.error(path, "expected a value without space around it: no request has another");
            }
        }
        self.authenticate(route.authenticate.as_ref(), &format!("{path}.authenticate"));
        self.allow(route.allow.as_deref(), template, &format!("{path}.allow"));
        self.deny(route.deny.as_deref(), template, &format!("{path}.deny"));
        self.limit_names(route.limits.as_deref().unwrap_or_default(), &format!("{path}.limits"));
        if let Some(body) = &route.body {
            self.body(body, &format!("{path}.body"));
        }
        if let Some(response) = &route.response {
            self.response(response, &format!("{path}.response"));
        }
        for (index, exclusion) in route.inspection.iter().flat_map(|inspection| &inspection.exclude).enumerate() {
            if *exclusion == Exclusion::default() {
                self.error(format!("{path}.inspection.exclude[{index}]"), "expected parameter, classes or rule");
            }
        }
        if let Some(cors) = &route.cors {
            self.cors(cors, &format!("{path}.cors"));
        }
    }

    fn authenticate(&mut self, authenticate: Option<&Authenticate>, path: &str) {
        let Some(authenticate) = authenticate else { return };
        let path = format!("{path}{}", form_of(authenticate));
        let methods = authenticate.methods();
        if methods.is_empty() && *authenticate != Authenticate::None {
            self.error(&path, "expected at least one method, or none for a public route");
        }
        for (index, method) in methods.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if methods.iter().take(index).any(|earlier| earlier == method) {
                self.error(path, "is listed twice");
            } else {
                self.method(method, path);
            }
        }
    }

    fn method(&mut self, method: &MethodRef, path: String) {
        let known = &self.config.authentication;
        let missing = match method {
            MethodRef::Jwt(Some(name)) if !known.jwt.contains_key(name) => {
                format!("no provider of authentication.jwt is called {name}")
            }
            MethodRef::Oauth2(Some(name)) if !known.oauth2.contains_key(name) => {
                format!("no provider of authentication.oauth2 is called {name}")
            }
            MethodRef::Jwt(None) if known.jwt.is_empty() => "authentication.jwt has no provider".to_owned(),
            MethodRef::Oauth2(None) if known.oauth2.is_empty() => "authentication.oauth2 has no provider".to_owned(),
            MethodRef::Service if known.service.is_none() => "authentication.service is not set".to_owned(),
            MethodRef::ApiKeys if known.api_keys.is_none() => "authentication.api_keys is not set".to_owned(),
            MethodRef::Mtls if known.mtls.is_none() => "authentication.mtls is not set".to_owned(),
            _ => return,
        };
        self.error(path, missing);
    }

    fn body(&mut self, body: &Body, path: &str) {
        if let Some(sanitize) = &body.sanitize_html {
            self.fields(&sanitize.fields, &format!("{path}.sanitize_html.fields"));
            self.not_empty(&sanitize.fields, &format!("{path}.sanitize_html.fields"));
        }
        self.fields(&body.encrypt, &format!("{path}.encrypt"));
        if body.encrypt_whole && !body.encrypt.is_empty() {
            self.error(format!("{path}.encrypt"), "expected either encrypt or encrypt_whole");
        }
        self.needs_encryption(!body.encrypt.is_empty(), &format!("{path}.encrypt"));
        self.needs_encryption(body.encrypt_whole, &format!("{path}.encrypt_whole"));
    }

    fn response(&mut self, response: &Response, path: &str) {
        self.fields(&response.decrypt, &format!("{path}.decrypt"));
        if response.decrypt_whole && !response.decrypt.is_empty() {
            self.error(format!("{path}.decrypt"), "expected either decrypt or decrypt_whole");
        }
        self.needs_encryption(!response.decrypt.is_empty(), &format!("{path}.decrypt"));
        self.needs_encryption(response.decrypt_whole, &format!("{path}.decrypt_whole"));
        if let Some(fields) = &response.fields {
            self.fields(&fields.deny, &format!("{path}.fields.deny"));
            self.fields(fields.allow.as_deref().unwrap_or_default(), &format!("{path}.fields.allow"));
            self.some_role(fields.allow_all.as_ref(), &format!("{path}.fields.allow_all"));
            if fields.deny.is_empty() && fields.allow.is_none() {
                self.error(format!("{path}.fields"), "expected deny or allow");
            }
        }
        if let Some(owner) = &response.owner {
            self.fields(std::slice::from_ref(&owner.field), &format!("{path}.owner.field"));
            self.some_role(owner.unless.as_ref(), &format!("{path}.owner.unless"));
        }
    }

    fn needs_encryption(&mut self, used: bool, path: &str) {
        if used && self.config.encryption.is_none() {
            self.error(path, "needs the keys of the section encryption");
        }
    }

    /// Paths into JSON: names and `*`, separated by dots.
    fn fields(&mut self, fields: &[String], path: &str) {
        for (index, field) in fields.iter().enumerate() {
            if field.split('.').any(str::is_empty) {
                self.error(format!("{path}[{index}]"), "expected names separated by dots, such as results.*.password");
            }
        }
    }
}

/// The step between `authenticate` and its list.
fn form_of(authenticate: &Authenticate) -> &'static str {
    match authenticate {
        Authenticate::None | Authenticate::Any(_) => "",
        Authenticate::All(_) => ".all",
        Authenticate::Optional(_) => ".optional",
    }
}
