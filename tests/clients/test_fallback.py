"""Several upstreams: a model that dies, an alias, a cold model, a paused endpoint, a new token."""

import concurrent.futures
import contextlib
import functools
import json
import os
import secrets
import threading
import time

import openai
import pytest

from clients import ASKED, openai_client, hf_client, pieces
from recorder import TOKEN, Answer, Recorder, answer, completion
from servers import Gateway, Model, wait_for

SHORT = ASKED | {"max_tokens": 8}
TOGETHER = 20
# A model works on one request at a time, so the last of many waits long.
PATIENCE = {"timeout": 300}


@pytest.fixture(scope="module")
def several(work, issuer):
    """Makes a gateway in front of upstreams by name, each with its address and its token."""

    def make(name: str, upstreams: dict, *flags) -> Gateway:
        words, env = [], {}
        for upstream, (url, token) in upstreams.items():
            variable = f"TOKEN_OF_{upstream.upper()}"
            words += ["--upstream", f"{upstream}={url}", "--hf-token-env", variable]
            env[variable] = token
        words += ["--issuer", issuer.URL, "--jwks", issuer.jwks]
        words += ["--audience", issuer.AUDIENCE, "--scope", issuer.SCOPE]
        gateway = Gateway(work, name, *words, *flags, env=env)
        gateway.token = issuer.token()
        return gateway

    return make


def in_parallel(calls: list) -> list:
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


# === the same text, many at a time ===


