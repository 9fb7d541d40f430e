"""Writes docs/providers.md from the records: python docs/generate_providers.py."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

from tokenlatch.providers import HUAWEI, SINA_CLOUD, Provider, sop
from tokenlatch.providers.catalogue import CATALOGUE

PAGE = Path(__file__).with_name("providers.md")
SHOWN = 6
OWN = {
    "HUAWEI": HUAWEI,
    "SINA_CLOUD": SINA_CLOUD,
    "sop(...)": sop("https://gateway.example.com/"),
}

HEAD = """# Providers

<!-- Written by docs/generate_providers.py from the records: change those. -->

A provider that follows RFC 6749 needs its URL and nothing else:

```python
from tokenlatch import RefreshToken

RefreshToken("https://idp.example/token", client_id="app", refresh_token="...")
```

One that describes itself needs its issuer: `Provider.discover("https://idp.example")`. Whatever deviates is data in a
`Provider`: the three platforms below are complete, the catalogue has what its sources say, and any other is written
down in the same fields. `row.having(...)` changes one; `row.at(tenant="...")` fills in the blanks of
its URLs.

"""

PLATFORMS = """## Huawei ID

<!-- not run: a person has to log in -->
```python
login = AuthorizationCode(
    HUAWEI, client_id=APP_ID, client_secret=SECRET, redirect_uri=CALLBACK, scope="openid profile"
)
pending = login.begin()  # send the browser to pending.url
source = TokenSource(login, store=FileStore("/var/lib/acme/huawei.json"))
source.redeem(redirect_url, pending)  # the URL that came back, undecoded
api.auth = BearerAuth(source, "https://health-api.cloud.huawei.com")
old_api.auth = BearerAuth(
    source, "https://oauth-api.cloud.huawei.com", attach=Attach("form", "access_token")
)
```

An app's own token: `ClientCredentials(HUAWEI, ...)`. The grant ends 180 days after consent, however often it is
refreshed; `source.status().refresh_expires_at` tells when. A call is refused by 401 or, at `rest.php`, by HTTP 200
with `NSP_STATUS` 6, 102 or 31204.

## Sina Cloud

<!-- not run: a person has to log in -->
```python
login = AuthorizationCode(SINA_CLOUD, client_id=CLIENT_ID, client_secret=SECRET)
```

No `redirect_uri` and no `scope`: both are set in the system. A refresh token works once and ends 8 days after it was
given: something has to run at least weekly. `unauthorized_client` means that the app has no right to refresh; the
access token stays in use to its end, then a person logs in again.

## SOP

<!-- not run: a person has to log in -->
```python
provider = sop(
    "https://gateway.example.com/",
    authorize_url="https://openauth.example.com/oauth2/appToAppAuth",
    platform_key=PLATFORM_PUBLIC_KEY,  # with it, answers must be signed
)
login = AuthorizationCode(
    provider, client_id=APP_ID, client_secret=PRIVATE_KEY, redirect_uri=CALLBACK
)
...
api.auth = BearerAuth(source, "https://gateway.example.com")
api.post("https://gateway.example.com/", data={"method": "story.get", "biz_content": '{"id":1}'})
```

The private key signs and never travels. `BearerAuth` adds `app_auth_token` and the system parameters, signs the whole
form, and signs it anew when a refused token was replaced. With a `platform_key`, an answer that is not signed raises
`UnreadableAnswerError`, redirects too, and nothing is read but what the signature covers.

Tokens live for ever: they are refreshed when the gateway says `aop.app-auth-token-time-out`, or by `source.refresh()`.

## A client that is known by its certificate

RFC 8705: the certificate is the sender's, and the client has no secret. `Provider.discover` takes the endpoints that an
issuer has for such clients.

```python
from tokenlatch import ClientCredentials, RequestsSender, TokenSource

source = TokenSource(
    ClientCredentials("https://mtls.idp.example/token", client_id="app"),
    sender=RequestsSender(cert=("/etc/acme/app.pem", "/etc/acme/app.key")),
)
```

## What rests on inference

Nothing here was tried against the real platforms. What their documents leave open is taken as follows, and is data
that `having(...)` changes:

- **Huawei ID**: which error codes end a grant (the codes are documented, their classes are ours); that an old access
  token lives on after a refresh; PKCE, which other clients send, is used only when asked for. A refused login comes
  behind `#` in one document and in the query in another: both are read, and a bare callback counts as refused.
