//! Bytes on their way to one socket. The memory is kept and initialised once, so that writing an
//! operation costs its bytes and nothing else.

use std::io::{self, ErrorKind, Write};

#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Outbox {
    /// The next `length` bytes, which the caller fills whole. They hold leftovers.
    #[inline]
    pub fn room(&mut self, length: usize) -> &mut [u8] {
        let at = self.end;
        self.end += length;
        if self.end > self.bytes.len() {
            self.bytes.resize(self.end.next_power_of_two(), 0);
        }
        &mut self.bytes[at..self.end]
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    #[cfg(test)]
    pub fn take(&mut self) -> Vec<u8> {
        let taken = self.bytes[self.start..self.end].to_vec();
        self.start = 0;
        self.end = 0;
        taken
    }

    /// Writes as much as the socket takes, in one call where it takes all; gives the bytes written.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let from = self.start;
        while self.start < self.end {
            match socket.write(&self.bytes[self.start..self.end]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.start += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(self.start - from),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let written = self.start - from;
        self.start = 0;
        self.end = 0;
        Ok(written)
    }
}
