//! What the demo prints: what it is, where it is, and commands to paste.

use std::fmt;

use super::{Demo, upstream::CALL};
use crate::args::{Cache, CacheScope, Limits};

/// The largest burst that a command to paste goes beyond.
const MAX_BURST: u32 = 100;

/// The demo as seen from its gateway at `url`.
pub(crate) struct Banner<'a> {
    pub(crate) demo: &'a Demo,
    pub(crate) url: &'a str,
    /// The gateway's own certificate, if it serves TLS.
    pub(crate) cacert: Option<&'a str>,
    pub(crate) max_body: u64,
    /// Whether bodies are held to schemas.
    pub(crate) schema: bool,
    pub(crate) limits: &'a Limits,
    pub(crate) cache: Option<&'a Cache>,
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
                "\n# 422, with a body that breaks its schema:\n\
                 {curl} -i {chat} {auth} {json} -d '{{\"model\":\"demo\",\"messages\":\"Hello\"}}'\n"
            ),
            false => String::new(),
        };
        let Limits { rate, burst, quota, token_budget, .. } = self.limits;
        let limited = rate.is_some() || quota.is_some() || token_budget.is_some();
        let left = match limited {
            true => format!(
                "\n# What is left of the limits, in fields of the answer:\n\
                 {curl} -o /dev/null -D - {chat} {auth} {json} -d '{{\"model\":\"demo\",{hello}}}' | grep -i ratelimit\n"
            ),
            false => String::new(),
        };
        let beyond = match burst.filter(|burst| *burst <= MAX_BURST) {
            // Some grow back while the first are answered.
            Some(burst) => format!(
                "\n# 429 beyond the burst, and after how many seconds to come again:\n\
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
        write!(
            f,
            r#"
This is the demo. Its upstream has no model, and its issuer is gone with this process.
  demo upstream  {upstream}  (wants a token that only the gateway has)
  demo issuer    {issuer}

# Paste these first: a token with the scope that is required, and one without. They last an hour.
TOKEN={token}
TOKEN_WITHOUT_SCOPE={token_without_scope}

# An answer:
{curl} {chat} {auth} {json} -d '{{"model":"demo",{hello}}}'

# A stream:
{curl} -N {chat} {auth} {json} -d '{{"model":"demo","stream":true,{hello}}}'

# 401, without a token:
{curl} -i {chat} {json} -d '{{"model":"demo",{hello}}}'

# 403, with a token that lacks the scope:
{curl} -i {chat} -H "authorization: Bearer $TOKEN_WITHOUT_SCOPE" {json} -d '{{"model":"demo",{hello}}}'

# 413, with a body beyond the limit:
head -c {too_much} /dev/zero | {curl} -i {chat} {auth} {json} --data-binary @-
{wrong}{again}{left}{beyond}
# Another token, when this one has expired:
curl -sS {issuer}/token -d grant_type=client_credentials -d client_id={id} -d client_secret={secret}

"#
        )
    }
}

/// What the cache does, shown by which call of the upstream an answer is from.
fn again(cache: &Cache, curl: &str) -> String {
    let told = match cache.scope {
        CacheScope::Identity => ": %header{cache-status}, age %header{age}",
        // Not told: it would tell one caller what another has asked.
        CacheScope::Tenant | CacheScope::Shared => "",
    };
    let told = format!(r"-w 'upstream call %header{{{CALL}}}{told}, %{{time_total}} s\n'");
    let ask = |members: &str| {
        format!(
            r#"{curl} {told} -d '{{"model":"demo","temperature":0,{members},"messages":[{{"role":"user","content":"Once more!"}}]}}'"#
        )
    };
    format!(
        "\n# A hit. Asked twice, and the upstream once:\n\
         for n in 1 2; do {} -o /dev/null; done\n\
         \n# A replayed stream. First as it comes, then at once:\n\
         for n in 1 2; do {} -N; done\n\
         \n# A shared call. Two at the same time, and the upstream called once:\n\
         (for n in 1 2; do {} -N -o /dev/null & done; wait)\n",
        ask(r#""seed":1"#),
        ask(r#""seed":2,"stream":true"#),
        ask(r#""seed":3,"stream":true"#),
    )
}
