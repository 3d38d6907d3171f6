//! The order of what happens around every request.

mod access_log;
mod body_limit;
mod deadline;
mod host;
mod large_answer;
mod metrics;
mod places;
mod request_id;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::problem::Problem;
use super::state::AppState;

pub(super) use access_log::Served;
pub(super) use deadline::Deadline;
pub(super) use metrics::ModelAsked;
pub(crate) use places::{NoPlace, is_probe};
pub(super) use request_id::RequestId;

/// Puts the layers around all `routes`, the fallbacks included; listed outside in.
pub(super) fn wrap(routes: Router<Arc<AppState>>, state: &Arc<AppState>) -> Router<Arc<AppState>> {
    let layers = ServiceBuilder::new()
        .layer(from_fn(request_id::assign))
        .layer(from_fn(access_log::record))
        .layer(from_fn_with_state(Arc::clone(state), metrics::count))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn_with_state(Arc::clone(state), deadline::enforce))
        .layer(from_fn(places::refuse))
        .layer(from_fn(host::check))
        .layer(from_fn_with_state(Arc::clone(state), body_limit::refuse))
        // The limits of ours are in their place.
        .layer(DefaultBodyLimit::disable());
    routes.layer(layers)
}

/// Counts what `routes` answer, where it is large.
pub(super) fn count_large_answers(routes: Router<Arc<AppState>>, state: &Arc<AppState>) -> Router<Arc<AppState>> {
    routes.route_layer(from_fn_with_state(Arc::clone(state), large_answer::hold))
}

/// The words and the place of a panic are in the log already, under the same request id.
fn answer_panic(_payload: Box<dyn Any + Send>) -> Response {
    Problem::internal("the handler panicked").into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode, header};
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::config::{AdmissionConfig, HttpConfig};
    use crate::image::Limits;
    use crate::inference::LoadOptions;
    use crate::kernels::Simd;
    use crate::model::{Files, Lifecycle, LoadLimits};

    async fn out_of_order() {
        panic!("the handler is out of order");
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_as_an_internal_error() {
        let files = Files { models: None, named: vec![], options: LoadOptions::default(), limits: LoadLimits::default() };
        let models = Lifecycle::new(files, vec![]);
        let state = AppState::new(HttpConfig::default(), AdmissionConfig::default(), Limits::default(), Simd::detect(), models).unwrap();
        let state = Arc::new(state);
        let router = wrap(Router::new().route("/", get(out_of_order)), &state).with_state(Arc::clone(&state));
        let response = router.oneshot(Request::get("/").header(header::HOST, "test").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
