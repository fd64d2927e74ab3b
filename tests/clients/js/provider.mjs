// oidc-provider, certified by the OpenID Foundation, on a socket that it inherits. It issues JWT access
// tokens for client credentials. A resource such as `https://api.example/ES256` is an audience followed
// by the algorithm that signs the token.
//
// usage: node provider.mjs '{"fd": N, "issuer": "URL", "keys": [JWK], "client": {"id", "secret"}}'
import Provider from 'oidc-provider';

const { fd, issuer, keys, client } = JSON.parse(process.argv[2]);

const provider = new Provider(issuer, {
  jwks: { keys },
  clients: [{
    client_id: client.id,
    client_secret: client.secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    // The algorithm of id tokens must have a key, although none is issued.
    id_token_signed_response_alg: keys[0].alg,
  }],
  scopes: ['infer'],
  extraTokenClaims: () => ({ tenant: 'tenant-1' }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(_, resource) {
        const { origin, pathname } = new URL(resource);
        return {
          audience: origin,
          scope: 'infer',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: pathname.slice(1) } },
        };
      },
    },
  },
});
provider.listen({ fd }, () => console.log('listening'));