def test_many_clients_at_a_time_get_the_same_text(model, guarded_model, javascript):
    direct = openai_client(model).chat.completions.create(**SHORT).choices[0].message.content
    # JavaScript's SDKs ask for more of the same.
    longer = openai_client(model).chat.completions.create(**ASKED).choices[0].message.content
    assert direct and longer.startswith(direct)

    def openai_whole():
        call = openai_client(guarded_model).with_options(**PATIENCE).chat.completions.create
        return call(**SHORT).choices[0].message.content

    def openai_stream():
        call = openai_client(guarded_model).with_options(**PATIENCE).chat.completions.create
        return "".join(pieces(call(**SHORT, stream=True)))

    def hf_whole():
        return hf_client(guarded_model).chat_completion(**SHORT).choices[0].message.content

    def hf_stream():
        with hf_client(guarded_model) as api:
            return "".join(pieces(api.chat_completion(**SHORT, stream=True)))

    scripts = [
        functools.partial(javascript, sdk, guarded_model, stream=stream)
        for sdk in ("huggingface", "openai")
        for stream in (False, True)
    ]
    kinds = [openai_whole, openai_stream, hf_whole, hf_stream]
    calls = scripts + kinds * ((TOGETHER - len(scripts)) // len(kinds))
    said = in_parallel(calls)
    assert len(said) == TOGETHER
    assert [it["text"] for it in said[: len(scripts)]] == [longer] * len(scripts)
    assert said[len(scripts) :] == [direct] * (TOGETHER - len(scripts))


# === a target that dies ===


class Asked:
    """A stream that is read in a thread of its own, and how it ended."""

    def __init__(self, gateway, asked):
        self.pieces: list[str] = []
        self.finish = self.error = self.target = None
        self._call = openai_client(gateway).with_options(**PATIENCE).chat.completions.create
        self._asked = asked

    def read(self):
        try:
            stream = self._call(**self._asked, stream=True)
            self.target = stream.response.headers["x-inference-target"]
            for chunk in stream:
                self.pieces += pieces([chunk])
                for choice in chunk.choices:
                    self.finish = choice.finish_reason or self.finish
        except Exception as error:  # whatever an SDK makes of it
            self.error = error
        return self

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def test_target_that_is_killed_fails_only_what_had_begun(work, several, model):
    long = ASKED | {"max_tokens": 24, "extra_body": {"ignore_eos": True}}
    direct = openai_client(model).chat.completions.create(**long).choices[0].message.content
    first = Model(work, secrets.token_hex(16))
    with first, contextlib.ExitStack() as stack:
        upstreams = {"first": (first.url, first.token), "second": (model.url, model.token)}
        alias = f"smart=first/{Model.NAME},second/{Model.NAME}"
        flags = ["--model-alias", alias, "--first-content-timeout", "50s"]
        gateway = stack.enter_context(several("killed", upstreams, *flags))
        asked = [Asked(gateway, long | {"model": "smart"}) for _ in range(TOGETHER)]
        whole = long | {"model": "smart", "max_tokens": 4}
        with concurrent.futures.ThreadPoolExecutor(TOGETHER + 4) as pool:
            streams = [pool.submit(it.read) for it in asked]
            wait_for("content", lambda: any(len(it.pieces) > 2 for it in asked), 120)
            # These have no content before their model has died.
            call = openai_client(gateway).with_options(**PATIENCE).chat.completions.create
            wholes = [pool.submit(call, **whole) for _ in range(4)]
            first._process.kill()
            done = [it.result() for it in streams]
            said = [it.result().choices[0].message.content for it in wholes]

    assert said and all(text and direct.startswith(text) for text in said)
    cut = [it for it in done if it.error or not it.finish]
    # The one that the model was working on, at least.
    assert cut
    for it in cut:
        assert it.pieces, f"failed without content: {it.error!r}"
        # It ends with an error, which every SDK shows, and not as if it had been all.
        assert it.error is not None and it.finish is None
        assert it.target == f"first/{Model.NAME}"
        assert direct.startswith(it.text) and it.text != direct
    for it in done:
        if it not in cut:
            assert it.text == direct
            assert it.target in (f"first/{Model.NAME}", f"second/{Model.NAME}")
    assert sum(it.target == f"second/{Model.NAME}" for it in done) > TOGETHER // 2


# === names of models ===


def test_alias_reaches_the_model_of_its_target(several):
    with Recorder() as first, Recorder() as second:
        upstreams = {"first": (first.url, "hf_first"), "second": (second.url, "hf_second")}
        alias = ["--model-alias", "smart=first/org/large:groq,second/small"]
        with several("alias", upstreams, *alias) as gateway:
            call = openai_client(gateway).chat.completions.with_raw_response.create
            response = call(**SHORT | {"model": "smart"})
            assert response.headers["x-inference-target"] == "first/org/large:groq"
            first.answers.append(answer({"error": "overloaded"}, 500))
            response = call(**SHORT | {"model": "smart"})
            assert response.headers["x-inference-target"] == "second/small"
            # Another name goes to the first upstream as it is.
            call(**SHORT | {"model": "other"})
        models = [json.loads(it.body)["model"] for it in first.received]
        assert models == ["org/large:groq", "org/large:groq", "other"]
        [received] = second.received
        assert json.loads(received.body)["model"] == "small"
        assert received.values("authorization") == ["Bearer hf_second"]
        assert {it.values("authorization")[0] for it in first.received} == {"Bearer hf_first"}


# === models that are not there ===

LOADING = {"error": "Model org/m is currently loading", "estimated_time": 0.4}


def test_cold_model_is_waited_for_on_request(guard):
    with Recorder() as cold:
        with guard("waiting", cold.url, TOKEN, "--wait-for-model", "50s") as gateway:
            cold.answers += [answer(LOADING, 503), answer(LOADING, 503)]
            chat = openai_client(gateway).chat.completions.create(**SHORT)
            assert chat.choices[0].message.content == "as always"
            assert len(cold.received) == 3
        with guard("not-waiting", cold.url, TOKEN) as gateway:
            cold.clear()
            cold.answers.append(answer(LOADING, 503))
            with pytest.raises(openai.InternalServerError) as caught:
                openai_client(gateway).chat.completions.create(**SHORT)
            response = caught.value.response
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert len(cold.received) == 1


def test_paused_endpoint_is_not_waited_for(guard):
    # As the proxy of Inference Endpoints says it.
    paused = answer({"error": "Bad Request: Invalid state"}, 400)
    flags = ["--profile", "endpoint", "--wait-for-model", "50s", "--retry", "3"]
    with Recorder() as endpoint, guard("paused", endpoint.url, TOKEN, *flags) as gateway:
        endpoint.answers.append(paused)
        with pytest.raises(openai.APIStatusError) as caught:
            openai_client(gateway).chat.completions.create(**SHORT)
        assert "retry-after" not in caught.value.response.headers
        assert len(endpoint.received) == 1


# === a token that changes ===


class Rotated(Recorder):
    """An upstream that accepts only the key that the file has now."""

    def __init__(self, file):
        super().__init__()
        self._file = file
        self.rejected = 0

    def respond(self, received) -> Answer:
        if received.values("authorization") == [f"Bearer {self._file.read_text()}"]:
            return answer(completion("as always"))
        self.rejected += 1
        return answer({"error": "Invalid token"}, 401)


def test_no_request_fails_while_the_token_changes(work, issuer):
    file = work / "rotated-token"

    def rotate():
        new = file.with_suffix(".new")
        # Only its owner may read or write it.
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(f"hf_{secrets.token_hex(16)}")
        new.rename(file)

    rotate()
    with Rotated(file) as upstream:
        known = ["--issuer", issuer.URL, "--jwks", issuer.jwks]
        known += ["--audience", issuer.AUDIENCE, "--scope", issuer.SCOPE]
        real = ["--upstream", upstream.url, "--hf-token-file", file]
        with Gateway(work, "rotated", *real, *known) as gateway:
            gateway.token = issuer.token()
            over = threading.Event()

            def send() -> int:
                api = openai_client(gateway)
                sent = 0
                while not over.is_set():
                    assert api.chat.completions.create(**SHORT).choices
                    sent += 1
                return sent

            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                senders = [pool.submit(send) for _ in range(4)]
                for _ in range(8):
                    before = len(upstream.received)
                    rotate()
                    # Each key is in use for a while.
                    wait_for("requests", lambda: len(upstream.received) > before + 20)
                    time.sleep(0.3)
                over.set()
                sent = [sender.result() for sender in senders]
            assert sum(sent) > 100
            # Some were sent with the key before, and once more with the next one.
            assert upstream.rejected
            assert len(upstream.received) == sum(sent) + upstream.rejected
