"""Hugging Face's InferenceClient: the same through the gateway as without it, and refusals."""

import asyncio

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from clients import ASKED, ENDLESS, TIMEOUT, hf_client, pieces
from recorder import TOKEN, answer
from servers import wait_for


def streamed(server) -> list[str]:
    # A client that is not held on to closes its streams.
    with hf_client(server) as api:
        return pieces(api.chat_completion(**ASKED, stream=True))


# === the model, with and without the gateway ===


def test_chat_says_the_same(model, guarded_model):
    direct = hf_client(model).chat_completion(**ASKED)
    through = hf_client(guarded_model).chat_completion(**ASKED)
    assert direct.choices[0].message.content
    assert through.choices == direct.choices
    assert through.usage == direct.usage


def test_chat_stream_says_the_same_in_the_same_pieces(model, guarded_model):
    direct, through = streamed(model), streamed(guarded_model)
    assert len(direct) > 1
    assert through == direct


def test_async_client_says_the_same(model, guarded_model):
    async def ask():
        async with hf_client(guarded_model, kind=AsyncInferenceClient) as api:
            whole = await api.chat_completion(**ASKED)
            stream = await api.chat_completion(**ASKED, stream=True)
            chunks = [chunk async for chunk in stream]
        return whole.choices[0].message.content, "".join(pieces(chunks))

    direct = hf_client(model).chat_completion(**ASKED).choices[0].message.content
    assert asyncio.run(ask()) == (direct, direct)


def test_dropped_client_ends_the_stream(guarded_model):
    """This SDK has no handle on a stream: whoever loses interest closes the client."""
    before = len(guarded_model.records())
    with hf_client(guarded_model) as api:
        next(iter(api.chat_completion(**ENDLESS)))

    def look():
        # A client that has read the end may hang up before the connection has said so: not that.
        left = [it for it in guarded_model.records()[before:] if it.get("outcome") == "cancelled"]
        return [it for it in left if it.get("stream_end") != "done"]

    [record] = wait_for("the record of the dropped stream", look)
    assert record["status"] == 200


# === the demo ===


def test_feature_extraction_of_one_text_and_of_several(demo):
    # A URL stands for the model; this task is posted to just that.
    api = InferenceClient(model=f"{demo.url}/models/demo", api_key=demo.token, timeout=TIMEOUT)
    one = api.feature_extraction("a river")
    several = api.feature_extraction(["a river", "a lake"], normalize=True)
    assert one.ndim == 1 and several.shape == (2, len(one))
    assert (several[0] == one).all() and (several[1] != one).any()


def test_async_feature_extraction(demo):
    async def ask():
        url = f"{demo.url}/hf-inference/models/owner/demo/pipeline/feature-extraction"
        async with AsyncInferenceClient(model=url, api_key=demo.token, timeout=TIMEOUT) as api:
            return await api.feature_extraction("a river")

    api = InferenceClient(model=f"{demo.url}/models/demo", api_key=demo.token, timeout=TIMEOUT)
    assert (asyncio.run(ask()) == api.feature_extraction("a river")).all()


def test_demo_chats(demo):
    chat = hf_client(demo).chat_completion(**ASKED).choices[0].message.content
    assert "".join(streamed(demo)) == chat


# === refusals ===


def refusal(api, **more) -> HfHubHTTPError:
    with pytest.raises(HfHubHTTPError) as caught:
        list(api.chat_completion(**ASKED | more))
    # What people see of it.
    assert caught.value.request_id in str(caught.value)
    return caught.value


def test_no_token_is_401(guarded_model, is_refusal):
    # Without one, the SDK goes looking; run.sh has put away what it might find.
    error = refusal(InferenceClient(base_url=guarded_model.url, timeout=TIMEOUT))
    is_refusal(error, guarded_model, 401, "missing-credentials")


def test_wrong_token_is_401(guarded_model, issuer, is_refusal):
    error = refusal(hf_client(guarded_model, issuer.forged()))
    is_refusal(error, guarded_model, 401, "invalid-token")


def test_token_without_scope_is_403(guarded_model, issuer, is_refusal):
    error = refusal(hf_client(guarded_model, issuer.token(scope="another")))
    is_refusal(error, guarded_model, 403, "insufficient-scope")


def test_body_beyond_the_limit_is_413(guarded_model, is_refusal):
    long = [{"role": "user", "content": "x" * 64 * 1024}]
    error = refusal(hf_client(guarded_model), messages=long)
    is_refusal(error, guarded_model, 413, "payload-too-large")


def test_upstream_that_is_down_is_502(guarded_nothing, is_refusal):
    for more in {}, {"stream": True}:
        error = refusal(hf_client(guarded_nothing), **more)
        is_refusal(error, guarded_nothing, 502, "upstream-unavailable")


def test_issuer_that_is_down_is_503(keyless, is_refusal):
    is_refusal(refusal(hf_client(keyless)), keyless, 503, "identity-provider-unavailable")


def test_beyond_a_rate_is_429_and_says_when(guard, recorder, is_refusal):
    with guard("limited-hub", recorder.url, TOKEN, "--rate", "1/h") as gateway:
        hf_client(gateway).chat_completion(**ASKED)
        for more in {}, {"stream": True}:
            error = refusal(hf_client(gateway), **more)
            is_refusal(error, gateway, 429, "throttled")
            assert 3000 < int(error.response.headers["retry-after"]) <= 3600
            assert error.response.headers["ratelimit"].startswith('"rate";r=0;t=')
    # This SDK does not try again by itself.
    assert len(recorder.received) == 1


def test_model_that_is_loading_is_503_in_its_own_words(recorder, guarded_recorder):
    loading = {"error": "Model m is currently loading", "estimated_time": 20.0}
    recorder.answers.append(answer(loading, status=503))
    error = refusal(hf_client(guarded_recorder))
    assert error.response.status_code == 503
    assert error.server_message == loading["error"]
    assert guarded_recorder.record(error.request_id)["upstream_status"] == 503
    # This SDK does not try again, and nobody does so in its place.
    assert len(recorder.received) == 1


def test_async_client_shows_refusals_too(guarded_model, issuer, is_refusal):
    async def ask(**more):
        stranger = hf_client(guarded_model, issuer.forged(), kind=AsyncInferenceClient)
        async with stranger as api:
            with pytest.raises(HfHubHTTPError) as caught:
                await api.chat_completion(**ASKED, **more)
        return caught.value

    for more in {}, {"stream": True}:
        is_refusal(asyncio.run(ask(**more)), guarded_model, 401, "invalid-token")
