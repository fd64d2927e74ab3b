"""Debian's Prometheus, on a port that the system picks."""

import json
import pathlib
import subprocess

import httpx

from servers import Server

INTERVAL = "1s"


class Prometheus(Server):
    """Scrapes these addresses each second and evaluates the rules."""

    def __init__(self, work: pathlib.Path, rules: pathlib.Path, addresses: list[str]):
        config = {
            "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": "inference-gateway", "static_configs": [{"targets": addresses}]}
            ],
        }
        # JSON is YAML.
        file = work / "prometheus.yml"
        file.write_text(json.dumps(config))
        command = ["prometheus", f"--config.file={file}", "--web.listen-address=127.0.0.1:0"]
        command += [f"--storage.tsdb.path={work / 'prometheus'}"]
        super().__init__(command, work / "prometheus.out")

    def __enter__(self):
        port = self.said(r'msg="Listening on" address=127\.0\.0\.1:(\d+)')
        self._api = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False)
        return self

    def __exit__(self, *exception):
        self._api.close()
        super().__exit__(*exception)

    def query(self, query: str) -> list[dict]:
        return self._get("query", {"query": query})["result"]

    def range(self, query: str, start: float, end: float, step: float) -> list[dict]:
        times = {"start": start, "end": end, "step": step}
        return self._get("query_range", {"query": query} | times)["result"]

    def rules(self) -> list[dict]:
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict]:
        return self._get("targets")["activeTargets"]

    def _get(self, path: str, parameters: dict | None = None) -> dict:
        response = self._api.get(path, params=parameters)
        body = response.json()
        assert body["status"] == "success", f"{parameters}: {body}"
        return body["data"]


def promtool(*words, given: str | None = None) -> str:
    """What the tool says of something that it accepts."""
    done = subprocess.run(
        ["promtool", *words], input=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
