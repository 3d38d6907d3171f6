//! TOML files of ours, read with errors that name the key and the nearest known one.
