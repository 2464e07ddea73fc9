//! Secrets by name, from where the configuration says. Those of a store arrive later: nothing is fetched here.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Findings, Surroundings, space};
use portcullis::check::Background;
use portcullis::secrets::refresh::{Refresh, Remote, Settling};
use portcullis::secrets::source::{Credentials, KubernetesSecret, SecretsManager, Source, VaultKv};
use portcullis::secrets::{SecretSlot, SecretValue};
use portcullis::table::generation::Generation;
use portcullis_config::{self as config, AwsSecretsManager, Config, Kubernetes, SecretRef, SecretSource, Vault};

/// Secrets by name.
pub(super) struct Secrets {
    slots: BTreeMap<String, Rc<SecretSlot>>,
    /// Raised to have every worker fetch at once.
    pub(super) demand: Option<Rc<Generation>>,
}

impl Secrets {
    /// What a reference stands for; `None` where that has no value and never will, which was reported.
    pub(super) fn slot(&self, reference: &SecretRef) -> Option<Rc<SecretSlot>> {
        self.slots.get(reference.secret.as_str()).cloned()
    }

    /// What these references stand for.
    pub(super) fn slots(&self, references: &[SecretRef]) -> Vec<Rc<SecretSlot>> {
        references.iter().filter_map(|reference| self.slot(reference)).collect()
    }

    /// Those that are fetched.
    pub(super) fn fetched(&self) -> Vec<Rc<SecretSlot>> {
        self.slots.values().filter(|slot| slot.is_fetched()).cloned().collect()
    }

    /// What keeps them fresh; nothing where nothing is fetched.
    pub(super) fn background(&self) -> Vec<Rc<dyn Background>> {
        let fetched = self.fetched();
        if fetched.is_empty() {
            return Vec::new();
        }
        let fetches = fetched.iter().map(|slot| Rc::new(Refresh(slot.clone())) as Rc<dyn Background>);
        let mut tasks: Vec<_> = fetches.collect();
        tasks.push(Rc::new(Settling(fetched)));
        tasks
    }
}

pub(super) fn resolve(config: &Config, surroundings: &Surroundings<'_>, findings: &mut Findings) -> Secrets {
    let demand = space(config, "", surroundings).map(|space| Rc::new(Generation::new(&space, "secrets")));
    let demand = demand.map_err(|error| findings.error("tables", error.to_string())).ok();
    let mut slots = BTreeMap::new();
    for (number, (name, secret)) in (0..).zip(&config.secrets) {
        let mut sources = Sources { surroundings, findings, path: format!("secrets.{}", name.as_str()) };
        let slot = match &secret.source {
            SecretSource::Env(variable) => {
                sources.variable(variable, "env").map(|v| SecretSlot::fixed(name.as_str(), v))
            }
            SecretSource::Inline(value) => sources.inline(value).map(|v| SecretSlot::fixed(name.as_str(), v)),
            store => sources.store(store).zip(demand.clone()).map(|(source, demand)| {
                SecretSlot::fetched(name.as_str(), number, Remote::new(source, secret.refresh.0, demand))
            }),
        };
        slots.extend(slot.map(|slot| (name.as_str().to_owned(), slot)));
    }
    Secrets { slots, demand }
}

/// Compiles the source of one secret.
struct Sources<'s, 'e> {
    surroundings: &'s Surroundings<'e>,
    findings: &'s mut Findings,
    /// Of the secret.
    path: String,
}

impl Sources<'_, '_> {
    fn store(&mut self, source: &SecretSource) -> Option<Source> {
        match source {
            SecretSource::Vault(vault) => self.vault(vault).map(Source::Vault),
            SecretSource::AwsSecretsManager(aws) => self.secrets_manager(aws).map(Source::SecretsManager),
            SecretSource::Kubernetes(kubernetes) => self.kubernetes(kubernetes).map(Source::Kubernetes),
            SecretSource::Env(_) | SecretSource::Inline(_) => None,
        }
    }

    fn vault(&mut self, vault: &Vault) -> Option<VaultKv> {
        let (path, field) = (vault.path.trim_matches('/').into(), vault.field.as_str().into());
        let token = self.credential(&vault.token, "vault.token");
        Some(VaultKv { cluster: vault.cluster.as_str().into(), path, field, token: token? })
    }

    fn secrets_manager(&mut self, aws: &AwsSecretsManager) -> Option<SecretsManager> {
        let access_key_id = self.credential(&aws.access_key_id, "aws_secrets_manager.access_key_id");
        let secret_access_key = self.credential(&aws.secret_access_key, "aws_secrets_manager.secret_access_key");
        let session_token = match &aws.session_token {
            Some(token) => self.credential(token, "aws_secrets_manager.session_token").map(Some),
            None => Some(None),
        };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !aws.region.bytes().all(plain) {
            let path = format!("{}.aws_secrets_manager.region", self.path);
            self.findings.error(path, "expected a region such as eu-west-1");
        }
        Some(SecretsManager {
            cluster: aws.cluster.as_str().into(),
            region: aws.region.as_str().into(),
            secret_id: aws.secret_id.as_str().into(),
            field: aws.field.as_deref().map(Into::into),
            credentials: Credentials {
                access_key_id: access_key_id?,
                secret_access_key: secret_access_key?,
                session_token: session_token?,
            },
        })
    }

    fn kubernetes(&mut self, kubernetes: &Kubernetes) -> Option<KubernetesSecret> {
        let token = self.credential(&kubernetes.token, "kubernetes.token");
        Some(KubernetesSecret {
            cluster: kubernetes.cluster.as_str().into(),
            namespace: kubernetes.namespace.as_str().into(),
            name: kubernetes.secret.as_str().into(),
            field: kubernetes.field.as_str().into(),
            token: token?,
        })
    }

    fn inline(&mut self, value: &config::Redacted) -> Option<SecretValue> {
        let value = SecretValue::new(value.reveal().as_bytes().to_vec());
        if value.is_none() {
            self.findings.error(format!("{}.inline", self.path), "expected a value");
        }
        value
    }

    /// What opens a store: a variable that travels in a header.
    fn credential(&mut self, variable: &config::Env, field: &str) -> Option<SecretValue> {
        let value = self.variable(&variable.env, &format!("{field}.env"))?;
        if value.as_header_text().is_none() {
            let message = format!("expected {} to hold visible ASCII only, without spaces or line ends", variable.env);
            self.findings.error(format!("{}.{field}.env", self.path), message);
            return None;
        }
        Some(value)
    }

    fn variable(&mut self, name: &str, field: &str) -> Option<SecretValue> {
        let value = (self.surroundings.variable)(name).map(String::into_bytes).and_then(SecretValue::new);
        if value.is_none() {
            self.findings.error(
                format!("{}.{field}", self.path),
                format!("expected {name} to be set, not empty, and passed to the plugin"),
            );
        }
        value
    }
}
