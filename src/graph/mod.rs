//! Rewrites of tract's typed model, done once when a network is loaded.
