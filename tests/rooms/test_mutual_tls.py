"""A client that is known by its TLS certificate (RFC 8705): it sends its id, its certificate, and no secret."""

import datetime as dt
import ipaddress
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tokenlatch import (
    ClientCredentials,
    Httpx2Sender,
    HttpxSender,
    Provider,
    RefreshToken,
    RequestsSender,
    TokenSource,
    errors,
)

x509 = pytest.importorskip("cryptography.x509", reason="pip install 'tokenlatch[encryption]'")

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402 - only where it is there
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402


class Authority:
    """A throw-away certificate authority."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed(name, self.key.public_key(), is_authority=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, subject):
        """Return the files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(subject, key.public_key(), is_authority=False)
        paths = (
            self.folder / f"{self.name}-{subject}.pem",
            self.folder / f"{self.name}-{subject}.key",
        )
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return tuple(map(str, paths))

    def _signed(self, subject, public_key, *, is_authority):
        def named(text):
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        now = dt.datetime.now(dt.UTC)
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(self.name))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
            # Python 3.13 checks strictly (RFC 5280): who signed has to be named, and be allowed to.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(_usage(is_authority=is_authority), critical=True)
            .sign(self.key, hashes.SHA256())
        )


def _usage(*, is_authority):
    names = "content_commitment key_encipherment data_encipherment key_agreement encipher_only decipher_only"
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        **dict.fromkeys(names.split(), False),
    )


class Desk(BaseHTTPRequestHandler):
    """Gives a token to whoever names the id that its certificate bears (RFC 8705 section 2.1)."""

    def do_POST(self):
        """Answer a token request."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        subject = dict(pair for ((pair),) in self.connection.getpeercert()["subject"])
        self.server.forms.append((form, self.headers.get("Authorization")))
        if form.get("client_id") == [subject["commonName"]]:
            self._say(200, {"access_token": f"at-{len(self.server.forms)}", "refresh_token": "R2"})
        else:
            self._say(401, {"error": "invalid_client"})

    def _say(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


class Quiet(ThreadingHTTPServer):
    """A server that expects broken handshakes."""

    def handle_error(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"), "theirs")


@pytest.fixture
def server(authority):
    """A token endpoint that takes no connection without a certificate of our authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*authority.issue("127.0.0.1"))
    server = Quiet(("127.0.0.1", 0), Desk)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.forms, server.url = [], f"https://127.0.0.1:{server.server_port}/token"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture(params=[RequestsSender, HttpxSender, Httpx2Sender])
def kind(request):
    """Each sender's class."""
    return request.param


@pytest.mark.parametrize("provider", [{}, {"client_auth": "none"}], ids=["unsaid", "said"])
def test_a_certificate_is_proof_enough(server, authority, kind, provider):
    """RFC 8705 section 2: client_id in the body, and neither secret nor Authorization."""
    sender = kind(verify=str(authority.file), cert=authority.issue("app"))
    grant = ClientCredentials(Provider(server.url, **provider), client_id="app")
    assert TokenSource(grant, sender=sender).token().access_token == "at-1"
    assert server.forms == [({"grant_type": ["client_credentials"], "client_id": ["app"]}, None)]


def test_refreshes_travel_with_it_too(server, authority, kind):
    """A user's grant of such a client; certificate and key may be in one file."""
    both = authority.folder / "both.pem"
    both.write_text("".join(Path(path).read_text() for path in authority.issue("app")))
    sender = kind(verify=str(authority.file), cert=str(both))
    grant = RefreshToken(server.url, client_id="app", refresh_token="R1")
    source = TokenSource(grant, sender=sender)
    source.token()
    source.refresh()
    assert [form["refresh_token"] for form, _ in server.forms] == [["R1"], ["R2"]]
    assert all(form["client_id"] == ["app"] for form, _ in server.forms)


def test_a_certificate_of_another_client_is_for_the_developer(server, authority, kind):
    """invalid_client: the id and the certificate do not belong together."""
    sender = kind(verify=str(authority.file), cert=authority.issue("other"))
    grant = ClientCredentials(server.url, client_id="app")
    with pytest.raises(errors.ConfigurationError, match="invalid_client"):
        TokenSource(grant, sender=sender).token()


@pytest.mark.parametrize("who", ["nobody", "a stranger"])
def test_without_a_known_certificate_nothing_is_said(server, authority, stranger, kind, who):
    """The server ends the handshake: the request is never read."""
    cert = stranger.issue("app") if who == "a stranger" else None
    sender = kind(verify=str(authority.file), cert=cert)
    with pytest.raises(errors.TransportError):
        TokenSource(ClientCredentials(server.url, client_id="app"), sender=sender).token()
    assert server.forms == []


def test_a_certificate_that_cannot_be_read_is_a_setting(server, authority, kind):
    """A wrong path is no failure of the network."""
    sender = kind(verify=str(authority.file), cert="/nowhere/app.pem")
    with pytest.raises(errors.ConfigurationError, match="cert="):
        TokenSource(ClientCredentials(server.url, client_id="app"), sender=sender).token()
