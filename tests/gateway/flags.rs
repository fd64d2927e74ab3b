//! The command line, seen from a shell.

use crate::process::run;

#[tokio::test]
async fn help_is_printed_and_all_is_well() {
    let output = run(["--help"]).await;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), crate::args::HELP);
    assert!(output.stderr.is_empty());
}

#[tokio::test]
async fn help_fits_a_terminal() {
    for line in crate::args::HELP.lines() {
        assert!(line.chars().count() <= 98, "{line}");
    }
}

/// What it says, when it refuses to start.
async fn refused(args: &[&str]) -> String {
    let output = run(args).await;
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_a_sentence_and_2() {
    assert_eq!(
        refused(&["--lisen", "x"]).await,
        "gateway: --lisen is not a flag of this gateway. --help says more.\n"
    );
    assert_eq!(
        refused(&["--upstream", "https://u.example"]).await,
        "gateway: these flags ask for real parts, but --hf-token-env or --hf-token-file, \
         --issuer, --audience is missing. --help says more.\n"
    );
    assert_eq!(
        refused(&["--policy", "gateway.toml"]).await,
        "gateway: --policy is not available in this version. --help says more.\n"
    );
}
