//! The plugin's configuration, its clock, and the work in the background.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::abi::{self, Buffer, Level};
use crate::callouts::{Asker, Callouts};
use crate::environment::{Environment, SharedData};
use crate::stream::now;
use portcullis::check::{CalloutReply, Env};
use portcullis::pipeline::Pipeline;
use portcullis::secrets::SecretSlot;
use portcullis::store::SharedStore;
use portcullis::time::Timestamp;
use portcullis::worker::Worker;
use portcullis_assembly::{Surroundings, assemble, fingerprint};
use portcullis_config as config;

/// The first tick: background work starts before the first request, as far as it can.
const FIRST_TICK_MILLIS: u32 = 10;
/// How often there is a look at what is due.
const TICK_MILLIS: u32 = 1_000;
/// What is due is not looked for again before.
const EARLY: Duration = Duration::from_millis(900);
/// When a stream leaves that its own callback must not let go.
const TURN_MILLIS: u32 = 1;
/// How many ticks pass between two statements of left-out events.
const STATEMENT_TICKS: u32 = 5;

/// One configuration in force on one worker.
pub struct Serving {
    /// What it decides.
    pub pipeline: Pipeline,
    /// The host under it.
    pub environment: Environment,
    worker: RefCell<Worker>,
    /// How bodies are held.
    pub hold: config::Hold,
    /// Who waits for which answer.
    pub callouts: Callouts,
    /// Secrets that are fetched, for the configuration after this.
    pub secrets: Vec<Rc<SecretSlot>>,
    /// Streams that go on with the root's next turn.
    leaving: RefCell<Vec<u32>>,
}

/// The root context of one plugin configuration. Envoy makes a new one for each, so the last good one goes on serving
/// while a bad one is refused.
pub struct Root {
    context: u32,
    serving: RefCell<Option<Rc<Serving>>>,
    ticks: Cell<u32>,
    /// When there last was a look at what is due.
    looked: Cell<Timestamp>,
}

/// Why a task in the background gets its turn.
enum Occasion<'a> {
    /// A second has passed.
    Tick,
    /// A request made something urgent.
    Urgent,
    /// What it waited for.
    Reply(&'a CalloutReply),
}

/// Streams, each with the token that it waits for.
type Waiters = Vec<(u32, u32)>;

impl Root {
    /// A root context without a configuration.
    pub const fn new(context: u32) -> Self {
        Self {
            context,
            serving: RefCell::new(None),
            ticks: Cell::new(0),
            looked: Cell::new(Timestamp::from_unix_nanos(0)),
        }
    }

    /// The configuration in force.
    pub fn serving(&self) -> Option<Rc<Serving>> {
        self.serving.borrow().clone()
    }

    /// Takes a configuration of `size` bytes, beside those that are in force in this VM. False: it is refused.
    pub fn configure(&self, size: usize, earlier: &[Rc<Serving>]) -> bool {
        let bytes = abi::buffer(Buffer::PluginConfiguration, size);
        if bytes.len() != size {
            abi::log(Level::Error, "portcullis: configuration refused: it could not be read whole");
            return false;
        }
        // Whatever is in force: what Envoy tries in a fresh VM and this one refuses, it takes, and leaves the module out.
        if bytes.is_empty() {
            abi::log(Level::Error, "portcullis: configuration refused: it is empty");
            return false;
        }
        let variable = |name: &str| std::env::var(name).ok();
        let random = [(); 4].map(|()| random_seed());
        let surroundings = Surroundings { store: &SharedData, variable: &variable, random };
        let json = config::plugin_configuration(&bytes);
        let fingerprint = fingerprint(&json).unwrap_or_default();
        match assemble(&json, &surroundings) {
            Ok(assembled) => {
                announce(&fingerprint, &assembled.pipeline);
                for warning in &assembled.warnings {
                    abi::log(Level::Warn, &format!("portcullis: configuration: {warning}"));
                }
                earlier.iter().for_each(|serving| assembled.adopt(&serving.secrets));
                let environment = Environment::new(&assembled.pipeline.service, &assembled.pipeline.health);
                *self.serving.borrow_mut() = Some(Rc::new(Serving {
                    pipeline: assembled.pipeline,
                    environment,
                    worker: RefCell::new(assembled.worker),
                    hold: assembled.hold,
                    callouts: Callouts::new(self.context),
                    secrets: assembled.secrets,
                    leaving: RefCell::default(),
                }));
                abi::tick_every(FIRST_TICK_MILLIS);
                true
            }
            Err(errors) => {
                for error in errors {
                    abi::log(Level::Error, &format!("portcullis: configuration refused: {error}"));
                }
                if !fingerprint.is_empty() {
                    abi::log(
                        Level::Error,
                        &format!("portcullis: configuration refused: its fingerprint is {fingerprint}"),
                    );
                }
                false
            }
        }
    }

