//! Patterns for subjects.

/// A subject with stars in it.
///
/// A star stands for one or more characters without `:` and `/`, which separate the parts of a subject.
/// A star at the end stands for one or more of any characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SubjectPattern {
    /// The text before the first star.
    start: Box<str>,
    /// The text after each star.
    rest: Box<[Box<str>]>,
}

impl SubjectPattern {
    pub(super) fn new(pattern: &str) -> Self {
        let mut parts = pattern.split('*').map(Into::into);
        Self { start: parts.next().unwrap_or_default(), rest: parts.collect() }
    }

    pub(super) fn matches(&self, subject: &str) -> bool {
        let Some(subject) = subject.strip_prefix(&*self.start) else { return false };
        let Some((last, between)) = self.rest.split_last() else { return subject.is_empty() };
        let subject = subject.as_bytes();
        // Where the text so far may end. Time is linear in the subject for each star.
        let mut ends = vec![false; subject.len() + 1];
        if let Some(first) = ends.first_mut() {
            *first = true;
        }
        for text in between {
            ends = ends_after(subject, &ends, text.as_bytes());
        }
        if last.is_empty() {
            return ends.iter().take(subject.len()).any(|may_end| *may_end);
        }
        ends_after(subject, &ends, last.as_bytes()).last().is_some_and(|may_end| *may_end)
    }
}

/// Returns where a star and then `text` may end, if they start where `starts` says.
fn ends_after(subject: &[u8], starts: &[bool], text: &[u8]) -> Vec<bool> {
    let mut ends = vec![false; starts.len()];
    let mut in_star = false;
    for (at, may_start) in starts.iter().enumerate() {
        let after = subject.get(at..).and_then(|tail| tail.strip_prefix(text)).filter(|_| in_star);
        if let Some(end) = after.and_then(|after| ends.get_mut(subject.len() - after.len())) {
            *end = true;
        }
        let is_separator = matches!(subject.get(at), Some(b':' | b'/'));
        in_star = (in_star || *may_start) && !is_separator;
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_part_unless_it_is_the_last() {
        for (pattern, subject, matches) in [
            ("user-7", "user-7", true),
            ("user-7", "user-77", false),
            ("", "", true),
            ("*", "", false),
            ("*", "a:b/c", true),
            ("repo:acme/*", "repo:acme/app:ref:refs/heads/main", true),
            ("repo:acme/*", "repo:acme/", false),
            ("repo:acme/*", "repo:acme-evil/app", false),
            ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main", true),
            ("repo:acme/*:ref:refs/heads/main", "repo:acme/a/b:ref:refs/heads/main", false),
            (
                "repo:acme/*:ref:refs/heads/main",
                "repo:acme/app:environment:x:ref:refs/heads/main",
                false,
            ),
            ("system:serviceaccount:*:gateway", "system:serviceaccount:prod:gateway", true),
            ("system:serviceaccount:*:gateway", "system:serviceaccount::gateway", false),
            ("a*c", "abc", true),
            ("a*c", "abbcbc", true),
            ("a*c", "ac", false),
            ("a*b*c", "a1b2c", true),
            ("é*é", "éßé", true),
        ] {
            assert_eq!(
                SubjectPattern::new(pattern).matches(subject),
                matches,
                "{pattern} {subject}"
            );
        }
    }
}
