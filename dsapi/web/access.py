"""Access: who may ask, how often, and from which pages. Each is off until its setting is there.

Called by `dsapi.web.exchange` when a request's head is there, before its body is read.
"""

import hashlib
import hmac
import ipaddress
import logging
import math
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from dsapi.errors import Forbidden, RateLimited, Unauthorized, first_line
from dsapi.settings import Settings
from dsapi.web.local import is_local

_LOGGER = logging.getLogger(__name__)
# Probes ask without keys, and the page and its parts may be read by everybody.
_FREE = ("/health/", "/static/", "/docs/")
_FREE_EXACT = frozenset({"/", "/docs", "/openapi.json"})
_ADMIN = frozenset({"/v1/models/reload"})
# Whoever has an IPv6 address has a network of them: RFC 6177.
_IPV6_CLIENT_BITS = 64

# A store that hangs would hold every request thread; the counter is not worth a caller's time.
_STORE_TIMEOUT_S = 0.25
# How long it is then left alone; otherwise each request would wait for it.
_STORE_PAUSE_S = 5.0

# 192.0.2.1:4711, [2001:db8::1]:4711 or [2001:db8::1]
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([^:]+):\d+")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Access:
    """Decides over each request; a reload changes the rules.

    Args:
        settings: the rules.
    """

    def __init__(self, settings: Settings) -> None:
        self._rules = settings
        self._limiter = _Limiter(settings)

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Make what changed rules need; what is returned puts them into force.

        What callers have used of their rate stays, unless that changed.
        """
        limiter = self._limiter if self._limiter.is_for(settings) else _Limiter(settings)

        def take() -> None:
            self._limiter, self._rules = limiter, settings

        return take

    def find_address(self, environ: dict[str, Any]) -> str:
        """Find the address of a request's caller, past the trusted proxies."""
        return find_client(environ, trusted=self._rules.trusted_proxies)

    def check(
        self, environ: dict[str, Any], *, path: str, address: str, preflight: bool = False
    ) -> None:
        """Let a request pass.

        Args:
            environ: its WSGI environment.
            path: what it asks for, exactly as it is dispatched by.
            address: the caller's.
            preflight: whether a browser asks what it may send, which it does without a key.

        Raises:
            Forbidden: the caller's network is not among those allowed, or this is for
                administrators.
            Unauthorized: keys are configured and none or a wrong one came.
            RateLimited: the caller asks more often than it may.
        """
        rules, method = self._rules, environ["REQUEST_METHOD"]
        _check_network(address, rules)
        if preflight:
            return
        if path in _ADMIN:
            self._check_admin(environ)
            return
        if path.startswith(_FREE) or (path in _FREE_EXACT and method in ("GET", "HEAD")):
            return
        key = None
        free = path == "/metrics" and is_local(environ, named=rules.host)
        if (rules.api_keys or rules.admin_keys) and not free:
            key = _find_key(environ, rules.api_keys + rules.admin_keys)
        if path != "/metrics":
            self._limiter.hit(key or _client_network(address))

    def origin_headers(self, origin: str) -> dict[str, str]:
        """Give the headers that let pages of an origin read an answer; none if they may not.

        Args:
            origin: the ``Origin`` header, empty for none.
        """
        origins = self._rules.cors_origins
        if not origin or (origin not in origins and "*" not in origins):
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "X-Request-ID, Retry-After",
            "Vary": "Origin",
        }

    def _check_admin(self, environ: dict[str, Any]) -> None:
        rules = self._rules
        if rules.admin_loopback and is_local(environ, named=rules.host):
            return
        if not rules.admin_keys:
            raise Forbidden(
                "this is for callers on the machine itself: no admin_keys are set"
                if rules.admin_loopback
                else "this needs one of admin_keys, and none are set (admin_loopback = False)"
            )
        _find_key(
            environ,
            rules.admin_keys,
            none="send one of admin_keys",
            # Of an application's key, too, which is right everywhere else.
            wrong="this needs one of admin_keys, and the key is none of them",
        )


