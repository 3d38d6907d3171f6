//! What is served: the facts of `senet inspect`, readiness, and what became of the last attempt to load.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::name::Name;
use crate::excerpt::excerpt;
use crate::http::parameters::{invalid_parameter, once, pairs, unknown};
use crate::http::problem::Problem;
use crate::http::state::{AppState, Phase};
use crate::model::{self, ControlError, Description, Entry, Lifecycle, NotServed};

#[derive(Serialize)]
pub(crate) struct Models {
    models: Vec<Listed>,
}

#[derive(Serialize)]
pub(crate) struct Listed {
    #[serde(flatten)]
    facts: Facts,
    ready: bool,
    default: bool,
    state: model::State,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// All that is known of a model that is served, and of another its name.
#[derive(Serialize)]
#[serde(untagged)]
enum Facts {
    Served(Box<Description>),
    Expected { name: String },
}

/// All models, the one that answers without a name first.
pub(crate) async fn list_models(State(state): State<Arc<AppState>>) -> Json<Models> {
    let entries = state.registry().entries();
    Json(Models { models: entries.into_iter().enumerate().map(|(index, entry)| describe(&state, index, entry)).collect() })
}

/// One model.
pub(crate) async fn describe_model(State(state): State<Arc<AppState>>, Name(name): Name) -> Result<Json<Listed>, Problem> {
    let found = state.registry().entries().into_iter().enumerate().find(|(_, entry)| entry.name == name);
    let (index, entry) = found.ok_or_else(|| NotServed::unknown(&name))?;
    Ok(Json(describe(&state, index, entry)))
}

fn describe(state: &AppState, index: usize, entry: Entry) -> Listed {
    let Entry { name, state: last, served, error, .. } = entry;
    Listed {
        ready: served.is_some() && state.phase() < Phase::Draining,
        facts: served.map_or(Facts::Expected { name }, |model| Facts::Served(Box::new(model.describe()))),
        default: index == 0,
        state: last,
        error,
    }
}

/// Loads a model beside the running one and swaps it in.
pub(crate) async fn load_model(state: State<Arc<AppState>>, name: Name, uri: Uri) -> Result<Json<Listed>, Problem> {
    let version = version(&uri)?;
    control(state, name, move |models, name| models.load(name, version).map(drop)).await
}

/// The version that the query of `uri` asks for, which may hold nothing else.
fn version(uri: &Uri) -> Result<Option<u64>, Problem> {
    let mut version = None;
    for (name, value) in pairs(uri) {
        if name != "version" {
            return Err(unknown(&name, ["version"]));
        }
        let wrong = |_| invalid_parameter(format!("version is {:?}, expected a whole number of 0 or more", excerpt(&value)));
        once("version", &mut version, value.parse().map_err(wrong)?)?;
    }
    Ok(version)
}

/// Stops serving a model.
pub(crate) async fn unload_model(state: State<Arc<AppState>>, name: Name) -> Result<Json<Listed>, Problem> {
    control(state, name, |models, name| Ok(models.unload(name)?)).await
}

/// Does `change`, which takes its turn among others, on a thread that may wait, and describes what came of it.
async fn control(
    state: State<Arc<AppState>>,
    name: Name,
    change: impl FnOnce(&Lifecycle, &str) -> Result<(), ControlError> + Send + 'static,
) -> Result<Json<Listed>, Problem> {
    let (models, called) = (Arc::clone(state.models()), name.0.clone());
    spawn_blocking(move || change(&models, &called)).await.map_err(Problem::internal)??;
    describe_model(state, name).await
}
