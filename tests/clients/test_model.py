"""The token that only the gateway has, and an upstream that is started, left and asked again."""

import http.client
import json
import socket
import urllib.request
from urllib.parse import urlsplit

import openai
import pytest

from clients import ASKED, ENDLESS, LIMIT, NO_TOKEN, TIMEOUT, openai_client
from recorder import TOKEN, answer, completion
from servers import Model, wait_for

# === the injected token ===


def test_model_wants_a_token_and_takes_no_callers(model, guarded_model, issuer):
    # What the gateway takes, the model does not: it was the gateway's token that opened it.
    for token in "nonsense", guarded_model.token:
        with pytest.raises(openai.AuthenticationError):
            openai_client(model, token).chat.completions.create(**ASKED)
    with pytest.raises(openai.AuthenticationError):
        openai_client(model).chat.completions.create(**ASKED, extra_headers=NO_TOKEN)
    assert openai_client(guarded_model).chat.completions.create(**ASKED).choices


BODY = b'{ "model":"m", "messages": [ {"role":"user","content":"caf\xc3\xa9"} ], "n":1.0 }'


def post(server, fields: list[tuple[str, str]], body: bytes = BODY):
    """A request field by field, as no SDK sends it."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=TIMEOUT)
    connection.putrequest("POST", "/v1/chat/completions", skip_accept_encoding=True)
    fields = [("content-type", "application/json"), ("content-length", str(len(body))), *fields]
    for name, value in fields:
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response, text


def test_callers_credentials_stay_at_the_gateway(recorder, guarded_recorder):
    token = guarded_recorder.token
    response, _ = post(
        guarded_recorder,
        [
            ("authorization", f"Bearer {token}"),
            ("cookie", "session=of-the-caller"),
            ("proxy-authorization", "Basic b2YtdGhlLWNhbGxlcg=="),
            ("x-amz-security-token", "of-the-caller"),
            ("x-hf-bill-to", "another-org"),
            ("connection", "keep-alive, x-of-this-hop"),
            ("keep-alive", "timeout=5"),
            ("x-of-this-hop", "yes"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("user-agent", "a-client/1"),
            ("x-request-id", "of-the-caller"),
        ],
    )
    assert response.status == 200
    [received] = recorder.received
    assert received.values("authorization") == [f"Bearer {TOKEN}"]
    assert received.values("host") == [urlsplit(recorder.url).netloc]
    gone = "cookie proxy-authorization x-amz-security-token x-hf-bill-to"
    gone += " keep-alive x-of-this-hop te upgrade"
    for name in gone.split():
        assert received.values(name) == [], name
    for name, value in received.fields:
        assert token not in value and "x-of-this-hop" not in value.lower(), name
    # And what is the upstream's business reaches it as it was sent.
    assert received.body == BODY
    assert received.values("content-type") == ["application/json"]
    assert received.values("user-agent") == ["a-client/1"]
    # The id that the caller gets, and that the log knows.
    request_id = response.getheader("x-request-id")
    assert received.values("x-request-id") == [request_id] != ["of-the-caller"]
    assert guarded_recorder.record(request_id)["status"] == 200


def test_upstreams_token_and_cookies_come_back_to_no_caller(recorder, guarded_recorder):
    fields = {"x-echo": f"Bearer {TOKEN}", "set-cookie": "upstream=1", "x-plain": "stays"}
    recorder.answers.append(answer(completion("hello"), **fields))
    caller = [("authorization", f"Bearer {guarded_recorder.token}")]
    response, _ = post(guarded_recorder, caller)
    assert response.status == 200
    assert response.getheader("x-plain") == "stays"
    assert response.getheader("set-cookie") is None
    assert TOKEN not in str(response.getheaders())


def test_no_token_and_no_prompt_in_the_access_log(recorder, guarded_recorder):
    asked = ASKED | {"messages": [{"role": "user", "content": "a secret question"}]}
    recorder.answers.append(answer(completion("a secret answer")))
    chat = openai_client(guarded_recorder).chat.completions.create(**asked)
    record = json.dumps(guarded_recorder.record(chat._request_id))
    signature = guarded_recorder.token.split(".")[2]
    for secret in signature, TOKEN, "secret question", "secret answer":
        assert secret not in record


# === a model that comes late, and streams that are left ===


def predicted(model) -> int:
    """How many tokens the model has made since it was started."""
    bearer = {"authorization": f"Bearer {model.token}"}
    request = urllib.request.Request(f"{model.url}/metrics", headers=bearer)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        lines = response.read().decode().splitlines()
    [value] = [it.split()[1] for it in lines if it.startswith("llamacpp:tokens_predicted_total ")]
    return int(float(value))


def test_stream_left_half_way_stops_the_model(model, guarded_model):
    before = predicted(model)
    stream = openai_client(guarded_model).chat.completions.create(**ENDLESS)
    for _ in range(3):
        next(stream)
    stream.close()
    record = guarded_model.record(stream.response.headers["x-request-id"])
    assert (record["status"], record["outcome"]) == (200, "cancelled")

    # The model takes one request at a time, so this answer comes after the other has ended. Had
    # nobody told the model, it would have made all of them.
    again = [openai_client(it).chat.completions.create(**ASKED) for it in (guarded_model, model)]
    assert again[0].choices == again[1].choices
    assert 0 < predicted(model) - before < LIMIT


def test_cold_model_is_refused_until_it_answers(work, guard, is_refusal):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with guard("cold", f"http://127.0.0.1:{port}", "cold-token") as gateway:
        call = openai_client(gateway).chat.completions.create
        with pytest.raises(openai.InternalServerError) as caught:
            call(**ASKED)
        is_refusal(caught.value, gateway, 502, "upstream-unavailable")

        def answered():
            try:
                return call(**ASKED).choices[0].message.content
            except openai.InternalServerError as error:
                # Not listening yet, or loading: whoever sees the latter depends on the moment.
                assert error.status_code in (502, 503) and error.request_id, error
                return None

        with Model(work, "cold-token", port):
            assert wait_for("an answer of the cold model", answered, 60)
