//! Where the connections of a run go and which keys each of them uses: on a node of several workers that
//! decides whether operations are executed where they arrive or forwarded. Keys are drawn as ever, and drawn again
//! until one is of the wanted kind, so that among those the distribution stays what it is.

use std::net::SocketAddr;
use std::sync::Arc;

use xxhash_rust::xxh32::xxh32;

use crate::fault::Fault;
use crate::limits::KEY_SHARE_MIN;
use crate::option_values::Route;
use crate::rondo::routing::Routing;
use crate::workload::{KEY_BYTES, Workload, write_key};

/// Some of the keys, a bit each.
pub struct KeySet(Box<[u64]>);

impl KeySet {
    pub fn of(keys: u32, mut is_in: impl FnMut(u32) -> bool) -> Self {
        let mut words = vec![0_u64; (keys as usize).div_ceil(64)];
        for key in (0..keys).filter(|&key| is_in(key)) {
            words[key as usize / 64] |= 1 << (key % 64);
        }
        Self(words.into())
    }

    #[inline]
    pub fn has(&self, key: u32) -> bool {
        self.0
            .get(key as usize / 64)
            .is_some_and(|word| word >> (key % 64) & 1 == 1)
    }
}

#[derive(Clone)]
pub struct Place {
    pub address: SocketAddr,
    /// The worker that must be there; None: any.
    pub worker: Option<u16>,
    /// What connections to it use; None: all keys.
    keys: Option<Arc<KeySet>>,
}

impl Place {
    #[inline]
    pub fn keys(&self) -> Option<&KeySet> {
        self.keys.as_deref()
    }
}

/// Connections take them in turn.
pub struct Places(Vec<Place>);

impl Places {
    pub fn any(address: SocketAddr) -> Self {
        Self(vec![Place {
            address,
            worker: None,
            keys: None,
        }])
    }

