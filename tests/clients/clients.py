"""The SDKs as the tests use them, and the one question that they all ask."""

import openai
from huggingface_hub import InferenceClient

from servers import Model

TIMEOUT = 60
ASKED = {
    "model": Model.NAME,
    "messages": [{"role": "user", "content": "Name three colours of the rainbow."}],
    "temperature": 0,
    "seed": 1,
    "max_tokens": 32,
}
# The model does not stop by itself, and takes many seconds to get here.
LIMIT = 1500
ENDLESS = ASKED | {"max_tokens": LIMIT, "extra_body": {"ignore_eos": True}, "stream": True}
# OpenAI's SDK insists on a key, but can be told to leave the field out.
NO_TOKEN = {"authorization": openai.omit}


def openai_client(server, token=None, kind=openai.OpenAI):
    token = token or server.token
    return kind(base_url=f"{server.url}/v1", api_key=token, max_retries=0, timeout=TIMEOUT)


def hf_client(server, token=None, kind=InferenceClient):
    return kind(base_url=server.url, api_key=token or server.token, timeout=TIMEOUT)


def pieces(chunks) -> list[str]:
    """A stream's text, as it was cut."""
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    return [text for text in texts if text]