    /// The streams whose turn it is to go on.
    pub fn take_leaving(&self) -> Vec<u32> {
        let leaving = self.serving().map(|serving| serving.leaving.take()).unwrap_or_default();
        if !leaving.is_empty() {
            abi::tick_every(TICK_MILLIS);
        }
        leaving
    }

    /// Starts what is due in the background, where the tick does not come `early`, for streams that leave. The streams whose
    /// callouts nobody will answer any more.
    pub fn tick(&self, early: bool) -> Vec<(Waiters, CalloutReply)> {
        let (Some(serving), Some(now)) = (self.serving(), now()) else { return Vec::new() };
        // Turns may follow each other so closely that no other tick comes between. The clock may also have been put back.
        if early && now >= self.looked.get() && now.since(self.looked.get()) < EARLY {
            return Vec::new();
        }
        self.looked.set(now);
        let ticks = self.ticks.replace(self.ticks.get().wrapping_add(1));
        if ticks == 0 {
            abi::tick_every(TICK_MILLIS);
        }
        for task in 0..serving.pipeline.background.len() {
            if !serving.callouts.runs(task) {
                serving.work(task, Occasion::Tick);
            }
        }
        serving.report(ticks.is_multiple_of(STATEMENT_TICKS));
        let overdue = serving.callouts.overdue(now).into_iter();
        overdue.map(|token| (self.answered(token, &CalloutReply::Lost), CalloutReply::Lost)).collect()
    }

    /// An answer to a callout of this root context: the streams that it is for.
    pub fn answered(&self, token: u32, reply: &CalloutReply) -> Waiters {
        let Some(serving) = self.serving() else { return Waiters::new() };
        let Some((asker, cluster)) = serving.callouts.answered(token) else { return Waiters::new() };
        serving.environment.heard_of(&cluster, reply);
        serving.waiters(token, asker, reply)
    }
}

impl Serving {
    fn waiters(&self, token: u32, asker: Asker, reply: &CalloutReply) -> Waiters {
        match asker {
            Asker::Streams { flight, waiters } => {
                if let Some(flight) = flight {
                    self.heard(&flight, reply);
                }
                waiters.into_iter().map(|stream| (stream, token)).collect()
            }
            Asker::Task(task) => {
                self.work(task, Occasion::Reply(reply));
                Waiters::new()
            }
        }
    }

    /// Lets `stream` go on as soon as its callback is over. Only from a callback of that stream. False when the host refuses.
    pub fn let_go(&self, stream: u32) -> bool {
        let first = self.leaving.borrow().is_empty();
        self.leaving.borrow_mut().push(stream);
        !first || self.callouts.as_root(stream, || abi::tick_every(TURN_MILLIS)).is_ok()
    }

