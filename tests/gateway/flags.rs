//! The command line, seen from a shell.

use crate::process::run;

#[tokio::test]
async fn help_is_printed_and_fits_a_terminal() {
    let output = run(["--help"]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.starts_with("A guarded gateway") && help.contains("\nUsage: gateway [FLAGS]\n"));
    for line in help.lines() {
        assert!(line.chars().count() <= 98, "{line}");
    }
}

/// Returns the message of a gateway that does not start.
async fn refused(args: &[&str]) -> String {
    let output = run(args).await;
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn invalid_flags_are_rejected_with_a_message_and_exit_code_2() {
    assert_eq!(
        refused(&["--lisen", "x"]).await,
        "gateway: --lisen is not a flag of this gateway; `--listen` is near. See --help.\n"
    );
    assert_eq!(
        refused(&["--upstream", "https://u.example"]).await,
        "gateway: these flags turn the demo off and need also --hf-token-env or --hf-token-file, \
         --issuer, --api-keys, --iam-credentials or --sts-server-id. See --help.\n"
    );
    assert_eq!(
        refused(&["--policy", "gateway.toml"]).await,
        "gateway: --policy is not available in this version. See --help.\n"
    );
}
