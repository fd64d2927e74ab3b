"""Anthropic's SDK, by `auth_token`: messages, streams and tool calls through the gateway."""

import json

import anthropic
import pytest

from clients import ASKED, TIMEOUT
from recorder import TOKEN, Answer
from tool_calls import CALL, calling_a_tool, tool_use_in_pieces

MESSAGE = {name: ASKED[name] for name in ("model", "messages", "max_tokens")}
# Newer models take none, so the SDK has no parameter for it.
GREEDY = {"temperature": 0}
TOOL = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def client(server, token=None) -> anthropic.Anthropic:
    settings = {"base_url": server.url, "auth_token": token or server.token, "api_key": None}
    return anthropic.Anthropic(**settings, max_retries=0, timeout=TIMEOUT)


def test_message_is_the_same(model, guarded_model):
    servers = model, guarded_model
    direct, through = (client(it).messages.create(**MESSAGE, extra_body=GREEDY) for it in servers)
    assert direct.content[0].text
    assert (through.content, through.usage) == (direct.content, direct.usage)
    assert through.stop_reason == direct.stop_reason


def test_stream_arrives_in_the_same_pieces(model, guarded_model):
    def stream(server):
        with client(server).messages.stream(**MESSAGE, extra_body=GREEDY) as events:
            pieces = list(events.text_stream)
            return pieces, events.get_final_message(), events.response.headers

    (direct, whole, _), (through, again, headers) = (stream(it) for it in (model, guarded_model))
    assert len(direct) > 1
    assert (through, again.content, again.usage) == (direct, whole.content, whole.usage)
    record = guarded_model.record(headers["x-request-id"])
    assert record["stream_end"] == "done"
    assert record["usage"]["completion_tokens"] == whole.usage.output_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_tools_pass_both_ways(stream, recorder, guarded_recorder):
    asked = MESSAGE | {"tools": [TOOL], "tool_choice": {"type": "auto"}}
    recorder.answers.append(calling_a_tool(stream, messages=True))
    if stream:
        with client(guarded_recorder).messages.stream(**asked) as events:
            message = events.get_final_message()
            headers = events.response.headers
    else:
        raw = client(guarded_recorder).messages.with_raw_response.create(**asked)
        message, headers = raw.parse(), raw.headers
    [block] = message.content
    assert {"name": block.name, "input": block.input} == CALL
    assert message.stop_reason == "tool_use"

    [received] = recorder.received
    assert received.values("authorization") == [f"Bearer {TOKEN}"]
    [version] = received.values("anthropic-version")
    assert version
    sent = json.loads(received.body)
    assert sent == asked | ({"stream": True} if stream else {})

    record = guarded_recorder.record(headers["x-request-id"])
    assert record["outcome"] == "complete"
    assert (record["usage"]["prompt_tokens"], record["usage"]["completion_tokens"]) == (16, 5)


def test_error_in_a_stream_is_no_success(recorder, guarded_recorder):
    def broken():
        yield from list(tool_use_in_pieces())[:3]
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        yield f"event: error\ndata: {json.dumps(error)}\n\n".encode()

    recorder.answers.append(Answer(broken(), fields={"content-type": "text/event-stream"}))
    with pytest.raises(anthropic.APIStatusError) as caught:
        with client(guarded_recorder).messages.stream(**MESSAGE) as events:
            events.get_final_message()
    record = guarded_recorder.record(caught.value.response.headers["x-request-id"])
    assert record["stream_end"] == "failed"


def test_rejection_is_shown(guarded_model, issuer):
    without_scope = issuer.token(scope=None)
    cases = ("nonsense", 401, "invalid-token"), (without_scope, 403, "insufficient-scope")
    for token, status, slug in cases:
        with pytest.raises(anthropic.APIStatusError) as caught:
            client(guarded_model, token).messages.create(**MESSAGE)
        error = caught.value
        assert error.status_code == status
        problem = error.response.json()
        assert problem["type"].endswith(f":{slug}")
        assert problem["error"]["message"] in str(error)
