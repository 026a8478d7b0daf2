"""A server on loopback that keeps as much of S3's REST API as reading and writing files needs.

ListObjectsV2 with prefix, delimiter and pages, HEAD, GET with ranges, PUT (whole and in parts), DELETE, and errors.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

SECRET = "wJalrXUtnFEMI-secret"
KEY = "AKIDEXAMPLE"


@dataclass
class Bucket:
    """The objects of one bucket, with the time of each. `errors`: (method, key) to status and code, for so many times;
    `page`: keys a page. `asked` are the requests: method, key, query."""

    name: str
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    errors: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=dict)
    page: int = 1000
    asked: list[tuple[str, str, dict[str, list[str]]]] = field(default_factory=list)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def put(self, key: str, data: bytes | str, second: int = 0) -> None:
        data = data.encode() if isinstance(data, str) else data
        self.objects[key] = (data, datetime(2026, 5, 1, 12, 0, second, tzinfo=UTC))

    def gets(self) -> list[str]:
        """The keys whose bytes were asked for."""
        return [key for method, key, _ in self.asked if method == "GET" and key]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _asked(self) -> tuple[str, dict[str, list[str]]] | None:
        """The key and the query; None where an error was answered."""
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        of: Bucket = self.server.bucket  # type: ignore[attr-defined]
        of.asked.append((self.command, key, query))
        self.body = self._read()
        if f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
            self._error(403, "InvalidAccessKeyId")
            return None
        if bucket != of.name:
            self._error(404, "NoSuchBucket")
            return None
        waiting = of.errors.get((self.command, key), [])
        if waiting:
            self._error(*waiting.pop(0))
            return None
        return key, query

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked" or "aws-chunked" in self.headers.get(
            "Content-Encoding", ""
        ):
            return self._read_chunks()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0].strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return body

    def _error(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}: refused</Message></Error>".encode()
        self._answer(status, body, {"Content-Type": "application/xml"})

    def _answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, *, length: int = -1
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        asked = self._asked()
        if asked is None:
            return
        key, query = asked
        of: Bucket = self.server.bucket  # type: ignore[attr-defined]
        if not key:
            self._answer(200, _listing(of, query), {"Content-Type": "application/xml"})
            return
        self._object(of, key)

    def do_HEAD(self) -> None:
        asked = self._asked()
        if asked is None:
            return
        of: Bucket = self.server.bucket  # type: ignore[attr-defined]
        if not asked[0]:
            self._answer(200)
            return
        self._object(of, asked[0])

    def _object(self, of: Bucket, key: str) -> None:
        if key not in of.objects:
            self._error(404, "NoSuchKey")
            return
        data, time = of.objects[key]
        headers = {
            "ETag": f'"{hashlib.md5(data).hexdigest()}"',
            "Last-Modified": format_datetime(time, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last or len(data)) + 1]
            headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
            self._answer(206, part, headers)
            return
        self._answer(200, data, headers, length=len(data))

    def do_PUT(self) -> None:
        asked = self._asked()
        if asked is None:
            return
        key, query = asked
        of: Bucket = self.server.bucket  # type: ignore[attr-defined]
        if "partNumber" in query:
            of.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = self.body
        else:
            of.put(key, self.body)
        self._answer(200, headers={"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})

    def do_POST(self) -> None:
        asked = self._asked()
        if asked is None:
            return
        key, query = asked
        of: Bucket = self.server.bucket  # type: ignore[attr-defined]
        if "uploads" in query:
            name = f"upload{len(of.uploads)}"
            of.uploads[name] = {}
            body = f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
        elif "delete" in query:
            body = "<DeleteResult></DeleteResult>"
        else:
            parts = of.uploads[query["uploadId"][0]]
            of.put(key, b"".join(parts[number] for number in sorted(parts)))
            body = f"<CompleteMultipartUploadResult><Key>{escape(key)}</Key></CompleteMultipartUploadResult>"
        self._answer(200, body.encode(), {"Content-Type": "application/xml"})

    def do_DELETE(self) -> None:
        asked = self._asked()
        if asked is None:
            return
        of: Bucket = self.server.bucket  # type: ignore[attr-defined]
        of.objects.pop(asked[0], None)
        self._answer(204)

    def log_message(self, *_: object) -> None:
        pass


def _listing(of: Bucket, query: dict[str, list[str]]) -> bytes:
    def one(name: str, default: str = "") -> str:
        return query.get(name, [default])[0]

    prefix, delimiter, after = one("prefix"), one("delimiter"), one("continuation-token")
    rows: dict[str, str] = {}
    for key, (data, time) in sorted(of.objects.items()):
        rest = key.removeprefix(prefix)
        if not key.startswith(prefix):
            continue
        if delimiter and delimiter in rest:
            folder = prefix + rest.split(delimiter)[0] + delimiter
            rows[folder] = f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
        else:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z")
            tag = hashlib.md5(data).hexdigest()
            rows[key] = (
                f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><ETag>{tag}</ETag>"
                f"<LastModified>{stamp}</LastModified></Contents>"
            )
    most = min(of.page, int(one("max-keys", "1000")))
    names = [name for name in sorted(rows) if name > after]
    shown, more = names[:most], len(names) > most
    token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
    body = "".join(rows[name] for name in shown)
    about = f"<Name>{of.name}</Name><KeyCount>{len(shown)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
    return f'<?xml version="1.0"?><ListBucketResult>{about}{token}{body}</ListBucketResult>'.encode()


@contextmanager
def s3_bucket(name: str = "docs") -> Iterator[Bucket]:
    """A bucket that s3://NAME reaches within the block, by the environment of this process and those it starts."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.bucket = True, Bucket(name)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    before = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        yield server.bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
        os.environ.clear()
        os.environ.update(before)
