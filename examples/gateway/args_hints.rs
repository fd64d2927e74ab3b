//! What a mistaken value or flag was probably meant to be.

use super::{HELP, UsageError};

/// Returns the error for a flag that does not exist, with the one that is near.
pub(super) fn unknown_flag(flag: &str) -> UsageError {
    let words = HELP.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let flags = words.filter(|word| word.starts_with("--") && word.len() > 2);
    // `--idle-timeout` is the end of `--upstream-idle-timeout`, and `--redis` begins several flags.
    let end = flag.strip_prefix('-').unwrap_or(flag);
    let begins = |known: &str| known.strip_prefix(flag).is_some_and(|rest| rest.starts_with('-'));
    let edits = |known: &str| match begins(known) || known.ends_with(end) {
        true => 1,
        false => distance(known, flag),
    };
    let near = flags.map(|known| (edits(known), known)).min();
    let hint = match near {
        Some((edits, known)) if edits <= 3 => format!("; `{known}` is near"),
        _ => String::new(),
    };
    UsageError(format!("{flag} is not a flag of this gateway{hint}"))
}

/// Reads `host:port`.
pub(super) fn listen(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let plain = !host.is_empty() && !text.contains("//");
    (plain && port.parse::<u16>().is_ok()).then(|| text.to_owned())
}

/// Returns an error when the name of a variable is none, without repeating it: it may be a token.
pub(super) fn check_variable(flag: &str, name: &str) -> Result<(), UsageError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_token = ["hf_", "sk-", "eyJ"].iter().any(|start| name.starts_with(start));
    if !is_token && name.bytes().all(is_name) {
        return Ok(());
    }
    Err(UsageError(format!(
        "{flag} expects the name of a variable of the environment, such as HF_TOKEN, and not the \
         token itself"
    )))
}

/// Returns an error when several scopes were given as one.
pub(super) fn check_scope(scope: &str) -> Result<(), UsageError> {
    if scope.contains([' ', ',']) {
        return Err(UsageError(format!(
            "--scope expects one scope, not `{scope}`; repeat the flag"
        )));
    }
    Ok(())
}

/// Returns the number of letters to add, leave out or replace.
fn distance(one: &str, other: &str) -> usize {
    let other = other.as_bytes();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, left) in one.bytes().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in other.iter().enumerate() {
            let replaced = last[j] + usize::from(left != *right);
            row.push(replaced.min(last[j + 1] + 1).min(row[j] + 1));
        }
        last = row;
    }
    last[other.len()]
}
