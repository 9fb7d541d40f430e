"""django-oauth-toolkit behind gunicorn: several processes, and a refresh kills the old access token at once.

`python django_site.py PORT DATABASE` makes a fresh sqlite database and becomes gunicorn (2 processes x 4 threads).

    ACCESS_TOKEN_SECONDS    life of an access token (default 3)
    REFRESH_TOKEN_SECONDS   life of a refresh token (default 3600)
    ROTATE=0                keep the refresh token at a refresh
    REUSE_PROTECTION=0      a replayed refresh token does not revoke its family
    GRACE                   seconds during which a spent refresh token answers with the same new tokens (default 0)
"""

import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "oauth2_provider",
]
LOGIN_PAGE = "<form method=post>{% csrf_token %}{{ form }}<input type=hidden name=next value='{{ next }}'></form>"
USER = {"username": "alice", "password": "wonderland"}


def seconds(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def switched_on(name: str) -> bool:
    return os.environ.get(name, "1") == "1"


settings.configure(
    SECRET_KEY="interop",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=APPS,
    # tables straight from the models: the migrations would cost most of the start
    MIGRATION_MODULES={app.rpartition(".")[2]: None for app in APPS},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("INTEROP_DATABASE"),
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL",
            },
        }
    },
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": ["django.template.context_processors.request"],
                "loaders": [
                    (
                        "django.template.loaders.locmem.Loader",
                        {"registration/login.html": LOGIN_PAGE},
                    )
                ],
            },
        }
    ],
    LOGIN_URL="/login/",
    PASSWORD_HASHERS=[
        "django.contrib.auth.hashers.MD5PasswordHasher"
    ],  # quick; there is nothing to protect
    OAUTH2_PROVIDER={
        "ACCESS_TOKEN_EXPIRE_SECONDS": seconds("ACCESS_TOKEN_SECONDS", 3),
        "REFRESH_TOKEN_EXPIRE_SECONDS": seconds("REFRESH_TOKEN_SECONDS", 3600),
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": seconds("GRACE", 0),
        "REFRESH_TOKEN_REUSE_PROTECTION": switched_on("REUSE_PROTECTION"),
        "ROTATE_REFRESH_TOKEN": switched_on("ROTATE"),
        "SCOPES": {"read": "Read"},
    },
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402 (Django's models and views need django.setup() first)
from django.contrib.auth.views import LoginView  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.urls import metadata_urlpatterns  # noqa: E402
from oauth2_provider.views.generic import ProtectedResourceView  # noqa: E402
from oauth2_provider.views.mixins import ProtectedResourceMetadataMixin  # noqa: E402


class Api(
    ProtectedResourceMetadataMixin, ProtectedResourceView
):  # the mixin answers 401 (RFC 6750), not a bare 403
    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({"user": str(request.resource_owner)})


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("login/", LoginView.as_view()),
    path("api/", Api.as_view()),
    *metadata_urlpatterns,
]
application = get_wsgi_application()


def fill_database() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    User.objects.create_user(**USER)
    for client_id, kind, grant in (
        ("basic", "confidential", "authorization-code"),
        ("public", "public", "authorization-code"),
        ("service", "confidential", "client-credentials"),
        ("device", "public", "urn:ietf:params:oauth:grant-type:device_code"),
    ):
        Application.objects.create(
            client_id=client_id,
            client_secret="interop-secret",
            client_type=kind,
            authorization_grant_type=grant,
            redirect_uris="http://127.0.0.1:9/cb",
            skip_authorization=True,
            hash_client_secret=False,
        )


if __name__ == "__main__":
    port, database = sys.argv[1:]
    settings.DATABASES["default"]["NAME"] = database
    fill_database()
    os.environ["INTEROP_DATABASE"] = database
    os.chdir(Path(__file__).parent)
    serve = ["gunicorn", "django_site", "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    # By default it hangs up after 2 s of silence: now and then just as a client asks again, and any client fails.
    patience = ["--keep-alive", "60"]
    os.execv(
        sys.executable,
        [sys.executable, "-m", *serve, "--workers", "2", "--threads", "4", *patience],
    )
