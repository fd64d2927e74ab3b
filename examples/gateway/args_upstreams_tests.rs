use super::{
    super::{
        Command, Parts, parse,
        tests::{refused, served},
    },
    *,
};

const CALLERS: &str = "--issuer https://i.example --audience a";

fn upstreams(line: &str) -> Vec<Upstream> {
    let Parts::Real { upstreams, .. } = served(&format!("{line} {CALLERS}")).parts else {
        panic!("demo")
    };
    upstreams
}

fn upstream(name: Option<&str>, url: &str, env: &str) -> Upstream {
    Upstream {
        name: name.map(str::to_owned),
        url: url.to_owned(),
        token: TokenPlace::Env(env.to_owned()),
        profile: None,
        bill_to: None,
        check_model: None,
    }
}

#[test]
fn a_single_upstream_needs_no_name_and_no_order() {
    let expected = Upstream {
        profile: Some(Kind::Vllm),
        bill_to: Some("acme".to_owned()),
        ..upstream(None, "https://u.example", "T")
    };
    for line in [
        "--upstream https://u.example --hf-token-env T --profile vllm --bill-to acme",
        "--profile vllm --bill-to acme --hf-token-env T --upstream https://u.example",
    ] {
        assert_eq!(upstreams(line), std::slice::from_ref(&expected), "{line}");
    }
    let named = upstreams("--upstream main=https://u.example --hf-token-env T");
    assert_eq!(named, [upstream(Some("main"), "https://u.example", "T")]);
    // The name ends before the scheme of the address.
    let query = upstreams("--upstream https://u.example/?a=b --hf-token-env T");
    assert_eq!(query, [upstream(None, "https://u.example/?a=b", "T")]);
}

#[test]
fn each_of_several_upstreams_has_the_flags_after_it() {
    let both = upstreams(
        "--upstream router=https://router.huggingface.co --hf-token-env T --bill-to acme \
         --upstream own=http://127.0.0.1:8000/v1 --profile llama-cpp --hf-token-file f",
    );
    let router = Upstream {
        bill_to: Some("acme".to_owned()),
        ..upstream(Some("router"), "https://router.huggingface.co", "T")
    };
    let own = Upstream {
        token: TokenPlace::File("f".into()),
        profile: Some(Kind::LlamaCpp),
        ..upstream(Some("own"), "http://127.0.0.1:8000/v1", "")
    };
    assert_eq!(both, [router, own]);
}

#[test]
fn an_unclear_list_of_upstreams_is_refused() {
    let two = "--upstream a=https://a --hf-token-env A --upstream b=https://b";
    for (line, expected) in [
        (two.to_owned(), "--upstream b needs --hf-token-env or --hf-token-file after it"),
        (
            format!("{two} --hf-token-env B --hf-token-file f"),
            "give either --hf-token-env or --hf-token-file",
        ),
        (format!("{two} --hf-token-env B --hf-token-env C"), "--hf-token-env was given twice"),
        (
            format!("--bill-to x {two} --hf-token-env B"),
            "with several --upstream put each flag of an upstream after its --upstream",
        ),
        (
            "--upstream a=https://a --hf-token-env A --upstream https://b --hf-token-env B"
                .to_owned(),
            "with several --upstream each needs a name: --upstream NAME=URL",
        ),
        (format!("{two} --hf-token-env B --upstream a=x"), "--upstream a was given twice"),
        (
            "--upstream a/b=https://a".to_owned(),
            "--upstream expects NAME=URL with letters, digits, `-`, `_` and `.` in the name, not \
             `a/b=https://a`",
        ),
        (
            "--hf-token-env A --upstream a=https://a --hf-token-env B".to_owned(),
            "--hf-token-env was given twice",
        ),
    ] {
        assert_eq!(refused(&format!("{line} {CALLERS}")), expected, "{line}");
    }
    assert!(refused("--upstream =https://a").contains("expects NAME=URL"));
    assert!(refused("--upstream a=").contains("expects NAME=URL"));
}

#[test]
fn a_check_has_a_model_for_each_upstream() {
    let line = "--check --upstream a=https://a --hf-token-env A --check-model m \
                --upstream b=https://b --hf-token-env B";
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let Ok(Command::Check { upstreams, model: None, .. }) = parse(words) else { panic!("a check") };
    let models: Vec<_> = upstreams.iter().map(|it| it.check_model.as_deref()).collect();
    assert_eq!(models, [Some("m"), None]);
    let alone = refused(&format!("--upstream https://a --check-model m {CALLERS}"));
    assert_eq!(alone, "--check-model needs --check");
}
