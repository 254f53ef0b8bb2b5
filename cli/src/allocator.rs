//! The memory allocator of the binary, and how it returns freed memory to the system.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_decommits` of [mimalloc.h], missing from the Rust bindings; the same in mimalloc 2 and 3.
///
/// [mimalloc.h]: https://github.com/microsoft/mimalloc/blob/main/include/mimalloc.h
const PURGE_DECOMMITS: mi_option_t = 5;
/// `mi_option_purge_delay`, likewise.
const PURGE_DELAY: mi_option_t = 15;

/// Milliseconds.
const DELAY: std::ffi::c_long = 10;

/// Offers freed memory to the system after ten milliseconds, which takes it when it needs some (`MADV_FREE`).
///
/// By default mimalloc 3 waits a second, and then gives the memory away at once (`MADV_DONTNEED`). Batches are freed
/// and allocated all the time, so that the kernel spends up to half of a query's CPU seconds on zeroing pages again.
/// Memory that is only offered costs nothing to reuse, and is no reason to kill the process of a container that has
/// reached its limit; the kernel takes it first. It counts as resident until then.
///
/// `MIMALLOC_PURGE_DECOMMITS` and `MIMALLOC_PURGE_DELAY` override this.
pub fn offer_freed_memory() {
    #[expect(unsafe_code, reason = "mimalloc has no safe call for its options; this one sets a number")]
    // SAFETY: the options are in range, and no other thread runs yet that could read them at the same time.
    unsafe {
        mi_option_set_default(PURGE_DECOMMITS, 0);
        mi_option_set_default(PURGE_DELAY, DELAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "mimalloc has no safe call for its options")]
    fn the_options_are_those_of_purging() {
        // SAFETY: reads a number.
        let options = || unsafe { [PURGE_DECOMMITS, PURGE_DELAY].map(|option| libmimalloc_sys::mi_option_get(option)) };
        if std::env::vars_os().all(|(name, _)| !name.to_string_lossy().starts_with("MIMALLOC_")) {
            assert_eq!(options(), [1, 1000], "mimalloc's defaults; no option near them has these");
            offer_freed_memory();
            assert_eq!(options(), [0, DELAY]);
        }
    }
}
