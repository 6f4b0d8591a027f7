//! Integers from their digits, in less than quadratic time and never above a bound.
//!
//! Takes digits of a base and gives an integer, or says that it is none or too big. Halves of a long number are read on
//! their own and put together by multiplication, which for big numbers costs less than the square of their length;
//! `num_bigint` alone takes seconds for a million digits. Shared by plans, resource files and `binary_to_integer`.

use num_bigint::BigInt;

/// The biggest integer that is read or computed: 2^20 bits, 315,653 decimal digits. OTP's own bound is higher.
pub const MAX_BITS: u64 = 1 << 20;

/// Digits that are read in one piece.
const PIECE: usize = 1024;

/// Why digits are no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInteger {
    /// There is no digit, or something that is no digit of the base.
    Malformed,
    /// It has more than [`MAX_BITS`] bits. Reported before anything is computed.
    TooBig,
}

/// The integer that digits of a base from 2 to 36 mean; no sign, no underscores.
///
/// # Errors
/// When it is none, or has more than [`MAX_BITS`] bits.
pub fn parse(digits: &[u8], base: u32) -> Result<BigInt, NotInteger> {
    let is_digit = |digit: &u8| char::from(*digit).is_digit(base);
    if !(2..=36).contains(&base) || digits.is_empty() || !digits.iter().all(is_digit) {
        return Err(NotInteger::Malformed);
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = &digits[zeros..];
    // It is at least base^(length - 1); whether the last bit is too many is known afterwards.
    let least = digits.len().saturating_sub(1) as f64 * f64::from(base).log2();
    if least > MAX_BITS as f64 {
        return Err(NotInteger::TooBig);
    }
    // base^PIECE, base^(2 PIECE), base^(4 PIECE), …
    let mut powers = vec![BigInt::from(base).pow(PIECE as u32)];
    let mut covered = 2 * PIECE;
    while covered < digits.len() {
        let last = &powers[powers.len() - 1];
        powers.push(last * last);
        covered *= 2;
    }
    let value = joined(digits, base, &powers).ok_or(NotInteger::Malformed)?;
    if value.bits() > MAX_BITS {
        return Err(NotInteger::TooBig);
    }
    Ok(value)
}

/// The value of digits of which there are at most twice as many as the last power has zeros.
fn joined(digits: &[u8], base: u32, powers: &[BigInt]) -> Option<BigInt> {
    let Some((power, smaller)) = powers.split_last().filter(|_| digits.len() > PIECE) else {
        return match digits {
            [] => Some(BigInt::ZERO),
            _ => BigInt::parse_bytes(digits, base),
        };
    };
    let low = PIECE << smaller.len();
    if digits.len() <= low {
        return joined(digits, base, smaller);
    }
    let (high, low) = digits.split_at(digits.len() - low);
    Some(joined(high, base, smaller)? * power + joined(low, base, smaller)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Exactly what the crate reads, around every seam.
    #[test]
    fn as_num_bigint_does() {
        let pattern: &[u8] = b"7300000000012345678998765432100000000000000000017";
        let digits: Vec<u8> = pattern.iter().copied().cycle().take(9_000).collect();
        for base in [8, 10, 16, 36] {
            for length in [
                1, 2, 1023, 1024, 1025, 2047, 2048, 2049, 4096, 4097, 8193, 9000,
            ] {
                let digits: Vec<u8> = digits[..length]
                    .iter()
                    .map(|d| d.min(&b'7'))
                    .copied()
                    .collect();
                let wanted = BigInt::parse_bytes(&digits, base).expect("digits");
                assert_eq!(parse(&digits, base), Ok(wanted), "{length} of base {base}");
            }
        }
        assert_eq!(parse(b"0", 10), Ok(BigInt::ZERO));
        assert_eq!(parse(&[b'0'; 3000], 10), Ok(BigInt::ZERO));
        for (digits, base) in [
            ("", 10),
            ("1_0", 10),
            ("-1", 10),
            ("9", 8),
            ("1", 1),
            ("1", 37),
        ] {
            assert_eq!(parse(digits.as_bytes(), base), Err(NotInteger::Malformed));
        }
    }

    #[test]
    fn the_bound_is_exact() {
        let most = vec![b'f'; (MAX_BITS / 4) as usize];
        assert_eq!(parse(&most, 16).map(|value| value.bits()), Ok(MAX_BITS));
        let more = [b"1", &vec![b'0'; most.len()][..]].concat();
        assert_eq!(parse(&more, 16), Err(NotInteger::TooBig));
        let most: BigInt = (BigInt::from(1) << MAX_BITS) - 1;
        let text = most.to_string();
        assert_eq!(parse(text.as_bytes(), 10), Ok(most));
    }

    #[test]
    fn a_mebibyte_is_answered_at_once() {
        let began = Instant::now();
        for base in [2, 10, 16, 36] {
            let answer = parse(&vec![b'1'; 1 << 20], base);
            assert_eq!(answer.is_ok(), base == 2, "{base}");
        }
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
    }
}
