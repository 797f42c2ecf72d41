"""A proxy before a server, for what networks do: connections that are cut, or stay open and bring nothing any more."""
import socket
import threading


class Proxy:
    """Forwards connections to 127.0.0.1:`port`. `cut_every` n: the n-th, 2n-th, … connection is cut when it has brought `cut_after`
    bytes, or (`swallow_then`) brings nothing from then on. `swallow()`: so does what is open."""

    def __init__(self, port, cut_every=0, cut_after=0, swallow_then=False):
        self.port, self.cut_every, self.cut_after, self.swallow_then = port, cut_every, cut_after, swallow_then
        self.seen = self.cut = 0
        self.lock = threading.Lock()
        self.links = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, db, **options):
        url = db.url.replace(f":{self.port}/", f":{self.listener.getsockname()[1]}/")
        return url + "?" + "&".join(f"{k}={v}" for k, v in options.items())

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                client.close()
                continue
            with self.lock:
                self.seen += 1
                doomed = self.cut_every and self.seen % self.cut_every == 0
                link = _Link(self, client, server, self.cut_after if doomed else None)
                self.links.append(link)
            link.start()

    def swallow(self):
        with self.lock:
            for link in self.links:
                link.swallows = True

    def close(self):
        self.listener.close()
        with self.lock:
            for link in self.links:
                link.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Link:
    def __init__(self, proxy, client, server, cut_after):
        self.proxy, self.client, self.server = proxy, client, server
        self.left, self.swallows = cut_after, False

    def start(self):
        threading.Thread(target=self._pump, args=(self.client, self.server, False), daemon=True).start()
        threading.Thread(target=self._pump, args=(self.server, self.client, True), daemon=True).start()

    def _pump(self, source, target, counts):
        try:
            while data := source.recv(65536):
                if self.swallows:
                    continue
                if counts and self.left is not None:
                    data = data[:self.left]
                    self.left -= len(data)
                target.sendall(data)
                if counts and self.left == 0:
                    with self.proxy.lock:
                        self.proxy.cut += 1
                    self.swallows = self.proxy.swallow_then
                    if not self.swallows:
                        break
        except OSError:
            pass
        if not self.swallows:
            self.close()

    def close(self):
        for s in (self.client, self.server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
