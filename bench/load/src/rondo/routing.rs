//! The routing table of a node with several workers, as `ts/wire/routing.ts` lays it out.

const HEAD_BYTES: usize = 16;
const WORKER_BYTES: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutedWorker {
    /// Where it listens beside the shared port; 0: it does not.
    pub port: u16,
    pub is_serving: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    pub workers: Vec<RoutedWorker>,
    /// Indices of workers, one a partition; a power of two of them.
    pub owners: Vec<u16>,
}

impl Routing {
    /// None where the bytes are not a whole, valid table.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [_, _, _, _, a, b, c, d, e, f, g, h, ..] = *head;
        let count = u32::from_le_bytes([a, b, c, d]) as usize;
        let partitions = u32::from_le_bytes([e, f, g, h]) as usize;
        let (workers, owners) = rest.split_at_checked(count.checked_mul(WORKER_BYTES)?)?;
        let workers: Vec<RoutedWorker> = workers
            .as_chunks::<WORKER_BYTES>()
            .0
            .iter()
            .map(|worker| RoutedWorker {
                port: u16::from_le_bytes([worker[8], worker[9]]),
                is_serving: worker[10] == 1,
            })
            .collect();
        let (owners, left) = owners.as_chunks::<2>();
        let owners: Vec<u16> = owners
            .iter()
            .map(|&owner| u16::from_le_bytes(owner))
            .collect();
        let is_whole = left.is_empty() && owners.len() == partitions;
        let is_valid =
            partitions.is_power_of_two() && owners.iter().all(|&owner| usize::from(owner) < count);
        (is_whole && is_valid).then_some(Self { workers, owners })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 7, two workers of which the second does not serve, four partitions.
    fn table() -> Vec<u8> {
        let mut bytes = vec![7, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 0xe9, 0x1c, 1, 0, 0, 0, 0, 0]);
        bytes.extend([2, 0, 0, 0, 0, 0, 0, 0, 0xea, 0x1c, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 1, 0, 1, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_table_is_read() {
        let routing = Routing::decode(&table()).expect("valid");
        let worker = |port, is_serving| RoutedWorker { port, is_serving };
        assert_eq!(routing.workers, [worker(7401, true), worker(7402, false)]);
        assert_eq!(routing.owners, [0, 1, 1, 0]);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let good = table();
        for length in 0..good.len() {
            assert_eq!(Routing::decode(&good[..length]), None, "{length} bytes");
        }
        let longer = [good.as_slice(), &[0, 0]].concat();
        assert_eq!(Routing::decode(&longer), None);
        // An owner that is not there; three partitions; more workers than bytes.
        for (at, byte) in [(48, 2), (8, 3), (7, 255)] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            if at == 8 {
                bytes.truncate(good.len() - 2);
            }
            assert_eq!(Routing::decode(&bytes), None, "byte {at}");
        }
    }
}
