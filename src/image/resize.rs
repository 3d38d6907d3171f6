//! Pillow-equal resampling of 8-bit RGB.