class _Limiter:
    """Counts what each caller has used of its rate."""

    def __init__(self, settings: Settings) -> None:
        self._configured = (settings.rate_limit, settings.rate_limit_storage)
        self._limits: tuple[Any, ...] = ()
        if settings.rate_limit:
            # Imported only where it is used: that takes 0.2 s.
            from limits import parse_many
            from limits.storage import storage_from_string
            from limits.strategies import MovingWindowRateLimiter

            self._limits = tuple(parse_many(settings.rate_limit))
            uri = settings.rate_limit_storage
            storage: Any = storage_from_string(uri, **_bound_waiting(uri))
            self._window = MovingWindowRateLimiter(storage)
            self._back_s = 0.0
            self._away = False

    def is_for(self, settings: Settings) -> bool:
        """Tell whether settings ask for the same limits."""
        return self._configured == (settings.rate_limit, settings.rate_limit_storage)

    def hit(self, who: str) -> None:
        """Count a request of a key or a client.

        Raises:
            RateLimited: it is one too many.
        """
        if not self._limits or time.monotonic() < self._back_s:
            return
        for limit in self._limits:
            try:
                permitted = self._window.hit(limit, who)
                reset_s = 0.0 if permitted else self._window.get_window_stats(limit, who).reset_time
            except Exception as error:  # of the store: its absence must not stop the service
                self._leave_alone(error)
                return
            self._away = False
            if not permitted:
                retry_after_s = max(1, math.ceil(reset_s - time.time()))
                raise RateLimited(
                    f"{who} has asked more often than {limit}; ask again in {retry_after_s} s",
                    retry_after_s=retry_after_s,
                )

    def _leave_alone(self, error: Exception) -> None:
        """Ask the store no more for a while; said once for as long as it is away."""
        self._back_s = time.monotonic() + _STORE_PAUSE_S
        if not self._away:
            self._away = True
            reason = first_line(error)
            _LOGGER.error("rate_limit_storage does not answer (%s): nobody is limited", reason)


def _bound_waiting(uri: str) -> dict[str, Any]:
    """Give the options of a store's client that bound how long it waits; memory needs none."""
    if not uri.startswith(("redis", "valkey")):
        return {}
    bounds = {
        "socket_timeout": _STORE_TIMEOUT_S,
        "socket_connect_timeout": _STORE_TIMEOUT_S,
        "retry": None,  # by itself a client asks a sentinel four times, with pauses between
    }
    return {**bounds, "sentinel_kwargs": bounds} if "+sentinel:" in uri else bounds


def find_client(environ: dict[str, Any], *, trusted: tuple[str, ...]) -> str:
    """Find the caller's address: the last one in the chain of proxies that is not trusted.

    What an untrusted peer says in ``X-Forwarded-For`` counts for nothing.
    """
    address: str = environ.get("REMOTE_ADDR", "")
    chain = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while chain and _is_in(address, trusted):
        before = _normalize(chain.pop())
        if before is None:
            break
        address = before
    return address


def hash_key(key: str) -> str:
    """Hash a key. It is long and random, so that one round of SHA-256 is as good as many."""
    return hashlib.sha256(key.encode()).hexdigest()


def _find_key(
    environ: dict[str, Any],
    keys: tuple[str, ...],
    *,
    none: str = "send a key",
    wrong: str = "the key is wrong, or has been taken back",
) -> str:
    """Find the name of the key that came, in the same time whichever it is or is not.

    Args:
        environ: the request's WSGI environment.
        keys: those that are permitted, each as ``NAME=HASH``.
        none: what the caller is told where none came.
        wrong: what the caller is told where it is none of `keys`.

    Raises:
        Unauthorized: none came, or a wrong one.
    """
    scheme, _, key = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unauthorized(f"{none}: Authorization: Bearer KEY")
    came = hash_key(key.strip())
    found = None
    for configured in keys:
        name, _, digest = configured.partition("=")
        if hmac.compare_digest(came, digest):
            found = name
    if found is None:
        raise Unauthorized(wrong)
    return found


def _check_network(address: str, rules: Settings) -> None:
    if rules.allowed_networks and not _is_in(address, rules.allowed_networks):
        raise Forbidden(f"{address} is in none of the networks that may ask")


@lru_cache(maxsize=4096)
def _is_in(address: str, networks: tuple[str, ...]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in ipaddress.ip_network(one) for one in networks)


@lru_cache(maxsize=4096)
def _client_network(address: str) -> str:
    """Name what counts as one client."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_CLIENT_BITS), strict=False))
    return address


def _normalize(text: str) -> str | None:
    """Read an address of a chain, which some proxies give with its port; ``None``: it is none."""
    text = text.strip()
    with_port = _WITH_PORT.fullmatch(text)
    # Without a zone (RFC 4007), which is any text at all, and would stand as it is in the log.
    parsed = _parse((with_port[1] or with_port[2] if with_port else text).partition("%")[0])
    return None if parsed is None else str(parsed)


def _parse(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # An IPv4 caller of a socket that listens on both.
    return getattr(address, "ipv4_mapped", None) or address
