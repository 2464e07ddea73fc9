//! The plugin's configuration and its clock.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::assembly::{self, Surroundings};
use crate::check::Telemetry;
use crate::config;
use crate::event::{self, Details};
use crate::host::abi::{self, Buffer, Level};
use crate::host::environment::{Environment, SharedData};
use crate::host::stream::Stream;
use crate::pipeline::Pipeline;
use crate::time::Timestamp;
use crate::worker::Worker;

/// How often left-out events are stated.
const TICK_MILLIS: u32 = 5_000;
/// A configuration is small; a larger one is a mistake.
const CONFIGURATION_BYTES: usize = 16 << 20;

/// One configuration in force on one worker.
pub struct Serving {
    /// What it decides.
    pub pipeline: Pipeline,
    /// The host under it.
    pub environment: Environment,
    /// What this worker keeps.
    pub worker: RefCell<Worker>,
    /// How bodies are held.
    pub hold: crate::config::Hold,
}

/// The root context of one plugin configuration. Envoy makes a new one for each, so the last good one goes on serving
/// while a bad one is refused.
#[derive(Default)]
pub struct Root {
    serving: Option<Rc<Serving>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = abi::buffer(Buffer::PluginConfiguration, size);
        if bytes.len() != size || size > CONFIGURATION_BYTES {
            abi::log(Level::Error, "portcullis: configuration refused: it could not be read whole, or exceeds 16 MiB");
            return false;
        }
        let variable = |name: &str| std::env::var(name).ok();
        let random = [(); 4].map(|()| random_seed());
        let surroundings = Surroundings { store: &SharedData, variable: &variable, random };
        match assembly::assemble(&config::plugin_configuration(&bytes), &surroundings) {
            Ok(assembled) => {
                for warning in assembled.warnings {
                    abi::log(Level::Warn, &format!("portcullis: configuration: {warning}"));
                }
                let environment = Environment::new(assembled.pipeline.service());
                self.serving = Some(Rc::new(Serving {
                    pipeline: assembled.pipeline,
                    environment,
                    worker: RefCell::new(assembled.worker),
                    hold: assembled.hold,
                }));
                abi::tick_every(TICK_MILLIS);
                true
            }
            Err(errors) => {
                for error in errors {
                    abi::log(Level::Error, &format!("portcullis: configuration refused: {error}"));
                }
                false
            }
        }
    }

    /// States what the sampler left out, even when no further event of that type comes.
    fn on_tick(&mut self) {
        let Some(serving) = &self.serving else { return };
        let Ok(mut worker) = serving.worker.try_borrow_mut() else { return };
        for (event, left_out) in worker.events.drain() {
            let details = Details { left_out: Some(left_out), reason: "sampled", ..Details::default() };
            let now = Timestamp::from_unix_nanos(abi::now().unwrap_or_default());
            serving.environment.log(event.severity(), &event::line(event, serving.pipeline.service(), now, &details));
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(self.serving.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Differs between VMs and starts: WASI's `random_get` behind the standard library's hash keys.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
