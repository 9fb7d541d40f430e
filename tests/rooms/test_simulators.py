"""The simulators are as strict as the documents: each wrong request gets the documented error, by plain HTTP."""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from tokenlatch.testing import HuaweiServer, SinaCloudServer, SopServer

KEYS = json.loads((Path(__file__).parents[1] / "vectors" / "sop_test_keys.json").read_text())
NOW = 1_767_294_245.0  # 2026-01-02 03:04:05 in Shanghai


def post(url, form):
    """Return status, headers and JSON of a form post."""
    data = urllib.parse.urlencode(form).encode()
    try:
        with urllib.request.urlopen(url, data) as answer:
            return answer.status, answer.headers, json.loads(answer.read())
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.status, answer.headers, json.loads(answer.read() or b"null")


APP = {"client_id": "107408391", "client_secret": "caa9b93ef209"}


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({**APP, "grant_type": ""}, (1102, 20181)),
        ({**APP, "grant_type": "password"}, (1101, 20182)),
        ({**APP, "client_secret": ""}, (1101, 20085)),
        ({**APP, "client_secret": "wrong"}, (1101, 12304)),
        ({**APP, "client_id": "1"}, (1203, 12303)),
        ({**APP, "client_id": "letters"}, (1101, 20002)),
        ({**APP, "grant_type": "refresh_token"}, (1102, 20191)),
        ({**APP, "grant_type": "refresh_token", "refresh_token": "with space"}, (1101, 20192)),
        ({**APP, "grant_type": "refresh_token", "refresh_token": "unknown"}, (1203, 31202)),
        ({**APP, "grant_type": "authorization_code", "code": "with space"}, (1101, 20152)),
        ({**APP, "grant_type": "authorization_code", "code": "unknown"}, (1103, 20153)),
    ],
)
def test_huawei_says_what_is_wrong(form, error):
    """HTTP 400 with two integers (account-server-error-code)."""
    with HuaweiServer() as huawei:
        status, _, said = post(huawei.token_url, form)
    assert status == 400
    assert (said["error"], said["sub_error"]) == error


def test_huawei_limits_the_apps_tokens():
    """1000 calls in 5 minutes, then flow control."""
    with HuaweiServer(lambda: NOW) as huawei:
        huawei._app_calls = [NOW - 1.0] * 1000
        assert post(huawei.token_url, {**APP, "grant_type": "client_credentials"})[0] == 503
        huawei.now = lambda: NOW + 300
        assert post(huawei.token_url, {**APP, "grant_type": "client_credentials"})[0] == 200


@pytest.mark.parametrize("verdict", ["102", "6", "31204"])
def test_huaweis_old_api_answers_200_in_any_case(verdict):
    """The verdict is in NSP_STATUS."""
    with HuaweiServer() as huawei:
        _, _, given = post(huawei.token_url, {**APP, "grant_type": "client_credentials"})
        if verdict == "6":
            huawei.expire_access()
        elif verdict == "31204":
            huawei.revoke_all()
        else:
            given = {"access_token": "unknown"}
        url = f"{huawei.url}/rest.php"
        status, headers, _ = post(url, {"access_token": given["access_token"]})
    assert (status, headers["NSP_STATUS"]) == (200, verdict)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"refresh_token": "unknown"}, "invalid_grant"),
    ],
)
def test_sina_says_what_is_wrong(changes, error):
    """RFC 6749's words, with HTTP 400 (inferred)."""
    form = {
        "client_id": "CLIENT_ID",
        "client_secret": "CLIENT_SECRET",
        "grant_type": "refresh_token",
        "refresh_token": "x",
    }
    with SinaCloudServer() as sina:
        status, _, said = post(sina.token_url, form | changes)
    assert (status, said["error"]) == (400, error)


def test_sina_takes_a_token_by_one_way_only():
    """Two at once are a bad request (inferred from the library behind it)."""
    with SinaCloudServer() as sina:
        request = urllib.request.Request(f"{sina.url}/api?access_token=a")
        request.add_header("Authorization", "Bearer a")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        with refused.value:
            assert refused.value.code == 400


