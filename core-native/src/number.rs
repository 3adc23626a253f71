//! Counters are stored as canonical decimal text of a signed 64-bit integer, so that a counter is also
//! readable as a plain value: `0`, or an optional `-` and digits without a leading zero.

/// Bytes of the longest such text, `-9223372036854775808`.
pub const DECIMAL_BYTES_MAX: usize = 20;

/// The number that `text` spells, or `None` where it is not canonical or out of range.
pub fn parse_decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || text.len() > DECIMAL_BYTES_MAX {
        return None;
    }
    if digits[0] == b'0' && text.len() > 1 {
        return None;
    }
    // Counts down from zero, because the least number has no positive twin.
    let mut value: i64 = 0;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(byte - b'0'))?;
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// A decimal text on the stack.
pub struct Decimal {
    bytes: [u8; DECIMAL_BYTES_MAX],
    start: usize,
}

impl Decimal {
    pub fn new(value: i64) -> Self {
        let mut bytes = [0; DECIMAL_BYTES_MAX];
        let mut start = DECIMAL_BYTES_MAX;
        let mut rest = value.unsigned_abs();
        loop {
            start -= 1;
            bytes[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            start -= 1;
            bytes[start] = b'-';
        }
        Self { bytes, start }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_survives_the_way_through_text(value: i64) {
            prop_assert_eq!(parse_decimal(Decimal::new(value).as_bytes()), Some(value));
        }
    }

    #[test]
    fn only_canonical_text_is_a_number() {
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            " 1",
            "1 ",
            "1.0",
            "0x1",
            "9223372036854775808",
        ] {
            assert_eq!(parse_decimal(text.as_bytes()), None, "{text:?}");
        }
        for (text, value) in [("0", 0), ("-1", -1), ("-9223372036854775808", i64::MIN)] {
            assert_eq!(parse_decimal(text.as_bytes()), Some(value), "{text:?}");
        }
    }
}
