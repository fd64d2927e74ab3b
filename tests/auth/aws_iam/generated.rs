//! Generated requests and tokens. The fuzz targets `sigv4` and `sts` run the same checks.

#[path = "../../support/presigned.rs"]
mod presigned;
#[path = "../../support/signed.rs"]
mod signed;

use proptest::{collection::vec, prelude::*, sample::select};

fn bytes(alphabet: &'static [u8], most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(select(alphabet), 0..most)
}

proptest! {
    #[test]
    fn one_signature_covers_requests_of_one_meaning(
        path in bytes(b"/a.%2Fe~+:", 12),
        query in bytes(b"a.=&%2F7e~+;-A", 16),
        edit in (any::<prop::sample::Index>(), 0..3_usize, bytes(b"/a.=&%2F7e+", 4)),
        value in bytes(b"a ,\t", 8),
        other in bytes(b"a ,\t", 8),
        forged in vec(any::<u8>(), 0..60),
    ) {
        let target = [b"/", &*path, b"?", &*query].concat();
        let mut sent = target.clone();
        let start = edit.0.index(sent.len());
        let end = (start + edit.1).min(sent.len());
        sent.splice(start..end, edit.2);
        for other in [&value, &other] {
            let parts = [&target, &value, &sent, other, &forged].map(|part| part.as_slice());
            signed::check(&parts.join(&0xff));
        }
    }

    #[test]
    fn nothing_but_a_call_of_sts_is_sent(
        start in 0..u16::try_from(presigned::URL.len()).unwrap(),
        length in 0..12_u8,
        with in bytes(b"/?&=.@:#%2Fa\\A", 12),
        raw in vec(any::<u8>(), 0..60),
    ) {
        let [high, low] = start.to_be_bytes();
        presigned::check(&[&[0, high, low, length], &*with].concat());
        presigned::check(&[&[1], &*raw].concat());
    }
}
