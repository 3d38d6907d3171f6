//! How the zoo is reached: address, token and patience.

use std::env;
use std::ffi::OsString;
use std::thread;
use std::time::Duration;

use ureq::Agent;

use super::error::ZooError;
use crate::outgoing::{self, SettingError, Waits};

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
        let (Waits { connect, stall }, second) = (Waits::default(), Duration::from_secs);
        Self { connect, stall, retries: 5, first_wait: second(1), longest_wait: second(120), sleep: thread::sleep }
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
            return Err(SettingError::new("HF_ENDPOINT", format!("is {endpoint:?}"), "an address as https://huggingface.co").into());
        }
        let secure = endpoint.starts_with("https://");
        let waits = Waits { connect: patience.connect, stall: patience.stall };
        let agent = outgoing::agent(secure, waits, &variable)?.build().new_agent();
        Ok(Self { endpoint, authorization: text("HF_TOKEN").map(|token| format!("Bearer {token}")), agent, patience })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(variables: &[(&str, &str)]) -> Result<Client, ZooError> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Client::from_variables(find, Patience::default())
    }

    #[test]
    fn the_endpoint_is_hugging_face_or_a_mirror() {
        assert_eq!(client(&[]).unwrap().endpoint, "https://huggingface.co");
        assert_eq!(client(&[("HF_ENDPOINT", "")]).unwrap().endpoint, "https://huggingface.co");
        assert_eq!(client(&[("HF_ENDPOINT", "http://mirror:8/ ")]).unwrap().endpoint, "http://mirror:8");
        let message = client(&[("HF_ENDPOINT", "mirror")]).unwrap_err().to_string();
        assert_eq!(message, "HF_ENDPOINT is \"mirror\", expected an address as https://huggingface.co");
    }
}
