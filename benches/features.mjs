// What each module given costs to compile as Envoy compiles it: every function for good, before the first is called.
// Milliseconds of CPU by those of the first module, in turn, the median of ROUNDS: see benches/features.
import { readFileSync } from "node:fs";

const ROUNDS = 5;
const modules = process.argv.slice(2).map((path) => readFileSync(path));
const ratios = modules.map(() => []);
for (let round = 0; round <= ROUNDS; round++) {
  const times = [];
  for (const [at, bytes] of modules.entries()) {
    // Bytes that no round before had: compiled code is kept by what it was compiled from.
    const unique = Buffer.concat([bytes, Buffer.from([0, 4, 3, round, at, 0])]);
    const before = process.cpuUsage();
    await WebAssembly.compile(unique);
    const { user, system } = process.cpuUsage(before);
    times.push((user + system) / 1000);
  }
  // The first round warms the compiler up.
  if (round > 0) times.forEach((time, at) => ratios[at].push(time / times[0]));
}
for (const of of ratios) console.log(of.sort((a, b) => a - b)[ROUNDS >> 1].toFixed(2));
