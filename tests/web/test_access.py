"""Who is let in."""

import ssl
import stat
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from starlette.requests import HTTPConnection

from gateway.provisioning.certificates import make_authority, make_server
from gateway.web.access import TRIES, Access
from gateway.web.errors import WebError
from tests.e2e.speech import sound_file, spoken
from tests.web.conftest import Site, StartSite

TOKEN = "correct horse battery staple"
PRIVATE = [
    ("GET", "/api/devices"),
    ("GET", "/api/overview"),
    ("GET", "/api/turns"),
    ("GET", "/api/errors"),
    ("GET", "/api/live"),
    ("GET", "/api/devices/kitchen/conversation"),
    ("POST", "/api/devices/kitchen/forget"),
    ("POST", "/api/devices/kitchen/abort"),
    ("POST", "/api/announce"),
    ("POST", "/process"),
    ("POST", "/process/kitchen"),
    ("GET", "/stats/sessions"),
    ("POST", "/admin/cleanup-sessions"),
    ("GET", "/metrics"),
]
OPEN = ["/", "/api/hello", "/healthz", "/readyz", "/openapi.json"]


@pytest.fixture
async def locked(start_site: StartSite) -> Site:
    """A site that asks for a token."""
    return await start_site(web_token=TOKEN)


@pytest.mark.parametrize(("method", "path"), PRIVATE)
async def test_without_a_token_nothing_is_shown_or_done(locked: Site, method: str, path: str) -> None:
    for headers in ({}, {"Cookie": "voice_gateway=guess"}, {"Authorization": "Basic Y29ycmVjdA=="}):
        answer = await locked.http.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "login_needed"


@pytest.mark.parametrize("path", OPEN)
async def test_what_shows_nothing_needs_no_login(locked: Site, path: str) -> None:
    assert (await locked.http.get(path)).status_code == 200


async def test_a_program_sends_the_token_with_each_request(locked: Site) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert (await locked.http.get("/stats/sessions", headers=bearer)).status_code == 200
    wrong = await locked.http.get("/stats/sessions", headers={"Authorization": "Bearer guess"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "login_failed")
    answer = await locked.http.post("/process", headers=bearer, content=sound_file(spoken(0)))
    assert answer.status_code == 200


async def test_a_browser_logs_in_once_and_out_again(locked: Site) -> None:
    http = locked.http
    assert (await http.get("/api/hello")).json()["login"] == "needed"
    assert (await http.post("/login", json={"token": "guess"})).status_code == 401
    logged_in = await http.post("/login", json={"token": TOKEN})
    assert logged_in.status_code == 204
    cookie = logged_in.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert (await http.get("/api/hello")).json()["login"] == "ok"
    assert (await http.get("/api/devices")).status_code == 200
    assert (await http.post("/logout")).status_code == 204
    assert (await http.get("/api/devices")).status_code == 401


async def test_a_cookie_is_of_no_use_after_the_token_has_changed(locked: Site, start_site: StartSite) -> None:
    await locked.http.post("/login", json={"token": TOKEN})
    other = await start_site(web_token="another token", mqtt_client_id="other")
    answer = await other.http.get(
        "/api/devices", headers={"Cookie": f"voice_gateway={locked.http.cookies.get('voice_gateway')}"}
    )
    assert answer.status_code == 401


async def test_a_cookie_outlives_a_restart_and_cannot_be_made_of_a_token_that_was_guessed(
    start_site: StartSite, tmp_path: Path
) -> None:
    site = await start_site(web_token=TOKEN)
    await site.http.post("/login", json={"token": TOKEN})
    cookie = {"Cookie": f"voice_gateway={site.http.cookies.get('voice_gateway')}"}
    await site.gateway.__aexit__(None, None, None)
    again = await start_site(web_token=TOKEN)
    assert (await again.http.get("/api/devices", headers=cookie)).status_code == 200
    # Whoever has a gateway of their own can make it take any token, and see its cookie.
    other = await start_site(web_token=TOKEN, data_dir=tmp_path / "other", mqtt_client_id="other")
    assert (await other.http.get("/api/devices", headers=cookie)).status_code == 401


@pytest.mark.parametrize(("given", "right"), [("contraseña €", True), ("contrasena", False)])
async def test_a_token_of_any_characters_is_compared(start_site: StartSite, given: str, right: bool) -> None:
    site = await start_site(web_token="contraseña €")
    bearer = [(b"Authorization", b"Bearer " + given.encode())]
    shown = await site.http.get("/api/devices", headers=bearer)
    assert shown.status_code == (200 if right else 401)
    logged_in = await site.http.post("/login", json={"token": given})
    assert logged_in.status_code == (204 if right else 401)


async def test_guessing_is_slowed_down(locked: Site) -> None:
    for _ in range(TRIES):
        assert (await locked.http.post("/login", json={"token": "guess"})).status_code == 401
    for answer in (
        await locked.http.post("/login", json={"token": TOKEN}),
        await locked.http.get("/stats/sessions", headers={"Authorization": f"Bearer {TOKEN}"}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_tries")
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("addresses", "refused"),
    [
        ("2001:db8:0:1::{}", True),
        ("fe80::{}%eth0", True),
        ("2001:db8:0:{}::1", False),
        ("192.0.2.{}", False),
        ("::ffff:192.0.2.{}", False),
    ],
)
def test_who_has_many_addresses_guesses_no_faster(addresses: str, refused: bool) -> None:
    access = Access(TOKEN, "key")
    codes = []
    for number in range(1, TRIES + 2):
        client = (addresses.format(number), 40_000)
        connection = HTTPConnection({"type": "http", "headers": [], "client": client})
        with pytest.raises(WebError) as told:
            access.check_token("guess", connection, now=1.0)
        codes.append(told.value.code)
    assert codes == ["login_failed"] * TRIES + ["too_many_tries" if refused else "login_failed"]


async def test_beyond_this_machine_a_token_is_made_and_kept(start_site: StartSite, tmp_path: Path) -> None:
    site = await start_site(web="0.0.0.0:0")
    kept = tmp_path / "web-token"
    token = kept.read_text().strip()
    assert len(token) >= 20
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert (await site.http.get("/api/devices")).status_code == 401
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await site.http.get("/api/devices", headers=bearer)).status_code == 200
    assert str(kept) in site.gateway.banner()
    assert token not in site.gateway.banner()
    await site.gateway.__aexit__(None, None, None)
    again = await start_site(web="0.0.0.0:0")
    assert (await again.http.get("/api/devices", headers=bearer)).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[", "192.168.1.7"]
)
async def test_a_name_that_is_not_this_machine_s_is_refused_without_a_token(site: Site, host: str) -> None:
    """A page may have its own name point at this machine, and would then be of the same origin."""
    for path in ("/", "/api/devices", "/metrics"):
        answer = await site.http.get(path, headers={"Host": host})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host_refused")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.5:80", "[::1]:8080"])
