//! Whether a message has all its parts. pgwire's decoder panics on some that end too early.

/// Whether the first message of `bytes` has what its kind needs; also if it has not arrived yet.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let Some((kind, rest)) = bytes.split_first() else { return true };
    let Some((length, rest)) = rest.split_first_chunk() else { return true };
    // The length counts itself.
    let Some(length) = (u32::from_be_bytes(*length) as usize).checked_sub(4) else { return false };
    let Some(body) = rest.get(..length) else { return true };
    let mut body = Body(body);
    let ended = match kind {
        b'Q' | b'p' => body.text(),
        b'P' => body.text().and_then(|()| body.text()).and_then(|()| body.each(|body| body.skip(4))),
        b'B' => body
            .text()
            .and_then(|()| body.text())
            .and_then(|()| body.each(|body| body.skip(2)))
            .and_then(|()| body.each(Body::value))
            .and_then(|()| body.each(|body| body.skip(2))),
        b'D' | b'C' => body.skip(1).and_then(|()| body.text()),
        b'E' => body.text().and_then(|()| body.skip(4)),
        _ => return true,
    };
    ended.is_some() && body.0.is_empty()
}

/// What is left of a message.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    /// A text, which ends with a NUL.
    fn text(&mut self) -> Option<()> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        self.skip(end + 1)
    }

    /// As many parts as the number before them says.
    fn each(&mut self, part: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        let count = u16::from_be_bytes(*self.0.first_chunk()?);
        self.skip(2)?;
        (0..count).try_for_each(|_| part(self))
    }

    /// A value, or a null, whose length is -1.
    fn value(&mut self) -> Option<()> {
        let length = i32::from_be_bytes(*self.0.first_chunk()?);
        self.skip(4)?;
        if length == -1 { Some(()) } else { self.skip(usize::try_from(length).ok()?) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_must_be_there() {
        let query: &[u8] = b"Q\0\0\0\x0dSELECT 1\0";
        let parse: &[u8] = b"P\0\0\0\x13s\0SELECT\0\0\x01\0\0\0\x17";
        let bind: &[u8] = b"B\0\0\0\x18\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x01x\0\0";
        let describe: &[u8] = b"D\0\0\0\x06S\0";
        let execute: &[u8] = b"E\0\0\0\x09\0\0\0\0\0";
        for message in [query, parse, bind, describe, execute] {
            assert_eq!(message[1..5], u32::try_from(message.len() - 1).unwrap().to_be_bytes());
            assert!(is_whole(message), "{message:?}");
            // What has not arrived may still be whole.
            assert!((0..message.len()).all(|end| is_whole(&message[..end])), "{message:?}");
            // The same with a shorter or longer length is not.
            for length in (4..message.len() - 1).chain([message.len()]) {
                let mut other = [&message[..1], &u32::try_from(length).unwrap().to_be_bytes(), &message[5..]].concat();
                other.push(1);
                assert!(!is_whole(&other), "{other:?}");
            }
        }
        assert!(!is_whole(b"S\0\0\0\0"));
    }
}
