"""singleflight-auth: its README's example, with a dict as the token store, as there."""

from benchmarks.peers.base import Contestant


class SingleFlight(Contestant):
    doors = ("requests", "httpx", "httpx-async")
    notices = ("401",)

    def auth(self, door, place):
        import singleflight_auth

        store = {"access": place.access_token, "refresh": place.refresh_token}

        def form():
            return {"grant_type": "refresh_token", "refresh_token": store["refresh"]}

        def keep(answer):
            answer.raise_for_status()
            data = answer.json()
            store.update(access=data["access_token"], refresh=data["refresh_token"])
            return data["access_token"]

        def refresh():
            import requests

            return keep(requests.post(place.token_url, form(), auth=place.client, timeout=30))

        async def arefresh():
            import httpx

            async with httpx.AsyncClient() as client:
                return keep(await client.post(place.token_url, data=form(), auth=place.client))

        kinds = {
            "requests": (singleflight_auth.RequestsSingleFlightAuth, refresh),
            "httpx": (singleflight_auth.SingleFlightAuth, refresh),
            "httpx-async": (singleflight_auth.AsyncSingleFlightAuth, arefresh),
        }
        kind, function = kinds[door]
        return kind(get_token=lambda: store["access"], refresh=function)
