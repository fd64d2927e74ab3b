"""An upstream that keeps what reaches it, and answers as it was told."""

import collections
import dataclasses
import http.server
import json
import threading
from collections.abc import Iterable

TOKEN = "hf_the_upstreams_own"


@dataclasses.dataclass
class Received:
    method: str
    path: str
    fields: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field.lower() == name]


@dataclasses.dataclass
class Answer:
    """`body` is sent whole, or, if it is no bytes, one chunk at a time."""

    body: bytes | Iterable[bytes]
    status: int = 200
    fields: dict[str, str] = dataclasses.field(default_factory=dict)


def answer(value, status: int = 200, **fields: str) -> Answer:
    fields = {"content-type": "application/json"} | fields
    return Answer(json.dumps(value).encode(), status, fields)


def completion(text: str) -> dict:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return _envelope("chat.completion", choice)


def event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return f"data: {json.dumps(_envelope('chat.completion.chunk', choice))}\n\n".encode()


def _envelope(kind: str, choice: dict) -> dict:
    return {"id": "1", "object": kind, "created": 0, "model": "m", "choices": [choice]}


DONE = b"data: [DONE]\n\n"


class Recorder:
    """A context manager. `received` is all that has come; `answers` are used up first to last,
    and after them each question is answered alike."""

    def __init__(self):
        self.received: list[Received] = []
        self.answers: collections.deque[Answer] = collections.deque()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def clear(self):
        self.received.clear()
        self.answers.clear()

    def respond(self, received: Received) -> Answer:
        try:
            return self.answers.popleft()
        except IndexError:
            return answer(completion("as always"))

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def _handler(recorder):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self._read()
                if body is None:
                    self.close_connection = True
                    return
                fields = self.headers.items()
                received = Received(self.command, self.path, fields, body)
                recorder.received.append(received)
                self._write(recorder.respond(received))

            do_GET = do_POST

            def _read(self) -> bytes | None:
                """The body, unless the connection ends before it."""
                if self.headers.get("transfer-encoding", "").lower() != "chunked":
                    length = int(self.headers.get("content-length", 0))
                    body = self.rfile.read(length)
                    return body if len(body) == length else None
                chunks = []
                while size := int(self.rfile.readline().split(b";")[0] or b"-1", 16):
                    if size < 0:
                        return None
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def _write(self, it: Answer):
                self.send_response(it.status)
                for name, value in it.fields.items():
                    self.send_header(name, value)
                if isinstance(it.body, bytes):
                    self.send_header("content-length", str(len(it.body)))
                    self.end_headers()
                    self.wfile.write(it.body)
                    return
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for chunk in it.body:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        return Handler
