"""OpenAI's SDK: the same through the gateway as without it, and refusals that it can show."""

import asyncio
import threading

import openai
import pytest

from clients import ASKED, NO_TOKEN, TIMEOUT, openai_client, pieces
from recorder import DONE, TOKEN, Answer, answer, completion, event


def streamed(server, **more):
    return openai_client(server).chat.completions.create(**ASKED, stream=True, **more)


# === the model, with and without the gateway ===


def test_chat_says_the_same(model, guarded_model):
    direct = openai_client(model).chat.completions.create(**ASKED)
    through = openai_client(guarded_model).chat.completions.create(**ASKED)
    assert direct.choices[0].message.content
    assert through.choices == direct.choices
    assert through.usage == direct.usage
    record = guarded_model.record(through._request_id)
    assert (record["status"], record["outcome"]) == (200, "complete")


def test_chat_stream_says_the_same_in_the_same_pieces(model, guarded_model):
    direct = pieces(streamed(model))
    through = pieces(streamed(guarded_model))
    assert len(direct) > 1
    assert through == direct
    whole = openai_client(guarded_model).chat.completions.create(**ASKED)
    assert "".join(through) == whole.choices[0].message.content


def test_stream_tells_usage_when_asked(model, guarded_model):
    asked = {"stream_options": {"include_usage": True}}
    *_, direct = streamed(model, **asked)
    stream = streamed(guarded_model, **asked)
    request_id = stream.response.headers["x-request-id"]
    *_, through = stream
    assert through.usage.completion_tokens > 1
    assert through.usage == direct.usage
    record = guarded_model.record(request_id)
    assert record["stream_end"] == "done"
    usage = record["usage"]
    assert usage["prompt_tokens"] == direct.usage.prompt_tokens
    assert usage["completion_tokens"] == direct.usage.completion_tokens


def test_async_client_says_the_same(model, guarded_model):
    async def ask():
        async with openai_client(guarded_model, kind=openai.AsyncOpenAI) as api:
            whole, stream = await asyncio.gather(
                api.chat.completions.create(**ASKED),
                api.chat.completions.create(**ASKED, stream=True),
            )
            chunks = [chunk async for chunk in stream]
        return whole.choices[0].message.content, "".join(pieces(chunks))

    direct = openai_client(model).chat.completions.create(**ASKED).choices[0].message.content
    assert asyncio.run(ask()) == (direct, direct)


def test_stream_is_not_held_back(recorder, guarded_recorder):
    """The upstream says its second word only after the caller has heard the first."""
    heard = threading.Event()

    def body():
        yield event("one")
        assert heard.wait(TIMEOUT)
        yield event("two")
        yield DONE

    recorder.answers.append(Answer(body(), fields={"content-type": "text/event-stream"}))
    stream = streamed(guarded_recorder)
    first = next(stream)
    heard.set()
    assert pieces([first, *stream]) == ["one", "two"]


# === the demo ===


def test_embeddings_as_base64_and_as_floats(demo):
    texts = ["a river", "a lake", "a river"]
    api = openai_client(demo)
    # Without encoding_format, the SDK asks for base64 and decodes it.
    encoded = [it.embedding for it in api.embeddings.create(model="demo", input=texts).data]
    floats = api.embeddings.create(model="demo", input=texts, encoding_format="float").data
    assert encoded == [pytest.approx(it.embedding) for it in floats]
    river, lake, again = encoded
    assert river == again != lake


def test_models_are_listed(demo):
    assert "demo" in [it.id for it in openai_client(demo).models.list()]


def test_demo_chats(demo):
    chat = openai_client(demo).chat.completions.create(**ASKED).choices[0].message.content
    assert "".join(pieces(streamed(demo))) == chat


# === refusals ===


def refusal(kind, api, **more):
    with pytest.raises(kind) as caught:
        api.chat.completions.create(**ASKED | more)
    assert type(caught.value) is kind
    return caught.value


def test_no_token_is_401(guarded_model, is_refusal):
    api = openai_client(guarded_model)
    error = refusal(openai.AuthenticationError, api, extra_headers=NO_TOKEN)
    is_refusal(error, guarded_model, 401, "missing-credentials")
    assert error.code == "missing_credentials"
    assert error.response.headers["www-authenticate"].startswith("Bearer")


def test_wrong_token_is_401(guarded_model, issuer, is_refusal):
    wrong = {
        "invalid-token": ["nonsense", issuer.forged(), issuer.token(aud="another")],
        "expired-token": [issuer.token(exp=1)],
    }
    for slug, tokens in wrong.items():
        for token in tokens:
            stranger = openai_client(guarded_model, token)
            error = refusal(openai.AuthenticationError, stranger)
            is_refusal(error, guarded_model, 401, slug)


