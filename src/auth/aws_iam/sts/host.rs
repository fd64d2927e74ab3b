//! The hosts of STS and the partitions of AWS.
//!
//! Source: "AWS STS Regions and endpoints" in the IAM User Guide.

/// The regions of the partitions `aws`, `aws-cn` and `aws-us-gov` (botocore 1.44.8, 2026-11).
const REGIONS: [&str; 38] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// Returns whether AWS has a region of this name.
pub(super) fn is_region(name: &str) -> bool {
    REGIONS.contains(&name)
}

/// A partition of AWS. Account ids belong to their partition.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Partition {
    Aws,
    China,
    UsGov,
}

impl Partition {
    /// Returns the name in ARNs.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::UsGov => "aws-us-gov",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Aws, Self::China, Self::UsGov].into_iter().find(|own| own.as_str() == name)
    }

    /// Returns the partition of a region, such as `us-east-1`. Returns `None` for text of another form
    /// and for the isolated partitions.
    pub(super) fn of_region(region: &str) -> Option<Self> {
        const LONGEST: usize = 24;
        let labels: Vec<&str> = region.split('-').take(5).collect();
        let ([first, middle @ .., last], true) = (labels.as_slice(), region.len() <= LONGEST)
        else {
            return None;
        };
        let is_word = |word: &&str| {
            (2..=12).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase())
        };
        let is_region = is_word(first)
            && first.len() == 2
            && (1..=2).contains(&middle.len())
            && middle.iter().all(is_word)
            && (1..=2).contains(&last.len())
            && last.bytes().all(|byte| byte.is_ascii_digit());
        if !is_region {
            return None;
        }
        match (*first, middle) {
            (_, [isolated, ..]) if isolated.starts_with("iso") => None,
            ("cn", _) => Some(Self::China),
            ("us", ["gov", _]) => Some(Self::UsGov),
            // `us-gov-…` alone has two words.
            (_, [_]) => Some(Self::Aws),
            _ => None,
        }
    }
}

/// A host of STS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct StsHost {
    /// In lower case.
    pub(super) name: Box<str>,
    pub(super) partition: Partition,
    /// `None` for the global host.
    pub(super) region: Option<Box<str>>,
}

impl StsHost {
    /// Returns the host if it is one of STS, in any case of letters.
    pub(super) fn parse(host: &str) -> Option<Self> {
        /// Longer than every host of STS.
        const LONGEST: usize = 64;
        if host.len() > LONGEST {
            return None;
        }
        let name = host.to_ascii_lowercase();
        if name == "sts.amazonaws.com" {
            return Some(Self { name: name.into(), partition: Partition::Aws, region: None });
        }
        let rest = name.strip_prefix("sts.").or_else(|| name.strip_prefix("sts-fips."))?;
        let (region, in_china) = match rest.strip_suffix(".amazonaws.com.cn") {
            Some(region) => (region, true),
            None => (rest.strip_suffix(".amazonaws.com")?, false),
        };
        let partition = Partition::of_region(region)?;
        if in_china != (partition == Partition::China) {
            return None;
        }
        let region = Some(region.into());
        Some(Self { name: name.into(), partition, region })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_belongs_to_a_partition() {
        assert!(REGIONS.is_sorted());
        for region in REGIONS {
            assert!(Partition::of_region(region).is_some(), "{region}");
        }
        assert!(is_region("us-east-1") && !is_region("us-east-9"));
    }

    #[test]
    fn hosts_of_sts_are_listed_by_partition() {
        for (host, partition, region) in [
            ("sts.amazonaws.com", Partition::Aws, None),
            ("STS.AmazonAWS.com", Partition::Aws, None),
            ("sts.us-east-1.amazonaws.com", Partition::Aws, Some("us-east-1")),
            ("sts.ap-southeast-4.amazonaws.com", Partition::Aws, Some("ap-southeast-4")),
            ("sts-fips.us-west-2.amazonaws.com", Partition::Aws, Some("us-west-2")),
            ("sts.us-gov-west-1.amazonaws.com", Partition::UsGov, Some("us-gov-west-1")),
            ("sts.cn-north-1.amazonaws.com.cn", Partition::China, Some("cn-north-1")),
        ] {
            let parsed = StsHost::parse(host).unwrap();
            assert_eq!((parsed.partition, parsed.region.as_deref()), (partition, region), "{host}");
            assert_eq!(*parsed.name, host.to_lowercase());
        }
        for host in [
            "",
            "amazonaws.com",
            "sts.amazonaws.com.",
            "sts.amazonaws.com.cn",
            "sts.amazonaws.com.evil.example",
            "sts.evil.amazonaws.com",
            "sts.us-east-1.evil.amazonaws.com",
            "sts.us-east-1.amazonaws.com.cn",
            "sts.cn-north-1.amazonaws.com",
            "sts.us-iso-east-1.amazonaws.com",
            "sts.us-isob-east-1.amazonaws.com",
            "sts..amazonaws.com",
            "sts.us-east-1a.amazonaws.com",
            "sts.us-east-123.amazonaws.com",
            "sts.us-east.amazonaws.com",
            "sts.u-east-1.amazonaws.com",
            "sts.us-a-b-c-d-1.amazonaws.com",
            "evil-sts.us-east-1.amazonaws.com",
            "s3.us-east-1.amazonaws.com",
            "sts.amazonaws.com@evil.example",
            "sts.us-east-1.amazonaws.com:443",
        ] {
            assert_eq!(StsHost::parse(host), None, "{host}");
        }
    }
}
