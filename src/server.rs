//! Bind, serve, drain.