    /// One place a worker, at its own port. `routing`: None where the node has one worker.
    pub fn of(
        route: Route,
        address: SocketAddr,
        routing: Option<&Routing>,
        workload: &Workload,
    ) -> Result<Self, Fault> {
        let Some(routing) = routing.filter(|routing| routing.workers.len() > 1) else {
            return match route {
                Route::Forward => Err(Fault::Route(
                    "forward needs a node of at least two workers, and this one has one".into(),
                )),
                Route::Any | Route::Direct => Ok(Self::any(address)),
            };
        };
        if route == Route::Any {
            return Ok(Self::any(address));
        }
        let owners: Vec<u16> = (0..workload.keys)
            .map(|key| owner_of(key, &routing.owners))
            .collect();
        let place = |(worker, port)| {
            let wanted = |key: u32| (owners[key as usize] == worker) == (route == Route::Direct);
            let keys = KeySet::of(workload.keys, wanted);
            let share = workload.share_of(&keys);
            if share < KEY_SHARE_MIN {
                return Err(Fault::Route(format!(
                    "the keys that connections to worker {worker} may use are {share:.6} of all \
                     that are drawn, and {KEY_SHARE_MIN} are needed: take more --keys"
                )));
            }
            Ok(Place {
                address: SocketAddr::new(address.ip(), port),
                worker: Some(worker),
                keys: Some(Arc::new(keys)),
            })
        };
        ports_of(routing)?
            .into_iter()
            .map(place)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Of a connection by its number over all threads.
    pub fn of_connection(&self, number: usize) -> &Place {
        &self.0[number % self.0.len()]
    }
}

fn ports_of(routing: &Routing) -> Result<Vec<(u16, u16)>, Fault> {
    let port = |(worker, one): (u16, &crate::rondo::routing::RoutedWorker)| match one.port {
        _ if !one.is_serving => Err(Fault::Route(format!("worker {worker} does not serve"))),
        0 => Err(Fault::Route(format!(
            "worker {worker} has no port of its own"
        ))),
        port => Ok((worker, port)),
    };
    (0..).zip(&routing.workers).map(port).collect()
}

/// Top bits of XXH32, seed 0; no key of the generator has a `{tag}`.
fn owner_of(key: u32, owners: &[u16]) -> u16 {
    let mut name = [0; KEY_BYTES];
    write_key(key, &mut name);
    let partition = (u64::from(xxh32(&name, 0)) * owners.len() as u64) >> 32;
    owners[partition as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::rondo::routing::RoutedWorker;

    const ADDRESS: &str = "127.0.0.1:7400";

    fn routing(workers: u16) -> Routing {
        Routing {
            workers: (0..workers)
                .map(|worker| RoutedWorker {
                    port: 9000 + worker,
                    is_serving: true,
                })
                .collect(),
            owners: (0..64).map(|partition| partition % workers).collect(),
        }
    }

    fn workload(keys: u32, theta: Option<f64>) -> Workload {
        Workload::new(keys, 0.5, theta, 8, 7)
    }

    fn places(route: Route, routing: Option<&Routing>) -> Result<Places, String> {
        let address = ADDRESS.parse().expect("an address");
        Places::of(route, address, routing, &workload(5000, None)).map_err(|it| it.to_string())
    }

    #[test]
    fn a_key_belongs_where_the_node_has_it() {
        // As `partitionOfKey` of ts/wire/partition.ts gives them.
        let owners: Vec<u16> = (0..64).collect();
        let partitions: Vec<u16> = (0..8).map(|key| owner_of(key, &owners)).collect();
        assert_eq!(partitions, [44, 60, 11, 31, 29, 26, 23, 25]);
        assert_eq!(owner_of(99_999, &owners), 6);
        assert_eq!(owner_of(5, &[3]), 3);
    }

    #[test]
    fn direct_and_forward_part_the_keys() {
        let routing = routing(3);
        let direct = places(Route::Direct, Some(&routing)).expect("valid");
        let forward = places(Route::Forward, Some(&routing)).expect("valid");
        for number in 0..6 {
            let worker = number as u16 % 3;
            for (places, is_direct) in [(&direct, true), (&forward, false)] {
                let place = places.of_connection(number);
                assert_eq!(place.worker, Some(worker));
                assert_eq!(
                    place.address.to_string(),
                    format!("127.0.0.1:{}", 9000 + worker)
                );
                let keys = place.keys.as_ref().expect("keys");
                for key in 0..5000 {
                    let is_owner = owner_of(key, &routing.owners) == worker;
                    assert_eq!(
                        keys.has(key),
                        is_owner == is_direct,
                        "key {key} at {worker}"
                    );
                }
                assert!(!keys.has(5000) && !keys.has(u32::MAX));
            }
        }
    }

    #[test]
    fn one_worker_has_all_keys_and_nobody_to_forward_to() {
        for one in [None, Some(routing(1))] {
            for route in [Route::Any, Route::Direct] {
                let places = places(route, one.as_ref()).expect("valid");
                let Place {
                    address,
                    worker,
                    keys,
                } = places.of_connection(5);
                assert_eq!(address.to_string(), ADDRESS);
                assert!(worker.is_none() && keys.is_none());
            }
            let refused = places(Route::Forward, one.as_ref()).err().expect("refused");
            assert!(refused.contains("at least two workers"), "{refused}");
        }
        let any = places(Route::Any, Some(&routing(4))).expect("valid");
        assert!(any.of_connection(1).keys.is_none());
    }

    #[test]
    fn what_cannot_be_reached_is_refused() {
        let mut closed = routing(2);
        closed.workers[1].port = 0;
        let mut down = routing(2);
        down.workers[0].is_serving = false;
        let mut idle = routing(2);
        idle.owners.fill(0);
        for (routing, expected) in [
            (closed, "worker 1 has no port"),
            (down, "worker 0 does not serve"),
            (idle, "connections to worker 1"),
        ] {
            let refused = places(Route::Direct, Some(&routing))
                .err()
                .expect("refused");
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn the_distribution_holds_among_the_keys() {
        let seed = 3;
        for theta in [None, Some(0.99)] {
            let workload = workload(100, theta);
            let keys = KeySet::of(100, |key| key % 3 == 1);
            let mut random = Random::new(seed, 0);
            let mut seen = [0_u32; 100];
            for _ in 0..300_000 {
                seen[workload.draw(&mut random, Some(&keys)).key as usize] += 1;
            }
            let weight = |key: usize| (key as f64 + 1.0).powf(-theta.unwrap_or(0.0));
            let total: f64 = (1..100).step_by(3).map(weight).sum();
            for (key, &seen) in seen.iter().enumerate() {
                let is_in = key % 3 == 1;
                let expected = if is_in {
                    weight(key) / total * 300_000.0
                } else {
                    0.0
                };
                let off = (f64::from(seen) - expected).abs();
                let bound = 6.0 * expected.sqrt();
                assert!(
                    off <= bound,
                    "seed {seed}, key {key}, {theta:?}: {seen}, not {expected}"
                );
            }
            let all: f64 = (0..100).map(weight).sum();
            assert!((workload.share_of(&keys) - total / all).abs() < 1e-9);
        }
    }
}
