use tower_inference::limits::Rate;

use super::*;

fn parse_words(line: &str) -> Result<Command, UsageError> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    parse(words)
}

pub(super) fn served(line: &str) -> Serve {
    match parse_words(line) {
        Ok(Command::Serve(serve)) => *serve,
        other => panic!("{other:?}"),
    }
}

pub(super) fn refused(line: &str) -> String {
    parse_words(line).unwrap_err().0
}

/// The demo's cache.
const CACHE: Cache = Cache {
    ttl: Duration::from_secs(300),
    scope: CacheScope::Identity,
    max_bytes: None,
    max_shared: None,
};

const REAL: &str = "--upstream https://u.example --hf-token-env T --issuer https://i.example \
    --audience a";

#[test]
fn without_flags_the_demo_has_the_defaults_of_the_help() {
    let expected = Serve {
        listen: "127.0.0.1:8080".to_owned(),
        tls: None,
        admin: None,
        max_body: 10 * 1024 * 1024,
        max_bodies: 256 * 1024 * 1024,
        slots: Slots {
            max_connections: 4096,
            max_connections_per_address: 1024,
            max_in_flight: None,
            upstream_slots: 1024,
            upstream_queue: 0,
            queue_timeout: None,
            caller_share: 25,
            reader_timeout: Duration::from_secs(60),
        },
        head_timeout: Duration::from_secs(10),
        drain: Duration::from_secs(30),
        threads: None,
        access_log: AccessLog::default(),
        audit: None,
        schema: None,
        without_bounds: Vec::new(),
        max_tokens: None,
        limits: Limits::default(),
        cache: Some(CACHE),
        redis: None,
        client: Client::default(),
        fallback: Fallback::default(),
        scrub_bodies: false,
        parts: Parts::Demo,
    };
    assert_eq!(served(""), expected);
}

#[test]
fn flags_set_the_keep_alive_and_the_retry_of_upstream_connections() {
    let client = Client {
        keep_alive: Some(Duration::from_secs(2)),
        retry: Some(Duration::ZERO),
        ..Client::default()
    };
    assert_eq!(served("--upstream-keep-alive 2s --upstream-retry 0s").client, client);
    let wanted = "--upstream-keep-alive expects a time such as 30s, not `x`";
    assert_eq!(refused("--upstream-keep-alive x"), wanted);
    assert!(refused("--upstream-retry 1s --upstream-retry 2s").contains("given twice"));
}

#[test]
fn every_deadline_of_the_upstream_has_a_flag() {
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    let given = served(
        "--upstream-connect-timeout 1m --upstream-head-timeout 2m --upstream-first-byte-timeout 3m \
         --upstream-idle-timeout 4m --upstream-total-timeout 1h",
    );
    let deadlines = Deadlines {
        head: minutes(2),
        first_byte: minutes(3),
        idle: minutes(4),
        total: minutes(60),
    };
    let client = Client { connect_timeout: minutes(1), deadlines, ..Client::default() };
    assert_eq!(given.client, client);
    for flag in client::FLAGS {
        assert!(HELP.contains(&format!("  {flag} TIME")), "{flag}");
        assert!(refused(&format!("{flag} 1s {flag} 1s")).contains("given twice"), "{flag}");
        if flag.ends_with("-timeout") {
            let wanted =
                format!("{flag} expects a time above zero with its unit, such as 5m, not `0s`");
            assert_eq!(refused(&format!("{flag} 0s")), wanted);
        }
    }
}

#[test]
fn flags_of_serving_leave_the_demo_as_it_is() {
    let serve = served(
        "--listen 0.0.0.0:1 --threads 3 --max-body=1KiB --drain 0s --head-timeout 1m \
         --access-log off --tls-cert c --tls-key k",
    );
    assert_eq!(serve.parts, Parts::Demo);
    assert_eq!((serve.max_body, serve.drain), (1024, Duration::ZERO));
    assert_eq!(served("--max-bodies 1GiB").max_bodies, 1 << 30);
    assert_eq!(serve.threads.map(NonZeroUsize::get), Some(3));
    assert_eq!(serve.tls, Some(TlsFiles { cert: "c".into(), key: "k".into() }));
}

