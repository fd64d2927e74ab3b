//! The credentials, the region and the endpoint of AWS's default chain. They come from the environment,
//! so each test runs in a process of its own.

use std::{env, process::Command};

use tower_inference::hf::AwsSecret;

use crate::faults::{assert_refused, refused};

const IN_CHILD: &str = "AWS_TESTS_CHILD";

/// Runs the test `name` again with these variables set or removed. Returns whether this is that run.
fn in_child(name: &str, variables: &[(&str, Option<&str>)]) -> bool {
    if env::var_os(IN_CHILD).is_some() {
        return true;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args([name, "--exact"]).env(IN_CHILD, "1");
    for (variable, value) in variables {
        match value {
            Some(value) => child.env(variable, value),
            None => child.env_remove(variable),
        };
    }
    let output = child.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    false
}

fn at(endpoint: &str) -> AwsSecret {
    AwsSecret::new("any").endpoint(endpoint.parse().unwrap())
}

#[tokio::test]
async fn without_credentials_nothing_is_requested() {
    let gone = [("AWS_ACCESS_KEY_ID", None), ("AWS_SECRET_ACCESS_KEY", None)];
    if in_child("identity::without_credentials_nothing_is_requested", &gone) {
        let secret = at("http://127.0.0.1:9").region("eu-west-1");
        assert_refused(&refused(secret).await, "no credentials of AWS are found");
    }
}

#[tokio::test]
async fn without_a_region_nothing_is_requested() {
    if in_child("identity::without_a_region_nothing_is_requested", &[("AWS_REGION", None)]) {
        assert_refused(&refused(at("http://127.0.0.1:9")).await, "no region of AWS is known");
    }
}

#[tokio::test]
async fn a_configured_endpoint_without_tls_is_refused() {
    // A name that never resolves (RFC 6761 section 6.4).
    let plain = [("AWS_ENDPOINT_URL", Some("http://secrets.invalid"))];
    if in_child("identity::a_configured_endpoint_without_tls_is_refused", &plain) {
        let secret = AwsSecret::new("any").region("eu-west-1");
        assert_refused(&refused(secret).await, "the endpoint is plain http to another machine");
    }
}
