//! Ids of rows, written as fixed-width bytes.
//!
//! Ids of events, sessions and reviews, whose number is unbounded, are counters mapped through a bijection, so all are
//! different and none reveals the next. Products, users and brands have their number in decimal digits.

use crate::random::{Random, Stream, mix};

/// A bijection of the numbers of one kind of row; different keys give different bijections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scatter(u64);

impl Scatter {
    pub(crate) fn new(seed: u64, stream: Stream) -> Self {
        Self(Random::stream(seed, stream, 0, 0).next())
    }

    fn of(self, counter: u64) -> u64 {
        mix(counter.wrapping_add(self.0))
    }

    /// 36 characters in the form of a version 4 UUID. All 64 scattered bits are in it, around the fixed ones, so
    /// different counters always give different texts.
    pub(crate) fn uuid(self, counter: u64) -> [u8; 36] {
        let x = self.of(counter);
        let filler = mix(x ^ self.0) >> 6;
        let high = (x & !0xffff) | 0x4000 | ((x >> 4) & 0x0fff);
        let low = (1 << 63) | ((x & 0xf) << 58) | filler;
        let (high, low) = (hex(high), hex(low));
        let mut text = [b'-'; 36];
        text[..8].copy_from_slice(&high[..8]);
        text[9..13].copy_from_slice(&high[8..12]);
        text[14..18].copy_from_slice(&high[12..]);
        text[19..23].copy_from_slice(&low[..4]);
        text[24..].copy_from_slice(&low[4..]);
        text
    }

    /// `sess_` and sixteen hexadecimal digits.
    pub(crate) fn session(self, counter: u64) -> [u8; 21] {
        let mut text = *b"sess_0000000000000000";
        text[5..].copy_from_slice(&hex(self.of(counter)));
        text
    }
}

/// `pd_` and six digits.
pub(crate) fn product(number: u32) -> [u8; 9] {
    let mut text = *b"pd_000000";
    digits(&mut text[3..], number);
    text
}

/// `u_` and seven digits.
pub(crate) fn user(number: u32) -> [u8; 9] {
    let mut text = *b"u_0000000";
    digits(&mut text[2..], number);
    text
}

/// `br_` and three digits.
pub(crate) fn brand(number: u32) -> [u8; 6] {
    let mut text = *b"br_000";
    digits(&mut text[3..], number);
    text
}

fn digits(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The two characters of every byte.
const HEX: [[u8; 2]; 256] = {
    let alphabet = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [alphabet[byte >> 4], alphabet[byte & 15]];
        byte += 1;
    }
    table
};

pub(crate) fn hex(number: u64) -> [u8; 16] {
    let mut text = [0; 16];
    for (pair, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(&HEX[byte as usize]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_uuids_and_differ() {
        let scatter = Scatter::new(42, Stream::EventIds);
        let ids: HashSet<[u8; 36]> = (0..50_000).map(|counter| scatter.uuid(counter)).collect();
        assert_eq!(ids.len(), 50_000);
        for id in ids.iter().take(100) {
            let text = std::str::from_utf8(id).expect("ascii");
            assert_eq!((&text[8..9], &text[13..15], &text[18..19], &text[23..24]), ("-", "-4", "-", "-"));
            assert!(matches!(id[19], b'8' | b'9' | b'a' | b'b'), "{text}");
        }
    }

    #[test]
    fn the_counter_can_be_read_back_out_of_an_id() {
        // This proves that no two counters have the same id.
        let scatter = Scatter::new(1, Stream::EventIds);
        for counter in [0, 1, 77, u64::MAX] {
            let text = scatter.uuid(counter);
            let plain: String = text.iter().map(|&byte| char::from(byte)).filter(|c| *c != '-').collect();
            let high = u64::from_str_radix(&plain[..16], 16).expect("hex");
            let low = u64::from_str_radix(&plain[16..], 16).expect("hex");
            let x = (high & !0xffff) | ((high & 0xfff) << 4) | ((low >> 58) & 0xf);
            assert_eq!(x, scatter.of(counter));
        }
    }

    #[test]
    fn numbers_are_padded() {
        assert_eq!(&product(123), b"pd_000123");
        assert_eq!(&user(9_999_999), b"u_9999999");
        assert_eq!(&brand(7), b"br_007");
        assert_eq!(&hex(0x0123_4567_89ab_cdef), b"0123456789abcdef");
    }
}
