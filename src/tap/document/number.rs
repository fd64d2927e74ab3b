//! Reads numbers in pieces.

use super::{
    generated_text::TextKind,
    literals::append_digit,
    member_role::MemberRole,
    scanner::{JsonScanner, NumberPart, ScanState},
};

impl JsonScanner {
    /// Reads on inside a number. Returns the bytes after it.
    pub(super) fn number<'a>(&mut self, part: NumberPart, rest: &'a [u8]) -> &'a [u8] {
        let at = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        if self.arguments > 0 {
            self.facts.generated_text().feed(TextKind::Content, digits);
        }
        let part = match (part, digits) {
            (part, []) => part,
            (NumberPart::Minus, [b'0']) => NumberPart::Zero,
            // No leading zeros.
            (NumberPart::Minus, [b'0', ..]) | (NumberPart::Zero, _) => {
                self.state = ScanState::Stopped;
                return &[];
            }
            (NumberPart::Minus | NumberPart::Whole, _) => NumberPart::Whole,
            (NumberPart::Point | NumberPart::Fraction, _) => NumberPart::Fraction,
            (NumberPart::Exponent | NumberPart::Sign | NumberPart::Power, _) => NumberPart::Power,
        };
        self.number = self.number.and_then(|number| match part {
            // Some servers write 12 as the double `12.0`.
            NumberPart::Fraction => digits.iter().all(|digit| *digit == b'0').then_some(number),
            // The number of such a member is not read.
            _ if self.member == MemberRole::Other => None,
            _ => Some(digits.iter().fold(number, |sum, digit| append_digit(sum, *digit))),
        });

        let part = match (part, tail.first()) {
            (part, None) => part,
            (NumberPart::Zero | NumberPart::Whole, Some(b'.')) => NumberPart::Point,
            (NumberPart::Zero | NumberPart::Whole | NumberPart::Fraction, Some(b'e' | b'E')) => {
                NumberPart::Exponent
            }
            (NumberPart::Exponent, Some(b'+' | b'-')) => NumberPart::Sign,
            (
                NumberPart::Zero | NumberPart::Whole | NumberPart::Fraction | NumberPart::Power,
                Some(_),
            ) => {
                self.facts.read_number(self.container, self.member, self.number);
                self.state = self.after();
                return tail;
            }
            (
                NumberPart::Minus | NumberPart::Point | NumberPart::Exponent | NumberPart::Sign,
                Some(_),
            ) => {
                self.state = ScanState::Stopped;
                return &[];
            }
        };
        if !tail.is_empty() && !matches!(part, NumberPart::Point) {
            self.number = None;
        }
        self.state = ScanState::Number(part);
        tail.get(1..).unwrap_or_default()
    }
}
