//! What is served: the facts of `senet inspect`, and readiness.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use crate::http::problem::Problem;
use crate::http::state::AppState;
use crate::model::{Description, Model};

#[derive(Serialize)]
pub(crate) struct Models {
    models: Vec<Served>,
}

#[derive(Serialize)]
pub(crate) struct Served {
    #[serde(flatten)]
    model: Description,
    ready: bool,
    default: bool,
}

/// All models, the one that answers without a name first.
pub(crate) async fn list_models(State(state): State<Arc<AppState>>) -> Json<Models> {
    Json(Models { models: state.registry.models().iter().map(|model| describe(&state, model)).collect() })
}

/// One model.
pub(crate) async fn describe_model(State(state): State<Arc<AppState>>, Path(name): Path<String>) -> Result<Json<Served>, Problem> {
    let model = state.registry.get(Some(&name))?;
    Ok(Json(describe(&state, &model)))
}

fn describe(state: &AppState, model: &Model) -> Served {
    let default = state.registry.get(None).is_ok_and(|first| first.name() == model.name());
    Served { model: model.describe(), ready: state.ready().is_ok(), default }
}
