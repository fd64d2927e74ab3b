//! AWS IAM: signed requests and the identities of AWS.
//!
//! A workload on AWS has credentials of its role, and its SDK signs with them. It needs no other
//! secret to call a gateway. There are three ways, and one that nobody has:
//!
//! | the caller has | it sends | the gateway uses |
//! |---|---|---|
//! | credentials that *you* issue | requests with AWS Signature Version 4 | [`SigV4`] |
//! | credentials of AWS, such as a role | a presigned `GetCallerIdentity` | [`StsIdentity`] |
//! | a role in an account with outbound identity federation | a JSON Web Token | [`Jwt`](super::Jwt) |
//! | credentials of AWS, such as a role | requests with AWS Signature Version 4 | nothing can verify them |
//!
//! **Nobody outside of AWS can verify a signature that was made with AWS's own credentials.** The
//! signature is an HMAC, and only AWS has the secret. [`SigV4`] therefore verifies the credentials that
//! you issue, and no others. API Gateway verifies those of AWS because it is AWS.
//!
//! # Signature Version 4
//!
//! Clients sign as for API Gateway, with any SDK of AWS or with curl:
//!
//! ```text
//! curl --aws-sigv4 aws:amz:us-east-1:execute-api --user "$ACCESS_KEY_ID:$SECRET_ACCESS_KEY" \
//!     https://gateway.example/v1/models
//! ```
//!
//! The body is a part of the signature. [`SignedBodyLayer`] therefore stands outside of `AuthLayer`:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use std::convert::Infallible;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_inference::{
//!     auth::{
//!         AuthLayer,
//!         aws_iam::{
//!             SigV4, SignedBody, SignedBodyLayer, SigningCredential, SigningCredentialError,
//!             SigningCredentials,
//!         },
//!     },
//!     context::RequestContext,
//!     secret::Secret,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), SigningCredentialError> {
//! // Or `SigningCredentials::file("credentials.json")`.
//! let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
//! let credential = SigningCredential::new("AKIDEXAMPLE", secret)?.tenant("acme").scopes(["infer"]);
//! let sigv4 = SigV4::new("us-east-1", SigningCredentials::new([credential]))?;
//! # // 2027-01-15 08:00 UTC.
//! # let sigv4 = sigv4.clock(tower_inference::clock::FakeClock::default().shared());
//!
//! let service = ServiceBuilder::new()
//!     .layer(SignedBodyLayer::new())
//!     .layer(AuthLayer::new(sigv4))
//!     .service(service_fn(|request: Request<SignedBody<Empty<Bytes>>>| async move {
//!         let caller = RequestContext::of(request.extensions()).and_then(RequestContext::identity);
//!         Ok::<_, Infallible>(Response::new(caller.unwrap().subject().to_owned()))
//!     }));
//!
//! let request = |path: &str| {
//!     Request::builder()
//!         .uri(path)
//!         .header("host", "gateway.example")
//!         .header("x-amz-date", "20270115T080000Z")
//!         .header(
//!             "authorization",
//!             "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20270115/us-east-1/execute-api/aws4_request, \
//!              SignedHeaders=host;x-amz-date, \
//!              Signature=64bf5dbf2b1aa516ac4af55e40f6dc7529de54607a41af5fdc8a3defc74bb50b",
//!         )
//!         .body(Empty::new())
//!         .unwrap()
//! };
//! assert_eq!(service.clone().oneshot(request("/v1/models")).await.unwrap().status(), 200);
//! assert_eq!(service.oneshot(request("/v1/other")).await.unwrap().status(), 401);
//! # Ok(())
//! # }
//! ```
//!
//! A request is accepted if all of this holds:
//!
//! - It has one signature: in `authorization` or in the query (presigned), and no other credential.
//! - The algorithm is `AWS4-HMAC-SHA256`, and the credential scope has the region and the service of the
//!   settings.
//! - `x-amz-date` is at most 5 minutes from the server's clock. Without `x-amz-date`, `date` counts. A
//!   presigned request is valid for `X-Amz-Expires`, at most 15 minutes.
//! - The signed headers include `host` and the date. `host` is the authority of HTTP/2 or the header. A
//!   request with two different hosts is rejected, and one for another host than those of
//!   [`SigV4::hosts`] if these are set.
//! - The session token is the one of the credential. Without one there, the request must have none.
//! - The signature covers the method, the path and the query as they are on the wire, the signed headers
//!   and the body.
//!
//! The identity has [`Proof::AwsIam`](crate::identity::Proof::AwsIam), the issuer `aws-sigv4`, the access
//! key id as its subject, and the tenant and scopes of the credential. The signature and the session
//! token are removed from the request.
//!
//! ## Path and query
//!
//! AWS defines the canonical path as the path of the wire, percent-encoded once more. Most SDKs first
//! remove dot segments and repeated slashes, so a request to `/a//b` from them is rejected. Send the path
//! that is signed, or see [`SigV4::dangerous_normalized_paths`]. Parameters of the query are accepted as
//! on the wire (botocore) and decoded and encoded again (other SDKs).
//!
//! Behind a router that cuts the path, the whole path counts, because [`SignedBodyLayer`] has seen it.
//! A proxy in front must not change the path, the query or `host`.
//!
//! ## Body
//!
//! | request | body |
//! |---|---|
//! | with `x-amz-content-sha256` | is passed on as it arrives; the last chunk is held until the digest fits |
//! | without | is read as a whole, after access key, date and scope hold and before the signature is verified |
//! | without a body | its digest is known |
//! | `UNSIGNED-PAYLOAD` | is rejected, unless [`SigV4::dangerous_unsigned_payload`] is set |
//! | `STREAMING-…` | is rejected |
//!
//! A body with another digest than the declared one ends as an error. An extractor of axum that reads the
//! body itself responds with 400. `PayloadLayer` turns the error
//! into the response 401 before it calls its inner service. On a streamed route the call of the upstream
//! has begun: the upstream sees an aborted request and `UpstreamLayer` responds with 502. Trailers of a body with a declared digest are dropped, because they are not signed.
//!
//! # AWS identities
//!
//! A client presigns a `GetCallerIdentity` of AWS's Security Token Service with its own credentials and
//! sends the URL as a token. The gateway calls STS with it and learns who has signed. The client's
//! secret and its AWS requests stay with the client. Vault and Amazon EKS do the same.
//!
//! ```text
//! authorization: Bearer aws-sts-v1.<base64url of the URL without padding>
//! ```
//!
//! The client signs the header `x-inference-server-id` with the name of this gateway, so that another
//! service cannot use the token here. In Python:
//!
//! ```text
//! import base64, boto3
//! from botocore.auth import SigV4QueryAuth
//! from botocore.awsrequest import AWSRequest
//!
//! url = "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"
//! request = AWSRequest("GET", url, headers={"x-inference-server-id": "gateway.example"})
//! credentials = boto3.Session().get_credentials().get_frozen_credentials()
//! SigV4QueryAuth(credentials, "sts", "us-east-1", expires=900).add_auth(request)
//! print("aws-sts-v1." + base64.urlsafe_b64encode(request.url.encode()).decode().rstrip("="))
//! ```
//!
//! ```text
//! curl -H "authorization: Bearer $TOKEN" https://gateway.example/v1/models
//! ```
//!
//! ```
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{Empty, Full};
//! # use std::convert::Infallible;
//! # use tower::{Layer, ServiceExt, service_fn};
//! # use tower_inference::auth::aws_iam::StsError;
//! use tower_inference::auth::{AuthLayer, aws_iam::StsIdentity};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StsError> {
//! # let client = service_fn(|_: Request<Empty<Bytes>>| async {
//! #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
//! # });
//!
//! let sts = StsIdentity::new("gateway.example", ["123456789012"], client)?.scopes(["infer"]);
//! let layer = AuthLayer::new(sts);
//! # let service = layer.layer(service_fn(|_: Request<()>| async {
//! #     Ok::<_, Infallible>(Response::new(()))
//! # }));
//! # let request = |token: &str| Request::builder().header("authorization", token).body(()).unwrap();
//! # for (token, status) in [("Bearer aws-sts-v1.aGVsbG8", 401), ("Bearer other", 401)] {
//! #     let response = service.clone().oneshot(request(token)).await.unwrap();
//! #     assert_eq!(response.status(), status);
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! ## What is sent to STS
//!
//! Nothing of the client is forwarded as it is. The URL is parsed and a new request is written:
//!
//! - `https` to port 443 of a host of STS, of a partition with an allowed account. Its region is the one
//!   in the credential scope.
//! - The path `/`, and each of the parameters `Action=GetCallerIdentity`, `Version=2011-06-15` and
//!   `X-Amz-…` once, whatever the case of its letters. Another parameter rejects the token.
//! - The headers `accept: application/json` and the server id, and no others. Both `host` and the server
//!   id must be signed, and nothing else.
//!
//! Redirects are not followed. The response is JSON of at most 16 KiB. A token is valid for 15 minutes
//! from its `X-Amz-Date` at most, and no longer than its `X-Amz-Expires`.
//!
//! ## Identity
//!
//! The identity has [`Proof::AwsIam`](crate::identity::Proof::AwsIam), the issuer `aws-sts` and the
//! account as its tenant. The claims are `account`, `arn`, `user_id` and, for a session, `session`.
//!
//! | caller | subject |
//! |---|---|
//! | user | `arn:aws:iam::123456789012:user/path/name` |
//! | role | `arn:aws:iam::123456789012:role/name`, without the path of the role |
//! | root | `arn:aws:iam::123456789012:root` |
//! | federated user | `arn:aws:sts::123456789012:federated-user` |
//!
//! The name of a session is no part of the subject, because the one who starts the session chooses it. A
//! pattern over subjects never matches it.
//!
//! ## Calls
//!
//! Requests with one token share one call. Its result is used until the token expires. A refusal is used
//! for 10 seconds and a failure for one second. One address may cause 30 calls in a minute
//! ([`StsIdentity::max_calls_per_address`]). A layer with several kinds of credentials must have this one
//! before one that takes every opaque token, such as `Introspection`.
//!
//! # Rejections
//!
//! | request | rejection |
//! |---|---|
//! | unknown access key, other session token or other signature | 401 `invalid-signature`, the same response for all |
//! | malformed, expired or repeated signature, other scope or unsigned host or date | 401 `invalid-signature` with the reason |
//! | body with another digest than the declared one | 401 `invalid-signature` |
//! | body beyond the bounds of [`SignedBodyLayer`] | 413 `payload-too-large`, 408 `payload-timeout` or 503 `overloaded` |
//! | signed request without [`SignedBodyLayer`] outside of `AuthLayer` | 500 `misconfigured`; the log has the remedy once |
//! | failing [`CredentialStore`] | 503 `identity-provider-unavailable` |
//! | token that is malformed or that STS refuses | 401 `invalid-token` |
//! | expired token | 401 `expired-token` |
//! | account that is not allowed | 403 `forbidden` |
//! | too many new tokens from one address | 429 `throttled` |
//! | STS does not respond as expected | 503 `identity-provider-unavailable` |
//!
//! # Caveats
//!
//! - An access key id is no secret. A client can find out whether one exists by sending a body that never
//!   ends: only a known access key waits for it.
//! - With a [`CredentialStore`], a client that sends many different access key ids causes a look-up for
//!   each. Count failed authentications by address in front of the layer.
//! - A captured request can be repeated for 5 minutes, see [`SigV4::reject_replays`]. A captured STS token
//!   can be used until it expires. Serve with TLS.
//! - Another server that receives a signed request can send it here, see [`SigV4::hosts`].
//! - Headers that are not signed can be changed on the way. So can the order of the query's parameters.
//! - curl 7.88 signs a query unsorted, an encoded path without encoding it once more and an upload with
//!   `-T` as if it was empty. Such requests are rejected, here and by AWS. Sort the query and send bodies
//!   with `--data-binary`.
//! - SigV4A (`AWS4-ECDSA-P256-SHA256`) and chunked signatures are not supported.
//! - A request without `x-amz-content-sha256` needs its whole body in memory before it is verified.
//! - A caller of [`StsIdentity`] whose role is deleted is accepted until its token expires.
//! - The client of [`StsIdentity`] must not follow redirects. `HttpsClient` does not.

mod encoding;
mod signed_body;
mod sigv4;
mod sts;
mod timestamp;

pub use self::{
    signed_body::{HoldSignedBody, SignedBody, SignedBodyLayer},
    sigv4::{
        CredentialFile, CredentialLookup, CredentialStore, SigV4, SigningCredential,
        SigningCredentialError, SigningCredentials, SigningKey, SigningScope,
    },
    sts::{StsError, StsIdentity},
};
