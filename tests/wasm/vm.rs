//! One VM with the module in it, driven as Envoy drives it: the callbacks of a root context and of whole requests.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::LazyLock;

use wasmi::{CompilationMode, Config, Engine, Error, Instance, Module, Store, WasmParams, WasmResults};

use crate::host::{Callout, Headers, Host, Reply, SharedData, Stream};
use crate::imports;
use crate::requests::{End, Request};

/// The module, translated once.
static MODULE: LazyLock<Module> = LazyLock::new(|| {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/portcullis.wasm");
    let path = std::env::var_os("PORTCULLIS_WASM").map_or_else(default, PathBuf::from);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; `make build` makes it, PORTCULLIS_WASM names another", path.display())
    });
    // Translated before it runs: lazily, the first to call a function would pay fuel for its translation.
    let config = Config::default().consume_fuel(true).compilation_mode(CompilationMode::Eager).clone();
    let engine = Engine::new(&config);
    Module::new(&engine, bytes).unwrap()
});

/// More than any callback needs: a callback that takes longer hangs.
const FUEL: u64 = 20_000_000_000;

pub struct Vm {
    pub store: Store<Host>,
    instance: Instance,
    last_context: u32,
    /// Instructions spent by the module so far.
    pub fuel: u64,
}

/// What became of a request.
#[derive(Debug, Default)]
pub struct Outcome {
    pub reply: Option<Reply>,
    /// The whole request went to the upstream.
    pub passed: bool,
    /// Bytes of the body that went on before the last verdict.
    pub leaked: usize,
    /// The head as the next filter sees it.
    pub head: Headers,
    pub trailers: Headers,
    /// The request's body as the next filter sees it, where it went on at once.
    pub body: Vec<u8>,
    pub response: Headers,
    pub response_trailers: Headers,
    /// What the client gets of the upstream's body.
    pub client_body: Vec<u8>,
    /// The response ended for the client.
    pub complete: bool,
    /// What the access log finds in `portcullis`.
    pub property: String,
}

impl Outcome {
    /// The status of the local reply; 200 where the upstream answered, 0 where the request hangs.
    pub fn status(&self) -> u32 {
        match &self.reply {
            Some(reply) => reply.status,
            None if self.passed => 200,
            None => 0,
        }
    }

    pub fn upstream(&self, name: &str) -> Option<String> {
        let found = self.head.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(String::from_utf8_lossy(&found.1).into_owned())
    }
}

impl Vm {
    /// A started VM with shared data of its own.
    pub fn new() -> Self {
        Self::sharing(Rc::default())
    }

    /// A started VM that shares data with others.
    pub fn sharing(shared: Rc<RefCell<SharedData>>) -> Self {
        let mut store = Store::new(MODULE.engine(), Host::new(shared));
        store.set_fuel(FUEL).unwrap();
        let instance = imports::linker(&MODULE).instantiate_and_start(&mut store, &MODULE).unwrap();
        let mut vm = Self { store, instance, last_context: 0, fuel: 0 };
        vm.call::<(), ()>("_initialize", ());
        vm
    }

    /// A VM that serves `configuration` under root context 1.
    pub fn serving(configuration: &str) -> Self {
        let mut vm = Self::new();
        assert!(vm.configure(configuration).is_ok(), "{:?}", vm.host().log);
        // Only what requests are about.
        vm.host().log.clear();
        vm
    }

    pub fn host(&mut self) -> &mut Host {
        self.store.data_mut()
    }

    /// Bytes of linear memory.
    pub fn memory(&self) -> usize {
        self.instance.get_memory(&self.store, "memory").unwrap().data_size(&self.store)
    }

    /// A new root context with `configuration`: its number, or, where the module refuses it, the same as an error.
    pub fn configure(&mut self, configuration: &str) -> Result<u32, u32> {
        self.configure_with(configuration.as_bytes())
    }

    /// The same for what may be no text.
    pub fn configure_with(&mut self, configuration: &[u8]) -> Result<u32, u32> {
        let root = self.context(0);
        self.host().configuration = configuration.to_vec();
        assert_eq!(self.call::<_, u32>("proxy_on_vm_start", (root, 0u32)), 1);
        let taken = self.call::<_, u32>("proxy_on_configure", (root, configuration.len() as u32));
        if taken == 1 { Ok(root) } else { Err(root) }
    }

