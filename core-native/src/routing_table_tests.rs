//! Tests of the routing table's reader; under `--cfg loom` all orders of two threads, as the memory model
//! allows them, are gone through.

use super::*;

/// What the supervisor does, as `RoutingWriter` of `ts/shared/routing-table.ts`, with release order, which is weaker than
/// JavaScript's.
struct Writer<'a> {
    words: &'a [AtomicU32],
    sequence: u32,
}

impl<'a> Writer<'a> {
    fn new(words: &'a [AtomicU32]) -> Self {
        Self { words, sequence: 0 }
    }

    fn change(&mut self, change: impl FnOnce(&[AtomicU32])) {
        self.words[ROUTING_SEQUENCE].store(self.sequence + 1, Ordering::Release);
        change(self.words);
        self.words[ROUTING_VERSION].store(self.sequence / 2 + 1, Ordering::Release);
        self.sequence += 2;
        self.words[ROUTING_SEQUENCE].store(self.sequence, Ordering::Release);
    }

    /// One worker that has all partitions.
    fn fill(&mut self, workers: u32, partitions: u32) {
        self.change(|words| {
            words[ROUTING_WORKERS].store(workers, Ordering::Release);
            words[ROUTING_PARTITIONS].store(partitions, Ordering::Release);
        });
    }
}

fn empty_table(partitions: usize) -> Vec<AtomicU32> {
    (0..ROUTING_OWNERS + partitions)
        .map(|_| AtomicU32::new(0))
        .collect()
}

#[cfg(not(loom))]
mod plain {
    use super::*;

    #[test]
    fn follows_the_table() {
        let words = empty_table(4);
        assert!(
            RoutingTable::new(&words, 4).is_none(),
            "nothing is filled in"
        );
        let mut writer = Writer::new(&words);
        writer.fill(2, 4);
        writer.change(|words| {
            words[ROUTING_OWNERS + 1].store(1, Ordering::Release);
        });
        assert!(RoutingTable::new(&words, 8).is_none(), "of another number");
        let mut table = RoutingTable::new(&words, 4).unwrap();
        assert_eq!((table.version(), table.workers()), (2, 2));
        assert_eq!((table.owner_of(0), table.owner_of(1)), (0, 1));
        assert!(!table.refresh());

        writer.change(|words| words[ROUTING_OWNERS].store(1, Ordering::Release));
        assert_eq!(table.owner_of(0), 0);
        assert!(table.refresh());
        assert_eq!(table.owner_of(0), 1);
        assert_eq!(table.version(), 3);
        assert!(!table.refresh());
    }

    #[test]
    fn keeps_its_copy_while_a_change_is_under_way() {
        let words = empty_table(1);
        let mut writer = Writer::new(&words);
        writer.fill(2, 1);
        let mut table = RoutingTable::new(&words, 1).unwrap();
        writer.change(|words| {
            words[ROUTING_OWNERS].store(1, Ordering::Release);
            assert!(!table.refresh());
            assert_eq!(table.owner_of(0), 0);
        });
        assert!(table.refresh());
        assert_eq!(table.owner_of(0), 1);
    }

    #[test]
    fn refuses_an_owner_that_is_no_worker() {
        let words = empty_table(1);
        let mut writer = Writer::new(&words);
        writer.fill(1, 1);
        writer.change(|words| words[ROUTING_OWNERS].store(1, Ordering::Release));
        assert!(RoutingTable::new(&words, 1).is_none());
    }

    #[test]
    fn revisions_are_those_that_were_published() {
        let cells: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
        assert!(Revisions::new(&cells, 5).is_none());
        let revisions = Revisions::new(&cells, 4).unwrap();
        revisions.publish(2, 7);
        let newest: Vec<u64> = (0..4)
            .map(|partition| revisions.newest(partition))
            .collect();
        assert_eq!(newest, [0, 0, 7, 0]);
    }

    #[test]
    fn memory_of_others_is_seen_in_place() {
        let mut memory = vec![0_u32; 4];
        // SAFETY: the vector outlives the words, which end before it is read.
        let words = unsafe { shared_words(memory.as_mut_ptr(), 4) };
        words[3].store(9, Ordering::Release);
        assert_eq!(memory, [0, 0, 0, 9]);
        let mut memory = vec![0_u64; 2];
        // SAFETY: as above.
        let cells = unsafe { shared_cells(memory.as_mut_ptr(), 2) };
        Revisions::new(cells, 2).unwrap().publish(1, 1 << 52);
        assert_eq!(memory, [0, 1 << 52]);
    }
}

#[cfg(loom)]
mod exhaustive {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// A fault that takes more switches between threads than this in the middle of their work is not found; all
    /// that memory orders allow is tried beside each.
    const SWITCHES_MAX: usize = 3;

    fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(SWITCHES_MAX);
        builder.check(model);
    }

    /// Whatever a reader takes over is one version and the whole of it: state and owner change together, and
    /// what the supervisor did before a change is seen with it.
    #[test]
    fn a_copy_is_whole() {
        check(|| {
            let words = Arc::new(empty_table(2));
            let before = Arc::new(AtomicU32::new(0));
            let mut writer = Writer::new(&words);
            writer.fill(2, 2);
            let supervisor = {
                let (words, before) = (words.clone(), before.clone());
                let sequence = writer.sequence;
                thread::spawn(move || {
                    let mut writer = Writer {
                        words: &words,
                        sequence,
                    };
                    before.store(1, Ordering::Relaxed);
                    writer.change(|words| {
                        words[ROUTING_OWNERS + 1].store(1, Ordering::Release);
                        words[ROUTING_OWNERS].store(1, Ordering::Release);
                    });
                })
            };
            let mut table = RoutingTable::new(&words, 2).unwrap();
            table.refresh();
            let is_changed = table.version() == 2;
            assert_eq!(table.owner_of(1) == 1, is_changed);
            assert_eq!(table.owner_of(0) == 1, is_changed);
            if is_changed {
                assert_eq!(before.load(Ordering::Relaxed), 1);
            }
            supervisor.join().unwrap();
            table.refresh();
            assert_eq!((table.version(), table.owner_of(0)), (2, 1));
        });
    }

    /// Who sees a revision sees what was done before it was published.
    #[test]
    fn a_revision_tells_of_what_was_before() {
        check(|| {
            let cells: Arc<Vec<AtomicU64>> = Arc::new(vec![AtomicU64::new(0)]);
            let record = Arc::new(AtomicU32::new(0));
            let owner = {
                let (cells, record) = (cells.clone(), record.clone());
                thread::spawn(move || {
                    record.store(1, Ordering::Relaxed);
                    Revisions::new(&cells, 1).unwrap().publish(0, 5);
                })
            };
            if Revisions::new(&cells, 1).unwrap().newest(0) == 5 {
                assert_eq!(record.load(Ordering::Relaxed), 1);
            }
            owner.join().unwrap();
        });
    }
}
