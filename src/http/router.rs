//! Which path is answered by what: a function of the state, so that tests call it without a socket.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::response::Redirect;
use axum::routing::{get, post};

use super::problem::{Kind, Problem};
use super::state::AppState;
use super::{middleware, routes};
use crate::excerpt::excerpt;

/// What is answered at the address of requests; `/metrics` too, unless there is an address for operators.
pub fn router(state: &Arc<AppState>) -> Router {
    let work = Router::new()
        .route("/v1/classify", post(routes::classify))
        .route("/v1/models", get(routes::list_models))
        .route("/v1/models/{name}", get(routes::describe_model));
    // Metrics are answered whatever others hold.
    let routes = probes()
        .merge(middleware::count_large_answers(work, state))
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/openapi.json", get(routes::openapi))
        .route("/docs", get(routes::docs))
        .route("/problems", get(routes::list_problems))
        .route("/problems/{name}", get(routes::describe_problem));
    let routes = if state.http.admin_addr.is_none() { routes.route("/metrics", get(routes::metrics)) } else { routes };
    finish(routes, state)
}

/// What is answered at the address of operators; the control of models only where it is configured.
pub fn admin_router(state: &Arc<AppState>) -> Router {
    let routes = probes().route("/metrics", get(routes::metrics));
    let routes = if state.http.model_control {
        routes.route("/v1/models/{name}/load", post(routes::load_model)).route("/v1/models/{name}/unload", post(routes::unload_model))
    } else {
        routes
    };
    finish(routes, state)
}

fn probes() -> Router<Arc<AppState>> {
    Router::new().route("/livez", get(routes::livez)).route("/readyz", get(routes::readyz)).route("/health", get(routes::health))
}

fn finish(routes: Router<Arc<AppState>>, state: &Arc<AppState>) -> Router {
    let routes = routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    middleware::wrap(routes, state).with_state(Arc::clone(state))
}

async fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing at this path; GET /docs describes what there is")
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{} does not take {}", excerpt(uri.path()), excerpt(method.as_str())))
}
