"""A hub on loopback that answers what gnomon asks of one, for one model."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_ID = "some-author/tiny-bert"


class Hub(BaseHTTPRequestHandler):
    """What huggingface_hub asks of a hub, for one model; `server.spoil` changes one answer."""

    def do_GET(self):
        server, path = self.server, self.path.split("?")[0]
        server.asked.append(path)
        if path == f"/api/models/{server.hub_id}":
            return self._answer(server.listing())
        prefix = f"/{server.hub_id}/resolve/{COMMIT}/"
        if path.startswith(prefix) and (server.folder / path.removeprefix(prefix)).is_file():
            name = path.removeprefix(prefix)
            return self._answer(server.spoil.get(name, (server.folder / name).read_bytes()))
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def _answer(self, body):
        if callable(body):
            return body(self)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def log_message(self, *_):
        pass


@contextmanager
def hub(folder, spoil=None, hub_id=HUB_ID):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads, server.hub_id = True, hub_id
    server.folder, server.spoil, server.asked, server.stop = folder, spoil or {}, [], threading.Event()

    def listing():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        siblings = [
            {"rfilename": path.relative_to(folder).as_posix(), "size": path.stat().st_size}
            | ({"lfs": lfs(path)} if path.suffix == ".safetensors" else {})
            for path in files
        ]
        answer = json.dumps({"id": hub_id, "sha": COMMIT, "siblings": siblings}).encode()
        return server.spoil.get("listing", answer)

    server.listing = listing
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def lfs(path):
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "size": path.stat().st_size,
        "pointerSize": 130,
    }
