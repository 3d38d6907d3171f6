//! What is served: the facts of `senet inspect`, and readiness.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use crate::http::problem::Problem;
use crate::http::state::AppState;
use crate::image::InputContract;
use crate::inference::{NetworkSummary, OutputActivation};
use crate::model::Model;

#[derive(Serialize)]
pub(crate) struct Models {
    models: Vec<Description>,
}

#[derive(Serialize)]
pub(crate) struct Description {
    name: String,
    version: String,
    ready: bool,
    default: bool,
    #[serde(flatten)]
    network: NetworkSummary,
    contract: InputContract,
    activation: OutputActivation,
    preprocessing: String,
}

/// All models, the one that answers without a name first.
pub(crate) async fn list_models(State(state): State<Arc<AppState>>) -> Json<Models> {
    Json(Models { models: state.registry.models().iter().map(|model| describe(&state, model)).collect() })
}

/// One model.
pub(crate) async fn describe_model(State(state): State<Arc<AppState>>, Path(name): Path<String>) -> Result<Json<Description>, Problem> {
    let model = state.registry.get(Some(&name))?;
    Ok(Json(describe(&state, &model)))
}

fn describe(state: &AppState, model: &Model) -> Description {
    let mut network = model.engine().summary().clone();
    network.warnings.extend_from_slice(model.warnings());
    Description {
        name: model.name().to_owned(),
        version: model.version().to_owned(),
        ready: state.ready().is_ok(),
        default: state.registry.get(None).is_ok_and(|first| first.name() == model.name()),
        network,
        contract: model.contract().clone(),
        activation: model.output_activation(),
        preprocessing: model.fingerprint().to_owned(),
    }
}
