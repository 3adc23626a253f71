//! What stands behind an option's name: shares, rates, times and distributions, from text.

use std::fmt;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

use crate::limits::{DURATION_SECONDS_MAX, RATE_MAX, ZIPF_THETA_MAX};

/// Whose keys a connection uses on a node of several workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// All, over the address that was given, whichever worker that leads to.
    Any,
    /// Those of the worker that it leads to: nothing is forwarded.
    Direct,
    /// Those of the other workers: all is forwarded.
    Forward,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keys {
    Uniform,
    Zipf(f64),
}

impl fmt::Display for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => out.write_str("uniform"),
            Self::Zipf(theta) => write!(out, "zipf:{theta}"),
        }
    }
}

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("not a number".into()),
    }
}

pub fn ratio(text: &str) -> Result<f64, String> {
    let ratio = number(text)?;
    if (0.0..=1.0).contains(&ratio) {
        Ok(ratio)
    } else {
        Err("not between 0 and 1".into())
    }
}

pub fn rate(text: &str) -> Result<f64, String> {
    let rate = number(text)?;
    if rate > 0.0 && rate <= RATE_MAX {
        Ok(rate)
    } else {
        Err(format!("not above 0 and at most {RATE_MAX}"))
    }
}

/// A time in seconds; without a unit it is seconds.
pub fn seconds(text: &str) -> Result<f64, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let found = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (digits, factor) = found.unwrap_or((text, 1.0));
    let seconds =
        number(digits).map_err(|_| "not a time such as 10s or 500ms".to_owned())? * factor;
    if (0.0..=DURATION_SECONDS_MAX).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("not between 0 and {DURATION_SECONDS_MAX} s"))
    }
}

pub fn seconds_above_zero(text: &str) -> Result<f64, String> {
    match seconds(text)? {
        seconds if seconds >= 1e-3 => Ok(seconds),
        _ => Err("at least 1ms".into()),
    }
}

pub fn distribution(text: &str) -> Result<Keys, String> {
    if text == "uniform" {
        return Ok(Keys::Uniform);
    }
    let Some(theta) = text.strip_prefix("zipf:") else {
        return Err("neither uniform nor zipf:<theta>".into());
    };
    let theta = number(theta)?;
    if theta > 0.0 && theta <= ZIPF_THETA_MAX {
        Ok(Keys::Zipf(theta))
    } else {
        Err(format!("theta is not above 0 and at most {ZIPF_THETA_MAX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, expected) in [("10", 10.0), ("1.5s", 1.5), ("250ms", 0.25), ("2m", 120.0)] {
            assert_eq!(seconds(text), Ok(expected));
        }
        for text in ["", "s", "-1s", "1x", "nan", "inf", "1e9"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
