//! Redis's side of pushes: PUBLISH to a channel, and SUBSCRIBE of it.

use crate::fault::{Fault, excerpt};
use crate::outbox::Outbox;
use crate::protocol::Facts;
use crate::pushes::{Peer, Said, TOPIC};

pub struct RedisPeer {
    is_watching: bool,
    is_ready: bool,
}

impl RedisPeer {
    pub fn new(is_watching: bool) -> Self {
        Self {
            is_watching,
            is_ready: false,
        }
    }
}

/// A line behind its first byte, and its length with the line's end.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.windows(2).position(|window| window == b"\r\n")?;
    Some((&bytes[1..end], end + 2))
}

fn number(digits: &[u8]) -> Result<usize, Fault> {
    let text = std::str::from_utf8(digits).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Fault::protocol(format!("a number is broken: {}", excerpt(digits))))
}

/// Bulk strings or integers, and bytes that they took.
type Items<'a> = (Vec<&'a [u8]>, usize);

/// What an array has; none where it is not whole yet.
fn array(bytes: &[u8]) -> Result<Option<Items<'_>>, Fault> {
    let Some((count, mut at)) = line(bytes) else {
        return Ok(None);
    };
    let mut items = Vec::new();
    for _ in 0..number(count)? {
        let rest = &bytes[at..];
        let Some((head, length)) = line(rest) else {
            return Ok(None);
        };
        at += length;
        if rest[0] != b'$' {
            items.push(head);
            continue;
        }
        let length = number(head)?;
        let Some(item) = bytes.get(at..at + length + 2) else {
            return Ok(None);
        };
        items.push(&item[..length]);
        at += length + 2;
    }
    Ok(Some((items, at)))
}

impl Peer for RedisPeer {
    fn greet(&mut self, out: &mut Outbox) {
        if self.is_watching {
            let subscribe = format!("*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{TOPIC}\r\n", TOPIC.len());
            out.append(subscribe.as_bytes());
        } else {
            out.append(b"*1\r\n$4\r\nPING\r\n");
        }
    }

    fn publish(&mut self, value: &[u8], out: &mut Outbox) {
        let topic = TOPIC.len();
        let head = format!(
            "*3\r\n$7\r\nPUBLISH\r\n${topic}\r\n{TOPIC}\r\n${}\r\n",
            value.len()
        );
        out.append(head.as_bytes());
        out.append(value);
        out.append(b"\r\n");
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        _: &mut Outbox,
        said: &mut dyn FnMut(Said<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        while let Some(kind) = bytes.get(used) {
            let rest = &bytes[used..];
            match kind {
                b'*' => {
                    let Some((items, length)) = array(rest)? else {
                        return Ok(used);
                    };
                    used += length;
                    match items.as_slice() {
                        [b"subscribe", ..] if !self.is_ready => {
                            self.is_ready = true;
                            said(Said::Ready)?;
                        }
                        [b"message", _, value] => said(Said::Event(value))?,
                        _ => return Err(Fault::protocol(excerpt(rest))),
                    }
                }
                b':' | b'+' => {
                    let Some((_, length)) = line(rest) else {
                        return Ok(used);
                    };
                    used += length;
                    if self.is_ready {
                        said(Said::Acknowledged)?;
                    } else {
                        self.is_ready = true;
                        said(Said::Ready)?;
                    }
                }
                _ => {
                    return Err(Fault::Refused {
                        what: "PUBLISH or SUBSCRIBE".into(),
                        error: excerpt(rest),
                    });
                }
            }
        }
        Ok(used)
    }

    fn facts(&self) -> Option<Facts> {
        Some(Facts::Named { name: "redis" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_at_any_split() {
        let whole = b"*3\r\n$9\r\nsubscribe\r\n$9\r\npush:news\r\n:1\r\n\
            *3\r\n$7\r\nmessage\r\n$9\r\npush:news\r\n$4\r\n\r\n\r\n\r\n";
        for split in 0..=whole.len() {
            let mut peer = RedisPeer::new(true);
            let mut heard = Vec::new();
            let mut note = |said: Said<'_>| {
                heard.push(match said {
                    Said::Ready => "ready".to_owned(),
                    Said::Acknowledged => "acknowledged".to_owned(),
                    Said::Event(value) => format!("{value:?}"),
                });
                Ok(())
            };
            let mut out = Outbox::default();
            let used = peer
                .receive(&whole[..split], &mut out, &mut note)
                .expect("valid");
            let rest = peer
                .receive(&whole[used..], &mut out, &mut note)
                .expect("valid");
            assert_eq!(used + rest, whole.len());
            assert_eq!(heard, ["ready", "[13, 10, 13, 10]"]);
        }
    }

    #[test]
    fn an_error_ends_the_run() {
        let mut peer = RedisPeer::new(false);
        let refused = peer.receive(b"-ERR no\r\n", &mut Outbox::default(), &mut |_| Ok(()));
        assert!(refused.is_err());
    }
}
