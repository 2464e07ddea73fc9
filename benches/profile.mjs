// Where a request's time goes inside the module, in V8 itself: the module runs against a host in JavaScript, and V8's
// own profiler says which of its functions are busy.
//
//   node benches/profile.mjs MODULE [SCENARIO] [REQUESTS]
//
// Prints CPU time a request, the host calls a request and the functions that take most of the time. Function names need
// a module built with CARGO_PROFILE_RELEASE_STRIP=debuginfo.

import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { WASI } from "node:wasi";

const SECRET = "jwt-secret-key-of-the-benchmark-0123456789-0123456789-0123456789";
const [, , path, scenario = "full", requests = "100000"] = process.argv;
const OK = 0, NOT_FOUND = 1, CAS_MISMATCH = 8;

const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");
const base64url = (data) => Buffer.from(data).toString("base64url");

function token(secret) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: "https://auth.example.com", aud: "microservices-api", sub: "user-1", user_id: "user-1",
    iat: now, exp: now + 7200, type: "access", roles: ["user"],
  };
  const signed = `${base64url('{"alg":"HS256","typ":"JWT"}')}.${base64url(JSON.stringify(claims))}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

const BROWSER = [
  [":method", "GET"], [":authority", "api.example.com"], [":scheme", "http"],
  ["user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"],
  ["accept", "application/json, text/plain, */*"], ["accept-language", "en-GB,en;q=0.9,de;q=0.8"],
  ["accept-encoding", "gzip, deflate, br"], ["referer", "https://app.example.com/users?page=2"],
  ["cookie", "theme=dark; _ga=GA1.2.1234567890.1700000000"], ["x-forwarded-for", "192.0.2.7"],
  ["x-forwarded-proto", "http"], ["x-request-id", "6b9b4e64-8a3c-4b8e-9d0f-3c1e0d7c2a11"],
];
const AUTHORISED = ["authorization", `Bearer ${token(SECRET)}`];
const SCENARIOS = {
  full: [[":path", "/api/v1/users?page=2&sort=name"], ...BROWSER, AUTHORISED],
  public: [[":path", "/public/a"], ...BROWSER],
  forged: [[":path", "/api/v1/users?page=2&sort=name"], ...BROWSER, ["authorization", `Bearer ${token("other")}`]],
  // Beyond the default budget for bad credentials.
  flood: [[":path", "/api/v1/users?page=2&sort=name"], ...BROWSER, ["authorization", `Bearer ${token("other")}`]],
  // Nothing but a body of 64 KB of JSON.
  body: [[":path", "/public/a"], ...BROWSER, ["content-type", "application/json"]],
  missing: [[":path", "/api/v1/users?page=2&sort=name"], ...BROWSER],
};

const WORDS = ["alpha", "beta", "gamma", "delta", "the quick brown fox", "jumps over", "a lazy dog"];
const ITEMS = Array.from({ length: 440 }, (_, n) => ({ id: n, name: WORDS[n % 7], note: WORDS.join(" "), tags: WORDS.slice(0, 3) }));
const body = scenario === "body" ? encoder.encode(JSON.stringify({ items: ITEMS })) : null;

function serialised(pairs) {
  const bytes = pairs.map(([name, value]) => [encoder.encode(name), encoder.encode(value)]);
  const size = bytes.reduce((sum, [name, value]) => sum + 8 + name.length + value.length + 2, 4);
  const map = new Uint8Array(size);
  const view = new DataView(map.buffer);
  view.setUint32(0, pairs.length, true);
  let at = 4;
  for (const [name, value] of bytes) {
    view.setUint32(at, name.length, true);
    view.setUint32(at + 4, value.length, true);
    at += 8;
  }
  for (const part of bytes.flat()) {
    map.set(part, at);
    at += part.length + 1;
  }
  return map;
}

const calls = new Map();
let memory, exports, counting = false, reply = 0;
const bytes = (at, size) => new Uint8Array(memory.buffer, at, size);
const text = (at, size) => decoder.decode(bytes(at, size));
const put = (at, value) => new DataView(memory.buffer).setUint32(at, value, true);

function give(value, dataAt, sizeAt) {
  const place = value.length === 0 ? 0 : exports.proxy_on_memory_allocate(value.length);
  bytes(place, value.length).set(value);
  put(dataAt, place);
  put(sizeAt, value.length);
  return OK;
}

const plugin = JSON.parse(readFileSync(new URL("pipeline.json", import.meta.url)));
if (scenario === "flood") delete plugin.authentication.unverified_credentials;
const configuration = encoder.encode(JSON.stringify(plugin));
const shared = new Map();
let version = 0;
const head = serialised(SCENARIOS[scenario]);
const source = encoder.encode("192.0.2.7:40000");

const host = {
  proxy_log: (level, at, size) => { if (level > 3) console.error(text(at, size)); return OK; },
  proxy_get_current_time_nanoseconds: (at) => {
    new DataView(memory.buffer).setBigUint64(at, BigInt(Date.now()) * 1_000_000n, true);
    return OK;
  },
  proxy_get_buffer_bytes: (kind, start, max, data, size) => {
    const held = { 0: body, 7: configuration }[kind];
    return held ? give(held.subarray(start, start + max), data, size) : NOT_FOUND;
  },
  proxy_get_header_map_pairs: (map, data, size) => (map === 0 ? give(head, data, size) : NOT_FOUND),
  proxy_get_header_map_value: (map, key, keySize, data, size) =>
    (map === 2 && text(key, keySize) === ":status" ? give(encoder.encode("200"), data, size) : NOT_FOUND),
  proxy_get_property: (at, size, data, sizeAt) => {
    const name = text(at, size);
    return name === "source\0address" ? give(source, data, sizeAt) : NOT_FOUND;
  },
  proxy_get_shared_data: (key, keySize, data, size, cas) => {
    const found = shared.get(text(key, keySize));
    if (!found) return NOT_FOUND;
    put(cas, found.version);
    return give(found.value, data, size);
  },
  proxy_set_shared_data: (key, keySize, data, size, cas) => {
    const name = text(key, keySize);
    const found = shared.get(name);
    if (found && cas !== 0 && cas !== found.version) return CAS_MISMATCH;
    version += 1;
    shared.set(name, { value: bytes(data, size).slice(), version });
    return OK;
  },
  proxy_send_local_response: (status) => { reply = status; return OK; },
  proxy_define_metric: (kind, at, size, id) => { put(id, calls.size + 1000); return OK; },
  proxy_call_foreign_function: () => NOT_FOUND,
};

const module = await WebAssembly.compile(readFileSync(path));
const wasi = new WASI({ version: "preview1", env: { JWT_SECRET_KEY: SECRET } });
const env = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  if (from !== "env") continue;
  const does = host[name] ?? (() => OK);
  env[name] = (...given) => {
    if (counting) calls.set(name, (calls.get(name) ?? 0) + 1);
    return does(...given);
  };
}
const instance = await WebAssembly.instantiate(module, { env, wasi_snapshot_preview1: wasi.wasiImport });
({ exports } = instance);
({ memory } = exports);
wasi.initialize(instance);

const ROOT = 1;
exports.proxy_on_context_create(ROOT, 0);
if (!exports.proxy_on_vm_start(ROOT, 0) || !exports.proxy_on_configure(ROOT, configuration.length)) {
  throw new Error("the configuration is refused");
}

let stream = ROOT;
function request() {
  stream += 1;
  reply = 0;
  exports.proxy_on_context_create(stream, ROOT);
  exports.proxy_on_request_headers(stream, SCENARIOS[scenario].length, body ? 0 : 1);
  if (body) exports.proxy_on_request_body(stream, body.length, 1);
  if (reply === 0) exports.proxy_on_response_headers(stream, 3, 1);
  exports.proxy_on_log(stream);
  exports.proxy_on_delete(stream);
}

const count = Number(requests);
for (let at = 0; at < count / 2; at += 1) request();
counting = true;
request();
counting = false;
const inspector = new Session();
inspector.connect();
await inspector.post("Profiler.enable");
await inspector.post("Profiler.setSamplingInterval", { interval: 200 });
await inspector.post("Profiler.start");
const before = process.cpuUsage();
for (let at = 0; at < count; at += 1) request();
const { user, system } = process.cpuUsage(before);
const { profile } = await inspector.post("Profiler.stop");

const busy = new Map();
for (const node of profile.nodes) {
  const name = node.callFrame.functionName.replace(/\[[0-9a-f]{16}\]|::h[0-9a-f]{16}$/g, "");
  busy.set(name, (busy.get(name) ?? 0) + node.hitCount);
}
const samples = [...busy.values()].reduce((sum, hits) => sum + hits, 0);
const inModule = (name) => /^(_ZN|_R|proxy_on|mem|dl|__)/.test(name) && !name.startsWith("__wasm");
const share = [...busy].filter(([name]) => inModule(name)).reduce((sum, [, hits]) => sum + hits, 0) / samples;
console.log(`${scenario}: answered ${reply || "by the upstream"}, ${((user + system) / count).toFixed(2)} us a request, ` +
  `${(100 * share).toFixed(0)} % of it in the module, ${[...calls.values()].reduce((a, b) => a + b, 0)} host calls`);
console.log([...calls].map(([name, times]) => `${times} ${name.replace("proxy_", "")}`).join(", "));
for (const [name, hits] of [...busy].sort((a, b) => b[1] - a[1]).slice(0, 60)) {
  console.log(`${((100 * hits) / samples).toFixed(1).padStart(5)} %  ${name.slice(0, 140)}`);
}
