"""A server on a free port of the loopback, a thread for each connection."""

import socketserver
import threading


class Server:
    """`serve(rfile, wfile)` answers one request and says whether the connection stays open."""

    def __init__(self, serve):
        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self):
                try:
                    while serve(self.rfile, self.wfile):
                        pass
                except (OSError, ValueError):
                    pass

        class Threads(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 512

        self._threads = Threads(("127.0.0.1", 0), Handler)
        self.port = self._threads.server_address[1]
        threading.Thread(target=self._threads.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._threads.shutdown()
        self._threads.server_close()
