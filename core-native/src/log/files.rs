//! The system calls that the writer makes, behind a trait, so that tests can let each of them fail.

use std::fs::File;
use std::io;

pub trait Files: Send {
    /// Writes at `at` and returns how many bytes it took, which may be fewer.
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<usize>;
    /// Makes durable what was written.
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

pub struct RealFiles;

impl Files for RealFiles {
    #[cfg(unix)]
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(file, bytes, at)
    }

    #[cfg(windows)]
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(file, bytes, at)
    }

    /// `fdatasync`, and what does the same elsewhere (`F_FULLFSYNC` on macOS).
    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Files for tests: what is written stays in memory until a sync, as after a loss of power, and the
/// n-th call of a kind fails as a script says.
pub struct ScriptedFiles {
    faults: Vec<Fault>,
    writes: u64,
    syncs: u64,
    held: Vec<(u64, Vec<u8>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    Sync,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Errno(i32),
    /// Takes half of the bytes.
    Short,
    /// Says that it synced and loses what was written.
    Lie,
    Panic,
}

struct Fault {
    call: Call,
    /// Counts from 1.
    nth: u64,
    outcome: Outcome,
}

impl ScriptedFiles {
    /// A script such as `write:3:ENOSPC,sync:2:EIO`; `None` where it is not one. `none` has no faults.
    pub fn parse(script: &str) -> Option<Self> {
        let faults = match script {
            "none" => Vec::new(),
            _ => script.split(',').map(parse_fault).collect::<Option<_>>()?,
        };
        Some(Self {
            faults,
            writes: 0,
            syncs: 0,
            held: Vec::new(),
        })
    }

    fn outcome(&self, call: Call, nth: u64) -> Option<Outcome> {
        let mut faults = self.faults.iter();
        let fault = faults.find(|fault| fault.call == call && fault.nth == nth)?;
        Some(fault.outcome)
    }
}

fn parse_fault(text: &str) -> Option<Fault> {
    let mut parts = text.split(':');
    let call = match parts.next()? {
        "write" => Call::Write,
        "sync" => Call::Sync,
        _ => return None,
    };
    let nth = parts.next()?.parse().ok()?;
    let outcome = match parts.next()? {
        "EIO" => Outcome::Errno(libc::EIO),
        "ENOSPC" => Outcome::Errno(libc::ENOSPC),
        "EINTR" => Outcome::Errno(libc::EINTR),
        "SHORT" => Outcome::Short,
        "LIE" => Outcome::Lie,
        "PANIC" => Outcome::Panic,
        _ => return None,
    };
    Some(Fault { call, nth, outcome })
}

impl Files for ScriptedFiles {
    #[allow(clippy::panic)] // that is the fault which the script asks for
    fn write(&mut self, _file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.writes += 1;
        let taken = match self.outcome(Call::Write, self.writes) {
            None | Some(Outcome::Lie) => bytes.len(),
            Some(Outcome::Short) => bytes.len() / 2,
            Some(Outcome::Errno(errno)) => return Err(io::Error::from_raw_os_error(errno)),
            Some(Outcome::Panic) => panic!("as the script says"),
        };
        self.held.push((at, bytes[..taken].to_vec()));
        Ok(taken)
    }

    #[allow(clippy::panic)] // that is the fault which the script asks for
    fn sync(&mut self, file: &File) -> io::Result<()> {
        self.syncs += 1;
        let held = std::mem::take(&mut self.held);
        match self.outcome(Call::Sync, self.syncs) {
            None | Some(Outcome::Short) => {}
            Some(Outcome::Lie) => return Ok(()),
            Some(Outcome::Errno(errno)) => return Err(io::Error::from_raw_os_error(errno)),
            Some(Outcome::Panic) => panic!("as the script says"),
        }
        for (at, bytes) in held {
            let mut done = 0;
            while done < bytes.len() {
                done += RealFiles.write(file, &bytes[done..], at + done as u64)?;
            }
        }
        RealFiles.sync(file)
    }
}
