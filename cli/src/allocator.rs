//! The memory allocator of the binary, and when it returns freed memory to the system.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of [mimalloc.h], missing from the Rust bindings; the same in mimalloc 2 and 3.
///
/// [mimalloc.h]: https://github.com/microsoft/mimalloc/blob/main/include/mimalloc.h
const PURGE_DELAY: mi_option_t = 15;

/// Milliseconds.
const DELAY: std::ffi::c_long = 10;

/// Returns freed memory after ten milliseconds, unless `MIMALLOC_PURGE_DELAY` overrides it.
///
/// mimalloc 3 waits a second. Queries that spill free and allocate hundreds of megabytes in that time, so the process
/// holds twice what its memory pools allow (figures in docs/cluster.md). mimalloc 2 waits ten milliseconds too.
pub fn return_freed_memory_early() {
    #[expect(unsafe_code, reason = "mimalloc has no safe call for its options; this one sets a number")]
    // SAFETY: the option is in range, and no other thread runs yet that could read it at the same time.
    unsafe {
        mi_option_set_default(PURGE_DELAY, DELAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "mimalloc has no safe call for its options")]
    fn the_option_is_the_purge_delay() {
        // SAFETY: reads a number.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(delay(), 1000, "mimalloc's default, which no other option has");
            return_freed_memory_early();
            assert_eq!(delay(), DELAY);
        }
    }
}