def signed(form):
    """Sign as a developer would who has read nothing but the documents."""
    key = serialization.load_der_private_key(
        base64.b64decode(KEYS["app_private_pkcs8_b64"]), password=None
    )
    text = "&".join(f"{name}={form[name]}" for name in sorted(form) if form[name])
    made = key.sign(text.encode(), PKCS1v15(), hashes.SHA256())
    return {**form, "sign": base64.b64encode(made).decode()}


CALL = {
    "app_id": "2019032617262200001",
    "method": "story.get",
    "format": "json",
    "charset": "UTF-8",
    "sign_type": "RSA2",
    "timestamp": "2026-01-02 03:04:05",
    "version": "1.0",
    "biz_content": '{"id":1}',
}


@pytest.mark.parametrize(
    ("form", "sub_code"),
    [
        (CALL, "isv.missing-signature"),
        (signed({**CALL, "timestamp": ""}), "isv.missing-timestamp"),
        (signed({**CALL, "app_id": "1"}), "isv.invalid-app-id"),
        ({**signed(CALL), "biz_content": "{}"}, "isv.invalid-signature"),
        ({**signed(CALL), "app_auth_token": "added after signing"}, "isv.invalid-signature"),
        (signed({**CALL, "format": ""}), "isv.invalid-signature"),  # an empty one counts there
        (signed({**CALL, "timestamp": "2026-01-01 19:04:05"}), "isv.invalid-timestamp"),  # UTC
        (signed({**CALL, "timestamp": "2026-01-02 02:59:04"}), "isv.invalid-timestamp"),
        (signed({**CALL, "timestamp": "2026-01-02T03:04:05"}), "isv.invalid-timestamp"),
        (signed({**CALL, "method": "no.such"}), "isv.invalid-method"),
        (signed(CALL), "aop.invalid-app-auth-token"),
        (signed({**CALL, "timestamp": "2026-01-02 02:59:05"}), "aop.invalid-app-auth-token"),
        (signed({**CALL, "timestamp": "2030-01-01 00:00:00"}), "aop.invalid-app-auth-token"),
    ],
)
def test_sop_says_what_is_wrong(form, sub_code):
    """HTTP 200 in any case; 300 seconds late is in time, 301 is not, and the future passes."""
    with SopServer(KEYS["app_public_b64"], clock=lambda: NOW) as gateway:
        status, _, said = post(gateway.gateway_url, form)
    (node,) = said.values()
    assert (status, node["sub_code"]) == (200, sub_code)


def test_sops_token_service_wraps_its_errors_as_success():
    """Code 10000 with an error field: the trap that matters most."""
    business = json.dumps({"grant_type": "refresh_token", "refresh_token": "spent"})
    form = signed({**CALL, "method": "open.auth.token.app", "biz_content": business})
    with SopServer(KEYS["app_public_b64"], clock=lambda: NOW) as gateway:
        _, _, said = post(gateway.gateway_url, form)
    node = said["open_auth_token_app_response"]
    assert (node["code"], node["error"]) == ("10000", "invalid_token")


def test_sop_signs_the_very_text_of_its_answer():
    """Over the node as sent, with the platform's key."""
    platform = KEYS["platform_private_pkcs8_b64"]
    with SopServer(KEYS["app_public_b64"], platform, clock=lambda: NOW) as gateway:
        data = urllib.parse.urlencode(signed(CALL)).encode()
        with urllib.request.urlopen(gateway.gateway_url, data) as answer:
            raw = answer.read().decode()
    node = raw.removeprefix('{"story_get_response":').partition(',"sign":"')[0]
    public = serialization.load_der_public_key(base64.b64decode(KEYS["platform_public_b64"]))
    public.verify(
        base64.b64decode(json.loads(raw)["sign"]), node.encode(), PKCS1v15(), hashes.SHA256()
    )


def test_sop_five_answers_in_its_own_shape():
    """Success is "0", and sub_code is there and empty."""
    business = json.dumps({"grant_type": "nonsense"})
    form = signed({**CALL, "method": "open.auth.token.app", "biz_content": business})
    with SopServer(KEYS["app_public_b64"], five=True, clock=lambda: NOW) as gateway:
        _, _, said = post(gateway.gateway_url, form)
    assert (said["code"], said["sub_code"], said["data"]["error"]) == ("0", "", "invalid_grant")