#[test]
fn the_access_log_has_a_place_a_format_and_a_share() {
    let log = |flags: &str| served(flags).access_log;
    assert_eq!(log("--access-log stdout").to, Some(LogPlace::Stdout));
    assert_eq!(log("--access-log f").to, Some(LogPlace::File("f".into())));
    for (name, format) in [
        ("json", LogFormat::Json),
        ("apigateway", LogFormat::ApiGateway),
        ("otel", LogFormat::OpenTelemetry),
        ("clf", LogFormat::Common),
        ("combined", LogFormat::Combined),
        ("emf", LogFormat::Emf),
    ] {
        assert_eq!(log(&format!("--access-log-format {name}")).format, format);
        assert!(HELP.contains(&format!("\n                          {name} ")), "{name}");
    }
    assert_eq!(
        refused("--access-log-format xml"),
        "--access-log-format expects json, apigateway, otel, clf, combined or emf, not `xml`"
    );
    assert_eq!(log("--access-log-sample 10").sample, Some(10));
    for wrong in ["101", "-1", "0.1", "10%"] {
        let refused = refused(&format!("--access-log-sample {wrong}"));
        assert!(refused.contains("expects a percentage from 0 to 100"), "{refused}");
    }
    assert!(HELP.contains("--access-log-sample PERCENT"));
}

#[test]
fn an_audit_trail_needs_its_key() {
    let serve = served("--audit a.jsonl --audit-key k");
    assert_eq!(serve.audit, Some(Audit { file: "a.jsonl".into(), key: "k".into() }));
    for one in ["--audit a", "--audit-key k"] {
        assert_eq!(refused(one), "--audit and --audit-key need each other");
    }
    assert!(refused("--audit a --audit b").contains("given twice"));
}

#[test]
fn bodies_are_validated_by_flag() {
    assert_eq!(served("--schema builtin").schema, Some(Schema::Builtin));
    assert_eq!(served("--schema s.json").schema, Some(Schema::File("s.json".into())));
    assert_eq!(served("--max-tokens 512").max_tokens.map(NonZeroU32::get), Some(512));
    assert_eq!(
        refused("--max-tokens 0"),
        "--max-tokens expects a number that is not zero, not `0`"
    );
}

#[test]
fn tokens_are_masked_in_bodies_by_flag() {
    assert!(served("--scrub-bodies").scrub_bodies);
    assert_eq!(
        refused("--scrub-body"),
        "--scrub-body is not a flag of this gateway; `--scrub-bodies` is near"
    );
    let value = refused("--scrub-bodies=yes");
    assert!(value.contains("unexpected argument"), "{value}");
}

#[test]
fn slots_are_counts_and_a_share() {
    let slots = |line: &str| served(line).slots;
    let few = slots("--max-connections 10");
    assert_eq!((few.max_connections, few.max_connections_per_address), (10, 3));
    let all = slots(
        "--max-connections-per-address 7 --max-in-flight 8 --upstream-slots 2k --caller-share 100 \
         --reader-timeout 300ms",
    );
    assert_eq!(all.max_connections_per_address, 7);
    assert_eq!((all.max_in_flight, all.upstream_slots), (Some(8), 2_000));
    assert_eq!((all.caller_share, all.reader_timeout), (100, Duration::from_millis(300)));
    for wrong in ["0", "101", "25%", "300"] {
        let expected = format!("--caller-share expects a percentage from 1 to 100, not `{wrong}`");
        assert_eq!(refused(&format!("--caller-share {wrong}")), expected);
    }
    assert_eq!(
        refused("--reader-timeout 0s"),
        "--reader-timeout expects a time such as 60s, not `0s`"
    );
    let queue = slots("--upstream-queue 50 --upstream-queue-timeout 3s");
    assert_eq!((queue.upstream_queue, queue.queue_timeout), (50, Some(Duration::from_secs(3))));
    assert_eq!(
        refused("--upstream-queue-timeout 3s"),
        "--upstream-queue-timeout needs --upstream-queue"
    );
    assert_eq!(
        refused("--upstream-slots 0"),
        "--upstream-slots expects a number that is not zero, not `0`"
    );
}

#[test]
fn limits_are_rates_quotas_and_budgets() {
    use tower_inference::limits::{Quota, Rate};

    let rate = |line: &str| served(line).limits.rate.unwrap();
    assert_eq!(rate("--rate 10/s --burst 20"), Rate::per_second(10).burst(20));
    assert_eq!(rate("--burst 20 --rate 10/min"), Rate::per_minute(10).burst(20));
    assert_eq!((rate("--rate 1/h"), rate("--rate 1/day")), (Rate::per_hour(1), Rate::per_day(1)));
    let quota = |line: &str| served(line).limits.quota.unwrap();
    assert_eq!(quota("--quota 10000/day"), Quota::per_day(10_000));
    assert_eq!(quota("--quota 50k/week"), Quota::per_week(50_000));
    assert_eq!(quota("--quota 1M/month"), Quota::per_month(1_000_000));
    let budget = served("--token-budget 100k/min").limits.token_budget;
    assert_eq!(budget, Some(Rate::per_minute(100_000)));

    assert_eq!(refused("--burst 5"), "--burst needs --rate");
    assert_eq!(refused("--rate 1/s --rate 2/s"), "--rate was given twice");
    for wrong in ["10", "0/s", "/s", "10/", "10/week", "1.5/s", "5000M/s"] {
        let expected = format!("--rate expects a rate such as 10/s, not `{wrong}`");
        assert_eq!(refused(&format!("--rate {wrong}")), expected);
    }
    assert_eq!(refused("--quota 1/s"), "--quota expects a quota such as 10000/day, not `1/s`");
    assert_eq!(
        refused("--token-budget 9/week"),
        "--token-budget expects a budget such as 100k/min, not `9/week`"
    );
}

