//! How other hosts are reached: proxy, certificates and time limits, from the variables that other programs heed too.
//!
//! TLS is rustls with ring: pure cargo and a C compiler, no cmake. Trusted are the system's root certificates, or those of `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`, so that a company's own root works; where the system has none, as in an empty container, Mozilla's, which are built in.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use ureq::config::{ConfigBuilder, RedirectAuthHeaders};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::{Agent, Proxy};

/// An environment variable that says how to reach other hosts is wrong. Its value is not shown where it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("{variable} {problem}, expected {expected}")]
pub struct SettingError {
    /// Its name.
    pub variable: String,
    /// "is …" and the value, or what is wrong with it.
    pub problem: String,
    /// What would be right.
    pub expected: String,
}

impl SettingError {
    pub(crate) fn new(variable: &str, problem: String, expected: &str) -> Self {
        Self { variable: variable.to_owned(), problem, expected: expected.to_owned() }
    }
}

/// How long another host may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// For a connection, name look-up apart.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub stall: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(15), stall: Duration::from_secs(30) }
    }
}

/// An agent that gives answers of any status back, and takes credentials to no host that it is redirected to.
///
/// `secure` chooses the proxy: `HTTPS_PROXY` or `HTTP_PROXY`, either after it `ALL_PROXY`, less `NO_PROXY`.
///
/// # Errors
/// [`SettingError`].
pub(crate) fn agent(secure: bool, waits: Waits, variable: &impl Fn(&str) -> Option<OsString>) -> Result<ConfigBuilder<AgentScope>, SettingError> {
    let os = |name: &str| variable(name).filter(|value| !value.is_empty());
    let text = |name: &str| os(name).map(|value| value.to_string_lossy().trim().to_owned());
    Ok(Agent::config_builder()
        .https_only(secure)
        .http_status_as_error(false)
        .proxy(proxy(secure, &text)?)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .timeout_connect(Some(waits.connect))
        .timeout_per_read(Some(waits.stall))
        .timeout_resolve(Some(waits.connect))
        .tls_config(TlsConfig::builder().root_certs(roots(&os)?).build())
        .user_agent(concat!("senet/", env!("CARGO_PKG_VERSION"))))
}

/// As curl has it: the scheme's own variable before `ALL_PROXY`, lower case as good as upper, and a host of `NO_PROXY` with all below it.
fn proxy(secure: bool, text: &impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, SettingError> {
    let either = |name: &str| text(name).or_else(|| text(&name.to_lowercase())).map(|value| (name.to_owned(), value));
    let own = if secure { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let Some((variable, url)) = either(own).or_else(|| either("ALL_PROXY")) else { return Ok(None) };
    let wrong = |_| SettingError::new(&variable, "is no address of a proxy".to_owned(), "one as http://proxy:3128 or socks5://proxy:1080");
    let given = Proxy::new(&url).map_err(wrong)?;
    let mut builder = Proxy::builder(given.protocol()).host(given.host()).port(given.port());
    if let Some(username) = given.username() {
        builder = builder.username(username);
    }
    if let Some(password) = given.password() {
        builder = builder.password(password);
    }
    let exempt = either("NO_PROXY").map(|(_, hosts)| hosts).unwrap_or_default();
    for host in exempt.split(',').map(|host| host.trim().trim_start_matches('.')).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host).no_proxy(&format!(".{host}"));
    }
    builder.build().map(Some).map_err(wrong)
}

fn roots(os: &impl Fn(&str) -> Option<OsString>) -> Result<RootCerts, SettingError> {
    let (file, folder) = (os("SSL_CERT_FILE").map(PathBuf::from), os("SSL_CERT_DIR").map(PathBuf::from));
    let asked_for = [("SSL_CERT_FILE", &file), ("SSL_CERT_DIR", &folder)].into_iter().find_map(|(name, path)| path.as_ref().map(|path| (name, path)));
    let found = if asked_for.is_some() { load_certs_from_paths(file.as_deref(), folder.as_deref()) } else { load_native_certs() };
    match asked_for {
        Some((variable, path)) if found.certs.is_empty() => {
            let reason = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            Err(SettingError::new(variable, format!("is {path:?}{reason}"), "root certificates in PEM"))
        }
        None if found.certs.is_empty() => Ok(RootCerts::WebPki),
        _ => Ok(found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(secure: bool, variables: &[(&str, &str)]) -> Result<Agent, SettingError> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Ok(agent(secure, Waits::default(), &find)?.build().new_agent())
    }

    fn proxy_of(secure: bool, variables: &[(&str, &str)]) -> Option<String> {
        configured(secure, variables).unwrap().config().proxy().map(|proxy| proxy.uri().to_string())
    }

    #[test]
    fn the_proxy_is_the_schemes_own_or_all_proxy() {
        assert_eq!(proxy_of(true, &[("HTTP_PROXY", "http://a:1")]), None);
        assert_eq!(proxy_of(true, &[("ALL_PROXY", "socks5://b:1")]).as_deref(), Some("SOCKS5://b:1/"));
        let both = [("https_proxy", "http://c:1"), ("ALL_PROXY", "http://b:1")];
        assert!(proxy_of(true, &both).unwrap().contains("c:1"));
        assert!(proxy_of(false, &[("HTTP_PROXY", "http://a:1")]).unwrap().contains("a:1"));
        let message = configured(true, &[("HTTPS_PROXY", "ftp://me:secret@x")]).unwrap_err().to_string();
        assert_eq!(message, "HTTPS_PROXY is no address of a proxy, expected one as http://proxy:3128 or socks5://proxy:1080");
    }

    #[test]
    fn hosts_of_no_proxy_are_asked_directly() {
        let agent = configured(true, &[("HTTPS_PROXY", "http://u:p%40@a:1"), ("NO_PROXY", "localhost, .corp.example")]).unwrap();
        let proxy = agent.config().proxy().unwrap();
        let direct = |host: &str| proxy.is_no_proxy(&format!("https://{host}/").parse().unwrap());
        assert!(direct("localhost") && direct("hub.corp.example") && direct("corp.example") && !direct("huggingface.co"));
        assert_eq!((proxy.username(), proxy.password()), (Some("u"), Some("p@")));
    }

    #[test]
    fn a_certificate_file_that_cannot_be_read_is_named() {
        let message = configured(true, &[("SSL_CERT_FILE", "/nowhere.pem")]).unwrap_err().to_string();
        assert!(message.starts_with("SSL_CERT_FILE is \"/nowhere.pem\": ") && message.ends_with(", expected root certificates in PEM"), "{message}");
    }
}
