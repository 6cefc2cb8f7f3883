"""Streams over HTTP and from the Hub: a server on loopback answers as the Hub does, with ranges of files."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

import pytest

from .conftest import ROWS

REPOSITORY = "astronomer/galaxies"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

PASS = """
import json, sys
from galvm_hf.data.stream import GalaxyStream
stream = GalaxyStream(sys.argv[1], batch_size=50, size=16, columns=["label"], num_workers=int(sys.argv[2]))
print(json.dumps([[index, label] for batch in stream for index, label in
                  zip(batch["index"].tolist(), batch["label"].tolist(), strict=True)]))
"""


class Handler(BaseHTTPRequestHandler):
    """The few routes of the Hub that reading a dataset needs; `server.folder` is the repository's folder `data`."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urlparse(self.path).path
        if path.startswith(f"/api/datasets/{REPOSITORY}/tree/"):
            inside = path.partition("/tree/")[2].partition("/")[2]
            folder = {"type": "directory", "path": "data", "oid": "d" * 40, "size": 0}
            return self.answer_json(self.entries() if inside else [folder])
        if path.startswith(f"/api/datasets/{REPOSITORY}"):
            return self.answer_json({"id": REPOSITORY, "sha": COMMIT, "siblings": []})
        found = re.fullmatch(rf"(?:/datasets/{REPOSITORY}/resolve/[^/]+)?/data/([^/]+)", path)
        if not found or not (self.server.folder / found[1]).is_file():
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        content, asked = (self.server.folder / found[1]).read_bytes(), self.headers.get("Range")
        self.server.ranges.append(asked)
        headers = {"ETag": '"1"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if asked:
            first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", asked).groups()
            first, last = int(first), min(int(last or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return self.answer(206, content[first : last + 1], headers)
        return self.answer(200, content, headers)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["paths"]
        self.answer_json([entry for entry in self.entries() if entry["path"] in asked])

    def entries(self):
        files = sorted(self.server.folder.iterdir())
        return [
            {"type": "file", "path": f"data/{file.name}", "oid": "f" * 40, "size": file.stat().st_size}
            for file in files
        ]

    def answer_json(self, value):
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, status, content, headers):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": len(content)}).items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(parquet_folder):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.folder, server.ranges = parquet_folder, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("source", "rows", "workers"),
    [("hf://datasets/astronomer/galaxies/data/*.parquet", ROWS, 2), ("{url}/data/0.parquet", 97, 0)],
)
def test_a_pass_over_remote_shards_gives_every_row_by_ranges(hub, tmp_path, source, rows, workers):
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", PASS, source.format(url=hub.url), str(workers)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert sorted(index for index, _ in seen) == list(range(rows))
    assert all(label == index % 3 for index, label in seen)
    assert any(hub.ranges)  # parts of files, not whole ones
