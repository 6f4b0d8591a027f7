//! Built-in functions between floats and their text, digit for digit as OTP writes them.

use super::Outcome;
use crate::eval::failure::PrimitiveError;
use crate::term::Term;

pub(super) fn call(name: &str, args: &[Term]) -> Option<Outcome> {
    Some(match (name, args) {
        ("float_to_list", [Term::Float(value)]) => Ok(Term::string(&scientific(*value, 20))),
        ("float_to_binary", [Term::Float(value)]) => Ok(Term::binary(scientific(*value, 20))),
        ("float_to_list", [Term::Float(value), options]) => {
            formatted(*value, options).map(|text| Term::string(&text))
        }
        ("float_to_binary", [Term::Float(value), options]) => {
            formatted(*value, options).map(Term::binary)
        }
        ("list_to_float", [value @ Term::List(_)]) => value
            .to_text()
            .map_or(Err(PrimitiveError::BadArg), |t| read(&t)),
        ("binary_to_float", [value @ Term::Binary(_)]) => value
            .to_text()
            .map_or(Err(PrimitiveError::BadArg), |text| read(&text)),
        ("float_to_list" | "float_to_binary" | "list_to_float" | "binary_to_float", _) => {
            Err(PrimitiveError::BadArg)
        }
        _ => return None,
    })
}

/// `%.<digits>e` of C: at least two digits of exponent, with its sign.
fn scientific(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{exponent:0>2}")
}

fn formatted(value: f64, options: &Term) -> Outcome1 {
    let mut form = Form::Scientific(20);
    let mut compact = false;
    for option in options.as_list().ok_or(PrimitiveError::BadArg)? {
        match option {
            Term::Atom(atom) if atom == "compact" => compact = true,
            Term::Atom(atom) if atom == "short" => form = Form::Short,
            Term::Tuple(pair) => match pair.as_slice() {
                [Term::Atom(key), Term::Int(n)] if key == "decimals" => {
                    form = Form::Decimals(digits(*n, 253)?)
                }
                [Term::Atom(key), Term::Int(n)] if key == "scientific" => {
                    form = Form::Scientific(digits(*n, 249)?);
                }
                _ => return Err(PrimitiveError::BadArg),
            },
            _ => return Err(PrimitiveError::BadArg),
        }
    }
    match form {
        Form::Scientific(digits) => Ok(scientific(value, digits)),
        Form::Short => Ok(Term::Float(value).to_string()),
        Form::Decimals(digits) => decimals(value, digits, compact),
    }
}

type Outcome1 = Result<String, PrimitiveError>;

enum Form {
    Scientific(usize),
    Decimals(usize),
    Short,
}

fn digits(n: i64, most: i64) -> Result<usize, PrimitiveError> {
    if (0..=most).contains(&n) {
        usize::try_from(n).map_err(|_| PrimitiveError::BadArg)
    } else {
        Err(PrimitiveError::BadArg)
    }
}

/// `sys_double_to_chars_fast` of ERTS: adds half a unit of the last digit, then cuts.
fn decimals(value: f64, digits: usize, compact: bool) -> Outcome1 {
    let magnitude = value.abs();
    let fast = magnitude < 9_007_199_254_740_992.0 && digits < 18;
    let mut text = if fast {
        let raised = magnitude + 0.5 / 10.0_f64.powi(digits as i32);
        let long = format!("{raised:.0$}", digits + 40);
        let cut = long.len() - 40 - usize::from(digits == 0);
        long[..cut].to_owned()
    } else {
        format!("{magnitude:.digits$}")
    };
    if text.len() > 253 {
        return Err(PrimitiveError::BadArg);
    }
    if value.is_sign_negative() {
        text.insert(0, '-');
    }
    if compact && digits > 0 {
        let kept = text.trim_end_matches('0').len();
        text.truncate(kept);
        if text.ends_with('.') {
            text.push('0');
        }
    }
    Ok(text)
}

/// `[+-]digits.digits[e[+-]digits]`, nothing shorter.
fn read(text: &str) -> Outcome {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        ),
        None => (unsigned, None),
    };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').ok_or(PrimitiveError::BadArg)?;
    if !number(whole) || !number(fraction) || !exponent.is_none_or(number) {
        return Err(PrimitiveError::BadArg);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Term::Float(value)),
        _ => Err(PrimitiveError::BadArg),
    }
}
