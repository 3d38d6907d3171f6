//! The service through real sockets: its life, and clients that are slow, rude or gone.
