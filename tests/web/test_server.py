"""Where the page is served, how it is with the gateway, and its figures."""

import json
import re
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import Gateway
from gateway.errors import ConfigurationError
from tests.e2e.speech import sound_file, spoken
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import OpenAIServer, Status
from tests.web.conftest import PATIENCE_S, Site, StartSite
from tests.web.test_page_interface import opened

FIGURE = re.compile(r"\b(?:voice|process)_\w+")
DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana" / "voice-gateway.json"


async def figures(site: Site) -> dict[tuple[str, ...], float]:
    """What Prometheus is told: values by name and by the values of the labels, in the order of the labels' names."""
    answer = await site.http.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def taken_port() -> tuple[socket.socket, int]:
    taken = socket.create_server(("127.0.0.1", 0))
    return taken, taken.getsockname()[1]


async def test_a_port_that_was_asked_for_and_is_taken_ends_the_start(settings: Any, broker: Mosquitto) -> None:
    taken, port = taken_port()
    with taken, pytest.raises(ConfigurationError, match=f"port {port} is in use.*GATEWAY_WEB"):
        async with Gateway(settings(web=f"127.0.0.1:{port}", mqtt_url=broker.url)):
            pass


async def test_by_default_a_taken_port_is_only_noted(
    settings: Any, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, port = taken_port()
    monkeypatch.setattr("gateway.web.address.DEFAULT_PORT", port)
    with taken:
        async with Gateway(settings(web="auto", mqtt_url=broker.url)) as gateway:
            await gateway.wait_connected(PATIENCE_S)
            assert gateway.page_url is None
            assert any(str(port) in note and "GATEWAY_WEB" in note for note in gateway.notes)
    async with Gateway(settings(web="auto", mqtt_url=broker.url)) as gateway:
        assert gateway.page_url == f"http://127.0.0.1:{port}"
        assert f"page: http://127.0.0.1:{port}" in gateway.banner()


async def test_without_the_extra_the_page_is_left_out_unless_it_was_asked_for(
    settings: Any, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.address.find_spec", lambda name: None)
    async with Gateway(settings(web="auto", mqtt_url=broker.url)) as gateway:
        assert gateway.page_url is None
    with pytest.raises(ConfigurationError, match=r"mqtt-voice-gateway\[web\]"):
        async with Gateway(settings(web="127.0.0.1:0", mqtt_url=broker.url)):
            pass


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"web": "192.0.2.1:8080"}, "cannot be served at 192.0.2.1"),
        ({"web": "no-such-host.invalid:8080"}, "cannot be served at no-such-host.invalid"),
        ({"web_tls_key": "key.pem"}, "needs both"),
        ({"web_tls_key": "key.pem", "web_tls_certificate": "page.pem"}, "no file page.pem"),
    ],
)
async def test_what_cannot_work_is_said_at_the_start(
    settings: Any, broker: Mosquitto, given: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        async with Gateway(settings(**{"web": "127.0.0.1:0", "mqtt_url": broker.url} | given)):
            pass


async def test_a_certificate_of_no_use_is_said_at_the_start(settings: Any, broker: Mosquitto, tmp_path: Path) -> None:
    for name in ("page.pem", "key.pem"):
        (tmp_path / name).write_text("this is no certificate")
    tls = {"web_tls_certificate": tmp_path / "page.pem", "web_tls_key": tmp_path / "key.pem"}
    with pytest.raises(ConfigurationError, match="https cannot be served"):
        async with Gateway(settings(web="127.0.0.1:0", mqtt_url=broker.url, **tls)):
            pass


@pytest.mark.parametrize("address", ["8080", "0.0.0.0", "host:99999", "http://127.0.0.1:8080", ":8080", "a b:80"])
def test_what_is_no_address_is_no_setting(settings: Any, address: str) -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        settings(web=address)


async def test_it_is_ready_while_the_broker_is_there(site: Site, broker: Mosquitto) -> None:
    assert (await site.http.get("/healthz")).json() == {"status": "ok"}
    ready = await site.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "broker": "ok", "store": "ok"})
    async with opened(site) as live:
        await broker.stop()
        await live.told("broker", connected=False)
        away = await site.http.get("/readyz")
        assert (away.status_code, away.json()["broker"]) == (503, "away")
        assert (await figures(site))[("voice_broker_connected",)] == 0
        # A question over HTTP needs no broker.
        answer = await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
        assert (answer.status_code, answer.headers["x-outcome"]) == (200, "completed")
        await broker.start()
        await live.told("broker", connected=True)
    assert (await site.http.get("/readyz")).status_code == 200


