//! The ARN of a caller.

use super::host::Partition;

/// A caller of AWS.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Caller {
    /// The ARN without the name of a session.
    pub(super) subject: String,
    /// The name that the starter of the session has chosen.
    pub(super) session: Option<Box<str>>,
}

impl Caller {
    /// Parses the ARN of a caller in this partition and account.
    ///
    /// A role is named as in IAM, because `sts::…:assumed-role/NAME/SESSION` has a part that the caller
    /// may choose. A pattern over subjects must never match that part.
    pub(super) fn from_arn(arn: &str, partition: Partition, account: &str) -> Option<Self> {
        const LONGEST: usize = 2_048;
        let is_text = arn.len() <= LONGEST && arn.bytes().all(|byte| byte.is_ascii_graphic());
        let mut parts = arn.splitn(6, ':');
        let mut part = || parts.next().filter(|_| is_text);
        let head = [part()?, part()?, part()?, part()?, part()?];
        let resource = part()?;
        let [arn_word, own_partition, service, region, own_account] = head;
        let partition = partition.as_str();
        if arn_word != "arn" || own_partition != partition || !region.is_empty() {
            return None;
        }
        if own_account != account || resource.contains(':') {
            return None;
        }
        let segments: Vec<&str> = resource.split('/').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        match (service, &*segments) {
            ("iam", ["root"] | ["user", _, ..]) => {
                Some(Self { subject: arn.to_owned(), session: None })
            }
            ("sts", ["assumed-role", role, session]) => Some(Self {
                subject: format!("arn:{partition}:iam::{account}:role/{role}"),
                session: Some((*session).into()),
            }),
            ("sts", ["federated-user", name]) => Some(Self {
                subject: format!("arn:{partition}:sts::{account}:federated-user"),
                session: Some((*name).into()),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "123456789012";

    #[test]
    fn subject_has_no_part_that_a_session_chooses() {
        let of = |arn: &str| {
            let caller = Caller::from_arn(arn, Partition::Aws, ACCOUNT).unwrap();
            (caller.subject, caller.session.map(String::from))
        };
        for (arn, subject, session) in [
            ("iam::123456789012:user/ann", "iam::123456789012:user/ann", None),
            ("iam::123456789012:user/a/b/ann", "iam::123456789012:user/a/b/ann", None),
            ("iam::123456789012:root", "iam::123456789012:root", None),
            ("sts::123456789012:assumed-role/r/s", "iam::123456789012:role/r", Some("s")),
            ("sts::123456789012:assumed-role/r/admin", "iam::123456789012:role/r", Some("admin")),
            ("sts::123456789012:federated-user/f", "sts::123456789012:federated-user", Some("f")),
        ] {
            let expected = (format!("arn:aws:{subject}"), session.map(str::to_owned));
            assert_eq!(of(&format!("arn:aws:{arn}")), expected);
        }
    }

    #[test]
    fn other_arns_are_refused() {
        for arn in [
            "",
            "arn:aws:iam::123456789012",
            "arn:aws:iam::999999999999:user/ann",
            "arn:aws-cn:iam::123456789012:user/ann",
            "arn:aws:iam:us-east-1:123456789012:user/ann",
            "arn:aws:iam::123456789012:user",
            "arn:aws:iam::123456789012:user/",
            "arn:aws:iam::123456789012:role/r",
            "arn:aws:iam::123456789012:user/a:b",
            "arn:aws:sts::123456789012:assumed-role/r",
            "arn:aws:sts::123456789012:assumed-role/r/",
            "arn:aws:sts::123456789012:assumed-role//s",
            "arn:aws:sts::123456789012:assumed-role/r/s/t",
            "arn:aws:s3:::bucket",
            "arn:aws:iam::123456789012:user/a b",
            "arn:aws:iam::123456789012:user/\u{e9}",
        ] {
            assert_eq!(Caller::from_arn(arn, Partition::Aws, ACCOUNT), None, "{arn}");
        }
    }
}
