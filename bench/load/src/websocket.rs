//! The client's side of WebSocket (RFC 6455), as much as a generator needs: the upgrade, masked binary
//! frames out, whole unmasked messages in. Masking is work that every client has, so it is done, in
//! words.

use sha1_smol::Sha1;

use crate::fault::{Fault, excerpt};
use crate::limits::{HTTP_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::random::Random;

pub const OPCODE_TEXT: u8 = 1;
pub const OPCODE_BINARY: u8 = 2;
pub const OPCODE_CLOSE: u8 = 8;
pub const OPCODE_PING: u8 = 9;
pub const OPCODE_PONG: u8 = 10;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// What RFC 6455 has both sides append to the key.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The upgrade of one connection.
pub struct Upgrade {
    key: String,
}

impl Upgrade {
    pub fn new(random: &mut Random) -> Self {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&random.next().to_le_bytes());
        nonce[8..].copy_from_slice(&random.next().to_le_bytes());
        Self {
            key: base64(&nonce),
        }
    }

    pub fn request(&self, host: &str) -> String {
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.key
        )
    }

    /// The length of the answer's head; none where it is not whole yet.
    pub fn check(&self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            if bytes.len() > HTTP_BYTES_MAX
                || !b"HTTP/1.1 ".starts_with(&bytes[..bytes.len().min(9)])
            {
                return Err(Fault::Upgrade(format!(
                    "it is not HTTP: {}",
                    excerpt(bytes)
                )));
            }
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101") {
            let body = String::from_utf8_lossy(&bytes[end + 4..]);
            let text = format!("{status} {}", body.trim());
            return Err(Fault::Upgrade(text.trim_end().chars().take(300).collect()));
        }
        let mut accept = None;
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            if name.eq_ignore_ascii_case("sec-websocket-accept") {
                accept = Some(value.trim());
            } else if name.eq_ignore_ascii_case("sec-websocket-extensions") {
                let text = format!("it chose an extension that was not offered: {value}");
                return Err(Fault::Upgrade(text));
            }
        }
        if accept != Some(accept_of(&self.key).as_str()) {
            return Err(Fault::Upgrade("its Sec-WebSocket-Accept is wrong".into()));
        }
        Ok(Some(end + 4))
    }
}

/// The Sec-WebSocket-Accept that goes with a key.
fn accept_of(key: &str) -> String {
    let mut sha = Sha1::from(key.as_bytes());
    sha.update(KEY_SUFFIX);
    base64(&sha.digest().bytes())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for letter in 0..4 {
            let index = (word >> (18 - 6 * letter) & 63) as usize;
            text.push(if letter <= chunk.len() {
                LETTERS[index] as char
            } else {
                '='
            });
        }
    }
    text
}

/// Bytes of the header of a client's frame.
#[inline]
pub fn header_bytes(payload: usize) -> usize {
    match payload {
        0..126 => 6,
        126..0x1_0000 => 8,
        _ => 14,
    }
}

/// Writes the header of a client's frame and gives its length.
#[inline]
pub fn write_header(room: &mut [u8], opcode: u8, payload: usize, mask: [u8; 4]) -> usize {
    room[0] = FIN | opcode;
    let length = header_bytes(payload);
    match length {
        6 => room[1] = MASKED | payload as u8,
        8 => {
            room[1] = MASKED | 126;
            room[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
        }
        _ => {
            room[1] = MASKED | 127;
            room[2..10].copy_from_slice(&(payload as u64).to_be_bytes());
        }
    }
    room[length - 4..length].copy_from_slice(&mask);
    length
}

/// Masks a payload in place; the same again takes the mask off.
#[inline]
pub fn mask(payload: &mut [u8], key: [u8; 4]) {
    let half = u64::from(u32::from_ne_bytes(key));
    let word = half << 32 | half;
    let (words, rest) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
    // Up to seven bytes are left, and the key has four.
    for (byte, key) in rest.iter_mut().skip(4).zip(key) {
        *byte ^= key;
    }
}

/// One message of a server, and its length with the header.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub opcode: u8,
    pub payload: &'a [u8],
    pub length: usize,
}