def test_the_upstreams_own_token_is_401_at_the_gateway(guarded_model, model, is_refusal):
    stranger = openai_client(guarded_model, model.token)
    error = refusal(openai.AuthenticationError, stranger)
    is_refusal(error, guarded_model, 401, "invalid-token")


def test_token_without_scope_is_403(guarded_model, issuer, is_refusal):
    visitor = openai_client(guarded_model, issuer.token(scope=None))
    error = refusal(openai.PermissionDeniedError, visitor)
    is_refusal(error, guarded_model, 403, "insufficient-scope")
    assert error.code == "insufficient_scope"


def test_demo_refuses_too(demo, is_refusal):
    visitor = openai_client(demo, demo.token_without_scope)
    error = refusal(openai.PermissionDeniedError, visitor)
    is_refusal(error, demo, 403, "insufficient-scope")
    stranger = openai_client(demo, "nonsense")
    error = refusal(openai.AuthenticationError, stranger)
    is_refusal(error, demo, 401, "invalid-token")


def test_body_beyond_the_limit_is_413(guarded_model, is_refusal):
    long = [{"role": "user", "content": "x" * 64 * 1024}]
    api = openai_client(guarded_model)
    error = refusal(openai.APIStatusError, api, messages=long)
    is_refusal(error, guarded_model, 413, "payload-too-large")


def test_body_beyond_the_default_limit_is_413(demo, is_refusal):
    """More than the sockets' buffers hold: the refusal comes while the caller is still sending."""
    long = [{"role": "user", "content": "x" * (10 << 20)}]
    error = refusal(openai.APIStatusError, openai_client(demo), messages=long)
    is_refusal(error, demo, 413, "payload-too-large")


def test_closed_route_is_404(guarded_recorder, recorder, is_refusal):
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client(guarded_recorder).files.list()
    is_refusal(caught.value, guarded_recorder, 404, "not-found")
    assert not recorder.received


def test_upstream_that_is_down_is_502(guarded_nothing, is_refusal):
    api = openai_client(guarded_nothing)
    for more in {}, {"stream": True}:
        error = refusal(openai.InternalServerError, api, **more)
        is_refusal(error, guarded_nothing, 502, "upstream-unavailable")


def test_issuer_that_is_down_is_503(keyless, is_refusal):
    error = refusal(openai.InternalServerError, openai_client(keyless))
    is_refusal(error, keyless, 503, "identity-provider-unavailable")
    assert int(error.response.headers["retry-after"]) > 0


def test_model_that_is_loading_is_503_in_its_own_words(recorder, guarded_recorder):
    loading = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
    fields = {"x-request-id": "of-the-upstream"}
    recorder.answers.append(answer(loading, status=503, **fields))
    error = refusal(openai.InternalServerError, openai_client(guarded_recorder))
    assert (error.status_code, error.type) == (503, "unavailable_error")
    assert "Loading model" in str(error)
    # The id, however, is the one that the gateway's log knows.
    record = guarded_recorder.record(error.request_id)
    assert (record["status"], record["upstream_status"]) == (503, 503)


def trying(server, retries: int):
    """A client that tries again, and the request ids of all its tries."""
    ids = []
    hooks = {"response": [lambda response: ids.append(response.headers["x-request-id"])]}
    http_client = openai.DefaultHttpxClient(event_hooks=hooks)
    api = openai_client(server).with_options(max_retries=retries, http_client=http_client)
    return api, ids


def test_body_that_breaks_its_schema_is_shown_where(recorder, guarded_recorder, is_refusal):
    api = openai_client(guarded_recorder)
    words = [{"role": "user", "content": "one"}, {"role": "user", "content": 5}]
    error = refusal(openai.UnprocessableEntityError, api, messages=words)
    is_refusal(error, guarded_recorder, 422, "invalid-payload")
    assert error.body["message"].startswith("/messages/1/content: ")
    assert "5" not in error.body["message"].partition(": ")[2]
    error = refusal(openai.UnprocessableEntityError, api, messages=[])
    assert error.body["message"].startswith("/messages: ")
    assert not recorder.received


def test_answer_is_cut_to_the_limit_of_the_gateway(guard, model):
    with guard("brief", model.url, model.token, "--max-tokens", "3") as gateway:
        api = openai_client(gateway)
        unsaid = {name: value for name, value in ASKED.items() if name != "max_tokens"}
        for asked in ASKED, ASKED | {"max_completion_tokens": 32}, unsaid:
            chat = api.chat.completions.create(**asked)
            assert chat.choices[0].finish_reason == "length"
            assert chat.usage.completion_tokens == 3


