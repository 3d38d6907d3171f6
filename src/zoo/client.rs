//! How the zoo is reached: address, proxy, certificates and time limits, from the variables that other programs heed too.
//!
//! TLS is rustls with ring: pure cargo and a C compiler, no cmake. Trusted are the system's root certificates, or those of `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`, so that a company's own root works; where the system has none, as in an empty container, Mozilla's, which are built in.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use ureq::config::RedirectAuthHeaders;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::error::ZooError;

/// Where the zoo is.
pub(super) const HUGGING_FACE: &str = "https://huggingface.co";

/// Asks the zoo.
#[derive(Debug)]
pub struct Client {
    /// Scheme and host, without a slash at the end.
    pub(super) endpoint: String,
    /// Value of the Authorization header.
    pub(super) authorization: Option<String>,
    pub(super) agent: Agent,
    pub(super) patience: Patience,
}

/// How long is waited and how often it is tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection, name look-up apart.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub stall: Duration,
    /// After the first attempt.
    pub retries: u32,
    /// Before the first retry, and twice as long before each further one.
    pub first_wait: Duration,
    /// Longest wait, whatever the server asks for.
    pub longest_wait: Duration,
    /// What waits.
    pub sleep: fn(Duration),
}

impl Default for Patience {
    fn default() -> Self {
        let second = Duration::from_secs;
        Self { connect: second(15), stall: second(30), retries: 5, first_wait: second(1), longest_wait: second(120), sleep: thread::sleep }
    }
}

impl Client {
    /// As the environment of this process says; see [`Client::from_variables`].
    ///
    /// # Errors
    /// [`ZooError::Setting`].
    pub fn from_environment() -> Result<Self, ZooError> {
        Self::from_variables(|name| env::var_os(name), Patience::default())
    }

    /// As these variables say, each of which may be absent or empty: `HF_ENDPOINT`, a mirror; `HF_TOKEN`, sent to it and to no other host;
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    ///
    /// # Errors
    /// [`ZooError::Setting`].
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>, patience: Patience) -> Result<Self, ZooError> {
        let os = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| os(name).map(|value| value.to_string_lossy().trim().to_owned());
        let endpoint = text("HF_ENDPOINT").map_or_else(|| HUGGING_FACE.to_owned(), |endpoint| endpoint.trim_end_matches('/').to_owned());
        if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
            return Err(setting("HF_ENDPOINT", format!("is {endpoint:?}"), "an address as https://huggingface.co"));
        }
        let secure = endpoint.starts_with("https://");
        let tls = TlsConfig::builder().root_certs(roots(&os)?).build();
        let agent = Agent::config_builder()
            .https_only(secure)
            .http_status_as_error(false)
            .proxy(proxy(secure, &text)?)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(patience.connect))
            .timeout_per_read(Some(patience.stall))
            .timeout_resolve(Some(patience.connect))
            .tls_config(tls)
            .user_agent(concat!("senet/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { endpoint, authorization: text("HF_TOKEN").map(|token| format!("Bearer {token}")), agent, patience })
    }
}

fn setting(variable: &str, problem: String, expected: &str) -> ZooError {
    ZooError::Setting { variable: variable.to_owned(), problem, expected: expected.to_owned() }
}

/// As curl has it: the scheme's own variable before `ALL_PROXY`, lower case as good as upper, and a host of `NO_PROXY` with all below it.
fn proxy(secure: bool, text: &impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, ZooError> {
    let either = |name: &str| text(name).or_else(|| text(&name.to_lowercase())).map(|value| (name.to_owned(), value));
    let own = if secure { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let Some((variable, url)) = either(own).or_else(|| either("ALL_PROXY")) else { return Ok(None) };
    let wrong = |_| setting(&variable, "is no address of a proxy".to_owned(), "one as http://proxy:3128 or socks5://proxy:1080");
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

fn roots(os: &impl Fn(&str) -> Option<OsString>) -> Result<RootCerts, ZooError> {
    let (file, folder) = (os("SSL_CERT_FILE").map(PathBuf::from), os("SSL_CERT_DIR").map(PathBuf::from));
    let asked_for = [("SSL_CERT_FILE", &file), ("SSL_CERT_DIR", &folder)].into_iter().find_map(|(name, path)| path.as_ref().map(|path| (name, path)));
    let found = if asked_for.is_some() { load_certs_from_paths(file.as_deref(), folder.as_deref()) } else { load_native_certs() };
    match asked_for {
        Some((variable, path)) if found.certs.is_empty() => {
            let reason = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            Err(setting(variable, format!("is {path:?}{reason}"), "root certificates in PEM"))
        }
        None if found.certs.is_empty() => Ok(RootCerts::WebPki),
        _ => Ok(found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(variables: &[(&str, &str)]) -> Result<Client, ZooError> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Client::from_variables(find, Patience::default())
    }

    fn proxy_of(variables: &[(&str, &str)]) -> Option<String> {
        client(variables).unwrap().agent.config().proxy().map(|proxy| proxy.uri().to_string())
    }

    #[test]
    fn the_endpoint_is_hugging_face_or_a_mirror() {
        assert_eq!(client(&[]).unwrap().endpoint, "https://huggingface.co");
        assert_eq!(client(&[("HF_ENDPOINT", "")]).unwrap().endpoint, "https://huggingface.co");
        assert_eq!(client(&[("HF_ENDPOINT", "http://mirror:8/ ")]).unwrap().endpoint, "http://mirror:8");
        let message = client(&[("HF_ENDPOINT", "mirror")]).unwrap_err().to_string();
        assert_eq!(message, "HF_ENDPOINT is \"mirror\", expected an address as https://huggingface.co");
    }

    #[test]
    fn the_proxy_is_the_schemes_own_or_all_proxy() {
        assert_eq!(proxy_of(&[("HTTP_PROXY", "http://a:1")]), None, "the zoo is asked by HTTPS");
        assert_eq!(proxy_of(&[("ALL_PROXY", "socks5://b:1")]).as_deref(), Some("SOCKS5://b:1/"));
        let both = [("https_proxy", "http://c:1"), ("ALL_PROXY", "http://b:1")];
        assert!(proxy_of(&both).unwrap().contains("c:1"));
        let mirror = [("HTTP_PROXY", "http://a:1"), ("HF_ENDPOINT", "http://mirror")];
        assert!(proxy_of(&mirror).unwrap().contains("a:1"));
        let message = client(&[("HTTPS_PROXY", "ftp://me:secret@x")]).unwrap_err().to_string();
        assert_eq!(message, "HTTPS_PROXY is no address of a proxy, expected one as http://proxy:3128 or socks5://proxy:1080");
    }

    #[test]
    fn hosts_of_no_proxy_are_asked_directly() {
        let variables = [("HTTPS_PROXY", "http://u:p%40@a:1"), ("NO_PROXY", "localhost, .corp.example")];
        let client = client(&variables).unwrap();
        let proxy = client.agent.config().proxy().unwrap();
        let direct = |host: &str| proxy.is_no_proxy(&format!("https://{host}/").parse().unwrap());
        assert!(direct("localhost") && direct("hub.corp.example") && direct("corp.example") && !direct("huggingface.co"));
        assert_eq!((proxy.username(), proxy.password()), (Some("u"), Some("p@")));
    }

    #[test]
    fn a_certificate_file_that_cannot_be_read_is_named() {
        let message = client(&[("SSL_CERT_FILE", "/nowhere.pem")]).unwrap_err().to_string();
        assert!(message.starts_with("SSL_CERT_FILE is \"/nowhere.pem\": ") && message.ends_with(", expected root certificates in PEM"), "{message}");
    }
}
