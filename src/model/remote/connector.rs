//! The HTTP client of the object stores: the same `ureq` that fetches models of the zoo, with its proxy, certificates and time limits.
//!
//! It blocks. That holds nobody up, since every call of a [`super::store::Store`] has a thread and a runtime to itself.

use std::future::ready;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService};
use object_store::{ClientConfigKey, ClientOptions};
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use ureq::http::{HeaderValue, Request};
use ureq::{Agent, BodyReader};

use crate::config::HumanDuration;
use crate::outgoing::{self, SettingError, Waits};

/// Makes clients for stores.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    /// For `https://` addresses.
    secure: Agent,
    /// For `http://` addresses.
    plain: Agent,
    /// Value of the Authorization header where the store sets none.
    authorization: Option<HeaderValue>,
}

impl Connector {
    /// With proxy and certificates as the environment has them.
    ///
    /// # Errors
    /// [`SettingError`].
    pub(super) fn new(authorization: Option<HeaderValue>) -> Result<Self, SettingError> {
        let agent = |secure| -> Result<Agent, SettingError> {
            let config = outgoing::agent(secure, Waits::default(), &|name| std::env::var_os(name))?;
            // PROPFIND.
            Ok(config.allow_non_standard_methods(true).build().new_agent())
        };
        Ok(Self { secure: agent(true)?, plain: agent(false)?, authorization })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let option = |key| options.get_config_value(&key);
        let allow_http = option(ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let connect = option(ClientConfigKey::ConnectTimeout).and_then(|time| time.parse().ok()).unwrap_or(HumanDuration(Waits::default().connect));
        Ok(HttpClient::new(Client { connector: self.clone(), allow_http, connect }))
    }
}

#[derive(Debug)]
struct Client {
    connector: Connector,
    allow_http: bool,
    connect: HumanDuration,
}

impl Client {
    fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        let Connector { secure, plain, authorization } = &self.connector;
        let agent = match parts.uri.scheme_str() {
            Some("https") => secure,
            _ if self.allow_http => plain,
            _ => return Err(HttpError::new(HttpErrorKind::Unknown, io::Error::other("http:// is not allowed, see AWS_ALLOW_HTTP"))),
        };
        if let Some(authorization) = authorization.as_ref().filter(|_| !parts.headers.contains_key(AUTHORIZATION)) {
            parts.headers.insert(AUTHORIZATION, authorization.clone());
        }
        // What is sent to read is nothing, or the one piece of a form.
        let answer = match body.as_bytes().filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => self.run(agent, Request::from_parts(parts, &bytes[..])),
            None => self.run(agent, Request::from_parts(parts, ())),
        };
        let (parts, body) = answer.map_err(|error| HttpError::new(kind(&error), error))?.into_parts();
        let left = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(Incoming { reader: body.into_reader(), left })))
    }

    fn run(&self, agent: &Agent, request: Request<impl ureq::AsSendBody>) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        agent.run(agent.configure_request(request).timeout_connect(Some(self.connect.0)).build())
    }
}

impl HttpService for Client {
    /// What `async_trait` makes of `async fn call`.
    fn call<'life, 'call>(&'life self, request: HttpRequest) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'call>>
    where
        'life: 'call,
        Self: 'call,
    {
        Box::pin(ready(self.send(request)))
    }
}

/// Which errors the store tries again.
fn kind(error: &ureq::Error) -> HttpErrorKind {
    match error {
        ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => HttpErrorKind::Connect,
        // What rustls refuses comes as invalid data.
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => HttpErrorKind::Unknown,
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => HttpErrorKind::Connect,
        ureq::Error::Io(_) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    }
}

/// An answer's body on its way.
struct Incoming {
    reader: BodyReader<'static>,
    /// Bytes that were promised and have not come; unknown where nothing was promised.
    left: Option<u64>,
}

impl Incoming {
    fn read(&mut self) -> io::Result<Bytes> {
        let mut buffer = vec![0; 1 << 16];
        let length = loop {
            match self.reader.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if length == 0 && self.left.is_some_and(|left| left > 0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self.left.map(|left| left.saturating_sub(length as u64));
        buffer.truncate(length);
        Ok(buffer.into())
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        Poll::Ready(match self.read() {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) => Some(Ok(Frame::data(bytes))),
            Err(error) => Some(Err(HttpError::new(HttpErrorKind::Interrupted, error))),
        })
    }
}