    pub fn tick(&mut self, root: u32) {
        self.host().current = root;
        self.call::<_, ()>("proxy_on_tick", root);
    }

    /// Answers a callout with status and body, or says that it is lost.
    pub fn answer(&mut self, callout: &Callout, reply: Option<(u16, &[u8])>) {
        let (headers, size) = (u32::from(reply.is_some()), reply.map_or(0, |(_, body)| body.len() as u32));
        let head = |status: u16| vec![(b":status".to_vec(), status.to_string().into_bytes())];
        self.host().callout_reply = reply.map(|(status, body)| (head(status), body.to_vec()));
        self.host().current = callout.context;
        self.call::<_, ()>("proxy_on_http_call_response", (callout.context, callout.token, headers, size, 0u32));
        self.host().callout_reply = None;
    }

    /// The client goes away before anything is decided.
    pub fn abandon(&mut self, context: u32) {
        self.call::<_, ()>("proxy_on_log", context);
        self.call::<_, ()>("proxy_on_delete", context);
        self.host().streams.remove(&context);
    }

    /// A whole request under root context 1.
    pub fn request(&mut self, request: &Request) -> Outcome {
        self.request_under(1, request)
    }

    /// A whole request, its response and its log. The bodies' chunks arrive while the head is held
    /// (`allow_on_headers_stop_iteration`); what is paused is buffered.
    pub fn request_under(&mut self, root: u32, request: &Request) -> Outcome {
        let (context, outcome) = self.open(root, request);
        self.close(context, request, outcome)
    }

    /// The request's callbacks, as far as they go before somebody answers.
    pub fn open(&mut self, root: u32, request: &Request) -> (u32, Outcome) {
        let context = self.context(root);
        let stream = Stream {
            request_headers: request.headers.clone(),
            raw_headers: request.raw_headers.clone(),
            request_trailers: (request.end == End::Trailers).then(|| request.trailers.clone()),
            source_address: request.source_address.clone(),
            response_trailers: request.response_trailers.then(trailers),
            properties: [(b"response\0code_details".to_vec(), request.code_details.into())].into(),
            ..Stream::default()
        };
        self.host().streams.insert(context, stream);
        let mut outcome = Outcome::default();
        outcome.passed = self.upload(root, context, request, &mut outcome);
        (context, outcome)
    }

    /// What became of an opened request: its response and its log.
    pub fn close(&mut self, context: u32, request: &Request, mut outcome: Outcome) -> Outcome {
        let stream = self.stream(context);
        outcome.passed |= stream.resumed && stream.replies.is_empty();
        self.respond(context, request, &mut outcome);
        self.stream(context).head_released = false;
        self.call::<_, ()>("proxy_on_log", context);
        self.call::<_, ()>("proxy_on_delete", context);
        let stream = self.host().streams.remove(&context).unwrap();
        assert!(stream.replies.len() <= 1, "answered twice: {:?}", stream.replies);
        outcome.property =
            String::from_utf8(stream.properties.get(b"portcullis".as_slice()).cloned().unwrap_or_default()).unwrap();
        outcome.head = stream.request_headers;
        outcome.trailers = stream.request_trailers.unwrap_or_default();
        outcome.response = stream.response_headers.unwrap_or_default();
        outcome.response_trailers = stream.response_trailers.unwrap_or_default();
        outcome.reply = stream.replies.into_iter().next();
        outcome
    }

    /// The request's callbacks; a millisecond passes after each piece of its body. Whether all of it went on.
    fn upload(&mut self, root: u32, context: u32, request: &Request, outcome: &mut Outcome) -> bool {
        let ends = request.end == End::Head;
        let count = request.headers.len() as u32;
        let mut goes_on = self.act("proxy_on_request_headers", (context, count, u32::from(ends)));
        self.stream(context).head_released = goes_on;
        for (at, chunk) in request.chunks.iter().enumerate() {
            if self.answered(context) {
                return false;
            }
            let ends = request.end == End::Body && at + 1 == request.chunks.len();
            let stream = self.stream(context);
            stream.body.extend(chunk);
            let size = stream.body.len() as u32;
            goes_on = self.act("proxy_on_request_body", (context, size, u32::from(ends)));
            if self.host().tick_millis == 1 {
                self.tick(root);
                goes_on |= std::mem::take(&mut self.stream(context).resumed);
            }
            if goes_on {
                let stream = self.stream(context);
                stream.head_released = true;
                let sent = std::mem::take(&mut stream.body);
                outcome.leaked += if ends { 0 } else { sent.len() };
                outcome.body.extend(sent);
            }
        }
        if request.end == End::Trailers && !self.answered(context) {
            goes_on = self.act("proxy_on_request_trailers", (context, request.trailers.len() as u32));
        }
        goes_on && !self.answered(context)
    }

