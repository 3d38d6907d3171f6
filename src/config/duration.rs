//! Durations as people write them: `500ms`, `30s`, `5m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration with its unit: `500ms`, `30s`, `5m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            _ => return Err("expected a whole number and a unit, as in 500ms, 30s or 5m".to_owned()),
        };
        let ms = number.parse::<u32>().ok().and_then(|number| u64::from(number).checked_mul(unit_ms));
        ms.map(|ms| Self(Duration::from_millis(ms))).ok_or_else(|| format!("expected a number of at most {}", u32::MAX))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, ms, written) in [("500ms", 500, "500ms"), ("30s", 30_000, "30s"), ("5m", 300_000, "300s"), ("0s", 0, "0s")] {
            let duration: HumanDuration = text.parse().unwrap();
            assert_eq!(duration, HumanDuration(Duration::from_millis(ms)));
            assert_eq!(duration.to_string(), written);
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["30", "", "s", "-1s", "1.5s", "1h", "99999999999s"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text:?}");
        }
    }
}
