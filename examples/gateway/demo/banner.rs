//! The text that the demo prints: its addresses and commands to paste.

use std::{fmt, path::Path};

use super::{Demo, upstream::CALL};
use crate::args::{Cache, CacheScope, Limits};

/// The largest burst for which a command is printed.
const MAX_BURST: u32 = 100;

/// The banner of a demo with its gateway at `url`.
pub(crate) struct Banner<'a> {
    pub(crate) demo: &'a Demo,
    pub(crate) url: &'a str,
    /// The gateway's certificate if it serves TLS.
    pub(crate) cacert: Option<&'a str>,
    pub(crate) max_body: u64,
    /// Whether bodies are validated.
    pub(crate) schema: bool,
    pub(crate) limits: &'a Limits,
    pub(crate) cache: Option<&'a Cache>,
    /// The file of the access log.
    pub(crate) log: Option<&'a Path>,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { demo, url, max_body, .. } = self;
        let Demo { upstream, issuer, token, token_without_scope, client: (id, secret), .. } = demo;
        let curl = match self.cacert {
            None => "curl -sS".to_owned(),
            Some(file) => format!("curl -sS --cacert '{}'", file.replace('\'', r"'\''")),
        };
        let chat = format!("{url}/v1/chat/completions");
        let auth = r#"-H "authorization: Bearer $TOKEN""#;
        let json = "-H 'content-type: application/json'";
        let hello = r#""messages":[{"role":"user","content":"Hello, gateway!"}]"#;
        let too_much = max_body.saturating_add(1);
        let wrong = match self.schema {
            true => format!(
                "\n# 422, for a body that does not match the schema:\n\
                 {curl} -i {chat} {auth} {json} -d '{{\"model\":\"demo\",\"messages\":\"Hello\"}}'\n"
            ),
            false => String::new(),
        };
        let Limits { rate, burst, quota, token_budget, .. } = self.limits;
        let limited = rate.is_some() || quota.is_some() || token_budget.is_some();
        let left = match limited {
            true => format!(
                "\n# The remaining permits, in headers of the response:\n\
                 {curl} -o /dev/null -D - {chat} {auth} {json} -d '{{\"model\":\"demo\",{hello}}}' | grep -i ratelimit\n"
            ),
            false => String::new(),
        };
        let beyond = match burst.filter(|burst| *burst <= MAX_BURST) {
            // Some permits grow back meanwhile.
            Some(burst) => format!(
                "\n# 429 beyond the burst, with the seconds to wait:\n\
                 {curl} -o /dev/null -w '%{{http_code}} %header{{ratelimit}} %header{{retry-after}}\\n' \
                 '{chat}?try=[1-{}]' {auth} {json} -d '{{\"model\":\"demo\",{hello}}}'\n",
                burst.saturating_mul(2)
            ),
            None => String::new(),
        };
        let again = match self.cache {
            Some(cache) => again(cache, &format!("{curl} {chat} {auth} {json}")),
            None => String::new(),
        };
        let log = match self.log {
            Some(file) => format!("\n  access log     {}", file.display()),
            None => String::new(),
        };
        write!(
            f,
            r#"
This is the demo. Its upstream has no model. Upstream and issuer end with this process.
  demo upstream  {upstream}  (needs a token that only the gateway has)
  demo issuer    {issuer}{log}

# Paste these first: a token with the required scope and a token without it. They last an hour.
TOKEN={token}
TOKEN_WITHOUT_SCOPE={token_without_scope}

# A response:
{curl} {chat} {auth} {json} -d '{{"model":"demo",{hello}}}'

# A stream:
{curl} -N {chat} {auth} {json} -d '{{"model":"demo","stream":true,{hello}}}'

# 401, for a request without a token:
{curl} -i {chat} {json} -d '{{"model":"demo",{hello}}}'

# 403, for a token without the scope:
{curl} -i {chat} -H "authorization: Bearer $TOKEN_WITHOUT_SCOPE" {json} -d '{{"model":"demo",{hello}}}'

# 413, for a body beyond the limit:
head -c {too_much} /dev/zero | {curl} -i {chat} {auth} {json} --data-binary @-
{wrong}{again}{left}{beyond}
# A new token, after an hour:
curl -sS {issuer}/token -d grant_type=client_credentials -d client_id={id} -d client_secret={secret}

"#
        )
    }
}

/// Returns commands that show the cache by the number of the upstream call.
fn again(cache: &Cache, curl: &str) -> String {
    let status = match cache.scope {
        CacheScope::Identity => ": %header{cache-status}, age %header{age}",
        // The header would reveal what another caller has requested.
        CacheScope::Tenant | CacheScope::Shared => "",
    };
    let format = format!(r"-w 'upstream call %header{{{CALL}}}{status}, %{{time_total}} s\n'");
    let request = |members: &str| {
        format!(
            r#"{curl} {format} -d '{{"model":"demo","temperature":0,{members},"messages":[{{"role":"user","content":"Once more!"}}]}}'"#
        )
    };
    format!(
        "\n# A hit. Two requests and one upstream call:\n\
         for n in 1 2; do {} -o /dev/null; done\n\
         \n# A replayed stream. The first has pauses and the second comes at once:\n\
         for n in 1 2; do {} -N; done\n\
         \n# A shared call. Two requests at a time and one upstream call:\n\
         (for n in 1 2; do {} -N -o /dev/null & done; wait)\n",
        request(r#""seed":1"#),
        request(r#""seed":2,"stream":true"#),
        request(r#""seed":3,"stream":true"#),
    )
}
