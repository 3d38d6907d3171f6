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
    /// What is asked [default: /readyz at --http-addr]
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
    let url = args.url.unwrap_or_else(|| format!("http://{}/readyz", reachable(args.http_addr)));
    if !url.starts_with("http://") {
        return Err(CliError::Usage(format!("url is {url:?}, expected one as http://127.0.0.1:8080/readyz")));
    }
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
    fn every_address_means_this_machine() {
        let asked = |addr: &str| reachable(addr.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:80"), "[::1]:80");
        assert_eq!(asked("10.0.0.7:80"), "10.0.0.7:80");
    }
}
