//! File descriptors: as many as the system allows, and a word where they are too few.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

use super::places::BEYOND;
use crate::config::HttpConfig;

/// For all but connections: log, listeners, the reactor, models that are being read or fetched.
const OTHERS: u64 = 64;

/// Raises the soft limit of open files to the hard one, and warns where that is too few for the connections of so many `addresses`.
pub(super) fn provide(config: &HttpConfig, addresses: u64) {
    match raise() {
        Ok(limit) => {
            let connections = u64::try_from(config.max_connections.saturating_add(BEYOND)).unwrap_or(u64::MAX);
            let needed = connections.saturating_mul(addresses).saturating_add(OTHERS);
            if limit < needed {
                let max_connections = config.max_connections;
                warn!(
                    limit,
                    needed, max_connections, "the limit of open files is too low for max_connections: raise it (ulimit -n) or lower max_connections"
                );
            }
        }
        Err(error) => debug!(%error, "cannot raise the limit of open files"),
    }
}

/// Without a hard limit there is no end to them.
fn raise() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}
