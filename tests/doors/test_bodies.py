"""A body is sent again whole, or not at all: never an empty or truncated one."""

import hashlib
import io
import os
import tempfile

import anyio
import pytest

from tests.doors.conftest import Door, statuses
from tokenlatch.errors import ReauthorizationRequired
from tokenlatch.testing._http import Response

DATA = bytes(range(256)) * 400  # more than one chunk of any client


def digests(server):
    """Size and SHA-256 of each body that the API got."""
    return [(e.request.size, e.request.sha256) for e in server.log if e.request.path == "/api"]


def digest(data):
    """The same of what should have come."""
    return len(data), hashlib.sha256(data).hexdigest()


class Encoder:
    """A body as requests-toolbelt's MultipartEncoder is one: it has a length and can be read once."""

    def __init__(self, data):
        self._file = io.BytesIO(data)
        self.len = len(data)

    def read(self, size=-1):
        """Return the next bytes."""
        self.len -= len(chunk := self._file.read(size))
        return chunk


class Progress:
    """A wrapper that looks as if it could be iterated again."""

    def __init__(self, chunks):
        self._chunks = chunks

    def __iter__(self):
        yield from self._chunks


class Reader(Progress):
    """The same with a read method."""

    def read(self, size=-1):  # noqa: ARG002 - as files have it
        """Return the next bytes."""
        return next(self._chunks, b"")


class Seeker(io.BytesIO):
    """A file that tells where it is but cannot go back."""

    def seekable(self):
        """Say no."""
        return False

    def seek(self, *_):
        """Fail, as a pipe does."""
        raise io.UnsupportedOperation


async def aiterate(chunks):
    """Yield them in a loop."""
    for chunk in chunks:
        yield chunk


class AsyncProgress:
    """An asynchronous wrapper."""

    def __init__(self, chunks):
        self._chunks = chunks

    async def __aiter__(self):
        for chunk in self._chunks:
            yield chunk


def chunks():
    """The data, in pieces, once."""
    return iter([DATA[:1000], DATA[1000:]])


@pytest.fixture
def upload(tmp_path):
    """A real file."""
    path = tmp_path / "upload"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        yield file


@pytest.fixture
def refused(server, source):
    """A source whose token the API will refuse."""
    server.expire_now()
    return source


# ---------------------------------------------------------------------------------------------------- sent again whole


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="none"),
        pytest.param({"body": b""}, id="empty bytes"),
        pytest.param({"body": DATA}, id="bytes"),
        pytest.param({"body": "Zoë"}, id="text"),
        pytest.param({"json": {"a": [1, "Zoë"]}}, id="json"),
        pytest.param({"data": {"a": "1", "b": "x y"}}, id="form"),
        pytest.param({"files": {"f": ("name", DATA)}, "data": {"a": "1"}}, id="multipart bytes"),
    ],
)
def test_what_is_in_memory_is_sent_again(door, server, refused, options):
    """The refused request and the next one are the same, byte for byte."""
    answer = door.send(door.auth(refused, server.url), "POST", server.api_url, **options)
    assert answer.status_code == 200
    first, second = digests(server)
    assert first == second
    if isinstance(options.get("body"), bytes):
        assert second == digest(options["body"])
    assert server.counts.refreshes == 1


@pytest.mark.parametrize("start", [0, 1000], ids=["from 0", "from 1000"])
@pytest.mark.parametrize(
    "kind", [io.BytesIO, tempfile.TemporaryFile, tempfile.SpooledTemporaryFile]
)
def test_a_file_is_sent_again_from_where_it_stood(sync_door, server, refused, kind, start):
    """Position 0 is a position; and what lay before it is not sent."""
    with kind() as file:
        file.write(DATA)
        file.seek(start)
        # httpx counts a file from its beginning, wherever it stands.
        headers = {"Content-Length": str(len(DATA) - start)}
        auth = sync_door.auth(refused, server.url)
        answer = sync_door.send(auth, "PUT", server.api_url, body=file, headers=headers)
    assert answer.status_code == 200
    assert digests(server) == [digest(DATA[start:])] * 2


def test_a_multipart_file_is_sent_again(sync_door, server, refused, upload):
    """With its fields."""
    auth = sync_door.auth(refused, server.url)
    answer = sync_door.send(
        auth, "POST", server.api_url, files={"f": ("name", upload)}, data={"a": "1"}
    )
    assert answer.status_code == 200
    first, second = digests(server)
    assert first == second
    assert first[0] > len(DATA)


@pytest.mark.parametrize(
    "body", [[DATA[:9], DATA[9:]], (DATA[:9], DATA[9:])], ids=["list", "tuple"]
)
def test_a_list_of_chunks_is_sent_again(httpx_door, server, refused, body):
    """In httpx; requests takes a list for a form."""
    auth = httpx_door.auth(refused, server.url)
    assert httpx_door.send(auth, "POST", server.api_url, body=body).status_code == 200
    assert digests(server) == [digest(DATA)] * 2


