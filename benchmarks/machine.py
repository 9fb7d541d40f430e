"""Where and with what the figures were taken."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "tokenlatch",
    "requests",
    "httpx",
    "httpx2",
    "filelock",
    "redis",
    "singleflight-auth",
    "requests-oauth2client",
    "Authlib",
    "requests-oauthlib",
    "requests_auth",
    "httpx-auth",
    "google-auth",
    "msal",
    "msal-extensions",
    "mcp",
)


def describe():
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
