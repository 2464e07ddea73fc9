//! What the fake host knows: streams, shared data, metrics, the log, the clock. Pure state; `imports` lets the module
//! at it. Sources: the proxy-wasm ABI 0.2.1 and Envoy's implementation of it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// A status of the ABI that is not `Ok`.
pub const NOT_FOUND: u32 = 1;
pub const BAD_ARGUMENT: u32 = 2;
pub const CAS_MISMATCH: u32 = 8;

/// Midnight, 1 January 2026, in nanoseconds since the Unix epoch.
pub const EPOCH: u64 = 1_767_225_600_000_000_000;

#[derive(Default)]
pub struct Host {
    pub variables: Vec<(String, String)>,
    /// Nanoseconds since the Unix epoch.
    pub now: u64,
    pub shared: Rc<RefCell<SharedData>>,
    pub configuration: Vec<u8>,
    pub streams: HashMap<u32, Stream>,
    /// The stream whose callback is running.
    pub current: u32,
    pub log: Vec<(u32, String)>,
    /// How often the root context gets a tick.
    pub tick_millis: u32,
    pub metrics: Vec<(String, i64)>,
    /// Which of them are histograms.
    pub histograms: HashSet<u32>,
    /// Answers `verify_signature`; a host without one says that there is no such function.
    pub verify_signature: Option<Vec<u8>>,
    /// Every call of this import gets this status and does nothing else.
    pub fault: Option<(&'static str, u32)>,
    /// How often the fault was met.
    pub faults_met: usize,
    /// Callouts that were sent and not taken by the test.
    pub callouts: Vec<Callout>,
    /// How many callouts were sent.
    pub last_token: u32,
    /// Head and body of the answer that is being delivered.
    pub callout_reply: Option<(Headers, Vec<u8>)>,
    /// How often each import was called.
    pub calls: HashMap<&'static str, usize>,
    /// Runs before each write of shared data, as another worker would.
    pub rival: Option<Box<dyn FnMut()>>,
    /// State of `random_get`: the same bytes in every run.
    pub random: u64,
}

impl Host {
    pub fn new(shared: Rc<RefCell<SharedData>>) -> Self {
        let variables = vec![("JWT_SECRET_KEY".to_owned(), crate::requests::SECRET.to_owned())];
        Self { variables, now: EPOCH, shared, random: 1, ..Self::default() }
    }

    /// Notes a call. The status it ends with at once, if the test wants one.
    pub fn called(&mut self, import: &'static str) -> Option<u32> {
        *self.calls.entry(import).or_default() += 1;
        let (_, status) = self.fault.filter(|(at, _)| *at == import)?;
        self.faults_met += 1;
        Some(status)
    }

    pub fn stream(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&self.current)
    }

    /// SplitMix64.
    pub fn random_bytes(&mut self, size: usize) -> Vec<u8> {
        let mut next = || {
            self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (mixed ^ (mixed >> 27)) as u8
        };
        (0..size).map(|_| next()).collect()
    }

    /// What a counter stands at, by the beginning of its name.
    pub fn metric(&self, name: &str) -> i64 {
        self.metrics.iter().filter(|(known, _)| known.starts_with(name)).map(|(_, count)| count).sum()
    }

    pub fn logged(&self, part: &str) -> bool {
        self.log.iter().any(|(_, line)| line.contains(part))
    }
}

/// Envoy's shared data: one map for all VMs of a process, versions from one counter, never 0.
#[derive(Default)]
pub struct SharedData {
    values: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    last: u32,
}

impl SharedData {
    pub fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.values.get(key).cloned()
    }

    /// Version 0 overwrites; an absent key is created whatever the version. False: the version does not match.
    pub fn set(&mut self, key: &[u8], value: &[u8], version: u32) -> bool {
        let held = self.values.get(key).map(|(_, held)| *held);
        if held.is_some_and(|held| version != 0 && version != held) {
            return false;
        }
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.values.insert(key.to_vec(), (value.to_vec(), self.last));
        true
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Gives every value a new version, as a rival that writes the same again does.
    pub fn touch_all(&mut self) {
        for (_, version) in self.values.values_mut() {
            self.last += 1;
            *version = self.last;
        }
    }
}

/// An HTTP callout as it was sent.
#[derive(Clone, Debug)]
pub struct Callout {
    /// The context that sent it and gets the answer.
    pub context: u32,
    pub token: u32,
    pub cluster: String,
    pub headers: Headers,
    pub timeout: u32,
}

/// What a local reply carries.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u32,
    pub details: String,
    pub headers: Headers,
    pub body: String,
    pub grpc_status: i32,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name.as_bytes())?;
        std::str::from_utf8(&found.1).ok()
    }
}

/// One HTTP stream.
#[derive(Default)]
pub struct Stream {
    pub request_headers: Headers,
    /// Instead of the serialisation of the headers.
    pub raw_headers: Option<Vec<u8>>,
    pub request_trailers: Option<Headers>,
    pub response_headers: Option<Headers>,
    pub response_trailers: Option<Headers>,
    pub body: Vec<u8>,
    /// What waits of the response's body; `None` outside the callbacks about it.
    pub response_body: Option<Vec<u8>>,
    /// The head went to the next filter and cannot be changed any more.
    pub head_released: bool,
    pub source_address: Option<String>,
    pub properties: HashMap<Vec<u8>, Vec<u8>>,
    pub replies: Vec<Reply>,
    /// `proxy_continue_stream` was called.
    pub resumed: bool,
}

impl Stream {
    pub fn map(&mut self, map: u32) -> Option<&mut Headers> {
        match map {
            0 if !self.head_released => Some(&mut self.request_headers),
            1 => self.request_trailers.as_mut(),
            2 => self.response_headers.as_mut(),
            3 => self.response_trailers.as_mut(),
            _ => None,
        }
    }
}

/// The host's serialisation of a header block.
pub fn serialise(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = (headers.len() as u32).to_le_bytes().to_vec();
    for part in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend((part.len() as u32).to_le_bytes());
    }
    for part in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(part);
        bytes.push(0);
    }
    bytes
}

/// Reads what [`serialise`] wrote.
pub fn parse(bytes: &[u8]) -> Headers {
    let size = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    if bytes.is_empty() {
        return Headers::new();
    }
    let mut at = 4 + 8 * size(0);
    let mut part = |index: usize| {
        let found = bytes[at..at + size(4 + 4 * index)].to_vec();
        at += found.len() + 1;
        found
    };
    (0..size(0)).map(|pair| (part(2 * pair), part(2 * pair + 1))).collect()
}
