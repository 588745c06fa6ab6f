"""An endpoint for the benchmark of the submission: SQS sends and S3 objects, 10 ms per request.

    python benchmarks/submit_endpoint.py FOLDER [--seconds-a-request 0.01]

It prints its address as one line, and answers until its standard input closes. It answers each
request after exactly this time, however busy the machine is; requests wait in parallel. It counts
messages without storing them (`GET /messages` returns the count). Objects are files in FOLDER, so
that neither takes memory from the measurement.
"""

import argparse
import asyncio
import hashlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import orjson

HOST = "127.0.0.1"
QUEUE = "/000000000000/queue"
JSON = "Content-Type: application/x-amz-json-1.0"
XML = "Content-Type: application/xml"


def object_file(folder: Path, key: str) -> Path:
    """The file of an object."""
    return folder / quote(key, safe="")


class Answers:
    """Answers requests with status line, headers and body."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.messages = 0
        self.address = ""

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[str, list[str], bytes]:
        """Answer one request."""
        if action := headers.get("x-amz-target"):
            return "200 OK", [JSON], orjson.dumps(self.sqs(action.partition(".")[2], body))
        parts = urlsplit(target)
        if parts.path == "/messages":
            return "200 OK", [], str(self.messages).encode()
        return self.s3(method, parts.path, dict(parse_qsl(parts.query, True)), headers, body)

    def sqs(self, action: str, body: bytes) -> dict[str, Any]:
        """Receive messages."""
        request = orjson.loads(body)
        match action:
            case "GetQueueUrl":
                return {"QueueUrl": self.address + QUEUE}
            case "SendMessage":
                self.messages += 1
                return _taken(request)
            case "SendMessageBatch":
                entries = request["Entries"]
                self.messages += len(entries)
                return {"Successful": [_taken(entry) | {"Id": entry["Id"]} for entry in entries]}
        raise NotImplementedError(action)

    def s3(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> tuple[str, list[str], bytes]:
        """Store and return objects, whole or in parts."""
        key = unquote(path).lstrip("/").partition("/")[2]
        file = object_file(self.folder, key or "bucket")
        tag = 'ETag: "0"'
        match method:
            case "HEAD" if file.exists():
                return "200 OK", [tag, f"Content-Length: {file.stat().st_size}"], b""
            case "PUT" if "partNumber" in query:
                (self.folder / f"part-{int(query['partNumber']):05}").write_bytes(body)
                return "200 OK", [tag], b""
            case "PUT":
                file.write_bytes(body)
                return "200 OK", [tag], b""
            case "POST" if "uploads" in query:
                return "200 OK", [XML], _xml("InitiateMultipartUpload", UploadId="1")
            case "POST":
                with file.open("wb") as whole:
                    for part in sorted(self.folder.glob("part-*")):
                        whole.write(part.read_bytes())
                        part.unlink()
                return "200 OK", [XML], _xml("CompleteMultipartUpload", ETag="0")
            case "GET" if key and file.exists():
                return _ranged(file, headers.get("range"))
            case "GET" if key:
                return "404 Not Found", [XML], b"<Error><Code>NoSuchKey</Code></Error>"
            case "GET" if "list-type" in query:
                return "200 OK", [XML], _listing(self.folder, query["prefix"])
        raise NotImplementedError(method)


def _taken(message: dict[str, str]) -> dict[str, str]:
    digest = hashlib.md5(message["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    return {"MessageId": digest, "MD5OfMessageBody": digest}


def _xml(name: str, **fields: str) -> bytes:
    inner = "".join(f"<{field}>{value}</{field}>" for field, value in fields.items())
    return f"<{name}Result>{inner}</{name}Result>".encode()


def _listing(folder: Path, prefix: str) -> bytes:
    """The folders below a prefix."""
    keys = [unquote(file.name) for file in folder.iterdir()]
    rest = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
    folders_below = sorted({f"{prefix}{name.partition('/')[0]}/" for name in rest if "/" in name})
    folders = "".join(
        f"<CommonPrefixes><Prefix>{folder_key}</Prefix></CommonPrefixes>"
        for folder_key in folders_below
    )
    return (
        f"<ListBucketResult><IsTruncated>false</IsTruncated>{folders}</ListBucketResult>".encode()
    )


def _ranged(file: Path, range_header: str | None) -> tuple[str, list[str], bytes]:
    size = file.stat().st_size
    if range_header is None:
        return "200 OK", [], file.read_bytes()
    first, _, last = range_header.removeprefix("bytes=").partition("-")
    start, end = int(first), min(int(last or size), size - 1)
    if start >= size:
        return "416 Range Not Satisfiable", [XML], b"<Error><Code>InvalidRange</Code></Error>"
    with file.open("rb") as whole:
        whole.seek(start)
        content = whole.read(end - start + 1)
    return "206 Partial Content", [f"Content-Range: bytes {start}-{end}/{size}"], content


class Connection(asyncio.Protocol):
    """HTTP/1.1 on one connection, one request after the other."""

    def __init__(self, answers: Answers, seconds: float) -> None:
        self.answers = answers
        self.seconds = seconds
        self.buffer = bytearray()
        self.head: tuple[str, str, dict[str, str]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for answers."""
        assert isinstance(transport, asyncio.Transport)
        self.write: Callable[[bytes], None] = transport.write

    def data_received(self, data: bytes) -> None:
        """Answer the request once it is whole."""
        self.buffer += data
        if self.head is None and not self.read_head():
            return
        assert self.head is not None
        method, target, headers = self.head
        length = int(headers.get("content-length", 0))
        if len(self.buffer) < length:
            return
        body = bytes(self.buffer[:length])
        del self.buffer[:length]
        self.head = None
        # The work of answering is part of the wait.
        due = asyncio.get_running_loop().time() + self.seconds
        status, lines, answer = self.answers.answer(method, target, headers, body)
        if method != "HEAD":
            lines.append(f"Content-Length: {len(answer)}")
        top = "\r\n".join([f"HTTP/1.1 {status}", *lines])
        asyncio.get_running_loop().call_at(due, self.write, top.encode() + b"\r\n\r\n" + answer)

    def read_head(self) -> bool:
        """Read request line and headers; returns whether they are complete."""
        top, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return False
        first, *lines = top.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        self.head, self.buffer = (method, target, headers), rest
        if "expect" in headers:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True


async def serve(folder: Path, seconds: float) -> None:
    """Answer until standard input closes."""
    loop = asyncio.get_running_loop()
    answers = Answers(folder)
    server = await loop.create_server(partial(Connection, answers, seconds), HOST, 0)
    answers.address = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    print(answers.address, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds-a-request", type=float, default=0.01)
    options = parser.parse_args()
    asyncio.run(serve(options.folder, options.seconds_a_request))


if __name__ == "__main__":
    main()
