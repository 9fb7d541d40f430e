"""The floor: an auth object that sets one fixed header, the natural way. Nothing can be cheaper."""

from benchmarks.peers.base import Contestant, library


class Floor(Contestant):
    doors = ("requests", "httpx", "httpx-async", "httpx2", "httpx2-async")
    notices = ()

    def auth(self, door, place):
        header = f"Bearer {place.access_token}"
        if door == "requests":
            from requests.auth import AuthBase

            class Fixed(AuthBase):
                def __call__(self, request):
                    request.headers["Authorization"] = header
                    return request

            return Fixed()

        class FixedFlow(library(door).Auth):
            def auth_flow(self, request):
                request.headers["Authorization"] = header
                yield request

        return FixedFlow()