- **Sina Cloud**: HTTP statuses, the error words besides `unauthorized_client`, and how API calls carry the token
  (`Authorization: Bearer`, 401): taken from the library whose texts the documented answers are letter for letter.
- **SOP**: envelopes, error codes, the signature of answers and the clock's zone are read from the source of SOP 4.1,
  SOP 5 from single files. A parameter `state` would be lost there: ours travels inside `redirect_uri`.

## Simulators

Each of the three has one for tests, on loopback, as strict as its documents:

```python
from tokenlatch import ClientCredentials, TokenSource
from tokenlatch.providers import HUAWEI
from tokenlatch.testing import HuaweiServer

with HuaweiServer() as huawei:
    provider = HUAWEI.having(token_url=huawei.token_url)
    grant = ClientCredentials(provider, client_id="107408391", client_secret="caa9b93ef209")
    assert TokenSource(grant).token().expires_at
    huawei.revoke_all()
```

"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page's text."""
    return f"{HEAD}{PLATFORMS}{table()}{field_table()}"


def table() -> str:
    """Return the catalogue as a table."""
    lines = [
        "## Catalogue",
        "",
        "`from tokenlatch.providers.catalogue import CATALOGUE`: `CATALOGUE['github']`. The notes begin with where a",
        "row was read: D the vendor's documentation, C public source code, N NangoHQ/nango, J justauth/JustAuth,",
        "P social-auth-core, django-allauth, wechatpy or lark-oapi, R requests-oauthlib. Nothing was tried against the",
        "providers themselves.",
        "",
        "| name | token endpoint | deviates in | spent refresh token again | notes |",
        "|---|---|---|---|---|",
    ]
    for name, row in {**OWN, **CATALOGUE}.items():
        url = f"{row.method} {row.token_url}"
        changed = [f"`{each}`" for each in deviations(row) if each != "refresh_retry_grace"]
        deviates = ", ".join(changed) or "nothing"
        cells = (f"`{name}`", url, deviates, grace(row.refresh_retry_grace), row.notes)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n\n"


def deviations(row: Provider) -> list[str]:
    """Return the names of the fields that are not RFC 6749's."""
    changed = []
    for each in fields(row):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if each.name not in {"token_url", "notes"} and getattr(row, each.name) != default:
            changed.append(each.name)
    return changed


def grace(seconds: float) -> str:
    """Return a grace in words."""
    return "at any time" if seconds == float("inf") else f"{seconds:,.0f} s" if seconds else "never"


def field_table() -> str:
    """Return every field of a record with type, default, meaning, and the rows that set it."""
    rows = {**OWN, **CATALOGUE}
    lines = [
        "## Fields of a `Provider`",
        "",
        "| field | type | default | meaning | set by |",
        "|---|---|---|---|---|",
    ]
    told = meanings(Provider.__doc__ or "") | meanings(Provider.__mro__[1].__doc__ or "")
    for each in sorted(fields(Provider), key=lambda each: each.name != "token_url"):
        if each.name in {"_", "notes"}:
            continue
        kind = str(getattr(each.type, "__name__", each.type)).replace("typing.", "")
        kind = re.sub(r"\w+(\.\w+)+\.", "", kind).replace("|", "\\|")
        default = "required" if each.default is each.default_factory is MISSING else shown(each)
        setting = [name for name, row in rows.items() if each.name in deviations(row)]
        some = ", ".join(setting[:SHOWN]) + (
            f" and {len(setting) - SHOWN} more" if len(setting) > SHOWN else ""
        )
        lines.append(f"| `{each.name}` | {kind} | {default} | {told[each.name]} | {some} |")
    return "\n".join(lines) + "\n"


def shown(each: object) -> str:
    """Return a default as a reader wants it."""
    value = getattr(each, "default", MISSING)
    if value is MISSING:
        return "RFC 6749's"
    return "" if value in (None, "", ()) else f"`{value!r}`"


def meanings(docstring: str) -> dict[str, str]:
    """Return what a docstring says of each attribute."""
    block = docstring.partition("Attributes:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {9,}.*)*)", block, re.MULTILINE)
    return {
        name: re.sub(r"\s+", " ", words).replace("``", "`").replace("|", "\\|")
        for name, words in found
    }


if __name__ == "__main__":
    main()
