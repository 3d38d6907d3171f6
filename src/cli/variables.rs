//! Variables of the environment: those of options, and those that look like it and are not.

use std::ffi::OsString;

use crate::nearest::nearest;

/// What the names of all of ours begin with.
const PREFIX: &str = "SENET_";
/// Characters of an unknown name that are repeated.
const MOST_REPEATED: usize = 64;
/// Options' variables that name no setting.
const OTHERS: [&str; 1] = ["config"];

/// The variable of the option with the name `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase())
}

/// A sentence for every variable of `environment` that begins as ours do and belongs to none of `keys`, in alphabetical order; values are not repeated.
pub(super) fn unknown(environment: impl Iterator<Item = (OsString, OsString)>, keys: &[String]) -> Vec<String> {
    let known: Vec<String> = keys.iter().map(String::as_str).chain(OTHERS).map(variable).collect();
    let is_unknown = |(name, value): &(String, String)| name.starts_with(PREFIX) && !known.contains(name) && !is_of_kubernetes(name, value);
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let mut unknown: Vec<_> = environment.map(|(name, value)| (text(name), text(value))).filter(is_unknown).map(|(name, _)| name).collect();
    unknown.sort_unstable();
    unknown.iter().map(|name| sentence(name, &known)).collect()
}

fn sentence(name: &str, known: &[String]) -> String {
    let nearest = nearest(name, known.iter().map(String::as_str)).unwrap_or_default();
    let name: String = name.chars().take(MOST_REPEATED).collect();
    format!("{name} is set in the environment, but no option has this variable; the nearest known one is {nearest}")
}

/// Whether Kubernetes, or Docker with its links, sets the variable in every container beside a service that is called senet: `SENET_SERVICE_HOST`,
/// `SENET_SERVICE_PORT_HTTP`, `SENET_PORT=tcp://10.0.0.1:80`, `SENET_PORT_80_TCP_ADDR`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let of_port =
        |rest: &str| rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with("_TCP") && rest.starts_with(|c: char| c.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT") && value.contains("://")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| of_port(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(environment: &[(&str, &str)]) -> Vec<String> {
        let keys = ["http_addr", "queue", "threads"].map(str::to_owned);
        unknown(environment.iter().map(|(name, value)| (name.into(), value.into())), &keys)
    }

    #[test]
    fn an_unknown_variable_is_named_with_the_nearest_known_one_and_without_its_value() {
        let environment = [("SENET_QEUE", "secret"), ("SENET_QUEUE", "1"), ("SENET_CONFIG", "x"), ("PATH", "x"), ("SENET_HTTP_PORT", "80")];
        let expected = [("SENET_HTTP_PORT", "SENET_HTTP_ADDR"), ("SENET_QEUE", "SENET_QUEUE")]
            .map(|(name, nearest)| format!("{name} is set in the environment, but no option has this variable; the nearest known one is {nearest}"));
        assert_eq!(warnings(&environment), expected);
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_called_senet_is_no_mistake() {
        let environment = [
            ("SENET_SERVICE_HOST", "10.96.0.7"),
            ("SENET_SERVICE_PORT", "8080"),
            ("SENET_SERVICE_PORT_HTTP", "8080"),
            ("SENET_PORT", "tcp://10.96.0.7:8080"),
            ("SENET_PORT_8080_TCP", "tcp://10.96.0.7:8080"),
            ("SENET_PORT_8080_TCP_ADDR", "10.96.0.7"),
            ("SENET_CANARY_SERVICE_HOST", "10.96.0.8"),
        ];
        assert_eq!(warnings(&environment), [""; 0]);
        assert_eq!(warnings(&[("SENET_PORT", "8080")]).len(), 1, "meant for us, and wrong");
    }

    #[test]
    fn a_long_name_is_repeated_in_part() {
        let name = format!("SENET_{}", "X".repeat(10_000));
        assert!(warnings(&[(&name, "")])[0].len() < 250);
    }
}
