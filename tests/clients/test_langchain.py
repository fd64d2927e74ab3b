"""LangChain: chats, streams and tool calls through the gateway."""

import json

import openai
import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from clients import ASKED, TIMEOUT
from tool_calls import CALL, calling_a_tool

[PROMPT] = (message["content"] for message in ASKED["messages"])


def chat(server, token=None, **more) -> ChatOpenAI:
    settings = {name: ASKED[name] for name in ("model", "temperature", "seed", "max_tokens")}
    settings |= {"base_url": f"{server.url}/v1", "api_key": token or server.token}
    return ChatOpenAI(**settings, max_retries=0, timeout=TIMEOUT, **more)


def test_chat_is_the_same(model, guarded_model):
    direct, through = (chat(it).invoke(PROMPT) for it in (model, guarded_model))
    assert direct.content
    assert (through.content, through.usage_metadata) == (direct.content, direct.usage_metadata)


def test_stream_arrives_in_the_same_pieces(model, guarded_model):
    def stream(server):
        chunks = list(chat(server, stream_usage=True).stream(PROMPT))
        usages = [it.usage_metadata for it in chunks if it.usage_metadata]
        return [it.content for it in chunks if it.content], usages

    direct, through = (stream(it) for it in (model, guarded_model))
    assert len(direct[0]) > 1 and direct[1]
    assert through == direct


@tool
def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"It rains in {city}."


@pytest.mark.parametrize("stream", [False, True])
def test_tools_pass_both_ways(stream, recorder, guarded_recorder):
    recorder.answers.append(calling_a_tool(stream, messages=False))
    agent = chat(guarded_recorder).bind_tools([weather])
    if stream:
        first, *rest = agent.stream(PROMPT)
        message = sum(rest, first)
    else:
        message = agent.invoke(PROMPT)
    [call] = message.tool_calls
    assert {"name": call["name"], "input": call["args"]} == CALL
    [received] = recorder.received
    [sent] = json.loads(received.body)["tools"]
    assert sent["function"]["name"] == "weather"


def test_the_tool_result_reaches_the_upstream(recorder, guarded_recorder):
    recorder.answers.append(calling_a_tool(stream=False, messages=False))
    agent = chat(guarded_recorder).bind_tools([weather])
    asked = agent.invoke(PROMPT)
    result = weather.invoke(asked.tool_calls[0])
    final = agent.invoke([("user", PROMPT), asked, result])
    assert final.content == "as always"
    sent = json.loads(recorder.received[-1].body)["messages"]
    assert [it["role"] for it in sent] == ["user", "assistant", "tool"]


def test_embeddings_arrive(demo):
    # Without `check_embedding_ctx_length` the client sends text and not token ids.
    settings = {"model": "demo", "base_url": f"{demo.url}/v1", "api_key": demo.token}
    api = OpenAIEmbeddings(**settings, check_embedding_ctx_length=False, max_retries=0)
    river, again = api.embed_documents(["a river", "a river"])
    assert river == again and len(river) > 1


def test_rejection_is_shown(guarded_model, is_refusal):
    for stream in False, True:
        api = chat(guarded_model, "nonsense")
        with pytest.raises(openai.AuthenticationError) as caught:
            list(api.stream(PROMPT)) if stream else api.invoke(PROMPT)
        is_refusal(caught.value, guarded_model, 401, "invalid-token")
