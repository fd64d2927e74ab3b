use crate::json_object::{JsonObject, member_name};

/// The line that reports lost lines.
pub(super) fn loss(lines: u64) -> Vec<u8> {
    let mut object = JsonObject::default();
    let start = object.open();
    object.number(member_name!("dropped"), Some(lines));
    object.close(start);
    object.written().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_one_object() {
        assert_eq!(loss(12), br#"{"dropped":12}"#);
    }
}
