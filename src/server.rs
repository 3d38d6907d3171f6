//! The life of the service: bind, load, serve, drain.

mod connections;
mod descriptors;
mod exchange;
mod lingering;
mod places;
mod progress;
mod socket;
mod stops;
mod throttle;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{error, info, warn};

use self::connections::Address;
pub use self::stops::{Signals, Stops};
use self::throttle::Throttle;
use crate::config::{AdmissionConfig, DrainConfig, HttpConfig};
use crate::http::{AppState, Phase, StartError, admin_router, router};
use crate::image::Limits;
use crate::kernels::Simd;
use crate::model::{Lifecycle, ModelError};

/// For the workers to end, when the deadline has passed already.
const JOIN_AT_LEAST: Duration = Duration::from_millis(100);

/// Everything that the service is configured by.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Addresses and limits of requests.
    pub http: HttpConfig,
    /// Workers and queue.
    pub admission: AdmissionConfig,
    /// How it stops.
    pub drain: DrainConfig,
    /// What a picture may cost.
    pub limits: Limits,
    /// The instruction set in use, for `senet_build_info`.
    pub simd: Simd,
    /// How often to look whether the models' files have changed, if at all.
    pub watch: Option<Duration>,
}

/// Why the service ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is in use, not this machine's, or not allowed.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// What was asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A thread or a signal handler could not be set up.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// The state of the service could not be made.
    #[error("cannot start: {0}")]
    State(#[from] StartError),
    /// The models could not be loaded.
    #[error("cannot load the models: {0}")]
    Load(#[from] ModelError),
    /// Loading the models panicked.
    #[error("cannot load the models: the loading thread panicked")]
    LoadPanicked,
    /// It was told to stop for the third time, with requests under way.
    #[error("told to stop three times: ended without waiting for the requests under way")]
    GivenUp,
}

/// A service whose addresses are bound, and which answers nothing yet.
pub struct Server {
    config: ServerConfig,
    http: TcpListener,
    admin: Option<TcpListener>,
}

impl Server {
    /// Binds the addresses of `config`.
    ///
    /// # Errors
    /// [`ServeError::Bind`].
    pub async fn bind(mut config: ServerConfig) -> Result<Self, ServeError> {
        let http = listen(&mut config.http.http_addr).await?;
        let admin = match &mut config.http.admin_addr {
            Some(addr) => Some(listen(addr).await?),
            None => None,
        };
        Ok(Self { config, http, admin })
    }

    /// Where requests are answered: the address of the configuration, with the port that the system chose if that was 0.
    pub fn http_addr(&self) -> SocketAddr {
        self.config.http.http_addr
    }

    /// Where operators are answered, likewise.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.config.http.admin_addr
    }

    /// Answers the probes at once, loads `models`, becomes ready when all were tried, and drains when it is told to stop. Told a second time, it
    /// ends the grace; a third time, it ends at once. SIGHUP, and `watch` of the configuration, then look for new and changed models.
    ///
    /// # Errors
    /// [`ServeError::Start`] and [`ServeError::State`], [`ServeError::Load`] as soon as [`Lifecycle::start`] fails, and [`ServeError::GivenUp`].
    pub async fn run(self, models: Lifecycle, mut stops: impl Stops) -> Result<(), ServeError> {
        let Self { config, http, admin } = self;
        let hangup = signal(SignalKind::hangup()).map_err(ServeError::Start)?;
        let state = Arc::new(AppState::new(config.http.clone(), config.admission, config.limits, config.simd, models)?);
        let (finish, finishing) = watch::channel(false);
        let mut listeners = JoinSet::new();
        let address = |name, router| Address { name, router, state: Arc::clone(&state), unreadable: Throttle::default() };
        descriptors::provide(&config.http, if admin.is_some() { 2 } else { 1 });
        listeners.spawn(connections::answer(http, address("http", router(&state)), finishing.clone()));
        if let Some(admin) = admin {
            listeners.spawn(connections::answer(admin, address("admin", admin_router(&state)), finishing));
        }
        tokio::select! {
            loaded = in_background(state.models(), Lifecycle::start) => {
                loaded.ok_or(ServeError::LoadPanicked)??;
                state.advance(Phase::Ready);
                info!(models = state.registry().models().len(), "ready");
                tokio::select! {
                    () = keep_up(state.models(), hangup, config.watch) => {}
                    () = stops.next() => {}
                }
            }
            () = stops.next() => {}
        }
        drain(state, config.drain, &finish, listeners, stops).await
    }
}