# ------------------------------------------------------------------------------------------ not sent again: the 401


def handed_over(server, source, answer, before):
    """Check that the 401 is the caller's, that nothing was sent twice, and that the next call is ready."""
    assert answer.status_code == 401
    assert statuses(server, "/api") == [401]
    assert digests(server) == [digest(DATA)]
    assert server.counts.refreshes == 1
    assert source.token().access_token != before
    assert server.counts.token_requests == 1


ONE_SHOT = [
    pytest.param(lambda: (chunk for chunk in chunks()), id="generator"),
    pytest.param(chunks, id="iterator"),
    pytest.param(lambda: map(bytes, chunks()), id="map"),
    pytest.param(lambda: Progress(chunks()), id="wrapped iterator"),
]


@pytest.mark.parametrize("body", [*ONE_SHOT, pytest.param(lambda: Seeker(DATA), id="no way back")])
def test_what_can_be_sent_once_is_sent_once(sync_door, server, refused, body):
    """The 401 goes to the caller, and the next call finds a fresh token."""
    before = refused.token().access_token
    answer = sync_door.send(
        sync_door.auth(refused, server.url), "POST", server.api_url, body=body()
    )
    handed_over(server, refused, answer, before)


def test_a_pipe_is_sent_once(sync_door, server, refused):
    """Standard input, for one."""
    before = refused.token().access_token
    read, write = os.pipe()
    os.write(write, DATA[:1000])
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = sync_door.send(
            sync_door.auth(refused, server.url),
            "POST",
            server.api_url,
            body=pipe,
            headers={"Transfer-Encoding": "chunked"} if sync_door.library != "requests" else None,
        )
    assert answer.status_code == 401
    assert digests(server) == [digest(DATA[:1000])]
    assert refused.token().access_token != before


def test_an_encoder_is_sent_once(server, refused):
    """A MultipartEncoder of requests-toolbelt can be read, and then it is empty."""
    door, before = Door("requests", "sync"), refused.token().access_token
    answer = door.send(door.auth(refused, server.url), "POST", server.api_url, body=Encoder(DATA))
    handed_over(server, refused, answer, before)


def test_a_reader_that_iterates_is_sent_once(sync_door, server, refused):
    """Nor can it be read again."""
    before = refused.token().access_token
    auth = sync_door.auth(refused, server.url)
    answer = sync_door.send(auth, "POST", server.api_url, body=Reader(chunks()))
    handed_over(server, refused, answer, before)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda: aiterate(chunks()), id="generator"),
        pytest.param(lambda: AsyncProgress(chunks()), id="wrapped iterator"),
    ],
)
def test_what_a_loop_can_send_once_is_sent_once(async_door, server, refused, body):
    """Asynchronous bodies."""
    before = refused.token().access_token
    auth = async_door.auth(refused, server.url)
    answer = async_door.send(auth, "POST", server.api_url, body=body())
    handed_over(server, refused, answer, before)


def test_an_asynchronous_file_is_sent_once(async_door, server, refused, tmp_path):
    """It looks seekable, but seeking takes a task: a retry would send nothing at all."""
    path = tmp_path / "upload"
    path.write_bytes(DATA)
    before = refused.token().access_token
    auth = async_door.auth(refused, server.url)

    async def main():
        async with (
            async_door.open(auth) as client,
            await anyio.open_file(path, "rb") as file,
        ):
            return await client.post(server.api_url, content=file)

    handed_over(server, refused, async_door.run(main), before)


def test_a_stream_of_the_clients_own_kind_is_sent_once(httpx_door, server, refused):
    """A user's SyncByteStream: nobody knows whether it can be iterated again."""

    class Stream(httpx_door.client.SyncByteStream):
        def __iter__(self):
            yield DATA

    before = refused.token().access_token
    with httpx_door.open(httpx_door.auth(refused, server.url)) as client:
        headers = {"Host": server.url.split("//")[1], "Transfer-Encoding": "chunked"}
        request = httpx_door.client.Request(
            "POST", server.api_url, headers=headers, stream=Stream()
        )
        answer = client.send(request)
    handed_over(server, refused, answer, before)


def test_a_spent_body_and_a_dead_grant(sync_door, server, refused):
    """The 401 is the caller's all the same; the next call learns that a login is due."""
    server.revoke_now()
    auth = sync_door.auth(refused, server.url)
    answer = sync_door.send(auth, "POST", server.api_url, body=chunks())
    assert answer.status_code == 401
    with pytest.raises(ReauthorizationRequired):
        sync_door.send(auth, "GET", server.api_url)
    assert server.counts.token_requests == 1


def test_the_body_of_a_handed_over_401_can_be_read(sync_door, server, refused, route):
    """It is the caller's: nobody has read it away."""
    url = route("/why", Response(401, {"Content-Type": "text/plain"}, b"because"))
    auth = sync_door.auth(refused, server.url)
    assert sync_door.send(auth, "POST", url, body=chunks()).text == "because"