#[test]
fn real_parts_replace_the_whole_demo() {
    let Parts::Real { upstreams, callers } = served(REAL).parts else { panic!("demo") };
    let [upstream] = &*upstreams else { panic!("one upstream") };
    assert_eq!(upstream.url, "https://u.example");
    assert_eq!(upstream.token, TokenPlace::Env("T".to_owned()));
    assert_eq!(callers.issuers.len(), 1);
    assert_eq!(callers.api_keys, None);
}

#[test]
fn most_flags_may_not_be_repeated() {
    assert_eq!(refused("--drain 1s --drain 1s"), "--drain was given twice");
    assert_eq!(refused("--rate 1/s --rate 1/s"), "--rate was given twice");
}

#[test]
fn missing_real_parts_are_named() {
    let missing = |line| refused(line).replace("these flags turn the demo off and need also ", "");
    assert_eq!(
        missing("--upstream https://u.example"),
        "--hf-token-env or --hf-token-file, --issuer, --api-keys, --iam-credentials or \
         --sts-server-id"
    );
    assert_eq!(
        missing("--issuer https://i.example --audience a"),
        "--upstream, --hf-token-env or --hf-token-file"
    );
    for alone in ["--jwks f", "--jwks-cooldown 1s", "--scope s", "--tenant-claim t"] {
        assert_eq!(
            missing(alone),
            "--upstream, --hf-token-env or --hf-token-file, --issuer, --audience",
            "{alone}"
        );
    }
    assert_eq!(
        missing("--check --upstream https://u.example"),
        "--hf-token-env or --hf-token-file"
    );
}

#[test]
fn contradictions_are_refused() {
    assert_eq!(
        refused("--hf-token-env A --hf-token-file b"),
        "give either --hf-token-env or --hf-token-file"
    );
    assert_eq!(refused("--tls-cert c"), "--tls-cert and --tls-key need each other");
    assert_eq!(refused("--check-model m"), "--check-model needs --check");
}

#[test]
fn invalid_values_are_rejected_with_the_expected_form() {
    assert_eq!(refused("--max-body 0"), "--max-body expects a size such as 10MiB, not `0`");
    assert_eq!(refused("--drain 30"), "--drain expects a time such as 30s, not `30`");
    assert_eq!(refused("--threads 0"), "--threads expects a number that is not zero, not `0`");
    assert_eq!(refused("--head-timeout 0s"), "--head-timeout must not be zero");
    assert_eq!(
        refused("--jwks-cooldown 999ms"),
        "--jwks-cooldown expects a time from 1s to 1h, not `999ms`"
    );
    assert_eq!(refused("--listen"), "missing argument for option '--listen'");
    assert_eq!(refused("--listen="), "--listen needs a value");
    assert_eq!(refused("--lisen x"), "--lisen is not a flag of this gateway; `--listen` is near");
    assert_eq!(
        refused("--idle-timeout 1m"),
        "--idle-timeout is not a flag of this gateway; `--upstream-idle-timeout` is near"
    );
    assert_eq!(refused("--unheard-of x"), "--unheard-of is not a flag of this gateway");
    assert_eq!(refused("x"), "expected a flag and found a value");
    assert_eq!(
        refused("--drain 1s x"),
        "expected a flag and found a value after --drain; quote a value with spaces"
    );
    assert_eq!(refused("--drain 1s --scrub-bodies yes"), "--scrub-bodies takes no value");
    for address in ["8080", ":8080", "localhost", "http://127.0.0.1:8080", "127.0.0.1:99999"] {
        let wants = format!("--listen expects an address such as 127.0.0.1:8080, not `{address}`");
        assert_eq!(refused(&format!("--listen {address}")), wants);
    }
    for address in ["0.0.0.0:1", "[::1]:0", "localhost:8080"] {
        assert_eq!(served(&format!("--listen {address}")).listen, address);
    }
}

