"""What the module weighs: its size, what Envoy spends to start with it, and what every worker holds.

Memory is what is mapped to no file (`Anonymous` of /proc/PID/smaps_rollup): heaps, the memories of the VMs, compiled code.
The figure is what the module adds to an Envoy with one worker that has answered requests. Most of it is left over from
compiling, which is done once, and the VMs of further workers live in it: what each of four more adds is said beside it, and
would be a figure too good to be true.
"""

import contextlib
import statistics
import tempfile
from pathlib import Path

from clients import Client, get
from configurations import full, portcullis
from proxy import Envoy
from rounds import spread
from tokens import hs256

ROOT = Path(__file__).parents[1]
WORKERS, ROUNDS = 5, 3


def weight(bench):
    print("size, start and memory:", flush=True)
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as directory:
        nothing = Path(directory, "nothing.wasm")
        nothing.write_bytes(trivial())
        modules = {"": bench.module, "lean_": ROOT / "target" / "portcullis-lean.wasm"}
        for name, path in modules.items():
            bench.take(f"{name}module_kb", [path.stat().st_size / 1000] * 3)
        # A configuration that both modules take.
        chains = {name: portcullis(full(), path) for name, path in modules.items()}
        chains |= {"trivial": portcullis(full(), nothing), "bare": []}
        seen = [{name: observed(chain) for name, chain in chains.items()} for _ in range(ROUNDS)]
    for name in modules:
        bench.take(f"{name}start_cpu_ms", spread([one[name].cpu - one["bare"].cpu for one in seen]))
        bench.take(f"{name}rss_mb_per_worker", spread([one[name].first - one["bare"].first for one in seen]))
        further = statistics.median(one[name].further - one["bare"].further for one in seen)
        ratio = statistics.median(one[name].cpu / one["trivial"].cpu for one in seen)
        print(f"  ({further:.1f} MB for each further worker; {ratio:.1f} times the CPU of a start with a module that does "
              "nothing)", flush=True)


class Observed:
    """CPU milliseconds to the first answer with one worker; megabytes then, and of each further worker."""

    def __init__(self, cpu, first, further):
        self.cpu, self.first, self.further = cpu, first, further


def observed(filters):
    with contextlib.closing(Envoy(filters)) as one:
        ask(one.wait().port)
        cpu = one.cpu() / 1e6
        first = anonymous(served(one, 1))
    with contextlib.closing(Envoy(filters, concurrency=WORKERS)) as several:
        further = (anonymous(served(several.wait(), WORKERS)) - first) / (WORKERS - 1)
    return Observed(cpu, first, further)


def ask(port):
    """One request over a connection of its own."""
    with contextlib.closing(Client(port)) as client:
        client.status(get(bearer=hs256(1)))


def served(envoy, workers):
    """The Envoy, once each of its workers has answered."""
    for _ in range(100):
        for _ in range(8):
            ask(envoy.port)
        if answering(envoy) == workers:
            return envoy
    raise RuntimeError(f"not every one of {workers} workers answers")


def answering(envoy):
    counts = [line.rsplit(":", 1) for line in envoy.admin("stats?filter=worker_.*downstream_cx_total").decode().splitlines()]
    return len({name for name, count in counts if name.startswith("listener.") and "admin" not in name and int(count)})


def anonymous(envoy):
    rollup = Path(f"/proc/{envoy.process.pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:")) * 1024 / 1e6


def trivial():
    """A module that answers what Envoy asks of one (proxy-wasm 0.2.1) and does nothing."""
    def section(number, content):
        return bytes([number]) + count(len(content)) + content

    def count(number):
        low = number & 0x7F
        return bytes([low]) if number < 0x80 else bytes([low | 0x80]) + count(number >> 7)

    def vector(items):
        return count(len(items)) + b"".join(items)

    def name(text):
        return count(len(text)) + text.encode()

    integer, function, end = 0x7F, 0x60, 0x0B
    # Types: (), (i32) -> i32 and (i32, i32) -> i32.
    types = [bytes([function, 0, 0]), bytes([function, 1, integer, 1, integer]), bytes([function, 2, integer, integer, 1, integer])]
    functions = [("proxy_abi_version_0_2_1", 0, b""), ("proxy_on_memory_allocate", 1, bytes([0x41, 0])),
                 ("proxy_on_vm_start", 2, bytes([0x41, 1])), ("proxy_on_configure", 2, bytes([0x41, 1]))]
    bodies = [vector([]) + code + bytes([end]) for _, _, code in functions]
    exports = [name("memory") + bytes([2, 0])]
    exports += [name(text) + bytes([0, index]) for index, (text, _, _) in enumerate(functions)]
    return b"\0asm\1\0\0\0" + b"".join([
        section(1, vector(types)), section(3, vector([bytes([kind]) for _, kind, _ in functions])),
        section(5, vector([bytes([0, 1])])), section(7, vector(exports)),
        section(10, vector([count(len(body)) + body for body in bodies])),
    ])


PARTS = {"weight": weight}
