//! The memory that the allocator keeps of what was freed.

/// Gives it back to the system: after a load, and while one goes on, it is often more than the network itself.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the C library's allocator has no safe interface")]
    // SAFETY: it takes the allocator's own locks, and frees only pages that hold nothing.
    let _whether_any = unsafe { libc::malloc_trim(0) };
}
