"""Many requests at once from several processes: on many connections, answers counted by status line.

Envoy queues two responses of its own per HTTP/1.1 connection and closes it at the third: at most PIPELINED requests
go out together.
"""

import multiprocessing
import selectors
import socket
import time
from collections import Counter

PIPELINED = 2
STATUSES = (200, 400, 401, 403, 429, 500, 503)


def flood(port, blocks, processes=2):
    """Sends every connection its blocks and counts the answers by status; also returns the seconds that it took.

    `blocks(process)` is a list of connections, each an iterable of `(bytes, number of requests)`. A block goes out when
    the one before it is answered. All connections are open before the first byte is sent.
    """
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(processes), context.SimpleQueue()
    workers = [
        context.Process(target=_run, args=(port, blocks, number, barrier, results)) for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    total, seconds = Counter(), 0.0
    for _ in workers:
        counted, took = results.get()
        assert isinstance(counted, Counter), counted
        total += counted
        seconds = max(seconds, took)
    for worker in workers:
        worker.join()
    return total, seconds


def _run(port, blocks, number, barrier, results):
    try:
        connections = [_Connection(port, queue) for queue in blocks(number)]
        barrier.wait(120)
        start = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for connection in connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                connection.next()
            open_connections = len(connections)
            while open_connections:
                ready = selector.select(30)
                if not ready:
                    raise TimeoutError("no answer for 30 seconds")
                for key, _ in ready:
                    if not key.data.receive():
                        selector.unregister(key.fileobj)
                        key.data.socket.close()
                        open_connections -= 1
        counted = Counter()
        for connection in connections:
            counted += connection.counted
        results.put((counted, time.monotonic() - start))
    except BaseException as error:
        results.put((repr(error), 0.0))
        barrier.abort()


class _Connection:
    def __init__(self, port, blocks):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.blocks = iter(blocks)
        self.counted = Counter()
        self.waiting = 0
        self.rest = b""

    def next(self):
        block = next(self.blocks, None)
        if block is None:
            return False
        raw, self.waiting = block
        self.socket.sendall(raw)
        return True

    def receive(self):
        """False when there is nothing left to send or to wait for."""
        data = self.rest + self.socket.recv(1 << 18)
        if len(data) == len(self.rest):
            raise ConnectionError(f"closed with {self.waiting} answers due")
        # A status line may be cut; what cannot be read yet is kept for the next time.
        cut = data.rfind(b"HTTP/1.1 ", max(0, len(data) - 11))
        if cut < 0:
            cut = len(data) - next((n for n in range(8, 0, -1) if data.endswith(b"HTTP/1.1 "[:n])), 0)
        complete, self.rest = data[:cut], data[cut:]
        answered = complete.count(b"HTTP/1.1 ")
        left = answered
        for status in STATUSES:
            if not left:
                break
            if found := complete.count(b"HTTP/1.1 %d" % status):
                self.counted[status] += found
                left -= found
        if left:
            self.counted["other"] += left
        self.waiting -= answered
        return self.waiting > 0 or self.next()
