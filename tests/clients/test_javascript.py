"""The JavaScript SDKs: the same through the gateway as without it, and rejections they show."""

import json

import pytest

from tool_calls import CALL, calling_a_tool

# Anthropic's sends messages, and the others chat completions.
SDKS = ["openai", "huggingface", "vercel", "anthropic"]


@pytest.mark.parametrize("sdk", SDKS)
def test_chat_is_the_same(sdk, javascript, model, guarded_model):
    direct, through = (javascript(sdk, it) for it in (model, guarded_model))
    assert direct["text"] and direct["usage"]["completion_tokens"] > 1
    assert through == direct


@pytest.mark.parametrize("sdk", SDKS)
def test_stream_arrives_in_the_same_pieces(sdk, javascript, model, guarded_model):
    direct, through = (javascript(sdk, it, stream=True) for it in (model, guarded_model))
    assert len(direct["pieces"]) > 1
    assert through == direct


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("stream", [False, True])
def test_tools_pass_both_ways(sdk, stream, javascript, recorder, guarded_recorder):
    recorder.answers.append(calling_a_tool(stream, messages=sdk == "anthropic"))
    result = javascript(sdk, guarded_recorder, stream=stream, tools=True)
    assert result.get("calls") == [CALL], result
    [received] = recorder.received
    [tool] = json.loads(received.body)["tools"]
    assert tool.get("function", tool)["name"] == CALL["name"]


@pytest.mark.parametrize("sdk", SDKS)
def test_rejection_is_shown(sdk, javascript, guarded_model, issuer):
    without_scope = issuer.token(scope=None)
    for token, status, word in ("nonsense", 401, "token"), (without_scope, 403, "scope"):
        for stream in False, True:
            error = javascript(sdk, guarded_model, token, stream=stream)["error"]
            assert error["status"] == status, error
            if sdk != "huggingface":
                assert word in error["message"], error
            elif not stream:
                # The SDK prints `error` as a string, which is an object for the sake of OpenAI's.
                # It hands the whole body to the program, but only of a request without a stream.
                assert word in error["body"]["error"]["message"], error
