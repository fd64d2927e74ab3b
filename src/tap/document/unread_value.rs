//! Checks values that hold no wanted fact.

use super::{
    container::Container,
    member_role::MemberRole,
    scanner::{JsonScanner, ScanState, WantedFacts},
    whole_value::{after_literal, after_number},
};
use crate::json_string::split_plain;

impl JsonScanner {
    /// Returns whether the value of this member, which starts with `byte`, holds no wanted fact.
    #[inline]
    pub(super) fn wants_no_fact_of(&self, byte: u8) -> bool {
        self.wanted == WantedFacts::Usage
            && match self.member {
                MemberRole::Other => true,
                MemberRole::Output => byte == b'[',
                _ => false,
            }
    }

    /// Checks the value of a member as long as its parts are whole and have no white space between
    /// them. Returns the bytes from where the scanner reads on.
    #[inline]
    pub(super) fn pass_value<'a>(&mut self, value: &'a [u8]) -> &'a [u8] {
        if matches!(value, [b'{' | b'[', ..]) {
            return self.pass_container(value);
        }
        let Some(after) = after_scalar(value) else { return value };
        self.state = ScanState::Comma;
        after
    }

    #[inline(never)]
    fn pass_container<'a>(&mut self, value: &'a [u8]) -> &'a [u8] {
        let outside = self.depth;
        let (mut depth, mut objects) = (self.depth, self.objects);
        let (mut state, mut rest) = (ScanState::Value, value);
        'values: loop {
            match rest {
                [first @ (b'{' | b'['), inside @ ..] if depth < Self::MAX_DEPTH => {
                    let object = *first == b'{';
                    depth = depth.saturating_add(1);
                    objects = (objects << 1) | u128::from(object);
                    state = if object { ScanState::FirstName } else { ScanState::FirstValue };
                    rest = inside;
                    match (object, inside) {
                        (true, [b'}', ..]) | (false, [b']', ..]) => {}
                        (true, [b'"', name @ ..]) => {
                            let Some(value) = after_name(name) else { break };
                            (state, rest) = (ScanState::Value, value);
                            continue;
                        }
                        (true, _) => break,
                        (false, _) => continue,
                    }
                }
                _ => {
                    let Some(after) = after_scalar(rest) else { break };
                    (state, rest) = (ScanState::Comma, after);
                }
            }
            // Goes to the next value in the same array or object, or in one around it.
            while depth > outside {
                match (objects & 1 == 1, rest) {
                    (true, [b',', b'"', name @ ..]) => {
                        let Some(value) = after_name(name) else { break 'values };
                        (state, rest) = (ScanState::Value, value);
                        continue 'values;
                    }
                    (false, [b',', value @ ..]) => {
                        (state, rest) = (ScanState::Value, value);
                        continue 'values;
                    }
                    (true, [b'}', after @ ..]) | (false, [b']', after @ ..]) => {
                        depth = depth.saturating_sub(1);
                        objects >>= 1;
                        (state, rest) = (ScanState::Comma, after);
                    }
                    _ => break 'values,
                }
            }
            break;
        }
        if depth > outside {
            let opened = self.containers.iter_mut().skip(outside.into());
            opened.for_each(|container| *container = Container::Other);
            (self.depth, self.objects) = (depth, objects);
            (self.container, self.member) = (Container::Other, MemberRole::Other);
        }
        self.state = state;
        rest
    }
}

/// Returns the value after the rest of a name and its colon.
#[inline]
fn after_name(name: &[u8]) -> Option<&[u8]> {
    match split_plain(name).1 {
        [b'"', b':', value @ ..] => Some(value),
        _ => None,
    }
}

/// Returns the bytes after a string, number or literal.
#[inline]
fn after_scalar(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', text @ ..] => after_string(text),
        [b'-' | b'0'..=b'9', ..] => after_number(value),
        _ => after_literal(value),
    }
}

/// Returns the bytes after the rest of a string.
#[inline]
fn after_string(text: &[u8]) -> Option<&[u8]> {
    match split_plain(text).1 {
        [b'"', after @ ..] => Some(after),
        escape => after_escapes(escape),
    }
}

/// Returns the bytes after the rest of a string that starts with an escape.
#[inline(never)]
fn after_escapes(escape: &[u8]) -> Option<&[u8]> {
    let mut rest = escape;
    loop {
        let after = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'u', digits @ ..] => {
                let (digits, after) = digits.split_first_chunk::<4>()?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(after)?
            }
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..] => after,
            _ => return None,
        };
        rest = split_plain(after).1;
    }
}

#[cfg(test)]
mod tests;
