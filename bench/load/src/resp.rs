//! RESP, the protocol of Redis: GET and SET as arrays, and a parser of the replies that they have.
//! Replies carry no ids; they come in the order of the commands.

use crate::fault::{Fault, excerpt};
use crate::limits::{RESP_BULK_BYTES_MAX, RESP_LINE_BYTES_MAX, WRITE_BYTES_MAX};
use crate::outbox::Outbox;
use crate::protocol::{Bounds, Facts, Numbered, Outcome, Protocol};
use crate::workload::{KEY_BYTES, Values, write_key};

const GET_HEAD: &[u8] = b"*2\r\n$3\r\nGET\r\n$17\r\n";
const SET_HEAD: &[u8] = b"*3\r\n$3\r\nSET\r\n$17\r\n";
const LINE_END: &[u8] = b"\r\n";

#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    Simple(&'a [u8]),
    Error(&'a [u8]),
    Bulk(&'a [u8]),
    Nil,
}

/// The first reply of `bytes` and its length; none where it is not whole yet.
#[inline]
pub fn read_reply(bytes: &[u8]) -> Result<Option<(Reply<'_>, usize)>, Fault> {
    let Some((kind, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    if !matches!(kind, b'+' | b'-' | b'$') {
        return Err(Fault::protocol(format!(
            "it is not a reply to GET or SET: {}",
            excerpt(bytes)
        )));
    }
    let window = &rest[..rest.len().min(RESP_LINE_BYTES_MAX)];
    let Some(end) = window.iter().position(|byte| *byte == b'\r') else {
        if window.len() == RESP_LINE_BYTES_MAX {
            return Err(Fault::protocol(format!(
                "a line does not end: {}",
                excerpt(bytes)
            )));
        }
        return Ok(None);
    };
    let line = &rest[..end];
    match rest.get(end + 1) {
        Some(b'\n') => {}
        Some(_) => {
            return Err(Fault::protocol(format!(
                "a line is broken: {}",
                excerpt(bytes)
            )));
        }
        None => return Ok(None),
    }
    let line_bytes = 1 + end + 2;
    match kind {
        b'+' => Ok(Some((Reply::Simple(line), line_bytes))),
        b'-' => Ok(Some((Reply::Error(line), line_bytes))),
        _ if line == b"-1" => Ok(Some((Reply::Nil, line_bytes))),
        _ => {
            let Some(length) = decimal(line) else {
                return Err(Fault::protocol(format!(
                    "a length is broken: {}",
                    excerpt(bytes)
                )));
            };
            let Some(body) = bytes.get(line_bytes..line_bytes + length + 2) else {
                return Ok(None);
            };
            let (body, end) = body.split_at(length);
            if end != LINE_END {
                return Err(Fault::protocol(format!(
                    "a bulk string is not as long as it says: {}",
                    excerpt(bytes)
                )));
            }
            Ok(Some((Reply::Bulk(body), line_bytes + length + 2)))
        }
    }
}

fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + usize::from(digit - b'0');
    }
    (number <= RESP_BULK_BYTES_MAX).then_some(number)
}

/// Replies of the greeting that are still to come.
#[derive(PartialEq, Eq)]
enum Stage {
    Authenticating,
    Asking,
    Open,
}

pub struct Resp {
    token: String,
    stage: Stage,
    next_answer: u32,
    /// `\r\n$<length>\r\n`, between the key and the value of a SET.
    value_head: Vec<u8>,
    facts: Option<Facts>,
}

impl Resp {
    /// An empty `token` sends no AUTH.
    pub fn new(token: String, value_bytes: usize) -> Self {
        let stage = if token.is_empty() {
            Stage::Asking
        } else {
            Stage::Authenticating
        };
        Self {
            token,
            stage,
            next_answer: 0,
            value_head: format!("\r\n${value_bytes}\r\n").into_bytes(),
            facts: None,
        }
    }

    fn greeted(&mut self, reply: &Reply<'_>) -> Result<(), Fault> {
        match (&self.stage, reply) {
            (_, Reply::Error(error)) => Err(Fault::Refused {
                what: if self.stage == Stage::Asking {
                    "INFO"
                } else {
                    "AUTH"
                }
                .into(),
                error: String::from_utf8_lossy(error).into_owned(),
            }),
            (Stage::Authenticating, Reply::Simple(b"OK")) => {
                self.stage = Stage::Asking;
                Ok(())
            }
            (_, Reply::Bulk(info)) => {
                self.facts = Some(facts_of(&String::from_utf8_lossy(info)));
                self.stage = Stage::Open;
                Ok(())
            }
            (_, reply) => Err(Fault::protocol(format!(
                "the greeting is answered with {reply:?}"
            ))),
        }
    }
}

fn facts_of(info: &str) -> Facts {
    let field = |name: &str| {
        let lines = info.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.trim())
            .next()
            .unwrap_or_default()
    };
    Facts::Redis {
        name: "redis",
        version: field("redis_version").to_owned(),
        append_only: field("aof_enabled") == "1",
        used_memory_bytes: field("used_memory").parse().unwrap_or(0),
        io_threads_active: field("io_threads_active") == "1",
    }
}

impl Protocol for Resp {
    const HAS_IDS: bool = false;
    const OPERATION_BYTES: usize = SET_HEAD.len() + KEY_BYTES + 16;

    fn greet(&mut self, out: &mut Outbox) {
        if !self.token.is_empty() {
            let token = &self.token;
            let command = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{token}\r\n", token.len());
            out.append(command.as_bytes());
        }
        out.append(b"*1\r\n$4\r\nINFO\r\n");
    }

    fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            batch_operations: usize::MAX,
            batch_bytes: WRITE_BYTES_MAX + 1024 * 1024,
            outstanding: usize::MAX,
            value_bytes: RESP_BULK_BYTES_MAX,
        }
    }

    fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    #[inline]
    fn encode(&mut self, batch: &[Numbered], values: &Values, out: &mut Outbox) {
        for Numbered { draw, .. } in batch {
            if draw.is_read {
                let room = out.room(GET_HEAD.len() + KEY_BYTES + 2);
                let (head, rest) = room.split_at_mut(GET_HEAD.len());
                head.copy_from_slice(GET_HEAD);
                if let Some((key, end)) = rest.split_first_chunk_mut() {
                    write_key(draw.key, key);
                    end.copy_from_slice(LINE_END);
                }
            } else {
                let value_head = &self.value_head;
                let length = SET_HEAD.len() + KEY_BYTES + value_head.len() + values.bytes + 2;
                let (head, rest) = out.room(length).split_at_mut(SET_HEAD.len());
                head.copy_from_slice(SET_HEAD);
                if let Some((key, rest)) = rest.split_first_chunk_mut() {
                    write_key(draw.key, key);
                    let (between, rest) = rest.split_at_mut(value_head.len());
                    between.copy_from_slice(value_head);
                    let (value, end) = rest.split_at_mut(values.bytes);
                    values.write(draw.key, value);
                    end.copy_from_slice(LINE_END);
                }
            }
        }
    }

    #[inline]
    fn receive(
        &mut self,
        bytes: &[u8],
        _out: &mut Outbox,
        answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        while let Some((reply, length)) = read_reply(&bytes[used..])? {
            used += length;
            if self.stage != Stage::Open {
                self.greeted(&reply)?;
                continue;
            }
            let id = self.next_answer;
            self.next_answer = id.wrapping_add(1);
            let outcome = match reply {
                Reply::Bulk(value) => Outcome::Value(value),
                Reply::Simple(b"OK") => Outcome::Done,
                Reply::Nil => Outcome::Missing,
                Reply::Simple(text) | Reply::Error(text) => {
                    Outcome::Error(String::from_utf8_lossy(text).into_owned())
                }
            };
            answer(id, outcome)?;
        }
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Draw, Workload};

    #[test]
    fn replies_are_read_whole_at_any_split() {
        let replies: [(&[u8], Reply<'_>); 6] = [
            (b"+OK\r\n", Reply::Simple(b"OK")),
            (b"-ERR no\r\n", Reply::Error(b"ERR no")),
            (b"$-1\r\n", Reply::Nil),
            (b"$0\r\n\r\n", Reply::Bulk(b"")),
            (b"$5\r\nab\r\nc\r\n", Reply::Bulk(b"ab\r\nc")),
            (b"$12\r\nhello, world\r\n", Reply::Bulk(b"hello, world")),
        ];
        for (bytes, reply) in replies {
            for split in 0..bytes.len() {
                assert_eq!(read_reply(&bytes[..split]).expect("valid"), None, "{split}");
            }
            let mut more = bytes.to_vec();
            more.extend(b"$9");
            assert_eq!(
                read_reply(&more).expect("valid"),
                Some((reply, bytes.len()))
            );
        }
    }

    #[test]
    fn a_stream_split_anywhere_gives_the_same_answers() {
        let stream: &[u8] = b"+OK\r\n$3\r\nabc\r\n$-1\r\n-ERR x\r\n+OK\r\n";
        let collect = |split: usize| {
            let mut resp = Resp::new(String::new(), 3);
            resp.stage = Stage::Open;
            let mut out = Outbox::default();
            let mut answers = Vec::new();
            let mut answer = |id: u32, outcome: Outcome<'_>| {
                answers.push(format!("{id} {outcome:?}"));
                Ok(())
            };
            let used = resp
                .receive(&stream[..split], &mut out, &mut answer)
                .expect("valid");
            let rest = resp
                .receive(&stream[used..], &mut out, &mut answer)
                .expect("valid");
            assert_eq!(used + rest, stream.len());
            answers
        };
        let whole = collect(stream.len());
        assert_eq!(whole.len(), 5);
        for split in 0..stream.len() {
            assert_eq!(collect(split), whole);
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let broken: [&[u8]; 7] = [
            b"*1\r\n",
            b":1\r\n",
            b"HTTP/1.1 400",
            b"$x\r\n",
            b"$\r\n",
            b"+OK\rx",
            b"$1\r\nabcd",
        ];
        for bytes in broken {
            assert!(read_reply(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn commands_are_those_of_redis() {
        let workload = Workload::new(10, 0.5, None, 8, 7);
        let mut resp = Resp::new(String::new(), 8);
        let mut out = Outbox::default();
        let batch = [true, false].map(|is_read| Numbered {
            id: 0,
            draw: Draw { key: 3, is_read },
        });
        resp.encode(&batch, &workload.values, &mut out);
        let mut value = [0; 8];
        workload.values.write(3, &mut value);
        let mut expected = b"*2\r\n$3\r\nGET\r\n$17\r\nuser:000000000003\r\n".to_vec();
        expected.extend(b"*3\r\n$3\r\nSET\r\n$17\r\nuser:000000000003\r\n$8\r\n");
        expected.extend(value);
        expected.extend(b"\r\n");
        assert_eq!(out.take(), expected);
    }
}