    fn respond(&mut self, context: u32, request: &Request, outcome: &mut Outcome) {
        let stream = self.stream(context);
        // A local reply goes through the response's callbacks as well.
        let headers = match stream.replies.first() {
            Some(reply) => {
                [vec![(b":status".to_vec(), reply.status.to_string().into_bytes())], reply.headers.clone()].concat()
            }
            None if outcome.passed => {
                let status = (b":status".to_vec(), request.upstream_status.to_string().into_bytes());
                [vec![status], request.response_headers.clone()].concat()
            }
            None => return,
        };
        let bodiless = !stream.replies.is_empty() || request.response_chunks.is_empty();
        let count = headers.len() as u32;
        stream.response_headers = Some(headers);
        let goes_on = self.act("proxy_on_response_headers", (context, count, u32::from(bodiless)));
        if bodiless {
            outcome.complete = goes_on;
        } else {
            self.download(context, request, outcome);
        }
    }

    /// The callbacks about the body of a response; what is paused is buffered.
    fn download(&mut self, context: u32, request: &Request, outcome: &mut Outcome) {
        self.stream(context).response_body = Some(Vec::new());
        for (at, chunk) in request.response_chunks.iter().enumerate() {
            let ends = !request.response_trailers && at + 1 == request.response_chunks.len();
            let held = self.stream(context).response_body.as_mut().unwrap();
            held.extend(chunk);
            let size = held.len() as u32;
            outcome.complete = self.act("proxy_on_response_body", (context, size, u32::from(ends)));
            if outcome.complete {
                outcome.client_body.append(self.stream(context).response_body.as_mut().unwrap());
            }
        }
        if request.response_trailers {
            outcome.complete = self.act("proxy_on_response_trailers", (context, 1));
            if outcome.complete {
                outcome.client_body.append(self.stream(context).response_body.as_mut().unwrap());
            }
        }
        self.stream(context).response_body = None;
    }

    fn answered(&mut self, context: u32) -> bool {
        !self.stream(context).replies.is_empty()
    }

    fn stream(&mut self, context: u32) -> &mut Stream {
        self.host().streams.get_mut(&context).unwrap()
    }

    fn context(&mut self, root: u32) -> u32 {
        self.last_context += 1;
        let context = self.last_context;
        self.call::<_, ()>("proxy_on_context_create", (context, root));
        context
    }

    /// A callback that says whether to go on (0) or to pause (1).
    fn act<P: WasmParams + First>(&mut self, callback: &str, arguments: P) -> bool {
        self.host().current = arguments.first();
        self.call::<_, u32>(callback, arguments) == 0
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, callback: &str, arguments: P) -> R {
        self.try_call(callback, arguments).unwrap_or_else(|error| panic!("{callback} trapped: {error}"))
    }

    fn try_call<P: WasmParams, R: WasmResults>(&mut self, callback: &str, arguments: P) -> Result<R, Error> {
        self.store.set_fuel(FUEL)?;
        let function = self.instance.get_typed_func::<P, R>(&self.store, callback)?;
        let result = function.call(&mut self.store, arguments);
        self.fuel += FUEL - self.store.get_fuel()?;
        result
    }
}

/// The trailers of a response.
fn trailers() -> Headers {
    [("etag", "1"), ("x-secret", "s3cret"), ("grpc-status", "0")]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

/// The first argument of every callback of a stream is its context.
trait First {
    fn first(&self) -> u32;
}

impl First for (u32, u32, u32) {
    fn first(&self) -> u32 {
        self.0
    }
}

impl First for (u32, u32) {
    fn first(&self) -> u32 {
        self.0
    }
}
