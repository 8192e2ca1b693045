"""A bucket of Google Cloud Storage on this machine, for TensorFlow's own client.

`python -m tests.fake_gcs FOLDER command ...` runs a command for which the folders of
FOLDER are buckets. The client is told of a proxy; the proxy answers in the place of
Google, with a certificate made for the occasion. What it answers follows the
documentation of the JSON API: a bucket holds objects with names, and no folders.
"""

import http.server
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
from urllib.parse import parse_qsl, quote, unquote, urlsplit

_API = "www.googleapis.com"
_CONTENT = "storage.googleapis.com"


def upload(folder, bucket, prefix):
    """Makes the files of a folder objects of a bucket, a `pathlib.Path`."""
    for path in folder.rglob("*"):
        if path.is_file():
            name = f"{prefix}/{path.relative_to(folder).as_posix()}"
            _object(bucket, name).write_bytes(path.read_bytes())


def download(bucket, prefix, folder):
    """Writes the objects below a prefix to a folder."""
    for path in bucket.iterdir():
        name = unquote(path.name)
        if name.startswith(f"{prefix}/") and not name.endswith("/"):
            file = folder / name.removeprefix(f"{prefix}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(path.read_bytes())


def _object(bucket, name):
    return bucket / quote(name, safe="")


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self):
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        bucket, name, query = self._parse()
        if not bucket.exists():
            self._answer(404)
        elif self.path.endswith("/storageLayout"):
            self._answer(200, {"hierarchicalNamespace": {"enabled": False}})
        elif name is None:
            self._answer(200, {"name": bucket.name, "location": "here"})
        elif not name:
            self._list(bucket, **query)
        elif not _object(bucket, name).exists():
            self._answer(404)
        elif self.headers["Host"] == _CONTENT:
            self._send_content(_object(bucket, name).read_bytes())
        else:
            self._answer(200, _metadata(bucket, name))

    def do_DELETE(self):
        bucket, name, _ = self._parse()
        file = _object(bucket, name)
        self._answer(204 if file.exists() else 404)
        file.unlink(missing_ok=True)

    def do_POST(self):
        body = self._read_body()
        bucket, name, query = self._parse()
        if not bucket.exists():
            self._answer(404)
        elif query.get("uploadType") == "resumable":
            session = f"https://{_CONTENT}/{bucket.name}/{quote(query['name'])}"
            self._answer(200, headers={"Location": session})
        elif query.get("uploadType") == "media":
            self._store(bucket, query["name"], body)
        else:
            source, _, target = name.partition("/rewriteTo/b/")
            target_bucket, _, target_name = target.partition("/o/")
            target = self.server.folder / target_bucket, target_name
            _object(*target).write_bytes(_object(bucket, source).read_bytes())
            self._answer(200, {"done": True, "resource": _metadata(*target)})

    def do_PUT(self):
        bucket, name, _ = self._parse()
        self._store(bucket, name, self._read_body())

    def _parse(self):
        """The bucket, the name of the object (None: of the bucket), and the query."""
        url = urlsplit(self.path)
        _, *parts = url.path.split("/")
        if self.headers["Host"] == _API:
            parts = parts[parts.index("b") + 1 :]
            parts.remove("o") if "o" in parts else None
            if url.path.endswith("/o"):
                parts.append("")
        bucket, *names = parts
        name = unquote("/".join(names)) if names else None
        return self.server.folder / bucket, name, dict(parse_qsl(url.query))

    def _read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _list(self, bucket, prefix="", delimiter=None, maxResults="1000", **_):
        items, prefixes = [], set()
        for name in sorted(unquote(file.name) for file in bucket.iterdir()):
            rest = name.removeprefix(prefix)
            if not name.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                prefixes.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                items.append(_metadata(bucket, name))
        limit = int(maxResults)
        answer = {"items": items[:limit], "prefixes": sorted(prefixes)[:limit]}
        self._answer(200, {key: value for key, value in answer.items() if value})

    def _send_content(self, content):
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = content[int(first) : int(last) + 1]
        self._answer(206 if part else 416, part)

    def _store(self, bucket, name, content):
        _object(bucket, name).write_bytes(content)
        self._answer(200, _metadata(bucket, name))

    def _answer(self, status, content=b"", headers=None):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": len(content)}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)


def _metadata(bucket, name):
    status = _object(bucket, name).stat()
    return {
        "name": name,
        "bucket": bucket.name,
        "size": str(status.st_size),
        "generation": str(status.st_mtime_ns),
        "updated": "2026-01-01T00:00:00.000Z",
    }


def main(folder, *command):
    with tempfile.TemporaryDirectory() as keys:
        key, certificate = f"{keys}/key.pem", f"{keys}/certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
            + ["-subj", "/CN=fake", "-keyout", key, "-out", certificate]
            + ["-addext", f"subjectAltName=DNS:{_API},DNS:{_CONTENT}"],
            check=True,
            capture_output=True,
        )
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.folder = pathlib.Path(folder)
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(certificate, key)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy = f"http://127.0.0.1:{server.server_port}"
        told = {"https_proxy": proxy, "CURL_CA_BUNDLE": certificate}
        # Nobody asks who we are.
        told |= {"NO_GCE_CHECK": "true", "CLOUDSDK_CONFIG": keys}
        environment = {**os.environ, **told}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