#[test]
fn a_token_in_place_of_its_variable_is_refused_and_not_repeated() {
    for token in ["hf_exampleExample", "sk-example", "a.b.c"] {
        let said = refused(&format!("--hf-token-env {token}"));
        assert!(said.contains("the name of a variable") && !said.contains(token), "{said}");
    }
    let said = parse(["--scope", "infer models:read"]).unwrap_err().0;
    assert_eq!(said, "--scope expects one scope, not `infer models:read`; repeat the flag");
}

#[test]
fn limits_are_shared_where_a_server_is_named() {
    let limit = "--rate 1/s --redis-limits redis://h --redis-secret-env S";
    let redis = Redis {
        limits: Some("redis://h".to_owned()),
        cache: None,
        secret: SecretPlace::Env("S".to_owned()),
        replicas: None,
        lease: None,
        wait: None,
    };
    assert_eq!(served(limit).redis, Some(redis.clone()));
    let more = format!("{limit} --redis-replicas 3 --redis-lease 20 --redis-wait 50ms");
    let expected = Redis {
        replicas: NonZeroU32::new(3),
        lease: NonZeroU32::new(20),
        wait: Some(Duration::from_millis(50)),
        ..redis.clone()
    };
    assert_eq!(served(&more).redis, Some(expected));
    let both = served(&format!("{limit} --redis-cache redis://c")).redis.unwrap();
    assert_eq!(both, Redis { cache: Some("redis://c".to_owned()), ..redis });
    let file = "--quota 1/day --redis-limits redis://h --redis-secret-file f";
    assert_eq!(served(file).redis.unwrap().secret, SecretPlace::File("f".into()));

    assert_eq!(
        refused("--rate 1/s --redis-limits redis://h"),
        "--redis-limits and --redis-cache want one of --redis-secret-env and --redis-secret-file"
    );
    for flag in ["--redis-lease", "--redis-replicas"] {
        let expected = format!("{flag} needs --redis-limits");
        assert_eq!(refused(&format!("{flag} 2")), expected);
        let cached = format!("--redis-cache redis://c --redis-secret-env S {flag} 2");
        assert_eq!(refused(&cached), expected);
    }
    let wait = "--redis-wait needs --redis-limits or --redis-cache";
    assert_eq!(refused("--redis-wait 5ms"), wait);
    let alone = "--redis-limits redis://h --redis-secret-env S";
    assert_eq!(refused(alone), "--redis-limits needs a limit to share");
    let cache = "--redis-cache redis://c --redis-secret-env S";
    for nothing in [format!("{cache} --cache-ttl 0s"), format!("{REAL} {cache}")] {
        assert_eq!(refused(&nothing), "--redis-cache needs --cache-ttl");
    }
    for cache in [cache.to_owned(), format!("{REAL} {cache} --cache-ttl 1s")] {
        assert!(served(&cache).redis.unwrap().limits.is_none(), "{cache}");
    }
    assert_eq!(
        refused("--redis redis://h"),
        "--redis is not a flag of this gateway; `--redis-cache` is near"
    );
}

#[test]
fn the_cache_is_on_in_the_demo_and_by_flag() {
    assert_eq!(served(REAL).cache, None);
    let real = served(&format!("{REAL} --cache-ttl 5m"));
    assert_eq!(real.cache, Some(CACHE));
    let more = "--cache-max 256MiB --cache-max-shared 32MiB --cache-scope tenant --cache-ttl 90s";
    let all = served(&format!("{REAL} {more}"));
    let expected = Cache {
        ttl: Duration::from_secs(90),
        scope: CacheScope::Tenant,
        max_bytes: Some(256 << 20),
        max_shared: Some(32 << 20),
    };
    assert_eq!(all.cache, Some(expected));
    let shared = Cache { scope: CacheScope::Shared, ..CACHE };
    assert_eq!(served("--cache-scope shared").cache, Some(shared));
    assert_eq!(served("--cache-scope identity").cache, Some(CACHE));
    // A time of zero turns it off in any case.
    for off in ["--cache-ttl 0s".to_owned(), format!("{REAL} --cache-ttl 0ms --cache-max 1KiB")] {
        assert_eq!(served(&off).cache, None, "{off}");
    }

    for flag in ["--cache-scope shared", "--cache-max 1GiB", "--cache-max-shared 1GiB"] {
        let name = flag.split(' ').next().unwrap();
        assert_eq!(refused(&format!("{REAL} {flag}")), format!("{name} needs --cache-ttl"));
    }
    assert_eq!(
        refused("--cache-ttl 300"),
        "--cache-ttl expects a time such as 5m, or 0s for off, not `300`"
    );
    assert_eq!(
        refused("--cache-scope Shared"),
        "--cache-scope expects identity, tenant or shared, not `Shared`"
    );
    assert_eq!(refused("--cache-max 0"), "--cache-max expects a size such as 256MiB, not `0`");
    assert_eq!(refused("--cache-ttl 1m --cache-ttl 0s"), "--cache-ttl was given twice");
}