/// Binds and runs until SIGTERM or SIGINT: what `senet serve` does.
///
/// # Errors
/// As [`Server::bind`] and [`Server::run`].
pub async fn serve(config: ServerConfig, models: Lifecycle) -> Result<(), ServeError> {
    let server = Server::bind(config).await?;
    server.run(models, Signals::install()?).await
}

/// Looks for new and changed models at every SIGHUP and every `interval`; never ends.
async fn keep_up(models: &Arc<Lifecycle>, mut hangup: Signal, interval: Option<Duration>) {
    loop {
        let pause = async {
            match interval {
                Some(interval) => sleep(interval).await,
                None => pending().await,
            }
        };
        let change = tokio::select! {
            Some(()) = hangup.recv() => {
                info!("looking for new and changed models");
                Lifecycle::refresh
            }
            () = pause => Lifecycle::watch,
        };
        if in_background(models, change).await.is_none() {
            error!("looking for new and changed models failed");
        }
    }
}

/// Listens at `addr`, and writes the port into it that the system chose.
async fn listen(addr: &mut SocketAddr) -> Result<TcpListener, ServeError> {
    let fail = |source| ServeError::Bind { addr: *addr, source };
    let listener = TcpListener::bind(*addr).await.map_err(fail)?;
    *addr = listener.local_addr().map_err(fail)?;
    Ok(listener)
}

/// Loading takes seconds of CPU, so it has a thread; a shutdown does not wait for it, since nothing that it makes is kept. `None` when there
/// is no thread to be had, or `work` panics.
async fn in_background<T: Send + 'static>(models: &Arc<Lifecycle>, work: fn(&Lifecycle) -> T) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    let models = Arc::clone(models);
    let work = move || {
        // After a shutdown nobody listens.
        let _unheard = sender.send(work(&models));
    };
    thread::Builder::new().name("senet-load".to_owned()).spawn(work).ok()?;
    receiver.await.ok()
}

/// Readiness first, then new connections, then the requests under way, then the workers; `config.deadline` bounds what follows the grace.
async fn drain(
    state: Arc<AppState>,
    config: DrainConfig,
    finish: &watch::Sender<bool>,
    mut listeners: JoinSet<()>,
    mut stops: impl Stops,
) -> Result<(), ServeError> {
    // A service that never was ready has nobody to warn; one that has what it requires is ready while other models are loaded.
    let grace = if state.phase() == Phase::Starting && state.ready().is_err() { Duration::ZERO } else { config.grace };
    info!(grace_seconds = grace.as_secs_f64(), "draining");
    state.advance(Phase::Draining);
    let mut told = 1;
    tokio::select! {
        () = sleep(grace) => {}
        () = stops.next() => {
            told += 1;
            info!("told to stop again: the grace ends");
        }
    }
    state.advance(Phase::Stopping);
    finish.send_replace(true);
    let end = Instant::now() + config.deadline;
    let all_answered = tokio::select! {
        answered = timeout_at(end, async { while listeners.join_next().await.is_some() {} }) => answered.is_ok(),
        () = told_three_times(told, &mut stops) => {
            listeners.shutdown().await;
            let _joined = timeout(JOIN_AT_LEAST, join_workers(state)).await.is_ok();
            return Err(ServeError::GivenUp);
        }
    };
    if !all_answered {
        warn!(deadline_seconds = config.deadline.as_secs_f64(), "the deadline passed with requests under way; they are dropped");
        listeners.shutdown().await;
    }
    let workers_joined = timeout_at(end.max(Instant::now() + JOIN_AT_LEAST), join_workers(state)).await.is_ok();
    info!(all_answered, workers_joined, "stopped");
    Ok(())
}

/// Resolves with the third time, of which `told` have been.
async fn told_three_times(told: u32, stops: &mut impl Stops) {
    for _ in told..3 {
        stops.next().await;
    }
}

/// Drops the state, whose last owner joins the workers. That blocks, and may do so for long where a network runs, so it has a thread that the
/// end of the process need not wait for.
async fn join_workers(state: Arc<AppState>) {
    let (sender, joined) = oneshot::channel::<()>();
    let work = move || {
        drop(state);
        drop(sender);
    };
    if thread::Builder::new().name("senet-join".to_owned()).spawn(work).is_ok() {
        let _sender_dropped = joined.await.is_err();
    }
}