/// The first message of `bytes`; none where it is not whole yet.
#[inline]
pub fn read_message(bytes: &[u8]) -> Result<Option<Message<'_>>, Fault> {
    let [first, second, ..] = *bytes else {
        return Ok(None);
    };
    if second & MASKED != 0 {
        return Err(Fault::protocol("a server must not mask its frames"));
    }
    let opcode = first & 0x0f;
    if first & FIN == 0 || opcode == 0 {
        return Err(Fault::protocol(
            "it sent a fragmented message, which a node never does",
        ));
    }
    if first & 0x70 != 0 {
        return Err(Fault::protocol(
            "a reserved bit is set, and no extension was agreed on",
        ));
    }
    let (at, length) = match second {
        126 => match bytes.get(2..4) {
            Some(field) => (4, usize::from(u16::from_be_bytes([field[0], field[1]]))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(field) => (10, u64::from_be_bytes(*field) as usize),
            None => return Ok(None),
        },
        length => (2, usize::from(length)),
    };
    if length > MESSAGE_BYTES_MAX {
        return Err(Fault::protocol(format!(
            "it announced a message of {length} bytes"
        )));
    }
    Ok(bytes.get(at..at + length).map(|payload| Message {
        opcode,
        payload,
        length: at + length,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_that_of_the_rfc() {
        assert_eq!(
            accept_of("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foo"), "Zm9v");
    }

    fn upgrade() -> Upgrade {
        Upgrade {
            key: "dGhlIHNhbXBsZSBub25jZQ==".into(),
        }
    }

    const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn an_upgrade_is_taken_at_any_split() {
        for split in 0..ANSWER.len() {
            assert!(
                matches!(upgrade().check(&ANSWER[..split]), Ok(None)),
                "{split}"
            );
        }
        assert!(matches!(upgrade().check(ANSWER), Ok(Some(length)) if length == ANSWER.len()));
    }

    #[test]
    fn a_wrong_upgrade_is_refused_with_its_reason() {
        let refusals: [(&[u8], &str); 5] = [
            (
                b"HTTP/1.1 403 Forbidden\r\n\r\norigin",
                "403 Forbidden origin",
            ),
            (b"-ERR unknown command\r\n", "not HTTP"),
            (b"HTTP/1.1 101 X\r\n\r\n", "Accept is wrong"),
            (
                b"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: x\r\n\r\n",
                "Accept is wrong",
            ),
            (
                b"HTTP/1.1 101 X\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                "deflate",
            ),
        ];
        for (answer, reason) in refusals {
            let text = upgrade().check(answer).expect_err("refused").to_string();
            assert!(text.contains(reason), "{text}");
        }
    }

    #[test]
    fn masking_is_the_byte_wise_one_at_every_length() {
        let key = [0x12, 0x34, 0x56, 0xf8];
        for length in 0..70 {
            let plain: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let mut masked = plain.clone();
            mask(&mut masked, key);
            let expected: Vec<u8> = plain
                .iter()
                .enumerate()
                .map(|(at, byte)| byte ^ key[at % 4])
                .collect();
            assert_eq!(masked, expected);
            mask(&mut masked, key);
            assert_eq!(masked, plain);
        }
    }

    #[test]
    fn headers_have_the_shortest_length() {
        for (payload, expected) in [
            (0, vec![0x82, 0x80]),
            (125, vec![0x82, 0xfd]),
            (126, vec![0x82, 0xfe, 0, 126]),
            (65_535, vec![0x82, 0xfe, 255, 255]),
            (65_536, vec![0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut room = [0; 14];
            let length = write_header(&mut room, OPCODE_BINARY, payload, [1, 2, 3, 4]);
            assert_eq!(length, header_bytes(payload));
            assert_eq!(room[..length - 4], expected[..]);
            assert_eq!(room[length - 4..length], [1, 2, 3, 4]);
        }
    }

    fn server_frame(first: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload {
            0..126 => bytes.push(payload as u8),
            126..0x1_0000 => {
                bytes.push(126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend((0..payload).map(|byte| byte as u8));
        bytes
    }

    #[test]
    fn messages_are_read_whole_at_any_split() {
        for payload in [0, 1, 125, 126, 300, 70_000] {
            let mut bytes = server_frame(0x82, payload);
            let whole = bytes.len();
            for split in (0..whole).filter(|split| *split < 400 || split % 997 == 0) {
                assert_eq!(read_message(&bytes[..split]).expect("valid"), None);
            }
            bytes.extend([0x82, 5]);
            let message = read_message(&bytes).expect("valid").expect("whole");
            assert_eq!((message.opcode, message.length), (OPCODE_BINARY, whole));
            assert_eq!(message.payload.len(), payload);
        }
    }

    #[test]
    fn what_a_node_never_sends_is_refused() {
        for (bytes, reason) in [
            (vec![0x02, 0], "fragmented"),
            (vec![0x80, 0], "fragmented"),
            (vec![0x82, 0x80], "mask"),
            (vec![0xc2, 0], "reserved"),
            (vec![0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0], "announced"),
        ] {
            let text = read_message(&bytes).expect_err("refused").to_string();
            assert!(text.contains(reason), "{text}");
        }
    }
}
