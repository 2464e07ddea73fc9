#!/usr/bin/env python3
"""Portcullis beside Envoy's own filters in counted instructions: what Envoy's process executes for a request, its kernel's
work apart.

Every configuration runs in an Envoy of its own under valgrind (callgrind), which counts the module's compiled code as well.
The counts hardly differ from run to run and machine to machine, so that one per cent can be seen; an instruction is no time,
though: what waits for memory counts as what does not. Prints a table and writes target/counted.json; with --keep the
profiles stay in target/callgrind, for callgrind_annotate.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clients import Client, get, post
from configurations import buffer_filter, full, native_chain, portcullis, provider, route
from payloads import DOCUMENT, INSPECTED, NOT_INSPECTED, VALIDATED, plugin
from proxy import Envoy
from tokens import JWKS, es256, hs256, rs256

ROOT = Path(__file__).parents[1]
# Requests before those that are counted, and those.
WARM, COUNTED = 300, 200


def pipeline(module):
    nothing = {"headers": {"security": "off", "rate_limit": "off", "https_redirect": False}, "limits": {}}
    without_checks = route(nothing, authenticate="none", inspection={"mode": "off"})
    request = [get(bearer=hs256(1))]
    return {
        "bare": ([], request),
        "without_checks": (portcullis(without_checks, module), request),
        "full": (portcullis(full(), module), request),
        "native_cached": (native_chain("HS256", cache=True), request),
        "native": (native_chain("HS256"), request),
    }


def signatures(module):
    chains = {}
    for algorithm, make in (("RS256", rs256), ("ES256", es256)):
        keys = {"keys": [key for key in JWKS["keys"] if key["alg"] == algorithm]}
        plugin_of = full(jwt=provider([algorithm], jwks={"inline": keys}))
        requests, name = [get(bearer=make(n)) for n in range(WARM + COUNTED)], algorithm.lower()
        chains |= {f"{name}_native": (native_chain(algorithm), requests),
                   f"{name}_first": (portcullis(plugin_of, module), requests)}
    return chains


def body(module):
    document = [post(DOCUMENT, "application/json")]
    parts = {"inspected": INSPECTED, "decoded": NOT_INSPECTED | {"body": {"schema": {}}},
             "validated_alone": NOT_INSPECTED | VALIDATED, "validated": INSPECTED | VALIDATED}
    return {"body_64k_buffer": (buffer_filter(), document),
            **{f"body_64k_{part}": (portcullis(plugin(**one), module), document) for part, one in parts.items()}}


# What stands first in each is what the others are divided by; among signatures each follows its own.
PARTS = {"pipeline": (pipeline, "bare"), "signatures": (signatures, "_native"), "body": (body, "body_64k_buffer")}


def counted(name, filters, requests, profiles):
    """Instructions per request."""
    profile = profiles / name
    envoy = Envoy(filters, under=["valgrind", "--tool=callgrind", "--smc-check=all-non-file", "--instr-atstart=no",
                                  f"--callgrind-out-file={profile}"])
    try:
        client = Client(envoy.wait().port)
        passed = (requests[at % len(requests)] for at in range(WARM + COUNTED))
        statuses = client.statuses([next(passed) for _ in range(WARM)])
        control(envoy, "-i", "on")
        statuses += client.statuses(passed)
        control(envoy, "-d")
        client.close()
    finally:
        envoy.close()
    if set(statuses) != {200}:
        raise SystemExit(f"counted: {name} answered {set(statuses)}")
    # The first dump is what was asked for, the one at the end what came after it.
    text = profile.with_name(f"{name}.1").read_text(errors="replace")
    return int(text.rpartition("totals: ")[2].split()[0]) / COUNTED


def control(envoy, *arguments):
    subprocess.run(["callgrind_control", *arguments, str(envoy.process.pid)], check=True, capture_output=True, timeout=60)
    # The dump is written between two blocks of code; an Envoy that waits gets to one soon.
    time.sleep(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts: {', '.join(PARTS)}")
    parser.add_argument("--keep", action="store_true", help="keep the profiles in target/callgrind")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        raise SystemExit("counted: valgrind is needed, which Debian has")
    module, figures = Path(os.environ["PORTCULLIS_WASM"]), {}
    profiles = ROOT / "target" / "callgrind" if options.keep else Path(tempfile.mkdtemp(prefix="portcullis-counted-"))
    shutil.rmtree(profiles, ignore_errors=True)
    profiles.mkdir(parents=True)
    try:
        for part in options.only.split(","):
            make, base = PARTS[part]
            for name, (filters, requests) in make(module).items():
                figures[name] = counted(name, filters, requests, profiles)
                by = figures[name] if name.endswith(base) else by
                print(f"  {name:<28} {figures[name]:12,.0f} instructions   {figures[name] / by:6.3f}", flush=True)
    finally:
        if not options.keep:
            shutil.rmtree(profiles)
    (ROOT / "target" / "counted.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
