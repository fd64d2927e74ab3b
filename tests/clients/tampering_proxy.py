"""A proxy between a client and the gateway that can change requests."""

import http.client
from collections.abc import Callable
from urllib.parse import urlsplit

from clients import TIMEOUT
from recorder import Answer, Received, Recorder


class TamperingProxy(Recorder):
    """Clients sign for the address of the proxy. It passes on each header, `host` included."""

    def __init__(self):
        super().__init__()
        self.gateway = None
        self.tamper: Callable[[Received], None] | None = None

    def clear(self):
        super().clear()
        self.tamper = None

    def respond(self, received: Received) -> Answer:
        if self.tamper:
            self.tamper(received)
        connection = http.client.HTTPConnection(urlsplit(self.gateway.url).netloc, timeout=TIMEOUT)
        connection.putrequest(
            received.method, received.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in received.fields:
            connection.putheader(name, value)
        connection.endheaders(received.body or None)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        kept = "content-type", "www-authenticate", "x-request-id"
        fields = {name: value for name, value in response.getheaders() if name.lower() in kept}
        return Answer(body, response.status, fields)
