"""Requests to one container, with a token that is renewed when the store doesn't accept it any more."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from connectors.objects.store import Gone
from connectors.swift.options import SwiftOptions, private
from dsrkit.errors import DsrError

_TIMEOUT = httpx.Timeout(60, connect=5)


class Http:
    """One account. Connects at its first request."""

    def __init__(self, source: str, options: SwiftOptions) -> None:
        self.source = source
        self.options = options
        self.address = ""
        """Of the account, once a token was given."""
        self._token = ""
        self._signing_in = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None

    async def request(
        self,
        method: str,
        container: str,
        name: str = "",
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterable[bytes] | None = None,
        allow: tuple[int, ...] = (),
    ) -> httpx.Response:
        """The whole answer. Gone for 404; DsrError for any other refusal but those of `allow`."""
        with self._translated():
            for again in (False, True):
                request = await self._build(method, container, name, params, headers, content, renew=again)
                response = await self._http().send(request)
                # What was streamed can't be streamed again.
                if response.status_code != 401 or (content is not None and not isinstance(content, bytes)):
                    break
        self._check(response, allow)
        return response

    @asynccontextmanager
    async def stream(
        self, container: str, name: str, params: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncGenerator[httpx.Response, None]:
        """A GET whose body is read piece by piece."""
        with self._translated():
            for again in (False, True):
                request = await self._build("GET", container, name, params, headers, None, renew=again)
                response = await self._http().send(request, stream=True)
                try:
                    if response.status_code == 401 and not again:
                        continue
                    self._check(response, ())
                    yield response
                    return
                finally:
                    await response.aclose()

    async def _build(
        self,
        method: str,
        container: str,
        name: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        content: Any,
        *,
        renew: bool,
    ) -> httpx.Request:
        if renew or not self._token:
            await self._sign_in(self._token)
        path = "/".join(quote(part.encode(errors="surrogatepass"), safe="/") for part in (container, name) if part)
        address = f"{self.address.rstrip('/')}/{path}"
        every = {"X-Auth-Token": self._token, "X-Newest": "true", **(headers or {})}
        return self._http().build_request(method, address, params=params, headers=every, content=content)

    async def _sign_in(self, stale: str) -> None:
        async with self._signing_in:
            if self._token != stale:
                return
            self._refuse_plain(self.options.auth_url)
            sign_in = self._version_1 if self.options.auth == "1" else self._version_3
            self._token, self.address = await sign_in()
            self._refuse_plain(self.address)

    def _refuse_plain(self, address: str) -> None:
        if not private(address):
            raise DsrError(
                "BACKEND_UNENCRYPTED",
                "The identity service or the store is plain HTTP on another machine. Use https:// addresses.",
                source=self.source,
            )

    async def _version_1(self) -> tuple[str, str]:
        credentials = self.options.credentials(self.source)
        headers = {"X-Auth-User": credentials.user, "X-Auth-Key": credentials.key}
        response = await self._http().get(self.options.auth_url, headers=headers)
        self._check_sign_in(response)
        return response.headers["X-Auth-Token"], response.headers["X-Storage-Url"]

    async def _version_3(self) -> tuple[str, str]:
        c = self.options.credentials(self.source)
        identity: dict[str, Any]
        body: dict[str, Any] = {"auth": {}}
        if c.application_credential_id:
            secret = {"id": c.application_credential_id, "secret": c.application_credential_secret}
            identity = {"methods": ["application_credential"], "application_credential": secret}
        else:
            user = {"name": c.user, "password": c.key, "domain": {"name": c.user_domain}}
            identity = {"methods": ["password"], "password": {"user": user}}
            body["auth"]["scope"] = {"project": {"name": c.project, "domain": {"name": c.project_domain}}}
        body["auth"]["identity"] = identity
        response = await self._http().post(f"{self.options.auth_url.rstrip('/')}/auth/tokens", json=body)
        self._check_sign_in(response)
        for service in response.json()["token"].get("catalog", ()):
            for endpoint in service["endpoints"] if service.get("type") == "object-store" else ():
                if endpoint.get("interface") == "public" and self.options.region in ("", endpoint.get("region")):
                    return response.headers["X-Subject-Token"], endpoint["url"]
        raise self._rejected("The catalogue has no public object store in this region. Correct `region`.", "NO_STORE")

    def _check_sign_in(self, response: httpx.Response) -> None:
        if response.status_code in (400, 401, 403):
            raise self._rejected("The identity service doesn't accept the credentials. Renew them.", "CREDENTIALS")
        self._check(response, ())

    def _check(self, response: httpx.Response, allow: tuple[int, ...]) -> None:
        code = response.status_code
        if code < 400 or code in allow:
            return
        match code:
            case 404:
                raise Gone
            case 401:
                raise self._rejected("The object store doesn't accept the credentials. Renew them.", "CREDENTIALS")
            case 403:
                raise self._rejected("The credentials don't permit this. Probe says what is missing.", "PERMISSION")
            case 429 | 498:
                raise DsrError("SOURCE_BUSY", "The object store asks for patience. Retry.", source=self.source)
            case 413:
                raise self._rejected("The object would be larger than the store takes at once.", "TOO_LARGE")
            case _ if code >= 500:
                raise DsrError("SOURCE_UNAVAILABLE", "The object store failed. Retry.", source=self.source)
        raise self._rejected("The object store refuses the request.", "REQUEST")

    def _rejected(self, message: str, why: str) -> DsrError:
        return DsrError("SOURCE_REJECTED", message, source=self.source, why=why)

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            context = ssl.create_default_context(cafile=str(self.options.ca_file) if self.options.ca_file else None)
            limits = httpx.Limits(max_connections=32)
            # Redirects are not followed: the token would go along. Nor is the environment asked for a proxy.
            self._client = httpx.AsyncClient(verify=context, timeout=_TIMEOUT, limits=limits, trust_env=False)
        return self._client

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """httpx's texts hold addresses, and so keys; they go no further."""
        try:
            yield
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout):
                raise DsrError(
                    "SOURCE_UNAVAILABLE", "The object store can't be reached. Retry.", source=self.source
                ) from None
            raise DsrError("SOURCE_TIMEOUT", "The object store took too long. Retry.", source=self.source) from None
        except (httpx.HTTPError, OSError):
            raise DsrError(
                "SOURCE_UNAVAILABLE", "The object store can't be reached. Retry.", source=self.source
            ) from None
        except (KeyError, ValueError):
            raise self._rejected("The object store's answer isn't one of Swift's.", "ANSWER") from None

    async def close(self) -> None:
        """Ends the connections."""
        if self._client is not None:
            await self._client.aclose()