    /// Lets the pipeline decide something. `None`: it is in the middle of a decision.
    pub fn decide<T>(&self, now: Timestamp, decision: impl FnOnce(&Pipeline, &mut Env<'_>) -> T) -> Option<T> {
        let mut worker = self.worker.try_borrow_mut().ok()?;
        let mut env = Env { now, host: &self.environment, worker: &mut worker };
        Some(decision(&self.pipeline, &mut env))
    }

    /// The same for a request of `stream`, and starts what it has made urgent. Only from a callback of that stream.
    pub fn decide_for<T>(
        &self,
        stream: u32,
        now: Timestamp,
        decision: impl FnOnce(&Pipeline, &mut Env<'_>) -> T,
    ) -> Option<T> {
        let decided = self.decide(now, |pipeline, env| {
            let decided = decision(pipeline, env);
            (decided, std::mem::take(&mut env.worker.stirred))
        });
        let (decided, stirred) = decided?;
        if stirred {
            self.stir(stream);
        }
        Some(decided)
    }

    /// Lets work in the background hear what the streams of a flight are about to get.
    pub fn heard(&self, flight: &str, reply: &CalloutReply) {
        let Some(now) = now() else { return };
        self.decide(now, |pipeline, env| {
            pipeline.heard(flight, reply, env);
            pipeline.tell_background(env);
        });
    }

    fn stir(&self, stream: u32) {
        let urgent: Vec<usize> =
            (0..self.pipeline.background.len()).filter(|task| !self.callouts.runs(*task)).collect();
        let _ = self.callouts.as_root(stream, || urgent.into_iter().for_each(|task| self.work(task, Occasion::Urgent)));
    }

    /// Asks a task what is due, or gives it the answer it waits for, and sends what it asks for next.
    fn work(&self, task: usize, occasion: Occasion<'_>) {
        let Some(background) = self.pipeline.background.get(task) else { return };
        let Some(now) = now() else { return };
        self.decide(now, |pipeline, env| {
            let callout = match occasion {
                Occasion::Reply(reply) => background.arrived(reply, env),
                Occasion::Tick => background.due(env),
                Occasion::Urgent => background.urgent(env),
            };
            // A call that the host refuses is lost at once; the task then waits for its next turn.
            if let Some(mut asked) = callout {
                let sent = self.callouts.send_for_task(task, &asked, now);
                asked.wipe();
                if sent.is_err() {
                    self.environment.heard_of(&asked.cluster, &CalloutReply::Lost);
                    background.arrived(&CalloutReply::Lost, env);
                }
            }
            pipeline.tell_background(env);
        });
    }

    /// Says how the parts fare and, where asked, what the sampler left out, even when no further event of that type comes.
    fn report(&self, left_out: bool) {
        let Some(now) = now() else { return };
        self.decide(now, |pipeline, env| {
            pipeline.health.report(env);
            if left_out {
                pipeline.state_left_out(env);
            }
        });
    }
}

impl Drop for Serving {
    /// When the last stream of a configuration is gone, nobody else knows what was left out.
    fn drop(&mut self) {
        let Some(now) = now() else { return };
        self.decide(now, Pipeline::state_left_out);
    }
}

/// Says of a configuration that was accepted which it is: once for all VMs, until the plugin gets another one.
fn announce(fingerprint: &str, pipeline: &Pipeline) {
    let (service, plugin) = (&pipeline.service, abi::property(b"plugin_name").unwrap_or_default());
    let key = format!("portcullis/{service}/configuration/{}", String::from_utf8_lossy(&plugin));
    let told = SharedData.get(&key).ok().flatten();
    if told.is_some_and(|told| told.value == fingerprint.as_bytes()) {
        return;
    }
    let _ = SharedData.put(&key, fingerprint.as_bytes());
    let routes = pipeline.route_count();
    let line =
        format!("portcullis: configuration accepted: fingerprint {fingerprint}, service {service}, routes: {routes}");
    abi::log(Level::Info, &line);
}

/// Differs between VMs and starts: WASI's `random_get` behind the standard library's hash keys.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
