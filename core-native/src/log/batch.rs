//! Commit batches: making one, and walking over those of a file. The twin of
//! `node/log/local/batch.ts`; the layout is in `format.ts` beside it.

use xxhash_rust::xxh64::xxh64;

use crate::layout::{read_u32, read_u64, write};

pub const BATCH_HEADER_BYTES: usize = 48;
/// Records of one batch; larger than what any one append can bring.
pub const BATCH_BODY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Where a sequence of batches stands: what the next one must carry to belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The seed of the checksums.
    pub log_id: u64,
    /// Checksum of the batch before.
    pub before: u64,
    /// Number of the next batch.
    pub next: u64,
}

/// How a walk over batches ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// Bytes of whole batches at the front of what was walked.
    pub consumed: usize,
    /// Bytes of their bodies, which now stand at the front, one after another.
    pub body_bytes: usize,
    /// Records in them, as their headers count them.
    pub records: u64,
    /// What is left cannot be the beginning of a batch of the chain.
    pub is_invalid: bool,
    /// The highest of the batches, ms since 1970: that of a mark may be lower than one before; 0 for
    /// none.
    pub time: u64,
    /// The highest number that one of the batches says was synced; 0 for none.
    pub durable: u64,
}

/// What stands at the head of some bytes.
enum Next {
    /// The next batch of the chain, with its length.
    Batch(usize),
    /// The beginning of what claims to be it.
    Short,
    Invalid,
}

/// Turns `batch`, whose body is in place behind room for a header, into the next batch of the chain,
/// and moves the chain on. `durable`: number of the newest batch that is synced.
pub fn seal_batch(batch: &mut [u8], records: u32, time: u64, durable: u64, chain: &mut Chain) {
    let body_length = batch.len() - BATCH_HEADER_BYTES;
    write(batch, 8, chain.before.to_le_bytes());
    write(batch, 16, chain.next.to_le_bytes());
    write(batch, 24, durable.to_le_bytes());
    write(batch, 32, time.to_le_bytes());
    write(batch, 40, (body_length as u32).to_le_bytes());
    write(batch, 44, records.to_le_bytes());
    let checksum = xxh64(&batch[8..], chain.log_id);
    write(batch, 0, checksum.to_le_bytes());
    chain.before = checksum;
    chain.next += 1;
}

/// Walks over the whole batches of the chain at the front of `bytes`, checks each, moves the chain on
/// and brings their bodies together at the front of `bytes`. Bytes from `consumed` on stay as they are.
pub fn gather_batches(bytes: &mut [u8], chain: &mut Chain) -> Gathered {
    let mut gathered = Gathered {
        consumed: 0,
        body_bytes: 0,
        records: 0,
        is_invalid: false,
        time: 0,
        durable: 0,
    };
    while gathered.consumed < bytes.len() {
        let batch = &bytes[gathered.consumed..];
        let length = match next_batch(batch, chain) {
            Next::Batch(length) => length,
            Next::Short => break,
            Next::Invalid => {
                gathered.is_invalid = true;
                break;
            }
        };
        let checksum = read_u64(batch, 0);
        if xxh64(&batch[8..length], chain.log_id) != checksum {
            gathered.is_invalid = true;
            break;
        }
        chain.before = checksum;
        chain.next += 1;
        gathered.durable = gathered.durable.max(read_u64(batch, 24));
        gathered.time = gathered.time.max(read_u64(batch, 32));
        gathered.records += u64::from(read_u32(batch, 44));
        let body_at = gathered.consumed + BATCH_HEADER_BYTES;
        gathered.consumed += length;
        bytes.copy_within(body_at..gathered.consumed, gathered.body_bytes);
        gathered.body_bytes += length - BATCH_HEADER_BYTES;
    }
    gathered
}

fn next_batch(bytes: &[u8], chain: &Chain) -> Next {
    if bytes.len() < BATCH_HEADER_BYTES {
        return Next::Short;
    }
    let body_length = read_u32(bytes, 40) as usize;
    if read_u64(bytes, 8) != chain.before
        || read_u64(bytes, 16) != chain.next
        || body_length > BATCH_BODY_BYTES_MAX
        || !body_length.is_multiple_of(8)
    {
        return Next::Invalid;
    }
    let length = BATCH_HEADER_BYTES + body_length;
    if bytes.len() < length {
        Next::Short
    } else {
        Next::Batch(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Chain {
        Chain {
            log_id: 7,
            before: 7,
            next: 1,
        }
    }

    fn batches(bodies: &[&[u8]]) -> Vec<u8> {
        let mut chain = chain();
        bodies
            .iter()
            .flat_map(|body| {
                let mut batch = vec![0; BATCH_HEADER_BYTES + body.len()];
                batch[BATCH_HEADER_BYTES..].copy_from_slice(body);
                let durable = chain.next - 1;
                seal_batch(&mut batch, 1, 99, durable, &mut chain);
                batch
            })
            .collect()
    }

    #[test]
    fn gathers_what_it_sealed() {
        let mut bytes = batches(&[&[1; 16], &[], &[2; 8]]);
        let length = bytes.len();
        let mut chain = chain();
        let gathered = gather_batches(&mut bytes, &mut chain);
        assert_eq!(gathered.consumed, length);
        assert_eq!((gathered.time, gathered.durable), (99, 2));
        assert!(!gathered.is_invalid);
        assert_eq!(
            bytes[..gathered.body_bytes],
            [&[1; 16][..], &[2; 8]].concat()
        );
        assert_eq!(chain.next, 4);
    }

    #[test]
    fn stops_before_what_is_cut_or_changed() {
        let whole = batches(&[&[1; 16], &[2; 8]]);
        let first = BATCH_HEADER_BYTES + 16;
        for length in first..whole.len() {
            let gathered = gather_batches(&mut whole[..length].to_vec(), &mut chain());
            assert_eq!((gathered.consumed, gathered.is_invalid), (first, false));
        }
        for bit in first * 8..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let gathered = gather_batches(&mut bytes, &mut chain());
            assert_eq!(gathered.consumed, first, "bit {bit}");
        }
    }
}
