//! Class names: `labels.txt`, one name a line, in class order.
