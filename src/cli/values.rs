//! What the values of options may be; a wrong one is answered with what is expected.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use crate::config::HumanDuration;

/// How many threads may be asked for.
pub(super) const THREADS: RangeInclusive<NonZeroUsize> = NonZeroUsize::MIN..=NonZeroUsize::new(1024).unwrap();

/// Parses a whole number in `range`, which has a beginning.
pub(super) fn whole<T: FromStr + PartialOrd + Display>(range: impl RangeBounds<T> + Clone) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| match (range.start_bound(), range.end_bound()) {
            (Bound::Included(least), Bound::Included(most)) => format!("expected a whole number from {least} to {most}"),
            (Bound::Included(least), _) => format!("expected a whole number of {least} or more"),
            _ => "expected a whole number".to_owned(),
        })
    }
}

/// Parses an address to listen at: an IP address and a port; or `:8080`, on every IPv4 interface; or `localhost:8080` or `8080`, on this machine alone,
/// so that nothing is open to others that was not meant to be. Nothing is looked up.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let ip = match host {
        "" | "*" => Some(Ipv4Addr::UNSPECIFIED),
        _ if host.eq_ignore_ascii_case("localhost") => Some(Ipv4Addr::LOCALHOST),
        _ => None,
    };
    let short = || Some(SocketAddr::from((ip?, port.parse::<u16>().ok()?)));
    let expected = || "expected an IP address and a port, as in 127.0.0.1:8080 or [::]:8080".to_owned();
    text.parse().ok().or_else(short).ok_or_else(expected)
}

/// Parses a duration in which something can happen.
pub(super) fn some_time(text: &str) -> Result<HumanDuration, String> {
    match text.parse()? {
        HumanDuration(Duration::ZERO) => Err("expected a time above zero".to_owned()),
        time => Ok(time),
    }
}

/// A parser for a time other than zero, where a number alone counts seconds.
pub(super) fn seconds(text: &str) -> Result<HumanDuration, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { some_time(&format!("{text}s")) } else { some_time(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_written_as_people_write_it() {
        for (text, meant) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::]:8080"),
            ("[::1]:0", "[::1]:0"),
            (":8080", "0.0.0.0:8080"),
            ("*:8080", "0.0.0.0:8080"),
            ("8080", "127.0.0.1:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LocalHost:80", "127.0.0.1:80"),
        ] {
            assert_eq!(address(text).map(|addr| addr.to_string()).as_deref(), Ok(meant), "{text}");
        }
        for text in ["", ":", "localhost", "127.0.0.1", "localhost:", ":65536", "65536", "-1", "::1:8080", "example.org:80", "http://localhost:8080"]
        {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_out_of_range_is_answered_with_the_range() {
        let from_one = whole(1u32..);
        assert_eq!((from_one("1"), from_one("4294967295")), (Ok(1), Ok(u32::MAX)));
        for text in ["0", "-1", "many", "", "1.5", "4294967296"] {
            assert_eq!(from_one(text), Err("expected a whole number of 1 or more".to_owned()), "{text:?}");
        }
        assert_eq!(whole(THREADS)("1024").map(NonZeroUsize::get), Ok(1024));
        for text in ["0", "1025"] {
            assert_eq!(whole(THREADS)(text), Err("expected a whole number from 1 to 1024".to_owned()), "{text:?}");
        }
    }
}
