"""Debian's Prometheus scrapes gateways: each query of the dashboard returns data, and each rule runs.

With CLIENTS_PICTURE the panels are drawn into that file.
"""

import contextlib
import json
import math
import os
import pathlib
import re
import shutil
import string
import threading
import time

import httpx
import pytest

from panels import draw
from prometheus import Prometheus, promtool
from recorder import DONE, TOKEN, Answer, Recorder, answer, completion, event
from servers import HERE, Gateway, wait_for

FOLDER = HERE.parent.parent / "examples" / "gateway" / "observability"
CHAT = "/v1/chat/completions"
# Longer than a few scrapes, and short enough for a test.
RATE = "10s"
SECONDS = 120


@pytest.fixture(scope="module", autouse=True)
def installed():
    if missing := [it for it in ("prometheus", "promtool") if not shutil.which(it)]:
        assert not os.environ.get("CI"), f"{missing} are missing (Debian's package prometheus)"
        pytest.skip(f"{missing} are missing")


class Busy(Recorder):
    """An upstream that is always busy."""

    def respond(self, received):
        return answer({"error": "busy"}, 503)


class Fine(Recorder):
    """An upstream with streams and usage, that knows no model `nope` and fails for `fails`."""

    USAGE = {
        "prompt_tokens": 40,
        "completion_tokens": 20,
        "total_tokens": 60,
        "prompt_tokens_details": {"cached_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }

    def respond(self, received):
        asked = json.loads(received.body)
        if asked["model"] == "nope":
            return answer({"error": {"message": "no such model"}}, 404)
        if asked["model"] == "fails":
            return answer({"error": {"message": "out of memory"}}, 500)
        if not asked.get("stream"):
            return answer(completion("hello") | {"usage": self.USAGE})
        return Answer(self._stream(), fields={"content-type": "text/event-stream"})

    def _stream(self):
        for _ in range(20):
            yield event("a ")
            time.sleep(0.005)
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        chunk |= {"choices": [end], "usage": self.USAGE}
        yield f"data: {json.dumps(chunk)}\n\n".encode()
        yield DONE


class Traffic(threading.Thread):
    """Requests of all kinds, again and again, until it is stopped."""

    def __init__(self, demo: Gateway, several: Gateway):
        super().__init__(daemon=True)
        self._demo, self._several = demo, several
        self._stopped = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self.join()

    def run(self):
        with httpx.Client(trust_env=False, timeout=30) as client:
            turn = 0
            while not self._stopped.is_set():
                turn += 1
                with contextlib.suppress(httpx.HTTPError):
                    self._turn(client, turn)

    def _turn(self, client: httpx.Client, turn: int):
        def ask(gateway: Gateway, model: str, text: str, token: str | None = None, **more):
            body = {"model": model, "messages": [{"role": "user", "content": text}]} | more
            bearer = {"authorization": f"Bearer {token or gateway.token}"}
            return client.post(gateway.url + CHAT, json=body, headers=bearer)

        demo, several = self._demo, self._several
        # The second one is a hit.
        for _ in range(2):
            ask(demo, "demo", f"turn {turn}", temperature=0, seed=1)
        ask(demo, "demo", "Hello, gateway!", stream=True)
        # Above the rate, however long a turn takes on a busy machine.
        for number in range(6):
            ask(demo, "demo", f"turn {turn}, {number}", temperature=0, seed=1)
        ask(demo, "demo", "Hello", token="no token")
        ask(demo, "demo", "Hello", token=demo.token_without_scope)
        client.get(f"{demo.url}/wp-login-{turn}.php")
        ask(several, "org/large", "Hello")
        ask(several, "org/large", "Hello", stream=True)
        ask(several, "nope", "Hello")
        ask(several, "fails", "Hello")


def queries() -> list[tuple[str, str, str, str]]:
    """Title, unit, legend and query of each line of each panel."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    return [
        (
            panel["title"],
            panel["fieldConfig"]["defaults"]["unit"],
            target["legendFormat"],
            target["expr"].replace("$__rate_interval", RATE),
        )
        for panel in dashboard["panels"]
        if panel["type"] != "row"
        for target in panel["targets"]
    ]


def has_data(result: list[dict]) -> bool:
    return any(math.isfinite(float(series["value"][1])) for series in result)


@pytest.fixture(scope="module")
def scraped(work, issuer, installed):
    """Prometheus with two gateways and their traffic: the demo, and one whose first upstream is busy."""
    demo_flags = ["--admin", "127.0.0.1:0", "--rate", "4/s", "--burst", "4"]
    demo_flags += ["--token-budget", "100k/day", "--auth-failures", "1000/s"]
    token_file = work / "observed-token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    with contextlib.ExitStack() as stack:
        busy, fine = stack.enter_context(Busy()), stack.enter_context(Fine())
        words = ["--admin", "127.0.0.1:0", "--retry-cool-down", "1s"]
        for name, upstream in (("busy", busy), ("fine", fine)):
            words += ["--upstream", f"{name}={upstream.url}", "--hf-token-file", token_file]
        words += ["--issuer", issuer.URL, "--jwks", issuer.jwks]
        words += ["--audience", issuer.AUDIENCE, "--scope", issuer.SCOPE]
        audit_key = work / "observed-audit.key"
        audit_key.write_text("07" * 32)
        audit_key.chmod(0o600)
        words += ["--audit", work / "observed-audit.jsonl", "--audit-key", audit_key]
        demo = stack.enter_context(Gateway(work, "observed-demo", *demo_flags))
        demo.token = demo.said(r"^TOKEN=(\S+)$")
        demo.token_without_scope = demo.said(r"^TOKEN_WITHOUT_SCOPE=(\S+)$")
        several = stack.enter_context(Gateway(work, "observed-several", *words))
        several.token = issuer.token()
        pages = [it.said(r"^metrics on (http://\S+)$") for it in (demo, several)]
        addresses = [re.search(r"//([^/]+)", page).group(1) for page in pages]
        rules = FOLDER / "alerts.yml"
        prometheus = stack.enter_context(Prometheus(work, rules, addresses))
        stack.enter_context(Traffic(demo, several))
        yield prometheus, pages


def test_every_query_of_every_panel_returns_data(scraped):
    prometheus, _ = scraped
    began = time.time()
    missing = queries()

    def look():
        missing[:] = [it for it in missing if not has_data(prometheus.query(it[3]))]
        time.sleep(0.5)
        return not missing

    try:
        wait_for("data of each panel", look, SECONDS)
    except AssertionError:
        raise AssertionError(f"no data: {[(title, query) for title, _, _, query in missing]}") from None
    if picture := os.environ.get("CLIENTS_PICTURE"):
        # A minute of traffic.
        time.sleep(max(0, began + 60 - time.time()))
        pathlib.Path(picture).write_text(draw(panels_of(prometheus)))


def panels_of(prometheus: Prometheus) -> list:
    panels: dict[str, tuple[str, list]] = {}
    end = time.time()
    for title, unit, legend, query in queries():
        lines = panels.setdefault(title, (unit, []))[1]
        for series in prometheus.range(query, end - 50, end, 2):
            name = re.sub(r"\{\{(\w+)\}\}", lambda it: series["metric"].get(it[1], ""), legend)
            points = [(float(t), float(v)) for t, v in series["values"]]
            points = [(t, v) for t, v in points if math.isfinite(v)]
            lines.append((name.strip() or "none", points))
    return [(title, unit, lines) for title, (unit, lines) in panels.items()]


def test_every_rule_runs(scraped):
    prometheus, _ = scraped
    text = (FOLDER / "alerts.yml").read_text()

    def look():
        rules = prometheus.rules()
        return rules if rules and all(it["health"] != "unknown" for it in rules) else None

    rules = wait_for("an evaluation of each rule", look, SECONDS)
    assert len(rules) == text.count("- alert: ")
    assert [it for it in rules if it["health"] != "ok"] == []
    # A template without its label would print nothing.
    assert all(it["annotations"]["summary"] for it in rules)


def test_promtool_accepts_rules_configuration_and_exposition(scraped):
    _, pages = scraped
    assert "SUCCESS" in promtool("check", "rules", FOLDER / "alerts.yml")
    assert "SUCCESS" in promtool("check", "config", FOLDER / "prometheus.yml")
    assert "SUCCESS" in promtool("test", "rules", FOLDER / "alerts_test.yml")
    for page in pages:
        response = httpx.get(page, trust_env=False)
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert promtool("check", "metrics", given=response.text) == ""


def test_the_scrape_is_whole_and_tells_no_secret_and_no_caller(scraped):
    prometheus, pages = scraped
    wait_for("scrapes", lambda: all(it["health"] == "up" for it in prometheus.targets()), SECONDS)
    for page in pages:
        text = httpx.get(page, trust_env=False).text
        for secret in (TOKEN, "demo-caller", "tenant-1", "wp-login", "Bearer"):
            assert secret not in text, secret
        assert set(text) <= set(string.printable)


def test_the_probes_are_on_both_listeners_and_the_metrics_on_one(scraped, work):
    _, pages = scraped
    for page in pages:
        base = page.removesuffix("/metrics")
        for path, status in (("/healthz", 200), ("/readyz", 200), (CHAT, 404), ("/", 404)):
            assert httpx.get(base + path, trust_env=False).status_code == status, path
