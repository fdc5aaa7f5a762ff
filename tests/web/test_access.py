"""Keys, rates, networks, proxies and origins: who is let in, and who is told why not."""

import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dsapi.cli import app
from dsapi.errors import StartupError
from dsapi.settings import load_settings
from dsapi.web.access import find_client, hash_key
from dsapi.web.local import is_local
from tests.conftest import Answer, RunningServer, StartServer
from tests.pictures import GREEN, encode, plain

PICTURE = encode(plain(GREEN))
KEY, OTHER, ADMIN = "key-of-the-app", "key-of-another", "key-of-an-admin"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "image/png"}


def predict(server: RunningServer, headers: dict[str, str]) -> Answer:
    return server.ask("POST", "/v1/predictions", PICTURE, headers)


@pytest.fixture(scope="module")
def locked(tiny_config: Path, start_server: StartServer) -> RunningServer:
    """A server with two keys and an administrator's, who needs it even on this machine."""
    return start_server(
        load_settings(
            tiny_config,
            api_keys=(f"app={hash_key(KEY)}", f"other={hash_key(OTHER)}"),
            admin_keys=(f"admin={hash_key(ADMIN)}",),
            admin_loopback=False,
        )
    )


@pytest.mark.parametrize("key", [KEY, OTHER, ADMIN])
def test_every_configured_key_is_let_in(locked: RunningServer, key: str) -> None:
    assert predict(locked, bearer(key)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer "},
        bearer("wrong"),
        bearer(hash_key(KEY)),
        bearer(f"app={hash_key(KEY)}"),
    ],
)
def test_without_a_right_key_nothing_is_answered(
    locked: RunningServer, headers: dict[str, str]
) -> None:
    for method, path in (("POST", "/v1/predictions"), ("GET", "/v1/models"), ("POST", "/")):
        answer = locked.ask(method, path, PICTURE if method == "POST" else None, headers)
        assert (answer.status, answer.json["code"]) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert KEY not in answer.body.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/health/live",
        "/health/ready",
        "/",
        "/static/page.css",
        "/docs",
        "/docs/assets/swagger-ui.css",
        "/openapi.json",
    ],
)
def test_probes_and_pages_need_no_key(locked: RunningServer, path: str) -> None:
    assert [locked.ask(method, path).status for method in ("GET", "HEAD")] == [200, 200]


def test_metrics_need_a_key_unless_asked_for_on_the_machine(locked: RunningServer) -> None:
    assert locked.ask("GET", "/metrics").status == 200
    for passed_on in (
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
    ):
        assert locked.ask("GET", "/metrics", None, passed_on).status == 401
        assert locked.ask("GET", "/metrics", None, passed_on | bearer(KEY)).status == 200


def test_the_scheme_of_a_key_is_the_same_in_small_letters(locked: RunningServer) -> None:
    # RFC 9110, 11.1; and there may be several spaces after it (11.4).
    for scheme in ("bearer", "BEARER", "Bearer "):
        assert predict(locked, {"Authorization": f"{scheme} {KEY}"}).status == 200