#[test]
fn failed_authentications_are_limited_by_address() {
    let limits =
        served("--auth-failures 5/min --trusted-proxy 10.0.0.0/8 --trusted-proxy ::1").limits;
    assert_eq!(limits.auth_failures, Some(Rate::per_minute(5)));
    assert_eq!(limits.trusted_proxies, ["10.0.0.0/8", "::1"]);
    // The access log has the address too.
    assert_eq!(served("--rate 1/s --trusted-proxy ::1").limits.trusted_proxies, ["::1"]);
    assert_eq!(
        refused("--auth-failures 5"),
        "--auth-failures expects a rate such as 10/min, not `5`"
    );
}

#[test]
fn flags_of_later_versions_are_rejected_by_name() {
    for flag in RESERVED {
        assert_eq!(
            refused(&format!("{flag} x")),
            format!("{flag} is not available in this version")
        );
        assert!(HELP.contains(flag), "{flag}");
    }
}

#[test]
fn a_profile_is_one_of_the_upstream() {
    let check = "--check --upstream https://u.example --hf-token-file f --profile mistral";
    let Ok(Command::Check { upstreams, .. }) = parse_words(check) else {
        panic!("a check of an upstream");
    };
    assert_eq!(upstreams[0].profile, Some(profile::Kind::Mistral));
    let refused = refused("--profile mistral");
    assert!(refused.contains("--upstream"), "{refused}");
}

#[test]
fn a_bound_is_lifted_of_the_built_in_schemas() {
    let Ok(Command::Serve(serve)) = parse_words("--schema builtin --without-bound stop") else {
        panic!("a demo with schemas");
    };
    assert_eq!(serve.without_bounds, ["stop"]);
    for flags in ["--without-bound stop", "--without-bound stop --schema f.json"] {
        assert_eq!(refused(flags), "--without-bound needs --schema builtin");
    }
}

#[test]
fn a_check_needs_no_callers() {
    let check = parse_words("--check --upstream https://u.example --hf-token-file f");
    let upstream = Upstream {
        name: None,
        url: "https://u.example".to_owned(),
        token: TokenPlace::File("f".into()),
        profile: None,
        bill_to: None,
        check_model: None,
    };
    let expected = Command::Check { upstreams: vec![upstream], model: None, threads: None };
    assert_eq!(check, Ok(expected));
    let demo = Command::Check { upstreams: Vec::new(), model: Some("m".to_owned()), threads: None };
    assert_eq!(parse_words("--check --check-model m"), Ok(demo));
}

#[test]
fn help_wins_and_names_every_flag() {
    assert_eq!(parse_words("--threads 2 --help"), Ok(Command::Help));
    let source = concat!(
        include_str!("args.rs"),
        include_str!("args_cache.rs"),
        include_str!("args_client.rs"),
        include_str!("args_fallback.rs"),
        include_str!("args_limits.rs"),
        include_str!("args_profile.rs"),
        include_str!("args_redis.rs"),
        include_str!("args_upstreams.rs")
    );
    let arms = source.lines().filter_map(|line| line.trim().strip_prefix("\"--"));
    let mut flags = 0;
    for (flag, _) in arms.filter_map(|arm| arm.split_once("\" =>")) {
        assert!(HELP.contains(&format!("--{flag}")), "--{flag} is missing from the help");
        flags += 1;
    }
    assert!(flags > 15, "{flags}");
}

#[test]
fn the_listener_for_operators_is_for_this_machine_unless_asked() {
    let admin = |line: &str| served(line).admin;
    assert_eq!(admin(""), None);
    let listen = || "127.0.0.1:9090".to_owned();
    assert_eq!(admin("--admin 127.0.0.1:9090"), Some(Admin { listen: listen(), remote: false }));
    let remote = "--admin-remote --admin 127.0.0.1:9090";
    assert_eq!(admin(remote), Some(Admin { listen: listen(), remote: true }));
    assert_eq!(refused("--admin-remote"), "--admin-remote needs --admin");
    assert_eq!(
        refused("--admin 9090"),
        "--admin expects an address such as 127.0.0.1:9090, not `9090`"
    );
}
