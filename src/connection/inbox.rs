//! Bytes received and not yet read: stored when they come, framed when somebody asks.

use alloc::vec::Vec;

/// Received bytes. It holds one incomplete op and what came with the last read, so the parser's caps bound it.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    buf: Vec<u8>,
    start: usize,
}

impl Inbox {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.buf.len() + bytes.len() > self.buf.capacity() {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    pub(crate) fn unread(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    pub(crate) fn consume(&mut self, len: usize) {
        self.start += len;
        if self.start >= self.buf.len() {
            self.buf.clear();
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Inbox;

    #[test]
    fn what_is_pushed_is_read_once_and_in_order() {
        let mut inbox = Inbox::default();
        let mut read = alloc::vec::Vec::new();
        for i in 0..1000u32 {
            inbox.push(&i.to_le_bytes());
            let len = inbox.unread().len().min(3 + i as usize % 3);
            read.extend_from_slice(&inbox.unread()[..len]);
            inbox.consume(len);
        }
        read.extend_from_slice(inbox.unread());
        let expected: alloc::vec::Vec<u8> = (0..1000u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(read, expected);
    }
}
