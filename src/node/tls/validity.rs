//! From when until when a certificate holds.
//!
//! Takes a certificate in DER and reads just as far as its validity (RFC 5280, 4.1): the version, a number, an algorithm and
//! the issuer are stepped over. Gives seconds since 1970, or nothing when it is not what it should be. Never reads past the
//! end, whatever lengths the bytes tell.

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The first and the last second; dates before 1970 count as 1970.
pub(super) fn of(certificate: &[u8]) -> Option<(u64, u64)> {
    let (mut certificate, _) = inside(certificate, SEQUENCE)?;
    let (signed, _) = inside(certificate, SEQUENCE)?;
    certificate = signed;
    if let Some((_, rest)) = inside(certificate, VERSION) {
        certificate = rest;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        certificate = inside(certificate, tag)?.1;
    }
    let (validity, _) = inside(certificate, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    Some((from, time(rest)?.0))
}

/// The content of a value with this tag, and what is behind it.
fn inside(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length))?
}

/// `YYMMDDHHMMSSZ` (until 2049) or `YYYYMMDDHHMMSSZ`.
fn time(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (text, rest, century) = match inside(bytes, UTC_TIME) {
        Some((text, rest)) => (text, rest, None),
        None => {
            let (text, rest) = inside(bytes, GENERALIZED_TIME)?;
            (text.get(2..)?, rest, Some(two(text)?))
        }
    };
    if text.len() != 13 || text[12] != b'Z' {
        return None;
    }
    let mut parts = [0; 6];
    for (at, part) in parts.iter_mut().enumerate() {
        *part = two(&text[2 * at..])?;
    }
    let [year, month, day, hour, minute, second] = parts;
    let year = match century {
        Some(century) => century * 100 + year,
        None if year < 50 => 2000 + year,
        None => 1900 + year,
    };
    let seconds = (days(year, month, day)? * 24 + i64::from(hour)) * 3600
        + i64::from(minute) * 60
        + i64::from(second);
    Some((u64::try_from(seconds).unwrap_or(0), rest))
}

fn two(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits.get(..2)?).ok()?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(())?;
    text.parse().ok()
}

/// Days from 1970 to a date of the Gregorian calendar; the year begins in March, so that a leap day is its last.
fn days(year: u32, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = match month {
        1 | 2 => (i64::from(year) - 1, i64::from(month) + 9),
        _ => (i64::from(year), i64::from(month) - 3),
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before = (153 * month + 2) / 5;
    Some(365 * year + leaps + before + i64::from(day) - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar() {
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(2000, 2, 29), Some(11_016));
        assert_eq!(days(2000, 3, 1), Some(11_017));
        assert_eq!(days(2026, 11, 22), Some(20_779));
        assert_eq!(days(2026, 13, 1), None);
    }

    #[test]
    fn both_forms_of_time() {
        let utc = [&[UTC_TIME, 13][..], b"491231235959Z", b"x"].concat();
        assert_eq!(time(&utc), Some((2_524_607_999, &b"x"[..])));
        let long = [&[GENERALIZED_TIME, 15][..], b"20500101000000Z"].concat();
        assert_eq!(time(&long), Some((2_524_608_000, &b""[..])));
        assert_eq!(
            time(&[&[UTC_TIME, 13][..], b"49123123595+Z"].concat()),
            None
        );
    }

    #[test]
    fn no_length_leads_astray() {
        for bytes in [
            &[][..],
            &[SEQUENCE],
            &[SEQUENCE, 0x80, 0, 0],
            &[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff, 1],
            &[SEQUENCE, 0x85, 0, 0, 0, 0, 1],
            &[SEQUENCE, 2, SEQUENCE, 9],
            &[SEQUENCE, 4, SEQUENCE, 2, INTEGER, 200],
        ] {
            assert_eq!(of(bytes), None, "{bytes:?}");
        }
    }

    proptest::proptest! {
        /// Whatever is there: dates or nothing.
        #[test]
        fn any_bytes(mut bytes: Vec<u8>, at: usize, flip: u8) {
            let _ = of(&bytes);
            // Something that comes far, with one byte changed.
            bytes = vec![SEQUENCE, 44, SEQUENCE, 42, VERSION, 1, 0, INTEGER, 1, 1];
            bytes.extend([SEQUENCE, 0, SEQUENCE, 0, SEQUENCE, 30]);
            for year in [b"260101000000Z", b"270101000000Z"] {
                bytes.extend([UTC_TIME, 13]);
                bytes.extend(year);
            }
            proptest::prop_assert_eq!(of(&bytes), Some((1_767_225_600, 1_798_761_600)));
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let _ = of(&bytes);
        }
    }
}
