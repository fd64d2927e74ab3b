//! Flags of the callers.

use super::{
    super::{
        Parts,
        tests::{refused, served},
    },
    *,
};

const UPSTREAM: &str = "--upstream https://u.example --hf-token-env T";

fn callers(flags: &str) -> Callers {
    match served(&format!("{UPSTREAM} {flags}")).parts {
        Parts::Real { callers, .. } => callers,
        Parts::Demo => panic!("demo"),
    }
}

fn wrong(flags: &str) -> String {
    let message = refused(&format!("{UPSTREAM} {flags}"));
    message.replace("these flags turn the demo off and need also ", "")
}

fn issuer(url: &str, audience: &str) -> Issuer {
    Issuer {
        url: url.to_owned(),
        preset: None,
        keys: Keys::Discovered,
        keys_cooldown: Duration::from_secs(30),
        audiences: vec![audience.to_owned()],
        scopes: vec![],
        tenant_claim: Some("tenant".to_owned()),
        leeway: None,
    }
}

#[test]
fn each_issuer_has_the_flags_behind_it() {
    let expected = Issuer {
        preset: Some(Provider::Cognito),
        keys: Keys::Url("https://b.example/k".to_owned()),
        tenant_claim: None,
        leeway: Some(Duration::from_secs(5)),
        scopes: vec!["s".to_owned(), "t".to_owned()],
        ..issuer("https://b.example", "b")
    };
    let flags = "--issuer https://a.example --audience a --issuer https://b.example --preset cognito \
                 --jwks https://b.example/k --audience b --scope s --scope t --leeway 5s";
    assert_eq!(callers(flags).issuers, [issuer("https://a.example", "a"), expected]);
    let flags = "--audience a --issuer https://a.example --issuer https://b.example --audience b";
    assert!(wrong(flags).starts_with("with several --issuer put each flag"));
    let flags = "--issuer https://a.example --audience a --issuer https://a.example --audience b";
    assert_eq!(wrong(flags), "--issuer https://a.example was given twice");
    let flags = "--issuer https://a.example --issuer https://b.example --audience b";
    assert_eq!(wrong(flags), "--audience");
}

#[test]
fn flags_of_one_issuer_may_stand_before_it() {
    let flags = "--jwks k --audience a --issuer https://a.example --audience b";
    let expected = Issuer {
        keys: Keys::File("k".into()),
        audiences: vec!["a".to_owned(), "b".to_owned()],
        ..issuer("https://a.example", "")
    };
    assert_eq!(callers(flags).issuers, [expected]);
    assert_eq!(
        wrong("--jwks k --issuer https://a.example --jwks l --audience a"),
        "--jwks was given twice"
    );
}

#[test]
fn callers_need_no_issuer() {
    assert_eq!(callers("--api-keys k.json").api_keys, Some("k.json".into()));
    let iam = Iam { credentials: "c.json".into(), region: "eu-west-1".to_owned() };
    let flags = "--iam-credentials c.json --iam-region eu-west-1";
    assert_eq!(callers(flags).iam, Some(iam));
    let sts = Sts {
        server_id: "gateway.example".to_owned(),
        accounts: vec!["111122223333".to_owned(), "444455556666".to_owned()],
        endpoint: None,
    };
    let flags = "--sts-server-id gateway.example --sts-accounts 111122223333,444455556666";
    assert_eq!(callers(flags).sts, Some(sts));

    assert_eq!(
        wrong("--iam-region eu-west-1"),
        "--iam-credentials and --iam-region need each other"
    );
    assert!(wrong("--issuer https://a.example --preset cognit").starts_with("--preset: "));
    assert_eq!(wrong("--sts-server-id g"), "--sts-accounts");
    assert_eq!(wrong("--sts-accounts 111122223333"), "--sts-server-id");
    assert_eq!(
        wrong("--sts-accounts 1"),
        "--sts-accounts expects account ids of 12 digits, not `1`"
    );
    assert_eq!(
        wrong("--issuer https://a.example --audience a --leeway 6m"),
        "--leeway must not exceed 5m"
    );
}

#[test]
fn each_flag_of_callers_turns_the_demo_off() {
    for flags in [
        "--api-keys f",
        "--iam-credentials f --iam-region r",
        "--sts-server-id g --sts-accounts 111122223333",
        "--issuer https://a.example --audience a",
    ] {
        let missing = refused(flags);
        assert!(missing.ends_with("--upstream, --hf-token-env or --hf-token-file"), "{missing}");
    }
}
