//! What is told about requests.

use crate::setting::Setting;

use super::scalar::{PathTemplate, RateText};

/// Security events.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Paths whose every use is told. Default: none.
    pub sensitive_paths: Vec<PathTemplate>,
    /// Lines per event type, or reason of DEGRADED; the rest is counted and stated. Default: 100/s.
    pub sample: RateText,
}

impl Default for Events {
    fn default() -> Self {
        Self { sensitive_paths: Vec::new(), sample: RateText::per(100, 1) }
    }
}
