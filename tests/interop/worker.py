"""One worker process: what the others see is that it shares a token file with them, and nothing else.

Reads one JSON object from its standard input, acts, prints one JSON line: what `act` returns.
"""

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import requests

import tokenlatch.httpx
import tokenlatch.requests
from tokenlatch import FileStore, RefreshPolicy, RefreshToken, TokenSource
from tokenlatch.errors import AuthError


def storm(source, job):
    """Ask the API from threads and tasks for `seconds`; count the outcomes."""
    outcomes, counting = Counter(), threading.Lock()
    until = time.monotonic() + job["seconds"]

    def count(outcome):
        if isinstance(outcome, Exception):
            outcome = f"{type(outcome).__name__}: {str(outcome)[:100]}"
        with counting:
            outcomes[str(outcome)] += 1

    def thread(_):
        with requests.Session() as session:
            session.auth = tokenlatch.requests.BearerAuth(source, job["origin"])
            while time.monotonic() < until:
                try:
                    count(session.get(job["api_url"], timeout=30).status_code)
                except (requests.RequestException, AuthError) as error:
                    count(error)
                time.sleep(job["pace"])  # the pace of the load, nothing is awaited

    async def task(client):
        while time.monotonic() < until:
            try:
                count((await client.get(job["api_url"])).status_code)
            except (httpx.HTTPError, AuthError) as error:
                count(error)
            await asyncio.sleep(job["pace"])  # likewise

    async def tasks():
        auth = tokenlatch.httpx.BearerAuth(source, job["origin"])
        async with httpx.AsyncClient(auth=auth, timeout=30) as client:
            await asyncio.gather(*(task(client) for _ in range(job["tasks"])))

    with ThreadPoolExecutor(job["threads"]) as threads:
        results = threads.map(thread, range(job["threads"]))
        asyncio.run(tasks())
        list(results)
    return outcomes


def refresh(source, _):
    """Refresh although nothing expired."""
    source.refresh()
    return {"access_token": source.token().access_token}


def token(source, job):
    """Ask for a token, saying that the API refused `rejected` if the job has one."""
    return {"access_token": source.token(job.get("rejected")).access_token}


ACTS = {"storm": storm, "refresh": refresh, "token": token}


def main():
    """Do one job."""
    job = json.load(sys.stdin)
    grant = RefreshToken(
        job["token_url"], client_id=job["client_id"], client_secret=job["client_secret"]
    )
    policy = RefreshPolicy(**job.get("policy", {}))
    source = TokenSource(grant, store=FileStore(job["path"]), policy=policy)
    try:
        done = ACTS[job["act"]](source, job)
    except AuthError as error:
        done = {"error": type(error).__name__, "message": str(error)}
    finally:
        source.close()
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    main()
