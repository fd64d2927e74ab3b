use super::{
    super::{
        HELP,
        tests::{refused, served},
    },
    *,
};

const TWO: &str = "--upstream router=https://router.huggingface.co --hf-token-env A \
    --upstream own=https://u.example --hf-token-env B --issuer https://i.example --audience a";
const ONE: &str = "--upstream https://u.example --hf-token-env A --issuer https://i.example \
    --audience a";

fn fallback(line: &str) -> Fallback {
    served(line).fallback
}

fn target(upstream: usize, model: &str) -> Target {
    Target { upstream, model: model.to_owned() }
}

#[test]
fn without_flags_one_upstream_needs_no_fallback() {
    assert_eq!(fallback(ONE), Fallback::default());
    assert!(!fallback(ONE).is_needed(1));
    assert!(fallback(TWO).is_needed(2));
    for flag in [
        "--retry 1",
        "--wait-for-model 2m",
        "--first-content-timeout 20s",
        "--model-alias fast=org/m",
    ] {
        assert!(fallback(&format!("{ONE} {flag}")).is_needed(1), "{flag}");
    }
}

#[test]
fn an_alias_lists_its_targets_in_their_order() {
    let line = format!(
        "{TWO} --model-alias smart=router/org/name:groq,own/m,router/name --model-alias b=own/org/m"
    );
    let smart = vec![target(0, "org/name:groq"), target(1, "m"), target(0, "name")];
    let aliases = [
        Alias { name: "smart".to_owned(), targets: smart },
        Alias { name: "b".to_owned(), targets: vec![target(1, "org/m")] },
    ];
    assert_eq!(fallback(&line).aliases, aliases);
    // With one upstream the whole text is the model's name.
    let one = fallback(&format!("{ONE} --model-alias a=org/m,m2")).aliases;
    assert_eq!(one[0].targets, [target(0, "org/m"), target(0, "m2")]);
    // The demo's upstream is the only one too.
    assert_eq!(fallback("--model-alias a=demo").aliases[0].targets, [target(0, "demo")]);
}

#[test]
fn an_unclear_alias_is_refused() {
    for (alias, expected) in [
        ("a", "--model-alias expects ALIAS=[UPSTREAM/]MODEL[,…], not `a`"),
        ("=own/m", "--model-alias expects ALIAS=[UPSTREAM/]MODEL[,…], not `=own/m`"),
        ("a=", "--model-alias expects ALIAS=[UPSTREAM/]MODEL[,…], not `a=`"),
        ("a=own/m,", "--model-alias expects ALIAS=[UPSTREAM/]MODEL[,…], not `a=own/m,`"),
        ("a=own/", "--model-alias: `own/` names no model"),
        (
            "a=rooter/org/m",
            "--model-alias: `rooter/org/m` names no upstream; begin it with one of router, own, and \
             a slash",
        ),
        ("a=own/m --model-alias a=own/n", "--model-alias a was given twice"),
    ] {
        assert_eq!(refused(&format!("{TWO} --model-alias {alias}")), expected, "{alias}");
    }
}

#[test]
fn flags_set_retries_and_waits() {
    let all = fallback(&format!(
        "{ONE} --retry 2 --retry-max-attempts 5 --retry-budget 10 --retry-cool-down 3s \
         --retry-max-cool-down 30s --first-content-timeout 20s --wait-for-model 2m --hide-target"
    ));
    let expected = Fallback {
        aliases: Vec::new(),
        retries: Some(2),
        max_attempts: Some(5),
        budget: Some(10),
        cool_down: Some(Duration::from_secs(3)),
        max_cool_down: Some(Duration::from_secs(30)),
        first_content_timeout: Some(Duration::from_secs(20)),
        wait_for_model: Some(Duration::from_secs(120)),
        hide_target: true,
    };
    assert_eq!(all, expected);
    for (wrong, expected) in [
        ("--retry x", "--retry expects a number from 0 to 15, not `x`"),
        ("--retry 16", "--retry expects a number from 0 to 15, not `16`"),
        ("--retry-max-attempts 0", "--retry-max-attempts expects a number from 1 to 64, not `0`"),
        ("--retry-budget 10%", "--retry-budget expects a percentage from 0 to 100, not `10%`"),
        (
            "--wait-for-model 0s",
            "--wait-for-model expects a time above zero with its unit, such as 2m, not `0s`",
        ),
        ("--retry 1 --retry 2", "--retry was given twice"),
    ] {
        assert_eq!(refused(wrong), expected);
    }
    for flag in FLAGS {
        assert!(HELP.contains(&format!("  {flag} ")), "{flag}");
    }
}
