//! `senet healthcheck`: whether a running service answers, for containers that hold no curl.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::error::CliError;
use super::values::{address, some_time};
use crate::config::{HttpConfig, HumanDuration};

/// Ask a running service whether it is ready: exit code 0 or 1
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  senet healthcheck\n  senet healthcheck --url http://10.0.0.7:8080/livez")]
pub(super) struct Args {
    /// What is asked, /readyz where it has no path [default: /readyz at --http-addr]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where the service listens, as it was told itself
    #[arg(long, value_name = "ADDR", default_value_t = HttpConfig::default().http_addr, value_parser = address)]
    http_addr: SocketAddr,
    /// How long to wait for the answer
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = some_time)]
    timeout: HumanDuration,
}

/// Asks once.
pub(super) fn run(args: Args, out: &mut impl Write) -> Result<(), CliError> {
    let url = match args.url {
        Some(url) => with_path(url)?,
        None => format!("http://{}/readyz", reachable(args.http_addr)),
    };
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(args.timeout.0)).http_status_as_error(false).proxy(None).build().into();
    let mut answer = agent.get(&url).call().map_err(|error| CliError::Failed(format!("{url} does not answer: {}", reason(&error))))?;
    let status = answer.status();
    if status.is_success() {
        writeln!(out, "{url} answers {status}")?;
        return Ok(());
    }
    let body = answer.body_mut().with_config().limit(4096).read_to_string().unwrap_or_default();
    let said = body.lines().next().unwrap_or_default();
    Err(CliError::Failed(format!("{url} answers {status} {said}").trim_end().to_owned()))
}

/// `url`, with the path of readiness where it has none: the service answers the path `/` whether it is ready or not.
fn with_path(url: String) -> Result<String, CliError> {
    match url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')) {
        None | Some("") => Err(CliError::Usage(format!("url is {url:?}, expected one as http://127.0.0.1:8080/readyz"))),
        Some(host) if !host.contains(['/', '?']) => Ok(format!("http://{host}/readyz")),
        Some(_) => Ok(url),
    }
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// A service that listens on every address is asked on this machine's own.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_is_asked_for_readiness() {
        let asked = |url: &str| with_path(url.to_owned()).ok();
        for url in ["http://senet:8080", "http://senet:8080/", "http://senet:8080/readyz"] {
            assert_eq!(asked(url).as_deref(), Some("http://senet:8080/readyz"), "{url}");
        }
        assert_eq!(asked("http://senet:8080/livez").as_deref(), Some("http://senet:8080/livez"));
        assert_eq!((asked("http://"), asked("senet:8080")), (None, None));
    }

    #[test]
    fn every_address_means_this_machine() {
        let asked = |addr: &str| reachable(addr.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:80"), "[::1]:80");
        assert_eq!(asked("10.0.0.7:80"), "10.0.0.7:80");
    }
}
