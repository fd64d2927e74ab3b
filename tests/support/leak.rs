//! A search for a token in text, in every spelling that a program may repeat it in.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::borrow::Cow;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};

/// Finds the token in `text`. Returns its spelling.
pub fn leak(text: &str, token: &str) -> Option<String> {
    let views = [Cow::Borrowed(text), percent_decoded(text).into(), unescaped(text).into()];
    let needles = needles(token);
    views.iter().find_map(|view| needles.iter().find(|needle| view.contains(*needle))).cloned()
}

/// The spellings in which a server may repeat the token. Each is a valid value of a header.
pub fn spellings(token: &str) -> Vec<String> {
    let each = |spell: fn(u8) -> String| token.bytes().map(spell).collect::<String>();
    let odd = |byte: u8| !byte.is_ascii_alphanumeric();
    let some = |spell: fn(u8) -> String| -> String {
        token
            .bytes()
            .map(|byte| if odd(byte) { spell(byte) } else { char::from(byte).into() })
            .collect()
    };
    let percent: fn(u8) -> String = |byte| format!("%{byte:02X}");
    let hex: fn(u8) -> String = |byte| format!("{byte:02x}");
    let escape: fn(u8) -> String = |byte| format!("\\u{byte:04x}");
    let json = serde_json::Value::from(token).to_string();
    let mut all = vec![
        token.to_owned(),
        token.to_lowercase(),
        each(percent),
        each(percent).to_lowercase(),
        some(percent),
        each(hex),
        each(hex).to_uppercase(),
        each(escape),
        some(escape),
        json[1..json.len() - 1].to_owned(),
    ];
    for before in ["", "a", "ab", "Bearer "] {
        let whole = format!("{before}{token}");
        all.extend([STANDARD.encode(&whole), URL_SAFE.encode(&whole)]);
        all.extend([STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)]);
    }
    all
}

/// The texts that show the token after the decoding of percent signs and backslashes.
fn needles(token: &str) -> Vec<String> {
    let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut needles = vec![token.to_owned(), token.to_lowercase(), hex.to_uppercase(), hex];
    // `Debug` of bytes.
    let bytes: Vec<_> = token.bytes().map(|byte| byte.to_string()).collect();
    needles.push(bytes.join(", "));
    // The digits of base64 that depend on the token alone, at each of the three alignments.
    for before in 0..3 {
        let bits = 8 * before..8 * (before + token.len());
        let whole = "\0".repeat(before) + token;
        for encoded in [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
            needles.push(encoded[bits.start.div_ceil(6)..bits.end / 6].to_owned());
        }
    }
    needles
}

fn percent_decoded(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text);
    decoded.decode_utf8_lossy().into_owned()
}

/// Resolves the escapes of JSON and of Rust's `Debug`.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let (character, length) = escaped(after);
        plain.extend(character);
        rest = &after[length..];
    }
    plain + rest
}

/// Returns the character after a backslash and the length of its escape.
fn escaped(after: &str) -> (Option<char>, usize) {
    let code = |digits: Option<&str>| {
        u32::from_str_radix(digits.unwrap_or_default(), 16).ok().and_then(char::from_u32)
    };
    let number = match after.as_bytes() {
        [b'u', b'{', ..] => after.find('}').map(|end| (code(after.get(2..end)), end + 1)),
        [b'u', ..] => Some((code(after.get(1..5)), 5)),
        [b'x', ..] => Some((code(after.get(1..3)), 3)),
        _ => None,
    };
    match number {
        Some((Some(character), length)) => (Some(character), length),
        _ => {
            let character = after.chars().next();
            (character, character.map_or(0, char::len_utf8))
        }
    }
}
