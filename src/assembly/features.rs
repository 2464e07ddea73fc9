//! What this build can do with bodies and signatures: a system that is left out is refused where a configuration asks for it, and nothing
//! of it is in the module, since nothing makes its checks.

use super::Findings;
use super::authentication::algorithm;
use portcullis_config::Config;

/// The systems that a build may leave out, each a feature of Cargo by the same name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Features {
    /// `body.schema`.
    pub(super) schema: bool,
    /// `body.sanitize_html`.
    pub(super) sanitize: bool,
    /// `encryption`, and what encrypts and decrypts.
    pub(super) encryption: bool,
    /// `response.fields` and `response.owner`.
    pub(super) projection: bool,
    /// Signatures that the host does not verify.
    pub(super) signatures: bool,
}

/// Those of this build.
pub(super) const BUILT: Features = Features {
    schema: cfg!(feature = "schema"),
    sanitize: cfg!(feature = "sanitize"),
    encryption: cfg!(feature = "encryption"),
    projection: cfg!(feature = "projection"),
    signatures: cfg!(feature = "signatures"),
};

impl Features {
    /// Whether responses are looked into: a schema keeps what is `write_only` out of them.
    pub(super) const fn responses(self) -> bool {
        self.schema || self.encryption || self.projection
    }

    /// Whether requests are looked into and changed.
    pub(super) const fn requests(self) -> bool {
        self.schema || self.sanitize || self.encryption
    }

    /// Refuses every setting of what is left out.
    pub(super) fn refuse(self, config: &Config, findings: &mut Findings) {
        let mut asked = |present: bool, built: bool, feature: &str, path: &dyn Fn() -> String| {
            if present && !built {
                findings.error(path(), format!("is not in this build, which leaves out the feature {feature}"));
            }
        };
        asked(config.encryption.is_some(), self.encryption, "encryption", &|| "encryption".to_owned());
        for (name, provider) in &config.authentication.jwt {
            let ours =
                provider.algorithms.iter().any(|known| !known.is_shared() && algorithm(*known).host_hash().is_none());
            asked(ours, self.signatures, "signatures", &|| format!("authentication.jwt.{name}.algorithms"));
        }
        for (index, route) in config.routes.iter().enumerate() {
            let at = |field: &'static str| move || format!("routes[{index}].{field}");
            if let Some(body) = &route.body {
                asked(body.schema.is_some(), self.schema, "schema", &at("body.schema"));
                asked(body.sanitize_html.is_some(), self.sanitize, "sanitize", &at("body.sanitize_html"));
                asked(!body.encrypt.is_empty(), self.encryption, "encryption", &at("body.encrypt"));
                asked(body.encrypt_whole, self.encryption, "encryption", &at("body.encrypt_whole"));
            }
            if let Some(response) = &route.response {
                asked(!response.decrypt.is_empty(), self.encryption, "encryption", &at("response.decrypt"));
                asked(response.decrypt_whole, self.encryption, "encryption", &at("response.decrypt_whole"));
                asked(response.fields.is_some(), self.projection, "projection", &at("response.fields"));
                asked(response.owner.is_some(), self.projection, "projection", &at("response.owner"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NONE: Features =
        Features { schema: false, sanitize: false, encryption: false, projection: false, signatures: false };

    fn refused(features: Features, config: &serde_json::Value) -> Vec<String> {
        let config = Config::from_json(config.to_string().as_bytes()).unwrap();
        let mut findings = Findings::default();
        features.refuse(&config, &mut findings);
        findings.errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn refuses_by_its_path_every_setting_of_a_system_that_is_left_out() {
        let config = json!({
            "authentication": { "jwt": {
                "a": { "algorithms": ["RS256", "PS256"] },
                "b": { "algorithms": ["EdDSA"] },
                "c": { "algorithms": ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384"] },
            } },
            "encryption": { "keys": [{ "secret": "pii" }] },
            "routes": [
                { "match": {} },
                {
                    "match": {},
                    "body": { "schema": {}, "sanitize_html": { "fields": ["a"] }, "encrypt": ["b"], "encrypt_whole": true },
                    "response": {
                        "fields": {}, "owner": { "field": "a", "claim": "sub" }, "decrypt": ["b"], "decrypt_whole": true
                    },
                },
            ],
        });
        let expected = [
            ("encryption", "encryption"),
            ("authentication.jwt.a.algorithms", "signatures"),
            ("authentication.jwt.b.algorithms", "signatures"),
            ("routes[1].body.schema", "schema"),
            ("routes[1].body.sanitize_html", "sanitize"),
            ("routes[1].body.encrypt", "encryption"),
            ("routes[1].body.encrypt_whole", "encryption"),
            ("routes[1].response.decrypt", "encryption"),
            ("routes[1].response.decrypt_whole", "encryption"),
            ("routes[1].response.fields", "projection"),
            ("routes[1].response.owner", "projection"),
        ];
        let expected = expected
            .map(|(path, feature)| format!("{path}: is not in this build, which leaves out the feature {feature}"));
        assert_eq!(refused(NONE, &config), expected);
        let one = Features { schema: true, ..NONE };
        assert_eq!(refused(one, &config).len(), expected.len() - 1);
    }

    #[test]
    fn what_asks_for_nothing_that_is_left_out_is_good() {
        let config = json!({ "routes": [{ "match": {}, "body": {}, "response": {} }] });
        assert_eq!(refused(NONE, &config), [""; 0]);
    }
}
