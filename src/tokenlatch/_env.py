"""What is read from the environment: secrets at the moment of use, and the runtime directory.

Law: the only place outside the command line that reads the environment.
"""

import os
from pathlib import Path

from tokenlatch._frozen import Frozen
from tokenlatch.errors import ConfigurationError


class Env(Frozen):
    """The value of an environment variable, read at each use, so that it never travels in a pickle.

    Example:
        >>> Env("ACME_CLIENT_SECRET")
        Env(name='ACME_CLIENT_SECRET')
    """

    name: str

    def __call__(self) -> str:
        """Return the value.

        Raises:
            ConfigurationError: The variable is not set or empty.
        """
        value = os.environ.get(self.name)
        if not value:
            raise ConfigurationError(f"The environment variable {self.name} is not set: set it.")
        return value


def runtime_directory() -> str | None:
    """Return this user's runtime directory (XDG base directory specification), or None.

    A job of cron or systemd has no such variable, and must find what a shell left there.
    """
    usual = f"/run/user/{getattr(os, 'geteuid', int)()}"
    return os.environ.get("XDG_RUNTIME_DIR") or (usual if Path(usual).is_dir() else None)


def ca_bundle() -> str | None:
    """Return the file of trusted certificates that the user named for HTTP clients, or None."""
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    return next((value for name in names if (value := os.environ.get(name))), None)
