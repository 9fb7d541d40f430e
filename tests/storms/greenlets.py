"""Twenty greenlets that want one token, in a process of their own: gevent patches the whole interpreter.

Settings come as JSON on standard input; ``late`` patches after tokenlatch and filelock are imported.
"""

import json
import sys


def patch():
    """Patch the standard library."""
    from gevent import monkey

    monkey.patch_all()


def main():
    """Ask, and print what came of it."""
    settings = json.load(sys.stdin)
    if not settings["late"]:
        patch()
    from tests.storms import plain
    from tokenlatch import FileStore, RefreshToken, TokenSource

    grant = RefreshToken(settings["token_url"], client_id="app", client_secret="app-secret")
    sources = [
        TokenSource(grant, store=FileStore(settings["path"]), sender=plain.send) for _ in range(2)
    ]
    if settings["late"]:
        patch()
    import gevent

    asking = [gevent.spawn(sources[number % 2].token) for number in range(20)]
    ticks = 0
    while not all(each.ready() for each in asking):
        gevent.sleep(0.01)  # the hub is alive if this comes back while they wait
        ticks += 1
    got = sorted({each.get().access_token for each in asking})
    sys.stdout.write(json.dumps({"got": got, "ticks": ticks}))


if __name__ == "__main__":
    main()
