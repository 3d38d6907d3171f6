//! A real S3 server for one test: `s3s` over a folder, with signatures checked and requests written down.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(crate) const KEY: &str = "AKTEST";
pub(crate) const SECRET: &str = "keep-this-to-yourself";

/// Listens until it is dropped, and closes its connections then.
pub(crate) struct S3 {
    addr: SocketAddr,
    folder: tempfile::TempDir,
    requests: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

impl S3 {
    /// With an empty bucket called `bucket`.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bucket")).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let (service, requests) = (builder.build().into_shared(), Arc::new(Mutex::new(Vec::new())));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let log = Arc::clone(&requests);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, log) = (service.clone(), Arc::clone(&log));
                let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    log.lock().unwrap().push(format!("{} {}", request.method(), request.uri().path()));
                    service.call(request)
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { addr, folder, requests, _runtime: runtime }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where the objects of the bucket lie.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.folder.path().join("bucket")
    }

    /// Puts an object into the bucket, in one step.
    pub(crate) fn put(&self, key: &str, content: &[u8]) {
        let path = self.bucket().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let hidden = self.folder.path().join("on-its-way");
        fs::write(&hidden, content).unwrap();
        fs::rename(hidden, path).unwrap();
    }

    /// The requests for objects since the last call; a listing is none.
    pub(crate) fn fetched(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests.iter().filter_map(|request| request.strip_prefix("GET /bucket/")).filter(|key| !key.is_empty()).map(str::to_owned).collect()
    }
}
