"""mcp: OAuthClientProvider of the Model Context Protocol's SDK, with a TokenStorage over a JSON file, as its docs ask."""

import json
import time
from pathlib import Path

from benchmarks.peers.base import Contestant


class Mcp(Contestant):
    doors = ("httpx2-async",)

    def storage(self, place):
        from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

        file = Path(place.path("mcp.json"))

        class Storage:
            async def get_tokens(self):
                return OAuthToken.model_validate_json(file.read_text())

            async def set_tokens(self, tokens):
                file.write_text(tokens.model_dump_json())

            async def get_client_info(self):
                return OAuthClientInformationFull(
                    client_id=place.client_id,
                    client_secret=place.client_secret,
                    redirect_uris=["http://127.0.0.1/callback"],
                    token_endpoint_auth_method="client_secret_post",
                )

            async def set_client_info(self, info):
                pass

        return Storage()

    def prepare(self, place):
        tokens = {
            "access_token": place.access_token,
            "refresh_token": place.refresh_token,
            "token_type": "Bearer",
            "expires_in": place.expires_in,
        }
        Path(place.path("mcp.json")).write_text(json.dumps(tokens))

    def auth(self, door, place):
        from mcp.client.auth import OAuthClientProvider
        from mcp.shared.auth import OAuthClientMetadata

        provider = OAuthClientProvider(
            server_url=place.api_url,
            client_metadata=OAuthClientMetadata(redirect_uris=["http://127.0.0.1/callback"]),
            storage=self.storage(place),
        )
        # It does not remember when tokens from its storage expire: here it is told, to be fair.
        provider.context.token_expiry_time = min(place.expires_at, time.time() + 1e9)
        return provider