async def test_figures_count_turns_stages_errors_and_engines(site: Site, provider: OpenAIServer) -> None:
    before = await figures(site)
    assert before[("voice_turns_total", "speech", "completed")] == 0
    await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
    await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
    provider.chat.answer = Status(500)
    await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(2)))
    after = await figures(site)
    assert after[("voice_turns_total", "speech", "completed")] == 2
    assert after[("voice_turns_total", "speech", "failed")] == 1
    assert after[("voice_turn_stage_seconds_count", "stt")] == 3
    assert after[("voice_turn_stage_seconds_bucket", "+Inf", "total")] == 3
    assert after[("voice_cached_answers_total",)] == 1
    assert after[("voice_errors_total", "llm_failed", "llm")] == 1
    assert after[("voice_engine_failures_total", "openai", "llm")] == 1
    assert after[("voice_engine_resting_seconds", "openai", "llm")] > 0
    assert after[("voice_sessions",)] == 1
    assert after[("voice_devices", "idle")] == 1
    assert ("voice_dropped_total", "messages") in after
    assert not any(name.endswith("_created") for name, *_ in after)


async def test_without_a_database_it_is_not_ready_and_the_other_figures_are_told(site: Site, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "gateway.db")
    database.execute("DROP TABLE counters")
    database.commit()
    database.close()
    after = await figures(site)
    assert after[("voice_store_answers",)] == 0
    assert after[("voice_broker_connected",)] == 1
    for path in ("/stats/sessions", "/api/live"):
        refused = await site.http.get(path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_failed")
    assert (await figures(site))[("voice_pages",)] == 0


async def test_every_figure_of_the_dashboard_exists(site: Site, provider: OpenAIServer) -> None:
    provider.chat.answer = Status(500)
    await site.http.post("/process/kitchen?whole=true", content=sound_file(spoken(1)))
    known = {name for name, *_ in await figures(site)}
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [variable["query"] for variable in dashboard["templating"]["list"]]
    used = {name for expression in expressions for name in FIGURE.findall(expression)}
    assert len(used) > 15
    assert used <= known
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)


async def test_the_interface_is_described(site: Site) -> None:
    description = (await site.http.get("/openapi.json")).json()
    paths = description["paths"]
    assert {"/process", "/process/{session_id}", "/stats/sessions", "/admin/cleanup-sessions", "/metrics"} <= set(paths)
    assert "audio/mpeg" in paths["/process"]["post"]["responses"]["200"]["content"]
    plain = [path for path, methods in paths.items() if "get" in methods and "{" not in path and path != "/api/live"]
    assert len(plain) > 8
    for path in plain:
        assert (await site.http.get(path)).status_code == 200, path


async def test_what_is_sent_at_random_breaks_nothing(start_site: StartSite) -> None:
    """Whatever the path and the body: an answer, and no defect."""
    site = await start_site()
    paths = (await site.http.get("/openapi.json")).json()["paths"]
    strange = ["%00", "..", "%F0%9F%98%80", "a" * 300, "' OR 1=1 --", "%ff", "a/b"]
    bodies = [b"", b"{}", b"[]", b"null", b"{" * 1000, b"\xff\xfe", b'{"to": 1e999, "text": ["x"]}', b'{"token": null}']
    for path, methods in paths.items():
        for method in methods:
            if path == "/api/live":
                continue
            for name in strange if "{" in path else [""]:
                there = re.sub(r"\{\w+\}", name, path)
                for body in bodies if method != "get" else [b""]:
                    json_type = {"Content-Type": "application/json"}
                    answer = await site.http.request(method, there, content=body, headers=json_type)
                    assert answer.status_code < 500, (method, there, body, answer.text)
                    if answer.status_code >= 400 and not answer.headers["content-type"].startswith("audio/"):
                        assert answer.json()["error"]["message"]
