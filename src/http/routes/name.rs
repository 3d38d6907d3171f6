//! The name of a model or a problem in a path.

use axum::extract::{FromRequestParts, Path};
use axum::http::request;

use crate::http::parameters::invalid_parameter;
use crate::http::problem::Problem;

/// The part of a path that a route calls `{name}`, percent-decoded.
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        let name = Path::from_request_parts(parts, state).await;
        name.map(|Path(name)| Self(name)).map_err(|_| invalid_parameter("the name in the path is not UTF-8 when it is percent-decoded"))
    }
}
