//! What a bare word in YAML is: nothing, a boolean, a number, or a text (YAML 1.2, core schema).

/// A plain scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number from 0.
    Unsigned(u64),
    /// A whole number below 0.
    Signed(i64),
    /// Any other number.
    Float(f64),
    /// A number by YAML's rules that JSON or 64 bits cannot hold as it is written.
    Odd(&'static str),
    /// Everything else.
    Text(&'a str),
}

/// Reads a plain scalar.
pub fn resolve(text: &str) -> Scalar<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return Scalar::Bool(true),
        "false" | "False" | "FALSE" => return Scalar::Bool(false),
        _ => {}
    }
    let (negative, number) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if matches!(number, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Scalar::Odd("is no number in JSON");
    }
    if let Some(digits) = number.strip_prefix("0x").filter(|digits| is_all(digits, |c| c.is_ascii_hexdigit())) {
        return whole(negative, u64::from_str_radix(digits, 16).ok());
    }
    if let Some(digits) = number.strip_prefix("0o").filter(|digits| is_all(digits, |c| ('0'..='7').contains(&c))) {
        return whole(negative, u64::from_str_radix(digits, 8).ok());
    }
    if is_all(number, |c| c.is_ascii_digit()) {
        if number.len() > 1 && number.starts_with('0') {
            return Scalar::Odd("would lose its leading zeros");
        }
        return whole(negative, number.parse().ok());
    }
    if is_decimal(number) {
        return match text.strip_prefix('+').unwrap_or(text).parse::<f64>() {
            Ok(value) if value.is_finite() => Scalar::Float(value),
            _ => Scalar::Odd("is too large for a number"),
        };
    }
    Scalar::Text(text)
}

fn is_all(text: &str, accept: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(accept)
}

fn whole(negative: bool, magnitude: Option<u64>) -> Scalar<'static> {
    const TOO_LARGE: Scalar<'static> = Scalar::Odd("does not fit into 64 bits");
    match (negative, magnitude) {
        (_, None) => TOO_LARGE,
        (false, Some(value)) => Scalar::Unsigned(value),
        (true, Some(0)) => Scalar::Unsigned(0),
        (true, Some(value)) => 0i64.checked_sub_unsigned(value).map_or(TOO_LARGE, Scalar::Signed),
    }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| {
            is_all(exponent.strip_prefix(['-', '+']).unwrap_or(exponent), |c| c.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_core_schema_and_marks_what_would_change() {
        for (text, scalar) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("yes", Scalar::Text("yes")),
            ("true", Scalar::Bool(true)),
            ("18446744073709551615", Scalar::Unsigned(u64::MAX)),
            ("-9223372036854775808", Scalar::Signed(i64::MIN)),
            ("+7", Scalar::Unsigned(7)),
            ("0x1F", Scalar::Unsigned(31)),
            ("0o17", Scalar::Unsigned(15)),
            ("0", Scalar::Unsigned(0)),
            ("1.5", Scalar::Float(1.5)),
            ("-.5e-1", Scalar::Float(-0.05)),
            ("04E25", Scalar::Float(4e25)),
            ("04A2F3B1", Scalar::Text("04A2F3B1")),
            ("1.2.3", Scalar::Text("1.2.3")),
            ("e5", Scalar::Text("e5")),
            (".", Scalar::Text(".")),
            ("8s", Scalar::Text("8s")),
            ("-", Scalar::Text("-")),
        ] {
            assert_eq!(resolve(text), scalar, "{text}");
        }
        for text in ["18446744073709551616", "-9223372036854775809", "007", "1e999", ".inf", "-.NaN"] {
            assert!(matches!(resolve(text), Scalar::Odd(_)), "{text}");
        }
    }
}