async def test_this_machine_may_be_called_by_any_of_its_names(site: Site, host: str) -> None:
    assert (await site.http.get("/api/devices", headers={"Host": host})).status_code == 200


async def test_with_a_token_any_name_will_do(locked: Site) -> None:
    answer = await locked.http.get(
        "/api/devices", headers={"Host": "voice.example", "Authorization": f"Bearer {TOKEN}"}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "https://["])
async def test_a_page_of_another_site_may_do_nothing(site: Site, origin: str) -> None:
    for path in ("/process", "/api/announce", "/api/devices/kitchen/forget", "/admin/cleanup-sessions", "/login"):
        answer = await site.http.post(path, headers={"Origin": origin, "Content-Type": "text/plain"}, content=b"{}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_site")


async def test_the_page_itself_may(site: Site) -> None:
    answer = await site.http.post("/admin/cleanup-sessions", headers={"Origin": site.url})
    assert answer.status_code == 200


async def test_every_answer_tells_the_browser_to_take_nothing_from_elsewhere(locked: Site) -> None:
    for path in ("/", "/api/hello", "/api/devices", "/nowhere"):
        headers = (await locked.http.get(path)).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


async def test_https_with_a_certificate(start_site: StartSite, tmp_path: Path) -> None:
    certificate, key, trusting = make_certificate(tmp_path)
    site = await start_site(web_tls_certificate=certificate, web_tls_key=key, web_token=TOKEN)
    assert site.url.startswith("https://")
    async with httpx2.AsyncClient(base_url=site.url, verify=trusting, trust_env=False) as http:
        answer = await http.post("/login", json={"token": TOKEN})
        assert answer.status_code == 204
        assert "secure" in answer.headers["set-cookie"].lower()


def make_certificate(folder: Path) -> tuple[Path, Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1, its key, and what trusts it."""
    now = datetime.now(UTC)
    authority = make_authority(now)
    server = make_server(authority, [], [ip_address("127.0.0.1")], now, 30)
    certificate, key = folder / "page.crt", folder / "page.key"
    certificate.write_text(server.certificate_pem)
    key.write_text(server.key_pem)
    return certificate, key, ssl.create_default_context(cadata=authority.certificate_pem)
