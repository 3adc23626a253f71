//! Asks a node for its routing table before the run, over a connection that does nothing else: who goes
//! where must be known before the first connection of the run is opened.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::fault::Fault;
use crate::outbox::Outbox;
use crate::protocol::Protocol;
use crate::rondo::Rondo;
use crate::rondo::routing::Routing;

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// None where the node has one worker. `timeout` is that of each wait.
pub fn ask_routing(
    address: SocketAddr,
    mut rondo: Rondo<false>,
    timeout: Duration,
) -> Result<Option<Routing>, Fault> {
    let failed = |cause: io::Error| Fault::Connect {
        address: address.to_string(),
        cause,
    };
    let mut socket = TcpStream::connect_timeout(&address, timeout).map_err(failed)?;
    socket.set_read_timeout(Some(timeout)).map_err(failed)?;
    socket.set_write_timeout(Some(timeout)).map_err(failed)?;
    let mut out = Outbox::default();
    let mut came = Vec::new();
    let mut scratch = vec![0; READ_BYTES];
    rondo.greet(&mut out);
    loop {
        out.flush(&mut socket).map_err(failed)?;
        if rondo.is_open() {
            return Ok(rondo.routing().cloned());
        }
        let length = match socket.read(&mut scratch) {
            Ok(0) => return Err(Fault::EndedEarly),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(failed(cause)),
        };
        came.extend_from_slice(&scratch[..length]);
        let used = rondo.receive(&came, &mut out, &mut |id, _| {
            Err(Fault::protocol(format!(
                "it answers {id}, which nobody asked"
            )))
        })?;
        came.drain(..used);
    }
}
