"""Responses that call a tool, as OpenAI's chat completions and Anthropic's messages have them."""

import json

from recorder import DONE, Answer, answer

CALL = {"name": "weather", "input": {"city": "Bern"}}


def calling_a_tool(stream: bool, messages: bool) -> Answer:
    if not stream:
        return answer(tool_use() if messages else tool_call())
    pieces = tool_use_in_pieces() if messages else tool_call_in_pieces()
    return Answer(pieces, fields={"content-type": "text/event-stream"})


def tool_call() -> dict:
    call = {"name": CALL["name"], "arguments": json.dumps(CALL["input"])}
    message = {"role": "assistant", "content": None}
    message["tool_calls"] = [{"id": "call_1", "type": "function", "function": call}]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    envelope = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
    return envelope | {"choices": [choice], "usage": usage}


def tool_call_in_pieces():
    envelope = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}

    def chunk(delta: dict, finish=None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f"data: {json.dumps(envelope | {'choices': [choice]})}\n\n".encode()

    first = {"index": 0, "id": "call_1", "type": "function"}
    first["function"] = {"name": CALL["name"], "arguments": ""}
    yield chunk({"role": "assistant", "content": None, "tool_calls": [first]})
    text = json.dumps(CALL["input"])
    for piece in text[:5], text[5:]:
        yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield chunk({}, "tool_calls")
    yield DONE


# As Anthropic counts: what was written to the cache and read from it comes on top of the input.
USAGE = {"input_tokens": 9, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4}


def tool_use() -> dict:
    block = {"type": "tool_use", "id": "toolu_1"} | CALL
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    message |= {"content": [block], "stop_reason": "tool_use", "stop_sequence": None}
    return message | {"usage": USAGE | {"output_tokens": 5}}


def tool_use_in_pieces():
    def event(kind: str, **members) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind} | members)}\n\n".encode()

    usage = USAGE | {"output_tokens": 1}
    start = tool_use() | {"content": [], "stop_reason": None, "usage": usage}
    block = {"type": "tool_use", "id": "toolu_1", "name": CALL["name"], "input": {}}
    yield event("message_start", message=start)
    yield event("content_block_start", index=0, content_block=block)
    yield event("ping")
    text = json.dumps(CALL["input"])
    for piece in text[:5], text[5:]:
        delta = {"type": "input_json_delta", "partial_json": piece}
        yield event("content_block_delta", index=0, delta=delta)
    yield event("content_block_stop", index=0)
    delta = {"stop_reason": "tool_use", "stop_sequence": None}
    yield event("message_delta", delta=delta, usage={"output_tokens": 5})
    yield event("message_stop")