def test_sdk_is_given_again_what_the_model_has_streamed(guard, model):
    asked = ASKED | {"temperature": 0}
    with guard("cached", model.url, model.token, "--cache-ttl", "5m") as gateway:
        api, ids = trying(gateway, retries=0)

        def streamed():
            usage = {"include_usage": True}
            return list(api.chat.completions.create(**asked, stream=True, stream_options=usage))

        first = streamed()
        assert streamed() == first
        words = [chunk.choices[0].delta.content or "" for chunk in first if chunk.choices]
        # The same, to one who does not want a stream.
        plain = api.chat.completions.create(**asked)
        assert plain.choices[0].message.content == "".join(words) != ""
        assert plain.usage.completion_tokens == first[-1].usage.completion_tokens
        # And the other way round.
        asked["messages"] = [{"role": "user", "content": "Say something else."}]
        plain = api.chat.completions.create(**asked)
        words = [chunk.choices[0].delta.content or "" for chunk in streamed() if chunk.choices]
        assert plain.choices[0].message.content == "".join(words) != ""
        caches = [gateway.record(it)["cache"] for it in ids]
        assert caches == ["miss", "hit", "hit", "miss", "hit"]


def test_sdk_retries_a_503_and_each_try_has_its_own_record(recorder, guarded_recorder):
    recorder.answers.append(answer({"error": "overloaded"}, status=503))
    recorder.answers.append(answer(completion("at last")))
    api, ids = trying(guarded_recorder, retries=2)
    chat = api.chat.completions.create(**ASKED)
    assert chat.choices[0].message.content == "at last"
    assert [guarded_recorder.record(it)["status"] for it in ids] == [503, 200]
    assert len(recorder.received) == 2


def test_sdk_waits_as_told_beyond_a_rate_and_succeeds(guard, recorder):
    # Two seconds a request: more than this SDK would wait by itself the first time.
    with guard("limited", recorder.url, TOKEN, "--rate", "30/min", "--burst", "1") as gateway:
        api, ids = trying(gateway, retries=openai.DEFAULT_MAX_RETRIES)
        for number in range(3):
            chat = api.chat.completions.create(**ASKED)
            assert chat.choices[0].message.content == "as always"
            assert len(recorder.received) == number + 1
        # The first passes at once. Each of the others is refused once, and then has waited enough.
        statuses = [gateway.record(it)["status"] for it in ids]
        assert statuses == [200, 429, 200, 429, 200]


def test_sdk_waits_as_told_for_a_stream_too(guard, recorder):
    with guard("limited-streams", recorder.url, TOKEN, "--rate", "20/min", "--burst", "1") as gateway:
        api, ids = trying(gateway, retries=openai.DEFAULT_MAX_RETRIES)
        for _ in range(2):
            # What comes is not read: that an answer came is what counts here.
            api.chat.completions.create(**ASKED, stream=True).close()
        assert [gateway.record(it)["status"] for it in ids] == [200, 429, 200]
        assert len(recorder.received) == 2


def test_without_retries_the_refusal_and_the_wait_are_shown(guard, recorder, is_refusal):
    with guard("limited-once", recorder.url, TOKEN, "--rate", "20/min", "--burst", "1") as gateway:
        openai_client(gateway).chat.completions.create(**ASKED)
        error = refusal(openai.RateLimitError, openai_client(gateway))
        is_refusal(error, gateway, 429, "throttled")
        assert 1 <= int(error.response.headers["retry-after"]) <= 3
        assert len(recorder.received) == 1


def test_sdk_does_not_wait_for_another_month(guard, recorder, is_refusal):
    with guard("used-up", recorder.url, TOKEN, "--quota", "1/month") as gateway:
        api, ids = trying(gateway, retries=openai.DEFAULT_MAX_RETRIES)
        api.chat.completions.create(**ASKED)
        error = refusal(openai.RateLimitError, api)
        is_refusal(error, gateway, 429, "quota-exceeded")
        # The month may be about to end, where this SDK would wait for the next one.
        assert int(error.response.headers["retry-after"]) > 120
        assert len(ids) == 2 and len(recorder.received) == 1


def test_sdk_gives_up_on_an_upstream_that_stays_down(guarded_nothing, is_refusal):
    api, ids = trying(guarded_nothing, retries=1)
    error = refusal(openai.InternalServerError, api)
    is_refusal(error, guarded_nothing, 502, "upstream-unavailable")
    assert len(set(ids)) == 2 and ids[1] == error.request_id


def test_upstreams_own_error_stays_its_own(recorder, guarded_recorder):
    wrong = {"error": {"message": "no such parameter", "type": "invalid_request_error"}}
    recorder.answers.append(answer(wrong, status=400))
    error = refusal(openai.BadRequestError, openai_client(guarded_recorder))
    assert "no such parameter" in str(error)
    record = guarded_recorder.record(error.request_id)
    assert record["status"] == 400 and not record.get("refusal")