def test_an_administrators_key_alone_locks_everybody_else_out(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(load_settings(tiny_config, admin_keys=(f"admin={hash_key(ADMIN)}",)))
    assert [predict(server, headers).status for headers in ({}, bearer(ADMIN))] == [401, 200]


def test_only_an_administrators_key_reloads(locked: RunningServer) -> None:
    def reload(headers: dict[str, str]) -> int:
        return locked.ask("POST", "/v1/models/reload", b"", headers).status

    assert [reload(headers) for headers in ({}, bearer(KEY), bearer(ADMIN))] == [401, 401, 200]


def test_a_key_that_is_right_elsewhere_is_not_called_wrong(locked: RunningServer) -> None:
    details = [
        locked.ask("POST", "/v1/models/reload", b"", headers).json["detail"]
        for headers in ({}, bearer(KEY), bearer("wrong"))
    ]
    assert details == [
        "send one of admin_keys: Authorization: Bearer KEY",
        "this needs one of admin_keys, and the key is none of them",
        "this needs one of admin_keys, and the key is none of them",
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "rebound.example.org", "Origin": "http://rebound.example.org"},
        {"Host": "rebound.example.org:9000"},
        {"Host": "[::1].example.org"},
        {"Host": "not-localhost:9000"},
    ],
)
def test_a_page_of_another_site_is_no_caller_on_the_machine(
    server: RunningServer, headers: dict[str, str]
) -> None:
    answer = server.ask("POST", "/v1/models/reload", b"", headers)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "host",
    ["localhost:9000", "Localhost", "a.localhost", "127.0.0.1", "[::1]:9000", "127.0.0.1:9000"],
)
def test_a_page_of_the_service_itself_may_reload(server: RunningServer, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert server.ask("POST", "/v1/models/reload", b"", headers).status == 200


def test_metrics_need_a_key_where_another_site_has_made_its_name_lead_here(
    locked: RunningServer,
) -> None:
    for host, status in (("rebound.example.org", 401), (socket.gethostname(), 200)):
        assert locked.ask("GET", "/metrics", None, {"Host": host}).status == status


@pytest.mark.parametrize(
    ("host", "local"),
    [("photos.lan:9000", True), ("Photos.LAN", True), ("other.lan", False), (None, True)],
)
def test_a_service_knows_the_name_that_it_is_configured_with_as_its_own(
    host: str | None, local: bool
) -> None:
    environ = {"dsapi.from_this_machine": lambda: True}
    # A program that speaks HTTP/1.0 may name no host.
    named = {} if host is None else {"HTTP_HOST": host}
    assert is_local(environ | named, named="Photos.lan") == local
    elsewhere = {"dsapi.from_this_machine": lambda: False}
    assert not is_local(elsewhere | named, named="Photos.lan")


def test_a_key_is_exchanged_without_a_restart(tiny_config: Path, start_server: StartServer) -> None:
    config = tiny_config.with_name("rotating.conf")
    text = tiny_config.read_text(encoding="utf-8")
    old, new = (f'api_keys = ["app={hash_key(key)}"]' for key in (KEY, OTHER))
    config.write_text(text.replace("[global]", f"[global]\n{old}"), encoding="utf-8")
    server = start_server(load_settings(config))
    assert predict(server, bearer(KEY)).status == 200
    config.write_text(text.replace("[global]", f"[global]\n{new}"), encoding="utf-8")
    assert server.ask("POST", "/v1/models/reload", b"").json["settings"] == ["api_keys"]
    assert predict(server, bearer(KEY)).status == 401
    assert predict(server, bearer(OTHER)).status == 200


def test_the_command_makes_a_key_that_fits_its_hash(
    tiny_config: Path, start_server: StartServer
) -> None:
    told = CliRunner().invoke(app, ["key", "app"]).output.splitlines()
    key, line = told[0].split()[-1], told[1].split()[-1].strip('"')
    server = start_server(load_settings(tiny_config, api_keys=(line,)))
    assert predict(server, bearer(key)).status == 200


def test_who_asks_too_often_gets_429_and_is_told_when_to_come_back(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(
        load_settings(
            tiny_config,
            # Whichever of several is reached first.
            rate_limit="1000/second; 3/hour",
            api_keys=(f"app={hash_key(KEY)}", f"other={hash_key(OTHER)}"),
        )
    )
    began_s = time.time()
    assert [predict(server, bearer(KEY)).status for _ in range(4)] == [200, 200, 200, 429]
    refused = predict(server, bearer(KEY))
    asked_s = time.time() - began_s
    assert refused.json["code"] == "rate_limited"
    assert refused.json["detail"] == (
        "app has asked more often than 3 per 1 hour; "
        f"ask again in {refused.headers['Retry-After']} s"
    )
    # Whoever came back earlier would be refused again.
    assert 3600 - asked_s <= int(refused.headers["Retry-After"]) <= 3600
    assert predict(server, bearer(OTHER)).status == 200
    assert server.ask("GET", "/health/live").status == 200
    # Prometheus asks as often as it is told to.
    assert [server.ask("GET", "/metrics").status for _ in range(5)] == [200] * 5


def test_whoever_has_a_network_of_ipv6_addresses_is_one_caller(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(
        load_settings(tiny_config, rate_limit="2/hour", trusted_proxies=("127.0.0.1",))
    )

    def ask(address: str) -> int:
        return predict(server, {"X-Forwarded-For": address}).status

    network = ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::3"]
    assert [ask(address) for address in network] == [200, 200, 429]
    assert [ask("2001:db8:0:2::1")] + [ask(f"192.0.2.{last}") for last in (1, 2, 3)] == [200] * 4


def test_a_reload_gives_nobody_a_new_rate_unless_the_rate_is_another(
    tiny_config: Path, start_server: StartServer
) -> None:
    config = tiny_config.with_name("limited.conf")
    text = tiny_config.read_text(encoding="utf-8")

    def limit(rate: str, more: str = "") -> None:
        config.write_text(text.replace("[global]", f'[global]\nrate_limit = "{rate}"\n{more}'))

    limit("2/hour")
    server = start_server(load_settings(config))
    assert [predict(server, {}).status for _ in range(3)] == [200, 200, 429]
    assert server.ask("POST", "/v1/models/reload", b"").status == 200
    assert predict(server, {}).status == 429
    limit("3/hour")
    assert server.ask("POST", "/v1/models/reload", b"").status == 200
    assert [predict(server, {}).status for _ in range(4)] == [200, 200, 200, 429]
    # Another store, where nobody listens and so nobody is limited.
    limit("3/hour", 'rate_limit_storage = "redis://127.0.0.1:1"')
    assert server.ask("POST", "/v1/models/reload", b"").status == 200
    assert predict(server, {}).status == 200


def test_a_rate_store_that_does_not_answer_stops_nobody(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(
        load_settings(tiny_config, rate_limit="1/hour", rate_limit_storage="redis://127.0.0.1:1")
    )
    assert [predict(server, {}).status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("url", ["redis://{}", "redis+sentinel://{}/primary"])
def test_a_rate_store_that_hangs_holds_no_thread_and_is_told_of_once(
    tiny_config: Path, start_server: StartServer, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        storage = url.format(f"127.0.0.1:{silent.getsockname()[1]}")
        server = start_server(
            load_settings(tiny_config, rate_limit="1/hour", rate_limit_storage=storage)
        )
        assert [predict(server, {}).status for _ in range(20)] == [200] * 20
        silent.setblocking(False)
        tried = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                tried += 1
    assert 1 <= tried < 4, "it is asked again and again, or not left alone for a while"
    told = [each.getMessage() for each in caplog.records if "rate_limit_storage" in each.message]
    assert len(told) == 1
    assert "Timeout" in told[0]
    assert told[0].endswith("nobody is limited")


def test_a_rate_is_free_again_when_its_time_has_passed(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(load_settings(tiny_config, rate_limit="1/second"))
    for _ in range(2):
        assert predict(server, {}).status == 200
        while predict(server, {}).status == 429:
            time.sleep(0.1)
        time.sleep(1.1)


def test_only_allowed_networks_are_answered(tiny_config: Path, start_server: StartServer) -> None:
    server = start_server(
        load_settings(
            tiny_config,
            allowed_networks=("10.0.0.0/8",),
            trusted_proxies=("127.0.0.1",),
            cors_origins=("https://example.org",),
        )
    )
    assert predict(server, {}).json["code"] == "forbidden"
    page = server.ask("POST", "/", b"", {"Accept": "text/html,*/*;q=0.8"})
    assert (page.status, page.headers["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert predict(server, {"X-Forwarded-For": "192.168.1.1"}).status == 403
    assert predict(server, {"X-Forwarded-For": "10.1.2.3"}).status == 200
    assert predict(server, {"X-Forwarded-For": "10.1.2.3, 192.168.1.1"}).status == 403
    preflight = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    for address, status in (("192.168.1.1", 403), ("10.1.2.3", 204)):
        asked = preflight | {"X-Forwarded-For": address}
        assert server.ask("OPTIONS", "/v1/predictions", None, asked).status == status


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", "10.0.0.1", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "192.0.2.9, 192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "192.0.2.9, 10.1.1.1", "192.0.2.9"),
        ("127.0.0.1", "192.0.2.9, nonsense", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("127.0.0.1", "[2001:db8::1]:4711, 10.1.1.1:80", "2001:db8::1"),
        ("127.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("127.0.0.1", 'fe80::1%\x1b[2J "GET / HTTP/1.1" 200', "fe80::1"),
        ("127.0.0.1", "[fe80::1%eth0]:4711", "fe80::1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "10.1.1.1", "10.1.1.1"),
        ("::ffff:127.0.0.1", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_caller_is_the_last_one_before_the_trusted_proxies(
    peer: str, forwarded: str, client: str
) -> None:
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    assert find_client(environ, trusted=("127.0.0.0/8", "10.0.0.0/8")) == client


def test_pages_of_other_origins_read_nothing_by_default(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(load_settings(tiny_config))
    answer = predict(server, {"Origin": "https://example.org"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    assert server.ask("OPTIONS", "/v1/predictions", None, preflight).status == 405


def test_pages_of_a_permitted_origin_may_ask_and_read(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(
        load_settings(
            tiny_config,
            cors_origins=("https://example.org",),
            api_keys=(f"app={hash_key(KEY)}",),
        )
    )
    origin = {"Origin": "https://example.org"}
    preflight = server.ask(
        "OPTIONS", "/v1/predictions", None, origin | {"Access-Control-Request-Method": "POST"}
    )
    assert preflight.status == 204
    allowed = preflight.headers["Access-Control-Allow-Headers"].split(", ")
    assert sorted(allowed) == ["Authorization", "Content-Type", "X-Request-ID"]
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert preflight.headers["X-Request-ID"]
    answer = predict(server, origin | bearer(KEY))
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"
    assert answer.headers["Access-Control-Expose-Headers"] == "X-Request-ID, Retry-After"
    # Or a cache would give one origin what was permitted to another.
    assert answer.headers["Vary"] == "Origin"
    refused = predict(server, origin)
    assert refused.status == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://example.org"
    asked_without_key = server.ask("OPTIONS", "/v1/predictions", None, origin)
    assert asked_without_key.status in (401, 405)
    elsewhere = predict(server, {"Origin": "https://example.net"} | bearer(KEY))
    assert "Access-Control-Allow-Origin" not in elsewhere.headers


def test_pages_of_every_origin_may_read_where_a_star_says_so(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(load_settings(tiny_config, cors_origins=("*",)))
    answer = predict(server, {"Origin": "https://example.net"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.net"
    assert "Access-Control-Allow-Origin" not in predict(server, {}).headers


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('api_keys = ["secret"]', "key 1 is not NAME=HASH; make it with: dsapi key NAME"),
        ('allowed_networks = ["10.0.0.1/8"]', "has host bits set; write 10.0.0.0/8"),
        ('trusted_proxies = ["proxy"]', "'proxy' does not appear to be"),
        ('rate_limit = "often"', "must be like 20/second"),
    ],
)
def test_rules_that_make_no_sense_stop_the_start(tmp_path: Path, line: str, told: str) -> None:
    config = tmp_path / "dsapi.conf"
    config.write_text(f"[global]\n{line}\n", encoding="utf-8")
    with pytest.raises(StartupError) as refused:
        load_settings(config)
    assert told in str(refused.value)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/predictions", "/v1/models/reload", "/metrics"])
def test_what_a_browser_sends_before_a_request_does_not_let_the_request_pass(
    tiny_config: Path, start_server: StartServer, method: str, path: str
) -> None:
    settings = load_settings(
        tiny_config,
        cors_origins=("https://example.org",),
        allowed_networks=("10.0.0.0/8",),
        trusted_proxies=("127.0.0.1",),
    )
    preflight = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    answer = start_server(settings).ask(method, path, PICTURE, preflight)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/reload/",
        "/v1/models//reload",
        "//v1/models/reload",
        "/v1/models/reload//",
        "/v1/models/./reload",
        "/v1/models/%72eload",
        "/v1/models/reload%2f",
    ],
)
def test_no_other_spelling_reaches_what_is_for_administrators(
    locked: RunningServer, path: str
) -> None:
    answer = locked.ask("POST", path, b"", bearer(KEY))
    assert answer.status in (400, 401, 404), answer.body


def test_who_posts_the_form_of_the_page_without_a_key_gets_the_page(locked: RunningServer) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--'
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Accept": "text/html,*/*;q=0.8"}
    answer = locked.ask("POST", "/", body, headers)
    assert answer.status == 401
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b"<form" in answer.body
    assert b"with script only" in answer.body
    # A browser may ask a program's endpoints, too, and gets what they answer.
    assert locked.ask("POST", "/v1/predictions", body, headers).json["code"] == "unauthorized"
    del headers["Accept"]
    assert locked.ask("POST", "/", body, headers).json["code"] == "unauthorized"


def test_who_posts_the_form_of_the_page_too_often_gets_the_page(
    tiny_config: Path, start_server: StartServer
) -> None:
    server = start_server(load_settings(tiny_config, rate_limit="1/hour"))
    for status in (400, 429):
        answer = server.ask("POST", "/", b"", {"Accept": "text/html,*/*;q=0.8"})
        assert answer.status == status
        assert answer.headers["Content-Type"].startswith("text/html")
    assert "Retry-After" in answer.headers
    assert b"1 per 1 hour" in answer.body
