//! Configuration: validated plain data; file < environment < flag.
