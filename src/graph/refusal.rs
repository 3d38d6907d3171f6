//! Why a graph is refused, where the words are ours.

/// A complete reason, to which a message adds nothing but the node.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);
